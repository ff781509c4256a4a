//! Watch events in forms other than the kept bytes, encoded once for all watchers.
//!
//! In: a revision, a form, a way to make the bytes. Out: shared bytes. Holds the newest
//! [`KEPT`] forms; a watcher further behind makes its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kedge_store::{Event, Revision};

use crate::metrics::told::Sizes;

/// Forms kept: watchers of one event read it within moments of each other. At 2 KB each 512 KB.
const KEPT: usize = 256;

/// What distinguishes two encodings of one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Form {
    /// The event.
    pub revision: Revision,
    /// Whether it is the object before the event.
    pub previous: bool,
    /// The served version, the shape and what a table's rows carry.
    pub view: (u8, String),
}

/// See the module.
#[derive(Debug, Default)]
pub struct EncodedOnce(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: HashMap<Form, Bytes>,
    order: VecDeque<Form>,
}

impl EncodedOnce {
    /// The bytes of that form.
    pub fn get(&self, form: Form, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(bytes) = self.kept().bytes.get(&form) {
            return bytes.clone();
        }
        // Made outside the lock: two watchers may both make it, and the second one's is dropped.
        let bytes = make();
        let mut kept = self.kept();
        if kept.bytes.insert(form.clone(), bytes.clone()).is_none() {
            kept.order.push_back(form);
            if kept.order.len() > KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.bytes.remove(&oldest);
            }
        }
        bytes
    }

    /// Forgets everything: revisions stand for other objects now.
    pub fn forget(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that leave together, and how large they are.
#[derive(Debug, Clone, Default)]
pub struct Piece {
    /// Their lines.
    pub bytes: Bytes,
    /// For the figures.
    pub sizes: Sizes,
}

/// Framed batches of events, shared by all watchers that are told the same.
///
/// Watchers are told at different moments, so what one is told at once rarely begins and ends where it does for
/// another. It is cut where all of them cut it, and the parts between two cuts are the same for everybody.
#[derive(Debug, Default)]
pub struct Batches(Mutex<Shared>);

#[derive(Debug, Default)]
struct Shared {
    whole: VecDeque<(Batch, Piece)>,
    parts: VecDeque<(Batch, Piece)>,
}

/// Whole groups kept. In a flood watchers are told within a few hundred events of each other.
const WHOLE: usize = 24;

/// Other batches kept: watchers that keep up read the newest one, and a few are a batch or two behind.
const PARTS: usize = 8;

/// Revisions of a group: at 600 bytes an event a group is one TLS record.
const GROUP: Revision = 32;

/// The events cut into groups; for each whether it is likely whole: something came after it, and nothing was told of
/// it before, up to `told`.
pub fn groups(events: &[Arc<Event>], told: Revision) -> impl Iterator<Item = (&[Arc<Event>], bool)> {
    let group = |event: &Arc<Event>| event.revision / GROUP;
    let last = events.last().map(group);
    events.chunk_by(move |a, b| group(a) == group(b)).map(move |part| {
        let own = part.first().map(group);
        (part, own != last && own != Some(told / GROUP))
    })
}

/// A run of events as some watchers are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The revisions of the first and the last event, and how many there are: between the same two
    /// there are the same ones. Compared first: audiences are long texts and mostly the same.
    pub run: (Revision, Revision, usize),
    /// What those watchers have in common: the prefix, what they select and in which form.
    pub audience: Arc<str>,
}

impl Batches {
    /// Forgets everything.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Shared::default();
    }

    /// The bytes of that batch, which is a whole group or not.
    pub fn get(&self, batch: Batch, whole: bool, make: impl FnOnce() -> Piece) -> Piece {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |shared: &Shared| {
            let kept = if whole { &shared.whole } else { &shared.parts };
            kept.iter().rev().find(|(other, _)| *other == batch).map(|(_, piece)| piece.clone())
        };
        if let Some(piece) = of(&held()) {
            return piece;
        }
        let piece = make();
        let mut shared = held();
        let (kept, most) = if whole { (&mut shared.whole, WHOLE) } else { (&mut shared.parts, PARTS) };
        kept.push_back((batch, piece.clone()));
        if kept.len() > most {
            kept.pop_front();
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_store::{Change, Entry};

    #[test]
    fn an_event_is_encoded_once_and_old_ones_are_forgotten() {
        let once = EncodedOnce::default();
        let form = |revision| Form { revision, previous: false, view: (0, "v1".to_owned()) };
        let mut made = 0;
        for _ in 0..3 {
            once.get(form(1), || {
                made += 1;
                Bytes::from_static(b"x")
            });
        }
        assert_eq!(made, 1);
        (2..2 + KEPT as u64).for_each(|r| {
            once.get(form(r), Bytes::new);
        });
        assert_eq!(once.kept().bytes.len(), KEPT);
        assert!(!once.kept().bytes.contains_key(&form(1)));
    }

    #[test]
    fn all_cut_at_the_same_places_wherever_they_begin() {
        let event = |revision: &Revision| {
            let (key, bytes) = (Arc::from("/a"), Bytes::new());
            let entry = Entry { key, bytes: bytes.clone(), index: bytes, revision: *revision, created: 1 };
            Arc::new(Event { revision: *revision, change: Change::Created, entry: Arc::new(entry), previous: None })
        };
        let check = |revisions: &[Revision], told: Revision, expected: &[(&[Revision], bool)]| {
            let events: Vec<_> = revisions.iter().map(event).collect();
            let cut: Vec<(Vec<Revision>, bool)> = groups(&events, told)
                .map(|(group, whole)| (group.iter().map(|event| event.revision).collect(), whole))
                .collect();
            let expected: Vec<_> = expected.iter().map(|(group, whole)| (group.to_vec(), *whole)).collect();
            assert_eq!(cut, expected, "{revisions:?} after {told}");
        };
        check(&[], 0, &[]);
        check(&[33, 40], 31, &[(&[33, 40], false)]);
        check(&[33, 40, 63, 64, 70, 96], 31, &[(&[33, 40, 63], true), (&[64, 70], true), (&[96], false)]);
        // The first of them were told before.
        check(&[40, 63, 64, 70, 96], 33, &[(&[40, 63], false), (&[64, 70], true), (&[96], false)]);
    }

    #[test]
    fn whole_groups_stay_while_others_come_and_go() {
        let batches = Batches::default();
        let batch = |first| Batch { audience: "a".into(), run: (first, first + 1, 2) };
        let get = |first, whole| {
            let mut made = false;
            batches.get(batch(first), whole, || {
                made = true;
                Piece::default()
            });
            made
        };
        assert!(get(0, true) && !get(0, true));
        assert!((1..100).all(|first| get(first, false)));
        assert!(!get(99, false) && get(1, false) && !get(0, true));
        assert!((1..100).all(|first| get(first, true)));
        assert!(get(0, true));
        batches.forget();
        assert!(get(0, true) && get(99, false));
    }
}
