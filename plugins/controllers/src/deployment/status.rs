//! The status of a Deployment: counts, and how its rollout goes.
//!
//! In: a Deployment, its ReplicaSets, the time. Out: the whole new status, and when a deadline passes. Pure.

use serde_json::{Value, json};

use super::model::{Deployment, Set};
use crate::world::{microseconds, rfc3339};

/// What to write, and after how many seconds the progress deadline is to be looked at.
#[derive(Debug, PartialEq)]
pub struct Judged {
    pub status: Value,
    pub deadline_in: Option<i64>,
}

/// A condition to be set.
struct Condition<'a> {
    of_type: &'a str,
    status: &'a str,
    reason: &'a str,
    message: String,
}

/// The status after everything that was planned has been written. `created` names a ReplicaSet made just now.
pub fn judge(
    deployment: &Deployment,
    sets: &[Set],
    new: Option<usize>,
    created: Option<&str>,
    collisions: i64,
    now: i64,
) -> Judged {
    let sum = |of: fn(&Set) -> i64| sets.iter().map(of).sum::<i64>();
    let available = sum(|s| s.available);
    let mut status = json!({
        "observedGeneration": deployment.generation,
        "replicas": sum(|s| s.status_replicas),
        "updatedReplicas": new.map_or(0, |i| sets[i].status_replicas),
        "readyReplicas": sum(|s| s.ready),
        "availableReplicas": available,
        "unavailableReplicas": (sum(|s| s.replicas).max(deployment.replicas) - available).max(0),
    });
    status["terminatingReplicas"] = json!(terminating(sets));
    if collisions > 0 {
        status["collisionCount"] = json!(collisions);
    }
    let mut conditions = deployment.status["conditions"].as_array().cloned().unwrap_or_default();
    let enough = available >= deployment.replicas - deployment.max_unavailable;
    set(
        &mut conditions,
        now,
        &if enough {
            condition("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            condition(
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        },
    );
    let deadline_in = progress(deployment, sets, new, created, &status, &mut conditions, now);
    failure(sets, new, &mut conditions);
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas"] {
        // As the API leaves zeroes out.
        if status[field] == json!(0) {
            status[field] = Value::Null;
        }
    }
    status["conditions"] = Value::Array(conditions);
    Judged { status, deadline_in }
}

/// Pods that are ending; nothing while a ReplicaSet has not told how many of its own are.
fn terminating(sets: &[Set]) -> Option<i64> {
    // One that is new has no pods that could end.
    let counted = sets.iter().filter(|set| set.terminating.is_some() || set.observed_generation != 0);
    counted.map(|set| set.terminating).sum()
}

