//! What was replaced or removed does not stay on the disk when that is asked for.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use kedge_store::{Backups, Body, Options, Store, Tier};

const OLD: &str = "what nobody may find any more";

/// The files below a directory that hold the old bytes.
fn holders(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holders(&path));
        } else if std::fs::read(&path).unwrap().windows(OLD.len()).any(|part| part == OLD.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn replaced_bytes_are_taken_off_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    options.backups = Backups { keep: 3, first: Duration::ZERO, every: Duration::ZERO };
    let store = Store::open(options.clone()).unwrap();
    // Enough that pages of the database, of the log and of a backup hold them, some of them free.
    for n in 0..200 {
        let body = Body::plain(format!("{OLD} {n} {}", "x".repeat(500)));
        let made = store.create(Tier::Durable, &format!("/a/{n}"), body, Bytes::new()).await.unwrap();
        match n % 2 {
            0 => drop(store.delete(&format!("/a/{n}"), made.revision, Body::plain("")).await.unwrap()),
            _ => {
                let key = format!("/a/{n}");
                drop(store.update(&key, made.revision, Body::plain("new"), Bytes::new()).await.unwrap());
            }
        }
    }
    while store.metrics().backups == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    store.close().await;
    let before = holders(dir.path());
    assert!(before.len() > 1 && before.contains(&"store.db".to_owned()), "{before:?}");

    let store = Store::open(options.clone()).unwrap();
    assert!(!store.owes_scrub());
    store.owe_scrub().unwrap();
    store.close().await;
    // It is owed over a restart, and done while others write and read.
    let store = Store::open(options.clone()).unwrap();
    assert!(store.owes_scrub());
    let revision = store.revision();
    let (scrubbed, written) =
        tokio::join!(store.scrub(), store.create(Tier::Durable, "/b", Body::plain("meanwhile"), Bytes::new()));
    scrubbed.unwrap();
    written.unwrap();
    assert!(!store.owes_scrub());
    assert_eq!(holders(dir.path()), [""; 0]);
    // All that is there is there still, and goes on being written.
    assert!(store.revision() > revision);
    let page = store.list("/a/", None, None, 0).await.unwrap();
    assert_eq!(page.entries.len(), 100);
    assert!(page.entries.iter().all(|entry| entry.bytes[..] == *b"new"));
    let entry = &page.entries[0];
    store.update(&entry.key, entry.revision, Body::plain("newer"), Bytes::new()).await.unwrap();
    store.close().await;
    let store = Store::open(options).unwrap();
    assert_eq!(store.list("/", None, None, 0).await.unwrap().entries.len(), 101);
    store.close().await;
}
