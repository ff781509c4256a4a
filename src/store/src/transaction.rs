//! One database transaction over a batch of durable writes.
//!
//! In: writes, the first revision to assign, how far compaction should go. Out: the events that are now on disk and
//! an answer for each write; or a fault, and then nothing of the batch is in the database.
//! A write that is refused (conflict, not found) does not disturb the others. Never makes anything visible.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::entry::{Change, Entry, Event, Op, Revision};
use crate::error::WriteError;
use crate::families::Families;
use crate::live::Known;
use crate::log;

/// Events cleaned for each one written: more than one, so that compaction always catches up.
const CLEAN_PER_WRITE: usize = 4;

/// A durable request and whoever waits for it.
pub(crate) enum Durable {
    One { write: Write, reply: oneshot::Sender<Result<Arc<Entry>, WriteError>> },
    Many { writes: Vec<Write>, reply: oneshot::Sender<Result<Vec<Arc<Entry>>, WriteError>> },
}

/// One write, and what was known of its key before the batch.
pub(crate) struct Write {
    pub(crate) op: Op,
    pub(crate) known: Known,
}

/// The answer to one request.
pub(crate) type Answer = Result<Vec<Arc<Entry>>, WriteError>;

/// How far compaction has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Housekeeping {
    /// History below this may not be read any more.
    pub(crate) compacted: Revision,
    /// Up to here its rows are gone.
    pub(crate) cleaned: Revision,
    /// Rows removed in this step.
    pub(crate) rows: u64,
}

/// What a batch came to.
#[derive(Default)]
pub(crate) struct Staged {
    pub(crate) events: Vec<Arc<Event>>,
    /// The place of each key's last event among them.
    newest: HashMap<Arc<str>, usize>,
    pub(crate) results: Vec<Answer>,
    pub(crate) keeping: Housekeeping,
    /// Whether anything went to the disk.
    pub(crate) is_written: bool,
}

impl Durable {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Durable::One { .. } => 1,
            Durable::Many { writes, .. } => writes.len() as u64,
        }
    }

    /// Tells whoever waits; one who does not wait any more does not mind.
    pub(crate) fn answer(self, answer: Answer) {
        match self {
            Durable::One { reply, .. } => {
                let one = answer.and_then(|entries| entries.into_iter().next().ok_or(WriteError::Closed));
                let _ = reply.send(one);
            }
            Durable::Many { reply, .. } => {
                let _ = reply.send(answer);
            }
        }
    }
}

impl Staged {
    /// What this batch has made of a key; none if it has not touched it.
    pub(crate) fn known(&self, key: &str) -> Option<Known> {
        let event = &self.events[*self.newest.get(key)?];
        Some(match event.change {
            Change::Deleted => Known::Absent,
            Change::Created | Change::Updated => Known::Entry(event.entry.clone()),
        })
    }

    pub(crate) fn failed(durable: &[Durable], fault: &WriteError) -> Self {
        Self { results: durable.iter().map(|_| Err(fault.clone())).collect(), ..Self::default() }
    }
}

/// The entry of a key of which so much is known.
pub(crate) fn present(connection: &Connection, known: &Known) -> rusqlite::Result<Option<Arc<Entry>>> {
    match known {
        Known::Absent => Ok(None),
        Known::Entry(entry) => Ok(Some(entry.clone())),
        // Compaction never takes the newest row of a key that is there.
        Known::At(row) => log::row(connection, *row)?.map(Some).ok_or(rusqlite::Error::QueryReturnedNoRows),
    }
}

/// Runs a batch. `keeping.compacted` is how far compaction may go; a bounded part of it is done on the way.
pub(crate) fn run(
    connection: &Connection,
    durable: &[Durable],
    families: Option<&Families>,
    first: Revision,
    keeping: Housekeeping,
) -> Result<Staged, WriteError> {
    in_transaction(connection, || {
        let mut staged = Staged { keeping, ..Staged::default() };
        for request in durable {
            let kept = staged.events.len();
            let answer = match request {
                Durable::One { write, .. } => one(connection, write, first, &mut staged)?.map(|entry| vec![entry]),
                Durable::Many { writes, .. } => {
                    connection.prepare_cached("SAVEPOINT several")?.execute([])?;
                    let answer = all(connection, writes, first, &mut staged)?;
                    if answer.is_err() {
                        connection.prepare_cached("ROLLBACK TO several")?.execute([])?;
                        staged.events.truncate(kept);
                        staged.newest = staged.events.iter().enumerate().map(newest).collect();
                    }
                    connection.prepare_cached("RELEASE several")?.execute([])?;
                    answer
                }
            };
            staged.results.push(answer);
        }
        if let Some(families) = families {
            log::set_folders(connection, families.iter())?;
        }
        staged.is_written = !staged.events.is_empty() || families.is_some();
        if staged.is_written {
            let limit = (staged.events.len() * CLEAN_PER_WRITE).max(32);
            staged.keeping = step(connection, keeping, limit)?;
        }
        let is_written = staged.is_written;
        Ok((staged, is_written))
    })
}

/// One step of compaction alone.
pub(crate) fn keep_house(
    connection: &Connection,
    keeping: Housekeeping,
    limit: usize,
) -> Result<Housekeeping, WriteError> {
    in_transaction(connection, || Ok((step(connection, keeping, limit)?, true)))
}

