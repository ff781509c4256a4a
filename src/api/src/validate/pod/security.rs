//! Security contexts of pods and containers.
//!
//! In: a pod specification or a container's context. Out: faults.

use std::collections::BTreeSet;

use super::super::at::{At, Out};
use super::{Scope, container::descending};
use crate::field::FieldError;
use crate::name;

const OWN_USERS: &str = "when `hostUsers` is false";
/// Longest name of an AppArmor profile: that of a path.
const PROFILE_MOST: usize = 4095;
/// Longest specification of a Windows service account.
const GMSA_MOST: usize = 64 * 1024;
/// Longest domain and longest user of Windows.
const DOMAIN_MOST: usize = 255;
const USER_MOST: usize = 104;
/// Longest name of a kernel parameter.
const SYSCTL_MOST: usize = 253;

pub(super) fn pod(spec: &At<'_, '_>, out: &mut Out) {
    let at = spec.get("securityContext");
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(&at.get(field), out);
    }
    for group in at.get("supplementalGroups").items() {
        id(&group, out);
    }
    let share = At { value: spec.get("shareProcessNamespace").value, path: at.path.child("shareProcessNamespace") };
    if share.yes() && spec.get("hostPID").yes() {
        out.invalid(&share, "ShareProcessNamespace and HostPID cannot both be enabled");
    }
    sysctls(spec, &at.get("sysctls"), out);
    out.one_of(&at.get("fsGroupChangePolicy"), &["Always", "OnRootMismatch"]);
    profile(&at.get("seccompProfile"), "seccomp", out);
    windows(&at.get("windowsOptions"), out);
    profile(&at.get("appArmorProfile"), "AppArmor", out);
    out.one_of(&at.get("supplementalGroupsPolicy"), &["Merge", "Strict"]);
    out.one_of(&at.get("seLinuxChangePolicy"), &["MountOption", "Recursive"]);
}

/// A pod with users of its own cannot share the host's other namespaces.
pub(super) fn host_users(spec: &At<'_, '_>, out: &mut Out) {
    if spec.get("hostUsers").value.as_bool() == Some(false) {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.get(field).yes() {
                // The last two are spelt as the Go fields are.
                let place = field.replace("hostP", "HostP").replace("hostI", "HostI");
                out.forbidden(&spec.get(&place), OWN_USERS);
            }
        }
        super::each_container(spec, |container| {
            if container.get("volumeDevices").len() > 0 {
                out.forbidden(&container.get("volumeDevices"), OWN_USERS);
            }
        });
    }
}

fn sysctls(spec: &At<'_, '_>, at: &At<'_, '_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for sysctl in at.items() {
        let name_at = sysctl.get("name");
        let dotted = name_at.text().replace('/', ".");
        if name_at.text().is_empty() {
            out.required(&name_at, "");
        } else if dotted.len() > SYSCTL_MOST || !dotted.split('.').all(sysctl_segment) {
            let form = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let text = format!("must have at most {SYSCTL_MOST} characters and match regex ^({form}[\\./])*{form}$");
            out.invalid(&name_at, text);
        } else if seen.contains(name_at.text()) {
            out.push(FieldError::duplicate(&name_at.path, name_at.text()));
        }
        if spec.get("hostNetwork").yes() && dotted.starts_with("net.") {
            out.invalid(&name_at, "may not be specified when 'hostNetwork' is true");
        } else if spec.get("hostIPC").yes() && is_ipc(&dotted) {
            out.invalid(&name_at, "may not be specified when 'hostIPC' is true");
        }
        seen.insert(name_at.text());
    }
}

/// Parameters that each IPC namespace has of its own.
fn is_ipc(name: &str) -> bool {
    name.starts_with("fs.mqueue.")
        || name == "kernel.sem"
        || ["kernel.shm", "kernel.msg"].iter().any(|prefix| name.starts_with(prefix))
}

/// `[a-z0-9]([-_a-z0-9]*[a-z0-9])?`
fn sysctl_segment(segment: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = segment.as_bytes();
    let middle = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(middle)
}

