//! What may change in a pod that exists.
//!
//! In: the new and the old pod, and which part the request may change. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::at::{At, IMMUTABLE, Out};
use super::{Scope, container, volume};
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
    super::annotations(&At::root(new, "metadata").get("annotations"), out);
    super::spec(&spec, false, out);
    for list in ["containers", "initContainers"] {
        let at = spec.get(list);
        if at.len() != before.get(list).len() {
            out.forbidden(&at, "pod updates may not add or remove containers");
            return;
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
            out.forbidden(&gate.get("name"), words);
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
                let changed = "  spec.ephemeralContainers\n";
                out.forbidden(&at, format!("existing ephemeral containers \"{name}\" may not be changed\n{changed}"));
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
    for list in ["containers", "initContainers"] {
        for (i, one) in spec.get(list).items().enumerate() {
            let Some(before) = list_at(old, &["spec", list]).get(i) else { continue };
            let resources = one.get("resources");
            for part in ["requests", "limits"] {
                let now = resources.get(part);
                let kept = meta::at(before, &["resources", part]).and_then(Value::as_object);
                if kept.into_iter().flatten().any(|(key, _)| now.value.get(key).is_none()) {
                    out.forbidden(&now, format!("resource {part} cannot be removed"));
                }
            }
            let sidecar = text(before, "restartPolicy") == "Always";
            if list == "initContainers" && !sidecar && Some(one.value) != Some(before) {
                out.forbidden(&spec, "resources for non-sidecar init containers are immutable");
            }
        }
    }
    let others = |pod: &Value| -> Vec<Vec<String>> {
        let names = |container: &Value| {
            let lists =
                ["requests", "limits"].map(|l| meta::at(container, &["resources", l]).and_then(Value::as_object));
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
    let metadata = At::root(new, "metadata");
    for (i, condition) in at.get("conditions").items().enumerate() {
        let kind = condition.text_of("type");
        if matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            continue;
        }
        // The place is Kubernetes' own slip.
        let shown = metadata.get("conditions");
        let shown = At { value: condition.get("type").value, path: shown.path.index(i) };
        out.form_of(&shown.get("Type"), kind, name::check_qualified);
    }
    out.optional_form(&at.get("nominatedNodeName"), name::check_subdomain);
    if meta::text_at(new, &["spec", "nodeName"]) != meta::text_at(old, &["spec", "nodeName"]) {
        out.forbidden(&at.get("nodeName"), "may not be changed directly");
    }
    let class = meta::text_at(old, &["status", "qosClass"]);
    if !class.is_empty() && at.text_of("qosClass") != class {
        out.invalid(&at.get("qosClass"), IMMUTABLE);
    }
    let policy = meta::text_at(old, &["spec", "restartPolicy"]);
    for (list, spec) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let containers = list_at(old, &["spec", spec]);
        ended(&at.get(list), list_at(old, &["status", list]), policy, containers, out);
    }
    let ephemeral = "ephemeralContainerStatuses";
    ended(&at.get(ephemeral), list_at(old, &["status", ephemeral]), "Never", &[], out);
    for (list, single) in [("podIPs", "podIP"), ("hostIPs", "hostIP")] {
        addresses(&at, list, single, out);
    }
}

/// At most one address of each family, all different.
fn addresses(status: &At<'_, '_>, list: &str, single: &str, out: &mut Out) {
    let at = status.get(list);
    let mut seen = BTreeSet::new();
    let mut families = [0, 0];
    if single == "hostIP"
        && let Some(first) = at.items().next()
        && first.text_of("ip") != status.text_of(single)
    {
        out.push(FieldError::invalid(&first.path.child("ip"), first.text_of("ip"), "must be equal to `hostIP`"));
    }
    for ip in at.items() {
        out.form_of(&ip, ip.text_of("ip"), name::check_ip);
        if !seen.insert(ip.text_of("ip")) {
            out.duplicate(&ip);
        }
        if let Some(address) = name::parse_ip(ip.text_of("ip")) {
            families[usize::from(address.is_ipv6())] += 1;
        }
    }
    if families.iter().any(|count| *count > 1) {
        out.invalid(&at, "may specify no more than one IP for each IP family");
    }
}

/// A container that ended for good stays ended.
fn ended(at: &At<'_, '_>, old: &[Value], policy: &str, containers: &[Value], out: &mut Out) {
    if policy == "Always" {
        return;
    }
    for before in old {
        let Some(end) = meta::at(before, &["state", "terminated"]) else { continue };
        // A container with a policy or rules of its own may start again.
        let own = |c: &&Value| {
            text(c, "name") == text(before, "name")
                && (matches!(text(c, "restartPolicy"), "Always" | "OnFailure") || c.get("restartPolicyRules").is_some())
        };
        if containers.iter().any(|c| own(&c)) {
            continue;
        }
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
