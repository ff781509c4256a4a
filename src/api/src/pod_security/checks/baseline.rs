//! The checks of the baseline level.
//!
//! In: a pod's metadata and spec. Out: a violation, or nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Violation;
use super::words::{Setters, containers, counted, named, quoted, security, violation};
use crate::field::quote;
use crate::meta::{annotations, at, list_at, text};

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Metadata alone, as the readers of metadata want it.
fn notes(metadata: &Value) -> Vec<(String, String)> {
    let object = serde_json::json!({"metadata": {"annotations": metadata.get("annotations")}});
    annotations(&object).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// `type` of a profile that is neither the runtime's own nor a local one.
fn foreign_profile(context: &Value, field: &str) -> Option<Vec<String>> {
    let kind = text(at(context, &[field])?, "type");
    (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| vec![kind.to_owned()])
}

pub(super) fn app_armor(metadata: &Value, spec: &Value) -> Option<Violation> {
    let found = Setters::find(spec, |context| foreign_profile(context, "appArmorProfile"));
    let allowed = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let mut bad_notes: Vec<String> = notes(metadata)
        .iter()
        .filter(|(key, value)| key.starts_with(APP_ARMOR) && !allowed(value))
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect();
    bad_notes.sort();
    let mut setters: Vec<String> = Vec::new();
    if !found.is_empty() {
        setters.push(found.names());
    }
    if !bad_notes.is_empty() {
        setters.push(counted(bad_notes.len(), "annotation", "annotations").to_owned());
    }
    if setters.is_empty() {
        return None;
    }
    let values: Vec<String> = found.values.into_iter().chain(bad_notes).collect();
    violation(
        counted(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&values)),
    )
}

pub(super) fn capabilities(_: &Value, spec: &Value) -> Option<Violation> {
    const ALLOWED: [&str; 13] = [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let (names, added) = adding(spec, |capability| !ALLOWED.contains(&capability));
    if names.is_empty() {
        return None;
    }
    violation(
        "non-default capabilities",
        format!(
            "{} must not include {} in securityContext.capabilities.add",
            named("container", &names),
            quoted(&added)
        ),
    )
}

/// Containers that add a forbidden capability, and which ones those are.
pub(super) fn adding(spec: &Value, forbidden: impl Fn(&str) -> bool) -> (Vec<&str>, BTreeSet<&str>) {
    let (mut names, mut all) = (Vec::new(), BTreeSet::new());
    for container in containers(spec) {
        let added = list_at(container, &["securityContext", "capabilities", "add"]).iter().filter_map(Value::as_str);
        let bad: Vec<&str> = added.filter(|capability| forbidden(capability)).collect();
        if !bad.is_empty() {
            names.push(text(container, "name"));
            all.extend(bad);
        }
    }
    (names, all)
}

pub(super) fn host_namespaces(_: &Value, spec: &Value) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| crate::meta::bool_at(spec, &[field]))
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() { None } else { violation("host namespaces", shared.join(", ")) }
}

pub(super) fn host_path(_: &Value, spec: &Value) -> Option<Violation> {
    let names: Vec<&str> = list_at(spec, &["volumes"])
        .iter()
        .filter(|volume| at(volume, &["hostPath"]).is_some())
        .map(|volume| text(volume, "name"))
        .collect();
    if names.is_empty() { None } else { violation("hostPath volumes", named("volume", &names)) }
}

pub(super) fn host_ports(_: &Value, spec: &Value) -> Option<Violation> {
    let (mut names, mut ports) = (Vec::new(), BTreeSet::new());
    for container in containers(spec) {
        let taken = list_at(container, &["ports"]).iter().filter_map(|port| port.get("hostPort")?.as_i64());
        let bad: Vec<String> = taken.filter(|port| *port != 0).map(|port| port.to_string()).collect();
        if !bad.is_empty() {
            names.push(text(container, "name"));
            ports.extend(bad);
        }
    }
    if names.is_empty() {
        return None;
    }
    let list: Vec<String> = ports.into_iter().collect();
    violation(
        "hostPort",
        format!(
            "{} {} {} {}",
            named("container", &names),
            counted(names.len(), "uses", "use"),
            counted(list.len(), "hostPort", "hostPorts"),
            list.join(", ")
        ),
    )
}

