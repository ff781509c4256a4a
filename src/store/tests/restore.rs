//! Backups put back while the store is in use: what is there, what watches and lists are told, and
//! that a copy that is no good changes nothing.

#![allow(clippy::unwrap_used)] // It is all tests; clippy only knows those by their attribute.

use bytes::Bytes;
use kedge_store::{BackupError, Body, Options, ReadError, Revision, Store, Tier, WatchError};

async fn make(store: &Store, key: &str, value: &'static str) -> Revision {
    store.create(Tier::Durable, key, Body::plain(value), Bytes::new()).await.unwrap().revision
}

async fn value(store: &Store, key: &str) -> Option<String> {
    store.get(key).await.unwrap().map(|e| String::from_utf8(e.bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_backup_takes_the_place_of_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    let first = make(&store, "/a/kept", "old").await;
    let copy = dir.path().join("copy.db");
    store.backup(&copy).await.unwrap();
    let kept = store.update("/a/kept", first, Body::plain("new"), Bytes::new()).await.unwrap();
    let later = make(&store, "/a/later", "x").await;
    store.create(Tier::Volatile, "/l/lease", Body::plain("l"), Bytes::new()).await.unwrap();
    let mut watch = store.watch("/a/", later).unwrap();
    let before = store.revision();

    let restored = store.restore(&copy).await.unwrap();
    assert!(restored > before && store.revision() == restored);
    assert_eq!(value(&store, "/a/kept").await.as_deref(), Some("old"));
    assert_eq!(store.get("/a/kept").await.unwrap().unwrap().revision, first);
    assert_eq!(value(&store, "/a/later").await, None);
    assert_eq!(value(&store, "/l/lease").await.as_deref(), Some("l"));
    assert!(matches!(watch.next().await, Err(WatchError::Compacted { oldest }) if oldest == restored));
    assert!(matches!(store.watch("/a/", before), Err(WatchError::Compacted { .. })));
    let old = store.list("/a/", Some(before), None, 0).await;
    assert!(matches!(old, Err(ReadError::Compacted { .. })), "{old:?}");
    let now = store.list("/a/", None, None, 0).await.unwrap();
    assert_eq!((now.entries.len(), now.revision), (1, restored));

    // Life goes on above it: the old version's number conflicts, and new ones are greater.
    let stale = store.update("/a/kept", kept.revision, Body::plain("z"), Bytes::new()).await;
    assert!(stale.is_err());
    let mut watch = store.watch("/a/", restored).unwrap();
    assert!(make(&store, "/a/after", "y").await > restored);
    assert_eq!(&*watch.next().await.unwrap()[0].entry.key, "/a/after");
    store.close().await;
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    assert!(store.report().clean && store.revision() > restored);
    assert_eq!(value(&store, "/a/kept").await.as_deref(), Some("old"));
}

#[tokio::test]
async fn a_backup_of_another_device_with_greater_revisions_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let other = Store::open(Options::new(dir.path().join("other"))).unwrap();
    for at in 0..50 {
        make(&other, &format!("/a/{at}"), "x").await;
    }
    let copy = dir.path().join("copy.db");
    other.backup(&copy).await.unwrap();
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    make(&store, "/b/gone", "x").await;
    let restored = store.restore(&copy).await.unwrap();
    assert!(restored > other.revision());
    assert_eq!(store.count("/a/").await.unwrap(), 50);
    assert_eq!(store.count("/b/").await.unwrap(), 0);
    let page = store.list("/a/", None, None, 20).await.unwrap();
    assert_eq!(page.remaining, Some(30));
    assert_eq!(store.metrics().durable_keys, 50);
}

#[tokio::test]
async fn a_copy_that_is_no_good_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    make(&store, "/a/kept", "x").await;
    let copy = dir.path().join("copy.db");
    store.backup(&copy).await.unwrap();
    let good = std::fs::read(&copy).unwrap();
    let before = store.revision();
    let broken = dir.path().join("broken.db");
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 4000.min(good.len() - middle)].fill(0xa5);
    for bytes in [Vec::new(), b"not a database at all".to_vec(), good[..good.len() / 2].to_vec(), flipped] {
        std::fs::write(&broken, bytes).unwrap();
        let error = store.restore(&broken).await.unwrap_err();
        assert!(matches!(error, BackupError::Unsound { .. } | BackupError::Copy { .. }), "{error}");
    }
    // One of a later schema is named as such: its version is at byte 60 of the header.
    let mut newer = good.clone();
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    std::fs::write(&broken, newer).unwrap();
    let error = store.restore(&broken).await.unwrap_err();
    assert!(matches!(error, BackupError::Newer { found: 99, .. }), "{error}");
    assert!(store.restore(dir.path().join("missing.db")).await.is_err());
    assert_eq!((store.revision(), value(&store, "/a/kept").await.as_deref()), (before, Some("x")));
    make(&store, "/a/next", "y").await;
}
