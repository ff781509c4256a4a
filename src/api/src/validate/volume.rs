//! PersistentVolumes, also within attachments.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, Out};
use super::pod::{self, needs, remote};
use super::storage::{modes, positive};
use super::workload::without;
use crate::field::FieldError;
use crate::meta;
use crate::name;

/// Fields of a volume's specification that are no source.
const NOT_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// The rules of one type.
type Rule = fn(&At<'_, '_>, &mut Out);

/// Every type of volume, in the order in which the first of several wins. One place is Kubernetes' own slip.
const TYPES: [(&str, &str, Rule); 21] = [
    ("hostPath", "hostPath", pod::host_path),
    ("gcePersistentDisk", "persistentDisk", remote::gce),
    ("awsElasticBlockStore", "awsElasticBlockStore", remote::aws),
    ("glusterfs", "glusterfs", remote::glusterfs_persistent),
    ("flocker", "flocker", remote::flocker),
    ("nfs", "nfs", remote::nfs),
    ("rbd", "rbd", remote::rbd),
    ("quobyte", "quobyte", remote::quobyte),
    ("cephfs", "cephfs", remote::cephfs),
    // Its rules need the volume's name.
    ("iscsi", "iscsi", |_, _| ()),
    ("cinder", "cinder", remote::cinder_persistent),
    ("fc", "fc", remote::fibre_channel),
    ("flexVolume", "flexVolume", remote::flex),
    ("azureFile", "azureFile", remote::azure_file_persistent),
    ("vsphereVolume", "vsphereVolume", |at, out| needs(at, "volumePath", out)),
    ("photonPersistentDisk", "photonPersistentDisk", |at, out| needs(at, "pdID", out)),
    ("portworxVolume", "portworxVolume", |at, out| needs(at, "volumeID", out)),
    ("azureDisk", "azureDisk", remote::azure_disk),
    ("scaleIO", "scaleIO", remote::scale_io),
    ("local", "local", remote::local),
    ("storageos", "storageos", remote::storage_os_persistent),
];

pub(super) fn all(object: &Value, old: Option<&Value>, out: &mut Out) {
    let at = At::root(object, "spec");
    spec(&at, meta::name(object), false, out);
    let Some(old) = old else { return };
    let before = &old["spec"];
    let secret = "/csi/controllerExpandSecretRef";
    let mut source = without(at.value, &NOT_SOURCE);
    let had = without(before, &NOT_SOURCE);
    // A secret for growing may be named later.
    if had.get("csi").is_some()
        && had.pointer(secret).is_none()
        && let Some(csi) = source.get_mut("csi").and_then(Value::as_object_mut)
    {
        csi.remove("controllerExpandSecretRef");
    }
    if source != had {
        let text = "spec.persistentvolumesource is immutable after creation";
        out.forbidden(&at.get("persistentvolumesource"), format!("{text}\n{}", super::diff::fields(&had, &source)));
    }
    out.immutable(&At::root(at.value, "volumeMode"), before.get("volumeMode").unwrap_or(&Value::Null));
    let affinity = At::root(at.value, "nodeAffinity");
    let kept = before.get("nodeAffinity").filter(|a| !a.is_null());
    if kept.is_some_and(|kept| renewed(kept, affinity.value) != *affinity.value) {
        let text = format!("{}, except for updating from beta label to GA", super::at::IMMUTABLE);
        out.invalid(&affinity, text);
    }
    let class = at.get("volumeAttributesClassName");
    if before.get("volumeAttributesClassName").is_some_and(|class| !class.is_null()) && !class.is_set() {
        out.forbidden(&class, "update from non-nil value to nil is forbidden");
    }
}

/// The old value, with the beta labels that are no longer beta in the new one named so.
fn renewed(old: &Value, new: &Value) -> Value {
    const GROWN: [(&str, &str); 5] = [
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ];
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let part = |(key, value): (&String, &Value)| {
                let now = new.get(key).unwrap_or(&Value::Null);
                let grown = |pair: &&(&str, &str)| *value == pair.0 && *now == pair.1;
                let kept = match key == "key" && GROWN.iter().any(|pair| grown(&pair)) {
                    true => now.clone(),
                    false => renewed(value, now),
                };
                (key.clone(), kept)
            };
            Value::Object(old.iter().map(part).collect())
        }
        (Value::Array(old), Value::Array(new)) => {
            let part = |(i, value): (usize, &Value)| renewed(value, new.get(i).unwrap_or(&Value::Null));
            Value::Array(old.iter().enumerate().map(part).collect())
        }
        _ => old.clone(),
    }
}

