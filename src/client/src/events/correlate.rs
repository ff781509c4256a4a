//! Which notes become an Event of their own, raise one's count, or are passed over: Kubernetes' rules.
//!
//! In: notes with their time. Out: the Event that a note belongs to, its count, whether it may be told. Pure; every
//! memory here is bounded, and what was forgotten begins anew.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::{Duration, SystemTime};

use super::{EventType, Note, Subject};

/// Events whose count can still be raised: 512 at about 200 bytes are 100 KiB.
const REMEMBERED: usize = 512;
/// An object may have this many Events told at once, and one more each `REFILL` (Kubernetes' spam filter).
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(300);
/// So many messages of one reason about one object are told apart; further ones are combined.
const APART: usize = 10;
/// After so long without one, they are told apart again.
const CALM: Duration = Duration::from_secs(600);
/// What a combined message begins with.
const COMBINED: &str = "(combined from similar events): ";

/// What makes two notes the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    subject: Subject,
    event_type: EventType,
    reason: String,
    message: String,
}

impl Identity {
    pub(super) fn of(note: &Note) -> Self {
        // The version of the object is no part of what happened.
        let subject = Subject { resource_version: String::new(), ..note.subject.clone() };
        Identity { subject, event_type: note.event_type, reason: note.reason.clone(), message: note.message.clone() }
    }
}

/// Messages of one reason about one object.
struct Similar {
    messages: VecDeque<u64>,
    last: SystemTime,
}

/// What was written lately, and how much each object may still say.
#[derive(Default)]
pub(super) struct Written {
    counts: HashMap<Identity, (String, u32)>,
    order: VecDeque<Identity>,
    similar: HashMap<u64, Similar>,
    budgets: HashMap<u64, (u32, SystemTime)>,
}

impl Written {
    /// The identity and message under which a note is told: its own, or those of all that are like it.
    pub(super) fn combine(&mut self, component: &str, identity: Identity, now: SystemTime) -> (Identity, String) {
        // A part of the object and the message do not make a difference here.
        let Subject { api_version, kind, namespace, name, uid, .. } = &identity.subject;
        let object = (api_version, kind, namespace, name, uid);
        let group = hash(&(component, object, identity.event_type, &identity.reason));
        forget_old(&mut self.similar, group);
        let known = self.similar.entry(group).or_insert_with(|| Similar { messages: VecDeque::new(), last: now });
        if now.duration_since(known.last).unwrap_or_default() > CALM {
            known.messages.clear();
        }
        known.last = now;
        let mark = hash(&identity.message);
        if !known.messages.contains(&mark) {
            known.messages.push_back(mark);
        }
        if known.messages.len() < APART {
            let message = identity.message.clone();
            return (identity, message);
        }
        // Those that stay are still told apart.
        known.messages.pop_front();
        let message = format!("{COMBINED}{}", identity.message);
        let subject = Subject { field_path: String::new(), ..identity.subject };
        (Identity { subject, message: COMBINED.to_owned(), ..identity }, message)
    }

    /// The Event of a note that was told before, with its new count.
    pub(super) fn again(&mut self, identity: &Identity) -> Option<(String, u32)> {
        let (name, count) = self.counts.get_mut(identity)?;
        *count += 1;
        Some((name.clone(), *count))
    }

    /// An Event is gone.
    pub(super) fn forget(&mut self, identity: &Identity) {
        self.counts.remove(identity);
        self.order.retain(|other| other != identity);
    }

    /// An Event was made.
    pub(super) fn remember(&mut self, identity: Identity, name: String) {
        if self.order.len() == REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        self.order.push_back(identity.clone());
        self.counts.insert(identity, (name, 1));
    }

    /// Whether something may be told: a token bucket for each object and component.
    pub(super) fn allowed(&mut self, component: &str, subject: &Subject, now: SystemTime) -> bool {
        let key = hash(&(component, &subject.kind, &subject.namespace, &subject.name, &subject.uid));
        forget_old(&mut self.budgets, key);
        let (left, since) = self.budgets.entry(key).or_insert((BURST, now));
        let refilled = now.duration_since(*since).unwrap_or_default().as_secs() / REFILL.as_secs();
        if refilled > 0 {
            *left = left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)).min(BURST);
            *since = now;
        }
        let allowed = *left > 0;
        *left = left.saturating_sub(1);
        allowed
    }
}

/// Makes room for a key that is new: all begin anew, which is rare and harms nobody.
fn forget_old<T>(known: &mut HashMap<u64, T>, key: u64) {
    if known.len() >= REMEMBERED && !known.contains_key(&key) {
        known.clear();
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn identity(reason: &str, message: &str) -> Identity {
        let subject = Subject { uid: "u".into(), field_path: "spec.containers{a}".into(), ..Subject::default() };
        Identity { subject, event_type: EventType::Warning, reason: reason.into(), message: message.into() }
    }

    #[test]
    fn an_object_may_say_only_so_much() {
        let mut written = Written::default();
        let (subject, now) = (Subject { uid: "u".into(), ..Subject::default() }, UNIX_EPOCH + REFILL * 10);
        assert_eq!((0..40).filter(|_| written.allowed("c", &subject, now)).count(), BURST as usize);
        assert!(written.allowed("other", &subject, now));
        assert!(written.allowed("c", &subject, now + REFILL));
        assert!(!written.allowed("c", &subject, now + REFILL));
        for n in 0..2 * REMEMBERED {
            written.allowed("c", &Subject { uid: n.to_string(), ..Subject::default() }, now);
        }
        assert!(written.budgets.len() <= REMEMBERED);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut written = Written::default();
        let identity = |n: usize| identity(&n.to_string(), "");
        (0..REMEMBERED + 10).for_each(|n| written.remember(identity(n), n.to_string()));
        assert_eq!(written.counts.len(), REMEMBERED);
        assert!(written.again(&identity(0)).is_none());
        assert_eq!(written.again(&identity(20)), Some(("20".into(), 2)));
    }

    #[test]
    fn the_tenth_message_of_one_reason_and_those_after_it_are_one_event() {
        let mut written = Written::default();
        let now = UNIX_EPOCH + CALM;
        let mut tell =
            |reason: &str, message: &str, after: Duration| written.combine("c", identity(reason, message), now + after);
        for n in 0..APART - 1 {
            let (own, message) = tell("R", &n.to_string(), Duration::ZERO);
            assert_eq!((own, message.as_str()), (identity("R", &n.to_string()), &*n.to_string()));
        }
        assert_eq!(tell("R", "0", Duration::ZERO).1, "0", "no new message");
        let (tenth, message) = tell("R", "9", Duration::ZERO);
        assert_eq!(message, "(combined from similar events): 9");
        let (next, message) = tell("R", "10", Duration::ZERO);
        assert_eq!((&next, message.as_str()), (&tenth, "(combined from similar events): 10"));
        assert_eq!(tell("R", "8", Duration::ZERO).1, "8", "known as its own");
        assert_eq!(tell("other", "11", Duration::ZERO).1, "11");
        assert_eq!(tell("R", "12", CALM * 2).1, "12", "after a calm");
    }
}
