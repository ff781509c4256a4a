//! HorizontalPodAutoscalers, in their v2 form.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, Out};
use super::pod;
use crate::field::FieldError;
use crate::meta;
use crate::name;

/// Longest period of a scaling policy, and longest look back for the most cautious advice, in seconds.
const PERIOD_MOST: i64 = 1800;
const WINDOW_MOST: i64 = 3600;
const SOURCES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// Fields of the sources, in the order in which they are looked at.
const FIELDS: [&str; 5] = ["object", "external", "pods", "resource", "containerResource"];

pub(super) fn all(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    // Scaling to nothing is off; who has it keeps it.
    let before = old.and_then(|old| meta::int_at(old, &["spec", "minReplicas"]));
    let bound = if before == Some(0) { 0 } else { 1 };
    if least.int().is_some_and(|n| n < bound) {
        out.invalid(&least, format!("must be greater than or equal to {bound}"));
    }
    let upper = most.int().unwrap_or(0);
    match upper {
        0 => out.required(&most, "must be set and greater than 0"),
        n if n < 0 => out.invalid(&most, "must be greater than or equal to 1"),
        _ => {}
    }
    if least.int().is_some_and(|n| upper < n) {
        out.push(FieldError::invalid(&most.path, upper, "must be greater than or equal to `minReplicas`"));
    }
    let target = spec.get("scaleTargetRef");
    let rule = match old.map(|old| &old["spec"]["scaleTargetRef"]) {
        Some(old) if ["apiVersion", "kind"].iter().all(|f| meta::text(old, f) == target.text_of(f)) => Version::Any,
        _ if target.text_of("kind") == "ReplicationController" => Version::Read,
        _ => Version::Grouped,
    };
    reference(&target, rule, out);
    metrics(&spec, old, out);
    let behavior = spec.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        rules(&behavior.get(direction), out);
    }
}

pub(super) fn status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    for field in ["currentReplicas", "desiredReplicas"] {
        out.nonnegative(&status.get(field));
    }
}

/// What the `apiVersion` of a reference must be.
#[derive(Clone, Copy)]
enum Version {
    /// It was accepted before.
    Any,
    /// Of any group, or none.
    Read,
    /// Of a group that has a name.
    Grouped,
}

impl Version {
    fn fault(self, text: &str) -> Option<String> {
        match (self, text.matches('/').count()) {
            (Version::Any, _) => None,
            (_, 2..) => Some(format!("unexpected GroupVersion string: {text}")),
            (Version::Grouped, 0) => Some("apiVersion must specify API group".to_owned()),
            (Version::Grouped, _) if text.starts_with('/') => Some("apiVersion must specify API group".to_owned()),
            _ => None,
        }
    }
}

fn reference(at: &At<'_, '_>, version: Version, out: &mut Out) {
    for field in ["kind", "name"] {
        out.filled_form(&at.get(field), name::check_path_segment);
    }
    if let Some(fault) = version.fault(at.text_of("apiVersion")) {
        let place = at.get("apiVersion");
        out.push(FieldError::invalid(&place.path, place.text(), fault));
    }
}

fn metrics(spec: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let known = old.map_or(&[][..], |old| meta::list_at(old, &["spec", "metrics"]));
    let broken = |metric: &Value| {
        let version = meta::text_at(metric, &["object", "describedObject", "apiVersion"]);
        meta::text(metric, "type") == "Object" && Version::Read.fault(version).is_some()
    };
    let version = if known.iter().any(broken) { Version::Any } else { Version::Read };
    let at = spec.get("metrics");
    for metric in at.items() {
        self::metric(&metric, version, out);
    }
    let outside = at.items().any(|metric| matches!(metric.text_of("type"), "Object" | "External"));
    if spec.get("minReplicas").int() == Some(0) && !outside {
        out.forbidden(&at, "must specify at least one Object or External metric to support scaling to zero replicas");
    }
}

