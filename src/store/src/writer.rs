//! The one thread that writes: takes what waits, decides, commits once for all, makes it visible, answers.
//!
//! In: batches of requests. Out: one commit per batch that has durable writes, events in revision order, replies.
//! A revision that was ever assigned is never assigned again, even if its commit failed.
//! Sleeps without a timer while nothing waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::entry::{Entry, Event, Op, Revision, Tier};
use crate::error::{ScrubError, WriteError};
use crate::families::Families;
use crate::inbox::{Inbox, Job, Next, Request};
use crate::lock::DirLock;
use crate::log;
use crate::mark::Mark;
use crate::metrics::add;
use crate::open::Opened;
use crate::options::Options;
use crate::retention::Horizon;
use crate::rolling::Rolling;
use crate::schema;
use crate::scrub;
use crate::shared::Shared;
use crate::transaction::{self, Durable, Housekeeping, Staged, Write};

/// Events that one step of an asked-for compaction goes through.
const COMPACTION_STEP: usize = 1_024;

/// Rows removed between two looks at the free pages.
const VACUUM_EVERY: u64 = 2_048;

/// Free pages that are given back at a time: 512 KiB.
const VACUUM_PAGES: i64 = 128;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    options: Options,
    connection: Connection,
    mark: Mark,
    /// The newest revision that was assigned.
    assigned: Revision,
    horizon: Horizon,
    keeping: Housekeeping,
    compactions: Vec<(Revision, oneshot::Sender<Result<(), WriteError>>)>,
    restores: Vec<(PathBuf, oneshot::Sender<Result<Revision, WriteError>>)>,
    scrubs: Vec<oneshot::Sender<Result<(), ScrubError>>>,
    removed: u64,
    has_written: bool,
    rolling: Rolling,
    // Last, so that everything else is gone when the directory becomes free.
    _lock: DirLock,
}

/// A write to the volatile tier and whoever waits for it.
struct Fleeting {
    op: Op,
    is_new_folder: bool,
    reply: oneshot::Sender<Result<Arc<Entry>, WriteError>>,
}

impl Writer {
    pub(crate) fn new(opened: Opened, shared: Arc<Shared>, inbox: Arc<Inbox>, options: Options) -> Self {
        let now = (options.clock)();
        let history = opened.census.rows.saturating_sub(opened.census.keys);
        let bytes = crate::files::size(&opened.database) / opened.census.rows.max(1) * history;
        Self {
            horizon: Horizon::new(options.retention, opened.revision, history, bytes, now),
            keeping: Housekeeping { compacted: opened.compacted, cleaned: opened.cleaned, rows: 0 },
            rolling: Rolling::new(&options, &opened.database, now),
            connection: opened.connection,
            mark: opened.mark,
            assigned: opened.revision,
            compactions: Vec::new(),
            restores: Vec::new(),
            scrubs: Vec::new(),
            removed: 0,
            has_written: false,
            _lock: opened.lock,
            shared,
            inbox,
            options,
        }
    }

    pub(crate) fn run(mut self) {
        loop {
            let patience = self.rolling.due().map(|due| due.saturating_duration_since(self.now()));
            match self.inbox.take(!self.compactions.is_empty(), patience) {
                Next::Jobs(jobs) => {
                    self.batch(jobs);
                    // After the writes that came with it: they were asked for in the old past.
                    for (copy, reply) in std::mem::take(&mut self.restores) {
                        let _ = reply.send(self.restore(&copy));
                    }
                    for reply in std::mem::take(&mut self.scrubs) {
                        let _ = reply.send(self.scrub());
                    }
                }
                Next::Idle => {}
                Next::Closed => return self.finish(),
            }
            // After each batch too: a compaction that was asked for ends even if writes never do.
            self.compact_step();
            let now = self.now();
            self.rolling.start_if_due(now, self.assigned, &self.shared);
        }
    }

