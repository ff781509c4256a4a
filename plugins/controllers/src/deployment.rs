//! The Deployment controller: rolling update, recreate, scaling, pause, history.
//!
//! In: a Deployment, the ReplicaSets that it owns, for Recreate also their pods. Out: ReplicaSets made, resized,
//! annotated and removed; the Deployment's status and revision. Pods are the ReplicaSets' affair.

mod model;
mod plan;
mod scale;
mod status;
mod template;

use std::collections::BTreeMap;
use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::world::{self, EventType, Outcome, Propagation};
use model::{Deployment, Set};
use plan::{Plan, Step};
pub use template::hash as template_hash;

const OWN: u32 = 0;
const SETS: u32 = 1;
const PODS: u32 = 2;
const SET_LABELS: u32 = 3;

fn deployments() -> Kind {
    world::kind("apps", "v1", "Deployment")
}

fn sets() -> Kind {
    world::kind("apps", "v1", "ReplicaSet")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Integer, Json, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.generation", Integer),
        ("metadata.deletionTimestamp", Time),
        ("metadata.annotations", Json),
        ("spec", Json),
        ("status", Json),
    ];
    let owned = [
        ("metadata.uid", Text),
        ("metadata.generation", Integer),
        ("metadata.deletionTimestamp", Time),
        ("metadata.annotations", Json),
        ("metadata.creationTimestamp", Time),
        ("spec.replicas", Integer),
        ("spec.minReadySeconds", Integer),
        ("spec.template", Json),
        ("status.observedGeneration", Integer),
        ("status.replicas", Integer),
        ("status.readyReplicas", Integer),
        ("status.availableReplicas", Integer),
        ("status.conditions[type=ReplicaFailure]", Json),
        ("status.terminatingReplicas", Integer),
    ];
    Controller {
        name: "deployment-controller".into(),
        watches: vec![
            world::watch(deployments(), &own, &[Wakes::Itself]),
            world::watch(sets(), &owned, &[Wakes::ControllerOwner]),
            world::watch(world::kind("", "v1", "Pod"), &[("status.phase", Text)], &[Wakes::Nobody]),
            world::watch(
                sets(),
                &[("metadata.uid", Text), ("metadata.ownerReferences", Json), ("metadata.deletionTimestamp", Time)],
                &[Wakes::SelectedBy("spec.selector".into())],
            ),
        ],
        workers: 2,
    }
}

/// Makes one Deployment true.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(OWN, key);
    let Some(row) = found.first() else { return Ok(None) };
    let deployment = read(row);
    if deployment.deleting {
        return Ok(None);
    }
    if deployment.selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(None);
    }
    if adopt(&deployment)? {
        // What was adopted comes back as a row and wakes this key.
        return Ok(Some(Duration::from_millis(10)));
    }
    let owned: Vec<Set> = world::rows(SETS, Query::OwnedBy(deployment.uid.clone()))
        .iter()
        .filter(|row| row.namespace() == deployment.namespace)
        .map(read_set)
        .filter(|set| !set.deleting)
        .collect();
    let old_pods = deployment.recreate && old_pods_run(&deployment, &owned);
    let plan = plan::plan(&deployment, &owned, old_pods, world::now());
    carry_out(&deployment, &plan)
}

fn read(row: Row<'_>) -> Deployment {
    let spec = world::json(row.text(4));
    let mut deployment =
        Deployment::of(row.namespace(), row.name(), row.text(0).unwrap_or(""), &spec, world::json(row.text(5)));
    deployment.generation = row.integer(1).unwrap_or(0);
    deployment.deleting = row.has(2);
    deployment.annotations = strings(&world::json(row.text(3)));
    deployment
}

fn read_set(row: Row<'_>) -> Set {
    let n = |column| row.integer(column).unwrap_or(0);
    Set {
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        generation: n(1),
        deleting: row.has(2),
        annotations: strings(&world::json(row.text(3))),
        created: n(4),
        replicas: row.integer(5).unwrap_or(1),
        min_ready_seconds: n(6),
        template: world::json(row.text(7)),
        observed_generation: n(8),
        status_replicas: n(9),
        ready: n(10),
        available: n(11),
        failure: Some(world::json(row.text(12))).filter(|c| c["status"] == "True"),
        terminating: row.integer(13),
    }
}

fn strings(map: &Value) -> BTreeMap<String, String> {
    let pairs = map.as_object().into_iter().flatten();
    crate::order::map(pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_string()))))
}

/// Takes ReplicaSets that match and that nobody controls. True when something was adopted.
fn adopt(deployment: &Deployment) -> Result<bool, String> {
    let selector = world::selector_text(&deployment.selector);
    let mut adopted = false;
    for row in world::rows(SET_LABELS, Query::Labelled((deployment.namespace.clone(), selector))).iter() {
        let owners = world::json(row.text(1));
        let mut owners = owners.as_array().cloned().unwrap_or_default();
        if row.has(2) || owners.iter().any(|owner| owner["controller"] == true) {
            continue;
        }
        owners.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name, "uid": deployment.uid,
            "controller": true, "blockOwnerDeletion": true,
        }));
        let patch = json!({"metadata": {"uid": row.text(0), "ownerReferences": owners}});
        world::one(world::merge(&sets(), &deployment.namespace, row.name(), "", &patch))
            .map_err(|e| world::said("adopt", "ReplicaSet", row.name(), &e))?;
        adopted = true;
    }
    Ok(adopted)
}

