//! Many writers, watchers and lists at once: everybody sees one order, whole.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use kedge_store::{Backups, Body, Change, Entry, Options, ReadError, Retention, Store, Tier};

const WRITERS: usize = 8;
const WRITES: usize = 150;

fn open(dir: &std::path::Path, retention: Option<Retention>) -> Store {
    let defaults = Options::new(dir);
    Store::open(Options {
        recent_events: 16,
        watch_queue: 8,
        wal_pages: 64,
        retention: retention.unwrap_or(defaults.retention),
        backups: Backups { keep: 0, ..defaults.backups },
        ..defaults
    })
    .unwrap()
}

/// Eight tasks write: two of them to the volatile tier.
async fn write_a_lot(store: &Store) {
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let (tier, folder) = if writer < 2 { (Tier::Volatile, "v") } else { (Tier::Durable, "d") };
            let key = format!("/{folder}/{writer}");
            let mut held: Option<Arc<Entry>> = None;
            for i in 0..WRITES {
                let body = Body::plain(format!("{i}"));
                held = match held {
                    None => Some(store.create(tier, &key, body, Bytes::new()).await.unwrap()),
                    Some(entry) if i % 10 == 9 => {
                        store.delete(&key, entry.revision, body).await.unwrap();
                        None
                    }
                    Some(entry) => Some(store.update(&key, entry.revision, body, Bytes::new()).await.unwrap()),
                };
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_watcher_sees_every_write_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None);
    let from = store.revision();
    let mut watchers = Vec::new();
    for number in 0..20 {
        let prefix = ["/", "/d/", "/d/5", "/d/7"][number % 4];
        let mut watch = store.watch(prefix, from).unwrap();
        let writers = match prefix {
            "/" => WRITERS,
            "/d/" => WRITERS - 2,
            _ => 1,
        };
        watchers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < writers * WRITES {
                seen.extend(watch.next().await.unwrap());
                if number % 3 == 0 {
                    // A slow one: its queue of eight overflows again and again.
                    tokio::task::yield_now().await;
                }
            }
            assert!(seen.windows(2).all(|pair| pair[0].revision < pair[1].revision));
            let mut last: BTreeMap<Arc<str>, u64> = BTreeMap::new();
            for event in &seen {
                let known = match event.change {
                    Change::Deleted => last.remove(&event.entry.key),
                    _ => last.insert(event.entry.key.clone(), event.revision),
                };
                assert_eq!(event.previous.as_ref().map(|previous| previous.revision), known);
            }
        }));
    }
    write_a_lot(&store).await;
    for watcher in watchers {
        watcher.await.unwrap();
    }
    assert!(store.metrics().watchers == 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_of_one_revision_while_writes_and_compaction_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let defaults = Options::new(dir.path()).retention;
    let store = open(dir.path(), Some(Retention { min_events: 20, max_events: 40, ..defaults }));
    let lists = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut compacted = 0;
            loop {
                let all = store.list("/", None, None, 0).await.unwrap();
                // The same again in pages; compaction may overtake it, and says so.
                let (mut keys, mut after) = (Vec::new(), None::<Arc<str>>);
                let whole = loop {
                    match store.list("/", Some(all.revision), after.as_deref(), 2).await {
                        Ok(page) => {
                            keys.extend(page.entries.iter().map(|entry| (entry.key.clone(), entry.revision)));
                            after = keys.last().map(|(key, _)| key.clone());
                            if !page.more {
                                break true;
                            }
                        }
                        Err(ReadError::Compacted { .. }) => break false,
                        Err(error) => panic!("{error}"),
                    }
                };
                match whole {
                    true => {
                        let expected = all.entries.iter().map(|entry| (entry.key.clone(), entry.revision));
                        assert_eq!(keys, expected.collect::<Vec<_>>());
                    }
                    false => compacted += 1,
                }
                if all.revision >= (WRITERS * WRITES) as u64 {
                    return compacted;
                }
            }
        })
    };
    write_a_lot(&store).await;
    lists.await.unwrap();
    // Asked for in the middle of writes that do not end by themselves, it ends.
    let busy = {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                if store.create(Tier::Durable, "/d/busy", Body::plain("x"), Bytes::new()).await.is_ok() {
                    let there = store.get("/d/busy").await.unwrap().unwrap();
                    store.delete("/d/busy", there.revision, Body::plain("x")).await.unwrap();
                }
            }
        })
    };
    store.compact(store.revision()).await.unwrap();
    busy.abort();
    assert!(store.oldest() > 0 && store.metrics().compacted_rows > 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_get_shows_a_watch_from_there_does_not_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None);
    let writing = {
        let store = store.clone();
        tokio::spawn(async move { write_a_lot(&store).await })
    };
    while !writing.is_finished() {
        if let Some(entry) = store.get("/d/4").await.unwrap() {
            assert!(store.revision() >= entry.revision);
            drop(store.watch("/d/4", entry.revision).unwrap());
        }
    }
    writing.await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_is_never_older_than_a_write_that_was_acknowledged_before_it() {
    const KEYS: u64 = 12;
    // Everything is kept in memory, a part of it, nothing.
    for hot_bytes in [1 << 20, 1024, 0] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options { hot_bytes, ..Options::new(dir.path()) }).unwrap();
        let mut tasks = Vec::new();
        for key in 0..KEYS {
            let (store, key) = (store.clone(), format!("/d/{key}"));
            let acknowledged = Arc::new(AtomicU64::new(0));
            let (told, reader, read) = (acknowledged.clone(), store.clone(), key.clone());
            let reading = tokio::spawn(async move {
                loop {
                    let known = told.load(Ordering::Acquire);
                    if known == u64::MAX {
                        return;
                    }
                    let seen = reader.get(&read).await.unwrap().map_or(0, |entry| entry.revision);
                    // Nothing, after a deletion.
                    assert!(seen == 0 || seen >= known, "{read} at {seen} after {known}");
                    tokio::task::yield_now().await;
                }
            });
            tasks.push(tokio::spawn(async move {
                for round in 0..40 {
                    let body = || Body::plain(format!("{round}"));
                    let made = store.create(Tier::Durable, &key, body(), Bytes::new()).await.unwrap();
                    let updated = store.update(&key, made.revision, body(), Bytes::new()).await.unwrap();
                    acknowledged.store(updated.revision, Ordering::Release);
                    assert_eq!(store.get(&key).await.unwrap(), Some(updated.clone()));
                    store.delete(&key, updated.revision, body()).await.unwrap();
                    assert_eq!(store.get(&key).await.unwrap(), None);
                }
                acknowledged.store(u64::MAX, Ordering::Release);
                reading.await.unwrap();
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        store.close().await;
    }
}
