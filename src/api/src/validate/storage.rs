//! PersistentVolumeClaims, storage classes, attachments and drivers.
//!
//! In: an object, on update also the old one. Out: faults. PersistentVolumes are `volume`'s.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use super::pod;
use super::volume;
use super::workload::without;
use crate::field::FieldError;
use crate::meta;
use crate::name;
use crate::quantity::Quantity;

pub(super) const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const PARAMETERS_MOST: usize = 512;
const PARAMETERS_BYTES: usize = 256 * 1024;
/// Longest message of a failed attachment, and what is said of it (Kubernetes names the other limit).
const ERROR_MOST: usize = 1024;
/// Longest name of a node with a driver.
const NODE_ID_MOST: usize = 256;
/// The annotation that was the class once.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What a controller may say of a claim that grows.
const RESIZES: [&str; 5] = [
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

pub(super) fn modes(at: &At<'_, '_>, words: &str, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, words);
    }
    for mode in at.items().filter(|mode| !MODES.contains(&mode.text())) {
        out.push(FieldError::not_supported(&at.path, mode.text(), &MODES));
    }
    let alone = at.items().any(|mode| mode.text() == "ReadWriteOncePod");
    if alone && at.items().any(|mode| mode.text() != "ReadWriteOncePod" && MODES.contains(&mode.text())) {
        out.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

pub(super) fn positive(at: &At<'_, '_>, out: &mut Out) {
    if at.quantity().is_some_and(|q| q.is_negative() || q.is_zero()) {
        out.invalid(at, "must be greater than zero");
    }
}

pub(super) fn claim(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    claim_spec_of(&spec, old.map(|old| &old["spec"]), out);
    if let Some(old) = old {
        claim_update(object, &spec, old, out);
    }
}

fn claim_update(object: &Value, spec: &At<'_, '_>, old: &Value, out: &mut Out) {
    let before = &old["spec"];
    let mut now = spec.value.clone();
    let mut then = before.clone();
    if meta::text(before, "volumeName").is_empty() {
        (now, then) = (without(&now, &["volumeName"]), without(&then, &["volumeName"]));
    }
    class_update(object, old, &mut now, &mut then, out);
    if meta::text_at(object, &["status", "phase"]) == "Bound" {
        let names = ["volumeAttributesClassName"];
        (now, then) = (without(&now, &names), without(&then, &names));
        for spec in [&mut now, &mut then] {
            if let Some(requests) = spec.pointer_mut("/resources/requests").and_then(Value::as_object_mut) {
                requests.remove("storage");
            }
        }
    }
    if now != then {
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                    bound claims";
        out.forbidden(spec, format!("{text}\n{}", super::diff::fields(&then, &now)));
    }
    let resources = spec.get("resources");
    let requests = resources.get("requests");
    let storage = requests.get("storage");
    let read = |value: Option<&Value>| value.and_then(|value| Quantity::from_json(value).ok());
    let size = read(Some(storage.value));
    let was = read(meta::at(before, &["resources", "requests", "storage"]));
    let have = read(meta::at(old, &["status", "capacity", "storage"]));
    if let (Some(size), Some(was)) = (size, was)
        && size < was
        && have.is_none_or(|have| size <= have)
        && (meta::at(old, &["status", "capacity", "storage"]).is_some() || size.is_zero() || size.is_negative())
    {
        out.forbidden(&storage, "field can not be less than status.capacity");
    }
    let mode = At::root(spec.value, "volumeMode");
    out.immutable(&mode, before.get("volumeMode").unwrap_or(&Value::Null));
    let class = spec.get("volumeAttributesClassName");
    let applied = meta::at(old, &["status", "currentVolumeAttributesClassName"]).is_some();
    if applied && Some(class.value) != before.get("volumeAttributesClassName") {
        if !class.is_set() {
            let text = "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil";
            out.forbidden(&class, text);
        } else if class.text().is_empty() {
            let text = "update to empty string is forbidden when status.currentVolumeAttributesClassName is not nil";
            out.forbidden(&class, text);
        }
    }
}

/// A class may be set later on a claim that never said whether it wants one, or that said so in the annotation of old.
fn class_update(object: &Value, old: &Value, now: &mut Value, then: &mut Value, out: &mut Out) {
    let class =
        |object: &Value| meta::at(object, &["spec", "storageClassName"]).and_then(Value::as_str).map(str::to_owned);
    let (sent, kept) = (class(object), class(old));
    let (sent_note, kept_note) = (meta::annotation(object, OLD_CLASS), meta::annotation(old, OLD_CLASS));
    let moved = kept.is_none()
        && kept_note.is_some()
        && sent.as_deref() == kept_note
        && (sent_note.is_none() || sent_note == kept_note);
    if !moved && sent_note.unwrap_or("") != kept_note.unwrap_or("") {
        let metadata = At::root(object, "metadata");
        let annotations = metadata.get("annotations");
        let at = annotations.key(OLD_CLASS);
        out.push(FieldError::invalid(&at.path, sent_note.unwrap_or(""), IMMUTABLE));
    }
    let named = kept.is_none() && sent.is_some() && (kept_note.is_none() || sent.as_deref() == kept_note);
    if moved || named {
        *now = without(now, &["storageClassName"]);
        *then = without(then, &["storageClassName"]);
    }
}

/// A claim's specification, also within templates.
pub(super) fn claim_spec(spec: &At<'_, '_>, out: &mut Out) {
    claim_spec_of(spec, None, out);
}

fn claim_spec_of(spec: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let modes_at = spec.get("accessModes");
    modes(&modes_at, "at least 1 access mode is required", out);
    out.selector(&spec.get("selector"));
    let resources = spec.get("resources");
    let storage = At { value: resources.get("requests").get("storage").value, path: resources.path.key("storage") };
    if storage.is_set() {
        positive(&storage, out);
    } else {
        out.required(&storage, "");
    }
    out.optional_form(&spec.get("storageClassName"), name::check_subdomain);
    let mode = spec.get("volumeMode");
    if mode.is_set() && !matches!(mode.text(), "Block" | "Filesystem") {
        out.push(FieldError::not_supported(&mode.path, mode.text(), &["Block", "Filesystem"]));
    }
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    let had_group =
        |field: &str| old.and_then(|old| meta::at(old, &[field, "apiGroup"])).is_some_and(|group| !group.is_null());
    let allows = had_group("dataSource") || had_group("dataSourceRef");
    for at in [&source, &reference] {
        if at.is_set() {
            data_source(at, allows, out);
        }
    }
    out.optional_form(&reference.get("namespace"), name::check_label);
    if source.is_set() && reference.is_set() {
        let same =
            ["apiGroup", "kind", "name"].iter().all(|field| source.get(field).value == reference.get(field).value);
        let text = match (reference.text_of("namespace").is_empty(), same) {
            (false, _) => Some("may not be specified when dataSourceRef.namespace is specified"),
            (true, false) => Some("must match dataSourceRef"),
            (true, true) => None,
        };
        if let Some(text) = text {
            out.push(FieldError::invalid(&spec.path, source.path.to_string(), text));
        }
    }
    out.optional_form(&spec.get("volumeAttributesClassName"), name::check_subdomain);
}

fn data_source(at: &At<'_, '_>, allows: bool, out: &mut Out) {
    out.filled(&at.get("name"));
    out.filled(&at.get("kind"));
    let group = at.get("apiGroup");
    if group.text().is_empty() && at.text_of("kind") != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        out.push(FieldError::invalid(&at.path, at.text_of("kind"), text));
    }
    if !allows {
        out.optional_form(&group, name::check_subdomain);
    }
}

