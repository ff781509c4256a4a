//! A revisioned, watchable map of bytes on SQLite.
//!
//! In: keys, bytes and opaque index bytes. Out: the same with one monotonic revision over two tiers; lists at a
//! revision, watches from a revision, and a clear "compacted" when history is gone.
//! Knows no kinds, no JSON and no HTTP.
//!
//! One thread writes (`writer`): it takes everything that waits, commits it once, makes it visible and answers.
//! Durable writes are rows of one log table, of which the newest per key is the present (`log`); volatile ones live in
//! memory (`volatile`). Watches get events from their queue and fall back to history when they were too slow (`watch`).
//! Opening checks, and repairs from rolling backups without a person (`open`, `backup`).

mod backup;
mod check;
mod counts;
mod entry;
mod error;
mod families;
mod files;
mod hot;
mod inbox;
mod live;
mod lock;
mod log;
mod mark;
mod metrics;
mod open;
mod options;
mod queue;
mod readers;
mod retention;
mod rolling;
mod schema;
mod scrub;
mod shared;
mod store;
mod transaction;
mod volatile;
mod watch;
mod writer;

pub use entry::{Body, Change, Entry, Event, Op, Page, Revision, Tier};
pub use error::{BackupError, OpenError, ReadError, ScrubError, WatchError, WriteError};
pub use metrics::{LATENCY_BUCKETS_MICROS, Metrics};
pub use open::{OpenReport, Recovery};
pub use options::{Backups, Clock, Options, Retention};
pub use store::Store;
pub use watch::Watch;
