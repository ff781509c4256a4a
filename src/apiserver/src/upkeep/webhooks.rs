//! Keeps the webhooks that are asked equal to the store.
//!
//! In: the store's events below one kind of configurations. Out: changes of the list, one by one.
//! If events were missed, everything is read again. Without configurations there are no events.

use std::sync::Arc;

use kedge_store::{Change, Revision};

use crate::admission::webhook::Family;
use crate::core::Core;
use crate::registry::{body, keys};

fn prefix(family: Family) -> String {
    keys::fixed("admissionregistration.k8s.io", family.plural(), "", "")
}

/// Fills the list from the store; out: the revision it is of.
pub async fn fill(core: &Core, family: Family) -> Result<Revision, kedge_store::ReadError> {
    let page = core.store.list(&prefix(family), None, None, 0).await?;
    let configurations: Vec<_> = page.entries.iter().filter_map(|entry| body::decode(&entry.bytes).ok()).collect();
    core.webhooks.fill(family, &configurations);
    core.webhooks.reached(family, page.revision);
    Ok(page.revision)
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, family: Family, mut from: Revision) {
    let prefix = prefix(family);
    loop {
        if let Ok(mut watch) = core.store.watch(&prefix, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                let newest = events.last().map_or(0, |event| event.revision);
                for event in events {
                    let Some((_, name)) = keys::parse(&event.entry.key) else { continue };
                    if event.change == Change::Deleted {
                        core.webhooks.remove(family, name);
                    } else if let Ok(configuration) = body::decode(&event.entry.bytes) {
                        core.webhooks.put(family, &configuration);
                    }
                }
                core.webhooks.reached(family, newest);
            }
        }
        loop {
            match fill(&core, family).await {
                Ok(revision) => {
                    from = revision;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read webhook configurations");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(super::BREATH) => {}
                () = core.stop.cancelled() => return,
            }
        }
    }
}
