//! What a PodDisruptionBudget allows.
//!
//! In: a budget, its pods, how many there should be. Out: its status, and when to look again. Pure.

use serde_json::{Map, Value, json};

use crate::world;

/// An eviction that was allowed must have begun within this time, else the pod counts again.
const DELETION_TIMEOUT: i64 = 120 * 1_000_000;

/// A pod, as far as a budget cares.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub name: String,
    pub ready: bool,
    pub ending: bool,
}

/// How many pods there should be, and how many of them healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub pods: i64,
    pub healthy: i64,
}

/// A decided status.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    /// The whole status; `None` when it is as it should be.
    pub status: Option<Value>,
    /// Pods that were to be evicted and were not.
    pub not_deleted: Vec<String>,
    /// Microseconds until the next eviction must have begun.
    pub again_in: Option<i64>,
}

/// How many pods must be healthy. `scale` is asked for the sum of the controllers' sizes only where it matters.
pub fn expected(spec: &Value, pods: i64, scale: impl FnOnce() -> Result<i64, String>) -> Result<Expected, String> {
    if !spec["maxUnavailable"].is_null() {
        let pods = scale()?;
        return Ok(Expected { pods, healthy: (pods - scaled(&spec["maxUnavailable"], pods)?).max(0) });
    }
    match &spec["minAvailable"] {
        Value::Null => Ok(Expected::default()),
        Value::Number(number) => Ok(Expected { pods, healthy: number.as_i64().unwrap_or(0) }),
        percent => {
            let pods = scale()?;
            Ok(Expected { pods, healthy: scaled(percent, pods)? })
        }
    }
}

/// A number, or a percentage of a number rounded up.
fn scaled(value: &Value, of: i64) -> Result<i64, String> {
    if let Some(number) = value.as_i64() {
        return Ok(number);
    }
    let text = value.as_str().unwrap_or_default();
    let percent = text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok());
    let percent = percent
        .ok_or_else(|| format!("invalid value for IntOrString: invalid type: string is not a percentage: {text}"))?;
    let part = percent.saturating_mul(of);
    Ok(part / 100 + i64::from(part % 100 > 0))
}

/// The status of a budget.
pub fn plan(generation: i64, held: &Value, pods: &[Pod], expected: Expected, now: i64) -> Decided {
    let mut disrupted = Map::new();
    let (mut not_deleted, mut again_at): (Vec<String>, Option<i64>) = (Vec::new(), None);
    for pod in pods.iter().filter(|pod| !pod.ending) {
        let Some(since) = held["disruptedPods"][&pod.name].as_str() else { continue };
        let due = world::microseconds(since).unwrap_or(0) + DELETION_TIMEOUT;
        if due < now {
            not_deleted.push(pod.name.clone());
        } else {
            disrupted.insert(pod.name.clone(), json!(since));
            again_at = Some(again_at.map_or(due, |at| at.min(due)));
        }
    }
    let healthy = pods.iter().filter(|p| p.ready && !p.ending && !disrupted.contains_key(&p.name)).count() as i64;
    let spare = healthy - expected.healthy;
    let allowed = if expected.pods <= 0 { 0 } else { spare.max(0) };
    let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let mut status = json!({
        "currentHealthy": healthy, "desiredHealthy": expected.healthy, "expectedPods": expected.pods,
        "disruptionsAllowed": allowed, "observedGeneration": generation,
        "conditions": condition(&held["conditions"], state, reason, "", generation, now),
    });
    if !disrupted.is_empty() {
        status["disruptedPods"] = Value::Object(disrupted);
    }
    let fields = ["currentHealthy", "desiredHealthy", "expectedPods", "disruptionsAllowed", "observedGeneration"];
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let none = |value: &Value| value.as_object().is_none_or(Map::is_empty);
    let same = fields.iter().all(|field| number(&held[*field]) == number(&status[*field]))
        && (held["disruptedPods"] == status["disruptedPods"]
            || (none(&held["disruptedPods"]) && none(&status["disruptedPods"])))
        && find(&held["conditions"]).is_some_and(|c| c["status"] == state && c["reason"] == reason);
    Decided { status: (!same).then_some(status), not_deleted, again_in: again_at.map(|at| at - now + 1_000_000) }
}

/// The status after a failure: nothing is allowed any more, for what is not known.
pub fn fail_safe(held: &Value, why: &str, now: i64) -> Value {
    let mut status = if held.is_object() { held.clone() } else { json!({}) };
    for field in ["currentHealthy", "desiredHealthy", "expectedPods"] {
        if status[field].is_null() {
            status[field] = json!(0);
        }
    }
    status["disruptionsAllowed"] = json!(0);
    let generation = held["observedGeneration"].as_i64().unwrap_or(0);
    status["conditions"] = condition(&held["conditions"], "False", "SyncFailed", why, generation, now);
    status
}

