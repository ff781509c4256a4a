//! The Job controller: pods that run to their end, so many times.
//!
//! In: a Job and its pods. Out: pods made, ended and counted, the Job's status. `plan` decides; here it is carried out
//! in the order that counts each end once: pods, status, finalizers, status.

mod indexes;
mod model;
mod plan;
mod policy;
mod template;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::Controller;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::{Row, Rows};
use serde_json::{Value, json};

use crate::pods::{self, Owner, PODS, pods};
use crate::replicaset::batches;
use crate::world::{self, Change, EventType, Outcome, PatchType};
use model::{Job, Pod, Status, TRACKING};
use plan::{Named, Plan};

fn jobs() -> Kind {
    world::kind("batch", "v1", "Job")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Integer, Json, Text, Time};
    let owned = [
        ("metadata.uid", Text),
        ("status.phase", Text),
        ("metadata.deletionTimestamp", Time),
        ("metadata.finalizers", Json),
        ("metadata.annotations.\"batch.kubernetes.io/job-completion-index\"", Text),
        ("metadata.annotations.\"batch.kubernetes.io/job-index-failure-count\"", Text),
        ("metadata.annotations.\"batch.kubernetes.io/job-index-ignored-failure-count\"", Text),
        ("status.conditions[type=Ready].status", Text),
        ("status.conditions[type=Ready].lastTransitionTime", Time),
        ("spec.nodeName", Text),
        ("metadata.creationTimestamp", Time),
        ("status.containerStatuses[0].state.terminated.finishedAt", Time),
        ("status.containerStatuses[0].restartCount", Integer),
    ];
    Controller { name: "job-controller".into(), watches: pods::watches(jobs(), &pods::OWNER, &owned), workers: 2 }
}

/// Makes one Job go on.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(object) = world::get(&jobs(), &key.namespace, &key.name)? else { return let_go(key) };
    let job = Job::of(&object);
    if job.is_foreign() {
        return Ok(None);
    }
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let owner = Owner::new(jobs(), &key.namespace, &key.name, uid);
    let selector = world::selector_text(&job.spec["selector"]);
    if selector.is_empty() {
        return Ok(None);
    }
    let mut rows = world::rows(PODS, Query::OwnedBy(uid.into()));
    if job.status.is_finished() {
        let left: Vec<Named> = rows.iter().filter(|row| is_tracked(row)).map(named).collect();
        return untrack(&key.namespace, &left).map(|_| None);
    }
    if !job.deleting && owner.claim(&selector, Some(TRACKING))? {
        rows = world::rows(PODS, Query::OwnedBy(uid.into()));
    }
    let mut seen = read(&key.namespace, &rows);
    look_closer(&key.namespace, &job, &mut seen)?;
    let plan = plan::plan(&job, &seen, world::now());
    carry_out(&owner, object, &job, plan)
}

fn is_tracked(row: &Row<'_>) -> bool {
    world::json(row.text(3)).as_array().into_iter().flatten().any(|finalizer| finalizer == TRACKING)
}

fn named(row: Row<'_>) -> Named {
    (row.name().into(), row.text(0).unwrap_or("").into())
}

fn read(namespace: &str, rows: &Rows) -> Vec<Pod> {
    let number = |row: &Row<'_>, column| row.text(column).and_then(|text| text.parse::<i64>().ok()).filter(|n| *n >= 0);
    let own = rows.iter().filter(|row| row.namespace() == namespace);
    own.map(|row| {
        let unready = row.integer(8).filter(|_| row.text(7) == Some("False"));
        Pod {
            name: row.name().into(),
            uid: row.text(0).unwrap_or("").into(),
            phase: row.text(1).unwrap_or("").into(),
            ending: row.has(2),
            tracked: is_tracked(&row),
            index: number(&row, 4),
            index_failures: number(&row, 5).unwrap_or(0),
            index_ignored_failures: number(&row, 6).unwrap_or(0),
            ready: row.text(7) == Some("True"),
            scheduled: row.text(9).is_some_and(|node| !node.is_empty()),
            created: row.integer(10).unwrap_or(0),
            finished: row.integer(11).or(unready).or(row.integer(2)).or(row.integer(10)).unwrap_or(0),
            restarts: row.integer(12).unwrap_or(0),
            failure: None,
        }
    })
    .collect()
}

/// Reads whole pods, where the Job's rules need more than rows tell: failed ones, or those that restart in place.
fn look_closer(namespace: &str, job: &Job, pods_seen: &mut [Pod]) -> Result<(), String> {
    for pod in pods_seen {
        let judged = job.has_failure_policy() && pod.tracked && pod.failed(job);
        let counted = job.restarts_in_place() && !pod.has_ended();
        if !judged && !counted {
            continue;
        }
        let Some(whole) = world::get(&pods(), namespace, &pod.name)? else { continue };
        if judged {
            pod.failure = Some(job.judge(&whole));
        }
        let statuses = ["initContainerStatuses", "containerStatuses"].into_iter();
        let statuses = statuses.filter_map(|list| whole["status"][list].as_array()).flatten();
        pod.restarts = statuses.filter_map(|status| status["restartCount"].as_i64()).sum();
    }
    Ok(())
}