pub(super) fn probe_hosts(_: &Value, spec: &Value) -> Option<Violation> {
    const HANDLERS: [&[&str]; 5] = [
        &["livenessProbe"],
        &["readinessProbe"],
        &["startupProbe"],
        &["lifecycle", "postStart"],
        &["lifecycle", "preStop"],
    ];
    let (mut names, mut hosts) = (BTreeSet::new(), BTreeSet::new());
    for container in containers(spec) {
        let handlers = HANDLERS.iter().filter_map(|path| at(container, path));
        let named = handlers.flat_map(|h| ["httpGet", "tcpSocket"].map(|by| crate::meta::text_at(h, &[by, "host"])));
        let bad: Vec<&str> = named.filter(|host| !host.is_empty()).collect();
        if !bad.is_empty() {
            names.insert(text(container, "name"));
            hosts.extend(bad);
        }
    }
    if names.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.into_iter().collect();
    violation(
        "probe or lifecycle host",
        format!(
            "{} {} {} {}",
            named("container", &names),
            counted(names.len(), "uses", "use"),
            counted(hosts.len(), "probe or lifecycle host", "probe or lifecycle hosts"),
            quoted(&hosts)
        ),
    )
}

pub(super) fn privileged(_: &Value, spec: &Value) -> Option<Violation> {
    let names: Vec<&str> = containers(spec)
        .filter(|container| security(container, &["privileged"]) == Some(&Value::Bool(true)))
        .map(|container| text(container, "name"))
        .collect();
    if names.is_empty() {
        return None;
    }
    violation("privileged", format!("{} must not set securityContext.privileged=true", named("container", &names)))
}