pub(super) fn claim_status(object: &Value, out: &mut Out) {
    if meta::list_at(object, &["spec", "accessModes"]).is_empty() {
        let spec = At { value: &Value::Null, path: crate::field::Path::root("Spec") };
        out.required(&spec.get("accessModes"), "");
    }
    let status = At::root(object, "status");
    for (_, amount) in status.get("capacity").entries() {
        out.amount(&amount);
    }
    let statuses = status.get("allocatedResourceStatuses");
    for (key, state) in statuses.entries() {
        resource_key(&statuses, key, out);
        if !RESIZES.contains(&state.text()) {
            out.push(FieldError::not_supported(&statuses.path, key, &RESIZES));
        }
    }
    let allocated = status.get("allocatedResources");
    for (key, amount) in allocated.entries() {
        if resource_key(&allocated, key, out) {
            out.amount(&amount);
        }
    }
}

/// Of resources without a domain only `storage` is one of claims.
fn resource_key(at: &At<'_, '_>, key: &str, out: &mut Out) -> bool {
    let faults = out.errors.len();
    out.form_of(at, key, name::check_qualified);
    if out.errors.len() == faults && (!key.contains('/') || key.contains("kubernetes.io/")) && key != "storage" {
        out.push(FieldError::not_supported(&at.path, key, &["storage"]));
    }
    out.errors.len() == faults
}

