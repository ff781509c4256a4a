//! What can go wrong, by act: opening, writing, reading, watching.
//!
//! Each error says which act failed on which thing; the cause stays in `source`.
//! Never a bare text where a caller could want to decide.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::entry::{Entry, Revision};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("the data directory {dir} is in use by process {pid}: stop it or choose another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who has it, as far as it said.
        pid: String,
    },
    /// The database was written by a newer release.
    #[error(
        "the database {path} has schema version {found}, but this release knows versions up to {known}: \
         install the release that wrote it or a newer one"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A file or directory could not be made or read.
    #[error("cannot {act} {path}")]
    File {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database could not be opened for a reason that is not damage.
    #[error("cannot open the database {path}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
}

/// Why a write was not made. Nothing of it is visible.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The key to be created is there.
    #[error("key {:?} exists at revision {}", .0.key, .0.revision)]
    Exists(Arc<Entry>),
    /// The key to be changed is not there.
    #[error("the key does not exist")]
    NotFound,
    /// The key is at another revision than expected.
    #[error("key {:?} is at revision {}, not at the expected one", .0.key, .0.revision)]
    Conflict(Arc<Entry>),
    /// The place for the revision lies outside the body.
    #[error("the revision's place {offset} lies outside the body of {len} bytes")]
    Stamp {
        /// The place asked for.
        offset: usize,
        /// The body's length.
        len: usize,
    },
    /// A transaction named a volatile key.
    #[error("key {key:?} is volatile and cannot take part in a transaction")]
    VolatileInTransaction {
        /// The key.
        key: Arc<str>,
    },
    /// One write is larger than the store accepts.
    #[error("a write of {size} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// The volatile tier is at its bound.
    #[error("the volatile tier is full: it may hold {limit} bytes")]
    VolatileFull {
        /// The bound.
        limit: usize,
    },
    /// No space is left on the device, or the database is at its bound.
    #[error("no space left for the database")]
    DiskFull,
    /// The database refused.
    #[error("the database could not be written")]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The revision mark could not be moved forward.
    #[error("the revision mark could not be written")]
    Mark(#[source] Arc<io::Error>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => WriteError::DiskFull,
            _ => WriteError::Storage(Arc::new(error)),
        }
    }
}

/// Why a read gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The revision asked for is no longer kept.
    #[error("the revision asked for has been compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// A value is there but whoever stands between the store and its users cannot make sense of it.
    #[error("the value kept under {key} cannot be read: {why}")]
    Unreadable {
        /// Its key.
        key: Arc<str>,
        /// Why not.
        why: Arc<str>,
    },
    /// The revision asked for has not happened.
    #[error("the revision asked for lies in the future; the current one is {current}")]
    Future {
        /// The current revision.
        current: Revision,
    },
    /// The database refused.
    #[error("the database could not be read")]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError::Storage(Arc::new(error))
    }
}

/// Why a watch did not start or ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WatchError {
    /// Events after the watch's place are no longer kept: list again.
    #[error("events after the watch's revision have been compacted; the oldest kept is {oldest}")]
    Compacted {
        /// The oldest revision from which a watch can start.
        oldest: Revision,
    },
    /// The revision asked for has not happened.
    #[error("the revision asked for lies in the future; the current one is {current}")]
    Future {
        /// The current revision.
        current: Revision,
    },
    /// The database refused.
    #[error("the database could not be read")]
    Storage(#[source] Arc<rusqlite::Error>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl From<ReadError> for WatchError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Compacted { oldest } => WatchError::Compacted { oldest },
            ReadError::Future { current } => WatchError::Future { current },
            ReadError::Storage(source) => WatchError::Storage(source),
            // The store itself never says so: values mean nothing to it.
            ReadError::Unreadable { .. } | ReadError::Closed => WatchError::Closed,
        }
    }
}

/// Why replaced bytes may still be on the disk. It stays owed.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The database could not be written anew.
    #[error("cannot write the database anew")]
    Write(#[from] WriteError),
    /// Backups that may hold what was replaced could not be exchanged for a new one.
    #[error("cannot exchange the backups")]
    Backup(#[from] BackupError),
    /// What is owed could not be noted.
    #[error("cannot note in {dir} whether what was replaced is off the disk")]
    Note {
        /// The store's directory.
        dir: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why a backup was not made. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database refused.
    #[error("cannot copy the database to {path}")]
    Copy {
        /// The target.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The copy failed its check.
    #[error("the copy {path} failed its check: {fault}")]
    Unsound {
        /// The copy.
        path: PathBuf,
        /// What the check said.
        fault: String,
    },
    /// The copy was written by a newer release.
    #[error(
        "the copy {path} has schema version {found}, but this release knows versions up to {known}: \
         install the release that wrote it or a newer one"
    )]
    Newer {
        /// The copy.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// The copy is sound, but could not be put in place; what was there is there still.
    #[error("cannot restore {path}")]
    Restore {
        /// The copy.
        path: PathBuf,
        /// Why not.
        source: WriteError,
    },
    /// The file could not be handled.
    #[error("cannot {act} {path}")]
    File {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
