//! Containers of a pod: regular, init and ephemeral.
//!
//! In: the pod specification and its volumes. Out: faults.

use std::collections::{BTreeMap, BTreeSet};

use super::super::at::{At, Out};
use super::Scope;
use super::{env, probe, resources, security};
use crate::field::FieldError;
use crate::name;

/// What a container is to its pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Regular,
    Init,
    Sidecar,
    Ephemeral,
}

/// Volumes of the pod by name; true for claims that can be devices.
pub(super) type Volumes<'v> = BTreeMap<&'v str, bool>;

/// Most rules of restarting, and most exit codes of one.
const RULES_MOST: usize = 20;
const CODES_MOST: usize = 255;
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

pub(super) fn all(spec: &At<'_, '_>, volumes: &Volumes<'_>, scope: Scope<'_>, out: &mut Out) {
    let containers = spec.get("containers");
    if containers.len() == 0 {
        out.required(&containers, "");
    }
    let mut names = BTreeSet::new();
    for container in containers.items() {
        one(&container, Role::Regular, volumes, scope, &mut names, out);
    }
    let mut host_ports = BTreeSet::new();
    for container in containers.items() {
        conflicts(&container, &mut host_ports, out);
    }
    for container in spec.get("initContainers").items() {
        let sidecar = container.text_of("restartPolicy") == "Always";
        one(&container, if sidecar { Role::Sidecar } else { Role::Init }, volumes, scope, &mut names, out);
        conflicts(&container, &mut BTreeSet::new(), out);
    }
    ephemeral(spec, volumes, scope, &mut names, out);
}