pub(super) fn class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let mode = At::root(object, "volumeBindingMode");
    provisioner(&At::root(object, "provisioner"), out);
    parameters(&At::root(object, "parameters"), out);
    out.one_of(&At::root(object, "reclaimPolicy"), &["Delete", "Retain"]);
    match mode.is_set() {
        false => out.required(&mode, ""),
        true if !matches!(mode.text(), "Immediate" | "WaitForFirstConsumer") => {
            out.push(FieldError::not_supported(&mode.path, mode.text(), &["Immediate", "WaitForFirstConsumer"]));
        }
        true => {}
    }
    topologies(&At::root(object, "allowedTopologies"), out);
    if let Some(old) = old {
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            out.immutable(&At::root(object, field), old.get(field).unwrap_or(&Value::Null));
        }
    }
}

fn provisioner(at: &At<'_, '_>, out: &mut Out) {
    if out.filled(at) {
        out.form_of(at, &at.text().to_lowercase(), name::check_qualified);
    }
}

fn topologies(at: &At<'_, '_>, out: &mut Out) {
    let mut seen: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for term in at.items() {
        let mut labels = BTreeMap::new();
        let list = term.get("matchLabelExpressions");
        for expression in list.items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            if values.len() == 0 {
                out.required(&values, "");
            }
            let mut set = BTreeSet::new();
            for value in values.items() {
                if !set.insert(value.text()) {
                    out.duplicate(&value);
                }
            }
            out.form_of(&key, key.text(), name::check_qualified);
            if labels.insert(key.text(), set).is_some() {
                out.duplicate(&key);
            }
        }
        if seen.contains(&labels) {
            out.push(FieldError::duplicate(&list.path, ""));
        }
        seen.push(labels);
    }
}

fn parameters(at: &At<'_, '_>, out: &mut Out) {
    if at.len() > PARAMETERS_MOST {
        out.push(FieldError::too_long(&at.path, PARAMETERS_MOST));
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
    if let Some(old) = old {
        for field in ["driverName", "parameters"] {
            let at = At::root(object, field);
            if at.value != old.get(field).unwrap_or(&Value::Null) {
                out.forbidden(&at, format!("updates to {field} are forbidden."));
            }
        }
    }
    provisioner(&At::root(object, "driverName"), out);
    let at = At::root(object, "parameters");
    parameters(&at, out);
    if at.len() == 0 {
        out.required(&at, "must contain at least one key/value pair");
    }
}

pub(super) fn attachment(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    pod::csi_driver(&spec.get("attacher"), out);
    let source = spec.get("source");
    let (named, inline) = (source.get("persistentVolumeName"), source.get("inlineVolumeSpec"));
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (named.is_set(), inline.is_set()) {
        (false, false) => out.required(&source, one),
        (true, true) => out.forbidden(&source, one),
        (true, false) if named.text().is_empty() => {
            out.required(&named, "must specify non empty persistentVolumeName");
        }
        (true, false) => {}
        (false, true) => volume::spec(&inline, "", true, out),
    }
    out.form(&spec.get("nodeName"), name::check_subdomain);
    attachment_status(object, out);
    if named.is_set() {
        out.form(&named, name::check_subdomain);
    }
    if let Some(old) = old {
        out.immutable(&spec, &old["spec"]);
    }
}

pub(super) fn attachment_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let metadata = status.get("attachmentMetadata");
    let size: usize = metadata.entries().map(|(key, value)| key.len() + value.text().len()).sum();
    if size > PARAMETERS_BYTES {
        out.push(FieldError::too_long(&metadata.path, PARAMETERS_BYTES));
    }
    for field in ["attachError", "detachError"] {
        let error = status.get(field);
        if error.text_of("message").len() > ERROR_MOST {
            out.push(FieldError::too_long(&error.get("message").path, PARAMETERS_BYTES));
        }
        let code = error.get("errorCode");
        if code.int().is_some_and(|n| n < 0) {
            out.invalid(&code, name::range(0, i64::from(i32::MAX)));
        }
    }
}

