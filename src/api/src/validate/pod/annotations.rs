//! Annotations that say something of a pod: mirrors, and profiles that are fields today.
//!
//! In: the annotations and the specification. Out: faults.

use serde_json::Value;

use super::super::at::{At, Out};
use super::container::descending;
use super::{each_container, placement};
use crate::field::FieldError;
use crate::meta;

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_OF: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR_OF: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Whether the pod shows one that lives on its node alone.
pub(super) fn is_mirror(pod: &Value) -> bool {
    meta::annotation(pod, MIRROR).is_some()
}

pub(super) fn all(at: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Out) {
    let mirror = at.key(MIRROR);
    if mirror.is_set() && spec.text_of("nodeName").is_empty() {
        out.invalid(&mirror, "must set spec.nodeName if mirror pod annotation is set");
    }
    tolerations(at, out);
    let cost = at.key(COST);
    let number = |text: &str| {
        let plain = !text.starts_with('+') && (text == "0" || !text.trim_start_matches('-').starts_with('0'));
        plain && text.parse::<i32>().is_ok()
    };
    if cost.is_set() && !number(cost.text()) {
        out.invalid(&cost, "must be a 32bit integer");
    }
    if at.value.get(SECCOMP).is_some() {
        seccomp(&at.get(SECCOMP), out);
    }
    for (key, note) in at.entries() {
        if key.starts_with(SECCOMP_OF) {
            seccomp(&At { value: note.value, path: at.path.child(key) }, out);
        }
        if let Some(name) = key.strip_prefix(APPARMOR_OF) {
            apparmor(&note, name, spec, out);
        }
    }
}

fn tolerations(at: &At<'_, '_>, out: &mut Out) {
    let text = at.key(TOLERATIONS).text();
    if text.is_empty() {
        return;
    }
    match serde_json::from_str::<Value>(text) {
        Ok(list) => placement::tolerations(&At { value: &list, path: at.path.child(TOLERATIONS) }, out),
        Err(fault) => out.push(FieldError::invalid(&at.path, TOLERATIONS, fault.to_string())),
    }
}

fn seccomp(at: &At<'_, '_>, out: &mut Out) {
    match at.text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(path) => {
                let path = Value::from(path);
                descending(&At { value: &path, path: at.path }, out);
            }
            None => out.invalid(at, "must be a valid seccomp profile"),
        },
    }
}

fn apparmor(at: &At<'_, '_>, name: &str, spec: &At<'_, '_>, out: &mut Out) {
    let mut found = false;
    each_container(spec, |container| found |= container.text_of("name") == name);
    if !found {
        out.push(FieldError::invalid(&at.path, name, "container not found"));
    }
    let text = at.text();
    if !matches!(text, "" | "runtime/default" | "unconfined") && !text.starts_with("localhost/") {
        out.invalid(at, format!("invalid AppArmor profile name: {text:?}"));
    }
}

/// Where a profile is said both ways, both say the same.
pub(super) fn agree(notes: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Out) {
    let whole = spec.get("securityContext");
    same(&whole.get("seccompProfile"), notes.value.get(SECCOMP), "seccomp", out);
    let windows = spec.get("os").text_of("name") == "windows";
    each_container(spec, |container| {
        let name = container.text_of("name");
        let context = container.get("securityContext");
        let own = context.get("seccompProfile");
        same(&own, notes.value.get(format!("{SECCOMP_OF}{name}")), "seccomp", out);
        if windows {
            return;
        }
        let own = context.get("appArmorProfile");
        let profile = if own.is_set() { own.value } else { whole.get("appArmorProfile").value };
        let note = notes.value.get(format!("{APPARMOR_OF}{name}"));
        same(&At { value: profile, path: own.path }, note, "apparmor", out);
    });
}

fn same(profile: &At<'_, '_>, note: Option<&Value>, what: &str, out: &mut Out) {
    let Some(note) = note.and_then(Value::as_str).filter(|_| profile.is_set()) else { return };
    let local = note.strip_prefix("localhost/");
    let agrees = match profile.text_of("type") {
        "Unconfined" => note == "unconfined",
        "RuntimeDefault" => note == "runtime/default" || what == "seccomp" && note == "docker/default",
        "Localhost" => local.is_some(),
        _ => true,
    };
    if !agrees {
        out.forbidden(&profile.get("type"), format!("{what} type in annotation and field must match"));
    } else if profile.text_of("type") == "Localhost" && local != Some(profile.text_of("localhostProfile")) {
        let text = format!("{what} profile in annotation and field must match");
        out.forbidden(&profile.get("localhostProfile"), text);
    }
}

/// What an update may not do with them.
pub(super) fn update(new: &Value, old: &Value, out: &mut Out) {
    let metadata = At::root(new, "metadata");
    let at = metadata.get("annotations");
    let before = At::root(old, "metadata");
    let before = before.get("annotations");
    for (key, note) in before.entries() {
        if at.value.get(key) == Some(note.value) {
            continue;
        }
        if key.starts_with(APPARMOR_OF) {
            out.forbidden(&at.key(key), "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            out.forbidden(&at.key(key), "may not remove or update mirror pod annotation");
        }
    }
    for (key, note) in at.entries().filter(|(key, _)| before.value.get(*key).is_none()) {
        if key.starts_with(APPARMOR_OF) {
            out.forbidden(&note, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            out.forbidden(&note, "may not add mirror pod annotation");
        }
    }
    all(&at, &At::root(new, "spec"), out);
}
