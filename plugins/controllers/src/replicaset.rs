//! The ReplicaSet and ReplicationController controllers: as many pods as wanted.
//!
//! In: a set and the pods that it controls. Out: pods made and removed, orphans adopted, strangers released, status.

mod plan;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::Controller;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::pods::{self, Owner, PODS};
use crate::world::{self, Outcome};
pub use plan::batches;
use plan::{Pod, Work};

/// The two kinds that this serves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    ReplicaSet,
    ReplicationController,
}

impl Flavour {
    fn kind(self) -> Kind {
        match self {
            Flavour::ReplicaSet => world::kind("apps", "v1", "ReplicaSet"),
            Flavour::ReplicationController => world::kind("", "v1", "ReplicationController"),
        }
    }

    fn controller(self) -> &'static str {
        if self == Flavour::ReplicaSet { "replicaset-controller" } else { "replication-controller" }
    }
}

const OWN: u32 = 0;
// Places of fields in the watch of pods.
const PHASE: u32 = 2;
const DELETED: u32 = 3;
const READY: u32 = 4;
const READY_SINCE: u32 = 5;
const LABELS: u32 = 9;

/// What it watches.
pub fn declare(flavour: Flavour) -> Controller {
    use FieldType::{Integer, Json, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.generation", Integer),
        ("metadata.deletionTimestamp", Time),
        ("spec.replicas", Integer),
        ("spec.minReadySeconds", Integer),
        ("spec.selector", Json),
        ("spec.template.metadata.labels", Json),
        ("status", Json),
    ];
    let owned = [
        ("metadata.uid", Text),
        ("spec.nodeName", Text),
        ("status.phase", Text),
        ("metadata.deletionTimestamp", Time),
        ("status.conditions[type=Ready].status", Text),
        ("status.conditions[type=Ready].lastTransitionTime", Time),
        ("status.containerStatuses[0].restartCount", Integer),
        ("metadata.creationTimestamp", Time),
        ("metadata.annotations.\"controller.kubernetes.io/pod-deletion-cost\"", Text),
        ("metadata.labels", Json),
    ];
    Controller { name: flavour.controller().into(), watches: pods::watches(flavour.kind(), &own, &owned), workers: 2 }
}

/// A set, as far as decisions go.
#[derive(Default)]
struct Set {
    namespace: String,
    name: String,
    uid: String,
    generation: i64,
    deleting: bool,
    replicas: i64,
    min_ready_seconds: i64,
    selector: Value,
    template_labels: Value,
    status: Value,
}

/// Makes one set true.
pub fn reconcile(flavour: Flavour, key: &Key) -> Outcome {
    let found = world::row_of(OWN, key);
    let Some(row) = found.first() else { return Ok(None) };
    let set = read(row);
    let selector = world::selector_text(&set.selector);
    if selector.is_empty() {
        return Ok(None);
    }
    if !set.deleting {
        owner(flavour, &set).claim(&selector, None)?;
    }
    let now = world::now();
    let seen = Seen::of(&set, now);
    // Whole rows only where something is to be done: a settled set is its numbers.
    let worked = if set.deleting || seen.active == set.replicas {
        Ok(())
    } else {
        let pods: Vec<Pod> = world::rows(PODS, owned(&set)).iter().map(read_pod).collect();
        work(flavour, &set, plan::plan(set.replicas, &pods))
    };
    let status = status(flavour, &set, &seen, now, worked.as_ref().err());
    write_status(flavour, &set, &status)?;
    worked.map_err(|failed| failed.message)?;
    Ok(seen.available_in.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs())))
}

fn owned(set: &Set) -> Query {
    Query::OwnedIn((set.namespace.clone(), set.uid.clone()))
}

/// The numbers of a set's pods.
#[derive(Default)]
struct Seen {
    active: i64,
    fully_labelled: i64,
    ready: i64,
    available: i64,
    /// Asked to end, and not at their end.
    terminating: i64,
    /// Microseconds until the next pod has been ready for long enough.
    available_in: Option<i64>,
}

impl Seen {
    fn of(set: &Set, now: i64) -> Self {
        // Since when a pod is ready tells pods apart: it is asked for only where it matters.
        let fields: &[u32] = if set.min_ready_seconds > 0 {
            &[PHASE, DELETED, READY, LABELS, READY_SINCE]
        } else {
            &[PHASE, DELETED, READY, LABELS]
        };
        let (rows, counts) = world::count(PODS, owned(set), fields);
        let mut seen = Self::default();
        for (row, count) in rows.iter().zip(counts) {
            let pod = Pod {
                phase: row.text(0).unwrap_or("").into(),
                deleting: row.has(1),
                ready: row.text(2) == Some("True"),
                ready_since: row.integer(4).unwrap_or(0),
                ..Pod::default()
            };
            seen.add(&pod, i64::from(count), row.text(3), set, now);
        }
        seen
    }

    fn add(&mut self, pod: &Pod, count: i64, labels: Option<&str>, set: &Set, now: i64) {
        if pod.terminating() {
            self.terminating += count;
        }
        if !pod.active() {
            return;
        }
        self.active += count;
        let labels = world::json(labels);
        let wanted = set.template_labels.as_object();
        if wanted.is_none_or(|wanted| wanted.iter().all(|(name, value)| labels.get(name) == Some(value))) {
            self.fully_labelled += count;
        }
        if pod.ready {
            self.ready += count;
        }
        if pod.available(set.min_ready_seconds, now) {
            self.available += count;
        } else if pod.ready {
            let left = pod.ready_since + set.min_ready_seconds * 1_000_000 - now;
            self.available_in = Some(self.available_in.map_or(left, |other| other.min(left)));
        }
    }
}

