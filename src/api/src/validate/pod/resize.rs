//! What a resize may change: processors and memory of containers, and of the pod as a whole.
//!
//! In: the new and the old pod. Out: faults.

use serde_json::{Map, Value};

use super::super::at::{At, Out};
use super::annotations::is_mirror;
use crate::field::{FieldError, Path};
use crate::meta::{self, list_at, text};
use crate::strategy::qos_class;

const ONLY: &str = "only cpu and memory resources are mutable";

pub(super) fn all(new: &Value, old: &Value, out: &mut Out) {
    let spec = At::root(new, "spec");
    let nowhere = At { value: &Value::Null, path: Path::root("") };
    if is_mirror(old) {
        return out.forbidden(&nowhere, "static pods cannot be resized");
    }
    if meta::text_at(old, &["spec", "os", "name"]) == "windows" {
        return out.forbidden(&nowhere, "windows pods cannot be resized");
    }
    super::whole(new, &spec, out);
    let mut fresh = new.clone();
    fresh["status"] = Value::Null;
    let class = qos_class(&fresh);
    if qos_class(old) != class {
        out.push(FieldError::invalid(&spec.path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    let running = list_at(old, &["status", "containerStatuses"])
        .iter()
        .find(|status| meta::at(status, &["state", "running"]).is_some());
    if running.is_some_and(|status| meta::at(status, &["resources"]).is_none()) {
        out.forbidden(&spec, "Pod running on node without support for resize");
    }
    whole(&spec, old, out);
    if !list_at(old, &["status", "nodeAllocatableResourceClaimStatuses"]).is_empty() {
        out.forbidden(&spec, "pods with node allocatable resource claims cannot be resized");
    }
    let faults = out.errors.len();
    for list in ["containers", "initContainers"] {
        order(&spec.get(list), list_at(old, &["spec", list]), list, out);
    }
    if out.errors.len() > faults {
        return;
    }
    for list in ["initContainers", "containers"] {
        for (one, before) in spec.get(list).items().zip(list_at(old, &["spec", list])) {
            let resources = one.get("resources");
            for part in ["requests", "limits"] {
                removed(&resources.get(part), meta::at(before, &["resources", part]), &format!("resource {part}"), out);
            }
        }
    }
    for (one, before) in spec.get("containers").items().zip(list_at(old, &["spec", "containers"])) {
        if masked(one.value, before) != *before {
            out.forbidden(&spec, ONLY);
        }
    }
    for (one, before) in spec.get("initContainers").items().zip(list_at(old, &["spec", "initContainers"])) {
        if masked(one.value, before) != *before {
            out.forbidden(&one, "only cpu and memory resources for init or sidecar containers are mutable");
        }
        let restarts = one.get("resizePolicy").items().any(|p| p.text_of("restartPolicy") == "RestartContainer");
        if one.value != before && text(before, "restartPolicy") != "Always" && restarts {
            let text = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized";
            out.forbidden(&one, text);
        }
    }
}

/// Resources of the pod as a whole.
fn whole(spec: &At<'_, '_>, old: &Value, out: &mut Out) {
    let (now, then) = (spec.get("resources"), meta::at(old, &["spec", "resources"]));
    let Some(then) = then else {
        let others = masked(&serde_json::json!({"resources": now.value}), &Value::Null);
        if now.is_set() && others["resources"].as_object().is_some_and(|map| !map.is_empty()) {
            out.forbidden(spec, "only cpu and memory resources are mutable at pod-level");
        }
        return;
    };
    if !now.is_set() {
        out.forbidden(&now, "pod-level resources cannot be removed");
        return;
    }
    for part in ["requests", "limits"] {
        removed(&now.get(part), then.get(part), &format!("pod-level resource {part}"), out);
    }
    let wrap = |value: &Value| serde_json::json!({ "resources": value });
    if masked(&wrap(now.value), &wrap(then)) != wrap(then) {
        out.forbidden(spec, "only cpu and memory resources are mutable at pod-level");
    }
}

fn order(at: &At<'_, '_>, old: &[Value], list: &str, out: &mut Out) {
    if at.len() != old.len() {
        out.forbidden(at, format!("{list} may not be added or removed on resize"));
        return;
    }
    for (one, before) in at.items().zip(old) {
        if one.text_of("name") != text(before, "name") {
            out.forbidden(&one.get("name"), format!("{list} may not be renamed or reordered on resize"));
        }
    }
}

fn removed(now: &At<'_, '_>, then: Option<&Value>, what: &str, out: &mut Out) {
    let kept = then.and_then(Value::as_object);
    if kept.into_iter().flatten().any(|(key, _)| now.value.get(key).is_none()) {
        out.forbidden(now, format!("{what} cannot be removed"));
    }
}

/// The container with the old one's processors, memory and claims: equal to the old one if nothing else changed.
fn masked(container: &Value, old: &Value) -> Value {
    let mut copy = container.clone();
    let Some(map) = copy.as_object_mut() else { return copy };
    let mut resources = Map::new();
    for part in ["requests", "limits"] {
        let before = meta::at(old, &["resources", part]).and_then(Value::as_object);
        let mut list =
            meta::at(container, &["resources", part]).and_then(Value::as_object).cloned().unwrap_or_default();
        for name in ["cpu", "memory"] {
            match before.and_then(|before| before.get(name)) {
                Some(amount) => list.insert(name.to_owned(), amount.clone()),
                None => list.remove(name),
            };
        }
        if !list.is_empty() || before.is_some() {
            resources.insert(part.to_owned(), Value::Object(list));
        }
    }
    // A container's claims stay; Kubernetes does not look at them here.
    if let Some(claims) = meta::at(old, &["resources", "claims"]) {
        resources.insert("claims".to_owned(), claims.clone());
    }
    if resources.is_empty() && old.get("resources").is_none() {
        map.remove("resources");
    } else {
        map.insert("resources".to_owned(), Value::Object(resources));
    }
    copy
}