fn progress(
    deployment: &Deployment,
    sets: &[Set],
    new: Option<usize>,
    created: Option<&str>,
    status: &Value,
    conditions: &mut Vec<Value>,
    now: i64,
) -> Option<i64> {
    let current = conditions.iter().find(|c| c["type"] == "Progressing").cloned();
    let reason = current.as_ref().and_then(|c| c["reason"].as_str()).unwrap_or_default().to_string();
    if deployment.paused {
        if reason != "DeploymentPaused" {
            set(conditions, now, &condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"));
        }
        return None;
    }
    let seconds = deployment.progress_deadline?;
    if reason == "DeploymentPaused" {
        set(conditions, now, &condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"));
        return Some(seconds);
    }
    let what = match (created, new) {
        (Some(name), _) => format!("ReplicaSet \"{name}\""),
        (None, Some(i)) => format!("ReplicaSet \"{}\"", sets[i].name),
        (None, None) => format!("Deployment \"{}\"", deployment.name),
    };
    if let Some(name) = created {
        let message = format!("Created new replica set \"{name}\"");
        set(conditions, now, &condition("Progressing", "True", "NewReplicaSetCreated", &message));
        return Some(seconds);
    }
    let n = |field: &str| status[field].as_i64().unwrap_or(0);
    if reason == "NewReplicaSetAvailable" && n("replicas") == n("updatedReplicas") {
        return None;
    }
    if n("updatedReplicas") == deployment.replicas
        && n("replicas") == deployment.replicas
        && n("availableReplicas") == deployment.replicas
    {
        let message = format!("{what} has successfully progressed.");
        set(conditions, now, &condition("Progressing", "True", "NewReplicaSetAvailable", &message));
        return None;
    }
    let old =
        |status: &Value| status["replicas"].as_i64().unwrap_or(0) - status["updatedReplicas"].as_i64().unwrap_or(0);
    let moved = n("updatedReplicas") > deployment.counted("updatedReplicas")
        || old(status) < old(&deployment.status)
        || n("readyReplicas") > deployment.counted("readyReplicas")
        || n("availableReplicas") > deployment.counted("availableReplicas");
    if moved || current.is_none() {
        let message = format!("{what} is progressing.");
        set(conditions, now, &condition("Progressing", "True", "ReplicaSetUpdated", &message));
        // Each step forward starts the deadline anew, even where nothing else of the condition changes.
        if let Some(held) = conditions.iter_mut().find(|c| c["type"] == "Progressing") {
            held["lastUpdateTime"] = json!(rfc3339(now));
        }
        return Some(seconds);
    }
    let since = current.as_ref().and_then(|c| microseconds(c["lastUpdateTime"].as_str()?)).unwrap_or(now);
    let left = seconds - (now - since) / 1_000_000;
    if left > 0 {
        return Some(left);
    }
    if reason != "ProgressDeadlineExceeded" {
        let message = format!("{what} has timed out progressing.");
        set(conditions, now, &condition("Progressing", "False", "ProgressDeadlineExceeded", &message));
    }
    None
}

/// A ReplicaSet that cannot make pods says so; the Deployment repeats it.
fn failure(sets: &[Set], new: Option<usize>, conditions: &mut Vec<Value>) {
    let said = new.into_iter().chain(0..sets.len()).find_map(|i| sets[i].failure.clone());
    let place = conditions.iter().position(|c| c["type"] == "ReplicaFailure");
    match (said, place) {
        (None, Some(at)) => {
            conditions.remove(at);
        }
        (Some(said), None) => conditions.push(with_update_time(said)),
        (Some(said), Some(at))
            if conditions[at]["reason"] != said["reason"] || conditions[at]["message"] != said["message"] =>
        {
            conditions[at] = with_update_time(said);
        }
        _ => {}
    }
}

/// A ReplicaSet's condition has no time of its last update; a Deployment's has.
fn with_update_time(mut said: Value) -> Value {
    said["lastUpdateTime"] = said["lastTransitionTime"].clone();
    said
}

fn condition<'a>(of_type: &'a str, status: &'a str, reason: &'a str, message: &str) -> Condition<'a> {
    Condition { of_type, status, reason, message: message.to_string() }
}