fn metric(at: &At<'_, '_>, version: Version, out: &mut Out) {
    let kind = at.get("type");
    if kind.text().is_empty() {
        out.required(&kind, "must specify a metric source type");
    }
    let unknown = !SOURCES.contains(&kind.text());
    if unknown {
        out.push(FieldError::not_supported(&kind.path, kind.text(), &SOURCES));
    }
    let present: Vec<&str> = FIELDS.into_iter().filter(|field| at.get(field).is_set()).collect();
    if let Some(field) = present.first() {
        source(&at.get(field), field, version, out);
    }
    let mut expected = kind.text().to_owned();
    if let Some(first) = expected.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    if !unknown && !at.get(&expected).is_set() {
        out.required(&at.get(&expected), "must populate information for the given metric source");
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| *field != expected) {
            out.forbidden(&at.get(field), "must populate the given metric source only");
        }
    }
}

fn source(at: &At<'_, '_>, field: &str, version: Version, out: &mut Out) {
    let target = at.get("target");
    let (value, average, percent) = (target.get("value"), target.get("averageValue"), target.get("averageUtilization"));
    match field {
        "resource" | "containerResource" => {
            if at.text_of("name").is_empty() {
                out.required(&at.get("name"), "must specify a resource name");
            } else if field == "containerResource" {
                pod::container_resource(&at.get("name"), out);
            }
            if field == "containerResource" {
                let container = at.get("container");
                match container.text() {
                    "" => out.required(&container, "must specify a container"),
                    _ => out.form(&container, name::check_label),
                }
            }
            aim(&target, out);
            if !percent.is_set() && !average.is_set() {
                out.required(&percent, "must set either a target raw value or a target utilization");
            }
            if percent.is_set() && average.is_set() {
                out.forbidden(&average, "may not set both a target raw value and a target utilization");
            }
        }
        _ => {
            if field == "object" {
                reference(&at.get("describedObject"), version, out);
            }
            identity(&at.get("metric"), out);
            aim(&target, out);
            match field {
                "pods" if !average.is_set() => out.required(&average, "must specify a positive target averageValue"),
                "object" if !value.is_set() && !average.is_set() => {
                    out.required(&average, "must set either a target value or averageValue");
                }
                "external" if !value.is_set() && !average.is_set() => {
                    out.required(&average, "must set either a target value for metric or a per-pod target");
                }
                "external" if value.is_set() && average.is_set() => {
                    out.forbidden(&value, "may not set both a target value for metric and a per-pod target");
                }
                _ => {}
            }
        }
    }
}

fn identity(at: &At<'_, '_>, out: &mut Out) {
    let name_at = at.get("name");
    match name_at.text() {
        "" => out.required(&name_at, "must specify a metric name"),
        _ => out.form(&name_at, name::check_path_segment),
    }
}

fn aim(at: &At<'_, '_>, out: &mut Out) {
    let kind = at.get("type");
    if kind.text().is_empty() {
        out.required(&kind, "must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        let text = "must be either Utilization, Value, or AverageValue";
        out.push(FieldError::invalid(&kind.path, kind.text(), text));
    }
    for field in ["value", "averageValue"] {
        let value = at.get(field);
        if value.quantity().is_some_and(|q| q.is_negative() || q.is_zero()) {
            out.invalid(&value, "must be positive");
        }
    }
    let percent = at.get("averageUtilization");
    if percent.int().is_some_and(|n| n < 1) {
        out.invalid(&percent, "must be greater than 0");
    }
}

fn rules(at: &At<'_, '_>, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    let window = at.get("stabilizationWindowSeconds");
    if window.int().is_some_and(|n| n < 0) {
        out.invalid(&window, "must be greater than or equal to zero");
    }
    if window.int().is_some_and(|n| n > WINDOW_MOST) {
        out.invalid(&window, format!("must be less than or equal to {WINDOW_MOST}"));
    }
    out.one_of(&at.get("selectPolicy"), &["Disabled", "Max", "Min"]);
    let policies = at.get("policies");
    if policies.len() == 0 {
        out.required(&policies, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let kind = policy.get("type");
        if !matches!(kind.text(), "Pods" | "Percent") {
            out.push(FieldError::not_supported(&kind.path, kind.text(), &["Percent", "Pods"]));
        }
        for field in ["value", "periodSeconds"] {
            let number = policy.get(field);
            let n = number.int().unwrap_or(0);
            if n <= 0 {
                out.push(FieldError::invalid(&number.path, n, "must be greater than zero"));
            }
            if field == "periodSeconds" && n > PERIOD_MOST {
                out.invalid(&number, format!("must be less than or equal to {PERIOD_MOST}"));
            }
        }
    }
    out.amount(&at.get("tolerance"));
}
