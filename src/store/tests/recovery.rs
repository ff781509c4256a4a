//! Damage of every kind at open: the store comes up without a person, and says what it did.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use kedge_store::{Backups, Body, OpenReport, Options, Store, Tier, WatchError};

fn options(dir: &Path) -> Options {
    Options {
        wal_pages: 64,
        backups: Backups { keep: 0, every: Duration::ZERO, first: Duration::ZERO },
        ..Options::new(dir)
    }
}

async fn fill(store: &Store, from: usize, to: usize) {
    for i in from..to {
        let body = Body::plain(vec![b'x'; 2000]);
        store.create(Tier::Durable, &format!("/k/{i:04}"), body, Bytes::new()).await.unwrap();
    }
}

/// A directory with 20 keys in a backup, 30 in the next, 40 in the database; closed. Out: its newest revision too.
async fn lived(dir: &Path) -> u64 {
    let store = Store::open(options(dir)).unwrap();
    std::fs::create_dir(dir.join("backups")).unwrap();
    for (from, to) in [(0, 20), (20, 30)] {
        fill(&store, from, to).await;
        store.backup(dir.join(format!("backups/backup-{:020}.db", store.revision()))).await.unwrap();
    }
    fill(&store, 30, 40).await;
    let revision = store.revision();
    store.close().await;
    revision
}

fn backups(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        std::fs::read_dir(dir.join("backups")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn overwrite(path: &Path, at: usize, with: &[u8]) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at..at + with.len()].copy_from_slice(with);
    std::fs::write(path, bytes).unwrap();
}

/// Does `harm` to a directory that was used, opens it, and expects so many keys.
async fn check(keys: u64, harm: impl Fn(&Path)) -> OpenReport {
    let dir = tempfile::tempdir().unwrap();
    let newest = lived(dir.path()).await;
    harm(dir.path());
    let store = Store::open(options(dir.path())).unwrap();
    let report = store.report().clone();
    assert_eq!(store.count("/k/").await.unwrap(), keys, "{report:?}");
    assert!(store.revision() >= newest, "revisions never repeat: {report:?}");
    if report.recovered.is_some() {
        // Nobody is told half of a history.
        for from in [1, newest - 1] {
            assert!(matches!(store.watch("/k/", from), Err(WatchError::Compacted { .. })));
        }
        assert_eq!(store.list("/k/", None, None, 0).await.unwrap().revision, store.revision());
    }
    fill(&store, 100, 110).await;
    store.close().await;
    let store = Store::open(options(dir.path())).unwrap();
    assert!(store.report().recovered.is_none() && store.report().clean);
    assert_eq!(store.count("/k/").await.unwrap(), keys + 10);
    store.close().await;
    report
}

#[tokio::test]
async fn a_sound_database_is_left_alone() {
    let report = check(40, |_| ()).await;
    assert!(report.clean && report.checked && report.recovered.is_none());
}

#[tokio::test]
async fn a_broken_header_costs_what_came_after_the_backup() {
    let report = check(30, |dir| overwrite(&dir.join("store.db"), 0, b"holiday diary of 1987")).await;
    let recovery = report.recovered.unwrap();
    assert!(recovery.rejected.is_empty() && recovery.restored.is_some());
    assert!(recovery.aside.unwrap().join("store.db").exists() || !recovery.fault.is_empty());
}

#[tokio::test]
async fn a_page_of_zeros_is_found() {
    let report = check(30, |dir| overwrite(&dir.join("store.db"), 5 * 4096, &[0; 4096])).await;
    assert!(report.recovered.is_some());
}

#[tokio::test]
async fn a_truncated_database_is_found() {
    let cut = |dir: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(dir.join("store.db")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    assert!(check(30, cut).await.recovered.is_some());
    let empty = |dir: &Path| std::fs::write(dir.join("store.db"), b"").unwrap();
    assert!(check(30, empty).await.recovered.is_some());
    let missing = |dir: &Path| std::fs::remove_file(dir.join("store.db")).unwrap();
    assert!(check(30, missing).await.recovered.is_some());
}

#[tokio::test]
async fn a_backup_that_is_not_sound_is_passed_over() {
    let report = check(20, |dir| {
        overwrite(&dir.join("store.db"), 0, b"x");
        overwrite(&backups(dir)[1], 3 * 4096, &[0xff; 4096]);
    })
    .await;
    assert_eq!(report.recovered.unwrap().rejected.len(), 1);
}

#[tokio::test]
async fn with_nothing_sound_it_begins_empty_and_still_never_repeats_a_revision() {
    let report = check(0, |dir| {
        overwrite(&dir.join("store.db"), 0, b"x");
        backups(dir).iter().for_each(|copy| std::fs::write(copy, b"nothing").unwrap());
    })
    .await;
    let recovery = report.recovered.unwrap();
    assert!(recovery.restored.is_none() && recovery.rejected.len() == 2);
}

#[tokio::test]
async fn a_lost_mark_is_jumped_over() {
    let report = check(40, |dir| std::fs::remove_file(dir.join("revision")).unwrap()).await;
    assert!(report.revision > 1 << 32 && !report.clean);
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    let blank = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    blank.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").unwrap();
    drop(blank);
    let store = Store::open(options(dir.path())).unwrap();
    assert!(store.report().created && store.report().recovered.is_none());
    fill(&store, 0, 3).await;
    store.close().await;
}

#[tokio::test]
async fn garbage_after_the_last_commit_in_the_log_is_ignored() {
    let harm = |dir: &Path| {
        let wal = dir.join("store.db-wal");
        let length = std::fs::metadata(&wal).unwrap().len() as usize;
        overwrite(&wal, length / 2, &vec![0xa5; length / 2]);
    };
    assert!(check(40, harm).await.recovered.is_none());
}

#[tokio::test]
async fn what_an_interrupted_act_left_is_swept_away() {
    let dir = tempfile::tempdir().unwrap();
    lived(dir.path()).await;
    let left = ["backups/backup-7.db.partial", "store.db.partial", "revision.partial"];
    left.iter().for_each(|name| std::fs::write(dir.path().join(name), b"half").unwrap());
    Store::open(options(dir.path())).unwrap().close().await;
    assert!(left.iter().all(|name| !dir.path().join(name).exists()));
}

#[tokio::test]
async fn backups_roll_by_themselves_after_writes_only() {
    let dir = tempfile::tempdir().unwrap();
    let backup = Backups { keep: 2, every: Duration::ZERO, first: Duration::ZERO };
    let store = Store::open(Options { backups: backup, ..options(dir.path()) }).unwrap();
    for round in 0..4 {
        fill(&store, round * 10, round * 10 + 10).await;
        let before = store.metrics().backups;
        while store.metrics().backups == before {
            tokio::task::yield_now().await;
            fill(&store, 1000 + store.revision() as usize, 1001 + store.revision() as usize).await;
        }
    }
    store.close().await;
    let found = backups(dir.path());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777 == 0o600));
}
