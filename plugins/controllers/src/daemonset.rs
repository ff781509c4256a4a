//! The DaemonSet controller: one pod on each node where it belongs.
//!
//! In: a DaemonSet, the nodes, its pods, its revisions. Out: pods made and deleted, the status. `placement` says where,
//! `plan` says when.

mod placement;
mod plan;

use std::collections::BTreeMap;
use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::pods::{self, Owner, PODS};
use crate::replicaset::batches;
use crate::revisions::{self, HashLabel, Revision};
use crate::world::{self, EventType, Outcome};
use placement::Place;
pub use placement::{Node, fits as fits_node};
use plan::{Numbers, Plan, Pod, Strategy};

const NODES: u32 = 3;
const REVISION: &str = "controller-revision-hash";
const GENERATION: &str = "deprecated.daemonset.template.generation";
const POD_GENERATION: &str = "pod-template-generation";
const HASH: HashLabel = HashLabel(REVISION);
/// Pods made in one pass.
const BURST: usize = 250;

fn sets() -> Kind {
    world::kind("apps", "v1", "DaemonSet")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Json, Text, Time};
    let owned = [
        ("metadata.uid", Text),
        ("spec.nodeName", Text),
        (
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values[0]",
            Text,
        ),
        ("status.phase", Text),
        ("metadata.deletionTimestamp", Time),
        ("status.conditions[type=Ready].status", Text),
        ("status.conditions[type=Ready].lastTransitionTime", Time),
        ("metadata.labels", Json),
        ("metadata.creationTimestamp", Time),
    ];
    let nodes = [("metadata.labels", Json), ("spec.taints", Json)];
    let mut watches = pods::watches(sets(), &pods::OWNER, &owned);
    watches.push(world::watch(world::kind("", "v1", "Node"), &nodes, &[Wakes::Everyone]));
    Controller { name: "daemonset-controller".into(), watches, workers: 1 }
}

/// Makes one DaemonSet true.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(mut object) = world::get(&sets(), &key.namespace, &key.name)? else { return Ok(None) };
    let owner = Owner::new(sets(), &key.namespace, &key.name, object["metadata"]["uid"].as_str().unwrap_or_default());
    let spec = object["spec"].clone();
    let selector = world::selector_text(&spec["selector"]);
    if selector.is_empty() || !object["metadata"]["deletionTimestamp"].is_null() {
        return Ok(None);
    }
    owner.claim(&selector, None)?;
    let mut history = revisions::list(&owner, &selector, HASH)?;
    let mut collisions = object["status"]["collisionCount"].as_i64().unwrap_or(0);
    let annotations = object["metadata"]["annotations"].clone();
    let current = revisions::current(&owner, HASH, &mut history, &spec["template"], &annotations, &mut collisions)?;
    let tolerations = placement::tolerations(&spec["template"]);
    let judged = nodes().into_iter().map(|node| (placement::place(&spec["template"], &tolerations, &node), node.name));
    let nodes: BTreeMap<String, Place> = crate::order::map(judged.map(|(place, name)| (name, place)));
    let min_ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    let (before, _, _) = read(&owner, &current.hash, min_ready);
    let desired = nodes.values().filter(|place| **place == Place::Wanted).count() as i64;
    let plan = plan::plan(&nodes, &before, strategy(&spec["updateStrategy"], desired), world::now());
    let template = stamped(&spec["template"], &current, annotations[GENERATION].as_str());
    let worked = carry_out(&owner, &plan, &template, &tolerations);
    let (after, hashes, ready_in) = read(&owner, &current.hash, min_ready);
    let status = status(&object, plan::count(&nodes, &after), collisions);
    if status != object["status"] {
        object["status"] = status;
        match world::one(world::update(&sets(), &key.namespace, &key.name, "status", &object)) {
            Ok(_) => {}
            Err(e) if e.code == 404 => return Ok(None),
            Err(e) if e.code == 409 => return Ok(Some(world::RACED)),
            Err(e) => return Err(world::said("write the status of", "DaemonSet", &key.name, &e)),
        }
    }
    let used = |revision: &Revision| revision.name == current.name || hashes.contains(&revision.hash);
    revisions::truncate(&owner, &history, &used, spec["revisionHistoryLimit"].as_i64().unwrap_or(10))?;
    worked?;
    let again = plan.again_in.into_iter().chain(ready_in).min();
    Ok(again.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs())))
}

fn nodes() -> Vec<Node> {
    let rows = world::rows(NODES, Query::All);
    let read = |row: Row<'_>| Node {
        name: row.name().into(),
        labels: world::json(row.text(0)),
        taints: world::json(row.text(1)),
    };
    rows.iter().map(read).collect()
}

