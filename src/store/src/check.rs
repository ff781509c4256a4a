//! Tells a sound database from a damaged one.
//!
//! In: a file. Out: sound, damaged (and how), from a newer release, or not openable for another reason.
//! Never repairs: `open.rs` decides what follows.

use std::path::Path;

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, ffi};

use crate::schema;

/// What is wrong with a database.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its contents cannot be trusted.
    Damaged(String),
    /// It was never finished: there is nothing in it.
    Blank,
    /// A newer release wrote it.
    Newer(i64),
    /// It could not be opened or read for another reason.
    Other(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if is_damage(&error) { Fault::Damaged(error.to_string()) } else { Fault::Other(error) }
    }
}

/// How thoroughly to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Header and tables only.
    Shallow,
    /// Every page, without comparing indexes with tables.
    Pages,
    /// Everything.
    Full,
}

/// Whether an error says that the file's contents are broken, or cannot be read from the medium.
pub(crate) fn is_damage(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        || matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS
        )
}

/// Looks at an open database.
pub(crate) fn examine(connection: &Connection, depth: Depth) -> Result<(), Fault> {
    let (version, application) = schema::identity(connection)?;
    if (version, application) == (0, 0) {
        let tables: i64 = connection.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get(0))?;
        if tables == 0 {
            return Err(Fault::Blank);
        }
    }
    if application != schema::APPLICATION || version < 1 {
        return Err(Fault::Damaged("it does not carry the store's mark".to_owned()));
    }
    if version > schema::VERSION {
        return Err(Fault::Newer(version));
    }
    connection.query_row("SELECT COUNT(*) FROM meta", [], |_| Ok(()))?;
    connection.query_row("SELECT MAX(revision) FROM log", [], |_| Ok(()))?;
    let check = match depth {
        Depth::Shallow => return Ok(()),
        Depth::Pages => "PRAGMA quick_check(1)",
        Depth::Full => "PRAGMA integrity_check(1)",
    };
    let said: String = connection.query_row(check, [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Fault::Damaged(said)) }
}

/// Looks at everything in a database that nobody has open, without leaving files beside it.
pub(crate) fn examine_file(path: &Path) -> Result<(), Fault> {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => address.push(char::from(*byte)),
            other => address.push_str(&format!("%{other:02x}")),
        }
    }
    address.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    examine(&Connection::open_with_flags(address, flags)?, Depth::Full)
}