    fn batch(&mut self, jobs: Vec<Job>) {
        let (durable, volatile, families) = self.sort(jobs);
        let staged = match durable.is_empty() && families.is_none() {
            true => Ok(Staged::default()),
            false => self.commit(&durable, families.as_ref(), volatile.len() as u64),
        };
        let (staged, fault) = match staged {
            Ok(staged) => (staged, None),
            Err(fault) => (Staged::failed(&durable, &fault), Some(fault)),
        };
        let blocked: Vec<_> = volatile.iter().map(|fleeting| self.blocked(fleeting, &staged, fault.as_ref())).collect();

        let mut events = staged.events;
        let durable_writes = events.len();
        let mut state = self.shared.state();
        if let (Some(families), None) = (families, &fault) {
            state.families = families;
        }
        let mut answers = Vec::with_capacity(volatile.len());
        for (fleeting, blocked) in volatile.into_iter().zip(blocked) {
            let decided = match blocked {
                Some(error) => Err(error),
                None => decide_volatile(&state.volatile, &fleeting.op, self.assigned + 1, self.options.volatile_bytes),
            };
            let decided = decided.and_then(|event| match self.mark.cover(event.revision) {
                Ok(()) => Ok(event),
                Err(error) => Err(WriteError::Mark(Arc::new(error))),
            });
            answers.push((
                fleeting.reply,
                decided.map(|event| {
                    self.assigned = event.revision;
                    let event = Arc::new(event);
                    state.volatile.apply(&event);
                    events.push(event.clone());
                    event.entry.clone()
                }),
            ));
        }
        match events.last().map(|event| event.revision) {
            Some(newest) => self.shared.publish(state, &events, durable_writes, newest),
            None => drop(state),
        }
        add(&self.shared.counters.durable_writes, durable_writes as u64);
        add(&self.shared.counters.volatile_writes, (events.len() - durable_writes) as u64);
        // Whoever does not wait any more does not mind.
        for (durable, result) in durable.into_iter().zip(staged.results) {
            durable.answer(result);
        }
        for (reply, result) in answers {
            let _ = reply.send(result);
        }
    }

    /// Tells durable writes from volatile ones. Out too: the folders of volatile keys, if there are new ones.
    fn sort(&mut self, jobs: Vec<Job>) -> (Vec<Durable>, Vec<Fleeting>, Option<Families>) {
        let (mut durable, mut volatile) = (Vec::new(), Vec::new());
        let mut families: Option<Families> = None;
        let mut state = self.shared.state();
        for job in jobs {
            match job.request {
                Request::Compact { to, reply } => self.compactions.push((to.min(self.shared.revision()), reply)),
                Request::Restore { copy, reply } => self.restores.push((copy, reply)),
                Request::Scrub { reply } => self.scrubs.push(reply),
                // A cache that stays full is only memory.
                Request::Relax { reply } => {
                    let _ = self.connection.release_memory();
                    let _ = reply.send(());
                }
                Request::Apply { ops, reply } => {
                    let volatile = ops.iter().find(|op| state.volatile.get(op.key()).is_some());
                    match volatile.map(|op| op.key().clone()) {
                        Some(key) => {
                            let _ = reply.send(Err(WriteError::VolatileInTransaction { key }));
                        }
                        None => {
                            let mut write = |op: Op| Write { known: state.known(op.key()), op };
                            let writes = ops.into_iter().map(&mut write).collect();
                            durable.push(Durable::Many { writes, reply });
                        }
                    }
                }
                Request::Write { tier, op, reply } => {
                    let present = state.volatile.get(op.key()).cloned();
                    match (tier, present) {
                        (Some(Tier::Durable), Some(present)) => {
                            let _ = reply.send(Err(WriteError::Exists(present)));
                        }
                        (Some(Tier::Volatile), _) | (None, Some(_)) => {
                            let is_new_folder = tier.is_some() && !state.families.holds(op.key());
                            if is_new_folder {
                                families.get_or_insert_with(|| state.families.clone()).add(op.key());
                            }
                            volatile.push(Fleeting { op, is_new_folder, reply });
                        }
                        (Some(Tier::Durable) | None, None) => {
                            let known = state.known(op.key());
                            durable.push(Durable::One { write: Write { op, known }, reply });
                        }
                    }
                }
            }
        }
        (durable, volatile, families)
    }

