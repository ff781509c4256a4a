//! A Job's rules about how its pods end: `podFailurePolicy` and `successPolicy`.
//!
//! In: the rules, a failed pod as JSON or the indexes that succeeded. Out: what the first rule that matches says. Pure.

use serde_json::Value;

use super::indexes::Indexes;

/// What a failed pod means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It counts towards the limits.
    Count,
    /// It does not count, and another takes its place.
    Ignore,
    /// Its index is given up.
    FailIndex,
    /// The whole Job is given up, for this reason.
    FailJob(String),
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What the policy says about a failed pod.
pub fn judge(policy: &Value, pod: &Value) -> Failure {
    for (at, rule) in list(&policy["rules"]).iter().enumerate() {
        let action = text(&rule["action"]);
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let why = if rule["onExitCodes"].is_object() {
            let found = ["containerStatuses", "initContainerStatuses"].iter().find_map(|statuses| {
                list(&pod["status"][*statuses]).iter().find(|one| exits(&rule["onExitCodes"], one))
            });
            found.map(|status| {
                let code = &status["state"]["terminated"]["exitCode"];
                let container = text(&status["name"]);
                format!(
                    "Container {container} for pod {namespace}/{name} failed with exit code {code} matching {action} rule at index {at}"
                )
            })
        } else {
            let patterns = list(&rule["onPodConditions"]);
            let fits =
                |held: &&Value| patterns.iter().any(|p| p["type"] == held["type"] && p["status"] == held["status"]);
            let found = list(&pod["status"]["conditions"]).iter().find(fits);
            found.map(|condition| {
                let of_type = text(&condition["type"]);
                format!("Pod {namespace}/{name} has condition {of_type} matching {action} rule at index {at}")
            })
        };
        match (why, action) {
            (Some(why), "FailJob") => return Failure::FailJob(why),
            (Some(_), "Ignore") => return Failure::Ignore,
            (Some(_), "FailIndex") => return Failure::FailIndex,
            (Some(_), "Count") => return Failure::Count,
            _ => {}
        }
    }
    Failure::Count
}

/// Whether a container ended with one of the codes that a rule names.
fn exits(wanted: &Value, status: &Value) -> bool {
    let Some(code) = status["state"]["terminated"]["exitCode"].as_i64().filter(|code| *code != 0) else { return false };
    let named = wanted["containerName"].is_null() || wanted["containerName"] == status["name"];
    let listed = list(&wanted["values"]).iter().any(|value| value.as_i64() == Some(code));
    named
        && match text(&wanted["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        }
}

/// Why a Job has succeeded already, if one of the rules says so.
pub fn succeeds(policy: &Value, completions: i64, succeeded: &Indexes) -> Option<String> {
    if succeeded.count() == 0 {
        return None;
    }
    let at = list(&policy["rules"]).iter().position(|rule| {
        let enough = rule["succeededCount"].as_i64();
        match rule["succeededIndexes"].as_str() {
            Some(wanted) => {
                let wanted = Indexes::parse(wanted, completions);
                let have = wanted.shared(succeeded);
                wanted.count() > 0 && (have == wanted.count() || enough.is_some_and(|enough| have >= enough))
            }
            None => enough.is_some_and(|enough| succeeded.count() >= enough),
        }
    });
    at.map(|at| format!("Matched rules at index {at}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(rule: Value, expected: Failure) {
        let pod = json!({"metadata": {"namespace": "n", "name": "p"}, "status": {
            "conditions": [{"type": "DisruptionTarget", "status": "True"}],
            "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}, {"name": "d", "state": {}}]}});
        assert_eq!(judge(&json!({"rules": [rule]}), &pod), expected);
    }

    #[test]
    fn the_first_rule_that_matches_speaks() {
        let exit = |action: &str, operator: &str, values: &[i64]| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
        let why = "Container c for pod n/p failed with exit code 3 matching FailJob rule at index 0";
        check(exit("FailJob", "In", &[3]), Failure::FailJob(why.into()));
        check(exit("Ignore", "NotIn", &[4]), Failure::Ignore);
        check(exit("FailIndex", "In", &[3, 4]), Failure::FailIndex);
        check(exit("Ignore", "In", &[4]), Failure::Count);
        let mut named = exit("Ignore", "In", &[3]);
        named["onExitCodes"]["containerName"] = json!("d");
        check(named, Failure::Count);
        let condition = json!([{"type": "DisruptionTarget", "status": "True"}]);
        check(json!({"action": "Ignore", "onPodConditions": condition}), Failure::Ignore);
        let why = "Pod n/p has condition DisruptionTarget matching FailJob rule at index 0";
        check(json!({"action": "FailJob", "onPodConditions": condition}), Failure::FailJob(why.into()));
    }

    #[test]
    fn success_may_come_early() {
        let succeeded = Indexes::of([0, 2, 3]);
        let rule = |rule: Value| succeeds(&json!({"rules": [{"succeededIndexes": "9"}, rule]}), 10, &succeeded);
        let met = Some("Matched rules at index 1".to_string());
        assert_eq!(rule(json!({"succeededIndexes": "0,2"})), met);
        assert_eq!(rule(json!({"succeededIndexes": "0-2"})), None);
        assert_eq!(rule(json!({"succeededIndexes": "0-2", "succeededCount": 2})), met);
        assert_eq!(rule(json!({"succeededCount": 3})), met);
        assert_eq!(rule(json!({"succeededCount": 4})), None);
        assert_eq!(succeeds(&Value::Null, 10, &succeeded), None);
    }
}
