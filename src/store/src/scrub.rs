//! Takes what was replaced off the disk: history, free pages, the log, and backups that still hold it.
//!
//! In: the writing connection, once all history is compacted. Out: a database written anew, page by page, and an empty
//! log. That it is owed is a file beside the database, so that a power cut half-way does not let it be forgotten.
//! Never decides when: whoever seals values does.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;

use crate::files;
use crate::schema;

/// The file that says that it is owed.
const OWED: &str = "scrub";

/// Notes that it is owed, before anything is replaced.
pub(crate) fn owe(dir: &Path) -> io::Result<()> {
    files::private_file(&dir.join(OWED))?.sync_all()?;
    files::sync_dir(dir)
}

/// Whether it is owed.
pub(crate) fn is_owed(dir: &Path) -> bool {
    dir.join(OWED).exists()
}

/// Notes that it is done.
pub(crate) fn settle(dir: &Path) -> io::Result<()> {
    fs::remove_file(dir.join(OWED))?;
    files::sync_dir(dir)
}

/// Writes the database anew. Waits some seconds for readers of the old one.
pub(crate) fn run(connection: &Connection) -> rusqlite::Result<()> {
    // Without the first, pages would be filled up with what memory held. The copy on the way does not fit into the
    // memory of a small device, hence the second.
    connection.execute_batch("PRAGMA secure_delete = ON; PRAGMA temp_store = FILE")?;
    let written = connection.execute_batch("VACUUM");
    connection.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA secure_delete = OFF")?;
    written?;
    let busy = schema::pragma(connection, "wal_checkpoint(TRUNCATE)")?;
    if busy == 0 {
        return Ok(());
    }
    let why = "the log is in use by readers".to_owned();
    Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), Some(why)))
}
