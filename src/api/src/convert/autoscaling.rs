//! HorizontalPodAutoscaler v1 and v2. Version 1 has a CPU target only; the rest lives in annotations there.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Kind of metric, its field.
const SOURCES: [(&str, &str); 5] = [
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
    ("Pods", "pods"),
    ("Object", "object"),
    ("External", "external"),
];

pub(super) fn v1_to_v2(object: &mut Value) {
    let annotation = |object: &mut Value, name: &str| -> Option<Value> {
        let text = object.pointer_mut("/metadata/annotations")?.as_object_mut()?.remove(name)?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let metrics = annotation(object, METRICS);
    let current = annotation(object, CURRENT_METRICS);
    let conditions = annotation(object, CONDITIONS);
    let behavior = annotation(object, BEHAVIOR);
    drop_empty_annotations(object);

    let cpu = take(object, "spec", "targetCPUUtilizationPercentage");
    let mut specs: Vec<Value> = list(metrics).map(|metric| widen(metric, "target", "target")).collect();
    if let Some(percent) = cpu {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        specs.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    set_list(object, "spec", "metrics", specs);
    if let Some(behavior) = behavior {
        object["spec"]["behavior"] = behavior;
    }

    let cpu = take(object, "status", "currentCPUUtilizationPercentage");
    let mut currents: Vec<Value> = list(current).map(|metric| widen(metric, "current", "current")).collect();
    if let Some(percent) = cpu {
        let has_cpu = currents.iter().any(|metric| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu");
        if !has_cpu {
            currents.insert(
                0,
                json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}),
            );
        }
    }
    set_list(object, "status", "currentMetrics", currents);
    set_list(object, "status", "conditions", list(conditions).collect());
}

pub(super) fn v2_to_v1(object: &mut Value) {
    let mut metrics: Vec<Value> = list(take(object, "spec", "metrics")).collect();
    let is_cpu = |metric: &Value| {
        metric["type"] == "Resource"
            && metric["resource"]["name"] == "cpu"
            && metric["resource"]["target"]["averageUtilization"].is_i64()
    };
    if let Some(at) = metrics.iter().position(is_cpu) {
        let cpu = metrics.remove(at);
        object["spec"]["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"].clone();
    }
    let behavior = take(object, "spec", "behavior");
    let current: Vec<Value> = list(take(object, "status", "currentMetrics")).collect();
    let cpu = current
        .iter()
        .find(|metric| metric["type"] == "Resource" && metric["resource"]["name"] == "cpu")
        .map(|metric| metric["resource"]["current"]["averageUtilization"].clone())
        .filter(|percent| !percent.is_null());
    if let Some(percent) = cpu {
        object["status"]["currentCPUUtilizationPercentage"] = percent;
    }
    let conditions = take(object, "status", "conditions");

    let narrowed = |metrics: Vec<Value>, of: &str| -> Option<Value> {
        let metrics: Vec<Value> = metrics.into_iter().map(|metric| narrow(metric, of)).collect();
        if metrics.is_empty() { None } else { Some(Value::Array(metrics)) }
    };
    annotate(object, METRICS, narrowed(metrics, "target"));
    annotate(object, CURRENT_METRICS, narrowed(current, "current"));
    annotate(object, CONDITIONS, conditions);
    annotate(object, BEHAVIOR, behavior);
}

/// Version 2beta1 has the metrics of version 1's annotations in its fields; its behaviour stays in the annotation.
pub(super) fn v2beta1_to_v2(object: &mut Value) {
    for (part, field, of) in [("spec", "metrics", "target"), ("status", "currentMetrics", "current")] {
        let metrics = list(take(object, part, field)).map(|metric| widen(metric, of, of)).collect();
        set_list(object, part, field, metrics);
    }
    let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
    let text = annotations.and_then(|map| map.remove(BEHAVIOR));
    let behavior = text.and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok()).filter(Value::is_object);
    drop_empty_annotations(object);
    if let Some(behavior) = behavior
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("behavior".to_owned(), behavior);
    }
}