/// A volume's specification; `inline` within an attachment.
pub(super) fn spec(at: &At<'_, '_>, volume: &str, inline: bool, out: &mut Out) {
    const CONTEXT: &str = "in the context of inline volumes";
    let (capacity, csi) = (at.get("capacity"), at.get("csi"));
    if inline {
        for field in [at.get("claimRef"), capacity].iter().filter(|field| field.is_set()) {
            out.forbidden(field, format!("may not be specified {CONTEXT}"));
        }
        if !csi.is_set() {
            out.required(&csi, &format!("has to be specified {CONTEXT}"));
        }
    }
    modes(&at.get("accessModes"), "", out);
    if !inline {
        self::capacity(&capacity, out);
    }
    let policy = at.get("persistentVolumeReclaimPolicy");
    match inline {
        true if !matches!(policy.text(), "" | "Retain") => {
            out.forbidden(&policy, format!("may only be Retain {CONTEXT}"));
        }
        true => {}
        false => out.one_of(&policy, &["Delete", "Recycle", "Retain"]),
    }
    let affinity = at.get("nodeAffinity");
    let required = affinity.get("required");
    match (affinity.is_set(), inline, required.is_set()) {
        (false, ..) => {}
        (true, true, _) => out.forbidden(&affinity, format!("may not be specified {CONTEXT}")),
        (true, false, true) => pod::node_selector(&required, out),
        (true, false, false) => out.required(&required, "must specify required node constraints"),
    }
    let found = source(at, volume, out);
    if found == Some("local") && !affinity.is_set() {
        out.required(&affinity, "Local volume requires node affinity");
    }
    let path = at.get("hostPath").text_of("path");
    let root = path.starts_with('/') && path.split('/').all(|step| matches!(step, "" | "." | ".."));
    if root && policy.text() == "Recycle" {
        out.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    let (class, mode) = (at.get("storageClassName"), at.get("volumeMode"));
    if inline && !class.text().is_empty() {
        out.forbidden(&class, format!("may not be specified {CONTEXT}"));
    } else {
        out.optional_form(&class, name::check_subdomain);
    }
    if inline && mode.is_set() && mode.text() != "Filesystem" {
        out.forbidden(&mode, format!("may not specify volumeMode other than Filesystem {CONTEXT}"));
    } else if mode.is_set() && !matches!(mode.text(), "Block" | "Filesystem") {
        out.push(FieldError::not_supported(&mode.path, mode.text(), &["Block", "Filesystem"]));
    }
    let attributes = at.get("volumeAttributesClassName");
    if attributes.is_set() && !inline {
        match attributes.text() {
            "" => out.required(&attributes, "an empty string is disallowed"),
            _ => out.form(&attributes, name::check_subdomain),
        }
        if !csi.is_set() {
            out.required(&csi, "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn capacity(at: &At<'_, '_>, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, "");
    }
    if at.len() > 1 || at.value.get("storage").is_none() {
        out.push(FieldError::not_supported(&at.path, at.value.clone(), &["storage"]));
    }
    for (_, amount) in at.entries() {
        out.amount(&amount);
        positive(&amount, out);
    }
}

/// Exactly one type, and its own rules.
fn source(at: &At<'_, '_>, volume: &str, out: &mut Out) -> Option<&'static str> {
    let mut found = None;
    let csi: (&str, &str, Rule) = ("csi", "csi", remote::csi_persistent);
    for (kind, place, rule) in TYPES.into_iter().chain([csi]) {
        let one = at.get(kind);
        if !one.is_set() {
            continue;
        }
        if found.is_some() && kind != "flexVolume" {
            let place = if kind == "cephfs" { "cephFS" } else { kind };
            out.forbidden(&at.get(place), "may not specify more than 1 volume type");
            continue;
        }
        found = Some(kind);
        rule(&At { value: one.value, path: at.path.child(place) }, out);
        if kind == "iscsi" {
            remote::iscsi_persistent(&one, volume, out);
        }
    }
    if found.is_none() {
        out.required(at, "must specify a volume type");
    }
    found
}
