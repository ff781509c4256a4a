//! Workloads and what surrounds them: strategies, jobs, autoscalers, namespaces, nodes, limit ranges.

use super::{Fields, is_empty_list, is_empty_map, object, put, text};
use serde_json::{Value, json};

const ROLLING_UPDATE: &str = "RollingUpdate";

pub(super) fn deployment(deployment: &mut Fields) {
    let Some(strategy) = object(deployment, "spec").and_then(|spec| object(spec, "strategy")) else { return };
    put(strategy, "type", ROLLING_UPDATE);
    if text(strategy, "type") == ROLLING_UPDATE
        && let Some(rolling) = object(strategy, "rollingUpdate")
    {
        put(rolling, "maxUnavailable", "25%");
        put(rolling, "maxSurge", "25%");
    }
}

pub(super) fn daemon_set(set: &mut Fields) {
    let Some(strategy) = object(set, "spec").and_then(|spec| object(spec, "updateStrategy")) else { return };
    put(strategy, "type", ROLLING_UPDATE);
    if text(strategy, "type") == ROLLING_UPDATE
        && let Some(rolling) = object(strategy, "rollingUpdate")
    {
        put(rolling, "maxUnavailable", 1);
        put(rolling, "maxSurge", 0);
    }
}

pub(super) fn stateful_set(set: &mut Fields) {
    let Some(strategy) = object(set, "spec").and_then(|spec| object(spec, "updateStrategy")) else { return };
    if super::unsaid(strategy, "type") {
        put(strategy, "type", ROLLING_UPDATE);
        object(strategy, "rollingUpdate");
    }
    if text(strategy, "type") == ROLLING_UPDATE
        && let Some(rolling) = strategy.get_mut("rollingUpdate").and_then(Value::as_object_mut)
    {
        put(rolling, "partition", 0);
    }
}

pub(super) fn replication_controller(controller: &mut Fields) {
    let labels = template_labels(controller);
    if let Some(labels) = &labels
        && let Some(spec) = object(controller, "spec")
        && is_empty_map(spec, "selector")
    {
        spec.insert("selector".to_owned(), labels.clone());
    }
    labels_from_template(controller, labels);
}

pub(super) fn job(job: &mut Fields) {
    let labels = template_labels(job);
    labels_from_template(job, labels);
    let Some(spec) = object(job, "spec") else { return };
    // Neither said: one pod, once. Only one said: the other has a meaning of its own.
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        spec.insert("completions".to_owned(), json!(1));
    }
    put(spec, "parallelism", 1);
    let per_index = spec.contains_key("backoffLimitPerIndex");
    put(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    put(spec, "completionMode", "NonIndexed");
    put(spec, "suspend", false);
    put(spec, "manualSelector", false);
    let replacement = if spec.contains_key("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    put(spec, "podReplacementPolicy", replacement);
}

fn template_labels(map: &Fields) -> Option<Value> {
    let labels = map.get("spec")?.get("template")?.get("metadata")?.get("labels")?;
    labels.as_object().filter(|labels| !labels.is_empty()).map(|labels| Value::Object(labels.clone()))
}

fn labels_from_template(map: &mut Fields, labels: Option<Value>) {
    if let Some(labels) = labels
        && let Some(metadata) = object(map, "metadata")
        && is_empty_map(metadata, "labels")
    {
        metadata.insert("labels".to_owned(), labels);
    }
}

pub(super) fn autoscaler(spec: &mut Fields) {
    if is_empty_list(spec, "metrics") {
        let target = json!({"type": "Utilization", "averageUtilization": 80});
        let cpu = json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
        spec.insert("metrics".to_owned(), cpu);
    }
    let Some(behavior) = spec.get_mut("behavior").and_then(Value::as_object_mut) else { return };
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    let rules = [("scaleUp", json!([pods, percent]), true), ("scaleDown", json!([percent]), false)];
    for (direction, policies, is_up) in rules {
        let Some(rules) = object(behavior, direction) else { continue };
        put(rules, "selectPolicy", "Max");
        if is_up {
            put(rules, "stabilizationWindowSeconds", 0);
        }
        if is_empty_list(rules, "policies") {
            rules.insert("policies".to_owned(), policies);
        }
    }
}

/// Every namespace can be selected by its name.
pub(super) fn namespace(namespace: &mut Fields) {
    let Some(metadata) = object(namespace, "metadata") else { return };
    let name = text(metadata, "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = object(metadata, "labels")
    {
        labels.insert("kubernetes.io/metadata.name".to_owned(), Value::String(name));
    }
}

pub(super) fn node_status(status: &mut Fields) {
    if !status.contains_key("allocatable")
        && let Some(capacity) = status.get("capacity").cloned()
    {
        status.insert("allocatable".to_owned(), capacity);
    }
}

/// Limits of a container: `default` from `max`, `defaultRequest` from `default`, then from `min`.
pub(super) fn limit_range_item(item: &mut Fields) {
    if text(item, "type") != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let Some(amounts) = item.get(from).and_then(Value::as_object).cloned() else { continue };
        let Some(target) = object(item, to) else { continue };
        for (name, amount) in amounts {
            target.entry(name).or_insert(amount);
        }
    }
}