pub(super) fn node(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let drivers = spec.get("drivers");
    let mut seen = BTreeSet::new();
    for driver in drivers.items() {
        let (name_at, id) = (driver.get("name"), driver.get("nodeID"));
        pod::csi_driver(&name_at, out);
        out.filled(&id);
        if id.text().len() > NODE_ID_MOST {
            out.invalid(&id, format!("must be {NODE_ID_MOST} characters or less"));
        }
        out.nonnegative(&driver.get("allocatable").get("count"));
        if !seen.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
        let mut keys = BTreeSet::new();
        for key in driver.get("topologyKeys").items() {
            if key.text().is_empty() {
                out.required(&driver, "");
            }
            if !keys.insert(key.text()) {
                out.push(FieldError::duplicate(&driver.path, key.text()));
            }
            out.form_of(&driver, key.text(), name::check_qualified);
        }
    }
    for kept in old.map_or(&[][..], |old| meta::list_at(old, &["spec", "drivers"])) {
        for driver in drivers.items().filter(|driver| driver.text_of("name") == meta::text(kept, "name")) {
            let free = ["allocatable"];
            if without(driver.value, &free) != without(kept, &free) {
                out.push(FieldError::invalid(&drivers.path, driver.value.clone(), IMMUTABLE));
            }
        }
    }
}

pub(super) fn driver(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    // The first place is Kubernetes' own slip.
    for (field, place) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !spec.get(field).is_set() {
            out.required(&spec.get(place), "");
        }
    }
    let policy = spec.get("fsGroupPolicy");
    let policies = ["File", "None", "ReadWriteOnceWithFSType"];
    if policy.is_set() && !policies.contains(&policy.text()) {
        out.push(FieldError::not_supported(&policy.path, policy.text(), &policies));
    }
    tokens(&spec.get("tokenRequests"), out);
    let modes = spec.get("volumeLifecycleModes");
    for mode in modes.items().filter(|mode| !matches!(mode.text(), "Ephemeral" | "Persistent")) {
        out.push(FieldError::not_supported(&modes.path, mode.text(), &["Persistent", "Ephemeral"]));
    }
    if !spec.get("seLinuxMount").is_set() {
        out.required(&spec.get("seLinuxMount"), "");
    }
    let period = spec.get("nodeAllocatableUpdatePeriodSeconds");
    if period.int().is_some_and(|seconds| seconds < 10) {
        out.invalid(&period, "must be greater than or equal to 10 seconds");
    }
    let in_secrets = spec.get("serviceAccountTokenInSecrets");
    if in_secrets.is_set() && spec.get("tokenRequests").len() == 0 {
        out.invalid(&in_secrets, "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
    }
    let Some(old) = old else { return };
    let before = At::root(old, "spec");
    let attach = spec.get("attachRequired");
    out.immutable(
        &At { value: attach.value, path: spec.path.child("attachedRequired") },
        before.get("attachRequired").value,
    );
    out.immutable(&modes, before.get("volumeLifecycleModes").value);
}

fn tokens(at: &At<'_, '_>, out: &mut Out) {
    let mut audiences = BTreeSet::new();
    for request in at.items() {
        let (audience, seconds) = (request.get("audience"), request.get("expirationSeconds"));
        if !audiences.insert(audience.text()) {
            out.push(FieldError::duplicate(&audience.path, audience.text()));
            continue;
        }
        if seconds.int().is_some_and(|n| n < 600) {
            out.invalid(&seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds.int().is_some_and(|n| n > 1 << 32) {
            out.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
}

pub(super) fn capacity(object: &Value, old: Option<&Value>, out: &mut Out) {
    let class = At::root(object, "storageClassName");
    let topology = At::root(object, "nodeTopology");
    // What was good once stays good.
    if old.is_none_or(|old| old.get("nodeTopology") != object.get("nodeTopology")) {
        out.selector(&topology);
    }
    out.form_of(&class, class.text(), name::check_subdomain);
    out.amount(&At::root(object, "capacity"));
    if let Some(old) = old {
        for (at, field) in [(topology, "nodeTopology"), (class, "storageClassName")] {
            out.immutable(&at, old.get(field).unwrap_or(&Value::Null));
        }
    }
}
