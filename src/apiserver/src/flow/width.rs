//! How many seats a request takes, and for how long after its end: a list of much takes more than one, and so does a
//! write that many watch, as Kubernetes estimates it.
//!
//! In: what is asked, how large its collection was when it was last read whole, how many will be told. Out: seats, before
//! the level cuts them. A watch that begins with everything there is counts as the list it begins with. What was never
//! listed is taken for small. Reads nothing itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kedge_store::Entry;

use crate::query::ListOptions;
use crate::request::{RequestInfo, Verb};

/// A seat is worth so many bytes held at once, as in Kubernetes.
const BYTES_OF_SEAT: u64 = 100_000;
/// No list takes more seats than this, as in Kubernetes.
pub const MOST: usize = 100;
/// A watch that begins with what there is holds no more of it at once, since it leaves in pieces, as in Kubernetes.
const BYTES_OF_WATCH: u64 = 1_000_000;
/// Watchers whose telling takes a seat for [`TELLING`]; fewer are not worth counting, as in Kubernetes.
const WATCHERS_OF_SEAT: usize = 10;
/// How long a seat is taken by the watchers it is worth.
const TELLING: Duration = Duration::from_millis(5);
/// No write takes more seats than this, as in Kubernetes: many watchers make it longer instead.
const MOST_OF_WRITE: usize = 10;
/// Collections whose sizes are remembered: every kind in a few namespaces. About 100 bytes each.
const COLLECTIONS: usize = 1024;

/// What a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Work {
    /// Seats; 0 for what flow control leaves alone.
    pub seats: usize,
    /// How long they stay taken after the answer: as long as the watchers of what was written take to be told.
    pub after: Duration,
}

impl Work {
    /// Nothing that counts.
    pub const NONE: Work = Work::of(0);
    /// What most requests take.
    pub const ONE: Work = Work::of(1);

    /// So many seats until the answer is there.
    pub const fn of(seats: usize) -> Work {
        Work { seats, after: Duration::ZERO }
    }

    /// The same on fewer seats: as much longer afterwards.
    #[must_use]
    pub fn within(self, most: usize) -> Work {
        let seats = self.seats.clamp(1, most.max(1));
        let factor = u32::try_from(self.seats).unwrap_or(u32::MAX);
        let after = self.after.saturating_mul(factor) / u32::try_from(seats).unwrap_or(u32::MAX);
        if self.seats > seats { Work { seats, after } } else { Work { seats, ..self } }
    }
}

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

/// The seats that the begin of a watch takes, when it begins with everything there is.
pub fn of_watch(size: Size) -> usize {
    usize::try_from(size.bytes.min(BYTES_OF_WATCH).div_ceil(BYTES_OF_SEAT)).unwrap_or(MOST).max(1)
}

/// What a write takes of which so many will be told.
pub fn of_write(watchers: usize) -> Work {
    if watchers < WATCHERS_OF_SEAT {
        return Work::ONE;
    }
    Work { seats: watchers.div_ceil(WATCHERS_OF_SEAT), after: TELLING }.within(MOST_OF_WRITE)
}

/// Whether a request writes what watchers are told of. Whoever asks for a token changes nothing.
pub fn is_told(info: &RequestInfo) -> bool {
    let token = info.resource == "serviceaccounts" && info.subresource == "token";
    info.resource_request && !token && matches!(info.verb, Verb::Create | Verb::Update | Verb::Patch | Verb::Delete)
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
        let seen = reads_collection(&info, &options).then(|| match info.verb {
            Verb::Watch => of_watch(size),
            _ => of_list(size, &options),
        });
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
    fn a_watch_holds_no_more_than_its_pieces() {
        check("/api/v1/pods", "watch=true&labelSelector=a%3Db", Some(10));
        for (bytes, seats) in [(0, 1), (1, 1), (250_000, 3), (1_000_000, 10), (u64::MAX, 10)] {
            assert_eq!(of_watch(Size { objects: 1000, bytes }), seats, "{bytes}");
        }
    }

    #[test]
    fn whoever_tells_many_takes_more_and_longer() {
        for (watchers, seats, micros) in
            [(0, 1, 0), (9, 1, 0), (10, 1, 5000), (11, 2, 5000), (100, 10, 5000), (150, 10, 7500), (1000, 10, 50_000)]
        {
            let expected = Work { seats, after: Duration::from_micros(micros) };
            assert_eq!(of_write(watchers), expected, "{watchers}");
        }
        // A level that lets a request have fewer has it longer.
        let wide = Work { seats: 10, after: TELLING };
        assert_eq!(wide.within(4), Work { seats: 4, after: Duration::from_micros(12_500) });
        assert_eq!(wide.within(20), wide);
        assert_eq!(Work::of(7).within(3), Work::of(3));
    }

    #[track_caller]
    fn told(method: http::Method, path: &str, expected: bool) {
        assert_eq!(is_told(&crate::request::parse(&method, path, &Query::parse(""))), expected, "{method} {path}");
    }

    #[test]
    fn writes_of_objects_are_told() {
        use http::Method;
        told(Method::POST, "/api/v1/namespaces/a/pods", true);
        told(Method::PATCH, "/api/v1/namespaces/a/pods/b/status", true);
        told(Method::DELETE, "/api/v1/namespaces/a/pods/b", true);
        // Which of them there are is not known.
        told(Method::DELETE, "/api/v1/namespaces/a/pods", false);
        told(Method::GET, "/api/v1/namespaces/a/pods/b", false);
        told(Method::POST, "/api/v1/namespaces/a/serviceaccounts/b/token", false);
        told(Method::POST, "/version", false);
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
