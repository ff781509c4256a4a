//! The store as its callers see it.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kedge_store::{Backups, Body, Change, Event, OpenError, Options, ReadError, Store, Tier, WatchError, WriteError};

fn options(dir: &std::path::Path) -> Options {
    Options { backups: Backups { keep: 0, every: Duration::ZERO, first: Duration::ZERO }, ..Options::new(dir) }
}

fn open(dir: &std::path::Path) -> Store {
    Store::open(options(dir)).expect("the store opens")
}

async fn put(store: &Store, key: &str, text: &str) -> u64 {
    let body = Body::plain(text.as_bytes().to_vec());
    match store.create(Tier::Durable, key, body.clone(), Bytes::new()).await {
        Ok(entry) => entry.revision,
        Err(WriteError::Exists(there)) => store.update(key, there.revision, body, Bytes::new()).await.unwrap().revision,
        Err(e) => panic!("{e}"),
    }
}

async fn volatile(store: &Store, key: &str, text: &str) -> u64 {
    let body = Body::plain(text.as_bytes().to_vec());
    match store.create(Tier::Volatile, key, body.clone(), Bytes::new()).await {
        Ok(entry) => entry.revision,
        Err(WriteError::Exists(there)) => store.update(key, there.revision, body, Bytes::new()).await.unwrap().revision,
        Err(e) => panic!("{e}"),
    }
}

async fn keys(store: &Store, prefix: &str, at: Option<u64>) -> Vec<String> {
    let page = store.list(prefix, at, None, usize::MAX).await.unwrap();
    page.entries.iter().map(|e| format!("{}={}", e.key, String::from_utf8_lossy(&e.bytes))).collect()
}

fn told(events: &[Arc<Event>]) -> Vec<String> {
    let sign = |change| match change {
        Change::Created => '+',
        Change::Updated => '~',
        Change::Deleted => '-',
    };
    events.iter().map(|e| format!("{}{}", sign(e.change), e.entry.key)).collect()
}

#[tokio::test]
async fn writes_compare_and_are_stamped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let body = Body::stamped_at(&b"rv="[..], 3);
    let made = store.create(Tier::Durable, "/a/b/c", body.clone(), Bytes::from_static(b"i")).await.unwrap();
    assert_eq!(made.bytes, format!("rv={}", made.revision).as_bytes());
    assert!(matches!(
        store.create(Tier::Durable, "/a/b/c", body.clone(), Bytes::new()).await,
        Err(WriteError::Exists(_))
    ));
    assert!(matches!(store.update("/a/b/c", 99, body.clone(), Bytes::new()).await, Err(WriteError::Conflict(_))));
    assert!(matches!(store.update("/a/b/x", 1, body.clone(), Bytes::new()).await, Err(WriteError::NotFound)));
    let next = store.update("/a/b/c", made.revision, body.clone(), Bytes::new()).await.unwrap();
    assert_eq!((next.created, next.revision), (made.revision, made.revision + 1));
    let gone = store.delete("/a/b/c", next.revision, body).await.unwrap();
    assert_eq!(gone.bytes, format!("rv={}", gone.revision).as_bytes());
    assert!(store.get("/a/b/c").await.unwrap().is_none());
}

#[tokio::test]
async fn a_list_pages_and_reads_the_past_of_both_tiers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a", "b", "c"] {
        put(&store, &format!("/g/k/{name}"), "1").await;
    }
    volatile(&store, "/g/v/x", "1").await;
    let then = store.revision();
    put(&store, "/g/k/b", "2").await;
    let c = store.get("/g/k/c").await.unwrap().unwrap();
    store.delete("/g/k/c", c.revision, Body::plain(&b""[..])).await.unwrap();
    volatile(&store, "/g/v/x", "2").await;
    volatile(&store, "/g/v/y", "1").await;
    assert_eq!(keys(&store, "/g/k/", None).await, ["/g/k/a=1", "/g/k/b=2"]);
    assert_eq!(keys(&store, "/g/", Some(then)).await, ["/g/k/a=1", "/g/k/b=1", "/g/k/c=1", "/g/v/x=1"]);
    let page = store.list("/g/k/", Some(then), Some("/g/k/a"), 1).await.unwrap();
    assert_eq!((page.entries.len(), page.more, page.remaining), (1, true, None));
    assert_eq!(store.rest("/g/k/", Some(then), Some("/g/k/b")).await.unwrap(), 1);
    let page = store.list("/g/", None, Some("/g/k/a"), 2).await.unwrap();
    assert_eq!((&*page.entries[1].key, page.more, page.remaining), ("/g/v/x", true, None));
    assert_eq!(store.rest("/g/", None, Some("/g/v/x")).await.unwrap(), 1);
    let page = store.list("/g/", None, None, 1).await.unwrap();
    assert_eq!((page.entries.len(), page.more, page.remaining), (1, true, Some(3)));
    assert!(matches!(store.list("/g/", Some(store.revision() + 1), None, 1).await, Err(ReadError::Future { .. })));
}

