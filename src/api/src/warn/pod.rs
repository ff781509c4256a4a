//! Warnings about pods and templates of pods.
//!
//! In: a pod, or a template and where it stands. Out: warnings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{GONE, deprecated_label, label_name};
use crate::Object;
use crate::field::quote;
use crate::meta::{self, at, int_at, list_at, text};
use crate::quantity::Quantity;

pub(super) fn pod(object: &Object, out: &mut Vec<String>) {
    label_name(object, "this is used in the Pod's hostname", out);
    whole(object, "", "metadata.", out);
}

pub(super) fn template(template: &Value, path: &[&str], out: &mut Vec<String>) {
    let prefix = format!("{}.", path.join("."));
    whole(template, &prefix, &format!("{prefix}metadata."), out);
}

fn whole(pod: &Value, prefix: &str, metadata: &str, out: &mut Vec<String>) {
    let Some(spec) = pod.get("spec") else { return };
    let place = format!("{prefix}spec.");
    for (key, _) in meta::pairs_at(spec, &["nodeSelector"]) {
        if let Some(words) = deprecated_label(key) {
            out.push(format!("{place}nodeSelector[{key}]: {words}"));
        }
    }
    topology(spec, &place, out);
    annotations(pod, spec, metadata, out);
    hosts(spec, &place, out);
    volumes(spec, &place, out);
    for list in ["containers", "initContainers"] {
        for (i, container) in list_at(spec, &[list]).iter().enumerate() {
            self::container(container, &format!("{place}{list}[{i}]"), out);
        }
    }
    if int_at(spec, &["terminationGracePeriodSeconds"]).is_some_and(|n| n < 0) {
        out.push(format!(
            "{place}terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
}

fn topology(spec: &Value, place: &str, out: &mut Vec<String>) {
    for (i, constraint) in list_at(spec, &["topologySpreadConstraints"]).iter().enumerate() {
        let key = text(constraint, "topologyKey");
        if let Some(words) = deprecated_label(key) {
            out.push(format!("{place}topologySpreadConstraints[{i}].topologyKey: {key} is {words}"));
        }
    }
    let required = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    for (i, term) in list_at(spec, &required).iter().enumerate() {
        for (j, expression) in list_at(term, &["matchExpressions"]).iter().enumerate() {
            let key = text(expression, "key");
            if let Some(words) = deprecated_label(key) {
                let path = required.join(".");
                out.push(format!("{place}{path}[{i}].matchExpressions[{j}].key: {key} is {words}"));
            }
        }
    }
}

fn annotations(pod: &Value, spec: &Value, metadata: &str, out: &mut Vec<String>) {
    const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
    const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
    const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    let windows = meta::text_at(spec, &["os", "name"]) == "windows";
    for (key, _) in meta::annotations(pod) {
        if key.starts_with(APPARMOR) && !windows {
            out.push(format!(
                "{metadata}annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
            ));
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP) {
            out.push(format!(
                "{metadata}annotations[{key}]: non-functional in v1.27+; use the \"seccompProfile\" field instead"
            ));
        }
    }
}

fn hosts(spec: &Value, place: &str, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (i, alias) in list_at(spec, &["hostAliases"]).iter().enumerate() {
        let ip = text(alias, "ip");
        if !seen.insert(ip) {
            out.push(format!("{place}hostAliases[{i}].ip: duplicate ip {}", quote(ip)));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, secret) in list_at(spec, &["imagePullSecrets"]).iter().enumerate() {
        let name = text(secret, "name");
        if name.is_empty() {
            out.push(format!("{place}imagePullSecrets[{i}].name: invalid empty name {}", quote(name)));
        } else if !seen.insert(name) {
            out.push(format!("{place}imagePullSecrets[{i}].name: duplicate name {}", quote(name)));
        }
    }
}

fn volumes(spec: &Value, place: &str, out: &mut Vec<String>) {
    for (i, volume) in list_at(spec, &["volumes"]).iter().enumerate() {
        for (field, words) in GONE {
            if at(volume, &[field]).is_some() {
                out.push(format!("{place}volumes[{i}].{field}: {words}"));
            }
        }
        if let Some(size) = at(volume, &["emptyDir", "sizeLimit"]) {
            fraction(size, &format!("{place}volumes[{i}].emptyDir.sizeLimit"), out);
        }
    }
}

fn container(container: &Value, place: &str, out: &mut Vec<String>) {
    for list in ["limits", "requests"] {
        let entries = at(container, &["resources", list]).and_then(Value::as_object);
        for (name, amount) in entries.into_iter().flatten() {
            if matches!(name.as_str(), "memory" | "ephemeral-storage") {
                fraction(amount, &format!("{place}.resources.{list}[{name}]"), out);
            }
        }
    }
    let mut seen = BTreeSet::new();
    for (i, variable) in list_at(container, &["env"]).iter().enumerate() {
        let name = text(variable, "name");
        if !seen.insert(name) {
            out.push(format!(
                "{place}.env[{i}]: hides previous definition of {}, which may be dropped when using apply",
                quote(name)
            ));
        }
    }
    let mut seen: BTreeMap<(i64, &str, i64, &str), usize> = BTreeMap::new();
    for (i, port) in list_at(container, &["ports"]).iter().enumerate() {
        let key = (
            int_at(port, &["containerPort"]).unwrap_or(0),
            text(port, "protocol"),
            int_at(port, &["hostPort"]).unwrap_or(0),
            text(port, "hostIP"),
        );
        match seen.get(&key) {
            Some(first) => {
                out.push(format!("{place}.ports[{i}]: duplicate port definition with {place}.ports[{first}]"));
            }
            None => {
                seen.insert(key, i);
            }
        }
    }
}

/// Bytes come whole.
fn fraction(amount: &Value, place: &str, out: &mut Vec<String>) {
    if Quantity::from_json(amount).is_ok_and(|q| !q.is_whole()) {
        let shown = amount.as_str().map_or_else(|| amount.to_string(), str::to_string);
        out.push(format!("{place}: fractional byte value {} is invalid, must be an integer", quote(&shown)));
    }
}
