//! Keeps the authorizer's cache of roles equal to the store, and roles that gather others written as they act.
//!
//! In: the store's events below `/rbac.authorization.k8s.io/`. Out: changes of the cache, one by
//! one; the rules of ClusterRoles with an `aggregationRule`, where they are kept otherwise. If events were missed,
//! everything is read again.

use std::sync::Arc;

use kedge_api::status::Reason;
use kedge_store::{Change, Revision};
use serde_json::{Value, json};

use crate::authz::RoleCache;
use crate::authz::rules::Rule;
use crate::bootstrap;
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
            gather(&core).await;
            loop {
                let events = tokio::select! {
                    events = watch.next() => events,
                    () = core.stop.cancelled() => return,
                };
                let Ok(events) = events else { break };
                for event in events {
                    apply(&core, &event.entry.key, &event.entry.bytes, event.change == Change::Deleted);
                }
                gather(&core).await;
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

/// Writes the rules of what gathers. Its own event comes back and finds nothing to do.
async fn gather(core: &Core) {
    for (name, rules) in core.authorizer.read(RoleCache::behind) {
        let rules: Vec<Value> = rules.iter().map(Rule::to_json).collect();
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name}, "rules": rules});
        match bootstrap::apply(core, "clusterrole-aggregation-controller", role).await {
            Err(status) if !matches!(status.reason, Reason::Conflict | Reason::NotFound) => {
                tracing::error!(name, %status, "the rules that a ClusterRole gathers cannot be written");
            }
            _ => {}
        }
    }
}

fn plural(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)?.split('/').next()
}