#[tokio::test]
async fn counts_are_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for name in ["a/x", "a/y", "b/x"] {
        put(&store, &format!("/g/k/{name}"), "1").await;
    }
    put(&store, "/g/other", "1").await;
    volatile(&store, "/g/v/x", "1").await;
    let gone = store.get("/g/k/a/y").await.unwrap().unwrap();
    store.delete(&gone.key, gone.revision, Body::plain(&b""[..])).await.unwrap();
    for (prefix, count) in [("/g/", 4), ("/g/k/", 2), ("/g/k/a/", 1), ("/g/v/", 1), ("/g/k/c/", 0), ("/g/o", 1)] {
        assert_eq!(store.count(prefix).await.unwrap(), count, "{prefix}");
    }
    store.close().await;
    let store = open(dir.path());
    for (prefix, count) in [("/g/", 3), ("/g/k/", 2), ("/g/k/a/", 1), ("/g/v/", 0), ("/g/o", 1)] {
        assert_eq!(store.count(prefix).await.unwrap(), count, "{prefix}");
    }
}

#[tokio::test]
async fn a_watch_goes_from_the_log_to_memory_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options { recent_events: 4, ..options(dir.path()) }).unwrap();
    let from = store.revision();
    for i in 0..20 {
        put(&store, &format!("/g/k/{i:02}"), "1").await;
        put(&store, "/g/other", "1").await;
    }
    let mut watch = store.watch("/g/k/", from).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 20 {
        seen.extend(told(&watch.next().await.unwrap()));
    }
    assert_eq!(seen, (0..20).map(|i| format!("+/g/k/{i:02}")).collect::<Vec<_>>());
    let waiting = tokio::spawn(async move { told(&watch.next().await.unwrap()) });
    put(&store, "/g/k/new", "1").await;
    assert_eq!(waiting.await.unwrap(), ["+/g/k/new"]);
}

#[tokio::test]
async fn progress_moves_without_events() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let watch = store.watch("/g/k/", store.revision()).unwrap();
    let other = put(&store, "/g/other", "1").await;
    assert_eq!(watch.progress(), other);
    put(&store, "/g/k/a", "1").await;
    assert_eq!(watch.progress(), other, "an event that was not taken holds it back");
}

#[tokio::test]
async fn a_slow_watcher_blocks_nobody_and_is_told_when_it_is_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options { recent_events: 8, watch_queue: 8, ..options(dir.path()) }).unwrap();
    put(&store, "/g/k/a", "0").await;
    let mut slow = store.watch("/g/k/", store.revision()).unwrap();
    let mut late = store.watch("/g/k/", store.revision()).unwrap();
    for i in 0..100 {
        put(&store, "/g/k/a", &i.to_string()).await;
    }
    let mut count = 0;
    while count < 100 {
        count += slow.next().await.unwrap().len();
    }
    store.compact(store.revision()).await.unwrap();
    assert_eq!(store.metrics().watchers_lagged, 2);
    assert_eq!(late.next().await.unwrap().len(), 8, "what it had been given is not taken back");
    assert!(matches!(late.next().await, Err(WatchError::Compacted { .. })));
    assert!(matches!(store.watch("/g/k/", 1), Err(WatchError::Compacted { .. })));
    assert_eq!(keys(&store, "/g/k/", None).await, ["/g/k/a=99"]);
}

#[tokio::test]
async fn volatile_keys_go_with_the_process_and_revisions_never_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "/g/k/a", "1").await;
    let seen = volatile(&store, "/g/v/x", "1").await;
    store.close().await;
    let store = open(dir.path());
    assert!(store.revision() >= seen);
    assert_eq!(keys(&store, "/g/", None).await, ["/g/k/a=1"]);
    assert!(matches!(store.watch("/g/v/", seen - 1), Err(WatchError::Compacted { .. })));
    assert!(store.watch("/g/k/", seen - 1).is_ok());
    assert!(put(&store, "/g/k/b", "1").await > seen);
}

#[tokio::test]
async fn the_volatile_tier_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options { volatile_bytes: 2000, ..options(dir.path()) }).unwrap();
    volatile(&store, "/g/v/a", &"x".repeat(1000)).await;
    let body = Body::plain("x".repeat(1000).into_bytes());
    let full = store.create(Tier::Volatile, "/g/v/b", body, Bytes::new()).await;
    assert!(matches!(full, Err(WriteError::VolatileFull { limit: 2000 })), "{full:?}");
    put(&store, "/g/k/a", "durable writes go on").await;
}

#[tokio::test]
async fn compaction_rides_along_with_writes() {
    let dir = tempfile::tempdir().unwrap();
    let mut tight = options(dir.path());
    (tight.retention.min_events, tight.retention.max_events) = (100, 300);
    let store = Store::open(tight).unwrap();
    for i in 0..3000 {
        put(&store, "/g/k/a", &i.to_string()).await;
    }
    let metrics = store.metrics();
    assert!(metrics.compacted_rows > 2000, "{metrics:?}");
    assert!(store.oldest() > 2000);
    assert_eq!(keys(&store, "/g/", None).await, ["/g/k/a=2999"]);
}

