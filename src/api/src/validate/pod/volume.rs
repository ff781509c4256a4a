//! Volumes of a pod: which kinds there are, and the rules of those that live on the node.
//!
//! In: the list of volumes. Out: faults; the names of the volumes. What comes over a network is `remote`'s, what is
//! put together from objects `projected`'s.

use serde_json::Value;

use super::super::at::{At, Out};
use super::super::metadata;
use super::super::storage;
use super::container::{Volumes, backsteps, descending};
use super::source::{field, resource};
use super::{Scope, projected, remote};
use crate::field::FieldError;
use crate::name;

/// Fields of the pod that a volume can show.
const FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// Longest name and portal of an iSCSI volume whose initiator is named.
pub(super) const PORTAL_MOST: usize = 64;

/// Every type of volume, in the order in which the first of several wins. Two places are Kubernetes' own slips.
const TYPES: [(&str, &str, Rule); 30] = [
    ("emptyDir", "emptyDir", empty_dir),
    ("hostPath", "hostPath", host_path),
    ("gitRepo", "gitRepo", git),
    ("gcePersistentDisk", "persistentDisk", remote::gce),
    ("awsElasticBlockStore", "awsElasticBlockStore", remote::aws),
    ("secret", "secret", secret),
    ("nfs", "nfs", remote::nfs),
    ("iscsi", "iscsi", remote::iscsi),
    ("glusterfs", "glusterfs", remote::glusterfs),
    ("flocker", "flocker", remote::flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", |at, out| needs(at, "claimName", out)),
    ("rbd", "rbd", remote::rbd),
    ("cinder", "cinder", remote::cinder),
    ("cephfs", "cephfs", remote::cephfs),
    ("quobyte", "quobyte", remote::quobyte),
    ("downwardAPI", "downwardAPI", downward_api),
    ("fc", "fc", remote::fibre_channel),
    ("flexVolume", "flexVolume", remote::flex),
    ("configMap", "configMap", config_map),
    ("azureFile", "azureFile", remote::azure_file),
    ("vsphereVolume", "vsphereVolume", |at, out| needs(at, "volumePath", out)),
    ("photonPersistentDisk", "photonPersistentDisk", |at, out| needs(at, "pdID", out)),
    ("portworxVolume", "portworxVolume", |at, out| needs(at, "volumeID", out)),
    ("azureDisk", "azureDisk", remote::azure_disk),
    ("storageos", "storageos", remote::storage_os),
    ("projected", "projected", projected::all),
    ("scaleIO", "scaleIO", remote::scale_io),
    ("csi", "csi", remote::csi),
    ("ephemeral", "ephemeral", ephemeral),
    ("image", "image", |at, out| out.one_of(&at.get("pullPolicy"), &["Always", "IfNotPresent", "Never"])),
];

/// The rules of one type.
pub(super) type Rule = fn(&At<'_, '_>, &mut Out);

/// It has this text.
pub(in super::super) fn needs(at: &At<'_, '_>, field: &str, out: &mut Out) {
    out.filled(&at.get(field));
}

/// All volumes. `pod` is the pod's name; empty where it is not known.
pub(super) fn all<'v>(at: &At<'v, '_>, scope: Scope<'_>, pod: &str, out: &mut Out) -> Volumes<'v> {
    let mut names = Volumes::new();
    for volume in at.items() {
        let faults = out.errors.len();
        let found = source(&volume, scope, pod, out);
        let name_at = volume.get("name");
        out.filled_form(&name_at, name::check_label);
        if names.contains_key(name_at.text()) {
            out.duplicate(&name_at);
        }
        // A volume that is wrong itself is not there for containers.
        if out.errors.len() == faults {
            names.insert(name_at.text(), matches!(found, Some("persistentVolumeClaim" | "ephemeral")));
        }
        let claim = volume.get("persistentVolumeClaim");
        let claim = claim.get("claimName");
        let made = |volume: &At<'_, '_>| {
            volume.get("ephemeral").is_set() && format!("{pod}-{}", volume.text_of("name")) == claim.text()
        };
        if !pod.is_empty() && claim.is_set() && at.items().any(|volume| made(&volume)) {
            out.invalid(&claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    names
}

/// Exactly one type, and its own rules.
fn source(at: &At<'_, '_>, scope: Scope<'_>, pod: &str, out: &mut Out) -> Option<&'static str> {
    let mut found = None;
    for (kind, place, rule) in TYPES {
        let one = at.get(kind);
        if !one.is_set() {
            continue;
        }
        if found.is_some() {
            let place = match kind {
                "cephfs" => "cephFS",
                "downwardAPI" => "downwarAPI",
                kind => kind,
            };
            out.forbidden(&at.get(place), "may not specify more than 1 volume type");
            continue;
        }
        found = Some(kind);
        rule(&At { value: one.value, path: at.path.child(place) }, out);
        named(kind, at, &one, scope, pod, out);
    }
    if found.is_none() {
        out.required(at, "must specify a volume type");
    }
    found
}

/// Rules that need the name of the volume or what the pod is.
fn named(kind: &str, at: &At<'_, '_>, one: &At<'_, '_>, scope: Scope<'_>, pod: &str, out: &mut Out) {
    let name_at = at.get("name");
    match kind {
        "iscsi" if one.get("initiatorName").is_set() => {
            let length = name_at.text().len() + 1 + one.text_of("targetPortal").len();
            if length > PORTAL_MOST {
                out.invalid(&name_at, remote::LONG_PORTAL);
            }
        }
        "ephemeral" if !pod.is_empty() && !name_at.text().is_empty() => {
            let claim = format!("{pod}-{}", name_at.text());
            for fault in name::check_subdomain(&claim).err().into_iter().flatten() {
                out.invalid(&name_at, format!("PVC name {claim:?}: {fault}"));
            }
        }
        "image" if !scope.template => needs(one, "reference", out),
        _ => {}
    }
}

fn empty_dir(at: &At<'_, '_>, out: &mut Out) {
    if at.get("sizeLimit").quantity().is_some_and(|q| q.is_negative()) {
        out.forbidden(&at.get("sizeLimit"), "SizeLimit field must be a valid resource quantity");
    }
}

pub(in super::super) fn host_path(at: &At<'_, '_>, out: &mut Out) {
    if !out.filled(&at.get("path")) {
        return;
    }
    backsteps(&at.get("path"), out);
    let kind = at.get("type");
    let allowed = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if kind.is_set() && !allowed.contains(&kind.text()) {
        out.push(FieldError::not_supported(&kind.path, kind.text(), &allowed));
    }
}

fn git(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("repository"));
    descending(&at.get("directory"), out);
}

fn secret(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("secretName"));
    mode(&at.get("defaultMode"), out);
    items(&at.get("items"), out);
}

fn config_map(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("name"));
    mode(&at.get("defaultMode"), out);
    items(&at.get("items"), out);
}

