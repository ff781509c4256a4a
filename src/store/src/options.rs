//! What a store is opened with. Every bound of the crate is a field here, with its arithmetic.
//!
//! In: a directory and, where the defaults do not fit, bounds. Never reads a clock or the environment itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where "now" comes from; only differences are used.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// Largest single write: Kubernetes objects end at 1.5 MB in etcd; twice that leaves room for index bytes.
pub(crate) const MAX_WRITE: usize = 3 << 20;

/// Bytes of bodies that may wait for the writer: four of the largest writes, or 12,000 of 1 KB.
pub(crate) const INBOX_BYTES: usize = 4 * MAX_WRITE;

/// Writes in one commit. At 20 µs each this is 20 ms before the first of them is acknowledged.
pub(crate) const BATCH: usize = 1024;

/// Revisions reserved at a time: a day of volatile writes at one a second costs about one small file write.
pub(crate) const MARK_BLOCK: u64 = 1 << 16;

/// How far revisions jump when the mark is lost: thirteen years of ten volatile writes a second.
pub(crate) const LOST_MARK_JUMP: u64 = 1 << 32;

/// What a store is opened with.
#[derive(Clone)]
pub struct Options {
    /// The directory, made with mode 0700 if it is not there.
    pub dir: PathBuf,
    /// How much history is kept.
    pub retention: Retention,
    /// Bytes that live volatile entries may occupy.
    pub volatile_bytes: usize,
    /// Volatile events that are kept for watchers and lists at an older revision.
    pub volatile_events: usize,
    /// Bytes that those events may occupy.
    pub volatile_event_bytes: usize,
    /// Recent events kept in memory, from which watchers are served without the database.
    pub recent_events: usize,
    /// Bytes that those events may occupy.
    pub recent_bytes: usize,
    /// Bytes of entries that were read or written lately and are kept in memory, from which gets are served.
    pub hot_bytes: usize,
    /// Events that may wait for one watcher before it goes back to reading history.
    pub watch_queue: usize,
    /// Connections for lists and history.
    pub readers: usize,
    /// Pages of the write-ahead log before it is copied into the database and overwritten.
    pub wal_pages: u32,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// The size at which the database refuses to grow, if any.
    pub max_bytes: Option<u64>,
    /// Databases above this size are not checked page by page at open, even if the last process was killed.
    pub check_bytes: u64,
    /// Rolling backups.
    pub backups: Backups,
    /// Where "now" comes from.
    pub clock: Clock,
}

/// How much history is kept. Compaction rides along with writes: an idle store is never compacted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Events older than this may go, ...
    pub age: Duration,
    /// ... except for this many of the newest.
    pub min_events: u64,
    /// More events than this are never kept for long, whatever their age.
    pub max_events: u64,
    /// More bytes of events than this are never kept for long, whatever their age.
    pub max_bytes: u64,
}

/// When rolling backups are made, and how many stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backups {
    /// How many stay; none are made if 0.
    pub keep: usize,
    /// The time between two backups. Nothing is copied if nothing was written.
    pub every: Duration,
    /// The time from the first write to the first backup, when there is none yet.
    pub first: Duration,
}

impl Options {
    /// The defaults of a device, for a directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            retention: Retention {
                // A continued list or a watch that reconnects has ten minutes; Kubernetes gives five.
                age: Duration::from_secs(600),
                min_events: 1_000,
                // 20 MB of 1 KB events on disk.
                max_events: 20_000,
                max_bytes: 64 << 20,
            },
            // 8,000 Events of 1 KB with their index bytes.
            volatile_bytes: 12 << 20,
            volatile_events: 1_024,
            volatile_event_bytes: 1 << 20,
            recent_events: 1_024,
            recent_bytes: 1 << 20,
            // Mostly the entries of recent events, which are there anyway.
            hot_bytes: 1 << 20,
            // At 20,000 writes a second a watcher has 25 ms to take them.
            watch_queue: 512,
            readers: 2,
            wal_pages: 2_000,
            cache_kib: 256,
            max_bytes: None,
            check_bytes: 256 << 20,
            backups: Backups { keep: 3, every: Duration::from_secs(6 * 3600), first: Duration::from_secs(600) },
            clock: Arc::new(Instant::now),
        }
    }
}
