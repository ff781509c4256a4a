//! Decides which images go when the disk is short.
//!
//! In: records, sizes of layers, what is in use, how many bytes are wanted. Out: images to remove, in order.
//! Never names a pinned image or one in use, and never touches the disk.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::store::Record;

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// IDs of removed images.
    pub images: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}

/// An image that was asked for within `least` seconds may be about to be used. A use in the future is one before the
/// clock was set back: it says nothing.
fn is_young(used: u64, now: u64, least: u64) -> bool {
    now.checked_sub(used).is_some_and(|age| age < least)
}

/// The images to remove, least recently used first, until `want` bytes are free; a layer counts when its last image goes.
pub fn plan<'a>(
    images: impl Iterator<Item = &'a Record>,
    sizes: &BTreeMap<Digest, u64>,
    in_use: &BTreeSet<Digest>,
    (now, least_age): (u64, u64),
    want: u64,
) -> Vec<Digest> {
    let all: Vec<&Record> = images.collect();
    let mut users: BTreeMap<&Digest, usize> = BTreeMap::new();
    for layer in all.iter().flat_map(|r| r.layers.iter().collect::<BTreeSet<_>>()) {
        *users.entry(layer).or_default() += 1;
    }
    let mut free: Vec<&Record> =
        all.into_iter().filter(|r| !r.pinned && !in_use.contains(&r.id) && !is_young(r.used, now, least_age)).collect();
    free.sort_by(|a, b| (a.used, &a.id).cmp(&(b.used, &b.id)));
    let mut chosen = Vec::new();
    let mut freed = 0;
    for record in free {
        if freed >= want {
            break;
        }
        for layer in record.layers.iter().collect::<BTreeSet<_>>() {
            if let Some(count) = users.get_mut(layer) {
                *count -= 1;
                if *count == 0 {
                    freed += sizes.get(layer).copied().unwrap_or(0);
                }
            }
        }
        chosen.push(record.id.clone());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Images as `name used layer,layer [pinned]`; layers are of 10 bytes each.
    #[track_caller]
    fn check(images: &[&str], in_use: &[&str], want: u64, expected: &[&str]) {
        let digest = |name: &str| Digest::of(name.as_bytes());
        let records: Vec<Record> = images
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                Record {
                    id: digest(words[0]),
                    tags: BTreeSet::new(),
                    digests: Vec::new(),
                    layers: words[2].split(',').map(digest).collect(),
                    config: Default::default(),
                    config_size: 0,
                    pinned: words.get(3).is_some(),
                    used: words[1].parse().unwrap(),
                }
            })
            .collect();
        let sizes = records.iter().flat_map(|r| r.layers.clone()).map(|l| (l, 10)).collect();
        let got = plan(records.iter(), &sizes, &in_use.iter().map(|n| digest(n)).collect(), (1000, 120), want);
        assert_eq!(got, expected.iter().map(|n| digest(n)).collect::<Vec<_>>());
    }

    #[test]
    fn the_least_recently_used_goes_first_and_no_more_than_needed() {
        check(&["a 5 l1", "b 3 l2", "c 4 l3"], &[], 15, &["b", "c"]);
        check(&["a 5 l1", "b 3 l2"], &[], 0, &[]);
        check(&["a 5 l1", "b 3 l2"], &[], 1000, &["b", "a"]);
    }

    #[test]
    fn pinned_and_used_images_stay() {
        check(&["a 1 l1 pinned", "b 2 l2", "c 3 l3"], &["b"], 1000, &["c"]);
    }

    #[test]
    fn an_image_that_was_just_asked_for_stays() {
        check(&["young 999 l1", "edge 881 l2", "old 880 l3", "future 1001 l4"], &[], 1000, &["old", "future"]);
    }

    #[test]
    fn a_shared_layer_counts_only_when_its_last_image_goes() {
        check(&["a 1 base,l1", "b 2 base,l2", "c 3 l3"], &[], 20, &["a", "b"]);
        check(&["a 1 base", "b 2 base", "c 3 l3"], &["b"], 10, &["a", "c"]);
    }
}
