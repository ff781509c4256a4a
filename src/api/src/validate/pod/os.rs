//! The operating system that a pod is for, and what only one of them has.
//!
//! In: a pod specification. Out: faults.

use serde_json::Value;

use super::super::at::{At, Out};
use super::each_container;
use crate::field::FieldError;

const WINDOWS: &str = "cannot be set for a windows pod";

pub(super) fn all(spec: &At<'_, '_>, out: &mut Out) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    match name.text() {
        "" => out.required(&name, ""),
        "linux" => linux(spec, out),
        "windows" => windows(spec, out),
        other => out.push(FieldError::not_supported(&os.path, other, &["linux", "windows"])),
    }
}

fn linux(spec: &At<'_, '_>, out: &mut Out) {
    let check = |at: &At<'_, '_>, out: &mut Out| {
        let context = at.get("securityContext");
        let options = context.get("windowsOptions");
        if options.is_set() {
            out.forbidden(&options, "windows options cannot be set for a linux pod");
        }
    };
    check(spec, out);
    each_container(spec, |container| check(container, out));
}

fn windows(spec: &At<'_, '_>, out: &mut Out) {
    let forbid = |at: &At<'_, '_>, out: &mut Out| {
        if at.is_set() && at.value != &Value::Bool(false) {
            out.forbidden(at, WINDOWS);
        }
    };
    let context = spec.get("securityContext");
    for field in ["appArmorProfile", "seLinuxOptions"] {
        forbid(&context.get(field), out);
    }
    if spec.get("hostUsers").is_set() {
        out.forbidden(&spec.get("hostUsers"), WINDOWS);
    }
    for field in ["hostPID", "hostIPC"] {
        forbid(&spec.get(field), out);
    }
    for field in ["seccompProfile", "fsGroup", "fsGroupChangePolicy"] {
        forbid(&context.get(field), out);
    }
    if context.get("sysctls").len() > 0 {
        out.forbidden(&context.get("sysctls"), WINDOWS);
    }
    if spec.get("shareProcessNamespace").is_set() {
        out.forbidden(&spec.get("shareProcessNamespace"), WINDOWS);
    }
    for field in ["runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"] {
        forbid(&context.get(field), out);
    }
    each_container(spec, |container| {
        let context = container.get("securityContext");
        for field in [
            "appArmorProfile",
            "seLinuxOptions",
            "seccompProfile",
            "capabilities",
            "readOnlyRootFilesystem",
            "privileged",
            "allowPrivilegeEscalation",
            "procMount",
            "runAsUser",
            "runAsGroup",
        ] {
            if context.get(field).is_set() {
                out.forbidden(&context.get(field), WINDOWS);
            }
        }
    });
}

/// Containers that are processes of a Windows host: all of a pod or none, and on its network.
pub(super) fn host_process(spec: &At<'_, '_>, out: &mut Out) {
    let of = |at: &At<'_, '_>| at.get("securityContext").get("windowsOptions").get("hostProcess").value.as_bool();
    let whole = of(spec);
    let (mut all, mut some) = (0, 0);
    each_container(spec, |container| {
        all += 1;
        let own = of(container);
        if let (Some(whole), Some(own)) = (whole, own)
            && whole != own
        {
            let context = container.get("securityContext");
            let options = context.get("windowsOptions");
            let text = format!("pod hostProcess value must be identical if both are specified, was {whole}");
            out.invalid(&options.get("hostProcess"), text);
        }
        some += usize::from(own.or(whole) == Some(true));
    });
    if some == 0 {
        return;
    }
    if some != all {
        let text = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        out.push(FieldError::invalid(&spec.path, "", text));
    }
    let network = spec.get("hostNetwork");
    if !network.yes() {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        out.push(FieldError::invalid(&network.path, false, text));
    }
}
