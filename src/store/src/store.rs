//! The store's handle: what callers see.
//!
//! In: keys, bodies, prefixes, revisions. Out: entries, pages, watches. Decides nothing itself: writes go to the one
//! writer thread, reads to a snapshot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::backup;
use crate::entry::{Body, Entry, Op, Page, Revision, Tier};
use crate::error::{BackupError, OpenError, ReadError, ScrubError, WatchError, WriteError};
use crate::files;
use crate::inbox::{Inbox, Request};
use crate::live::Known;
use crate::log::{self, Range};
use crate::metrics::{Metrics, add};
use crate::open::{self, OpenReport};
use crate::options::{MAX_WRITE, Options};
use crate::readers::Readers;
use crate::schema;
use crate::scrub;
use crate::shared::{Seen, Shared};
use crate::watch::Watch;
use crate::writer::Writer;

/// A list of the present that compaction overtakes so often is read from history instead.
const PRESENT_TRIES: usize = 3;

/// Rows that are read where a list is called, as a get is; more are read on a thread that may wait.
const FEW: usize = 32;

/// A revisioned, watchable map of bytes. Clones share it; the last one to go ends it and waits for that, which
/// blocks for as long as the disk takes: async callers use [`Store::close`].
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    inbox: Arc<Inbox>,
    options: Options,
    database: PathBuf,
    report: OpenReport,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store of a directory, and repairs it if it must. Blocks for as long as the disk takes.
    pub fn open(options: Options) -> Result<Store, OpenError> {
        let mut opened = open::open(&options)?;
        let keys = (std::mem::take(&mut opened.census.counts), std::mem::take(&mut opened.census.live));
        let families = opened.families.clone();
        let shared = Arc::new(Shared::new(opened.revision, opened.compacted, families, keys, &options));
        add(&shared.counters.durable_keys, opened.census.keys);
        let inbox = Arc::new(Inbox::new());
        let readers = Arc::new(Readers::new(opened.database.clone(), &options));
        let (database, report) = (opened.database.clone(), opened.report.clone());
        let writer = Writer::new(opened, shared.clone(), inbox.clone(), options.clone());
        let ending = Ending { shared: shared.clone(), readers: readers.clone(), inbox: inbox.clone() };
        let run = move || {
            let _ending = ending;
            writer.run();
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(run)
            .map_err(|source| OpenError::File { act: "start a thread for", path: options.dir.clone(), source })?;
        let thread = Mutex::new(Some(thread));
        Ok(Store { handle: Arc::new(Handle { shared, readers, inbox, options, database, report, thread }) })
    }

    /// What was found when the store was opened.
    pub fn report(&self) -> &OpenReport {
        &self.handle.report
    }

    /// Makes a key that is in neither tier.
    pub async fn create(&self, tier: Tier, key: &str, body: Body, index: Bytes) -> Result<Arc<Entry>, WriteError> {
        self.write(Some(tier), Op::Create { key: key.into(), body, index }).await
    }

    /// Replaces the value of a key that is at revision `expected`, in the tier where it is.
    pub async fn update(
        &self,
        key: &str,
        expected: Revision,
        body: Body,
        index: Bytes,
    ) -> Result<Arc<Entry>, WriteError> {
        self.write(None, Op::Update { key: key.into(), expected, body, index }).await
    }

    /// Removes a key that is at revision `expected`. Watchers get `last`; so does the caller.
    pub async fn delete(&self, key: &str, expected: Revision, last: Body) -> Result<Arc<Entry>, WriteError> {
        self.write(None, Op::Delete { key: key.into(), expected, last }).await
    }

    /// Makes several writes to durable keys, all or none, each with its own revision.
    pub async fn apply(&self, ops: Vec<Op>) -> Result<Vec<Arc<Entry>>, WriteError> {
        let mut size = 0;
        for op in &ops {
            size += checked_size(op)?;
        }
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.submit(Request::Apply { ops, reply }, size).await?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    async fn write(&self, tier: Option<Tier>, op: Op) -> Result<Arc<Entry>, WriteError> {
        let size = checked_size(&op)?;
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.submit(Request::Write { tier, op, reply }, size).await?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    /// The present version of a key. It is visible: a watch from its revision will not repeat it.
    pub async fn get(&self, key: &str) -> Result<Option<Arc<Entry>>, ReadError> {
        let mut sought = None;
        loop {
            let at = {
                let mut state = self.handle.shared.state();
                if state.is_closed() {
                    return Err(ReadError::Closed);
                }
                if let Some(entry) = state.volatile.get(key) {
                    return Ok(Some(entry.clone()));
                }
                match state.known(key) {
                    Known::Absent => return Ok(None),
                    Known::Entry(entry) => return Ok(Some(entry)),
                    // Compaction took the row that was sought, because a newer one is there.
                    Known::At(at) if sought != Some(at) => at,
                    Known::At(_) => return Err(rusqlite::Error::QueryReturnedNoRows.into()),
                }
            };
            let entry = self.handle.readers.rows(&[at])?.and_then(|mut rows| rows.pop());
            if let Some(entry) = entry {
                let mut state = self.handle.shared.state();
                if state.live.get(key) == Some(at) {
                    state.hot.put(&entry);
                }
                return Ok(Some(entry));
            }
            sought = Some(at);
        }
    }

    /// Entries whose keys start with `prefix` and come after `after`, as they were at one revision: `at`, or now.
    ///
    /// At most `limit` entries; 0 is no limit. Costs what the page costs, however many entries follow; at an older
    /// revision also what was there between them.
    pub async fn list(
        &self,
        prefix: &str,
        at: Option<Revision>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let limit = if limit == 0 { usize::MAX } else { limit };
        let most = limit.saturating_add(1);
        for _ in 0..PRESENT_TRIES {
            let (mut rows, seen) = {
                let state = self.handle.shared.state();
                if state.is_closed() {
                    return Err(ReadError::Closed);
                }
                if at.is_some_and(|at| at != state.revision) {
                    break;
                }
                let rows: Vec<Revision> = state.live.rows(prefix, after).take(most).collect();
                (rows, state.seen(prefix, state.revision, after, most))
            };
            let more = rows.len() > limit;
            rows.truncate(limit);
            let entries = match rows.len() {
                0 => Some(Vec::new()),
                1..=FEW => self.handle.readers.rows(&rows)?,
                _ => self.handle.readers.read(move |connection| log::rows(connection, &rows)).await?,
            };
            match entries {
                Some(entries) => return Ok(join(log::Part { entries, more }, seen, limit)),
                // Compaction overtook this list between its two looks; what it looks for then is newer, unless it asked
                // for a revision that is old by now.
                None => continue,
            }
        }
        let read = move |connection: &Connection, range: &Range, at| log::page(connection, range, at, limit);
        let (part, seen) = self.look(prefix, at, after, most, read).await?;
        Ok(join(part, seen, limit))
    }

    /// How many keys start with `prefix` now.
    pub async fn count(&self, prefix: &str) -> Result<u64, ReadError> {
        let known = {
            let state = self.handle.shared.state();
            if state.is_closed() {
                return Err(ReadError::Closed);
            }
            state.counts.below(prefix)
        };
        match known {
            Some(count) => Ok(count),
            None => self.rest(prefix, None, None).await,
        }
    }

    /// How many keys start with `prefix` and come after `after`, at one revision: `at`, or now. Looks at all of them.
    pub async fn rest(&self, prefix: &str, at: Option<Revision>, after: Option<&str>) -> Result<u64, ReadError> {
        {
            let state = self.handle.shared.state();
            if at.is_none_or(|at| at == state.revision) && !state.is_closed() {
                let volatile = state.volatile.page(prefix, after, state.revision, usize::MAX).len();
                return Ok((state.live.rows(prefix, after).count() + volatile) as u64);
            }
        }
        let (durable, seen) = self.look(prefix, at, after, usize::MAX, log::count).await?;
        Ok(durable + seen.volatile.len() as u64)
    }

    /// Reads the durable tier, and up to `most` entries of the volatile one, at one revision.
    async fn look<T: Send + 'static>(
        &self,
        prefix: &str,
        at: Option<Revision>,
        after: Option<&str>,
        most: usize,
        read: impl Fn(&Connection, &Range, Revision) -> rusqlite::Result<T> + Copy + Send + 'static,
    ) -> Result<(T, Seen), ReadError> {
        let range = Range::new(prefix, after);
        loop {
            let seen = {
                let state = self.handle.shared.state();
                let revision = at.unwrap_or(state.revision);
                if at.is_some() {
                    state.check_history(prefix, revision)?;
                }
                state.seen(prefix, revision, after, most)
            };
            let (range, revision) = (range.clone(), seen.revision);
            let read = move |connection: &Connection| {
                let compacted = log::meta(connection, log::COMPACTED)?;
                Ok((read(connection, &range, revision)?, compacted))
            };
            let (part, compacted) = self.handle.readers.read(read).await?;
            if compacted > revision {
                match at {
                    Some(_) => return Err(ReadError::Compacted { oldest: compacted }),
                    // Compaction overtook this list between its two looks; the next look is newer.
                    None => continue,
                }
            }
            return Ok((part, seen));
        }
    }

    /// Events of a prefix after revision `from`.
    pub fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, WatchError> {
        Watch::start(self.handle.shared.clone(), self.handle.readers.clone(), prefix, from)
    }

    /// The newest visible revision.
    pub fn revision(&self) -> Revision {
        self.handle.shared.revision()
    }

    /// The oldest revision that durable history can be read at.
    pub fn oldest(&self) -> Revision {
        self.handle.shared.state().compacted
    }

    /// Resolves when `revision` is visible.
    pub async fn wait_for(&self, revision: Revision) -> Result<(), ReadError> {
        if self.handle.shared.wait_for(revision).await { Ok(()) } else { Err(ReadError::Closed) }
    }

    /// Forgets history up to `to`, in steps between other writes; resolves when the rows are gone.
    pub async fn compact(&self, to: Revision) -> Result<(), WriteError> {
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.submit(Request::Compact { to, reply }, 0).await?;
        answer.await.map_err(|_| WriteError::Closed)?
    }

    /// Notes, before values are replaced whose old bytes must not stay on the disk, that [`Store::scrub`] is owed. It
    /// stays so over restarts.
    pub fn owe_scrub(&self) -> Result<(), ScrubError> {
        scrub::owe(&self.handle.options.dir).map_err(|source| self.unnoted(source))
    }

    /// Whether [`Store::scrub`] is owed.
    pub fn owes_scrub(&self) -> bool {
        scrub::is_owed(&self.handle.options.dir)
    }

    /// Takes everything that was replaced or removed off the disk: forgets history, writes the database anew, empties
    /// the log and exchanges the rolling backups for a new one. Writes wait meanwhile, for as long as the disk takes.
    pub async fn scrub(&self) -> Result<(), ScrubError> {
        self.compact(self.revision()).await?;
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.submit(Request::Scrub { reply }, 0).await?;
        answer.await.map_err(|_| WriteError::Closed)??;
        scrub::settle(&self.handle.options.dir).map_err(|source| self.unnoted(source))
    }

    fn unnoted(&self, source: std::io::Error) -> ScrubError {
        ScrubError::Note { dir: self.handle.options.dir.clone(), source }
    }

    /// Gives back the memory of caches: after a start or a burst, when nothing much is expected. They fill again as
    /// they are used.
    pub async fn relax(&self) -> Result<(), WriteError> {
        self.handle.readers.relax();
        self.handle.shared.state().hot.clear();
        let (reply, answer) = oneshot::channel();
        self.handle.inbox.submit(Request::Relax { reply }, 0).await?;
        answer.await.map_err(|_| WriteError::Closed)
    }

    /// Writes a verified copy of the durable tier to `path`, while everything goes on.
    pub async fn backup(&self, path: impl AsRef<Path>) -> Result<(), BackupError> {
        let (target, database, options) =
            (path.as_ref().to_owned(), self.handle.database.clone(), self.handle.options.clone());
        let copy = move || {
            let source = schema::source(&database, &options)
                .map_err(|source| BackupError::Copy { path: target.clone(), source })?;
            backup::make(&source, &target)
        };
        tokio::task::spawn_blocking(copy).await.map_err(|_| BackupError::Closed)?
    }

    /// Puts the durable tier of a copy made by [`Store::backup`] in the place of the present one.
    ///
    /// The copy is looked at whole before anything is touched. Revisions go on above all that were
    /// ever seen here or there; every watch, and every list at an older revision, is told that its
    /// history is gone. What lives in memory stays.
    pub async fn restore(&self, copy: impl AsRef<Path>) -> Result<Revision, BackupError> {
        let copy = copy.as_ref().to_owned();
        let checked = copy.clone();
        let check = move || backup::sound(&checked);
        tokio::task::spawn_blocking(check).await.map_err(|_| BackupError::Closed)??;
        let (reply, answer) = oneshot::channel();
        let failed = |source| BackupError::Restore { path: copy.clone(), source };
        let request = Request::Restore { copy: copy.clone(), reply };
        self.handle.inbox.submit(request, 0).await.map_err(failed)?;
        answer.await.map_err(|_| BackupError::Closed)?.map_err(failed)
    }

    /// A moment's figures.
    pub fn metrics(&self) -> Metrics {
        let mut metrics = self.handle.shared.counters.read();
        let [wal, _] = files::companions(&self.handle.database);
        metrics.database_bytes = files::size(&self.handle.database);
        metrics.wal_bytes = files::size(&wal);
        let state = self.handle.shared.state();
        metrics.revision = state.revision;
        metrics.oldest = state.compacted;
        metrics.volatile_keys = state.volatile.len() as u64;
        metrics.volatile_bytes = state.volatile.bytes() as u64;
        metrics.recent_events = state.recent().len() as u64;
        metrics.recent_bytes = (state.recent().bytes() + state.volatile.history().bytes()) as u64;
        metrics.watchers = state.watchers() as u64;
        metrics
    }

    /// Ends the store for all its handles: what waits is written, the log is copied into the database, the directory
    /// is free when this resolves.
    pub async fn close(self) {
        if let Some(thread) = self.handle.stop() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.handle.options.dir).field("revision", &self.revision()).finish()
    }
}

