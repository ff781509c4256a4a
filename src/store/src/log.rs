//! Rows of the log: every durable write once; history, and at the newest row of each key the present.
//!
//! In: connections, events, ranges. Out: entries, events, pages. Never decides whether a write may happen,
//! and never sees the volatile tier.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::counts::Counts;
use crate::entry::{Change, Entry, Event, Revision};
use crate::live::Live;

/// Keys from `from` (inclusive) to `to` (exclusive), as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) from: Vec<u8>,
    pub(crate) to: Vec<u8>,
}

impl Range {
    /// The keys that start with `prefix` and come after `after`.
    pub(crate) fn new(prefix: &str, after: Option<&str>) -> Self {
        let mut from = prefix.as_bytes().to_vec();
        if let Some(after) = after.filter(|after| *after >= prefix) {
            from = after.as_bytes().to_vec();
            from.push(0);
        }
        let mut to = prefix.as_bytes().to_vec();
        match to.last_mut() {
            // No byte of UTF-8 is 0xff, so this never overflows.
            Some(last) => *last += 1,
            None => to.push(0xff),
        }
        Self { from, to }
    }
}

/// The durable part of a page.
pub(crate) struct Part {
    pub(crate) entries: Vec<Arc<Entry>>,
    /// Whether keys follow those.
    pub(crate) more: bool,
}

/// A piece of history.
pub(crate) struct Piece {
    pub(crate) events: Vec<Arc<Event>>,
    /// Everything up to here was looked at.
    pub(crate) reached: Revision,
}

const DELETED: i64 = 2;

/// Writes one event's row.
pub(crate) fn append(connection: &Connection, event: &Event) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO log(revision, key, change, created, previous, idx, value) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let change = match event.change {
        Change::Created => 0,
        Change::Updated => 1,
        Change::Deleted => DELETED,
    };
    statement.execute(params![
        signed(event.revision),
        event.entry.key.as_bytes(),
        change,
        signed(event.entry.created),
        event.previous.as_ref().map_or(0, |previous| signed(previous.revision)),
        &event.entry.index[..],
        &event.entry.bytes[..],
    ])?;
    Ok(())
}

/// Up to `limit` entries of a range as they were at a revision, and whether more follow. What follows is not looked at.
pub(crate) fn page(connection: &Connection, range: &Range, at: Revision, limit: usize) -> rusqlite::Result<Part> {
    // With a lone MAX() the other columns are those of the row that has it (documented behaviour of SQLite).
    let mut keys = connection.prepare_cached(
        "SELECT MAX(revision), change FROM log INDEXED BY log_key \
         WHERE key >= ?1 AND key < ?2 AND revision <= ?3 GROUP BY key ORDER BY key",
    )?;
    let mut versions = versions(connection)?;
    let mut rows = keys.query(params![range.from, range.to, signed(at)])?;
    let mut part = Part { entries: Vec::new(), more: false };
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? == DELETED {
            continue;
        }
        if part.entries.len() == limit {
            part.more = true;
            break;
        }
        if let Some(entry) = version(&mut versions, row.get(0)?)? {
            part.entries.push(entry);
        }
    }
    Ok(part)
}

/// The entry of one row; none if compaction has taken it away.
pub(crate) fn row(connection: &Connection, at: Revision) -> rusqlite::Result<Option<Arc<Entry>>> {
    version(&mut versions(connection)?, signed(at))
}

/// The entries of some rows; none if compaction has taken one of them away.
pub(crate) fn rows(connection: &Connection, all: &[Revision]) -> rusqlite::Result<Option<Vec<Arc<Entry>>>> {
    let mut versions = versions(connection)?;
    all.iter().map(|at| version(&mut versions, signed(*at))).collect()
}

