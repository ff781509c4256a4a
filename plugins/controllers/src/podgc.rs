//! The collector of pods: what is left of nodes that are gone.
//!
//! In: the name of a node, and the pods that name it. Out: pods of a node that does not exist are marked as failed and
//! removed after a while; so are ending pods of a node that was declared out of service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::{Value, json};

use crate::pods::pods;
use crate::world::{self, Change, Outcome};

/// A node may come back within this time; its pods wait for it. As in Kubernetes.
const QUARANTINE: i64 = 40_000_000;
/// Nodes whose going is remembered; beyond them the quarantine begins anew.
const REMEMBERED: usize = 1000;
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

// Of an instance. Another instance begins the quarantine anew, so it may last longer, never shorter.
std::thread_local! {
    static MISSED: RefCell<HashMap<String, i64>> = RefCell::default();
}

fn nodes() -> Kind {
    world::kind("", "v1", "Node")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Json, Text};
    let own = [("spec.taints", Json), ("status.conditions[type=Ready].status", Text)];
    let pod = [("spec.nodeName", Text)];
    Controller {
        name: "pod-garbage-collector".into(),
        watches: vec![
            world::watch(nodes(), &own, &[Wakes::Itself]),
            world::watch(pods(), &pod, &[Wakes::ClusterNamedAt("spec.nodeName".into())]),
        ],
        workers: 1,
    }
}

/// Looks at one node, or at what it left.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    if let Some(node) = found.first() {
        MISSED.with_borrow_mut(|missed| missed.remove(&key.name));
        let out = is_out_of_service(&world::json(node.text(0)), node.text(1) == Some("True"));
        return if out { collect(&key.name, true) } else { Ok(None) };
    }
    if of_node(&key.name)?.is_empty() {
        MISSED.with_borrow_mut(|missed| missed.remove(&key.name));
        return Ok(None);
    }
    let now = world::now();
    let since = MISSED.with_borrow_mut(|missed| {
        if missed.len() >= REMEMBERED {
            missed.clear();
        }
        *missed.entry(key.name.clone()).or_insert(now)
    });
    let left = since + QUARANTINE - now;
    if left > 0 {
        return Ok(Some(Duration::from_micros(left.unsigned_abs())));
    }
    // The rows may be late, and a wrong guess deletes.
    match world::get(&nodes(), "", &key.name)? {
        Some(_) => Ok(None),
        None => collect(&key.name, false),
    }
}

fn is_out_of_service(taints: &Value, ready: bool) -> bool {
    !ready && taints.as_array().into_iter().flatten().any(|taint| taint["key"] == OUT_OF_SERVICE)
}

fn of_node(node: &str) -> Result<Vec<Value>, String> {
    let selector = format!("spec.nodeName={node}");
    let text = cluster::list(&pods(), "", "", &selector).map_err(|e| world::said("list", "Pod", node, &e))?;
    serde_json::from_str::<Vec<Value>>(&text).map_err(|e| format!("Pod list: {e}"))
}

/// Marks the pods of a node as failed and removes them; only those that are ending, or all.
fn collect(node: &str, only_ending: bool) -> Outcome {
    for pod in of_node(node)? {
        let meta = &pod["metadata"];
        if only_ending && meta["deletionTimestamp"].is_null() {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let (namespace, name, uid) = (text(&meta["namespace"]), text(&meta["name"]), text(&meta["uid"]));
        let mut changes = Vec::new();
        if let Some(status) = failed(&pod, !only_ending, world::now()) {
            let patch = json!({"metadata": {"uid": uid}, "status": status});
            changes.push(world::merge(&pods(), &namespace, &name, "status", &patch));
        }
        changes.push(at_once(&namespace, &name, &uid));
        for answer in cluster::write(&changes, world::Order::InTurn) {
            match answer {
                Err(e) if e.code != 404 && e.code != 409 && e.code != 0 => {
                    return Err(world::said("remove", "Pod", &name, &e));
                }
                _ => {}
            }
        }
    }
    Ok(None)
}

/// What changes in the status of a pod that nobody runs any more; nothing when it has ended.
fn failed(pod: &Value, tell: bool, now: i64) -> Option<Value> {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if tell {
        conditions.retain(|held| held["type"] != "DisruptionTarget");
        conditions.push(json!({
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists", "lastTransitionTime": world::rfc3339(now),
        }));
    }
    Some(json!({"phase": "Failed", "conditions": conditions}))
}

fn at_once(namespace: &str, name: &str, uid: &str) -> Change {
    Change::Delete(cluster::DeleteRequest {
        kind: pods(),
        key: Key { namespace: namespace.into(), name: name.into() },
        uid: uid.into(),
        resource_version: String::new(),
        propagation: None,
        grace_seconds: Some(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_lost_nodes_are_told_to_have_failed() {
        let told = failed(&json!({"status": {"phase": "Running"}}), true, 0).unwrap();
        assert_eq!(
            (told["phase"].as_str(), told["conditions"][0]["reason"].as_str()),
            (Some("Failed"), Some("DeletionByPodGC"))
        );
        assert_eq!(failed(&json!({"status": {"phase": "Succeeded"}}), true, 0), None);
    }

    #[test]
    fn out_of_service_needs_the_taint_and_no_readiness() {
        let taints = json!([{"key": OUT_OF_SERVICE}]);
        assert!(is_out_of_service(&taints, false) && !is_out_of_service(&taints, true));
        assert!(!is_out_of_service(&Value::Null, false));
    }
}
