//! The CronJob controller: Jobs at their times.
//!
//! In: a CronJob and its Jobs. Out: Jobs started and removed, the status. Sleeps until the next start; `plan` decides.

mod plan;
mod schedule;

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::host;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Value, json};

use crate::pods::Owner;
use crate::world::{self, EventType, Outcome, Propagation};
use plan::{Clock, Job, Plan};
use schedule::Schedule;

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

fn crons() -> Kind {
    world::kind("batch", "v1", "CronJob")
}

fn jobs() -> Kind {
    world::kind("batch", "v1", "Job")
}

/// What it watches.
pub fn declare() -> Controller {
    use FieldType::{Hash, Text, Time};
    let own = [("metadata.uid", Text), ("spec", Hash), ("metadata.deletionTimestamp", Time)];
    let owned = [
        ("metadata.uid", Text),
        ("status.conditions[type=Complete].status", Text),
        ("status.conditions[type=Failed].status", Text),
        ("status.completionTime", Time),
        ("status.startTime", Time),
    ];
    Controller {
        name: "cronjob-controller".into(),
        watches: vec![
            world::watch(crons(), &own, &[Wakes::Itself]),
            world::watch(jobs(), &owned, &[Wakes::ControllerOwner]),
        ],
        workers: 1,
    }
}

/// Makes one CronJob go on.
pub fn reconcile(key: &Key) -> Outcome {
    let Some(mut cron) = world::get(&crons(), &key.namespace, &key.name)? else { return Ok(None) };
    let uid = cron["metadata"]["uid"].as_str().unwrap_or_default().to_string();
    let owner = Owner::new(crons(), &key.namespace, &key.name, &uid);
    let rows = world::rows(1, Query::OwnedBy(uid));
    let owned: Vec<Job> = rows.iter().filter(|row| row.namespace() == key.namespace).map(read).collect();
    let mut plan = plan::observe(&cron["status"], &owned);
    if cron["metadata"]["deletionTimestamp"].is_null() {
        decide(&cron, &key.name, &mut plan);
    }
    for (warning, reason, message) in &plan.events {
        owner.say(if *warning { EventType::Warning } else { EventType::Normal }, reason, message);
    }
    let replaced = remove(&owner, &mut plan.status, &plan.delete);
    let started = match (plan.start, &replaced) {
        (Some(at), Ok(())) => start(&owner, &cron, &mut plan.status, at),
        _ => Ok(()),
    };
    let tidied = remove(&owner, &mut plan.status, &plan::too_old(&cron["spec"], &owned));
    if plan.status != cron["status"] && !(cron["status"].is_null() && plan.status == json!({})) {
        cron["status"] = plan.status;
        match world::one(world::update(&crons(), &key.namespace, &key.name, "status", &cron)) {
            Ok(_) => {}
            Err(e) if e.code == 404 => return Ok(None),
            Err(e) if e.code == 409 => return Ok(Some(world::RACED)),
            Err(e) => return Err(world::said("write the status of", "CronJob", &key.name, &e)),
        }
    }
    replaced.and(started).and(tidied)?;
    Ok(plan.again_in.map(|micros| Duration::from_micros(micros.max(1000).unsigned_abs())))
}

fn read(row: Row<'_>) -> Job {
    let holds = |column| row.text(column) == Some("True");
    Job {
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        ended: match (holds(1), holds(2)) {
            (true, _) => Some("Complete"),
            (_, true) => Some("Failed"),
            _ => None,
        },
        completed: row.integer(3),
        started: row.integer(4),
    }
}

/// The zone and the schedule of a CronJob: the old way put the zone before the schedule.
fn zone_and_schedule(spec: &Value) -> (String, String) {
    let schedule = spec["schedule"].as_str().unwrap_or_default();
    let old = schedule.strip_prefix("CRON_TZ=").or_else(|| schedule.strip_prefix("TZ="));
    match old.and_then(|text| text.split_once(' ')) {
        Some((zone, rest)) => (zone.into(), rest.into()),
        None => (spec["timeZone"].as_str().unwrap_or("UTC").into(), schedule.into()),
    }
}