pub(super) fn proc_mount(_: &Value, spec: &Value) -> Option<Violation> {
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for container in containers(spec) {
        let kind = security(container, &["procMount"]).and_then(Value::as_str);
        if let Some(kind) = kind.filter(|kind| *kind != "Default") {
            names.push(text(container, "name"));
            kinds.insert(kind);
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not set securityContext.procMount to {}", named("container", &names), quoted(&kinds));
    violation("procMount", detail)
}

pub(super) fn proc_mount_outside_user_namespaces(metadata: &Value, spec: &Value) -> Option<Violation> {
    if in_user_namespace(spec) { None } else { proc_mount(metadata, spec) }
}

/// Whether root in the pod is nobody on the machine.
pub(super) fn in_user_namespace(spec: &Value) -> bool {
    spec.get("hostUsers") == Some(&Value::Bool(false))
}

pub(super) fn se_linux_1_0(_: &Value, spec: &Value) -> Option<Violation> {
    se_linux(spec, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub(super) fn se_linux_1_31(_: &Value, spec: &Value) -> Option<Violation> {
    se_linux(spec, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux(spec: &Value, allowed: &[&str]) -> Option<Violation> {
    let (mut user, mut role) = (false, false);
    let found = Setters::find(spec, |context| {
        let options = at(context, &["seLinuxOptions"])?;
        let kind = text(options, "type");
        let (bad, sets_user, sets_role) =
            (!allowed.contains(&kind), !text(options, "user").is_empty(), !text(options, "role").is_empty());
        user |= sets_user;
        role |= sets_role;
        (bad || sets_user || sets_role).then(|| if bad { vec![kind.to_owned()] } else { Vec::new() })
    });
    if found.is_empty() {
        return None;
    }
    let mut what = Vec::new();
    if !found.values.is_empty() {
        what.push(format!("{} {}", counted(found.values.len(), "type", "types"), quoted(&found.values)));
    }
    if user {
        what.push("user may not be set".to_owned());
    }
    if role {
        what.push("role may not be set".to_owned());
    }
    let detail = format!("{} set forbidden securityContext.seLinuxOptions: {}", found.names(), what.join("; "));
    violation("seLinuxOptions", detail)
}

pub(super) fn seccomp_annotations(metadata: &Value, spec: &Value) -> Option<Violation> {
    let allowed =
        |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let mut keys: BTreeSet<String> = BTreeSet::from([SECCOMP_POD.to_owned()]);
    keys.extend(containers(spec).map(|container| format!("{SECCOMP_CONTAINER}{}", text(container, "name"))));
    let bad: BTreeSet<String> = notes(metadata)
        .iter()
        .filter(|(key, value)| keys.contains(key) && !allowed(value))
        .map(|(key, value)| format!("{key}={}", quote(value)))
        .collect();
    if bad.is_empty() {
        return None;
    }
    let list: Vec<&str> = bad.iter().map(String::as_str).collect();
    let word = counted(bad.len(), "annotation", "annotations");
    violation("seccompProfile", format!("forbidden {word} {}", list.join(", ")))
}

pub(super) fn seccomp(_: &Value, spec: &Value) -> Option<Violation> {
    foreign_seccomp(&Setters::find(spec, |context| foreign_profile(context, "seccompProfile")))
}

/// The sentence about profiles that somebody set to something forbidden.
pub(super) fn foreign_seccomp(found: &Setters<'_>) -> Option<Violation> {
    if found.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not set securityContext.seccompProfile.type to {}", found.names(), quoted(&found.values));
    violation("seccompProfile", detail)
}

/// Those whose seccomp profile is a forbidden one.
pub(super) fn seccomp_setters(spec: &Value) -> Setters<'_> {
    Setters::find(spec, |context| foreign_profile(context, "seccompProfile"))
}

const SYSCTLS: [(u32, &[&str]); 4] = [
    (
        0,
        &[
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range",
            "net.ipv4.ip_unprivileged_port_start",
        ],
    ),
    (27, &["net.ipv4.ip_local_reserved_ports"]),
    (
        29,
        &[
            "net.ipv4.tcp_keepalive_time",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl",
            "net.ipv4.tcp_keepalive_probes",
        ],
    ),
    (32, &["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"]),
];

pub(super) fn sysctls_1_0(_: &Value, spec: &Value) -> Option<Violation> {
    sysctls(spec, 0)
}

pub(super) fn sysctls_1_27(_: &Value, spec: &Value) -> Option<Violation> {
    sysctls(spec, 27)
}

pub(super) fn sysctls_1_29(_: &Value, spec: &Value) -> Option<Violation> {
    sysctls(spec, 29)
}

pub(super) fn sysctls_1_32(_: &Value, spec: &Value) -> Option<Violation> {
    sysctls(spec, 32)
}

fn sysctls(spec: &Value, minor: u32) -> Option<Violation> {
    let allowed = |name: &str| SYSCTLS.iter().any(|(since, names)| *since <= minor && names.contains(&name));
    let all = list_at(spec, &["securityContext", "sysctls"]).iter().map(|sysctl| text(sysctl, "name"));
    let bad: Vec<&str> = all.filter(|name| !allowed(name)).collect();
    if bad.is_empty() { None } else { violation("forbidden sysctls", bad.join(", ")) }
}

pub(super) fn host_process(_: &Value, spec: &Value) -> Option<Violation> {
    let found = Setters::find(spec, |context| {
        (at(context, &["windowsOptions", "hostProcess"]) == Some(&Value::Bool(true))).then(Vec::new)
    });
    if found.is_empty() {
        return None;
    }
    violation("hostProcess", format!("{} must not set securityContext.windowsOptions.hostProcess=true", found.names()))
}
