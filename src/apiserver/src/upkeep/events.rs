//! Events end after their time, and the oldest when there are too many.
//!
//! In: the store's events below `/core/events/`. Out: deletions. Sleeps until the oldest Event's
//! time is over, at least a minute, so a burst of Events costs one wake-up; without Events there
//! is none.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use kedge_store::{Change, Revision};
use tokio::time::Instant;

use crate::core::Core;
use crate::registry::body;
use crate::vault::Watch;

const PREFIX: &str = "/core/events/";
/// Deletions are done together this often at most.
const COALESCE: Duration = Duration::from_secs(60);

/// One written version of an Event.
struct Written {
    ends: Instant,
    key: Arc<str>,
    revision: Revision,
}

/// Deletes Events whose time is over, of those written after `from`.
pub async fn expire(core: Arc<Core>, mut from: Revision) {
    let mut queue: VecDeque<Written> = VecDeque::new();
    loop {
        // Events that were missed stay until they are written again or the daemon restarts: they
        // live in memory only.
        if let Ok(watch) = core.store.watch(PREFIX, from) {
            follow(&core, watch, &mut queue).await;
        }
        tokio::select! {
            () = tokio::time::sleep(super::BREATH) => {}
            () = core.stop.cancelled() => return,
        }
        from = core.store.revision();
    }
}

/// Follows Events until the watch breaks or the server stops.
async fn follow(core: &Core, mut watch: Watch, queue: &mut VecDeque<Written>) {
    let (most, life) = core.config.limits.events;
    let mut next = Instant::now() + life;
    loop {
        tokio::select! {
            events = watch.next() => {
                let Ok(events) = events else { return };
                let ends = Instant::now() + life;
                for event in events.iter().filter(|e| e.change != Change::Deleted) {
                    if queue.is_empty() {
                        next = ends;
                    }
                    queue.push_back(Written { ends, key: event.entry.key.clone(), revision: event.revision });
                }
                // Twice as many versions as Events may be queued: a repeated Event is written again.
                while queue.len() > most * 2 {
                    end_oldest(core, queue).await;
                }
                let kept = usize::try_from(core.store.count(PREFIX).await.unwrap_or(0)).unwrap_or(usize::MAX);
                let mut surplus = kept.saturating_sub(most);
                while surplus > 0 && !queue.is_empty() {
                    surplus -= usize::from(end_oldest(core, queue).await);
                }
            }
            () = tokio::time::sleep_until(next), if !queue.is_empty() => {
                let now = Instant::now();
                while queue.front().is_some_and(|w| w.ends <= now) {
                    end_oldest(core, queue).await;
                }
                next = queue.front().map_or(now + life, |w| w.ends.max(now + COALESCE));
            }
            () = core.stop.cancelled() => return,
        }
    }
}

/// Deletes the Event of the oldest queued version, unless it was written again since.
async fn end_oldest(core: &Core, queue: &mut VecDeque<Written>) -> bool {
    let Some(oldest) = queue.pop_front() else { return false };
    let Ok(Some(entry)) = core.store.get(&oldest.key).await else { return false };
    if entry.revision != oldest.revision {
        return false;
    }
    let Ok(object) = body::decode(&entry.bytes) else { return false };
    core.store.delete(&oldest.key, entry.revision, body::encode(&object)).await.is_ok()
}
