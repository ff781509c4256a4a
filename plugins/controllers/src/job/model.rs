//! A Job and its pods, as far as decisions go.
//!
//! In: JSON and rows' cells. Out: numbers and names. Pure.

use serde_json::{Map, Value, json};

use super::policy::{self, Failure};
use crate::world;

/// On every pod whose end has not been counted yet.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// A Job's specification and state.
#[derive(Clone, Debug, Default)]
pub struct Job {
    pub name: String,
    pub deleting: bool,
    pub spec: Value,
    pub status: Status,
}

/// A Job's status, to be changed and written as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub active: i64,
    pub ready: Option<i64>,
    pub terminating: Option<i64>,
    pub succeeded: i64,
    pub failed: i64,
    pub completed_indexes: String,
    pub failed_indexes: Option<String>,
    /// UIDs of pods that are about to lose their finalizer and to be counted.
    pub uncounted_succeeded: Vec<String>,
    pub uncounted_failed: Vec<String>,
    pub conditions: Vec<Value>,
    pub start_time: Option<String>,
    pub completion_time: Option<String>,
}

/// One of its pods. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    pub name: String,
    pub uid: String,
    pub phase: String,
    pub ending: bool,
    /// Bears the finalizer: its end is not counted yet.
    pub tracked: bool,
    /// Completion index; `None` when it has none that makes sense.
    pub index: Option<i64>,
    pub index_failures: i64,
    pub index_ignored_failures: i64,
    pub ready: bool,
    pub scheduled: bool,
    pub created: i64,
    /// When it ended, as far as is known.
    pub finished: i64,
    /// Restarts of its containers; only known where they matter.
    pub restarts: i64,
    /// What the policy says of its failure.
    pub failure: Option<Failure>,
}

impl Job {
    /// Of a whole object.
    pub fn of(object: &Value) -> Self {
        Self {
            name: object["metadata"]["name"].as_str().unwrap_or_default().into(),
            deleting: !object["metadata"]["deletionTimestamp"].is_null(),
            spec: object["spec"].clone(),
            status: Status::of(&object["status"]),
        }
    }

    fn number(&self, field: &str) -> Option<i64> {
        self.spec[field].as_i64()
    }

    /// Pods side by side.
    pub fn parallelism(&self) -> i64 {
        self.number("parallelism").unwrap_or(1)
    }

    /// Successes that make it complete; `None`: any one will do.
    pub fn completions(&self) -> Option<i64> {
        self.number("completions")
    }

    /// Each completion has a number.
    pub fn is_indexed(&self) -> bool {
        self.spec["completionMode"] == "Indexed"
    }

    /// Failures that it stands.
    pub fn backoff_limit(&self) -> i64 {
        self.number("backoffLimit").unwrap_or(6)
    }

    /// Failures that each index stands.
    pub fn per_index_limit(&self) -> Option<i64> {
        self.number("backoffLimitPerIndex").filter(|_| self.is_indexed())
    }

    /// It is held.
    pub fn is_suspended(&self) -> bool {
        self.spec["suspend"] == true
    }

    /// Seconds that it may take.
    pub fn deadline(&self) -> Option<i64> {
        self.number("activeDeadlineSeconds")
    }

    /// A pod that is ending is replaced only once it has ended.
    pub fn waits_for_end(&self) -> bool {
        self.spec["podReplacementPolicy"] == "Failed" || self.has_failure_policy()
    }

    /// It has rules about failed pods.
    pub fn has_failure_policy(&self) -> bool {
        self.spec["podFailurePolicy"].is_object()
    }

    /// Containers restart in their pod.
    pub fn restarts_in_place(&self) -> bool {
        self.spec["template"]["spec"]["restartPolicy"] == "OnFailure"
    }

    /// Somebody else cares for it.
    pub fn is_foreign(&self) -> bool {
        self.spec["managedBy"].as_str().is_some_and(|who| who != "kubernetes.io/job-controller")
    }

    /// What the policy says about a failed pod.
    pub fn judge(&self, pod: &Value) -> Failure {
        policy::judge(&self.spec["podFailurePolicy"], pod)
    }
}