/// Puts the rows of another database in the place of all rows; history ends at `revision`.
pub(crate) fn replace(connection: &Connection, copy: &Path, revision: Revision) -> Result<(), WriteError> {
    connection.execute("ATTACH DATABASE ?1 AS copy", [&*copy.to_string_lossy()])?;
    let replaced = in_transaction(connection, || {
        connection.execute_batch(
            "DELETE FROM main.log;
             INSERT INTO main.log(revision, key, change, created, previous, origin, clock, idx, value)
             SELECT revision, key, change, created, previous, origin, clock, idx, value FROM copy.log ORDER BY revision;
             UPDATE main.meta SET value = (SELECT value FROM copy.meta WHERE name = 'cleaned') WHERE name = 'cleaned';",
        )?;
        log::set_meta(connection, log::COMPACTED, revision)?;
        Ok(((), true))
    });
    if let Err(error) = connection.execute_batch("DETACH DATABASE copy") {
        tracing::warn!(%error, "the restored copy could not be let go");
    }
    replaced
}

/// The newest revision in a copy.
pub(crate) fn newest_in(copy: &Path) -> Result<Revision, WriteError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(copy, flags)?;
    let newest = log::census(&connection)?.newest;
    Ok(newest.max(log::meta(&connection, log::COMPACTED)?))
}

/// A key of an event, and the event's place.
fn newest((at, event): (usize, &Arc<Event>)) -> (Arc<str>, usize) {
    (event.entry.key.clone(), at)
}

fn one(
    connection: &Connection,
    write: &Write,
    first: Revision,
    staged: &mut Staged,
) -> rusqlite::Result<Result<Arc<Entry>, WriteError>> {
    let Write { op, known } = write;
    let earlier = staged.known(op.key());
    let present = present(connection, earlier.as_ref().unwrap_or(known))?;
    let event = match op.decide(present, first + staged.events.len() as u64) {
        Ok(event) => Arc::new(event),
        Err(refusal) => return Ok(Err(refusal)),
    };
    log::append(connection, &event)?;
    staged.newest.extend([newest((staged.events.len(), &event))]);
    staged.events.push(event.clone());
    Ok(Ok(event.entry.clone()))
}

fn all(connection: &Connection, writes: &[Write], first: Revision, staged: &mut Staged) -> rusqlite::Result<Answer> {
    let mut entries = Vec::with_capacity(writes.len());
    for write in writes {
        match one(connection, write, first, staged)? {
            Ok(entry) => entries.push(entry),
            Err(refusal) => return Ok(Err(refusal)),
        }
    }
    Ok(Ok(entries))
}

fn step(connection: &Connection, keeping: Housekeeping, limit: usize) -> rusqlite::Result<Housekeeping> {
    if keeping.compacted <= keeping.cleaned {
        return Ok(keeping);
    }
    let cleaned = log::clean(connection, keeping.cleaned, keeping.compacted, limit)?;
    log::set_meta(connection, log::COMPACTED, keeping.compacted)?;
    log::set_meta(connection, log::CLEANED, cleaned.reached)?;
    Ok(Housekeeping { compacted: keeping.compacted, cleaned: cleaned.reached, rows: cleaned.rows })
}

/// Commits if `act` says so; leaves nothing behind otherwise.
fn in_transaction<T>(
    connection: &Connection,
    act: impl FnOnce() -> rusqlite::Result<(T, bool)>,
) -> Result<T, WriteError> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let result = act().and_then(|(value, commit)| {
        let end = if commit { "COMMIT" } else { "ROLLBACK" };
        connection.prepare_cached(end)?.execute([])?;
        Ok(value)
    });
    if result.is_err() && !connection.is_autocommit() {
        // Some faults have rolled back already; this one has not.
        let _ = connection.execute_batch("ROLLBACK");
    }
    Ok(result?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Body;
    use bytes::Bytes;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::schema::TABLES).unwrap();
        connection
    }

    fn create(key: &str) -> Op {
        Op::Create { key: key.into(), body: Body::plain("x"), index: Bytes::new() }
    }

    fn update(key: &str, expected: Revision) -> Op {
        Op::Update { key: key.into(), expected, body: Body::plain("y"), index: Bytes::new() }
    }

    fn delete(key: &str, expected: Revision) -> Op {
        Op::Delete { key: key.into(), expected, last: Body::plain("z") }
    }

    /// Each inner list is one request; in the answer a letter per request: o = done, x = refused.
    #[track_caller]
    fn check(requests: Vec<Vec<Op>>, expected: &str, revisions: &[Revision]) {
        let connection = database();
        let durable: Vec<_> = requests
            .into_iter()
            .map(|ops| {
                let mut writes: Vec<_> = ops.into_iter().map(|op| Write { op, known: Known::Absent }).collect();
                match writes.len() {
                    1 => Durable::One { write: writes.remove(0), reply: oneshot::channel().0 },
                    _ => Durable::Many { writes, reply: oneshot::channel().0 },
                }
            })
            .collect();
        let staged = run(&connection, &durable, None, 10, Housekeeping::default()).unwrap();
        let said: String = staged.results.iter().map(|answer| if answer.is_ok() { 'o' } else { 'x' }).collect();
        assert_eq!(said, expected);
        assert_eq!(staged.events.iter().map(|event| event.revision).collect::<Vec<_>>(), revisions);
        assert_eq!(log::census(&connection).unwrap().rows, revisions.len() as u64);
    }

    #[test]
    fn a_refused_write_leaves_the_others_alone() {
        check(vec![vec![create("a")], vec![create("a")], vec![create("b")]], "oxo", &[10, 11]);
        check(vec![vec![update("a", 1)]], "x", &[]);
        check(
            vec![vec![create("a")], vec![update("a", 10)], vec![delete("a", 10)], vec![delete("a", 11)]],
            "ooxo",
            &[10, 11, 12],
        );
    }

    #[test]
    fn several_writes_are_done_all_or_none() {
        check(
            vec![vec![create("a"), create("b")], vec![create("c"), create("a")], vec![create("c")]],
            "oxo",
            &[10, 11, 12],
        );
    }
}