pub(super) fn container(at: &At<'_, '_>, scope: Scope<'_>, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    id(&at.get("runAsUser"), out);
    id(&at.get("runAsGroup"), out);
    let mount = at.get("procMount");
    out.one_of(&mount, &["Default", "Unmasked"]);
    let host_users = scope.spec.get("hostUsers").and_then(serde_json::Value::as_bool).unwrap_or(true);
    if mount.text() == "Unmasked" && host_users {
        out.invalid(&mount, "`hostUsers` must be false to use `Unmasked`");
    }
    if at.get("allowPrivilegeEscalation").value.as_bool() == Some(false) {
        if at.get("privileged").yes() {
            out.invalid(at, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let admin = at.get("capabilities").get("add").items().any(|c| c.text() == "CAP_SYS_ADMIN");
        if admin {
            out.invalid(at, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
    profile(&at.get("seccompProfile"), "seccomp", out);
    profile(&at.get("appArmorProfile"), "AppArmor", out);
    windows(&at.get("windowsOptions"), out);
}

/// A user's or group's number.
fn id(at: &At<'_, '_>, out: &mut Out) {
    out.within(at, 0, i64::from(i32::MAX));
}

fn profile(at: &At<'_, '_>, what: &str, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    let (kind, local) = (at.get("type"), at.get("localhostProfile"));
    if kind.text().is_empty() {
        out.required(
            &kind,
            &format!("type is required when {}Profile is set", if what == "AppArmor" { "appArmor" } else { what }),
        );
    }
    out.one_of(&kind, &["Localhost", "RuntimeDefault", "Unconfined"]);
    match (kind.text(), local.is_set()) {
        ("Localhost", false) => out.required(&local, &format!("must be set when {what} type is Localhost")),
        ("Localhost", true) if what == "seccomp" => descending(&local, out),
        ("Localhost", true) if local.text().trim() != local.text() => {
            out.invalid(&local, "must not be padded with whitespace");
        }
        ("Localhost", true) if local.text().is_empty() => {
            out.required(&local, "must be set when AppArmor type is Localhost");
        }
        ("Localhost", true) if local.text().len() > PROFILE_MOST => {
            out.push(FieldError::too_long(&local.path, PROFILE_MOST));
        }
        ("Localhost", true) => {}
        ("", true) if what == "AppArmor" => {}
        (_, true) => out.invalid(&local, format!("can only be set when {what} type is Localhost")),
        _ => {}
    }
}

fn windows(at: &At<'_, '_>, out: &mut Out) {
    let (name_at, spec, user) =
        (at.get("gmsaCredentialSpecName"), at.get("gmsaCredentialSpec"), at.get("runAsUserName"));
    if name_at.is_set() {
        out.form(&name_at, name::check_subdomain);
    }
    if spec.is_set() && spec.text().is_empty() {
        out.invalid(&spec, "gmsaCredentialSpec cannot be an empty string");
    } else if spec.text().len() > GMSA_MOST {
        out.invalid(&spec, format!("gmsaCredentialSpec size must be under {} KiB", GMSA_MOST / 1024));
    }
    if user.is_set() {
        windows_user(&user, out);
    }
}

/// `DOMAIN\\USER`, or the user alone.
fn windows_user(at: &At<'_, '_>, out: &mut Out) {
    let text = at.text();
    if text.is_empty() {
        return out.invalid(at, "runAsUserName cannot be an empty string");
    }
    if text.chars().any(|c| c.is_ascii_control()) {
        return out.invalid(at, "runAsUserName cannot contain control characters");
    }
    if text.matches('\\').count() > 1 {
        return out.invalid(at, "runAsUserName cannot contain more than one backslash");
    }
    let (domain, user) = text.split_once('\\').map_or((None, text), |(domain, user)| (Some(domain), user));
    if let Some(domain) = domain {
        if domain.len() > DOMAIN_MOST {
            out.invalid(at, format!("runAsUserName's Domain length must be under {} characters", DOMAIN_MOST + 1));
        }
        let old = (1..=15).contains(&domain.len())
            && !domain.starts_with('.')
            && !domain.contains(['/', ':', '*', '?', '"', '<', '>', '|']);
        if !old && name::check_subdomain(&domain.to_lowercase()).is_err() {
            out.invalid(at, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        out.invalid(at, "runAsUserName's User cannot be empty");
    } else if user.len() > USER_MOST {
        out.invalid(at, format!("runAsUserName's User length must not be longer than {USER_MOST} characters"));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        out.invalid(at, "runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        let text = "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]";
        out.invalid(at, text);
    }
}