impl Status {
    /// Of JSON.
    pub fn of(status: &Value) -> Self {
        let number = |field: &str| status[field].as_i64();
        let text = |field: &str| status[field].as_str().map(str::to_string);
        let uids = |field: &str| {
            let all = status["uncountedTerminatedPods"][field].as_array().into_iter().flatten();
            all.filter_map(|uid| uid.as_str().map(str::to_string)).collect()
        };
        Self {
            active: number("active").unwrap_or(0),
            ready: number("ready"),
            terminating: number("terminating"),
            succeeded: number("succeeded").unwrap_or(0),
            failed: number("failed").unwrap_or(0),
            completed_indexes: text("completedIndexes").unwrap_or_default(),
            failed_indexes: text("failedIndexes"),
            uncounted_succeeded: uids("succeeded"),
            uncounted_failed: uids("failed"),
            conditions: status["conditions"].as_array().cloned().unwrap_or_default(),
            start_time: text("startTime"),
            completion_time: text("completionTime"),
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Value {
        let mut told = Map::new();
        let mut put = |field: &str, value: Value, there: bool| {
            if there {
                told.insert(field.into(), value);
            }
        };
        put("active", json!(self.active), self.active != 0);
        put("ready", json!(self.ready), self.ready.is_some());
        put("terminating", json!(self.terminating), self.terminating.is_some());
        put("succeeded", json!(self.succeeded), self.succeeded != 0);
        put("failed", json!(self.failed), self.failed != 0);
        put("completedIndexes", json!(self.completed_indexes), !self.completed_indexes.is_empty());
        put("failedIndexes", json!(self.failed_indexes), self.failed_indexes.is_some());
        put("conditions", json!(self.conditions), !self.conditions.is_empty());
        put("startTime", json!(self.start_time), self.start_time.is_some());
        put("completionTime", json!(self.completion_time), self.completion_time.is_some());
        let mut uncounted = Map::new();
        for (field, uids) in [("succeeded", &self.uncounted_succeeded), ("failed", &self.uncounted_failed)] {
            if !uids.is_empty() {
                uncounted.insert(field.into(), json!(uids));
            }
        }
        told.insert("uncountedTerminatedPods".into(), Value::Object(uncounted));
        Value::Object(told)
    }

    /// A condition of a type that is true.
    pub fn has(&self, of_type: &str) -> Option<&Value> {
        self.conditions.iter().find(|one| one["type"] == of_type && one["status"] == "True")
    }

    /// It is over.
    pub fn is_finished(&self) -> bool {
        self.has("Complete").is_some() || self.has("Failed").is_some()
    }

    /// Sets a condition; one that is not there does not become false. Says whether anything changed.
    pub fn set(&mut self, of_type: &str, on: bool, reason: &str, message: &str, now: i64) -> bool {
        let status = if on { "True" } else { "False" };
        let time = world::rfc3339(now);
        let told = json!({
            "type": of_type, "status": status, "reason": reason, "message": message,
            "lastProbeTime": time, "lastTransitionTime": time,
        });
        match self.conditions.iter_mut().find(|one| one["type"] == of_type) {
            Some(held) if held["status"] == status && held["reason"] == reason && held["message"] == message => false,
            Some(held) => {
                *held = told;
                true
            }
            None if !on => false,
            None => {
                self.conditions.push(told);
                true
            }
        }
    }
}

impl Pod {
    /// It runs or is about to.
    pub fn is_active(&self) -> bool {
        !self.ending && !self.has_ended()
    }

    /// It ran to its end.
    pub fn has_ended(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// It was told to end and has not yet.
    pub fn is_terminating(&self) -> bool {
        self.ending && !self.has_ended()
    }

    /// It succeeded.
    pub fn succeeded(&self) -> bool {
        self.phase == "Succeeded"
    }

    /// It failed, or will never succeed.
    pub fn failed(&self, job: &Job) -> bool {
        self.phase == "Failed" || (!job.waits_for_end() && self.is_terminating())
    }

    /// Its index is one of the Job's.
    pub fn index_within(&self, job: &Job) -> Option<i64> {
        self.index.filter(|index| *index < job.completions().unwrap_or(0))
    }

    /// Its failure counts towards the limits.
    pub fn counts(&self) -> bool {
        self.failure != Some(Failure::Ignore)
    }

    /// Failures of its index up to it.
    pub fn failures_before(&self) -> i64 {
        self.index_failures + self.index_ignored_failures
    }
}
