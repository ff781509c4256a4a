//! The ReplicaSet and ReplicationController controllers: as many pods as wanted.
//!
//! In: a set and the pods that it controls. Out: pods made and removed, orphans adopted, strangers released, status.

mod plan;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::pods::{self, Owner, pods};
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
const PODS: u32 = 1;
const MATCHING: u32 = 2;

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
    Controller {
        name: flavour.controller().into(),
        watches: vec![
            world::watch(flavour.kind(), &own, &[Wakes::Itself]),
            world::watch(pods(), &owned, &[Wakes::ControllerOwner]),
            world::watch(pods(), &pods::CLAIMED, &[Wakes::SelectedBy("spec.selector".into())]),
        ],
        workers: 2,
    }
}

/// A set, as far as decisions go.
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
    let mut rows = world::rows(PODS, Query::OwnedBy(set.uid.clone()));
    if !set.deleting && owner(flavour, &set).claim(MATCHING, &selector, &rows, None)? {
        rows = world::rows(PODS, Query::OwnedBy(set.uid.clone()));
    }
    let owned: Vec<(Pod, Row<'_>)> =
        rows.iter().filter(|row| row.namespace() == set.namespace).map(|row| (read_pod(row), row)).collect();
    let pods: Vec<Pod> = owned.iter().map(|(pod, _)| pod.clone()).collect();
    let worked = if set.deleting { Ok(()) } else { work(flavour, &set, plan::plan(set.replicas, &pods)) };
    let now = world::now();
    let status = status(&set, &owned, now, worked.as_ref().err());
    write_status(flavour, &set, &status)?;
    worked.map_err(|failed| failed.message)?;
    let waiting = pods.iter().filter(|p| p.active() && p.ready && !p.available(set.min_ready_seconds, now));
    let next = waiting.map(|p| p.ready_since + set.min_ready_seconds * 1_000_000 - now).min();
    Ok(next.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs())))
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

fn status(set: &Set, owned: &[(Pod, Row<'_>)], now: i64, failed: Option<&Failed>) -> Value {
    let active: Vec<_> = owned.iter().filter(|(pod, _)| pod.active()).collect();
    let labelled = |labels: Option<&str>| {
        let labels = world::json(labels);
        set.template_labels.as_object().is_none_or(|wanted| wanted.iter().all(|(k, v)| labels.get(k) == Some(v)))
    };
    // Pods of one set have the same labels, nearly always.
    let mut fully_labelled = 0;
    let mut last: Option<(Option<&str>, bool)> = None;
    for (_, row) in &active {
        let labels = row.text(9);
        let all = match last {
            Some((same, all)) if same == labels => all,
            _ => labelled(labels),
        };
        last = Some((labels, all));
        fully_labelled += usize::from(all);
    }
    let count = |of: &dyn Fn(&(Pod, Row<'_>)) -> bool| active.iter().filter(|entry| of(entry)).count();
    let number = |n: usize| if n == 0 { Value::Null } else { json!(n) };
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
        "replicas": active.len(),
        "fullyLabeledReplicas": number(fully_labelled),
        "readyReplicas": number(count(&|(pod, _)| pod.ready)),
        "availableReplicas": number(count(&|(pod, _)| pod.available(set.min_ready_seconds, now))),
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