impl Handle {
    fn stop(&self) -> Option<JoinHandle<()>> {
        self.inbox.close();
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(thread) = self.stop() {
            let _ = thread.join();
        }
    }
}

/// However the writer thread ends, nobody is left waiting for it.
struct Ending {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    inbox: Arc<Inbox>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.inbox.abandon();
        self.shared.close();
        self.readers.close();
    }
}

fn checked_size(op: &Op) -> Result<usize, WriteError> {
    let (size, len) = (op.size(), op.body().bytes.len());
    if size > MAX_WRITE {
        return Err(WriteError::TooLarge { size, limit: MAX_WRITE });
    }
    match op.body().stamp {
        Some(offset) if offset > len => Err(WriteError::Stamp { offset, len }),
        _ => Ok(size),
    }
}

/// One page from the parts of both tiers.
fn join(part: log::Part, seen: Seen, limit: usize) -> Page {
    let Seen { revision, volatile, total } = seen;
    let mut entries = part.entries;
    if !volatile.is_empty() {
        entries.extend(volatile.into_values());
        entries.sort_by(|a, b| a.key.cmp(&b.key));
    }
    let more = part.more || entries.len() > limit;
    entries.truncate(limit);
    let remaining = if more { total.map(|total| total.saturating_sub(entries.len() as u64)) } else { Some(0) };
    Page { more, remaining, entries, revision }
}