fn read(row: Row<'_>) -> Set {
    Set {
        namespace: row.namespace().into(),
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        generation: row.integer(1).unwrap_or(0),
        deleting: row.has(2),
        replicas: row.integer(3).unwrap_or(1),
        min_ready_seconds: row.integer(4).unwrap_or(0),
        selector: world::json(row.text(5)),
        template_labels: world::json(row.text(6)),
        status: world::json(row.text(7)),
    }
}

fn read_pod(row: Row<'_>) -> Pod {
    Pod {
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        node: row.text(1).unwrap_or("").into(),
        phase: row.text(2).unwrap_or("").into(),
        deleting: row.has(3),
        ready: row.text(4) == Some("True"),
        ready_since: row.integer(5).unwrap_or(0),
        restarts: row.integer(6).unwrap_or(0),
        created: row.integer(7).unwrap_or(0),
        cost: row.text(8).and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}

/// Why pods could not be made or removed: becomes the condition `ReplicaFailure`.
struct Failed {
    reason: &'static str,
    message: String,
}

fn work(flavour: Flavour, set: &Set, work: Work) -> Result<(), Failed> {
    match work {
        Work::Nothing => Ok(()),
        Work::Create(count) => create(flavour, set, count),
        Work::Delete(doomed) => remove(flavour, set, &doomed),
    }
}

fn create(flavour: Flavour, set: &Set, count: i64) -> Result<(), Failed> {
    let fail = |message: String| Failed { reason: "FailedCreate", message };
    let whole = world::get(&flavour.kind(), &set.namespace, &set.name).map_err(fail)?;
    // The row may be older than the object: another object of that name makes its own pods.
    let Some(whole) = whole.filter(|o| o["metadata"]["uid"] == json!(set.uid)) else { return Ok(()) };
    let owner = owner(flavour, set);
    let pod = owner.pod(&whole["spec"]["template"]);
    for batch in batches(count) {
        owner.create(&vec![pod.clone(); batch.unsigned_abs() as usize]).map_err(fail)?;
    }
    Ok(())
}

fn remove(flavour: Flavour, set: &Set, doomed: &[(String, String)]) -> Result<(), Failed> {
    owner(flavour, set).delete(doomed).map_err(|message| Failed { reason: "FailedDelete", message })
}

fn owner(flavour: Flavour, set: &Set) -> Owner {
    Owner::new(flavour.kind(), &set.namespace, &set.name, &set.uid)
}

fn status(flavour: Flavour, set: &Set, seen: &Seen, now: i64, failed: Option<&Failed>) -> Value {
    let number = |n: i64| if n == 0 { Value::Null } else { json!(n) };
    let mut conditions: Vec<Value> = set.status["conditions"].as_array().cloned().unwrap_or_default();
    let place = conditions.iter().position(|c| c["type"] == "ReplicaFailure");
    match (failed, place) {
        (Some(failed), None) => conditions.push(json!({
            "type": "ReplicaFailure", "status": "True", "reason": failed.reason, "message": failed.message,
            "lastTransitionTime": world::rfc3339(now),
        })),
        (None, Some(at)) => {
            conditions.remove(at);
        }
        _ => {}
    }
    json!({
        "observedGeneration": set.generation,
        "replicas": seen.active,
        "fullyLabeledReplicas": number(seen.fully_labelled),
        "readyReplicas": number(seen.ready),
        "availableReplicas": number(seen.available),
        // Zero as well: that it is there says that it is counted. ReplicationControllers have no such field.
        "terminatingReplicas": if flavour == Flavour::ReplicaSet { json!(seen.terminating) } else { Value::Null },
        "conditions": if conditions.is_empty() { Value::Null } else { Value::Array(conditions) },
    })
}

fn write_status(flavour: Flavour, set: &Set, status: &Value) -> Result<(), String> {
    let held = set.status.as_object().cloned().unwrap_or_default();
    let changed: serde_json::Map<String, Value> = status
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(field, value)| held.get(*field).unwrap_or(&Value::Null) != *value)
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": set.uid}, "status": changed});
    match world::one(world::merge(&flavour.kind(), &set.namespace, &set.name, "status", &patch)) {
        Ok(_) => Ok(()),
        Err(e) if e.code == 404 || e.code == 409 => Ok(()),
        Err(e) => Err(world::said("write the status of", &flavour.kind().kind, &set.name, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_that_are_ending_are_counted_apart() {
        let pod = |phase: &str, deleting| Pod { phase: phase.into(), deleting, ready: true, ..Pod::default() };
        let (set, mut seen) = (Set::default(), Seen::default());
        for (phase, deleting) in [("Running", false), ("Running", true), ("Pending", true), ("Failed", true)] {
            seen.add(&pod(phase, deleting), 2, None, &set, 0);
        }
        let told = status(Flavour::ReplicaSet, &set, &seen, 0, None);
        assert_eq!((&told["replicas"], &told["terminatingReplicas"]), (&json!(2), &json!(4)));
        assert_eq!(status(Flavour::ReplicaSet, &set, &Seen::default(), 0, None)["terminatingReplicas"], json!(0));
        assert_eq!(status(Flavour::ReplicationController, &set, &seen, 0, None)["terminatingReplicas"], Value::Null);
    }
}
