//! What may change in a pod that exists.
//!
//! In: the new and the old pod, and which part the request may change. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::at::{At, Out};
use super::{Scope, container, negative, volume};
use crate::field::FieldError;
use crate::meta::{self, list_at, text};
use crate::name;
use crate::strategy::qos_class;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn main(new: &Value, old: &Value, out: &mut Out) {
    let spec = At::root(new, "spec");
    let before = At::root(old, "spec");
    for list in ["containers", "initContainers"] {
        let at = spec.get(list);
        if at.len() != before.get(list).len() {
            out.forbidden(&at, "pod updates may not add or remove containers");
            return;
        }
        for one in at.items() {
            let image = one.get("image");
            if image.text().is_empty() {
                out.required(&image, "");
            } else if image.text().trim() != image.text() {
                out.invalid(&image, "must not have leading or trailing whitespace");
            }
        }
    }
    deadline(&spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds").int(), out);
    let gated = before.get("schedulingGates").len() > 0;
    gates(&spec, &before, out);
    tolerations(&spec, &before, out);
    let differs = changed(spec.value, before.value, gated);
    if !differs.is_empty() {
        let lines: Vec<String> = differs.iter().map(|path| format!("  {path}")).collect();
        out.forbidden(&spec, format!("{ALLOWED}\n{}\n", lines.join("\n")));
    }
    super::annotations(&At::root(new, "metadata").get("annotations"), out);
}

fn deadline(new: &At<'_, '_>, old: Option<i64>, out: &mut Out) {
    match (new.int(), old) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            out.invalid(new, name::range(0, i64::from(i32::MAX)));
        }
        (Some(seconds), Some(before)) if seconds > before => {
            out.invalid(new, "must be less than or equal to previous value");
        }
        (None, Some(before)) => {
            let text = "must not update from a positive integer to nil value";
            out.push(FieldError::invalid(&new.path, before, text));
        }
        _ => {}
    }
}

fn gates(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    let known: BTreeSet<&str> = list_at(before.value, &["schedulingGates"]).iter().map(|g| text(g, "name")).collect();
    for gate in spec.get("schedulingGates").items() {
        let name = gate.text_of("name");
        if !known.contains(name) {
            let words = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            out.forbidden(&gate, words);
        }
    }
}

/// Tolerations may be added; an existing one may only change its seconds.
fn tolerations(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    let bare = |toleration: &Value| {
        let mut copy = toleration.clone();
        if let Some(map) = copy.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        copy
    };
    let at = spec.get("tolerations");
    let kept: Vec<Value> = list_at(spec.value, &["tolerations"]).iter().map(bare).collect();
    if list_at(before.value, &["tolerations"]).iter().any(|t| !kept.contains(&bare(t))) {
        out.forbidden(&at, "existing toleration can not be modified except its tolerationSeconds");
    }
    super::placement::tolerations(&at, out);
}

/// Fields that differ and may not.
fn changed(new: &Value, old: &Value, gated: bool) -> Vec<String> {
    let (Some(a), Some(b)) = (new.as_object(), old.as_object()) else { return Vec::new() };
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let mut out = Vec::new();
    for key in keys {
        let (x, y) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
        if x == y {
            continue;
        }
        match key.as_str() {
            "activeDeadlineSeconds" | "tolerations" | "schedulingGates" => {}
            "terminationGracePeriodSeconds" if y.as_i64().is_some_and(|n| n < 0) && x.as_i64() == Some(1) => {}
            // A pod that waits at a gate may be narrowed.
            "nodeSelector" if gated && narrower(x, y) => {}
            "affinity" if gated => {}
            "containers" | "initContainers" => {
                let (x, y) = (x.as_array().map_or(&[][..], Vec::as_slice), y.as_array().map_or(&[][..], Vec::as_slice));
                for (i, (c, d)) in x.iter().zip(y).enumerate() {
                    let mut c = c.clone();
                    if let (Some(map), Some(image)) = (c.as_object_mut(), d.get("image")) {
                        map.insert("image".into(), image.clone());
                    }
                    if &c != d {
                        out.push(format!("spec.{key}[{i}]"));
                    }
                }
            }
            _ => out.push(format!("spec.{key}")),
        }
    }
    out
}