    /// One commit for all. If space is short, history is given up once before the writes are.
    fn commit(&mut self, durable: &[Durable], families: Option<&Families>, others: u64) -> Result<Staged, WriteError> {
        let begun = self.now();
        self.keeping.compacted = self.keeping.compacted.max(self.horizon.target(begun));
        let writes: u64 = durable.iter().map(Durable::len).sum();
        let first = self.assigned + 1;
        let last = self.assigned + writes;
        self.mark.cover(last + others).map_err(|error| WriteError::Mark(Arc::new(error)))?;
        let mut result = transaction::run(&self.connection, durable, families, first, self.keeping);
        if matches!(result, Err(WriteError::DiskFull)) && self.give_up_history() {
            result = transaction::run(&self.connection, durable, families, first, self.keeping);
        }
        match &result {
            Ok(staged) => {
                let now = self.now();
                if let Some(event) = staged.events.last() {
                    self.assigned = event.revision;
                    let bytes = staged.events.iter().map(|event| event.entry.cost() as u64).sum();
                    self.horizon.note(event.revision, staged.events.len() as u64, bytes, now);
                }
                if staged.is_written {
                    self.settle(staged.keeping);
                    self.has_written = true;
                    self.rolling.dirty(now);
                    self.shared.counters.commit(now.saturating_duration_since(begun));
                    self.count_keys(staged);
                }
            }
            Err(error) => {
                // What was assigned may have reached the disk without being acknowledged: never again.
                self.assigned = last;
                add(&self.shared.counters.failed_commits, 1);
                tracing::warn!(%error, writes, "a commit failed");
                if let WriteError::Storage(error) = error
                    && crate::check::is_damage(error)
                {
                    let _ = std::fs::File::create(self.options.dir.join(crate::readers::SUSPECT));
                }
            }
        }
        result
    }

    /// Goes on with the durable tier of a copy, at a revision above all that were ever seen.
    fn restore(&mut self, copy: &Path) -> Result<Revision, WriteError> {
        let revision = self.assigned.max(transaction::newest_in(copy)?) + 1;
        self.mark.cover(revision).map_err(|error| WriteError::Mark(Arc::new(error)))?;
        // Never again, even if the commit fails after it has reached the disk.
        self.assigned = revision;
        transaction::replace(&self.connection, copy, revision)?;
        let now = self.now();
        let census = log::census(&self.connection)?;
        let cleaned = log::meta(&self.connection, log::CLEANED)?;
        let history = census.rows.saturating_sub(census.keys);
        self.keeping = Housekeeping { compacted: revision, cleaned, rows: 0 };
        self.horizon = Horizon::new(self.options.retention, revision, history, 0, now);
        self.shared.counters.durable_keys.store(census.keys, std::sync::atomic::Ordering::Relaxed);
        self.has_written = true;
        self.rolling.dirty(now);
        self.shared.begin_anew(revision, census.counts, census.live);
        tracing::info!(revision, objects = census.keys, "a backup was restored");
        Ok(revision)
    }

    /// Writes the database anew, and leaves no backup of the old one.
    fn scrub(&mut self) -> Result<(), ScrubError> {
        scrub::run(&self.connection).map_err(WriteError::from)?;
        self.has_written = true;
        let now = self.now();
        Ok(self.rolling.renew(now, self.assigned)?)
    }

    /// Takes over what a commit did for compaction.
    fn settle(&mut self, keeping: Housekeeping) {
        self.keeping = Housekeeping { rows: 0, ..keeping };
        self.shared.compact(keeping.compacted);
        add(&self.shared.counters.compacted_rows, keeping.rows);
        self.removed += keeping.rows;
        if self.removed >= VACUUM_EVERY {
            self.removed = 0;
            if let Err(error) = self.vacuum() {
                tracing::warn!(%error, "free pages could not be given back");
            }
        }
    }

    fn count_keys(&self, staged: &Staged) {
        use crate::entry::Change::{Created, Deleted};
        let keys = &self.shared.counters.durable_keys;
        let count = |change| staged.events.iter().filter(|event| event.change == change).count() as u64;
        add(keys, count(Created));
        keys.fetch_sub(count(Deleted), std::sync::atomic::Ordering::Relaxed);
    }

