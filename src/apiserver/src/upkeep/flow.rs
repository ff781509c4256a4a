//! Keeps flow control equal to the kept FlowSchemas and PriorityLevelConfigurations.
//!
//! In: the store's events below `/flowcontrol.apiserver.k8s.io/`. Out: a new table for each batch of changes, and the
//! `Dangling` condition of schemas that name a level. Sleeps while nothing changes.

use std::sync::Arc;

use kedge_api::{Object, meta};
use kedge_store::{ReadError, Revision};
use serde_json::{Value, json};

use crate::core::Core;
use crate::flow::table::Table;
use crate::registry::{body, keys};

const PREFIX: &str = "/flowcontrol.apiserver.k8s.io/";

/// Reads everything and takes it over; out: the revision it is of.
pub async fn fill(core: &Core) -> Result<Revision, ReadError> {
    let page = core.store.list(PREFIX, None, None, 0).await?;
    let objects: Vec<Object> = page.entries.iter().filter_map(|entry| body::decode(&entry.bytes).ok()).collect();
    let table = Table::compile(objects.iter());
    let kinds = core.kinds();
    for object in objects.iter().filter(|object| meta::kind(object) == "FlowSchema") {
        let Some(condition) = dangling(object, &table) else { continue };
        let mut fixed = object.clone();
        let now = json!(core.timestamp());
        put_condition(&mut fixed, condition, now);
        let Some(kind) = kinds.by_word("flowschemas.flowcontrol.apiserver.k8s.io") else { continue };
        let key = keys::object(kind, "", meta::name(object));
        let revision = meta::resource_version(object).parse().unwrap_or(0);
        let index = bytes::Bytes::from(crate::registry::rules::index(kind, &fixed));
        // Whoever wrote in between causes another round.
        if let Err(error) = core.store.update(&key, revision, body::encode(&fixed), index).await {
            tracing::debug!(%error, key, "a schema's condition is written next time");
        }
    }
    core.flow.configure(table);
    Ok(page.revision)
}

/// Follows the store from a revision on.
pub async fn follow(core: Arc<Core>, mut from: Revision) {
    loop {
        if let Ok(mut watch) = core.store.watch(PREFIX, from) {
            let changed = tokio::select! {
                events = watch.next() => events.is_ok(),
                () = core.stop.cancelled() => return,
            };
            if !changed {
                tokio::select! {
                    () = tokio::time::sleep(super::BREATH) => {}
                    () = core.stop.cancelled() => return,
                }
            }
        }
        loop {
            match fill(&core).await {
                Ok(revision) => {
                    from = revision;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot read flow schemas");
                    tokio::select! {
                        () = tokio::time::sleep(super::BREATH) => {}
                        () = core.stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

/// The condition that a schema should have and has not.
fn dangling(object: &Object, table: &Table) -> Option<Value> {
    let level = object.pointer("/spec/priorityLevelConfiguration/name").and_then(Value::as_str).unwrap_or("");
    let (status, reason, message) = if table.has_level(level) {
        let message =
            format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} and it exists");
        ("False", "Found", message)
    } else {
        let message = format!(
            "This FlowSchema references the PriorityLevelConfiguration object named {level:?} but there is no such object"
        );
        ("True", "NotFound", message)
    };
    let same = meta::list_at(object, &["status", "conditions"])
        .iter()
        .any(|condition| meta::text(condition, "type") == "Dangling" && meta::text(condition, "status") == status);
    (!same).then(|| json!({"type": "Dangling", "status": status, "reason": reason, "message": message}))
}

fn put_condition(object: &mut Object, mut condition: Value, now: Value) {
    condition["lastTransitionTime"] = now;
    if !object["status"].is_object() {
        object["status"] = json!({});
    }
    let status = &mut object["status"];
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    if let Some(list) = status["conditions"].as_array_mut() {
        list.retain(|other| meta::text(other, "type") != "Dangling");
        list.push(condition);
    }
}