fn old_pods_run(deployment: &Deployment, owned: &[Set]) -> bool {
    let new = template::matching(deployment, owned);
    (0..owned.len()).filter(|i| Some(*i) != new).any(|i| {
        let pods = world::rows(PODS, Query::OwnedBy(owned[i].uid.clone()));
        pods.iter().any(|pod| !matches!(pod.text(0), Some("Succeeded" | "Failed")))
    })
}

fn carry_out(deployment: &Deployment, plan: &Plan) -> Outcome {
    let (of, ns) = (deployments(), &deployment.namespace);
    let mut created = None;
    for step in &plan.steps {
        match step {
            Step::Create { object, replicas } => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                match world::create(&sets(), ns, object) {
                    Ok(_) => {
                        created = Some(name.to_string());
                        if *replicas > 0 {
                            say(deployment, EventType::Normal, "ScalingReplicaSet", &plan::scaled(name, 0, *replicas));
                        }
                    }
                    Err(e) if e.reason == "AlreadyExists" => return collided(deployment, plan, name),
                    // The namespace is going away: nothing is left to do.
                    Err(e) if e.code == 403 && e.message.contains("being terminated") => return Ok(None),
                    Err(e) => {
                        say(
                            deployment,
                            EventType::Warning,
                            "ReplicaSetCreateError",
                            &format!("Failed to create new replica set \"{name}\": {}", e.message),
                        );
                        return Err(world::said("create", "ReplicaSet", name, &e));
                    }
                }
            }
            Step::Patch { name, patch } => {
                world::one(world::merge(&sets(), ns, name, "", patch))
                    .map_err(|e| world::said("update", "ReplicaSet", name, &e))?;
            }
            Step::Scale { name, from, to, patch } => {
                world::one(world::merge(&sets(), ns, name, "", patch))
                    .map_err(|e| world::said("scale", "ReplicaSet", name, &e))?;
                say(deployment, EventType::Normal, "ScalingReplicaSet", &plan::scaled(name, *from, *to));
            }
            Step::Delete { name, uid } => {
                match world::one(world::delete(&sets(), ns, name, uid, Some(Propagation::Background))) {
                    Ok(_) => {}
                    Err(e) if e.code == 404 => {}
                    Err(e) => return Err(world::said("delete", "ReplicaSet", name, &e)),
                }
            }
            Step::Revision(revision) => {
                // With the status: written with the rest, an annotation would count as a change of what is wanted.
                let patch = json!({"metadata": {"annotations": {model::REVISION: revision.to_string()}}});
                world::one(world::merge(&of, ns, &deployment.name, "status", &patch))
                    .map_err(|e| world::said("annotate", "Deployment", &deployment.name, &e))?;
            }
        }
    }
    let judged = plan.judge(deployment, created.as_deref(), world::now());
    write_status(deployment, &judged.status)?;
    Ok(judged.deadline_in.map(|seconds| Duration::from_secs(seconds.max(1).unsigned_abs())))
}

/// A ReplicaSet of that name is there and is not ours, or has another template: another hash next time.
fn collided(deployment: &Deployment, plan: &Plan, name: &str) -> Outcome {
    if let Some(there) = world::get(&sets(), &deployment.namespace, name)? {
        let ours = there["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let mine = ours.clone().any(|o| o["controller"] == true && o["uid"] == json!(deployment.uid));
        if mine && template::plain(&there["spec"]["template"]) == template::plain(&deployment.template) {
            return Ok(Some(Duration::from_millis(50)));
        }
    }
    let mut status = deployment.status.clone();
    status["collisionCount"] = json!(plan.collisions + 1);
    write_status(deployment, &status)?;
    Err(format!("a ReplicaSet {name} with another template is there; trying another name"))
}

fn write_status(deployment: &Deployment, status: &Value) -> Result<(), String> {
    let held = deployment.status.as_object().cloned().unwrap_or_default();
    let mut patch = serde_json::Map::new();
    for (field, value) in status.as_object().into_iter().flatten() {
        if held.get(field).unwrap_or(&Value::Null) != value {
            patch.insert(field.clone(), value.clone());
        }
    }
    if patch.is_empty() {
        return Ok(());
    }
    let patch = json!({"metadata": {"uid": deployment.uid}, "status": patch});
    match world::one(world::merge(&deployments(), &deployment.namespace, &deployment.name, "status", &patch)) {
        Ok(_) => Ok(()),
        Err(e) if e.code == 404 => Ok(()),
        Err(e) => Err(world::said("write the status of", "Deployment", &deployment.name, &e)),
    }
}

fn say(deployment: &Deployment, as_type: EventType, reason: &str, message: &str) {
    world::event(&deployments(), &deployment.namespace, &deployment.name, &deployment.uid, as_type, reason, message);
}