/// How many keys of a range there were at a revision. Looks at all of them.
pub(crate) fn count(connection: &Connection, range: &Range, at: Revision) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(
        "SELECT COUNT(*) FROM (SELECT MAX(revision), change AS c FROM log INDEXED BY log_key \
         WHERE key >= ?1 AND key < ?2 AND revision <= ?3 GROUP BY key HAVING c <> 2)",
    )?;
    statement.query_row(params![range.from, range.to, signed(at)], |row| revision(row, 0))
}

/// Up to `limit` events of a range of keys in a span of revisions, each with the version before it.
pub(crate) fn events(
    connection: &Connection,
    range: &Range,
    span: RangeInclusive<Revision>,
    limit: usize,
) -> rusqlite::Result<Piece> {
    let mut statement = connection.prepare_cached(
        "SELECT revision, change, created, idx, value, key, previous FROM log NOT INDEXED \
         WHERE revision BETWEEN ?1 AND ?2 AND key >= ?3 AND key < ?4 ORDER BY revision LIMIT ?5",
    )?;
    let mut versions = versions(connection)?;
    let (first, last) = (signed(*span.start()), signed(*span.end()));
    let mut rows = statement.query(params![first, last, range.from, range.to, limit as i64])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        let entry = Arc::new(Entry {
            key: key(row, 5)?,
            revision: revision(row, 0)?,
            created: revision(row, 2)?,
            index: blob(row, 3)?,
            bytes: blob(row, 4)?,
        });
        let change = match row.get::<_, i64>(1)? {
            0 => Change::Created,
            DELETED => Change::Deleted,
            _ => Change::Updated,
        };
        let previous = match row.get(6)? {
            0 => None,
            previous => version(&mut versions, previous)?,
        };
        events.push(Arc::new(Event { revision: entry.revision, change, entry, previous }));
    }
    let reached = match events.last() {
        Some(last) if events.len() == limit => last.revision,
        _ => *span.end(),
    };
    Ok(Piece { events, reached })
}

pub(crate) const VERSION: &str = "SELECT revision, key, created, idx, value FROM log WHERE revision = ?1";

fn versions(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached(VERSION)
}

fn version(statement: &mut CachedStatement<'_>, at: i64) -> rusqlite::Result<Option<Arc<Entry>>> {
    let row = |row: &Row<'_>| {
        Ok(Arc::new(Entry {
            revision: revision(row, 0)?,
            key: key(row, 1)?,
            created: revision(row, 2)?,
            index: blob(row, 3)?,
            bytes: blob(row, 4)?,
        }))
    };
    statement.query_row([at], row).optional()
}

/// How far a cleaning step came.
pub(crate) struct Cleaned {
    pub(crate) reached: Revision,
    pub(crate) rows: u64,
}

/// Removes what up to `limit` events in `(from, to]` replaced, and deletions themselves.
///
/// An event's predecessor is older than the event, so going upwards never brings a deleted key back.
pub(crate) fn clean(connection: &Connection, from: Revision, to: Revision, limit: usize) -> rusqlite::Result<Cleaned> {
    let mut doomed = Vec::new();
    let mut reached = to;
    {
        let mut statement = connection.prepare_cached(
            "SELECT revision, change, previous FROM log WHERE revision > ?1 AND revision <= ?2 ORDER BY revision LIMIT ?3",
        )?;
        let mut rows = statement.query(params![signed(from), signed(to), limit as i64])?;
        let mut seen = 0;
        while let Some(row) = rows.next()? {
            let (at, change, previous): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if previous != 0 {
                doomed.push(previous);
            }
            if change == DELETED {
                doomed.push(at);
            }
            seen += 1;
            if seen == limit {
                reached = revision(row, 0)?;
            }
        }
    }
    let mut remove = connection.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
    let mut rows = 0;
    for row in doomed {
        rows += remove.execute([row])? as u64;
    }
    Ok(Cleaned { reached, rows })
}

/// What a database holds, from one pass over its key index.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) newest: Revision,
    pub(crate) keys: u64,
    pub(crate) rows: u64,
    pub(crate) counts: Counts,
    pub(crate) live: Live,
}