fn carry_out(owner: &Owner, mut object: Value, job: &Job, mut plan: Plan) -> Outcome {
    let mut failed = owner.delete(&plan.end).err();
    if !plan.remove.is_empty() {
        let removed = untrack(&owner.namespace, &plan.remove).and_then(|_| owner.delete(&plan.remove));
        failed = failed.or(removed.err());
    }
    if !plan.create.is_empty() {
        failed = failed.or(create(owner, job, &plan).err());
    }
    if failed.is_some() {
        // What did not succeed is not there; the rows know what is.
        let now = read(&owner.namespace, &world::rows(PODS, Query::OwnedBy(owner.uid.clone())));
        plan.status.active = now.iter().filter(|pod| pod.is_active()).count() as i64;
        plan.status.ready = Some(now.iter().filter(|pod| pod.is_active() && pod.ready).count() as i64);
        plan.finish = None;
    }
    let fresh = object["status"]["uncountedTerminatedPods"].is_null();
    if (fresh || plan.status != job.status) && !write_status(owner, &mut object, &plan.status)? {
        return Ok(Some(world::RACED));
    }
    for (reason, message) in &plan.events {
        owner.say(EventType::Normal, reason, message);
    }
    let written = plan.status.clone();
    for uid in untrack(&owner.namespace, &plan.untrack)? {
        plan.tracked.remove(&uid);
    }
    plan::settle(&mut plan.status, &plan.tracked);
    let ended = plan.finish.take().filter(|finish| plan::finish(&mut plan.status, finish, world::now()));
    if plan.status != written && !write_status(owner, &mut object, &plan.status)? {
        return Ok(Some(world::RACED));
    }
    match ended {
        Some(finish) if finish.complete => {
            if job.completions().is_some_and(|wanted| plan.status.succeeded > wanted) {
                let message = "Too many succeeded pods running after completion count reached";
                owner.say(EventType::Warning, "TooManySucceededPods", message);
            }
            owner.say(EventType::Normal, "Completed", "Job completed");
        }
        Some(finish) => owner.say(EventType::Warning, &finish.reason, &finish.message),
        None => {}
    }
    match failed {
        Some(why) => Err(why),
        None => Ok(plan.again_in.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs()))),
    }
}

fn create(owner: &Owner, job: &Job, plan: &Plan) -> Result<(), String> {
    let mut wanted = plan.create.iter().map(|new| template::pod(owner, job, new));
    for batch in batches(plan.create.len() as i64) {
        let some: Vec<Value> = wanted.by_ref().take(batch.unsigned_abs() as usize).collect();
        owner.create(&some)?;
    }
    Ok(())
}

/// Takes the finalizer away; gives the UIDs of pods that do not bear it any more.
fn untrack(namespace: &str, list: &[Named]) -> Result<Vec<String>, String> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let change = |(name, uid): &Named| {
        let patch = json!({"metadata": {"uid": uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}});
        world::patch(&pods(), namespace, name, "", PatchType::StrategicMerge, &patch)
    };
    let changes: Vec<Change> = list.iter().map(change).collect();
    let mut free = Vec::new();
    let mut failed = None;
    for (answer, (name, uid)) in world::together(&changes).into_iter().zip(list) {
        match answer {
            Ok(()) => free.push(uid.clone()),
            // Gone, or another pod of that name.
            Err(e) if e.code == 404 || e.code == 409 => free.push(uid.clone()),
            Err(e) => {
                failed.get_or_insert(world::said("take the tracking finalizer from", "Pod", name, &e));
            }
        }
    }
    match failed {
        Some(why) if free.is_empty() => Err(why),
        _ => Ok(free),
    }
}

/// Writes the status; false when somebody else wrote meanwhile, or the Job is gone.
fn write_status(owner: &Owner, object: &mut Value, status: &Status) -> Result<bool, String> {
    object["status"] = status.to_json();
    match world::written(world::update(&jobs(), &owner.namespace, &owner.name, "status", object)) {
        Ok(version) => {
            object["metadata"]["resourceVersion"] = json!(version);
            Ok(true)
        }
        Err(e) if e.code == 409 || e.code == 404 => Ok(false),
        Err(e) => Err(world::said("write the status of", "Job", &owner.name, &e)),
    }
}

/// The Job is gone: nobody counts its pods any more, and what still bears the finalizer could never go.
fn let_go(key: &Key) -> Outcome {
    let rows = world::rows(PODS, Query::Namespace(key.namespace.clone()));
    for row in rows.iter().filter(is_tracked) {
        let Some(pod) = world::get(&pods(), &key.namespace, row.name())? else { continue };
        let owners = pod["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let owner = owners.iter().find(|owner| owner["controller"] == true);
        let is_ours = owner.is_none_or(|owner| {
            owner["kind"] == "Job" && owner["apiVersion"] == "batch/v1" && owner["name"] == *key.name
        });
        if is_ours {
            untrack(&key.namespace, &[named(row)])?;
        }
    }
    Ok(None)
}