/// Every old pair is still there.
fn narrower(new: &Value, old: &Value) -> bool {
    let pairs = old.as_object();
    pairs.into_iter().flatten().all(|(key, value)| new.get(key) == Some(value))
}

pub(super) fn ephemeral(new: &Value, old: &Value, out: &mut Out) {
    let spec = At::root(new, "spec");
    let scope = Scope { spec: spec.value, template: false };
    let volumes = volume::all(&spec.get("volumes"), &mut Out::default());
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for list in ["containers", "initContainers"] {
        names.extend(list_at(spec.value, &[list]).iter().map(|c| text(c, "name")));
    }
    container::ephemeral(&spec, &volumes, scope, &mut names, out);
    let at = spec.get("ephemeralContainers");
    for kept in list_at(old, &["spec", "ephemeralContainers"]) {
        let name = text(kept, "name");
        let found = at.items().find(|c| c.text_of("name") == name);
        match found {
            None => out.forbidden(&at, format!("existing ephemeral containers \"{name}\" may not be removed\n")),
            Some(same) if same.value != kept => {
                out.forbidden(&at, format!("existing ephemeral containers \"{name}\" may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

pub(super) fn resize(new: &Value, old: &Value, out: &mut Out) {
    let spec = At::root(new, "spec");
    for list in ["containers", "initContainers"] {
        for one in spec.get(list).items() {
            super::resources::container(&one.get("resources"), out);
        }
    }
    let mut fresh = new.clone();
    fresh["status"] = Value::Null;
    let before = meta::text_at(old, &["status", "qosClass"]);
    let class = qos_class(&fresh);
    if !before.is_empty() && class != before {
        out.push(FieldError::invalid(&spec.path, class, "Pod QOS Class may not change as a result of resizing"));
    }
    let others = |pod: &Value| -> Vec<Vec<String>> {
        let names = |container: &Value| {
            let lists = ["requests", "limits"].map(|l| meta::at(container, &["resources", l]).and_then(Value::as_object));
            let entries = lists.into_iter().flatten().flatten();
            entries.filter(|(k, _)| !matches!(k.as_str(), "cpu" | "memory")).map(|(k, v)| format!("{k}={v}")).collect()
        };
        list_at(pod, &["spec", "containers"]).iter().map(names).collect()
    };
    if others(new) != others(old) {
        out.forbidden(&spec, "only cpu and memory resources are mutable");
    }
}

pub(super) fn status(new: &Value, old: &Value, out: &mut Out) {
    let at = At::root(new, "status");
    let nominated = at.get("nominatedNodeName");
    out.optional_form(&nominated, name::check_subdomain);
    let node = (meta::text_at(new, &["spec", "nodeName"]), meta::text_at(old, &["spec", "nodeName"]));
    if node.0 != node.1 {
        out.forbidden(&At::root(new, "spec").get("nodeName"), "may not be changed directly");
    }
    for list in ["containerStatuses", "initContainerStatuses"] {
        for one in at.get(list).items() {
            let count = one.get("restartCount");
            if count.int().is_some_and(|n| n < 0) {
                negative(&count, out);
            }
        }
    }
    let restarts = meta::text_at(new, &["spec", "restartPolicy"]);
    let rules = list_at(new, &["spec", "containers"]).iter().any(|c| c.get("restartPolicyRules").is_some());
    if restarts != "Always" && !rules {
        ended(&at.get("containerStatuses"), list_at(old, &["status", "containerStatuses"]), restarts, out);
    }
    for ip in at.get("podIPs").items() {
        out.optional_form(&ip.get("ip"), name::check_ip);
    }
}

/// A container that ended for good stays ended.
fn ended(at: &At<'_, '_>, old: &[Value], policy: &str, out: &mut Out) {
    for before in old {
        let Some(end) = meta::at(before, &["state", "terminated"]) else { continue };
        let failed = end.get("exitCode").and_then(Value::as_i64).unwrap_or(0) != 0;
        if failed && policy == "OnFailure" {
            continue;
        }
        for now in at.items().filter(|c| c.text_of("name") == text(before, "name")) {
            let state = now.get("state");
            if !state.get("terminated").is_set() {
                out.forbidden(&state, "may not be transitioned to non-terminated state");
            }
        }
    }
}
