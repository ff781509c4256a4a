//! The bounded queue of writes before the writer thread.
//!
//! In: requests from async tasks, which wait for room. Out: whole batches to the one thread that writes.
//! Never wakes anybody while nothing happens.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::entry::{Entry, Op, Revision, Tier};
use crate::error::{ScrubError, WriteError};
use crate::options::{BATCH, INBOX_BYTES};

/// What the writer is asked to do.
pub(crate) enum Request {
    /// One write. A creation names its tier; other writes go where the key is.
    Write { tier: Option<Tier>, op: Op, reply: oneshot::Sender<Result<Arc<Entry>, WriteError>> },
    /// Several writes to durable keys, all or none.
    Apply { ops: Vec<Op>, reply: oneshot::Sender<Result<Vec<Arc<Entry>>, WriteError>> },
    /// Forget history up to a revision.
    Compact { to: Revision, reply: oneshot::Sender<Result<(), WriteError>> },
    /// Put the durable tier of a checked copy in the place of the present one.
    Restore { copy: PathBuf, reply: oneshot::Sender<Result<Revision, WriteError>> },
    /// Write the database anew, and exchange the backups.
    Scrub { reply: oneshot::Sender<Result<(), ScrubError>> },
    /// Give back what the writer's cache holds.
    Relax { reply: oneshot::Sender<()> },
}

pub(crate) struct Job {
    pub(crate) request: Request,
    _room: OwnedSemaphorePermit,
}

pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    ready: Condvar,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// What the writer should do next.
pub(crate) enum Next {
    Jobs(Vec<Job>),
    /// Nothing waits: time for background work.
    Idle,
    Closed,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { inner: Mutex::new(Inner::default()), ready: Condvar::new(), room: Arc::new(Semaphore::new(INBOX_BYTES)) }
    }

    /// Hands a request of `size` bytes over, as soon as there is room.
    pub(crate) async fn submit(&self, request: Request, size: usize) -> Result<(), WriteError> {
        if size > INBOX_BYTES {
            return Err(WriteError::TooLarge { size, limit: INBOX_BYTES });
        }
        // A request without bytes still takes the room of its struct.
        let permits = u32::try_from(size.clamp(256, INBOX_BYTES)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| WriteError::Closed)?;
        let mut inner = self.inner();
        if inner.closed {
            return Err(WriteError::Closed);
        }
        inner.jobs.push_back(Job { request, _room: room });
        let first = inner.jobs.len() == 1;
        drop(inner);
        if first {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs; returns `Idle` at once if there is background work, or after `patience`.
    pub(crate) fn take(&self, has_work: bool, patience: Option<Duration>) -> Next {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut inner = self.inner();
        loop {
            if !inner.jobs.is_empty() {
                let count = inner.jobs.len().min(BATCH);
                return Next::Jobs(inner.jobs.drain(..count).collect());
            }
            if inner.closed {
                return Next::Closed;
            }
            if has_work {
                return Next::Idle;
            }
            inner = match until {
                None => self.ready.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Next::Idle;
                    }
                    self.ready.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Takes nothing more; what is there is still done.
    pub(crate) fn close(&self) {
        self.room.close();
        self.inner().closed = true;
        self.ready.notify_all();
    }

    /// Drops what will not be done any more, so that nobody waits for it.
    pub(crate) fn abandon(&self) {
        self.close();
        let jobs = std::mem::take(&mut self.inner().jobs);
        drop(jobs);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
