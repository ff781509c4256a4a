//! What the handles, the writer and the watches share: the visible state, under one lock held for microseconds.
//!
//! In: batches of events, in revision order, after they are safe. Out: a visible revision, and woken watches.
//! Never waits for a disk or a watcher.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::sync::watch;

use crate::counts::Counts;
use crate::entry::{Change, Entry, Event, Revision};
use crate::error::{ReadError, WatchError};
use crate::families::Families;
use crate::hot::Hot;
use crate::live::{Known, Live};
use crate::metrics::{Counters, add};
use crate::options::Options;
use crate::queue::{Pushed, Queue};
use crate::volatile::{Recent, Volatile};

pub(crate) struct Shared {
    state: Mutex<State>,
    /// The newest visible revision, for those who wait for one.
    visible: watch::Sender<Revision>,
    /// The same, for those who only look.
    revision: AtomicU64,
    pub(crate) counters: Counters,
    queue_limit: usize,
}

pub(crate) struct State {
    pub(crate) revision: Revision,
    /// History below this cannot be read.
    pub(crate) compacted: Revision,
    pub(crate) volatile: Volatile,
    pub(crate) families: Families,
    /// Keys of both tiers, at `revision`.
    pub(crate) counts: Counts,
    /// Durable keys, at `revision`.
    pub(crate) live: Live,
    /// Some of their entries.
    pub(crate) hot: Hot,
    recent: Recent,
    watches: BTreeMap<Arc<str>, Vec<Arc<Queue>>>,
    closed: bool,
}

/// What memory says of a prefix at a revision.
pub(crate) struct Seen {
    pub(crate) revision: Revision,
    pub(crate) volatile: BTreeMap<Arc<str>, Arc<Entry>>,
    /// How many keys of both tiers there are, if that is known.
    pub(crate) total: Option<u64>,
}

/// Where a watch begins.
pub(crate) enum Start {
    /// Its queue holds everything so far, and will get what comes.
    Live,
    /// It must first read history.
    History,
}

impl Shared {
    pub(crate) fn new(
        revision: Revision,
        compacted: Revision,
        families: Families,
        (counts, live): (Counts, Live),
        options: &Options,
    ) -> Self {
        let state = State {
            revision,
            compacted,
            volatile: Volatile::new(revision, options.volatile_events, options.volatile_event_bytes),
            families,
            counts,
            live,
            hot: Hot::new(options.hot_bytes),
            recent: Recent::new(revision, options.recent_events, options.recent_bytes),
            watches: BTreeMap::new(),
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            visible: watch::Sender::new(revision),
            revision: AtomicU64::new(revision),
            counters: Counters::default(),
            queue_limit: options.watch_queue.max(1),
        }
    }