pub(crate) fn census(connection: &Connection) -> rusqlite::Result<Census> {
    let newest = connection.query_row("SELECT COALESCE(MAX(revision), 0) FROM log", [], |row| revision(row, 0))?;
    let rows = connection.query_row("SELECT COUNT(*) FROM log", [], |row| revision(row, 0))?;
    let (mut live, mut counts) = (Live::default(), Counts::default());
    let mut statement = connection
        .prepare("SELECT MAX(revision), change, key FROM log INDEXED BY log_key GROUP BY key ORDER BY key")?;
    let mut all = statement.query([])?;
    // Neighbours are mostly in one folder, which is counted once for all of them.
    let (mut folder, mut run) = (String::new(), 0);
    while let Some(row) = all.next()? {
        if row.get::<_, i64>(1)? == DELETED {
            continue;
        }
        let key = key(row, 2)?;
        live.put(&key, revision(row, 0)?);
        let own = key.rfind('/').map_or("", |slash| &key[..=slash]);
        if own != folder {
            counts.add(&folder, std::mem::take(&mut run));
            own.clone_into(&mut folder);
        }
        run += 1;
    }
    counts.add(&folder, run);
    Ok(Census { newest, keys: live.len() as u64, rows, counts, live })
}

/// Which revision history may be read from.
pub(crate) const COMPACTED: &str = "compacted";
/// Up to which revision compaction has removed rows.
pub(crate) const CLEANED: &str = "cleaned";

pub(crate) fn meta(connection: &Connection, name: &str) -> rusqlite::Result<Revision> {
    let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    statement.query_row([name], |row| revision(row, 0))
}

pub(crate) fn set_meta(connection: &Connection, name: &str, value: Revision) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE meta SET value = ?2 WHERE name = ?1")?;
    statement.execute(params![name, signed(value)])?;
    Ok(())
}

/// Counts that the store was closed.
pub(crate) fn count_close(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'closes'", []).map(|_| ())
}

/// The folders that have held volatile keys.
pub(crate) fn folders(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT dir FROM volatile")?;
    let rows = statement.query_map([], |row| Ok(key(row, 0)?.to_string()))?;
    rows.collect()
}

pub(crate) fn set_folders<'a>(connection: &Connection, folders: impl Iterator<Item = &'a str>) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM volatile", [])?;
    for folder in folders {
        connection.execute("INSERT INTO volatile(dir) VALUES(?1)", [folder.as_bytes()])?;
    }
    Ok(())
}

/// SQLite's integers are signed; revisions stay far below 2^63.
fn signed(revision: Revision) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn revision(row: &Row<'_>, column: usize) -> rusqlite::Result<Revision> {
    Ok(row.get::<_, i64>(column)?.max(0).unsigned_abs())
}

fn key(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(String::from_utf8_lossy(row.get_ref(column)?.as_blob()?).into())
}

fn blob(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    Ok(Bytes::copy_from_slice(row.get_ref(column)?.as_blob()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, after: Option<&str>, inside: &[&str], outside: &[&str]) {
        let range = Range::new(prefix, after);
        let has = |key: &&str| key.as_bytes() >= &range.from[..] && key.as_bytes() < &range.to[..];
        assert!(inside.iter().all(has), "{range:?}");
        assert!(!outside.iter().any(has), "{range:?}");
    }

    #[test]
    fn a_range_holds_what_starts_with_the_prefix_and_comes_after_the_last_key() {
        check("/a/", None, &["/a/", "/a/b", "/a/\u{10ffff}"], &["/a", "/b", "/a0"]);
        check("/a/", Some("/a/b"), &["/a/b\0", "/a/b/", "/a/c"], &["/a/b", "/a/a", "/b"]);
        check("/b/", Some("/a/x"), &["/b/a"], &["/a/y"]);
        check("", None, &["", "a", "\u{10ffff}"], &[]);
    }
}
