//! Random histories against a plain map: every answer of the store must be the map's.
//!
//! Bounds are tiny, so that queues overflow, memory does not reach back, and compaction bites.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use kedge_store::{Backups, Body, Change, Options, ReadError, Store, Tier, Watch, WatchError, WriteError};
use proptest::prelude::*;

const RECENT: usize = 4;
const QUEUE: usize = 3;
const VOLATILE_EVENTS: usize = 8;
const PREFIXES: [&str; 5] = ["", "/d/", "/d/1", "/v/", "/none/"];

#[derive(Debug, Clone)]
enum Step {
    /// Writes key number `.0`: makes it or, if it is there, changes it.
    Put(usize),
    /// Removes key number `.0`, if it is there.
    Remove(usize),
    /// Tries to write with a revision that is not the key's.
    Stale(usize),
    /// Lists a prefix as it was so many revisions ago, in pages of so many.
    List(usize, u64, usize),
    /// Begins a watch of a prefix so many revisions ago.
    Watch(usize, u64),
    /// Reads all watches up to now.
    Drain,
    /// Forgets all but so many revisions.
    Compact(u64),
    /// Closes the store and opens it again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..8usize).prop_map(Step::Put),
        4 => (0..8usize).prop_map(Step::Remove),
        1 => (0..8usize).prop_map(Step::Stale),
        4 => (0..PREFIXES.len(), 0..12u64, 1..5usize).prop_map(|(prefix, back, limit)| Step::List(prefix, back, limit)),
        3 => (0..PREFIXES.len(), 0..16u64).prop_map(|(prefix, back)| Step::Watch(prefix, back)),
        3 => Just(Step::Drain),
        1 => (0..12u64).prop_map(Step::Compact),
        1 => Just(Step::Reopen),
    ]
}

/// Keys 0 to 4 are durable, 5 to 7 volatile.
fn key(number: usize) -> (Tier, String) {
    if number < 5 { (Tier::Durable, format!("/d/{number}")) } else { (Tier::Volatile, format!("/v/{number}")) }
}

#[derive(Debug, Clone, PartialEq)]
struct Held {
    bytes: Vec<u8>,
    revision: u64,
    created: u64,
}

#[derive(Debug, Clone, PartialEq)]
struct Happened {
    revision: u64,
    change: Change,
    key: String,
    now: Held,
    before: Option<Held>,
}

#[derive(Default)]
struct Model {
    keys: BTreeMap<String, Held>,
    past: BTreeMap<u64, BTreeMap<String, Held>>,
    events: Vec<Happened>,
    revision: u64,
    compacted: u64,
    born: u64,
    has_volatile: bool,
}

impl Model {
    fn record(&mut self, change: Change, key: &str, now: Held) {
        let before = match change {
            Change::Deleted => self.keys.remove(key),
            _ => self.keys.insert(key.to_owned(), now.clone()),
        };
        self.revision = now.revision;
        self.has_volatile |= key.starts_with("/v/");
        self.past.insert(self.revision, self.keys.clone());
        self.events.push(Happened { revision: now.revision, change, key: key.to_owned(), now, before });
    }

    fn at(&self, revision: u64) -> &BTreeMap<String, Held> {
        self.past.range(..=revision).next_back().expect("there is a beginning").1
    }

    fn touches(&self, prefix: &str) -> bool {
        self.has_volatile && "/v/".starts_with(prefix)
    }

    /// Whether the store must, and whether it may, say that this revision is too old.
    fn is_too_old(&self, prefix: &str, revision: u64) -> (bool, bool) {
        let must = revision < self.compacted || self.touches(prefix) && revision < self.born;
        let volatile = self.events.iter().filter(|event| event.revision > revision && event.key.starts_with("/v/"));
        (must, must || self.touches(prefix) && volatile.count() > VOLATILE_EVENTS)
    }

    fn after(&self, prefix: &str, revision: u64) -> Vec<Happened> {
        let events = self.events.iter().filter(|event| event.revision > revision && event.key.starts_with(prefix));
        events.cloned().collect()
    }
}

struct Following {
    prefix: &'static str,
    reached: u64,
    watch: Watch,
}

struct Trial {
    dir: tempfile::TempDir,
    store: Option<Store>,
    model: Model,
    watches: Vec<Following>,
}

