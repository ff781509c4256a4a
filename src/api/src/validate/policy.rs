//! Disruption budgets, priority classes and runtime classes.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::{condition, pod};
use crate::meta;
use crate::name;

/// The highest priority that users may define; the system's own classes are above.
const PRIORITY_MOST: i64 = 1_000_000_000;
/// The system's own classes.
const SYSTEM: [(&str, i64); 2] = [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub(super) fn budget(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (least, most) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if least.is_set() && most.is_set() {
        out.invalid(&spec, "minAvailable and maxUnavailable cannot be both set");
    }
    for at in [&least, &most] {
        if at.is_set() {
            out.number_or_percent(at);
            out.at_most_all(at);
        }
    }
    out.selector(&spec.get("selector"));
    out.one_of(&spec.get("unhealthyPodEvictionPolicy"), &["AlwaysAllow", "IfHealthyBudget"]);
}

pub(super) fn budget_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    condition::all(&status.get("conditions"), out);
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        out.nonnegative(&status.get(field));
    }
}

pub(super) fn priority_class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let (value, metadata) = (At::root(object, "value"), At::root(object, "metadata"));
    let name_at = metadata.get("name");
    if name_at.text().starts_with("system-") {
        if let Some(fault) = system_class(object) {
            let text = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            out.forbidden(&name_at, format!("{text}{fault}"));
        }
    } else if value.int().is_some_and(|n| n > PRIORITY_MOST) {
        out.forbidden(&value, format!("maximum allowed value of a user defined priority is {PRIORITY_MOST}"));
    }
    out.one_of(&At::root(object, "preemptionPolicy"), &["PreemptLowerPriority", "Never"]);
    let Some(old) = old else { return };
    if value.int().unwrap_or(0) != meta::int_at(old, &["value"]).unwrap_or(0) {
        out.forbidden(&value, "may not be changed in an update.");
    }
    out.immutable(&At::root(object, "preemptionPolicy"), old.get("preemptionPolicy").unwrap_or(&Value::Null));
}

/// Why this is none of the system's own classes.
fn system_class(object: &Value) -> Option<String> {
    let name = meta::name(object);
    let Some((_, value)) = SYSTEM.into_iter().find(|(known, _)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if meta::int_at(object, &["value"]) != Some(value) {
        return Some(format!("value of {name} PriorityClass must be {value}"));
    }
    meta::bool_at(object, &["globalDefault"]).then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

pub(super) fn runtime_class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let handler = At::root(object, "handler");
    if out.filled(&handler) {
        out.form(&handler, name::check_label);
    }
    let overhead = At::root(object, "overhead");
    if overhead.is_set() {
        pod::overhead_of_class(&overhead, out);
    }
    let scheduling = At::root(object, "scheduling");
    out.labels(&scheduling.get("nodeSelector"));
    let tolerations = scheduling.get("tolerations");
    pod::tolerations(&tolerations, out);
    let mut seen = BTreeSet::new();
    for one in tolerations.items() {
        let key = ["key", "operator", "value", "effect"].map(|field| one.text_of(field));
        if !seen.insert(key) {
            out.duplicate(&one);
        }
    }
    if let Some(old) = old {
        out.immutable(&handler, old.get("handler").unwrap_or(&Value::Null));
    }
}
