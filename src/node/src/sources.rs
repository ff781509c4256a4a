//! ConfigMaps and Secrets that pods use: fetched when asked for, and watched while a volume shows them.
//!
//! In: names. Out: objects, and a count that grows when one changes. One watch for each object, however many pods use
//! it; it ends with the last of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::container::env::{SourceRef, Sources as Fetched};
use crate::port::{Api, ApiFault, WatchStep};

type Key = (String, SourceRef);

/// Fetches and watches.
pub struct Sources {
    api: Arc<dyn Api>,
    watches: Arc<Mutex<HashMap<Key, watch::Sender<u64>>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Sources {
    /// Over that API; watches end with `stop` and are counted in `tasks`.
    pub fn new(api: Arc<dyn Api>, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { api, watches: Arc::default(), tasks, stop }
    }

    /// The objects; those that do not exist are `None`.
    pub async fn fetch(
        &self,
        namespace: &str,
        references: impl IntoIterator<Item = SourceRef>,
    ) -> Result<Fetched, ApiFault> {
        let mut all = Fetched::new();
        for reference in references {
            if all.contains_key(&reference) {
                continue;
            }
            let answer = self.api.get(reference.kind, Some(namespace), &reference.name).await;
            let object = match answer {
                Ok(object) => Some(object),
                Err(ApiFault::NotFound(_)) => None,
                Err(fault) => return Err(fault),
            };
            all.insert(reference, object);
        }
        Ok(all)
    }

    /// A count that grows with each change of the object from now on.
    pub fn follow(&self, namespace: &str, reference: &SourceRef) -> watch::Receiver<u64> {
        let key = (namespace.to_owned(), reference.clone());
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = watches.get(&key) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(0);
        watches.insert(key.clone(), sender.clone());
        let fields = format!("metadata.name={}", reference.name);
        let mut steps = self.api.watch(reference.kind, Some(namespace), &fields);
        let (all, stop) = (self.watches.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut synced = false;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sender.closed() => {
                        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                        // Somebody may have come before this lock; their watch must not be lost.
                        if sender.receiver_count() == 0 {
                            all.remove(&key);
                            return;
                        }
                    }
                    () = count(&mut steps, &mut synced, &sender) => return,
                }
            }
        });
        receiver
    }
}

async fn count(
    steps: &mut futures::stream::BoxStream<'static, WatchStep>,
    synced: &mut bool,
    sender: &watch::Sender<u64>,
) {
    while let Some(step) = steps.next().await {
        match step {
            WatchStep::Synced => *synced = true,
            WatchStep::Restarted => {}
            // The first list tells what the follower has just fetched.
            WatchStep::Apply(_) | WatchStep::Delete(_) if !*synced => {}
            WatchStep::Apply(_) | WatchStep::Delete(_) => sender.send_modify(|count| *count += 1),
        }
    }
}
