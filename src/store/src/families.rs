//! Which folders of the key space have held volatile keys.
//!
//! In: volatile keys, and at open what was known before. Out: whether a prefix may have lost events with the last
//! process. Bounded: many sibling folders become their parent. Never forgets, so it may only err towards "yes".

use std::collections::BTreeSet;

/// A few dozen resources and namespaces; above this, siblings are merged.
const FOLDERS: usize = 64;

/// A set of folders; a folder is a key up to its last slash.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Families {
    folders: BTreeSet<String>,
}

impl Families {
    pub(crate) fn new(folders: Vec<String>) -> Self {
        Self { folders: folders.into_iter().collect() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.folders.iter().map(String::as_str)
    }

    /// Whether keys below `prefix` may be volatile.
    pub(crate) fn touches(&self, prefix: &str) -> bool {
        self.folders.iter().any(|folder| folder.starts_with(prefix) || prefix.starts_with(folder.as_str()))
    }

    /// Whether the key's folder is known.
    pub(crate) fn holds(&self, key: &str) -> bool {
        let mut folder = folder(key);
        loop {
            if self.folders.contains(folder) {
                return true;
            }
            match folder {
                "" => return false,
                _ => folder = parent(folder),
            }
        }
    }

    /// Adds the key's folder.
    pub(crate) fn add(&mut self, key: &str) {
        self.folders.insert(folder(key).to_owned());
        while self.folders.len() > FOLDERS {
            let deepest = self.folders.iter().map(|folder| depth(folder)).max().unwrap_or(0);
            let merged = self.folders.iter().map(|folder| match depth(folder) == deepest {
                true => parent(folder).to_owned(),
                false => folder.clone(),
            });
            self.folders = merged.collect();
        }
    }
}

fn folder(key: &str) -> &str {
    key.rfind('/').map_or("", |slash| &key[..=slash])
}

fn parent(folder: &str) -> &str {
    self::folder(folder.strip_suffix('/').unwrap_or(""))
}

fn depth(folder: &str) -> usize {
    folder.matches('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[&str], prefix: &str, expected: bool) {
        let mut families = Families::default();
        keys.iter().for_each(|key| families.add(key));
        assert_eq!(families.touches(prefix), expected, "{families:?}");
        assert!(keys.iter().all(|key| families.holds(key)));
    }

    #[test]
    fn a_prefix_is_touched_from_above_and_from_below() {
        check(&["/leases/a/x"], "/leases/", true);
        check(&["/leases/a/x"], "/leases/a/", true);
        check(&["/leases/a/x"], "/leases/a/y", true);
        check(&["/leases/a/x"], "/leases/b/", false);
        check(&["/leases/a/x"], "/pods/", false);
        check(&["/leases/a/x"], "", true);
        check(&[], "", false);
        check(&["x"], "/anything", true);
    }

    #[test]
    fn many_siblings_become_their_parent() {
        let mut families = Families::default();
        families.add("/leases/node/a");
        for i in 0..200 {
            families.add(&format!("/events/core/ns{i}/e"));
        }
        assert!(families.folders.len() <= FOLDERS);
        assert!(families.touches("/events/core/ns7/") && families.touches("/leases/node/"));
        assert!(!families.touches("/pods/"));
    }
}