/// The pods, the hashes that they bear, and how long until the next has been ready for long enough.
fn read(owner: &Owner, hash: &str, min_ready: i64) -> (Vec<Pod>, Vec<String>, Option<i64>) {
    let now = world::now();
    let (mut hashes, mut soonest): (Vec<String>, Option<i64>) = (Vec::new(), None);
    let rows = world::rows(PODS, Query::OwnedBy(owner.uid.clone()));
    let own = rows.iter().filter(|row| row.namespace() == owner.namespace);
    let pods = own
        .map(|row| {
            let labels = world::json(row.text(7));
            let its = labels[REVISION].as_str().unwrap_or_default();
            if !hashes.iter().any(|held| held == its) {
                hashes.push(its.into());
            }
            let ready = row.text(5) == Some("True");
            let left = row.integer(6).unwrap_or(0) + min_ready * 1_000_000 - now;
            if ready && min_ready > 0 && left > 0 {
                soonest = Some(soonest.map_or(left, |other| other.min(left)));
            }
            let node = row.text(1).filter(|node| !node.is_empty()).or(row.text(2)).unwrap_or_default();
            Pod {
                name: row.name().into(),
                uid: row.text(0).unwrap_or("").into(),
                node: node.into(),
                phase: row.text(3).unwrap_or("").into(),
                ready,
                available: ready && (min_ready == 0 || left <= 0),
                ending: row.has(4),
                updated: its == hash,
                created: row.integer(8).unwrap_or(0),
            }
        })
        .collect();
    (pods, hashes, soonest)
}

/// The strategy; percentages are of the nodes that should have a pod, rounded up.
fn strategy(strategy: &Value, desired: i64) -> Strategy {
    if strategy["type"] == "OnDelete" {
        return Strategy::OnDelete;
    }
    let scaled = |value: &Value, default: i64| match value {
        Value::String(text) => {
            let part = text.trim_end_matches('%').parse::<i64>().unwrap_or(0).saturating_mul(desired);
            part / 100 + i64::from(part % 100 > 0)
        }
        number => number.as_i64().unwrap_or(default),
    };
    let rolling = &strategy["rollingUpdate"];
    let max_surge = scaled(&rolling["maxSurge"], 0);
    let max_unavailable = scaled(&rolling["maxUnavailable"], 1);
    // Both may round to nothing, and then nothing would ever change.
    let max_unavailable = if max_surge == 0 { max_unavailable.max(1) } else { max_unavailable };
    Strategy::Rolling { max_unavailable, max_surge }
}

/// The template with the marks by which its pods are known.
fn stamped(template: &Value, revision: &Revision, generation: Option<&str>) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"][REVISION] = json!(revision.hash);
    if let Some(generation) = generation {
        template["metadata"]["labels"][POD_GENERATION] = json!(generation);
    }
    template
}

fn carry_out(owner: &Owner, plan: &Plan, template: &Value, tolerations: &[Value]) -> Result<(), String> {
    for (name, node, failed) in &plan.ended {
        let (reason, word) = if *failed { ("FailedDaemonPod", "failed") } else { ("SucceededDaemonPod", "succeeded") };
        let text = format!("Found {word} daemon pod {}/{name} on node {node}, will try to kill it", owner.namespace);
        owner.say(if *failed { EventType::Warning } else { EventType::Normal }, reason, &text);
    }
    let deleted = owner.delete(&plan.delete);
    let mut wanted = plan.create.iter().take(BURST).map(|node| {
        let mut pod = owner.pod(template);
        placement::bind(&mut pod, node, tolerations);
        pod
    });
    for batch in batches(plan.create.len().min(BURST) as i64) {
        let some: Vec<Value> = wanted.by_ref().take(batch.unsigned_abs() as usize).collect();
        owner.create(&some)?;
    }
    deleted
}

fn status(object: &Value, numbers: Numbers, collisions: i64) -> Value {
    let mut told = json!({
        "currentNumberScheduled": numbers.current, "numberMisscheduled": numbers.misscheduled,
        "desiredNumberScheduled": numbers.desired, "numberReady": numbers.ready,
        "observedGeneration": object["metadata"]["generation"],
    });
    let optional = [
        ("updatedNumberScheduled", numbers.updated),
        ("numberAvailable", numbers.available),
        ("numberUnavailable", numbers.desired - numbers.available),
    ];
    for (field, number) in optional {
        if number != 0 {
            told[field] = json!(number);
        }
    }
    if collisions != 0 {
        told["collisionCount"] = json!(collisions);
    }
    let conditions = &object["status"]["conditions"];
    if !conditions.is_null() {
        told["conditions"] = conditions.clone();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read() {
        assert_eq!(strategy(&json!({"type": "OnDelete"}), 3), Strategy::OnDelete);
        let rolling = |parameters: Value, desired: i64| {
            strategy(&json!({"type": "RollingUpdate", "rollingUpdate": parameters}), desired)
        };
        let expected = |max_unavailable: i64, max_surge: i64| Strategy::Rolling { max_unavailable, max_surge };
        assert_eq!(rolling(Value::Null, 3), expected(1, 0));
        assert_eq!(rolling(json!({"maxUnavailable": "50%"}), 3), expected(2, 0));
        assert_eq!(rolling(json!({"maxUnavailable": 0, "maxSurge": "10%"}), 3), expected(0, 1));
        assert_eq!(rolling(json!({"maxUnavailable": "10%"}), 0), expected(1, 0));
    }

    #[test]
    fn the_status_leaves_out_what_is_nothing() {
        let numbers = Numbers { desired: 1, current: 1, ready: 1, updated: 1, available: 1, misscheduled: 0 };
        let told = status(&json!({"metadata": {"generation": 2}}), numbers, 0);
        assert_eq!(
            told,
            json!({"currentNumberScheduled": 1, "numberMisscheduled": 0, "desiredNumberScheduled": 1,
            "numberReady": 1, "observedGeneration": 2, "updatedNumberScheduled": 1, "numberAvailable": 1})
        );
    }
}
