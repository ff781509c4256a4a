//! Disruption budgets, autoscalers, priority and runtime classes, flow control.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, NEGATIVE, Out};
use super::pod;
use crate::field::FieldError;
use crate::meta;
use crate::name;

/// The highest priority that users may define; the system's own classes are above.
const PRIORITY_MOST: i64 = 1_000_000_000;

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

pub(super) fn scaler(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if least.int().is_some_and(|n| n < 1) {
        out.invalid(&least, "must be greater than or equal to 1");
    }
    let upper = most.int().unwrap_or(0);
    if upper < 1 {
        out.push(FieldError::invalid(&most.path, upper, "must be greater than 0"));
    }
    if least.int().is_some_and(|n| upper < n) {
        out.invalid(&most, "must be greater than or equal to `minReplicas`");
    }
    let target = spec.get("scaleTargetRef");
    for field in ["kind", "name"] {
        let at = target.get(field);
        if at.text().is_empty() {
            out.required(&at, "");
        } else {
            out.form(&at, name::check_path_segment);
        }
    }
    for metric in spec.get("metrics").items() {
        self::metric(&metric, out);
    }
    let behavior = spec.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        let rules = behavior.get(direction);
        out.within_words(&rules.get("stabilizationWindowSeconds"), 0, 3600);
        out.one_of(&rules.get("selectPolicy"), &["Disabled", "Max", "Min"]);
        let policies = rules.get("policies");
        if rules.is_set() && policies.is_set() && policies.len() == 0 {
            out.required(&policies, "must specify at least one Policy");
        }
        for policy in policies.items() {
            out.one_of_required(&policy.get("type"), &["Percent", "Pods"]);
            for (field, most) in [("value", i64::from(i32::MAX)), ("periodSeconds", 1800)] {
                let at = policy.get(field);
                if at.int().unwrap_or(0) <= 0 {
                    out.push(FieldError::invalid(&at.path, at.int().unwrap_or(0), "must be greater than zero"));
                } else if at.int().is_some_and(|n| n > most) {
                    out.invalid(&at, format!("must be less than or equal to {most}"));
                }
            }
        }
    }
}

fn metric(at: &At<'_, '_>, out: &mut Out) {
    let kind = at.get("type");
    let field = match kind.text() {
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "External" => "external",
        "" => return out.required(&kind, "must specify a metric source type"),
        _ => return out.one_of(&kind, &["ContainerResource", "External", "Object", "Pods", "Resource"]),
    };
    let source = at.get(field);
    if !source.is_set() {
        out.required(&source, "must populate information for the given metric source");
        return;
    }
    match field {
        "resource" | "containerResource" => {
            if source.text_of("name").is_empty() {
                out.required(&source.get("name"), "must specify a resource name");
            }
            if field == "containerResource" && source.text_of("container").is_empty() {
                out.required(&source.get("container"), "must specify a container name");
            }
        }
        _ => {
            let identity = source.get("metric");
            if identity.text_of("name").is_empty() {
                out.required(&identity.get("name"), "must specify a metric name");
            }
        }
    }
    let target = source.get("target");
    if target.is_set() {
        out.one_of_required(&target.get("type"), &["AverageValue", "Utilization", "Value"]);
        let percent = target.get("averageUtilization");
        if percent.int().is_some_and(|n| n < 1) {
            out.invalid(&percent, "must be greater than 0");
        }
        for value in ["value", "averageValue"] {
            let value = target.get(value);
            if value.quantity().is_some_and(|q| q.is_negative() || q.is_zero()) {
                out.invalid(&value, "must be positive");
            }
        }
    }
}

pub(super) fn priority_class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let (value, metadata) = (At::root(object, "value"), At::root(object, "metadata"));
    let name_at = metadata.get("name");
    if name_at.text().starts_with("system-") {
        if !matches!(name_at.text(), "system-cluster-critical" | "system-node-critical") {
            out.forbidden(
                &name_at,
                "priority class names with 'system-' prefix are reserved for system use only. error: ".to_string()
                    + name_at.text()
                    + " is not a known system priority class",
            );
        }
    } else if value.int().is_some_and(|n| n > PRIORITY_MOST) {
        out.forbidden(&value, format!("maximum allowed value of a user defined priority is {PRIORITY_MOST}"));
    }
    out.one_of(&At::root(object, "preemptionPolicy"), &["Never", "PreemptLowerPriority"]);
    let Some(old) = old else { return };
    if value.int().unwrap_or(0) != meta::int_at(old, &["value"]).unwrap_or(0) {
        out.forbidden(&value, "may not be changed in an update.");
    }
    out.immutable(&At::root(object, "preemptionPolicy"), old.get("preemptionPolicy").unwrap_or(&Value::Null));
}

pub(super) fn runtime_class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let handler = At::root(object, "handler");
    out.form(&handler, name::check_label);
    if let Some(old) = old {
        out.immutable(&handler, old.get("handler").unwrap_or(&Value::Null));
    }
    let overhead = At::root(object, "overhead");
    for (key, value) in overhead.get("podFixed").entries() {
        let known = pod::standard_container_resource(key) || pod::extended(key);
        if !known {
            out.push(FieldError::invalid(&value.path, key, "must be a standard resource for containers"));
        }
        out.amount(&value);
    }
    out.labels(&At::root(object, "scheduling").get("nodeSelector"));
}

pub(super) fn flow_schema(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let precedence = spec.get("matchingPrecedence");
    if precedence.int().is_some_and(|n| n <= 0) {
        out.invalid(&precedence, "must be a positive value");
    }
    if precedence.int().is_some_and(|n| n > 10_000) {
        out.invalid(&precedence, "must not be greater than 10000");
    }
    let level = spec.get("priorityLevelConfiguration");
    if level.text_of("name").is_empty() {
        out.required(&level.get("name"), "must reference a priority level");
    }
    let method = spec.get("distinguisherMethod");
    out.one_of(&method.get("type"), &["ByNamespace", "ByUser"]);
    for rule in spec.get("rules").items() {
        if rule.get("subjects").len() == 0 {
            out.required(&rule.get("subjects"), "subjects must contain at least one value");
        }
        if rule.get("resourceRules").len() + rule.get("nonResourceRules").len() == 0 {
            out.required(&rule, "at least one of resourceRules and nonResourceRules has to be non-empty");
        }
    }
}

pub(super) fn priority_level(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let kind = spec.get("type");
    let limited = spec.get("limited");
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                out.forbidden(&limited, "must be nil if the type is not Limited");
            }
        }
        "Limited" => {
            if !limited.is_set() {
                out.required(&limited, "must not be empty when type is Limited");
            }
            if limited.get("nominalConcurrencyShares").int().is_some_and(|n| n < 0) {
                out.invalid(&limited.get("nominalConcurrencyShares"), NEGATIVE);
            }
            let response = limited.get("limitResponse");
            out.one_of(&response.get("type"), &["Queue", "Reject"]);
        }
        _ => out.push(FieldError::not_supported(&kind.path, kind.text(), &["Exempt", "Limited"])),
    }
}
