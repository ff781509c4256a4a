//! Which durable keys there are, and the revision of the row that each of them is at.
//!
//! In: a census at the start, then writes as they become visible, under the lock that publishes. Out: where a key is
//! now, without a look into the database; the rows of a page, however many deleted keys lie between them. About a
//! hundred bytes a key. Never holds a value, and knows no past: that is for `log.rs`.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::entry::{Entry, Revision};

/// See the module.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Live {
    keys: BTreeMap<Arc<str>, Revision>,
}

/// What is known of a key without a look into the database.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// It is not there.
    Absent,
    /// It is at this row.
    At(Revision),
    /// It is this.
    Entry(Arc<Entry>),
}

impl Live {
    /// The row that a key is at.
    pub(crate) fn get(&self, key: &str) -> Option<Revision> {
        self.keys.get(key).copied()
    }

    /// A key is at this row now.
    pub(crate) fn put(&mut self, key: &Arc<str>, revision: Revision) {
        match self.keys.get_mut(key) {
            Some(known) => *known = revision,
            None => {
                self.keys.insert(key.clone(), revision);
            }
        }
    }

    /// A key is not there any more.
    pub(crate) fn remove(&mut self, key: &str) {
        self.keys.remove(key);
    }

    /// The rows of the keys that start with `prefix` and come after `after`, in the order of their keys.
    pub(crate) fn rows<'a>(&'a self, prefix: &'a str, after: Option<&str>) -> impl Iterator<Item = Revision> + 'a {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = self.keys.range::<str, _>((from, Bound::Unbounded));
        range.take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, revision)| *revision)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, after: Option<&str>, expected: &[Revision]) {
        let mut live = Live::default();
        for (revision, key) in ["/b", "/a/x", "/a/y", "/a0", "/a/z"].into_iter().enumerate() {
            live.put(&key.into(), revision as u64 + 1);
        }
        live.put(&"/a/x".into(), 9);
        live.remove("/a/z");
        assert_eq!(live.rows(prefix, after).collect::<Vec<_>>(), expected, "{prefix} after {after:?}");
        assert_eq!((live.get("/a/x"), live.get("/a/z"), live.len()), (Some(9), None, 4));
    }

    #[test]
    fn a_page_is_of_the_present_keys_in_their_order() {
        check("/a/", None, &[9, 3]);
        check("/a/", Some("/a/x"), &[3]);
        check("/a/", Some("/a/"), &[9, 3]);
        check("/a/", Some("/"), &[9, 3]);
        check("/a/", Some("/a/z"), &[]);
        check("", None, &[9, 3, 4, 1]);
        check("/c", None, &[]);
    }
}