fn downward_api(at: &At<'_, '_>, out: &mut Out) {
    mode(&at.get("defaultMode"), out);
    for item in at.get("items").items() {
        downward_file(&item, out);
    }
}

fn ephemeral(at: &At<'_, '_>, out: &mut Out) {
    let template = at.get("volumeClaimTemplate");
    if !template.is_set() {
        out.required(&template, "");
        return;
    }
    metadata::of_template(&template.get("metadata"), out);
    storage::claim_spec(&template.get("spec"), out);
}

pub(super) fn mode(at: &At<'_, '_>, out: &mut Out) {
    if at.int().is_some_and(|n| !(0..=0o777).contains(&n)) {
        out.invalid(at, MODE);
    }
}

/// Keys and the files they become.
pub(super) fn items(at: &At<'_, '_>, out: &mut Out) {
    for item in at.items() {
        out.filled(&item.get("key"));
        let path = item.get("path");
        out.filled(&path);
        unreserved(&path, out);
        mode(&item.get("mode"), out);
    }
}

/// A relative path that stays below, and whose names the volume does not use itself.
pub(super) fn unreserved(at: &At<'_, '_>, out: &mut Out) {
    descending(at, out);
    if at.text().starts_with("..") && !at.text().starts_with("../") {
        out.invalid(at, "must not start with '..'");
    }
}

/// A field of the pod, or a resource of one of its containers, as a file.
pub(super) fn downward_file(at: &At<'_, '_>, out: &mut Out) {
    let path = at.get("path");
    out.filled(&path);
    unreserved(&path, out);
    let (field_ref, resource_ref) = (at.get("fieldRef"), at.get("resourceFieldRef"));
    if field_ref.is_set() {
        field(&field_ref, &FIELDS, out);
        if resource_ref.is_set() {
            let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
            out.push(FieldError::invalid(&at.path, Value::from("resource"), text));
        }
    } else if resource_ref.is_set() {
        resource(&resource_ref, true, out);
    } else {
        out.required(at, "one of fieldRef and resourceFieldRef is required");
    }
    mode(&at.get("mode"), out);
}