    /// Why a volatile write cannot even be tried.
    fn blocked(&self, fleeting: &Fleeting, staged: &Staged, fault: Option<&WriteError>) -> Option<WriteError> {
        if fleeting.is_new_folder
            && let Some(fault) = fault
        {
            return Some(fault.clone());
        }
        match fleeting.op {
            Op::Create { ref key, .. } => {
                let known = staged.known(key).unwrap_or_else(|| self.shared.state().known(key));
                match transaction::present(&self.connection, &known) {
                    Ok(entry) => entry.map(WriteError::Exists),
                    Err(error) => Some(error.into()),
                }
            }
            _ => None,
        }
    }

    /// One step of the compactions that were asked for.
    fn compact_step(&mut self) {
        let Some(to) = self.compactions.iter().map(|(to, _)| *to).max() else { return };
        let target = Housekeeping { compacted: self.keeping.compacted.max(to), ..self.keeping };
        match transaction::keep_house(&self.connection, target, COMPACTION_STEP) {
            Ok(keeping) => {
                let is_done = keeping.cleaned >= keeping.compacted;
                self.has_written = true;
                self.settle(keeping);
                let cleaned = self.keeping.cleaned;
                if is_done && let Err(error) = self.vacuum() {
                    tracing::warn!(%error, "free pages could not be given back");
                }
                for (_, reply) in self.compactions.extract_if(.., |(to, _)| *to <= cleaned) {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                for (_, reply) in self.compactions.drain(..) {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Drops all history to make room. Out: whether that is worth another try.
    fn give_up_history(&mut self) -> bool {
        let newest = self.shared.revision();
        if self.keeping.cleaned >= newest {
            return false;
        }
        let mut freed = false;
        let mut keeping = Housekeeping { compacted: newest, ..self.keeping };
        while keeping.cleaned < newest {
            match transaction::keep_house(&self.connection, keeping, COMPACTION_STEP) {
                Ok(done) => {
                    freed |= done.rows > 0;
                    keeping = done;
                    self.settle(done);
                }
                Err(_) => break,
            }
        }
        if freed {
            tracing::warn!("no space left: history was given up to go on writing");
        }
        freed
    }

    /// Gives free pages back to the file system, a few at a time, when they are a quarter of the database.
    fn vacuum(&mut self) -> rusqlite::Result<()> {
        let free = schema::pragma(&self.connection, "freelist_count")?;
        if free > 2 * VACUUM_PAGES && free * 4 > schema::pragma(&self.connection, "page_count")? {
            let pages = VACUUM_PAGES.max(free / 8);
            let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            // One page a step.
            let mut steps = statement.query([])?;
            while steps.next()?.is_some() {}
        }
        Ok(())
    }

    /// Leaves a database that opens fast: all in its place, and a log whose first page says that it is done.
    fn finish(mut self) {
        self.shared.close();
        self.rolling.join();
        if self.has_written {
            let checkpoint = "PRAGMA busy_timeout = 500; PRAGMA wal_checkpoint(RESTART)";
            // A commit that changes something begins the log anew.
            let restarted = self.connection.execute_batch(checkpoint).and_then(|()| log::count_close(&self.connection));
            if let Err(error) = restarted {
                tracing::warn!(%error, "the log could not be copied into the database; the next start will do it");
            }
        }
        if let Err(error) = self.mark.close(self.assigned) {
            tracing::warn!(%error, "the revision mark could not be written; the next start skips some revisions");
        }
    }

    fn now(&self) -> Instant {
        (self.options.clock)()
    }
}

fn decide_volatile(
    tier: &crate::volatile::Volatile,
    op: &Op,
    revision: Revision,
    limit: usize,
) -> Result<Event, WriteError> {
    let event = op.decide(tier.get(op.key()).cloned(), revision)?;
    let is_growing = !matches!(op, Op::Delete { .. });
    if is_growing && !tier.has_room(op.key(), event.entry.cost(), limit) {
        return Err(WriteError::VolatileFull { limit });
    }
    Ok(event)
}
