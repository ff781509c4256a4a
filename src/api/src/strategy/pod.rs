//! Pods before they are kept: phase, quality of service, scheduling gates, and what each subresource may change.
//!
//! In: pods. Out: pods put right. Never judges them.

use serde_json::{Value, json};

use super::{copy, copy_within, take_all_but};
use crate::Object;
use crate::meta::{self, at, list_at, text};
use crate::quantity::Quantity;

pub(super) fn create(pod: &mut Object) {
    spread_keys(pod);
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(pod)});
    if !list_at(pod, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null,
            "lastTransitionTime": null,
        }]);
    }
    pod["status"] = status;
}

pub(super) fn status(new: &mut Object, old: &Object) {
    copy_within(new, old, "metadata", "ownerReferences");
    if meta::text_at(new, &["status", "qosClass"]).is_empty() {
        copy_within(new, old, "status", "qosClass");
    }
    observed(new, old);
}

/// Who does not know of generations does not take back which one was seen.
fn observed(new: &mut Object, old: &Object) {
    const FIELD: &str = "observedGeneration";
    let seen = |value: &Value| value.get(FIELD).and_then(Value::as_i64).filter(|n| *n != 0);
    let Some(status) = new.get_mut("status").and_then(Value::as_object_mut) else { return };
    let before = old.get("status").cloned().unwrap_or(Value::Null);
    if status.get(FIELD).and_then(Value::as_i64).unwrap_or(0) == 0
        && let Some(generation) = seen(&before)
    {
        status.insert(FIELD.into(), generation.into());
    }
    let mut kept: Vec<&Value> = list_at(&before, &["conditions"]).iter().collect();
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    for condition in conditions.into_iter().flatten() {
        let Some(index) = kept.iter().position(|k| text(k, "type") == text(condition, "type")) else { continue };
        let old = kept.remove(index);
        if seen(condition).is_none()
            && let (Some(generation), Some(map)) = (seen(old), condition.as_object_mut())
        {
            map.insert(FIELD.into(), generation.into());
        }
    }
}

pub(super) fn ephemeral(new: &mut Object, old: &Object) {
    let containers = at(new, &["spec", "ephemeralContainers"]).cloned();
    only_spec_field(new, old);
    let spec = meta::child_mut(new, "spec");
    match containers {
        Some(list) => spec.insert("ephemeralContainers".into(), list),
        None => spec.remove("ephemeralContainers"),
    };
}

pub(super) fn resize(new: &mut Object, old: &Object) {
    let sent = new.clone();
    only_spec_field(new, old);
    for list in ["containers", "initContainers"] {
        let Some(Value::Array(kept)) = new.get_mut("spec").and_then(|s| s.get_mut(list)) else { continue };
        for container in kept {
            let name = text(container, "name").to_string();
            let wanted = list_at(&sent, &["spec", list]).iter().find(|c| text(c, "name") == name);
            if let Some(wanted) = wanted {
                copy(container, wanted, "resources");
                copy(container, wanted, "resizePolicy");
            }
        }
    }
    copy_within(new, &sent, "spec", "resources");
}

/// Everything is the old pod's but the resource version and managed fields.
fn only_spec_field(new: &mut Object, old: &Object) {
    let version = meta::resource_version(new).to_string();
    let managed = at(new, &["metadata", "managedFields"]).cloned();
    take_all_but(new, old, &[]);
    meta::set_resource_version(new, &version);
    if let Some(managed) = managed {
        meta::metadata_mut(new).insert("managedFields".into(), managed);
    }
}

/// The pod's quality of service: `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(pod: &Object) -> &'static str {
    let kept = meta::text_at(pod, &["status", "qosClass"]);
    for known in ["Guaranteed", "Burstable", "BestEffort"] {
        if kept == known {
            return known;
        }
    }
    let whole = at(pod, &["spec", "resources"]);
    let set = |resources: Option<&Value>, which: &str, name: &str| -> Option<Quantity> {
        let value = at(resources?, &[which, name])?;
        Quantity::from_json(value).ok().filter(|q| !q.is_zero())
    };
    let containers = || list_at(pod, &["spec", "containers"]).iter().chain(list_at(pod, &["spec", "initContainers"]));
    let sources: Vec<Option<&Value>> = match whole {
        Some(_) => vec![whole],
        None => containers().map(|c| c.get("resources")).collect(),
    };
    let (mut any, mut guaranteed) = (false, !sources.is_empty());
    for source in sources {
        for name in ["cpu", "memory"] {
            let (request, limit) = (set(source, "requests", name), set(source, "limits", name));
            any |= request.is_some() || limit.is_some();
            // A missing request is the limit.
            guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// `matchLabelKeys` of affinity terms become requirements of their selector, from the pod's own labels.
fn spread_keys(pod: &mut Object) {
    let labels: Vec<(String, String)> = meta::labels(pod).map(|(k, v)| (k.into(), v.into())).collect();
    let Some(affinity) = pod.get_mut("spec").and_then(|s| s.get_mut("affinity")) else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(rules) = affinity.get_mut(kind) else { continue };
        let required = rules.get_mut("requiredDuringSchedulingIgnoredDuringExecution").and_then(Value::as_array_mut);
        required.into_iter().flatten().for_each(|term| add_keys(term, &labels));
        let preferred = rules.get_mut("preferredDuringSchedulingIgnoredDuringExecution").and_then(Value::as_array_mut);
        preferred.into_iter().flatten().filter_map(|w| w.get_mut("podAffinityTerm")).for_each(|t| add_keys(t, &labels));
    }
}

fn add_keys(term: &mut Value, labels: &[(String, String)]) {
    if at(term, &["labelSelector"]).is_none() {
        return;
    }
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys: Vec<String> = list_at(term, &[field]).iter().filter_map(Value::as_str).map(str::to_string).collect();
        for key in keys {
            let Some((_, value)) = labels.iter().find(|(k, _)| *k == key) else { continue };
            let selector = meta::child_mut(term, "labelSelector");
            let list = selector.entry("matchExpressions").or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
}