impl Trial {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(open(dir.path()));
        let mut model = Model::default();
        model.past.insert(0, BTreeMap::new());
        Self { dir, store, model, watches: Vec::new() }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put(number) => self.put(number).await,
            Step::Remove(number) => self.remove(number).await,
            Step::Stale(number) => self.stale(number).await,
            Step::List(prefix, back, limit) => self.list(PREFIXES[prefix], back, limit).await,
            Step::Watch(prefix, back) => self.watch(PREFIXES[prefix], back),
            Step::Drain => self.drain().await,
            Step::Compact(keep) => {
                let to = self.model.revision.saturating_sub(keep);
                self.store().compact(to).await.unwrap();
                self.model.compacted = self.model.compacted.max(to);
                assert_eq!(self.store().oldest(), self.model.compacted);
            }
            Step::Reopen => {
                self.watches.clear();
                self.store.take().unwrap().close().await;
                let store = open(self.dir.path());
                assert!(store.report().clean && store.report().recovered.is_none());
                assert_eq!(store.revision(), self.model.revision);
                self.model.keys.retain(|key, _| !key.starts_with("/v/"));
                self.model.past.insert(self.model.revision, self.model.keys.clone());
                self.model.born = self.model.revision;
                self.store = Some(store);
            }
        }
        assert_eq!(self.store().revision(), self.model.revision);
    }

    async fn put(&mut self, number: usize) {
        let (tier, key) = key(number);
        let body = Body::stamped_at(&b"<>"[..], 1);
        let index = Bytes::from(key.clone());
        let (change, entry) = match self.model.keys.get(&key) {
            None => (Change::Created, self.store().create(tier, &key, body, index).await.unwrap()),
            Some(held) => {
                let again = self.store().create(tier, &key, body.clone(), index.clone()).await;
                let there = matches!(again, Err(WriteError::Exists(there)) if there.revision == held.revision);
                assert!(there, "{key}");
                (Change::Updated, self.store().update(&key, held.revision, body, index).await.unwrap())
            }
        };
        assert!(entry.revision > self.model.revision);
        assert_eq!(entry.bytes, format!("<{}>", entry.revision).as_bytes());
        let created = self.model.keys.get(&key).map_or(entry.revision, |held| held.created);
        let now = Held { bytes: entry.bytes.to_vec(), revision: entry.revision, created };
        self.model.record(change, &key, now);
    }

    async fn remove(&mut self, number: usize) {
        let (_, key) = key(number);
        let expected = self.model.keys.get(&key).map_or(1, |held| held.revision);
        let result = self.store().delete(&key, expected, Body::stamped_at(&b"gone "[..], 5)).await;
        match self.model.keys.get(&key) {
            None => assert!(matches!(result, Err(WriteError::NotFound)), "{result:?}"),
            Some(held) => {
                let entry = result.unwrap();
                let now = Held { bytes: entry.bytes.to_vec(), revision: entry.revision, created: held.created };
                assert_eq!(entry.bytes, format!("gone {}", entry.revision).as_bytes());
                self.model.record(Change::Deleted, &key, now);
            }
        }
    }

    async fn stale(&mut self, number: usize) {
        let (_, key) = key(number);
        let expected = self.model.keys.get(&key).map_or(1, |held| held.revision + 1);
        let result = self.store().update(&key, expected, Body::plain("no"), Bytes::new()).await;
        match self.model.keys.get(&key) {
            None => assert!(matches!(result, Err(WriteError::NotFound))),
            Some(held) => {
                assert!(matches!(result, Err(WriteError::Conflict(there)) if there.revision == held.revision));
            }
        }
        let found = self.store().get(&key).await.unwrap().map(|entry| entry.revision);
        assert_eq!(found, self.model.keys.get(&key).map(|held| held.revision));
    }

    async fn list(&mut self, prefix: &'static str, back: u64, limit: usize) {
        let at = self.model.revision.saturating_sub(back);
        let asked = (back > 0).then_some(at);
        let (must, may) = if back > 0 { self.model.is_too_old(prefix, at) } else { (false, false) };
        let expected: Vec<_> = self
            .model
            .at(at)
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(k, h)| (k.clone(), h.clone()))
            .collect();
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = match self.store().list(prefix, asked, after.as_deref(), limit).await {
                Ok(page) => page,
                Err(ReadError::Compacted { oldest }) => {
                    assert!(may && oldest > at, "{prefix} at {at}, oldest {oldest}");
                    return;
                }
                Err(error) => panic!("{error}"),
            };
            assert!(!must, "{prefix} at {at} is too old");
            assert_eq!(page.revision, at);
            found.extend(page.entries.iter().map(|entry| {
                assert!(entry.bytes.starts_with(b"<") && entry.index == entry.key.as_bytes());
                let held = Held { bytes: entry.bytes.to_vec(), revision: entry.revision, created: entry.created };
                (entry.key.to_string(), held)
            }));
            let rest = (expected.len() - found.len()) as u64;
            assert_eq!(page.more, rest > 0);
            assert!(page.remaining.is_none_or(|remaining| remaining == rest), "{:?}, not {rest}", page.remaining);
            // Known at once where the whole folder is looked at as it is now, and where nothing follows.
            let is_first = after.is_none() && prefix.ends_with('/') && at == self.store().revision();
            assert!(page.remaining.is_some() || page.more && !is_first);
            if let Some((last, _)) = found.last() {
                match self.store().rest(prefix, Some(at), Some(last)).await {
                    Ok(counted) => assert_eq!(counted, rest),
                    Err(error) => assert!(matches!(error, ReadError::Compacted { .. }), "{error}"),
                }
            }
            if !page.more {
                break;
            }
            after = found.last().map(|(key, _)| key.clone());
        }
        assert_eq!(found, expected);
        if back == 0 {
            assert_eq!(self.store().count(prefix).await.unwrap(), expected.len() as u64);
        }
    }

    fn watch(&mut self, prefix: &'static str, back: u64) {
        let from = self.model.revision.saturating_sub(back);
        let (must, may) = self.model.is_too_old(prefix, from);
        match self.store().watch(prefix, from) {
            Ok(watch) => {
                // Recent events may reach back further than compaction; then nothing is lost either.
                let in_memory = self.model.events.iter().filter(|event| event.revision > from).count() <= RECENT;
                assert!(!must || in_memory, "{prefix} from {from} is too old");
                self.watches.push(Following { prefix, reached: from, watch });
            }
            Err(WatchError::Compacted { .. }) => assert!(may, "{prefix} from {from}"),
            Err(error) => panic!("{error}"),
        }
    }

    async fn drain(&mut self) {
        let mut kept = Vec::new();
        for mut following in std::mem::take(&mut self.watches) {
            if self.read(&mut following).await {
                kept.push(following);
            }
        }
        self.watches = kept;
    }

    /// Reads a watch up to now. Out: whether it goes on.
    async fn read(&self, following: &mut Following) -> bool {
        let mut expected = self.model.after(following.prefix, following.reached).into_iter();
        while expected.len() > 0 {
            // An event that never comes is a fault, not a reason to wait for ever.
            let next = tokio::time::timeout(Duration::from_secs(30), following.watch.next());
            let events = match next.await.expect("an event is missing") {
                Ok(events) => events,
                Err(WatchError::Compacted { .. }) => {
                    let (_, may) = self.model.is_too_old(following.prefix, following.reached);
                    assert!(may, "{} after {}", following.prefix, following.reached);
                    return false;
                }
                Err(error) => panic!("{error}"),
            };
            assert!(!events.is_empty());
            for event in events {
                let held = |entry: &kedge_store::Entry| Held {
                    bytes: entry.bytes.to_vec(),
                    revision: entry.revision,
                    created: entry.created,
                };
                let found = Happened {
                    revision: event.revision,
                    change: event.change,
                    key: event.entry.key.to_string(),
                    now: held(&event.entry),
                    before: event.previous.as_deref().map(held),
                };
                assert_eq!(Some(&found), expected.next().as_ref());
                following.reached = event.revision;
            }
        }
        let progress = following.watch.progress();
        assert!((following.reached..=self.model.revision).contains(&progress));
        true
    }
}

fn open(dir: &std::path::Path) -> Store {
    let defaults = Options::new(dir);
    Store::open(Options {
        recent_events: RECENT,
        watch_queue: QUEUE,
        // A few entries: some gets are served from memory, others are not.
        hot_bytes: 2048,
        volatile_events: VOLATILE_EVENTS,
        wal_pages: 32,
        backups: Backups { keep: 0, ..defaults.backups },
        ..defaults
    })
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_maps(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut trial = Trial::new();
            for step in steps {
                trial.take(step).await;
            }
            trial.take(Step::Drain).await;
            trial.take(Step::Reopen).await;
            trial.take(Step::List(0, 0, 2)).await;
        });
    }
}