fn decide(cron: &Value, name: &str, plan: &mut Plan) {
    let spec = &cron["spec"];
    let (zone, text) = zone_and_schedule(spec);
    let now = world::now();
    if offset(&zone, now / 1_000_000).is_none() {
        plan.events.push((true, "UnknownTimeZone", format!("invalid timeZone: {zone:?}: unknown time zone {zone}")));
        return;
    }
    if spec["suspend"] == true {
        return;
    }
    let whole = spec["schedule"].as_str().unwrap_or_default();
    if whole.contains("TZ") {
        let text = format!(
            "CRON_TZ or TZ used in schedule {whole:?} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        );
        plan.events.push((true, "UnsupportedSchedule", text));
    }
    let schedule = match Schedule::parse(&text) {
        Ok(schedule) => schedule,
        Err(why) => {
            plan.events.push((true, "UnparseableSchedule", format!("unparseable schedule: {whole:?} : {why}")));
            return;
        }
    };
    let zone = |at: i64| offset(&zone, at).unwrap_or(0);
    Clock { schedule: &schedule, zone: &zone, since: since(cron), now }.decide(cron, name, plan);
}

/// When the CronJob came to be, or whoever says its schedule last wrote: what was due before by another schedule is not
/// made up for.
fn since(cron: &Value) -> i64 {
    let meta = &cron["metadata"];
    let time = |value: &Value| value.as_str().and_then(world::microseconds);
    let writers = meta["managedFields"].as_array().into_iter().flatten();
    let writers = writers.filter(|one| !one["fieldsV1"]["f:spec"]["f:schedule"].is_null());
    let written = writers.filter_map(|one| time(&one["time"])).max();
    time(&meta["creationTimestamp"]).unwrap_or(0).max(written.unwrap_or(0))
}

fn offset(zone: &str, seconds: i64) -> Option<i64> {
    if matches!(zone, "" | "UTC" | "Etc/UTC") { Some(0) } else { host::zone_offset(zone, seconds).map(i64::from) }
}

fn remove(owner: &Owner, status: &mut Value, doomed: &[(String, String)]) -> Result<(), String> {
    for (name, uid) in doomed {
        let change = world::delete(&jobs(), &owner.namespace, name, uid, Some(Propagation::Background));
        match world::one(change) {
            Ok(_) => owner.say(EventType::Normal, "SuccessfulDelete", &format!("Deleted job {name}")),
            Err(e) if e.code == 404 || e.code == 409 => {}
            Err(e) => {
                owner.say(EventType::Warning, "FailedDelete", &format!("Deleted job: {}", e.message));
                return Err(world::said("delete", "Job", name, &e));
            }
        }
        let mut active = status["active"].as_array().cloned().unwrap_or_default();
        active.retain(|one| one["uid"] != **uid);
        plan::set_active(status, active);
    }
    Ok(())
}

/// Starts the Job of a scheduled time and notes it. One that is there already was started before a note could be made.
fn start(owner: &Owner, cron: &Value, status: &mut Value, scheduled: i64) -> Result<(), String> {
    let name = plan::job_name(&owner.name, scheduled);
    let job = job(owner, cron, &name, scheduled);
    match world::one(world::creation(&jobs(), &owner.namespace, &job)) {
        Ok(_) => owner.say(EventType::Normal, "SuccessfulCreate", &format!("Created job {name}")),
        Err(e) if e.reason == "AlreadyExists" => {}
        Err(e) if world::ends(&e) => return Ok(()),
        Err(e) => {
            owner.say(EventType::Warning, "FailedCreate", &format!("Error creating job: {}", e.message));
            return Err(world::said("create", "Job", &name, &e));
        }
    }
    let Some(made) = world::get(&jobs(), &owner.namespace, &name)? else { return Ok(()) };
    let ours = |one: &Value| one["uid"] == *owner.uid && one["controller"] == true;
    if !made["metadata"]["ownerReferences"].as_array().into_iter().flatten().any(ours) {
        return Ok(());
    }
    let meta = &made["metadata"];
    let mut active = status["active"].as_array().cloned().unwrap_or_default();
    if !active.iter().any(|one| one["uid"] == meta["uid"]) {
        active.push(json!({
            "apiVersion": "batch/v1", "kind": "Job", "name": name, "namespace": owner.namespace,
            "uid": meta["uid"], "resourceVersion": meta["resourceVersion"],
        }));
    }
    plan::set_active(status, active);
    status["lastScheduleTime"] = json!(world::rfc3339(scheduled * 1_000_000));
    Ok(())
}

fn job(owner: &Owner, cron: &Value, name: &str, scheduled: i64) -> Value {
    let template = &cron["spec"]["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    let zone = cron["spec"]["timeZone"].as_str().unwrap_or_default();
    annotations.insert(SCHEDULED_AT.into(), json!(local(scheduled, offset(zone, scheduled).unwrap_or(0))));
    let labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name, "namespace": owner.namespace, "labels": labels, "annotations": annotations,
            "ownerReferences": [owner.reference()],
        },
        "spec": template["spec"],
    })
}

/// RFC 3339 in local time.
fn local(seconds: i64, offset: i64) -> String {
    let text = world::rfc3339((seconds + offset) * 1_000_000);
    if offset == 0 {
        return text;
    }
    let (sign, minutes) = if offset < 0 { ('-', -offset / 60) } else { ('+', offset / 60) };
    format!("{}{sign}{:02}:{:02}", &text[..text.len() - 1], minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_may_stand_before_the_schedule() {
        let both = |spec: Value| zone_and_schedule(&spec);
        assert_eq!(both(json!({"schedule": "* * * * *"})), ("UTC".into(), "* * * * *".into()));
        let named = json!({"schedule": "* * * * *", "timeZone": "Europe/Berlin"});
        assert_eq!(both(named), ("Europe/Berlin".into(), "* * * * *".into()));
        assert_eq!(both(json!({"schedule": "TZ=Asia/Tokyo 0 * * * *"})), ("Asia/Tokyo".into(), "0 * * * *".into()));
    }

    #[test]
    fn times_are_told_in_the_zone() {
        assert_eq!(local(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(local(0, 7200), "1970-01-01T02:00:00+02:00");
        assert_eq!(local(86_400, -12_600), "1970-01-01T20:30:00-03:30");
    }

    #[test]
    fn a_new_schedule_begins_when_it_was_written() {
        let cron = json!({"metadata": {"creationTimestamp": "1970-01-01T00:00:01Z", "managedFields": [
            {"time": "1970-01-01T00:00:09Z", "fieldsV1": {"f:status": {}}},
            {"time": "1970-01-01T00:00:05Z", "fieldsV1": {"f:spec": {"f:schedule": {}}}}]}});
        assert_eq!(since(&cron), 5_000_000);
    }

    #[test]
    fn a_job_is_made_of_the_template() {
        let owner = Owner::new(crons(), "n", "c", "u");
        let cron = json!({"spec": {"jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"completions": 1}}}});
        let made = job(&owner, &cron, "c-0", 0);
        assert_eq!(made["metadata"]["annotations"][SCHEDULED_AT], "1970-01-01T00:00:00Z");
        assert_eq!((&made["spec"]["completions"], &made["metadata"]["labels"]["a"]), (&json!(1), &json!("b")));
    }
}
