//! Volumes of a pod, of every type.
//!
//! In: the list of volumes, or one source (of a PersistentVolume). Out: faults; the names of the volumes.

use std::collections::BTreeSet;

use super::super::at::{At, Out};
use super::super::storage;
use super::container::{Volumes, backsteps, descending};
use super::source::{field, resource};
use crate::field::FieldError;
use crate::name;

/// Every type of volume, with the texts that it needs.
const TYPES: [(&str, &[&str]); 31] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &[]),
    ("cinder", &["volumeID"]),
    ("configMap", &["name"]),
    ("csi", &["driver"]),
    ("downwardAPI", &[]),
    ("emptyDir", &[]),
    ("ephemeral", &[]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("flocker", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("image", &["reference"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("local", &["path"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("projected", &[]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("secret", &["secretName"]),
    ("storageos", &[]),
    ("vsphereVolume", &["volumePath"]),
];

/// Fields of the pod that a volume can show.
const FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";

pub(super) fn all<'v>(at: &At<'v, '_>, out: &mut Out) -> Volumes<'v> {
    let mut names = Volumes::new();
    for volume in at.items() {
        let found = source(&volume, "volume type", out);
        let name_at = volume.get("name");
        if name_at.text().is_empty() {
            out.required(&name_at, "");
            continue;
        }
        out.form(&name_at, name::check_label);
        let device = matches!(found, Some("persistentVolumeClaim" | "ephemeral"));
        if names.insert(name_at.text(), device).is_some() {
            out.duplicate(&name_at);
        }
    }
    names
}

/// Exactly one type, and its own rules. `what` names it in messages.
pub(in super::super) fn source(at: &At<'_, '_>, what: &str, out: &mut Out) -> Option<&'static str> {
    let mut found = None;
    for (kind, needs) in TYPES {
        let one = at.get(kind);
        if !one.is_set() {
            continue;
        }
        if found.is_some() {
            out.forbidden(&one, format!("may not specify more than 1 {what}"));
            continue;
        }
        found = Some(kind);
        for need in needs {
            out.filled(&one.get(need));
        }
        rules(kind, &one, out);
    }
    if found.is_none() {
        out.required(at, &format!("must specify a {what}"));
    }
    found
}

fn rules(kind: &str, at: &At<'_, '_>, out: &mut Out) {
    match kind {
        "emptyDir" if at.get("sizeLimit").quantity().is_some_and(|q| q.is_negative()) => {
            out.forbidden(&at.get("sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => {
            backsteps(&at.get("path"), out);
            let allowed =
                ["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
            out.one_of(&at.get("type"), &allowed);
        }
        "nfs" => {
            let path = at.get("path");
            if !path.text().is_empty() && !path.text().starts_with('/') {
                out.invalid(&path, "must be an absolute path");
            }
        }
        "secret" | "configMap" => {
            mode(&at.get("defaultMode"), out);
            items(&at.get("items"), out);
        }
        "downwardAPI" => {
            mode(&at.get("defaultMode"), out);
            downward(&at.get("items"), out);
        }
        "projected" => projected(at, out),
        "csi" => {
            out.optional_form(&at.get("driver"), |text| name::check_subdomain(&text.to_lowercase()));
        }
        "ephemeral" => {
            let template = at.get("volumeClaimTemplate");
            if template.is_set() {
                storage::claim_spec(&template.get("spec"), out);
            } else {
                out.required(&template, "");
            }
        }
        "image" => out.one_of(&at.get("pullPolicy"), &["Always", "IfNotPresent", "Never"]),
        "iscsi" => out.within(&at.get("lun"), 0, 255),
        "awsElasticBlockStore" | "gcePersistentDisk" => out.within(&at.get("partition"), 0, 255),
        "gitRepo" => descending(&at.get("directory"), out),
        "rbd" | "cephfs" if at.get("monitors").len() == 0 => out.required(&at.get("monitors"), ""),
        "local" => backsteps(&at.get("path"), out),
        "flocker" => match (at.text_of("datasetName").is_empty(), at.text_of("datasetUUID").is_empty()) {
            (true, true) => out.required(at, "one of datasetName and datasetUUID is required"),
            (false, false) => out.invalid(at, "resource and datasetUUID can not be specified simultaneously"),
            _ => {}
        },
        _ => {}
    }
}

fn mode(at: &At<'_, '_>, out: &mut Out) {
    if at.int().is_some_and(|n| !(0..=0o777).contains(&n)) {
        out.invalid(at, MODE);
    }
}

fn items(at: &At<'_, '_>, out: &mut Out) {
    for item in at.items() {
        out.filled(&item.get("key"));
        let path = item.get("path");
        if out.filled(&path) {
            unreserved(&path, out);
        }
        mode(&item.get("mode"), out);
    }
}

/// A relative path that stays below, and whose names the volume does not use itself.
fn unreserved(at: &At<'_, '_>, out: &mut Out) {
    descending(at, out);
    if at.text().starts_with("..") && !at.text().starts_with("../") {
        out.invalid(at, "must not start with '..'");
    }
}

fn downward(at: &At<'_, '_>, out: &mut Out) {
    for item in at.items() {
        let path = item.get("path");
        if out.filled(&path) {
            unreserved(&path, out);
        }
        let (field_ref, resource_ref) = (item.get("fieldRef"), item.get("resourceFieldRef"));
        match (field_ref.is_set(), resource_ref.is_set()) {
            (true, true) => {
                out.push(FieldError::invalid(
                    &item.path,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                ));
            }
            (true, false) => field(&field_ref, &FIELDS, out),
            (false, true) => resource(&resource_ref, true, out),
            (false, false) => out.required(&item, "one of fieldRef and resourceFieldRef is required"),
        }
        mode(&item.get("mode"), out);
    }
}

fn projected(at: &At<'_, '_>, out: &mut Out) {
    mode(&at.get("defaultMode"), out);
    let mut paths = BTreeSet::new();
    for source in at.get("sources").items() {
        let mut found = 0;
        for kind in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            let one = source.get(kind);
            if !one.is_set() {
                continue;
            }
            found += 1;
            if found > 1 {
                out.forbidden(&source, "may not specify more than 1 volume type per source");
                continue;
            }
            projection(kind, &one, out);
            let files: Vec<&str> = match kind {
                "serviceAccountToken" | "clusterTrustBundle" => vec![one.text_of("path")],
                "podCertificate" => vec![],
                _ => one.get("items").items().map(|i| i.text_of("path")).collect(),
            };
            for file in files.into_iter().filter(|f| !f.is_empty()) {
                if !paths.insert(file.to_string()) {
                    out.push(FieldError::invalid(&source.path, file, format!("conflicting duplicate paths: {file}")));
                }
            }
        }
        if found == 0 {
            out.required(&source, "must specify a volume type");
        }
    }
}

fn projection(kind: &str, at: &At<'_, '_>, out: &mut Out) {
    match kind {
        "secret" | "configMap" => {
            out.filled(&at.get("name"));
            items(&at.get("items"), out);
        }
        "downwardAPI" => downward(&at.get("items"), out),
        "serviceAccountToken" => {
            let seconds = at.get("expirationSeconds");
            if seconds.int().is_some_and(|n| n < 600) {
                out.invalid(&seconds, "may not specify a duration less than 10 minutes");
            }
            if seconds.int().is_some_and(|n| n > 1 << 32) {
                out.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
            }
            if out.filled(&at.get("path")) {
                unreserved(&at.get("path"), out);
            }
        }
        "clusterTrustBundle" => {
            let (name_at, signer) = (at.get("name"), at.get("signerName"));
            match (name_at.is_set(), signer.is_set()) {
                (true, true) => out.invalid(at, "only one of name and signerName may be used"),
                (false, false) => out.required(at, "either name or signerName must be specified"),
                _ => {}
            }
            if out.filled(&at.get("path")) {
                unreserved(&at.get("path"), out);
            }
        }
        _ => {}
    }
}
