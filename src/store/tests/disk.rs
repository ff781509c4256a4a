//! A disk that is really full. Needs root for a small file system in memory; says so when it is skipped.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use bytes::Bytes;
use kedge_store::{Backups, Body, Options, Store, Tier, WriteError};

/// A file system of 4 MiB that goes with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none"]).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_reads_go_on_and_space_that_returns_is_used() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: mounting a tmpfs needs root");
        return;
    };
    let dir = disk.0.path().join("data");
    let defaults = Options::new(&dir);
    let options = Options { wal_pages: 64, backups: Backups { keep: 0, ..defaults.backups }, ..defaults };
    let store = Store::open(options.clone()).unwrap();
    let lease = store.create(Tier::Volatile, "/v/a", Body::plain("x"), Bytes::new()).await.unwrap();
    // Somebody else fills most of the disk.
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![0; 2 << 20]).unwrap();

    let mut made = Vec::new();
    let refused = loop {
        let key = format!("/k/{:04}", made.len());
        match store.create(Tier::Durable, &key, Body::plain(vec![b'x'; 10_000]), Bytes::new()).await {
            Ok(entry) => made.push(entry),
            Err(error) => break error,
        }
        assert!(made.len() < 1000, "the disk never fills");
    };
    assert!(matches!(refused, WriteError::DiskFull), "{refused}");
    assert!(made.len() > 10);
    assert_eq!(store.count("/k/").await.unwrap(), made.len() as u64);
    for entry in &made {
        assert_eq!(store.get(&entry.key).await.unwrap().as_ref(), Some(entry));
    }
    store.update("/v/a", lease.revision, Body::plain("y"), Bytes::new()).await.expect("memory has room");
    let target = disk.0.path().join("copy.db");
    store.backup(&target).await.expect_err("there is no room for a copy");
    assert!(!target.exists() && std::fs::read_dir(disk.0.path()).unwrap().count() == 2, "nothing half is left");

    std::fs::remove_file(ballast).unwrap();
    let entry = store.create(Tier::Durable, "/k/new", Body::plain("x"), Bytes::new()).await.unwrap();
    assert!(entry.revision > made.last().unwrap().revision);
    store.close().await;
    let store = Store::open(options).unwrap();
    assert!(store.report().checked && store.report().recovered.is_none());
    assert_eq!(store.count("/k/").await.unwrap(), made.len() as u64 + 1);
    store.close().await;
}
