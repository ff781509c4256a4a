//! From a directory to a store that can be trusted, without a person.
//!
//! In: options. Out: a locked directory, a checked database, the first revision to go on from, and a report.
//! A damaged database is moved aside, never deleted, and replaced by the newest sound backup, or by nothing.
//! A newer release's database is refused and left as it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::backup;
use crate::check::{self, Depth, Fault};
use crate::entry::Revision;
use crate::error::OpenError;
use crate::families::Families;
use crate::files::{self, BACKUPS, DATABASE};
use crate::lock::DirLock;
use crate::log::{self, Census};
use crate::mark::{self, Mark};
use crate::options::{LOST_MARK_JUMP, Options};
use crate::readers::SUSPECT;
use crate::schema;

/// Databases that are kept after they were found damaged.
const DAMAGED_KEPT: usize = 2;

/// A database that was closed properly is still looked at page by page, if that takes no longer than a blink: 20 ms
/// for this many bytes in the page cache, half a second from an SD card.
const CHECK_CLEAN: u64 = 32 << 20;

/// What was found when the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the directory was new.
    pub created: bool,
    /// Whether the last process closed the store, rather than being killed.
    pub clean: bool,
    /// Whether every page of the database was looked at.
    pub checked: bool,
    /// What had to be replaced.
    pub recovered: Option<Recovery>,
    /// The revision from which the store goes on.
    pub revision: Revision,
}

/// How a damaged database was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// What was wrong.
    pub fault: String,
    /// Where the damaged files are now, if there were any.
    pub aside: Option<PathBuf>,
    /// The backup that took its place; nothing else was lost but what came after it.
    pub restored: Option<PathBuf>,
    /// Newer backups that were not sound either, and why.
    pub rejected: Vec<(PathBuf, String)>,
}

/// Everything the writer needs to begin.
pub(crate) struct Opened {
    pub(crate) lock: DirLock,
    pub(crate) connection: Connection,
    pub(crate) database: PathBuf,
    pub(crate) mark: Mark,
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
    pub(crate) cleaned: Revision,
    pub(crate) census: Census,
    pub(crate) families: Families,
    pub(crate) report: OpenReport,
}

pub(crate) fn open(options: &Options) -> Result<Opened, OpenError> {
    let dir = &options.dir;
    files::private_dir(dir).map_err(failed("create", dir))?;
    let lock = DirLock::take(dir)?;
    let database = dir.join(DATABASE);
    sweep(dir);

    let found = mark::load(dir);
    let mut report = OpenReport { clean: found.is_some_and(|found| found.clean), ..OpenReport::default() };
    let backups = backup::list(&dir.join(BACKUPS));
    let is_there = files::size(&database) > 0;
    let connection = if is_there {
        match existing(&database, options, &mut report) {
            Ok(connection) => connection,
            Err(Fault::Newer(found)) => {
                return Err(OpenError::Newer { path: database, found, known: schema::VERSION });
            }
            Err(Fault::Other(source)) => return Err(OpenError::Database { path: database, source }),
            Err(Fault::Blank) if found.is_none() && backups.is_empty() => {
                // The first start ended before it had made anything.
                report.created = true;
                fresh(&database, options)?
            }
            Err(Fault::Blank) => {
                recover(&database, options, "the database is empty".to_owned(), &backups, &mut report)?
            }
            Err(Fault::Damaged(fault)) => recover(&database, options, fault, &backups, &mut report)?,
        }
    } else if found.is_some() || !backups.is_empty() {
        recover(&database, options, "the database file is missing or empty".to_owned(), &backups, &mut report)?
    } else {
        report.created = true;
        fresh(&database, options)?
    };
    let _ = fs::remove_file(dir.join(SUSPECT));

    let broken = |source| OpenError::Database { path: database.clone(), source };
    let census = log::census(&connection).map_err(broken)?;
    let mut compacted = log::meta(&connection, log::COMPACTED).map_err(broken)?;
    let cleaned = log::meta(&connection, log::CLEANED).map_err(broken)?;
    let families = Families::new(log::folders(&connection).map_err(broken)?);
    let known = census.newest.max(compacted);
    let revision = match found {
        Some(found) => known.max(found.revision),
        None if report.created => known,
        None => known + LOST_MARK_JUMP,
    };
    if report.recovered.is_some() && compacted < revision {
        // What happened between the backup and the damage is not known: history begins here.
        log::set_meta(&connection, log::COMPACTED, revision).map_err(broken)?;
        compacted = revision;
    }
    let mark = Mark::start(dir, revision).map_err(failed("write the revision mark in", dir))?;
    preallocate(&database, options);
    report.revision = revision;
    Ok(Opened { lock, connection, mark, revision, compacted, cleaned, census, families, report, database })
}