/// Keeps the times where nothing changed, and the time of the transition where only the reason did.
fn set(conditions: &mut Vec<Value>, now: i64, new: &Condition<'_>) {
    let time = rfc3339(now);
    let place = conditions.iter().position(|c| c["type"] == new.of_type);
    let held = place.map(|at| &conditions[at]);
    if held.is_some_and(|c| c["status"] == new.status && c["reason"] == new.reason && c["message"] == new.message) {
        return;
    }
    let transition = match held {
        Some(c) if c["status"] == new.status => c["lastTransitionTime"].clone(),
        _ => json!(time),
    };
    let made = json!({
        "type": new.of_type, "status": new.status, "reason": new.reason, "message": new.message,
        "lastUpdateTime": time, "lastTransitionTime": transition,
    });
    match place {
        Some(at) => conditions[at] = made,
        None => conditions.push(made),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(status: Value) -> Deployment {
        Deployment {
            name: "web".into(),
            generation: 2,
            replicas: 3,
            max_unavailable: 1,
            progress_deadline: Some(600),
            status,
            ..Deployment::default()
        }
    }

    fn set_of(name: &str, replicas: i64, available: i64) -> Set {
        let n = replicas;
        Set { name: name.into(), replicas: n, status_replicas: n, ready: available, available, ..Set::default() }
    }

    fn reason(status: &Value, of_type: &str) -> String {
        let found = status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == of_type);
        found.map_or(String::new(), |c| format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap()))
    }

    const NOW: i64 = 1_000_000_000_000_000;

    #[test]
    fn a_rollout_is_told_from_beginning_to_end() {
        let created = judge(&deployment(Value::Null), &[], None, Some("web-a"), 0, NOW);
        assert_eq!(reason(&created.status, "Progressing"), "True NewReplicaSetCreated");
        assert_eq!(reason(&created.status, "Available"), "False MinimumReplicasUnavailable");
        let half = judge(&deployment(created.status), &[set_of("web-a", 3, 2)], Some(0), None, 0, NOW);
        assert_eq!(reason(&half.status, "Progressing"), "True ReplicaSetUpdated");
        assert_eq!(reason(&half.status, "Available"), "True MinimumReplicasAvailable");
        assert_eq!((half.deadline_in, &half.status["unavailableReplicas"]), (Some(600), &json!(1)));
        let whole = judge(&deployment(half.status), &[set_of("web-a", 3, 3)], Some(0), None, 0, NOW);
        assert_eq!(reason(&whole.status, "Progressing"), "True NewReplicaSetAvailable");
        assert_eq!((whole.deadline_in, &whole.status["unavailableReplicas"]), (None, &Value::Null));
        let again =
            judge(&deployment(whole.status.clone()), &[set_of("web-a", 3, 3)], Some(0), None, 0, NOW + 5_000_000);
        assert_eq!(again.status, whole.status, "nothing changes where nothing happens");
    }

    #[test]
    fn ending_pods_are_summed_when_every_set_has_counted_its_own() {
        let check = |counts: &[(i64, Option<i64>)], want: Value| {
            let sets: Vec<Set> = counts
                .iter()
                .map(|(observed, terminating)| Set {
                    observed_generation: *observed,
                    terminating: *terminating,
                    ..set_of("web-a", 1, 1)
                })
                .collect();
            let new = (!sets.is_empty()).then_some(0);
            let told = judge(&deployment(Value::Null), &sets, new, None, 0, NOW).status;
            assert_eq!(told["terminatingReplicas"], want, "{counts:?}");
        };
        check(&[], json!(0));
        check(&[(1, Some(2)), (3, Some(1)), (0, None)], json!(3));
        check(&[(1, Some(2)), (1, None)], Value::Null);
    }

    #[test]
    fn a_rollout_that_stands_still_times_out() {
        let begun = judge(&deployment(Value::Null), &[set_of("web-a", 3, 0)], Some(0), None, 0, NOW).status;
        let waiting = judge(&deployment(begun.clone()), &[set_of("web-a", 3, 0)], Some(0), None, 0, NOW + 100_000_000);
        assert_eq!(waiting.deadline_in, Some(500));
        let late = judge(&deployment(begun), &[set_of("web-a", 3, 0)], Some(0), None, 0, NOW + 601_000_000);
        assert_eq!(reason(&late.status, "Progressing"), "False ProgressDeadlineExceeded");
        assert_eq!(late.deadline_in, None);
    }

    #[test]
    fn a_pause_stops_the_clock() {
        let mut d = deployment(Value::Null);
        d.paused = true;
        let paused = judge(&d, &[set_of("web-a", 3, 0)], Some(0), None, 0, NOW);
        assert_eq!(reason(&paused.status, "Progressing"), "Unknown DeploymentPaused");
        let resumed = judge(&deployment(paused.status), &[set_of("web-a", 3, 0)], Some(0), None, 0, NOW);
        assert_eq!(reason(&resumed.status, "Progressing"), "Unknown DeploymentResumed");
    }

    #[test]
    fn a_failing_set_is_repeated_and_forgotten() {
        let mut broken = set_of("web-a", 0, 0);
        broken.failure =
            Some(json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "x"}));
        let told = judge(&deployment(Value::Null), &[broken], Some(0), None, 0, NOW).status;
        assert_eq!(reason(&told, "ReplicaFailure"), "True FailedCreate");
        let well = judge(&deployment(told), &[set_of("web-a", 3, 3)], Some(0), None, 0, NOW).status;
        assert_eq!(reason(&well, "ReplicaFailure"), "");
    }
}
