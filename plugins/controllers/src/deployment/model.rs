//! What the decisions about a Deployment need to know.
//!
//! In: nothing. Out: plain data. Times are microseconds since 1970.

use std::collections::BTreeMap;

use serde_json::Value;

/// The annotation that numbers revisions.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// The annotation with the earlier numbers of a ReplicaSet.
pub const HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The replicas that the Deployment wanted when it last scaled the ReplicaSet.
pub const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The most pods that the Deployment allowed then.
pub const MOST: &str = "deployment.kubernetes.io/max-replicas";
/// The label that tells the templates of a Deployment apart.
pub const HASH: &str = "pod-template-hash";

/// A Deployment.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub generation: i64,
    pub replicas: i64,
    pub paused: bool,
    pub deleting: bool,
    pub selector: Value,
    pub template: Value,
    pub recreate: bool,
    /// Resolved to a number of pods.
    pub max_surge: i64,
    /// Resolved to a number of pods.
    pub max_unavailable: i64,
    pub min_ready_seconds: i64,
    pub history_limit: Option<i64>,
    /// `None` when there is no deadline.
    pub progress_deadline: Option<i64>,
    pub annotations: BTreeMap<String, String>,
    pub status: Value,
}

/// A ReplicaSet that a Deployment controls.
#[derive(Clone, Debug, Default)]
pub struct Set {
    pub name: String,
    pub uid: String,
    pub created: i64,
    pub generation: i64,
    pub deleting: bool,
    pub replicas: i64,
    pub min_ready_seconds: i64,
    pub template: Value,
    pub annotations: BTreeMap<String, String>,
    pub observed_generation: i64,
    pub status_replicas: i64,
    pub ready: i64,
    pub available: i64,
    /// Pods that are ending; `None` when nobody has counted them.
    pub terminating: Option<i64>,
    /// The condition `ReplicaFailure`, whole, when it is true.
    pub failure: Option<Value>,
}

impl Deployment {
    /// From the cells of the declaration.
    pub fn of(namespace: &str, name: &str, uid: &str, spec: &Value, status: Value) -> Deployment {
        let replicas = spec["replicas"].as_i64().unwrap_or(1);
        let strategy = &spec["strategy"];
        let recreate = strategy["type"].as_str() == Some("Recreate");
        let rolling = &strategy["rollingUpdate"];
        let (max_surge, max_unavailable) =
            if recreate { (0, 0) } else { bounds(&rolling["maxSurge"], &rolling["maxUnavailable"], replicas) };
        Deployment {
            namespace: namespace.into(),
            name: name.into(),
            uid: uid.into(),
            replicas,
            paused: spec["paused"].as_bool().unwrap_or(false),
            selector: spec["selector"].clone(),
            template: spec["template"].clone(),
            recreate,
            max_surge,
            max_unavailable,
            min_ready_seconds: spec["minReadySeconds"].as_i64().unwrap_or(0),
            history_limit: spec["revisionHistoryLimit"].as_i64().filter(|n| *n < i64::from(i32::MAX)),
            progress_deadline: spec["progressDeadlineSeconds"].as_i64().filter(|n| *n < i64::from(i32::MAX)),
            status,
            ..Deployment::default()
        }
    }

    /// The most pods of all templates at once.
    pub fn most(&self) -> i64 {
        self.replicas + self.max_surge
    }

    /// A number of the status.
    pub fn counted(&self, field: &str) -> i64 {
        self.status[field].as_i64().unwrap_or(0)
    }
}

impl Set {
    /// Its revision; 0 when it has none.
    pub fn revision(&self) -> i64 {
        self.number(REVISION).unwrap_or(0)
    }

    /// An annotation as a number.
    pub fn number(&self, annotation: &str) -> Option<i64> {
        self.annotations.get(annotation)?.parse().ok()
    }
}

/// Surge rounds up, unavailability rounds down; if both come to nothing, one pod may be unavailable.
fn bounds(surge: &Value, unavailable: &Value, replicas: i64) -> (i64, i64) {
    let resolve = |value: &Value, up: bool| match value {
        Value::Number(n) => n.as_i64().unwrap_or(0),
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|n| n.parse().ok()).unwrap_or(0);
            (percent * replicas + if up { 99 } else { 0 }) / 100
        }
        _ => (25 * replicas + if up { 99 } else { 0 }) / 100,
    };
    match (resolve(surge, true), resolve(unavailable, false)) {
        (0, 0) => (0, 1),
        (surge, unavailable) => (surge, unavailable.min(replicas.max(1))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn percentages_round_for_safety() {
        for (surge, unavailable, replicas, expected) in [
            (json!("25%"), json!("25%"), 10, (3, 2)),
            (json!("25%"), json!("25%"), 3, (1, 0)),
            (json!(0), json!("10%"), 3, (0, 1)),
            (json!(1), json!(0), 3, (1, 0)),
            (json!(0), json!(5), 3, (0, 3)),
            (Value::Null, Value::Null, 4, (1, 1)),
        ] {
            assert_eq!(bounds(&surge, &unavailable, replicas), expected);
        }
    }
}
