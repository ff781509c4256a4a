//! The Pod Security Standards: what pods of a level may not ask for, in every version from v1.0 on.
//!
//! In: a level with a version, and a pod's annotations and spec. Out: what it violates, in Kubernetes' words. Never
//! knows namespaces, users or exemptions beyond the labels that a policy is read from.

mod checks;
mod policy;

use serde_json::Value;

pub use policy::{LABELS, Level, LevelVersion, Policy, Version};

/// A check that a pod does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// In short: `host namespaces`.
    pub reason: String,
    /// What exactly: `hostNetwork=true`.
    pub detail: String,
}

/// Everything that a pod of this metadata and spec violates.
pub fn evaluate(wanted: LevelVersion, metadata: &Value, spec: &Value) -> Vec<Violation> {
    checks::of(wanted).into_iter().filter_map(|check| check(metadata, spec)).collect()
}

/// The reasons alone.
pub fn reasons(violations: &[Violation]) -> String {
    violations.iter().map(|v| v.reason.as_str()).collect::<Vec<_>>().join(", ")
}

/// The reasons, each with its detail.
pub fn details(violations: &[Violation]) -> String {
    let one = |v: &Violation| match v.detail.as_str() {
        "" => v.reason.clone(),
        detail => format!("{} ({detail})", v.reason),
    };
    violations.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