pub(super) fn v2_to_v2beta1(object: &mut Value) {
    for (part, field, of) in [("spec", "metrics", "target"), ("status", "currentMetrics", "current")] {
        let metrics = list(take(object, part, field)).map(|metric| narrow(metric, of)).collect();
        set_list(object, part, field, metrics);
    }
    let behavior = take(object, "spec", "behavior");
    annotate(object, BEHAVIOR, behavior);
}

fn take(object: &mut Value, part: &str, name: &str) -> Option<Value> {
    object.get_mut(part)?.as_object_mut()?.remove(name)
}

fn list(value: Option<Value>) -> impl Iterator<Item = Value> {
    let items = if let Some(Value::Array(items)) = value { items } else { Vec::new() };
    items.into_iter()
}

fn set_list(object: &mut Value, part: &str, name: &str, items: Vec<Value>) {
    if !items.is_empty() {
        object[part][name] = Value::Array(items);
    }
}

fn annotate(object: &mut Value, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        object["metadata"]["annotations"][name] = Value::String(value.to_string());
    }
}

fn drop_empty_annotations(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        metadata.remove("annotations");
    }
}

/// The fields in which version 1 holds a value, by prefix (`target` or `current`): percent, average, value.
fn old_names(of: &str) -> [(String, &'static str); 3] {
    [
        (format!("{of}AverageUtilization"), "averageUtilization"),
        (format!("{of}AverageValue"), "averageValue"),
        (format!("{of}Value"), "value"),
    ]
}

/// A metric of version 1 as one of version 2.
fn widen(mut metric: Value, of: &str, into: &str) -> Value {
    let Some((_, field)) = SOURCES.iter().find(|(kind, _)| metric["type"] == *kind) else { return metric };
    let Some(source) = metric.get_mut(*field).and_then(Value::as_object_mut) else { return metric };
    let mut value = Map::new();
    for (old, new) in old_names(of) {
        if let Some(amount) = source.remove(&old) {
            value.insert(new.to_owned(), amount);
        }
    }
    if let Some(average) = source.remove("averageValue") {
        value.insert("averageValue".to_owned(), average);
    }
    if of == "target" {
        let kind = ["averageUtilization", "averageValue", "value"].into_iter().find(|name| value.contains_key(*name));
        let kind = match kind {
            Some("averageUtilization") => "Utilization",
            Some("averageValue") => "AverageValue",
            _ => "Value",
        };
        value.insert("type".to_owned(), json!(kind));
    }
    if *field == "object"
        && let Some(described) = source.remove("target")
    {
        source.insert("describedObject".to_owned(), described);
    }
    if let Some(name) = source.remove("metricName") {
        let mut identity = json!({"name": name});
        let selector = source.remove("selector").or_else(|| source.remove("metricSelector"));
        if let Some(selector) = selector {
            identity["selector"] = selector;
        }
        source.insert("metric".to_owned(), identity);
    }
    source.insert(into.to_owned(), Value::Object(value));
    metric
}

/// A metric of version 2 as one of version 1.
fn narrow(mut metric: Value, of: &str) -> Value {
    let Some((_, field)) = SOURCES.iter().find(|(kind, _)| metric["type"] == *kind) else { return metric };
    let Some(source) = metric.get_mut(*field).and_then(Value::as_object_mut) else { return metric };
    let value = source.remove(of).unwrap_or_default();
    for (old, new) in old_names(of) {
        let old = if *field == "object" && new == "averageValue" { new.to_owned() } else { old };
        if let Some(amount) = value.get(new) {
            source.insert(old, amount.clone());
        }
    }
    if let Some(described) = source.remove("describedObject") {
        source.insert("target".to_owned(), described);
    }
    if let Some(mut identity) = source.remove("metric") {
        source.insert("metricName".to_owned(), identity["name"].take());
        if let Some(selector) = identity.as_object_mut().and_then(|identity| identity.remove("selector")) {
            let name = if *field == "external" { "metricSelector" } else { "selector" };
            source.insert(name.to_owned(), selector);
        }
    }
    metric
}