fn existing(database: &Path, options: &Options, report: &mut OpenReport) -> Result<Connection, Fault> {
    let connection = schema::writer(database, options, false)?;
    let suspect = options.dir.join(SUSPECT).exists();
    let depth = if suspect {
        Depth::Full
    } else if files::size(database) <= if report.clean { CHECK_CLEAN } else { options.check_bytes } {
        Depth::Pages
    } else {
        Depth::Shallow
    };
    check::examine(&connection, depth)?;
    report.checked = depth != Depth::Shallow;
    Ok(connection)
}

fn fresh(database: &Path, options: &Options) -> Result<Connection, OpenError> {
    let _ = fs::remove_file(database);
    for companion in files::companions(database) {
        let _ = fs::remove_file(companion);
    }
    files::private_file(database).map_err(failed("create", database))?;
    let connection = schema::writer(database, options, true)
        .map_err(|source| OpenError::Database { path: database.to_owned(), source })?;
    files::sync_dir(&options.dir).map_err(failed("sync", &options.dir))?;
    Ok(connection)
}

fn recover(
    database: &Path,
    options: &Options,
    fault: String,
    backups: &[PathBuf],
    report: &mut OpenReport,
) -> Result<Connection, OpenError> {
    let aside = set_aside(database).map_err(failed("move aside", database))?;
    let mut recovery = Recovery { fault, aside, restored: None, rejected: Vec::new() };
    let mut connection = None;
    for copy in backups {
        let opened = match backup::restore(copy, database) {
            Ok(()) => schema::writer(database, options, false).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match opened {
            Ok(opened) => {
                recovery.restored = Some(copy.clone());
                connection = Some(opened);
                break;
            }
            Err(why) => recovery.rejected.push((copy.clone(), why)),
        }
    }
    match &recovery.restored {
        Some(copy) => tracing::warn!(
            fault = %recovery.fault, backup = %copy.display(), aside = ?recovery.aside,
            "the database was damaged: restored the newest sound backup; writes after it are lost"
        ),
        None => tracing::error!(
            fault = %recovery.fault, aside = ?recovery.aside, rejected = recovery.rejected.len(),
            "the database was damaged and there is no sound backup: starting EMPTY"
        ),
    }
    report.recovered = Some(recovery);
    match connection {
        Some(connection) => Ok(connection),
        None => fresh(database, options),
    }
}

/// Moves a database and its log (which must never meet another database) into a folder of their own; keeps the newest few of those.
fn set_aside(database: &Path) -> io::Result<Option<PathBuf>> {
    let dir = database.parent().unwrap_or(Path::new("/"));
    let mut old: Vec<u64> = fs::read_dir(dir)?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("damaged-")?.parse().ok())
        .collect();
    old.sort_unstable();
    let [wal, shm] = files::companions(database);
    let _ = fs::remove_file(shm);
    if !database.exists() && !wal.exists() {
        return Ok(None);
    }
    let folder = dir.join(format!("damaged-{}", old.last().map_or(1, |last| last + 1)));
    files::private_dir(&folder)?;
    for file in [database.to_owned(), wal] {
        if let Some(name) = file.file_name().filter(|_| file.exists()) {
            fs::rename(&file, folder.join(name))?;
        }
    }
    files::sync_dir(dir)?;
    for number in old.iter().rev().skip(DAMAGED_KEPT - 1) {
        let _ = fs::remove_dir_all(dir.join(format!("damaged-{number}")));
    }
    Ok(Some(folder))
}

/// Removes what an interrupted act left half done.
fn sweep(dir: &Path) {
    for folder in [dir.to_owned(), dir.join(BACKUPS)] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().ends_with(".partial") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Reserves the write-ahead log's blocks, so that commits overwrite instead of extending: one flush instead of two,
/// and a disk that others fill up is noticed later. Not every file system can; it works without.
fn preallocate(database: &Path, options: &Options) {
    let [wal, _] = files::companions(database);
    let wanted = schema::wal_bytes(options);
    if files::size(&wal) >= wanted {
        return;
    }
    let Ok(file) = files::private_file(&wal) else { return };
    if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, wanted).is_ok() {
        let _ = file.sync_all();
    }
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File { act, path, source }
}
