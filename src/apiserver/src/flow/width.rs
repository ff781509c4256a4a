//! How many seats a request takes: a list of much takes more than one, as Kubernetes estimates it.
//!
//! In: what is asked, and how large its collection was when it was last read whole. Out: a number of seats, before its
//! level cuts it. A watch that begins with everything there is counts as the list it begins with. What was never
//! listed is taken for small. Reads nothing itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kedge_store::Entry;

use crate::query::ListOptions;
use crate::request::{RequestInfo, Verb};

/// A seat is worth so many bytes held at once, as in Kubernetes.
const BYTES_OF_SEAT: u64 = 100_000;
/// No list takes more seats than this, as in Kubernetes.
pub const MOST: usize = 100;
/// Collections whose sizes are remembered: every kind in a few namespaces. About 100 bytes each.
const COLLECTIONS: usize = 1024;

/// How large collections were when they were last read whole.
#[derive(Debug, Default)]
pub struct Sizes(Mutex<HashMap<Box<str>, Size>>);

/// Objects and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// How many objects there are.
    pub objects: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Size {
    /// With one more.
    #[must_use]
    pub fn and(self, entry: &Entry) -> Size {
        Size { objects: self.objects + 1, bytes: self.bytes + entry.bytes.len() as u64 }
    }
}

impl Sizes {
    /// A collection was read whole.
    pub fn note(&self, collection: &str, size: Size) {
        let mut sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sizes.get_mut(collection) {
            *known = size;
            return;
        }
        // What fits a seat needs no memory.
        if size.bytes <= BYTES_OF_SEAT {
            return;
        }
        if sizes.len() >= COLLECTIONS
            && let Some(any) = sizes.keys().next().cloned()
        {
            sizes.remove(&any);
        }
        sizes.insert(collection.into(), size);
    }

    /// How large it was.
    pub fn get(&self, collection: &str) -> Size {
        let sizes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.get(collection).copied().unwrap_or_default()
    }
}

/// Whether a request reads a collection.
pub fn reads_collection(info: &RequestInfo, options: &ListOptions) -> bool {
    let from_now = options.send_initial_events == Some(false)
        || options.send_initial_events.is_none()
            && options.resource_version.as_deref().is_some_and(|version| version != "0");
    match info.verb {
        Verb::List => info.name.is_empty(),
        Verb::Watch => info.name.is_empty() && !from_now,
        _ => false,
    }
}

/// The seats that reading a collection takes.
pub fn of_list(size: Size, options: &ListOptions) -> usize {
    let limited = if options.limit > 0 { options.limit.min(size.objects) } else { size.objects };
    let selects = !options.label_selector.is_empty() || !options.field_selector.is_empty();
    let read = if selects { limited.max(size.objects / 2) } else { limited };
    let bytes = u128::from(size.bytes) * u128::from(read) / u128::from(size.objects.max(1));
    let seats = bytes.div_ceil(u128::from(BYTES_OF_SEAT));
    usize::try_from(seats).unwrap_or(MOST).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    /// A thousand objects of a thousand bytes: ten seats.
    #[track_caller]
    fn check(path: &str, query: &str, expected: Option<usize>) {
        let query = Query::parse(query);
        let info = crate::request::parse(&http::Method::GET, path, &query);
        let options = ListOptions::parse(&query).unwrap();
        let size = Size { objects: 1000, bytes: 1_000_000 };
        let seen = reads_collection(&info, &options).then(|| of_list(size, &options));
        assert_eq!(seen, expected, "{path} {query:?}");
    }

    #[test]
    fn what_is_read_is_counted() {
        let pods = "/api/v1/pods";
        check(pods, "", Some(10));
        check(pods, "limit=500", Some(5));
        check(pods, "limit=100", Some(1));
        check(pods, "limit=100&labelSelector=a%3Db", Some(5));
        check(pods, "fieldSelector=metadata.name%3Da", None);
        check(pods, "watch=true", Some(10));
        check(pods, "watch=true&resourceVersion=0", Some(10));
        check(pods, "watch=true&resourceVersion=5", None);
        check(pods, "watch=true&resourceVersion=5&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", Some(10));
        check("/api/v1/namespaces/a/pods/b", "", None);
        assert_eq!(of_list(Size::default(), &ListOptions::default()), 1);
        assert_eq!(of_list(Size { objects: 1, bytes: u64::MAX }, &ListOptions::default()), MOST);
    }

    #[test]
    fn sizes_are_remembered_while_they_matter() {
        let sizes = Sizes::default();
        sizes.note("a", Size { objects: 1, bytes: 10 });
        assert_eq!(sizes.get("a"), Size::default());
        let large = Size { objects: 1, bytes: BYTES_OF_SEAT + 1 };
        sizes.note("a", large);
        assert_eq!(sizes.get("a"), large);
        sizes.note("a", Size::default());
        assert_eq!(sizes.get("a"), Size::default());
        for at in 0..2 * COLLECTIONS {
            sizes.note(&at.to_string(), large);
        }
        assert_eq!(sizes.0.lock().unwrap().len(), COLLECTIONS);
    }
}
