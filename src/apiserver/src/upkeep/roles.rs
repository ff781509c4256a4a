//! Keeps the authorizer's cache of roles equal to the store.
//!
//! In: the store's events below `/rbac.authorization.k8s.io/`. Out: changes of the cache, one by
//! one. If events were missed, everything is read again.

use std::sync::Arc;

use kedge_store::{Change, Revision};

use crate::authz::RoleCache;
use crate::core::Core;
use crate::registry::{body, keys};

const PREFIX: &str = "/rbac.authorization.k8s.io/";

/// Fills the cache from the store; out: the revision it is of.
pub async fn fill(core: &Core) -> Result<Revision, kedge_store::ReadError> {
    let page = core.store.list(PREFIX, None, None, 0).await?;
    let mut fresh = RoleCache::default();
    fresh.put_all(page.entries.iter().filter_map(|entry| {
        let object = body::decode(&entry.bytes).ok()?;
        Some((plural(&entry.key)?.to_owned(), object))
    }));
    core.authorizer.change(|cache| *cache = fresh);
    Ok(page.revision)
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, mut from: Revision) {
    loop {
        if let Ok(mut watch) = core.store.watch(PREFIX, from) {
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                for event in events {
                    apply(&core, &event.entry.key, &event.entry.bytes, event.change == Change::Deleted);
                }
            }
        }
        loop {
            if core.stop.is_cancelled() {
                return;
            }
            match fill(&core).await {
                Ok(revision) => {
                    from = revision;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read roles");
                    tokio::time::sleep(super::BREATH).await;
                }
            }
        }
    }
}

fn apply(core: &Core, key: &str, bytes: &[u8], gone: bool) {
    let (Some(plural), Some((namespace, name))) = (plural(key), keys::parse(key)) else { return };
    let bindings = plural.ends_with("bindings");
    if gone {
        core.authorizer.change(|cache| {
            if bindings { cache.drop_binding(namespace, name) } else { cache.drop_role(namespace, name) }
        });
        return;
    }
    match body::decode(bytes) {
        Ok(object) => {
            core.authorizer.change(|cache| if bindings { cache.put_binding(&object) } else { cache.put_role(&object) })
        }
        Err(error) => tracing::error!(key, %error, "a kept role cannot be read"),
    }
}

fn plural(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)?.split('/').next()
}
