//! Figures about a store: counted as things happen, read without stopping anything.
//!
//! In: acts and their durations. Out: one struct of plain numbers. Never names a metrics format.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::entry::Revision;

/// Upper ends of the commit latency buckets, in microseconds: from a fast SSD to a dying SD card.
pub const LATENCY_BUCKETS_MICROS: [u64; 14] =
    [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// A moment's figures.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// The newest visible revision.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub oldest: Revision,
    /// Keys in the durable tier.
    pub durable_keys: u64,
    /// Keys in the volatile tier.
    pub volatile_keys: u64,
    /// Bytes that the volatile tier's live entries occupy.
    pub volatile_bytes: u64,
    /// Bytes of the database file.
    pub database_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Recent events in memory.
    pub recent_events: u64,
    /// Bytes that those, and the volatile tier's history, occupy at most.
    pub recent_bytes: u64,
    /// Watches that are open.
    pub watchers: u64,
    /// Times that a watcher was too slow and went back to reading history.
    pub watchers_lagged: u64,
    /// Commits that reached the disk.
    pub commits: u64,
    /// Commits that did not.
    pub failed_commits: u64,
    /// Durable writes acknowledged.
    pub durable_writes: u64,
    /// Volatile writes acknowledged.
    pub volatile_writes: u64,
    /// Rows removed by compaction.
    pub compacted_rows: u64,
    /// Rolling backups made and verified.
    pub backups: u64,
    /// Rolling backups that failed.
    pub failed_backups: u64,
    /// Commits by latency; the last bucket holds what was slower than all ends in [`LATENCY_BUCKETS_MICROS`].
    pub commit_latency: [u64; LATENCY_BUCKETS_MICROS.len() + 1],
    /// The sum of all commit latencies, in microseconds.
    pub commit_latency_sum_micros: u64,
}

/// The counters behind [`Metrics`].
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) durable_keys: AtomicU64,
    pub(crate) watchers_lagged: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) durable_writes: AtomicU64,
    pub(crate) volatile_writes: AtomicU64,
    pub(crate) compacted_rows: AtomicU64,
    pub(crate) backups: AtomicU64,
    pub(crate) failed_backups: AtomicU64,
    latency: [AtomicU64; LATENCY_BUCKETS_MICROS.len() + 1],
    latency_sum: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}

impl Counters {
    pub(crate) fn commit(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(&self.commits, 1);
        add(&self.latency[LATENCY_BUCKETS_MICROS.partition_point(|end| *end < micros)], 1);
        add(&self.latency_sum, micros);
    }

    pub(crate) fn read(&self) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        Metrics {
            durable_keys: get(&self.durable_keys),
            watchers_lagged: get(&self.watchers_lagged),
            commits: get(&self.commits),
            failed_commits: get(&self.failed_commits),
            durable_writes: get(&self.durable_writes),
            volatile_writes: get(&self.volatile_writes),
            compacted_rows: get(&self.compacted_rows),
            backups: get(&self.backups),
            failed_backups: get(&self.failed_backups),
            commit_latency: std::array::from_fn(|i| get(&self.latency[i])),
            commit_latency_sum_micros: get(&self.latency_sum),
            ..Metrics::default()
        }
    }
}