fn find(conditions: &Value) -> Option<&Value> {
    conditions.as_array().into_iter().flatten().find(|one| one["type"] == "DisruptionAllowed")
}

/// All conditions, with ours as it is now; its time stays where its status does.
fn condition(held: &Value, status: &str, reason: &str, message: &str, generation: i64, now: i64) -> Value {
    let before = find(held);
    let since = match before {
        Some(one) if one["status"] == status => one["lastTransitionTime"].clone(),
        _ => json!(world::rfc3339(now)),
    };
    let others = held.as_array().cloned().unwrap_or_default();
    let mut all: Vec<Value> = others.into_iter().filter(|one| one["type"] != "DisruptionAllowed").collect();
    all.push(json!({
        "type": "DisruptionAllowed", "status": status, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": since,
    }));
    Value::Array(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000_000_000;

    fn pods(ready: usize, unready: usize) -> Vec<Pod> {
        let pod = |i: usize| Pod { name: format!("p{i}"), ready: i < ready, ending: false };
        (0..ready + unready).map(pod).collect()
    }

    /// Expected pods, wanted healthy, allowed disruptions.
    #[track_caller]
    fn check(spec: Value, pods: &[Pod], scale: i64, numbers: [i64; 3]) {
        let expected = expected(&spec, pods.len() as i64, || Ok(scale)).unwrap();
        let status = plan(1, &Value::Null, pods, expected, NOW).status.unwrap();
        let number = |field: &str| status[field].as_i64().unwrap();
        assert_eq!([number("expectedPods"), number("desiredHealthy"), number("disruptionsAllowed")], numbers, "{spec}");
        assert_eq!(plan(1, &status, pods, expected, NOW + 5).status, None, "it settles");
    }

    #[test]
    fn budgets_are_numbers_or_percentages() {
        check(json!({"minAvailable": 2}), &pods(3, 0), 9, [3, 2, 1]);
        check(json!({"minAvailable": 2}), &pods(2, 1), 9, [3, 2, 0]);
        check(json!({"minAvailable": "50%"}), &pods(3, 0), 3, [3, 2, 1]);
        check(json!({"maxUnavailable": 1}), &pods(3, 0), 5, [5, 4, 0]);
        check(json!({"maxUnavailable": "40%"}), &pods(5, 0), 5, [5, 3, 2]);
        check(json!({"maxUnavailable": 9}), &pods(1, 0), 1, [1, 0, 1]);
        check(json!({"minAvailable": 0}), &pods(0, 0), 0, [0, 0, 0]);
        assert!(expected(&json!({"minAvailable": "x"}), 1, || Ok(1)).is_err());
        assert!(expected(&json!({"maxUnavailable": 1}), 1, || Err("no".into())).is_err());
    }

    #[test]
    fn what_is_about_to_be_evicted_does_not_count() {
        let held = json!({"disruptedPods": {"p0": world::rfc3339(NOW - 10_000_000), "gone": world::rfc3339(NOW)}});
        let expected = Expected { pods: 3, healthy: 1 };
        let decided = plan(1, &held, &pods(3, 0), expected, NOW);
        let status = decided.status.unwrap();
        assert_eq!((&status["currentHealthy"], &status["disruptionsAllowed"]), (&json!(2), &json!(1)));
        assert_eq!(status["disruptedPods"].as_object().unwrap().len(), 1);
        assert_eq!(decided.again_in, Some(111_000_000));
        let late = plan(1, &status, &pods(3, 0), expected, NOW + 200_000_000);
        assert_eq!(
            (late.not_deleted.as_slice(), late.status.unwrap()["currentHealthy"].as_i64()),
            (&["p0".to_string()][..], Some(3))
        );
    }

    #[test]
    fn conditions_tell_why() {
        let expected = Expected { pods: 3, healthy: 3 };
        let status = plan(2, &Value::Null, &pods(3, 0), expected, NOW).status.unwrap();
        let told = &status["conditions"][0];
        assert_eq!((told["status"].as_str(), told["reason"].as_str()), (Some("False"), Some("InsufficientPods")));
        let broken = fail_safe(&status, "found no controllers for pod \"a\"", NOW + 5_000_000);
        assert_eq!(broken["conditions"][0]["reason"], "SyncFailed");
        assert_eq!(broken["conditions"][0]["lastTransitionTime"], told["lastTransitionTime"]);
    }
}