#[tokio::test]
async fn a_transaction_is_all_or_nothing() {
    use kedge_store::Op;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let create = |key: &str| Op::Create { key: key.into(), body: Body::plain(&b"1"[..]), index: Bytes::new() };
    store.apply(vec![create("/g/k/a"), create("/g/k/b")]).await.unwrap();
    assert!(store.apply(vec![create("/g/k/c"), create("/g/k/a")]).await.is_err());
    assert_eq!(keys(&store, "/g/k/", None).await, ["/g/k/a=1", "/g/k/b=1"]);
}

#[tokio::test]
async fn a_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let second = Store::open(options(dir.path()));
    let pid = std::process::id().to_string();
    assert!(matches!(second, Err(OpenError::InUse { pid: held, .. }) if held == pid));
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), "/g/k/a", "1").await;
    let file = dir.path().join("store.db");
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(options(dir.path())).unwrap_err();
    assert!(refused.to_string().contains("schema version 99"), "{refused}");
    assert!(file.exists());
}

#[tokio::test]
async fn a_damaged_database_is_replaced_by_the_newest_good_backup() {
    let dir = tempfile::tempdir().unwrap();
    let backups = Backups { keep: 2, every: Duration::ZERO, first: Duration::ZERO };
    let store = Store::open(Options { backups, ..options(dir.path()) }).unwrap();
    put(&store, "/g/k/a", "1").await;
    while store.metrics().backups == 0 {
        put(&store, "/g/k/b", "1").await;
        tokio::task::yield_now().await;
    }
    let newest = store.revision();
    drop(store);
    std::fs::write(dir.path().join("store.db"), b"this is no database, but somebody's holiday diary").unwrap();
    let store = open(dir.path());
    assert!(
        store.report().recovered.as_ref().is_some_and(|recovery| recovery.restored.is_some()),
        "{:?}",
        store.report()
    );
    assert_eq!(keys(&store, "/g/k/a", None).await, ["/g/k/a=1"]);
    assert!(
        store
            .report()
            .recovered
            .as_ref()
            .and_then(|recovery| recovery.aside.as_ref())
            .is_some_and(|path| path.exists())
    );
    assert!(put(&store, "/g/k/z", "1").await > newest, "revisions do not repeat after a recovery");
}

#[tokio::test]
async fn without_a_backup_it_begins_empty_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    put(&open(dir.path()), "/g/k/a", "1").await;
    std::fs::write(dir.path().join("store.db"), [7u8; 8192]).unwrap();
    let store = open(dir.path());
    assert!(store.report().recovered.as_ref().is_some_and(|recovery| recovery.restored.is_none()));
    assert_eq!(store.count("/").await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options { max_bytes: Some(64 * 4096), ..options(dir.path()) }).unwrap();
    let body = || Body::plain(vec![b'x'; 8000]);
    let mut made = 0;
    let refused = loop {
        match store.create(Tier::Durable, &format!("/g/k/{made:04}"), body(), Bytes::new()).await {
            Ok(_) => made += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(refused, WriteError::DiskFull), "{refused}");
    assert_eq!(store.count("/g/k/").await.unwrap(), made);
    volatile(&store, "/g/v/a", "memory has room").await;
    for i in 0..made {
        let entry = store.get(&format!("/g/k/{i:04}")).await.unwrap().unwrap();
        let _ = store.delete(&entry.key, entry.revision, Body::plain(&b""[..])).await;
        if store.compact(store.revision()).await.is_ok() {
            break;
        }
    }
    put(&store, "/g/k/again", "there is room again").await;
}

#[tokio::test]
async fn files_are_for_us_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("data");
    let store = open(&inner);
    put(&store, "/g/k/a", "1").await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for name in ["store.db", "store.db-wal", "lock", "revision"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut watch = store.watch("/", store.revision()).unwrap();
    store.clone().close().await;
    assert!(matches!(watch.next().await, Err(WatchError::Closed)));
    let refused = store.create(Tier::Durable, "/a", Body::plain(&b""[..]), Bytes::new()).await;
    assert!(matches!(refused, Err(WriteError::Closed)));
}

#[tokio::test]
async fn a_store_that_relaxed_goes_on_when_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, "/a/b", "1").await;
    for text in ["1", "2"] {
        put(&store, "/a/b", text).await;
        assert_eq!(keys(&store, "/a/", None).await, [format!("/a/b={text}")]);
        assert_eq!(store.get("/a/b").await.unwrap().unwrap().bytes, text);
        store.relax().await.unwrap();
    }
    store.clone().close().await;
    assert!(matches!(store.relax().await, Err(WriteError::Closed)));
}
