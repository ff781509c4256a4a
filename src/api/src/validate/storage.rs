//! PersistentVolumes, their claims, storage classes, attachments and drivers.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::pod;
use super::workload::without;
use crate::field::FieldError;
use crate::meta;
use crate::name;

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const PARAMETERS_MOST: usize = 512;
const PARAMETERS_BYTES: usize = 256 * 1024;

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

fn modes(at: &At<'_, '_>, words: &str, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, words);
    }
    for mode in at.items() {
        if !MODES.contains(&mode.text()) {
            out.push(FieldError::not_supported(&at.path, mode.text(), &MODES));
        }
    }
    if at.len() > 1 && at.items().any(|m| m.text() == "ReadWriteOncePod") {
        out.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn positive(at: &At<'_, '_>, out: &mut Out) {
    if at.quantity().is_some_and(|q| q.is_negative() || q.is_zero()) {
        out.invalid(at, "must be greater than zero");
    }
}

pub(super) fn volume(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    modes(&spec.get("accessModes"), "", out);
    let capacity = spec.get("capacity");
    if capacity.len() == 0 {
        out.required(&capacity, "");
    } else if capacity.len() > 1 || capacity.value.get("storage").is_none() {
        out.push(FieldError::not_supported(&capacity.path, capacity.value.clone(), &["storage"]));
    }
    positive(&capacity.key("storage"), out);
    out.one_of(&spec.get("persistentVolumeReclaimPolicy"), &["Delete", "Recycle", "Retain"]);
    out.one_of(&spec.get("volumeMode"), &["Block", "Filesystem"]);
    out.optional_form(&spec.get("storageClassName"), name::check_subdomain);
    let found = pod::volume_source(&spec, "volume type", out);
    if found == Some("hostPath") {
        let path = spec.get("hostPath");
        let path = path.get("path");
        if path.text().trim_end_matches('/').is_empty() && spec.text_of("persistentVolumeReclaimPolicy") == "Recycle" {
            out.forbidden(
                &spec.get("persistentVolumeReclaimPolicy"),
                "may not be 'recycle' for a hostPath mount of '/'",
            );
        }
    }
    let affinity = spec.get("nodeAffinity");
    let required = affinity.get("required");
    if affinity.is_set() && !required.is_set() {
        out.required(&required, "must specify required node constraints");
    }
    if found == Some("local") && !required.is_set() {
        out.required(&affinity, "Local volume requires node affinity");
    }
    let Some(old) = old else { return };
    let before = &old["spec"];
    if without(spec.value, &NOT_SOURCE) != without(before, &NOT_SOURCE) {
        out.forbidden(&spec.get("persistentvolumesource"), "spec.persistentvolumesource is immutable after creation");
    }
    out.immutable(&spec.get("volumeMode"), before.get("volumeMode").unwrap_or(&Value::Null));
    let kept = before.get("nodeAffinity").filter(|a| !a.is_null());
    if kept.is_some() && kept != Some(affinity.value) {
        out.invalid(&affinity, super::at::IMMUTABLE);
    }
}

pub(super) fn claim(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    claim_spec(&spec, out);
    let Some(old) = old else { return };
    let before = &old["spec"];
    let strip = |spec: &Value| {
        let mut copy = without(spec, &["volumeAttributesClassName"]);
        if let Some(requests) = copy.pointer_mut("/resources/requests").and_then(Value::as_object_mut) {
            requests.remove("storage");
        }
        copy
    };
    let unbound = meta::text(before, "volumeName").is_empty();
    let (mut new_spec, mut old_spec) = (strip(spec.value), strip(before));
    if unbound {
        new_spec = without(&new_spec, &["volumeName"]);
        old_spec = without(&old_spec, &["volumeName"]);
    }
    // A class may be set later on a claim that never said whether it wants one.
    if before.get("storageClassName").is_none_or(Value::is_null) {
        new_spec = without(&new_spec, &["storageClassName"]);
    }
    if new_spec != old_spec {
        out.forbidden(
            &spec,
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    let resources = spec.get("resources");
    let requests = resources.get("requests");
    let storage = requests.get("storage");
    let kept = meta::at(before, &["resources", "requests", "storage"]);
    let less = storage.quantity().zip(kept.and_then(|v| crate::quantity::Quantity::from_json(v).ok()));
    let capacity = meta::at(object, &["status", "capacity", "storage"]);
    let have = capacity.and_then(|v| crate::quantity::Quantity::from_json(v).ok());
    if less.is_some_and(|(now, then)| now < then && have.is_none_or(|have| now <= have)) {
        out.forbidden(&storage, "field can not be less than status.capacity");
    }
}

/// A claim's specification, also within templates.
pub(super) fn claim_spec(spec: &At<'_, '_>, out: &mut Out) {
    modes(&spec.get("accessModes"), "at least 1 access mode is required", out);
    out.selector(&spec.get("selector"));
    let resources = spec.get("resources");
    let requests = resources.get("requests");
    let storage = requests.key("storage");
    if storage.is_set() {
        positive(&storage, out);
    } else {
        out.required(&storage, "");
    }
    out.optional_form(&spec.get("storageClassName"), name::check_subdomain);
    out.optional_form(&spec.get("volumeAttributesClassName"), name::check_subdomain);
    out.one_of(&spec.get("volumeMode"), &["Block", "Filesystem"]);
    for field in ["dataSource", "dataSourceRef"] {
        let source = spec.get(field);
        if source.is_set() {
            out.filled(&source.get("name"));
            out.filled(&source.get("kind"));
        }
    }
}

pub(super) fn class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let provisioner = At::root(object, "provisioner");
    if provisioner.text().is_empty() {
        out.required(&provisioner, "");
    } else {
        out.form_of(&provisioner, &provisioner.text().to_lowercase(), name::check_qualified);
    }
    parameters(&At::root(object, "parameters"), out);
    out.one_of(&At::root(object, "reclaimPolicy"), &["Delete", "Retain"]);
    out.one_of(&At::root(object, "volumeBindingMode"), &["Immediate", "WaitForFirstConsumer"]);
    let Some(old) = old else { return };
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        let at = At::root(object, field);
        if at.value != old.get(field).unwrap_or(&Value::Null) {
            out.forbidden(&at, format!("updates to {field} are forbidden."));
        }
    }
    out.immutable(&At::root(object, "volumeBindingMode"), old.get("volumeBindingMode").unwrap_or(&Value::Null));
}

fn parameters(at: &At<'_, '_>, out: &mut Out) {
    if at.len() > PARAMETERS_MOST {
        out.push(FieldError::too_many(&at.path, at.len(), PARAMETERS_MOST));
        return;
    }
    let mut size = 0;
    for (key, value) in at.entries() {
        if key.is_empty() {
            out.push(FieldError::invalid(&at.path, key, "field can not be empty."));
        }
        size += key.len() + value.text().len();
    }
    if size > PARAMETERS_BYTES {
        out.push(FieldError::too_long(&at.path, PARAMETERS_BYTES));
    }
}

pub(super) fn attributes_class(object: &Value, old: Option<&Value>, out: &mut Out) {
    out.filled(&At::root(object, "driverName"));
    parameters(&At::root(object, "parameters"), out);
    if let Some(old) = old {
        for field in ["driverName", "parameters"] {
            let at = At::root(object, field);
            if at.value != old.get(field).unwrap_or(&Value::Null) {
                out.forbidden(&at, format!("updates to {field} are forbidden."));
            }
        }
    }
}

pub(super) fn attachment(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.filled(&spec.get("attacher"));
    out.filled(&spec.get("nodeName"));
    let source = spec.get("source");
    let (named, inline) = (source.get("persistentVolumeName"), source.get("inlineVolumeSpec"));
    match (named.is_set(), inline.is_set()) {
        (false, false) => {
            out.required(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        }
        (true, true) => {
            out.invalid(&source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
        }
        _ => {}
    }
    if let Some(old) = old {
        out.immutable(&spec, &old["spec"]);
    }
}

pub(super) fn node(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let mut seen = BTreeSet::new();
    for driver in spec.get("drivers").items() {
        let name_at = driver.get("name");
        out.filled(&name_at);
        if !seen.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
        out.filled(&driver.get("nodeID"));
    }
}

pub(super) fn driver(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    for mode in spec.get("volumeLifecycleModes").items() {
        out.one_of(&mode, &["Ephemeral", "Persistent"]);
    }
    out.one_of(&spec.get("fsGroupPolicy"), &["File", "None", "ReadWriteOnceWithFSType"]);
    let mut audiences = BTreeSet::new();
    for request in spec.get("tokenRequests").items() {
        let audience = request.get("audience");
        if !audiences.insert(audience.text()) {
            out.duplicate(&audience);
        }
        let seconds = request.get("expirationSeconds");
        if seconds.int().is_some_and(|n| n < 600) {
            out.invalid(&seconds, "may not specify a duration less than 10 minutes");
        }
    }
}

pub(super) fn capacity(object: &Value, old: Option<&Value>, out: &mut Out) {
    let class = At::root(object, "storageClassName");
    if out.filled(&class) {
        out.form(&class, name::check_subdomain);
    }
    for field in ["capacity", "maximumVolumeSize"] {
        out.amount(&At::root(object, field));
    }
    out.selector(&At::root(object, "nodeTopology"));
    if let Some(old) = old {
        for field in ["nodeTopology", "storageClassName"] {
            out.immutable(&At::root(object, field), old.get(field).unwrap_or(&Value::Null));
        }
    }
}
