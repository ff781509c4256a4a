//! Following a prefix from a revision on.
//!
//! Expected flow: live from a queue that the writer fills; when the watch starts below what memory keeps, or was too
//! slow, it reads history in pieces until memory reaches back to its place, then joins again under the lock that
//! publishes, so there is neither gap nor duplicate.
//! Guarantees: it blocks nobody; it fails with `Compacted` only if what it has not read is gone. Cancel-safe.
//! Never polls.

use std::future::poll_fn;
use std::sync::Arc;

use crate::entry::{Event, Revision};
use crate::error::WatchError;
use crate::log::{self, Range};
use crate::queue::{Queue, Taken};
use crate::readers::Readers;
use crate::shared::{Shared, Start};

/// Events in one batch: at 1 KB each 256 KiB, a comfortable write to a socket.
const BATCH: usize = 256;

/// A place in the order of events of a prefix. Dropping it unsubscribes.
pub struct Watch {
    shared: Arc<Shared>,
    readers: Arc<Readers>,
    prefix: Arc<str>,
    queue: Arc<Queue>,
    /// Every event up to here has been handed out.
    reached: Revision,
    live: bool,
}

impl Watch {
    pub(crate) fn start(
        shared: Arc<Shared>,
        readers: Arc<Readers>,
        prefix: &str,
        from: Revision,
    ) -> Result<Self, WatchError> {
        let prefix: Arc<str> = prefix.into();
        let queue = Arc::new(Queue::default());
        let live = matches!(shared.join(&prefix, from, &queue)?, Start::Live);
        Ok(Self { shared, readers, prefix, queue, reached: from, live })
    }

    /// The next events, at least one, in order. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, WatchError> {
        loop {
            if self.live {
                match poll_fn(|context| self.queue.poll_take(context, BATCH)).await {
                    Taken::Events(events) => {
                        self.reached = events.last().map_or(self.reached, |event| event.revision);
                        return Ok(events);
                    }
                    Taken::Overflowed => self.live = false,
                    Taken::Closed => return Err(WatchError::Closed),
                }
            }
            if matches!(self.shared.join(&self.prefix, self.reached, &self.queue)?, Start::Live) {
                self.live = true;
                continue;
            }
            let (events, reached) = self.history().await?;
            self.reached = reached;
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Everything up to this revision has been handed out. Wakes nobody and waits for nothing.
    pub fn progress(&self) -> Revision {
        if !self.live {
            return self.reached;
        }
        // Read before the queue is looked at: what is visible by now has been pushed by now.
        let visible = self.shared.revision();
        match self.queue.front() {
            Ok(None) => self.reached.max(visible),
            Ok(Some(event)) => self.reached.max(event.revision - 1),
            Err(_) => self.reached,
        }
    }

    /// The prefix that is watched.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// One piece of history, and how far it reaches.
    async fn history(&self) -> Result<(Vec<Arc<Event>>, Revision), WatchError> {
        let from = self.reached;
        let (to, volatile) = {
            let state = self.shared.state();
            state.check_history(&self.prefix, from)?;
            let to = state.revision;
            (to, state.volatile.history().between(&self.prefix, from, to).cloned().collect::<Vec<_>>())
        };
        let range = Range::new(&self.prefix, None);
        let (piece, compacted) = self
            .readers
            .read(move |connection| {
                let compacted = log::meta(connection, log::COMPACTED)?;
                Ok((log::events(connection, &range, from + 1..=to, BATCH)?, compacted))
            })
            .await?;
        if compacted > from {
            return Err(WatchError::Compacted { oldest: compacted });
        }
        let mut events = piece.events;
        let durable = events.len();
        events.extend(volatile.into_iter().filter(|event| event.revision <= piece.reached));
        if events.len() > durable && durable > 0 {
            events.sort_by_key(|event| event.revision);
        }
        Ok((events, piece.reached))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.leave(&self.prefix, &self.queue);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("prefix", &self.prefix).field("reached", &self.reached).finish()
    }
}
