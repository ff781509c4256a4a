//! Durable entries that were read or written lately, so that whoever asks for them again asks no database.
//!
//! In: what a read found and what a commit made visible, both under the lock that publishes. Out: the present version
//! of a key, if it is known. Never holds a version that is not the newest visible one, and never more than its bound;
//! what was not asked for since it last came to its turn goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::entry::Entry;

/// See the module.
pub(crate) struct Hot {
    known: HashMap<Arc<str>, Known>,
    /// The turns of known keys, in order, and of keys that are known no more.
    turns: VecDeque<(u64, Arc<str>)>,
    /// The number of the newest turn.
    newest: u64,
    bytes: usize,
    limit: usize,
}

struct Known {
    entry: Arc<Entry>,
    /// The number of its turn.
    turn: u64,
    /// Whether it was asked for since its last turn.
    wanted: bool,
}

/// Turns of forgotten keys that may stay among the others before they are swept out.
const STALE: usize = 64;

impl Hot {
    /// One that holds entries of `limit` bytes at most; none for 0.
    pub(crate) fn new(limit: usize) -> Self {
        Self { known: HashMap::new(), turns: VecDeque::new(), newest: 0, bytes: 0, limit }
    }

    /// The present version of a key, if it is known.
    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<Entry>> {
        let known = self.known.get_mut(key)?;
        known.wanted = true;
        Some(known.entry.clone())
    }

    /// This is the present version of its key.
    pub(crate) fn put(&mut self, entry: &Arc<Entry>) {
        let cost = entry.cost();
        // A single large value must not drive out everything else.
        if cost > self.limit / 4 {
            return self.remove(&entry.key);
        }
        self.bytes += cost;
        match self.known.get_mut(&entry.key) {
            Some(known) => self.bytes -= std::mem::replace(&mut known.entry, entry.clone()).cost(),
            None => {
                let turn = self.queue(entry.key.clone());
                self.known.insert(entry.key.clone(), Known { entry: entry.clone(), turn, wanted: false });
            }
        }
        self.trim();
    }

    /// A key is not there any more, or nothing is known of it.
    pub(crate) fn remove(&mut self, key: &str) {
        let Some(known) = self.known.remove(key) else { return };
        self.bytes -= known.entry.cost();
        if self.turns.len() > 2 * self.known.len() + STALE {
            let Self { known, turns, .. } = self;
            turns.retain(|(turn, key)| known.get(key).is_some_and(|known| known.turn == *turn));
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    fn queue(&mut self, key: Arc<str>) -> u64 {
        self.newest += 1;
        self.turns.push_back((self.newest, key));
        self.newest
    }

    /// Whoever is wanted gets one turn more and is not wanted then, so this ends.
    fn trim(&mut self) {
        while self.bytes > self.limit {
            let Some((turn, key)) = self.turns.pop_front() else { return };
            let Some(known) = self.known.get_mut(&key).filter(|known| known.turn == turn) else { continue };
            if known.wanted {
                let turn = self.newest + 1;
                (known.wanted, known.turn) = (false, turn);
                self.queue(key);
            } else {
                self.bytes -= known.entry.cost();
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(key: &str, revision: u64, bytes: usize) -> Arc<Entry> {
        let bytes = Bytes::from(vec![0; bytes]);
        Arc::new(Entry { key: key.into(), bytes, index: Bytes::new(), revision, created: 1 })
    }

    /// Room for some eight entries of 100 bytes.
    fn hot() -> Hot {
        Hot::new(8 * entry("/a0", 1, 100).cost())
    }

    #[test]
    fn the_newest_version_is_known_until_the_key_is_gone() {
        let mut hot = hot();
        assert!(hot.get("/a").is_none());
        hot.put(&entry("/a", 1, 10));
        hot.put(&entry("/a", 2, 20));
        assert_eq!(hot.get("/a").unwrap().revision, 2);
        hot.remove("/a");
        assert!(hot.get("/a").is_none());
        assert_eq!(hot.bytes, 0);
        hot.put(&entry("/a", 3, 10));
        hot.clear();
        assert!(hot.get("/a").is_none() && hot.turns.is_empty());
    }

    #[test]
    fn what_nobody_asks_for_goes_first() {
        let mut hot = hot();
        for number in 0..50 {
            hot.put(&entry(&format!("/b{number}"), 1, 100));
            hot.put(&entry("/a", number + 1, 100));
            assert_eq!(hot.get("/a").unwrap().revision, number + 1, "it is asked for");
            assert!(hot.bytes <= hot.limit && hot.known.len() <= 8, "{} of {}", hot.bytes, hot.limit);
        }
        assert!(hot.get("/b0").is_none() && hot.get("/b49").is_some());
    }

    #[test]
    fn nothing_grows_with_keys_that_come_and_go() {
        let mut hot = hot();
        for number in 0..1000 {
            let key = format!("/a{}", number % 3);
            hot.put(&entry(&key, number + 1, 10));
            hot.remove(&key);
            assert!(hot.turns.len() <= STALE + 2);
        }
        assert_eq!((hot.bytes, hot.known.len()), (0, 0));
    }

    #[test]
    fn a_large_value_drives_nothing_out_and_leaves_no_old_version() {
        let mut hot = hot();
        hot.put(&entry("/a", 1, 10));
        hot.put(&entry("/b", 1, 10));
        hot.put(&entry("/a", 2, hot.limit / 2));
        assert!(hot.get("/a").is_none() && hot.get("/b").is_some());
        let mut none = Hot::new(0);
        none.put(&entry("/a", 1, 10));
        assert!(none.get("/a").is_none());
    }
}
