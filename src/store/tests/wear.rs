//! What reaches the disk, and what does not.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kedge_store::{Backups, Body, Op, Options, Retention, Store, Tier};

fn options(dir: &Path) -> Options {
    let defaults = Options::new(dir);
    Options { wal_pages: 64, backups: Backups { keep: 0, ..defaults.backups }, ..defaults }
}

/// Changes one key `times` times, a hundred to a commit.
async fn churn(store: &Store, key: &str, times: usize) {
    let body = || Body::plain(vec![b'x'; 1000]);
    let mut revision = store.create(Tier::Durable, key, body(), Bytes::new()).await.unwrap().revision;
    for _ in 0..times / 100 {
        let ops =
            (0..100).map(|i| Op::Update { key: key.into(), expected: revision + i, body: body(), index: Bytes::new() });
        revision = store.apply(ops.collect()).await.unwrap().last().unwrap().revision;
    }
}

#[tokio::test]
async fn volatile_writes_and_refused_writes_do_not_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    let mut lease = store.create(Tier::Volatile, "/leases/a", Body::plain("0"), Bytes::new()).await.unwrap();
    let written = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
    let before = ["store.db", "store.db-wal", "revision"].map(written);
    let commits = store.metrics().commits;
    for _ in 0..1000 {
        lease = store.update("/leases/a", lease.revision, Body::plain("1"), Bytes::new()).await.unwrap();
    }
    store.update("/none", 1, Body::plain("1"), Bytes::new()).await.unwrap_err();
    assert_eq!(store.metrics().commits, commits);
    assert_eq!(["store.db", "store.db-wal", "revision"].map(written), before);
    store.close().await;
}

#[tokio::test]
async fn the_log_and_the_database_stay_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut tight = options(dir.path());
    tight.retention = Retention { min_events: 50, max_events: 200, ..tight.retention };
    let store = Store::open(tight).unwrap();
    churn(&store, "/a", 20_000).await;
    let metrics = store.metrics();
    assert!(metrics.compacted_rows > 19_000, "{metrics:?}");
    // 200 events of 1 KB and what one commit of 100 adds to the log beyond its 64 pages.
    assert!(metrics.database_bytes < 4 << 20, "{metrics:?}");
    assert!(metrics.wal_bytes < 2 << 20, "{metrics:?}");
    store.close().await;
}

#[tokio::test]
async fn pages_that_compaction_frees_go_back_to_the_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(options(dir.path())).unwrap();
    churn(&store, "/a", 10_000).await;
    let full = store.metrics().database_bytes;
    assert!(full > 8 << 20, "{full}");
    store.compact(store.revision()).await.unwrap();
    // Free pages go back a few at a time, while writes go on.
    for round in 0..60 {
        churn(&store, &format!("/b{round}"), 100).await;
        store.compact(store.revision()).await.unwrap();
    }
    store.close().await;
    let left = std::fs::metadata(dir.path().join("store.db")).unwrap().len();
    assert!(left < full / 2, "{left} of {full}");
}

#[tokio::test]
async fn history_goes_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let (begun, seconds) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let now = seconds.clone();
    let mut aged = options(dir.path());
    aged.clock = Arc::new(move || begun + Duration::from_secs(now.load(Ordering::Relaxed)));
    aged.retention = Retention { age: Duration::from_secs(600), min_events: 10, ..aged.retention };
    let store = Store::open(aged).unwrap();
    churn(&store, "/a", 300).await;
    let then = store.revision();
    seconds.store(599, Ordering::Relaxed);
    churn(&store, "/b", 0).await;
    assert_eq!(store.oldest(), 0);
    seconds.store(700, Ordering::Relaxed);
    churn(&store, "/c", 100).await;
    churn(&store, "/d", 0).await;
    assert!(store.oldest() > 0 && store.oldest() <= then, "{} {then}", store.oldest());
    store.close().await;
}
