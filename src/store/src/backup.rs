//! Verified copies of the database: made while it is in use, kept in a row, restored when it is needed.
//!
//! In: a database and a target. Out: a whole, checked, private file under its final name, or nothing.
//! Never replaces a good copy by a bad one.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::check::{self, Fault};
use crate::entry::Revision;
use crate::error::BackupError;
use crate::files;

const PREFIX: &str = "backup-";
const SUFFIX: &str = ".db";

/// Copies the open database to `target`, checks the copy, and only then gives it its name.
pub(crate) fn make(source: &Connection, target: &Path) -> Result<(), BackupError> {
    let partial = files::with_suffix(target, ".partial");
    let result = copy(source, &partial).and_then(|()| {
        files::settle(&partial, target).map_err(|source| BackupError::File {
            act: "rename",
            path: partial.clone(),
            source,
        })
    });
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    result
}

fn copy(source: &Connection, partial: &Path) -> Result<(), BackupError> {
    let _ = fs::remove_file(partial);
    files::private_file(partial).map_err(|source| BackupError::File {
        act: "create",
        path: partial.to_owned(),
        source,
    })?;
    let text = partial.to_string_lossy();
    source
        .execute("VACUUM INTO ?1", [&*text])
        .map_err(|source| BackupError::Copy { path: partial.to_owned(), source })?;
    check::examine_file(partial).map_err(|fault| unsound(partial, fault))
}

fn unsound(path: &Path, fault: Fault) -> BackupError {
    let path = path.to_owned();
    match fault {
        Fault::Damaged(fault) => BackupError::Unsound { path, fault },
        Fault::Blank => BackupError::Unsound { path, fault: "it is empty".to_owned() },
        Fault::Newer(found) => BackupError::Newer { path, found, known: crate::schema::VERSION },
        Fault::Other(source) => BackupError::Copy { path, source },
    }
}

/// Adds a copy to the row in `folder` and lets the oldest go.
pub(crate) fn roll(
    source: &Connection,
    folder: &Path,
    revision: Revision,
    keep: usize,
) -> Result<PathBuf, BackupError> {
    files::private_dir(folder).map_err(|source| BackupError::File {
        act: "create",
        path: folder.to_owned(),
        source,
    })?;
    let target = folder.join(format!("{PREFIX}{revision:020}{SUFFIX}"));
    make(source, &target)?;
    for old in list(folder).into_iter().skip(keep.max(1)) {
        let _ = fs::remove_file(old);
    }
    Ok(target)
}

/// The copies in a row, newest first.
pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_backup = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        name.starts_with(PREFIX) && name.ends_with(SUFFIX)
    };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_backup).collect();
    found.sort_unstable();
    found.reverse();
    found
}

/// Whether a copy is whole and of a schema that is known here.
pub(crate) fn sound(copy: &Path) -> Result<(), BackupError> {
    check::examine_file(copy).map_err(|fault| unsound(copy, fault))
}

/// Puts a copy in the place of the database, if the copy is sound.
pub(crate) fn restore(copy: &Path, database: &Path) -> Result<(), BackupError> {
    sound(copy)?;
    let partial = files::with_suffix(database, ".partial");
    let act = |act| {
        let path = partial.clone();
        move |source| BackupError::File { act, path, source }
    };
    let mut from = fs::File::open(copy).map_err(act("read the copy for"))?;
    let _ = fs::remove_file(&partial);
    let mut to = files::private_file(&partial).map_err(act("create"))?;
    std::io::copy(&mut from, &mut to).map_err(act("write"))?;
    files::settle(&partial, database).map_err(act("rename"))
}
