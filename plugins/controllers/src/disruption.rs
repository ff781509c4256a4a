//! The disruption controller: how many pods of a budget may be evicted now.
//!
//! In: a PodDisruptionBudget, the pods that it chooses, the sizes of what controls them. Out: its status. Whether an
//! eviction is let through is the API server's to say, by this status. Decides in `plan`.

mod plan;

use std::collections::HashMap;
use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::Value;

use crate::world::{self, EventType, Outcome};
use plan::Pod;

fn budgets() -> Kind {
    world::kind("policy", "v1", "PodDisruptionBudget")
}

fn pods() -> Kind {
    world::kind("", "v1", "Pod")
}

/// What it watches. Pods are read from the API, where there is a budget at all.
pub fn declare() -> Controller {
    use FieldType::{Json, Text, Time};
    let own = [("metadata.uid", Text), ("spec", Json), ("spec.selector", Json), ("status", FieldType::Hash)];
    let pod = [("metadata.deletionTimestamp", Time), ("status.conditions[type=Ready].status", Text)];
    Controller {
        name: "disruption-controller".into(),
        watches: vec![
            world::watch(budgets(), &own, &[Wakes::Itself]),
            world::watch(pods(), &pod, &[Wakes::SelectedBy("spec.selector".into())]),
        ],
        workers: 1,
    }
}

/// The status of one budget.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(mut budget) = world::get(&budgets(), &key.namespace, &key.name)? else { return Ok(None) };
    let uid = budget["metadata"]["uid"].as_str().unwrap_or_default().to_string();
    let say = |as_type: EventType, reason: &str, text: &str| {
        world::event(&budgets(), &key.namespace, &key.name, &uid, as_type, reason, text);
    };
    let found = match &budget["spec"]["selector"] {
        Value::Null => Vec::new(),
        selector => world::list(&pods(), &key.namespace, &world::selector_text(selector))?,
    };
    if found.is_empty() {
        say(EventType::Normal, "NoPods", "No matching pods found");
    }
    let mut unmanaged = false;
    let expected = plan::expected(&budget["spec"], found.len() as i64, || {
        let (scale, without) = scale(&key.namespace, &found)?;
        unmanaged = without;
        Ok(scale)
    });
    let now = world::now();
    let (status, again) = match expected {
        Err(why) => {
            let text = format!("Failed to calculate the number of expected pods: {why}");
            say(EventType::Warning, "CalculateExpectedPodCountFailed", &text);
            let status = plan::fail_safe(&budget["status"], &why, now);
            ((status != budget["status"]).then_some(status), None)
        }
        Ok(expected) => {
            if unmanaged {
                say(EventType::Warning, "UnmanagedPods", &unmanaged_text(&budget["spec"]["selector"]));
            }
            let seen: Vec<Pod> = found.iter().map(read).collect();
            let generation = budget["metadata"]["generation"].as_i64().unwrap_or(0);
            let decided = plan::plan(generation, &budget["status"], &seen, expected, now);
            for name in &decided.not_deleted {
                let pod = found.iter().find(|pod| pod["metadata"]["name"] == **name);
                let uid = pod.and_then(|pod| pod["metadata"]["uid"].as_str()).unwrap_or_default();
                let text =
                    format!("Pod was expected by PDB {}/{} to be deleted but it wasn't", key.namespace, key.name);
                world::event(&pods(), &key.namespace, name, uid, EventType::Warning, "NotDeleted", &text);
            }
            (decided.status, decided.again_in)
        }
    };
    let again = again.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs()));
    let Some(status) = status else { return Ok(again) };
    budget["status"] = status;
    match world::one(world::update(&budgets(), &key.namespace, &key.name, "status", &budget)) {
        Ok(_) => Ok(again),
        Err(e) if e.code == 404 => Ok(None),
        // An eviction took from the budget meanwhile.
        Err(e) if e.code == 409 => Ok(Some(world::RACED)),
        Err(e) => Err(world::said("write the status of", "PodDisruptionBudget", &key.name, &e)),
    }
}

fn read(pod: &Value) -> Pod {
    let conditions = pod["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True");
    Pod {
        name: pod["metadata"]["name"].as_str().unwrap_or_default().into(),
        ready,
        ending: !pod["metadata"]["deletionTimestamp"].is_null(),
    }
}

fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array().into_iter().flatten().find(|owner| owner["controller"] == true)
}

/// The sum of the sizes of all that controls these pods, each counted once; and whether some pods have no controller.
fn scale(namespace: &str, pods: &[Value]) -> Result<(i64, bool), String> {
    let mut sizes: HashMap<String, i64> = HashMap::new();
    let mut asked: HashMap<String, ()> = HashMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = controller(pod) else {
            unmanaged = true;
            continue;
        };
        let uid = owner["uid"].as_str().unwrap_or_default();
        if asked.insert(uid.into(), ()).is_some() {
            continue;
        }
        match size_of(namespace, owner)? {
            Some((uid, size)) => {
                sizes.insert(uid, size);
            }
            None => {
                return Err(format!(
                    "found no controllers for pod {:?}",
                    pod["metadata"]["name"].as_str().unwrap_or_default()
                ));
            }
        }
    }
    Ok((sizes.values().sum(), unmanaged))
}

/// The UID and the size of a controller; of the Deployment, where that controls the ReplicaSet.
fn size_of(namespace: &str, owner: &Value) -> Result<Option<(String, i64)>, String> {
    let Some((kind, object)) = look_up(namespace, owner)? else { return Ok(None) };
    let above = controller(&object).filter(|above| kind.kind == "ReplicaSet" && above["kind"] == "Deployment").cloned();
    if let Some(above) = above {
        let found = look_up(namespace, &above)?;
        return Ok(found.map(|(_, deployment)| (uid(&deployment), replicas(&deployment).unwrap_or(1))));
    }
    let sized = ["ReplicaSet", "Deployment", "StatefulSet", "ReplicationController"].contains(&kind.kind.as_str());
    match replicas(&object) {
        Some(size) => Ok(Some((uid(&object), size))),
        None if sized => Ok(Some((uid(&object), 1))),
        None => {
            let served = cluster::kinds().into_iter().find(|served| served.kind == kind);
            let plural = served.map_or_else(|| kind.kind.to_lowercase(), |served| served.plural);
            let dot = if kind.group.is_empty() { "" } else { "." };
            Err(format!("{plural}{dot}{} does not implement the scale subresource", kind.group))
        }
    }
}

fn look_up(namespace: &str, owner: &Value) -> Result<Option<(Kind, Value)>, String> {
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let kind = world::kind(group, version, text("kind"));
    let found = world::get(&kind, namespace, text("name"))?;
    Ok(found.filter(|object| uid(object) == text("uid")).map(|object| (kind, object)))
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().into()
}

fn replicas(object: &Value) -> Option<i64> {
    object["spec"]["replicas"].as_i64()
}

fn unmanaged_text(selector: &Value) -> String {
    let labels: String = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}: {},", value.as_str().unwrap_or_default()))
        .collect();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let expressions: String = list(&selector["matchExpressions"])
        .iter()
        .map(|one| {
            let values = list(&one["values"]).iter().map(text).collect::<Vec<_>>().join(" ");
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
                text(&one["key"]),
                text(&one["operator"])
            )
        })
        .collect();
    format!(
        "Pods selected by this PodDisruptionBudget (selector: &LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}) were found to be unmanaged. As a result, the \
         status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these \
         pods please set \".spec.minAvailable\" field of the PDB to an integer value."
    )
}
