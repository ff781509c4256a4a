//! How many keys there are below each folder, without looking at them.
//!
//! In: keys as they come and go, from the lock that makes them visible. Out: counts, now. A folder is a key up to one of
//! its slashes. Never knows a past: what there was at an older revision is for `log.rs`. Bounded by the keys: a folder
//! without any is forgotten.

use std::collections::HashMap;

/// See the module.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Counts {
    folders: HashMap<Box<str>, u64>,
    all: u64,
}

impl Counts {
    /// `count` keys more in the folder of this one.
    pub(crate) fn add(&mut self, key: &str, count: u64) {
        if count == 0 {
            return;
        }
        self.all += count;
        for folder in folders(key) {
            match self.folders.get_mut(folder) {
                Some(known) => *known += count,
                None => {
                    self.folders.insert(folder.into(), count);
                }
            }
        }
    }

    /// One key less.
    pub(crate) fn remove(&mut self, key: &str) {
        self.all = self.all.saturating_sub(1);
        for folder in folders(key) {
            match self.folders.get_mut(folder) {
                Some(known) if *known > 1 => *known -= 1,
                _ => {
                    self.folders.remove(folder);
                }
            }
        }
    }

    /// How many keys start with the prefix; unknown for one that is no folder.
    pub(crate) fn below(&self, prefix: &str) -> Option<u64> {
        match prefix {
            "" => Some(self.all),
            _ if prefix.ends_with('/') => Some(self.folders.get(prefix).copied().unwrap_or(0)),
            _ => None,
        }
    }
}

/// Every folder a key is in, the largest first.
fn folders(key: &str) -> impl Iterator<Item = &str> {
    key.match_indices('/').map(|(slash, _)| &key[..=slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counts: &Counts, prefix: &str, expected: Option<u64>) {
        assert_eq!(counts.below(prefix), expected, "{prefix:?}");
    }

    #[test]
    fn every_folder_knows_what_is_below_it() {
        let mut counts = Counts::default();
        for key in ["/core/pods/a/x", "/core/pods/a/y", "/core/pods/b/x", "/core/nodes/n"] {
            counts.add(key, 1);
        }
        check(&counts, "", Some(4));
        check(&counts, "/", Some(4));
        check(&counts, "/core/pods/", Some(3));
        check(&counts, "/core/pods/a/", Some(2));
        check(&counts, "/core/nodes/", Some(1));
        check(&counts, "/apps/", Some(0));
        check(&counts, "/core/pods/a", None);
        counts.remove("/core/pods/a/x");
        counts.remove("/core/nodes/n");
        check(&counts, "/core/pods/a/", Some(1));
        check(&counts, "/core/nodes/", Some(0));
        check(&counts, "", Some(2));
    }

    #[test]
    fn nothing_is_kept_of_folders_that_are_empty() {
        let mut counts = Counts::default();
        counts.add("/a/b/c", 2);
        counts.remove("/a/b/c");
        counts.remove("/a/b/d");
        assert_eq!(counts, Counts::default());
    }
}