    /// Nothing that is done under this lock leaves it half done, so a poisoned one is as good.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision.load(Ordering::Acquire)
    }

    /// Resolves when `revision` is visible; `false` if the store was closed before.
    pub(crate) async fn wait_for(&self, revision: Revision) -> bool {
        if self.revision() >= revision {
            return true;
        }
        let mut visible = self.visible.subscribe();
        let reached = visible.wait_for(|now| *now >= revision || *now == Revision::MAX).await;
        reached.is_ok_and(|now| *now != Revision::MAX)
    }

    /// Makes events visible and hands them to the watches; the first `durable` of them are of that tier. `state` is the
    /// lock the caller decided under.
    pub(crate) fn publish(
        &self,
        mut state: MutexGuard<'_, State>,
        events: &[Arc<Event>],
        durable: usize,
        up_to: Revision,
    ) {
        state.revision = up_to;
        for event in events.iter().take(durable) {
            match event.change {
                Change::Created | Change::Updated => {
                    state.live.put(&event.entry.key, event.revision);
                    state.hot.put(&event.entry);
                }
                Change::Deleted => {
                    state.live.remove(&event.entry.key);
                    state.hot.remove(&event.entry.key);
                }
            }
        }
        for event in events {
            state.recent.push(event.clone());
            match event.change {
                Change::Created => state.counts.add(&event.entry.key, 1),
                Change::Deleted => state.counts.remove(&event.entry.key),
                Change::Updated => {}
            }
        }
        let wakers = state.hand_out(events, self.queue_limit, &self.counters);
        // After the queues: a watch that sees this revision and an empty queue has been given everything up to it.
        self.revision.store(up_to, Ordering::Release);
        drop(state);
        self.visible.send_replace(up_to);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn compact(&self, revision: Revision) {
        let mut state = self.state();
        state.compacted = state.compacted.max(revision);
        state.volatile.compact(revision);
    }

    /// History ends at `revision`: everything before it is another past. Watches are told so.
    ///
    /// `counts` and `live`: the keys of the durable tier.
    pub(crate) fn begin_anew(&self, revision: Revision, mut counts: Counts, live: Live) {
        let mut state = self.state();
        state.volatile.keys().for_each(|key| counts.add(key, 1));
        state.counts = counts;
        state.live = live;
        state.hot.clear();
        state.revision = revision;
        state.compacted = revision;
        state.volatile.compact(revision);
        state.recent.forget(revision);
        let watches = std::mem::take(&mut state.watches);
        let wakers: Vec<Waker> = watches.into_values().flatten().filter_map(|queue| queue.lapse()).collect();
        // After the queues: no watch may think that it has been given everything up to here.
        self.revision.store(revision, Ordering::Release);
        drop(state);
        self.visible.send_replace(revision);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ends all watches and waits.
    pub(crate) fn close(&self) {
        let watches = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.watches)
        };
        watches.into_values().flatten().for_each(|queue| queue.close());
        self.visible.send_replace(Revision::MAX);
    }

    /// Puts a watch among those that get what comes, if recent events reach back to its place.
    pub(crate) fn join(&self, prefix: &Arc<str>, from: Revision, queue: &Arc<Queue>) -> Result<Start, WatchError> {
        let mut state = self.state();
        if state.closed {
            return Err(WatchError::Closed);
        }
        if from > state.revision {
            return Err(WatchError::Future { current: state.revision });
        }
        if from < state.recent.floor() {
            state.check_history(prefix, from)?;
            return Ok(Start::History);
        }
        queue.refill(state.recent.between(prefix, from, Revision::MAX).cloned());
        state.watches.entry(prefix.clone()).or_default().push(queue.clone());
        Ok(Start::Live)
    }

    pub(crate) fn leave(&self, prefix: &Arc<str>, queue: &Arc<Queue>) {
        let mut state = self.state();
        if let Some(watches) = state.watches.get_mut(prefix) {
            if let Some(at) = watches.iter().position(|other| Arc::ptr_eq(other, queue)) {
                watches.swap_remove(at);
            }
            if watches.is_empty() {
                state.watches.remove(prefix);
            }
        }
    }
}

impl State {
    /// Whether everything about `prefix` since `revision` can still be told.
    pub(crate) fn check_history(&self, prefix: &str, revision: Revision) -> Result<(), ReadError> {
        if revision > self.revision {
            return Err(ReadError::Future { current: self.revision });
        }
        let oldest = match self.families.touches(prefix) {
            true => self.compacted.max(self.volatile.history().floor()),
            false => self.compacted,
        };
        if revision < oldest { Err(ReadError::Compacted { oldest }) } else { Ok(()) }
    }

    /// What a list of up to `most` entries needs to know beside the durable ones.
    pub(crate) fn seen(&self, prefix: &str, revision: Revision, after: Option<&str>, most: usize) -> Seen {
        // Counts are of now, and of whole folders.
        let is_counted = revision == self.revision && after.is_none();
        let total = is_counted.then(|| self.counts.below(prefix)).flatten();
        Seen { revision, volatile: self.volatile.page(prefix, after, revision, most), total }
    }

    /// What is known of a durable key.
    pub(crate) fn known(&mut self, key: &str) -> Known {
        match (self.hot.get(key), self.live.get(key)) {
            (Some(entry), _) => Known::Entry(entry),
            (None, Some(revision)) => Known::At(revision),
            (None, None) => Known::Absent,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn watchers(&self) -> usize {
        self.watches.values().map(Vec::len).sum()
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    fn hand_out(&mut self, events: &[Arc<Event>], limit: usize, counters: &Counters) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut matching = Vec::new();
        self.watches.retain(|prefix, watches| {
            matching.clear();
            matching.extend(events.iter().filter(|event| event.entry.key.starts_with(&**prefix)));
            if !matching.is_empty() {
                watches.retain(|queue| match queue.push(&matching, limit) {
                    Pushed::Taken(waker) => {
                        wakers.extend(waker);
                        true
                    }
                    Pushed::Overflow(waker) => {
                        wakers.extend(waker);
                        add(&counters.watchers_lagged, 1);
                        false
                    }
                });
            }
            !watches.is_empty()
        });
        wakers
    }
}
