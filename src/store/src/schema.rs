//! The database's shape, and how every connection to it is set up.
//!
//! In: a path. Out: a connection with the right journal, synchronisation and small caches.
//! Never reads or writes entries: `log.rs` does.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::options::Options;

/// The newest schema known here.
pub(crate) const VERSION: i64 = 1;

/// "kdge": tells our files from other SQLite databases.
pub(crate) const APPLICATION: i64 = 0x6b64_6765;

/// Bytes of a page, SQLite's default.
pub(crate) const PAGE: u64 = 4096;

/// Bytes of a page in the write-ahead log, with its header.
const FRAME: u64 = PAGE + 24;

// One row per write: the log is the history and, at the newest row of each key, the present.
// A row is written once and removed by compaction, so a body reaches the disk once.
// `previous` is the row that this one replaces; `origin` and `clock` are for writes that come from other devices.
pub(crate) const TABLES: &str = "
CREATE TABLE log(
  revision INTEGER PRIMARY KEY,
  key BLOB NOT NULL,
  change INTEGER NOT NULL,
  created INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  origin BLOB,
  clock INTEGER,
  idx BLOB NOT NULL,
  value BLOB NOT NULL);
CREATE UNIQUE INDEX log_key ON log(key, revision, change);
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE volatile(dir BLOB PRIMARY KEY) WITHOUT ROWID;
INSERT INTO meta VALUES('compacted', 0), ('cleaned', 0), ('closes', 0);
";

/// Opens the connection that writes. `create` makes the tables in an empty file.
pub(crate) fn writer(path: &Path, options: &Options, create: bool) -> rusqlite::Result<Connection> {
    let connection = connect(path, options)?;
    if create {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", options.wal_pages)?;
    connection.pragma_update(None, "journal_size_limit", wal_bytes(options) as i64)?;
    if let Some(bytes) = options.max_bytes {
        connection.query_row(&format!("PRAGMA max_page_count = {}", bytes / PAGE), [], |_| Ok(()))?;
    }
    if create {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT"
        ))?;
    }
    Ok(connection)
}

/// Opens a connection that only reads.
pub(crate) fn reader(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = connect(path, options)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Opens a connection from which copies are made.
pub(crate) fn source(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    connect(path, options)
}

/// The size at which the write-ahead log stays: a quarter more than it needs between two checkpoints.
pub(crate) fn wal_bytes(options: &Options) -> u64 {
    u64::from(options.wal_pages) * FRAME * 5 / 4
}

fn connect(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "cache_size", -i64::from(options.cache_kib))?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The log stays on disk, at its size, to be overwritten by the next start.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A statement is planned once, whatever is bound to it: without this SQLite plans again for each new key.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(24);
    Ok(connection)
}

/// The schema version and application of an open database.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    Ok((pragma(connection, "user_version")?, pragma(connection, "application_id")?))
}

pub(crate) fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::StatementStatus;

    #[test]
    fn a_get_is_planned_once() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("a")).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let connection = connect(&folder.path().join("a"), &Options::new(folder.path())).unwrap();
        for row in [1, 2, 3] {
            assert!(crate::log::row(&connection, row).unwrap().is_none());
        }
        let statement = connection.prepare_cached(crate::log::VERSION).unwrap();
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
        assert_eq!(statement.get_status(StatementStatus::Run), 3, "it is the statement that was run");
    }
}
