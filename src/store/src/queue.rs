//! The bounded queue between the writer and one watch.
//!
//! In: events that match the watch. Out: batches. When it is full it stops taking, and the watch goes back to
//! reading history from where the queue ends. Never blocks the writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::entry::Event;

#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Arc<Event>>,
    waker: Option<Waker>,
    overflowed: bool,
    closed: bool,
}

/// What became of a push.
pub(crate) enum Pushed {
    /// All were taken; wake this one, if it waits.
    Taken(Option<Waker>),
    /// Some were not: the queue takes nothing more until it is refilled.
    Overflow(Option<Waker>),
}

/// What a watch takes from its queue.
pub(crate) enum Taken {
    Events(Vec<Arc<Event>>),
    /// Everything that was taken is handed out; what followed must be read from history.
    Overflowed,
    Closed,
}

impl Queue {
    pub(crate) fn push(&self, events: &[&Arc<Event>], limit: usize) -> Pushed {
        let mut inner = self.inner();
        let room = limit.saturating_sub(inner.events.len());
        inner.events.extend(events.iter().take(room).map(|event| Arc::clone(event)));
        let waker = inner.waker.take();
        if room < events.len() {
            inner.overflowed = true;
            return Pushed::Overflow(waker);
        }
        Pushed::Taken(waker)
    }

    /// Begins anew with these.
    pub(crate) fn refill(&self, events: impl Iterator<Item = Arc<Event>>) {
        let mut inner = self.inner();
        inner.overflowed = false;
        inner.events.clear();
        inner.events.extend(events);
    }

    /// Forgets what waits and takes nothing more: the watch must look at history, and learns there
    /// that it is gone.
    pub(crate) fn lapse(&self) -> Option<Waker> {
        let mut inner = self.inner();
        inner.events = VecDeque::new();
        inner.overflowed = true;
        inner.waker.take()
    }

    pub(crate) fn close(&self) {
        let waker = {
            let mut inner = self.inner();
            inner.closed = true;
            inner.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Takes what is there, at most `limit`, or leaves a waker.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>, limit: usize) -> Poll<Taken> {
        let mut inner = self.inner();
        if !inner.events.is_empty() {
            let count = inner.events.len().min(limit);
            let events = inner.events.drain(..count).collect();
            if inner.events.is_empty() {
                // A burst must not keep its memory.
                inner.events = VecDeque::new();
            }
            return Poll::Ready(Taken::Events(events));
        }
        if inner.closed {
            return Poll::Ready(Taken::Closed);
        }
        if inner.overflowed {
            return Poll::Ready(Taken::Overflowed);
        }
        inner.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The first event that waits; `Err` if there is none but the watch has fallen behind.
    pub(crate) fn front(&self) -> Result<Option<Arc<Event>>, Behind> {
        let inner = self.inner();
        match inner.events.front() {
            Some(event) => Ok(Some(event.clone())),
            None if inner.overflowed => Err(Behind),
            None => Ok(None),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch has to read history.
pub(crate) struct Behind;
