//! The checks of the restricted level.
//!
//! In: a pod's metadata and spec. Out: a violation, or nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;
use super::baseline::{adding, foreign_seccomp, in_user_namespace, seccomp_setters};
use super::words::{Setters, containers, counted, named, quoted, security, violation};
use crate::meta::{at, list_at, text, text_at};

/// Pods of Windows have none of what is checked.
fn is_windows(spec: &Value) -> bool {
    text_at(spec, &["os", "name"]) == "windows"
}

pub(super) fn escalation(_: &Value, spec: &Value) -> Option<Violation> {
    let names: Vec<&str> = containers(spec)
        .filter(|container| security(container, &["allowPrivilegeEscalation"]) != Some(&Value::Bool(false)))
        .map(|container| text(container, "name"))
        .collect();
    if names.is_empty() {
        return None;
    }
    violation(
        "allowPrivilegeEscalation != false",
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named("container", &names)),
    )
}

pub(super) fn escalation_not_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { escalation(metadata, spec) }
}

pub(super) fn capabilities(_: &Value, spec: &Value) -> Option<Violation> {
    let keeps = |container: &&Value| {
        !list_at(container, &["securityContext", "capabilities", "drop"]).iter().any(|dropped| dropped == "ALL")
    };
    let keeping: Vec<&str> = containers(spec).filter(keeps).map(|container| text(container, "name")).collect();
    let (names, added) = adding(spec, |capability| capability != "NET_BIND_SERVICE");
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named("container", &keeping)));
    }
    if !names.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            named("container", &names),
            quoted(&added)
        ));
    }
    if details.is_empty() { None } else { violation("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn capabilities_not_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { capabilities(metadata, spec) }
}

pub(super) fn volumes(_: &Value, spec: &Value) -> Option<Violation> {
    const ALLOWED: [&str; 9] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    const FORBIDDEN: [&str; 21] = [
        "hostPath",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "gitRepo",
        "nfs",
        "iscsi",
        "glusterfs",
        "rbd",
        "flexVolume",
        "cinder",
        "cephfs",
        "flocker",
        "fc",
        "azureFile",
        "vsphereVolume",
        "quobyte",
        "azureDisk",
        "photonPersistentDisk",
        "portworxVolume",
        "scaleIO",
        "storageos",
    ];
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in list_at(spec, &["volumes"]) {
        let has = |kind: &&&str| at(volume, &[kind]).is_some();
        if ALLOWED.iter().any(|kind| has(&kind)) {
            continue;
        }
        names.push(text(volume, "name"));
        kinds.insert(FORBIDDEN.iter().find(has).copied().unwrap_or("unknown"));
    }
    if names.is_empty() {
        return None;
    }
    violation(
        "restricted volume types",
        format!(
            "{} {} {} {}",
            named("volume", &names),
            counted(names.len(), "uses", "use"),
            counted(kinds.len(), "restricted volume type", "restricted volume types"),
            quoted(&kinds)
        ),
    )
}

pub(super) fn non_root(_: &Value, spec: &Value) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let field = |of| security(of, &["runAsNonRoot"]).and_then(Value::as_bool);
    let found =
        Setters::find(spec, |context| (context.get("runAsNonRoot") == Some(&Value::Bool(false))).then(Vec::new));
    if !found.is_empty() {
        return violation(REASON, format!("{} must not set securityContext.runAsNonRoot=false", found.names()));
    }
    if field(spec) == Some(true) {
        return None;
    }
    let silent: Vec<&str> = containers(spec).filter(|c| field(c).is_none()).map(|c| text(c, "name")).collect();
    if silent.is_empty() {
        return None;
    }
    violation(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", named("container", &silent)))
}

pub(super) fn non_root_outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if in_user_namespace(spec) { None } else { non_root(metadata, spec) }
}

pub(super) fn user(_: &Value, spec: &Value) -> Option<Violation> {
    let root = |context: &Value| context.get("runAsUser").and_then(Value::as_i64) == Some(0);
    let found = Setters::find(spec, |context| root(context).then(Vec::new));
    if found.is_empty() {
        return None;
    }
    violation("runAsUser=0", format!("{} must not set runAsUser=0", found.names()))
}

pub(super) fn user_outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if in_user_namespace(spec) { None } else { user(metadata, spec) }
}

pub(super) fn seccomp(_: &Value, spec: &Value) -> Option<Violation> {
    let found = seccomp_setters(spec);
    if !found.is_empty() {
        return foreign_seccomp(&found);
    }
    let has = |of: &Value| security(of, &["seccompProfile"]).is_some();
    if has(spec) {
        return None;
    }
    let silent: Vec<&str> = containers(spec).filter(|c| !has(c)).map(|c| text(c, "name")).collect();
    if silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named("container", &silent)
    );
    violation("seccompProfile", detail)
}

pub(super) fn seccomp_not_on_windows(metadata: &Value, spec: &Value) -> Option<Violation> {
    if is_windows(spec) { None } else { seccomp(metadata, spec) }
}