/// Ephemeral containers: a few fields, a target that exists.
pub(super) fn ephemeral<'v>(
    spec: &At<'v, '_>,
    volumes: &Volumes<'_>,
    scope: Scope<'_>,
    names: &mut BTreeSet<&'v str>,
    out: &mut Out,
) {
    for container in spec.get("ephemeralContainers").items() {
        one(&container, Role::Ephemeral, volumes, scope, names, out);
        let target = container.get("targetContainerName");
        let known = |list: &str| spec.get(list).items().any(|c| c.text_of("name") == target.text());
        if !target.text().is_empty() && !known("containers") && !known("initContainers") {
            out.push(FieldError::not_found(&target.path, target.text()));
        }
        for field in [
            "ports",
            "resources",
            "resizePolicy",
            "restartPolicy",
            "restartPolicyRules",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "lifecycle",
        ] {
            let one = container.get(field);
            let empty =
                matches!(field, "ports" | "resources" | "resizePolicy" | "restartPolicyRules") && one.len() == 0;
            if one.is_set() && !empty {
                out.forbidden(&one, "cannot be set for an Ephemeral Container");
            }
        }
        for mount in container.get("volumeMounts").items() {
            for field in ["subPath", "subPathExpr"] {
                if !mount.text_of(field).is_empty() {
                    out.forbidden(&mount.get(field), "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

fn unique<'v>(container: &At<'v, '_>, names: &mut BTreeSet<&'v str>, out: &mut Out) {
    let name = container.get("name");
    if !name.text().is_empty() && !names.insert(name.text()) {
        out.duplicate(&name);
    }
}

/// Two containers of a pod cannot have the same port of the host.
fn conflicts(container: &At<'_, '_>, seen: &mut BTreeSet<String>, out: &mut Out) {
    for port in container.get("ports").items() {
        let host = port.get("hostPort");
        let Some(number) = host.int().filter(|n| *n != 0) else { continue };
        let key = format!("{}/{}/{number}", port.text_of("protocol"), port.text_of("hostIP"));
        if !seen.insert(key.clone()) {
            out.push(FieldError::duplicate(&host.path, key));
        }
    }
}

fn one<'v>(
    at: &At<'v, '_>,
    role: Role,
    volumes: &Volumes<'_>,
    scope: Scope<'_>,
    names: &mut BTreeSet<&'v str>,
    out: &mut Out,
) {
    out.filled_form(&at.get("name"), name::check_label);
    let image = at.get("image");
    if image.text().is_empty() {
        out.required(&image, "");
    } else if !scope.template && image.text().trim() != image.text() {
        out.invalid(&image, "must not have leading or trailing whitespace");
    }
    out.one_of(&at.get("terminationMessagePolicy"), &["File", "FallbackToLogsOnError"]);
    ports(&at.get("ports"), out);
    env::all(at, out);
    mounts(at, volumes, out);
    devices(at, volumes, out);
    out.one_of(&at.get("imagePullPolicy"), &PULL_POLICIES);
    resources::container(&at.get("resources"), scope.spec, out);
    resources::resize_policy(&at.get("resizePolicy"), scope, out);
    security::container(&at.get("securityContext"), scope, out);
    if role != Role::Ephemeral {
        restart_policy(at, out);
    }
    unique(at, names, out);
    probes(at, role, scope, out);
    if role == Role::Init {
        for policy in at.get("resizePolicy").items().filter(|p| p.text_of("restartPolicy") == "RestartContainer") {
            let text = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            out.invalid(&policy.get("restartPolicy"), text);
        }
    }
}

/// On the host's network a port is the same inside and outside.
pub(super) fn host_ports(spec: &At<'_, '_>, template: bool, out: &mut Out) {
    if !spec.get("hostNetwork").yes() {
        return;
    }
    for container in spec.get("containers").items() {
        for port in container.get("ports").items() {
            let outside = port.get("hostPort");
            let number = outside.int().unwrap_or(0);
            if (!template || number != 0) && number != port.get("containerPort").int().unwrap_or(0) {
                let text = "must match `containerPort` when `hostNetwork` is true";
                out.push(FieldError::invalid(&outside.path, number, text));
            }
        }
    }
}

/// Variables that come from files need a directory that containers can write to.
pub(super) fn file_keys(spec: &At<'_, '_>, out: &mut Out) {
    super::each_container(spec, |container| {
        for variable in container.get("env").items() {
            let from = variable.get("valueFrom");
            let file = from.get("fileKeyRef");
            let volume = file.get("volumeName");
            if !file.is_set() {
                continue;
            }
            match spec.get("volumes").items().find(|v| v.text_of("name") == volume.text()) {
                None => out.push(FieldError::not_found(&volume.path, volume.text())),
                Some(found) if !found.get("emptyDir").is_set() => {
                    let text = "referenced volume must be of type emptyDir";
                    out.push(FieldError::invalid(&volume.path, volume.text(), text));
                }
                Some(_) => {}
            }
        }
    });
}

fn restart_policy(at: &At<'_, '_>, out: &mut Out) {
    let (policy, rules) = (at.get("restartPolicy"), at.get("restartPolicyRules"));
    let listed = |at: &At<'_, '_>, allowed: &[&str], out: &mut Out| {
        if !allowed.contains(&at.text()) {
            out.push(FieldError::not_supported(&at.path, at.text(), allowed));
        }
    };
    if policy.is_set() {
        listed(&policy, &["Always", "Never", "OnFailure"], out);
    } else if rules.len() > 0 {
        out.required(&policy, "must specify restartPolicy when restart rules are used");
    }
    if rules.len() > RULES_MOST {
        out.push(FieldError::too_many(&rules.path, rules.len(), RULES_MOST));
    }
    for rule in rules.items() {
        listed(&rule.get("action"), &["Restart", "RestartAllContainers"], out);
        let codes = rule.get("exitCodes");
        if codes.is_set() {
            listed(&codes.get("operator"), &["In", "NotIn"], out);
            let values = codes.get("values");
            if values.len() > CODES_MOST {
                out.push(FieldError::too_many(&values.path, values.len(), CODES_MOST));
            }
        } else {
            out.required(&codes, "must be specified");
        }
    }
}

fn ports(at: &At<'_, '_>, out: &mut Out) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let name_at = port.get("name");
        if !name_at.text().is_empty() {
            let faults = out.errors.len();
            out.form(&name_at, name::check_port_name);
            if out.errors.len() == faults && !names.insert(name_at.text()) {
                out.duplicate(&name_at);
            }
        }
        let inside = port.get("containerPort");
        match inside.int() {
            None | Some(0) => out.required(&inside, ""),
            Some(_) => out.port(&inside),
        }
        let outside = port.get("hostPort");
        if outside.int().is_some_and(|n| n != 0) {
            out.port(&outside);
        }
        out.one_of(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
    }
}

fn mounts(container: &At<'_, '_>, volumes: &Volumes<'_>, out: &mut Out) {
    let mut paths = BTreeSet::new();
    let privileged = container.get("securityContext").get("privileged").yes();
    let devices = container.get("volumeDevices");
    let mounts = container.get("volumeMounts");
    for mount in mounts.items() {
        let name_at = mount.get("name");
        out.filled(&name_at);
        if !volumes.contains_key(name_at.text()) {
            out.push(FieldError::not_found(&name_at.path, name_at.text()));
        }
        let path = mount.get("mountPath");
        out.filled(&path);
        if !paths.insert(path.text()) {
            out.push(FieldError::invalid(&path.path, path.text(), "must be unique"));
        }
        if devices.items().any(|d| d.text_of("name") == name_at.text()) {
            out.push(FieldError::invalid(&name_at.path, name_at.text(), "must not already exist in volumeDevices"));
        }
        if devices.items().any(|d| d.text_of("devicePath") == path.text()) {
            let text = "must not already exist as a path in volumeDevices";
            out.push(FieldError::invalid(&path.path, path.text(), text));
        }
        let (sub, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
        // These have the list's place, not the element's.
        let whole = |field| At { value: mount.get(field).value, path: mounts.path.child(field) };
        if !sub.text().is_empty() {
            descending(&whole("subPath"), out);
        }
        if !expression.text().is_empty() {
            if !sub.text().is_empty() {
                out.invalid(&expression, "subPathExpr and subPath are mutually exclusive");
            }
            descending(&whole("subPathExpr"), out);
        }
        let propagation = whole("mountPropagation");
        out.one_of(&propagation, &["Bidirectional", "HostToContainer", "None"]);
        if propagation.text() == "Bidirectional" && !privileged {
            out.forbidden(&propagation, "Bidirectional mount propagation is available only to privileged containers");
        }
        let recursive = whole("recursiveReadOnly");
        out.one_of(&recursive, &["Disabled", "IfPossible", "Enabled"]);
        if matches!(recursive.text(), "IfPossible" | "Enabled") {
            if !mount.get("readOnly").yes() {
                out.forbidden(&recursive, "may only be specified when readOnly is true");
            }
            if !matches!(propagation.text(), "" | "None") {
                out.forbidden(&recursive, "may only be specified when mountPropagation is None or not specified");
            }
        }
    }
}

/// A relative path that stays below where it starts.
pub(super) fn descending(at: &At<'_, '_>, out: &mut Out) {
    if at.text().starts_with('/') {
        out.invalid(at, "must be a relative path");
    }
    backsteps(at, out);
}

/// No step of the path is `..`.
pub(super) fn backsteps(at: &At<'_, '_>, out: &mut Out) {
    if at.text().split('/').any(|step| step == "..") {
        out.invalid(at, "must not contain '..'");
    }
}

fn devices(container: &At<'_, '_>, volumes: &Volumes<'_>, out: &mut Out) {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let mounts = container.get("volumeMounts");
    let mounted = |field: &str, text: &str| !text.is_empty() && mounts.items().any(|m| m.text_of(field) == text);
    for device in container.get("volumeDevices").items() {
        let name_at = device.get("name");
        if name_at.text().is_empty() {
            out.required(&name_at, "");
        } else {
            match volumes.get(name_at.text()) {
                None => out.push(FieldError::not_found(&name_at.path, name_at.text())),
                Some(false) => out.invalid(
                    &name_at,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                ),
                Some(true) => {}
            }
            if !names.insert(name_at.text()) {
                out.invalid(&name_at, "must be unique");
            }
        }
        let path = device.get("devicePath");
        if path.text().is_empty() {
            out.required(&path, "");
        } else {
            if !paths.insert(path.text()) {
                out.invalid(&path, "must be unique");
            }
            if path.text().split('/').any(|step| step == "..") {
                out.invalid(&path, "can not contain backsteps ('..')");
            }
        }
        if mounted("name", name_at.text()) {
            out.invalid(&name_at, "must not already exist in volumeMounts");
        }
        if mounted("mountPath", path.text()) {
            out.invalid(&path, "must not already exist as a path in volumeMounts");
        }
    }
}

fn probes(at: &At<'_, '_>, role: Role, scope: Scope<'_>, out: &mut Out) {
    if role == Role::Ephemeral {
        return;
    }
    if role == Role::Init {
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if at.get(field).is_set() {
                out.forbidden(&at.get(field), "may not be set for init containers without restartPolicy=Always");
            }
        }
        return;
    }
    probe::lifecycle(&at.get("lifecycle"), scope, out);
    probe::liveness(&at.get("livenessProbe"), out);
    probe::readiness(&at.get("readinessProbe"), out);
    probe::startup(&at.get("startupProbe"), out);
}
