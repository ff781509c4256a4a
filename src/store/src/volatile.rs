//! The volatile tier: a map in memory with a bounded history.
//!
//! In: writes that were decided, in revision order. Out: entries and events as at any revision above the floor.
//! Never touches the disk and never assigns a revision.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::entry::{Change, Entry, Event, Revision};

pub(crate) struct Volatile {
    live: BTreeMap<Arc<str>, Arc<Entry>>,
    bytes: usize,
    history: Recent,
}

impl Volatile {
    /// An empty tier; nothing is known of what happened up to `floor`.
    pub(crate) fn new(floor: Revision, events: usize, event_bytes: usize) -> Self {
        Self { live: BTreeMap::new(), bytes: 0, history: Recent::new(floor, events, event_bytes) }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.live.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn history(&self) -> &Recent {
        &self.history
    }

    /// Whether an entry of this cost may replace the present one under a bound.
    pub(crate) fn has_room(&self, key: &str, cost: usize, limit: usize) -> bool {
        let freed = self.live.get(key).map_or(0, |entry| entry.cost());
        // What shrinks or keeps its size is always welcome.
        cost <= freed || self.bytes - freed + cost <= limit
    }

    pub(crate) fn apply(&mut self, event: &Arc<Event>) {
        let replaced = match event.change {
            Change::Deleted => self.live.remove(&event.entry.key),
            Change::Created | Change::Updated => {
                self.bytes += event.entry.cost();
                self.live.insert(event.entry.key.clone(), event.entry.clone())
            }
        };
        self.bytes -= replaced.map_or(0, |entry| entry.cost());
        self.history.push(event.clone());
    }

    /// Forgets history up to `revision`.
    pub(crate) fn compact(&mut self, revision: Revision) {
        self.history.forget(revision);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.live.keys().map(|key| &**key)
    }

    /// The first entries of a prefix after a key, `most` of them, as they were at a revision that is not below the
    /// history's floor.
    pub(crate) fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        at: Revision,
        most: usize,
    ) -> BTreeMap<Arc<str>, Arc<Entry>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        // Each later event takes at most one of these away again, so the first `most` are among what is left.
        let later = self.history.newest_first().take_while(|event| event.revision > at).count();
        let mut page: BTreeMap<_, _> = self
            .live
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(most.saturating_add(later))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        for event in self.history.newest_first().take_while(|event| event.revision > at) {
            let key = &event.entry.key;
            if !key.starts_with(prefix) || after.is_some_and(|after| &**key <= after) {
                continue;
            }
            match &event.previous {
                Some(previous) => page.insert(key.clone(), previous.clone()),
                None => page.remove(key),
            };
        }
        while page.len() > most {
            page.pop_last();
        }
        page
    }
}

/// The newest events, bounded by count and bytes.
pub(crate) struct Recent {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    floor: Revision,
    max_events: usize,
    max_bytes: usize,
}

impl Recent {
    pub(crate) fn new(floor: Revision, max_events: usize, max_bytes: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, floor, max_events, max_bytes }
    }

    /// Every event above this revision is here.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.cost();
        self.events.push_back(event);
        while self.events.len() > self.max_events || self.bytes > self.max_bytes {
            if !self.drop_oldest() {
                break;
            }
        }
    }

    pub(crate) fn forget(&mut self, revision: Revision) {
        while self.events.front().is_some_and(|event| event.revision <= revision) {
            self.drop_oldest();
        }
        self.floor = self.floor.max(revision);
    }

    /// Events of a prefix in `(from, to]`, oldest first.
    pub(crate) fn between<'a>(
        &'a self,
        prefix: &'a str,
        from: Revision,
        to: Revision,
    ) -> impl Iterator<Item = &'a Arc<Event>> {
        let start = self.events.partition_point(|event| event.revision <= from);
        self.events
            .range(start..)
            .take_while(move |event| event.revision <= to)
            .filter(move |event| event.entry.key.starts_with(prefix))
    }

    fn newest_first(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter().rev()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        self.bytes -= event.cost();
        self.floor = event.revision;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{Body, Op};
    use bytes::Bytes;

    fn write(tier: &mut Volatile, revision: Revision, key: &str, what: &str) {
        let present = tier.get(key).cloned();
        let expected = present.as_ref().map_or(0, |entry| entry.revision);
        let (key, body) = (Arc::from(key), Body::plain(what.to_owned()));
        let op = match (&present, what) {
            (_, "") => Op::Delete { key, expected, last: body },
            (None, _) => Op::Create { key, body, index: Bytes::new() },
            (Some(_), _) => Op::Update { key, expected, body, index: Bytes::new() },
        };
        tier.apply(&Arc::new(op.decide(present, revision).unwrap()));
    }

    #[track_caller]
    fn check(tier: &Volatile, after: Option<&str>, at: Revision, expected: &[(&str, &str)]) {
        let page = tier.page("/l/", after, at, usize::MAX);
        let found: Vec<_> =
            page.iter().map(|(key, entry)| (&**key, std::str::from_utf8(&entry.bytes).unwrap())).collect();
        assert_eq!(found, expected, "at {at}");
        for most in 0..=expected.len() {
            let page = tier.page("/l/", after, at, most);
            let found: Vec<_> = page.keys().map(|key| &**key).collect();
            let first: Vec<_> = expected[..most].iter().map(|(key, _)| *key).collect();
            assert_eq!(found, first, "{most} at {at}");
        }
    }

    #[test]
    fn the_tier_is_read_as_it_was() {
        let mut tier = Volatile::new(0, 100, 1 << 20);
        for (revision, key, what) in
            [(1, "/l/a", "1"), (2, "/l/b", "2"), (3, "/x", "3"), (4, "/l/a", "4"), (6, "/l/b", ""), (7, "/l/c", "7")]
        {
            write(&mut tier, revision, key, what);
        }
        check(&tier, None, 0, &[]);
        check(&tier, None, 3, &[("/l/a", "1"), ("/l/b", "2")]);
        check(&tier, None, 5, &[("/l/a", "4"), ("/l/b", "2")]);
        check(&tier, Some("/l/a"), 5, &[("/l/b", "2")]);
        check(&tier, None, 7, &[("/l/a", "4"), ("/l/c", "7")]);
        write(&mut tier, 8, "/l/a", "");
        write(&mut tier, 9, "/l/c", "");
        write(&mut tier, 10, "/x", "");
        assert_eq!((tier.len(), tier.bytes()), (0, 0));
    }

    #[test]
    fn history_is_bounded_and_says_so() {
        let mut tier = Volatile::new(0, 3, 1 << 20);
        for revision in 1..=10 {
            write(&mut tier, revision, "/l/a", "x");
        }
        assert_eq!(tier.history().floor(), 7);
        assert_eq!(tier.history().between("/l/", 8, 10).count(), 2);
        tier.compact(9);
        assert_eq!(tier.history().floor(), 9);
    }
}
