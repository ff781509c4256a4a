//! Metadata: the name that each kind takes, labels, annotations, owners, finalizers, and what never changes.
//!
//! In: a kind and its object, on update also the old one. Out: faults below `metadata`.

use serde_json::Value;

use super::at::{At, IMMUTABLE, NEGATIVE, Out};
use crate::field::{FieldError, quote};
use crate::kinds::Kind;
use crate::meta;
use crate::name::{self, Faults};

/// All keys and values of annotations together, in bytes.
const ANNOTATIONS_MOST: usize = 256 * 1024;
/// Longest field manager's name, in bytes.
const MANAGER_MOST: usize = 128;
/// Longest subresource's name in managed fields, in bytes.
const SUBRESOURCE_MOST: usize = 256;

/// The rule for names of this kind.
pub(super) fn name_rule(kind: &Kind) -> fn(&str) -> Result<(), Faults> {
    match (&*kind.group, &*kind.kind) {
        ("", "Namespace" | "Service") | ("apps", "StatefulSet") => name::check_label,
        ("coordination.k8s.io", "LeaseCandidate") => name::check_config_key,
        ("certificates.k8s.io", "CertificateSigningRequest") => |_| Ok(()),
        ("rbac.authorization.k8s.io", _) => name::check_path_segment,
        ("networking.k8s.io", "IPAddress") => name::check_ip,
        // It depends on the signer: `early/trust.rs`.
        ("certificates.k8s.io", "ClusterTrustBundle") => |_| Ok(()),
        ("internal.apiserver.k8s.io", "StorageVersion") => super::early::check_group_and_resource,
        ("apiregistration.k8s.io", "APIService") => name::check_path_segment,
        _ => name::check_subdomain,
    }
}

/// What a new object says about itself.
pub(super) fn create(kind: &Kind, object: &Value, out: &mut Out) {
    let metadata = At::root(object, "metadata");
    let rule = name_rule(kind);
    let generate = metadata.get("generateName");
    if !generate.text().is_empty()
        && let Err(faults) = name::prefix(rule, generate.text())
    {
        faults.into_iter().for_each(|fault| out.invalid(&generate, fault));
    }
    let name = metadata.get("name");
    if name.text().is_empty() {
        out.required(&name, "name or generateName is required");
    } else {
        out.form(&name, rule);
    }
    let namespace = metadata.get("namespace");
    if kind.namespaced {
        out.filled_form(&namespace, name::check_label);
    } else if !namespace.text().is_empty() {
        out.forbidden(&namespace, "not allowed on this type");
    }
    common(&metadata, out);
}

/// What an object within a custom object says about itself.
pub(super) fn embedded(object: &Value, out: &mut Out) {
    let metadata = At::root(object, "metadata");
    let generate = metadata.get("generateName");
    if !generate.text().is_empty()
        && let Err(faults) = name::prefix(name::check_path_segment, generate.text())
    {
        faults.into_iter().for_each(|fault| out.invalid(&generate, fault));
    }
    out.optional_form(&metadata.get("name"), name::check_path_segment);
    out.optional_form(&metadata.get("namespace"), name::check_label);
    common(&metadata, out);
}

/// What an update says about itself, and what it may not change.
pub(super) fn update(new: &Value, old: &Value, out: &mut Out) {
    let metadata = At::root(new, "metadata");
    let before = At::root(old, "metadata");
    if meta::deletion_timestamp(old).is_some() {
        let added: Vec<String> = {
            let mut list: Vec<&str> = meta::finalizers(new).collect();
            list.retain(|f| !meta::finalizers(old).any(|known| known == *f));
            list.sort_unstable();
            list.dedup();
            list.into_iter().map(quote).collect()
        };
        if !added.is_empty() {
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            out.forbidden(&metadata.get("finalizers"), text);
        }
    }
    if meta::generation(new) < meta::generation(old) {
        out.invalid(&metadata.get("generation"), "must not be decremented");
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (metadata.get(field), before.get(field));
        let empty = |at: &At<'_, '_>| !at.is_set() || at.value.as_str() == Some("");
        if new.value != old.value && !(empty(&new) && empty(&old)) {
            out.push(FieldError::invalid(&new.path, new.value.clone(), IMMUTABLE));
        }
    }
    common(&metadata, out);
}

fn common(metadata: &At<'_, '_>, out: &mut Out) {
    if metadata.get("generation").int().is_some_and(|n| n < 0) {
        out.invalid(&metadata.get("generation"), NEGATIVE);
    }
    out.labels(&metadata.get("labels"));
    annotations(&metadata.get("annotations"), out);
    owners(&metadata.get("ownerReferences"), out);
    finalizers(&metadata.get("finalizers"), out);
    managed_fields(&metadata.get("managedFields"), out);
}

/// Keys are qualified names in any case; all together stay below a size.
pub(super) fn annotations(at: &At<'_, '_>, out: &mut Out) {
    let mut size = 0;
    for (key, value) in at.entries() {
        size += key.len() + value.text().len();
        if let Err(faults) = name::check_qualified(&key.to_lowercase()) {
            faults.into_iter().for_each(|fault| out.push(FieldError::invalid(&at.path, key, fault)));
        }
    }
    if size > ANNOTATIONS_MOST {
        out.push(FieldError::too_long(&at.path, ANNOTATIONS_MOST));
    }
}

/// Metadata within a template: labels and annotations, and nothing else.
pub(super) fn of_template(at: &At<'_, '_>, out: &mut Out) {
    annotations(&at.get("annotations"), out);
    out.labels(&at.get("labels"));
    for (field, value) in at.entries() {
        let empty = match value.value {
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_i64() == Some(0),
            _ => value.len() == 0,
        };
        if !empty && !matches!(field, "annotations" | "labels") {
            out.push(FieldError::forbidden(&at.path.child(field), "cannot be set"));
        }
    }
}

fn owners(at: &At<'_, '_>, out: &mut Out) {
    let mut controller: Option<String> = None;
    for owner in at.items() {
        let version = owner.get("apiVersion");
        match version.text() {
            "" => out.required(&version, "must not be empty"),
            text if text.matches('/').count() > 1 || text.ends_with('/') => {
                out.invalid(&version, "must be <group>/<version> or <version>");
            }
            _ => {}
        }
        for field in ["kind", "name", "uid"] {
            if owner.text_of(field).is_empty() {
                out.required(&owner.get(field), "must not be empty");
            }
        }
        if version.text() == "v1" && owner.text_of("kind") == "Event" {
            out.invalid(&owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.get("controller").yes() {
            let this = format!("{}/{}", owner.text_of("kind"), owner.text_of("name"));
            match &controller {
                Some(first) => out.invalid(
                    at,
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                ),
                None => controller = Some(this),
            }
        }
    }
}

fn finalizers(at: &At<'_, '_>, out: &mut Out) {
    let has = |wanted: &str| at.items().any(|f| f.text() == wanted);
    for finalizer in at.items() {
        out.form_of(at, finalizer.text(), name::check_qualified);
    }
    if has("orphan") && has("foregroundDeletion") {
        out.invalid(at, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

fn managed_fields(at: &At<'_, '_>, out: &mut Out) {
    for entry in at.items() {
        let operation = entry.get("operation");
        match operation.text() {
            "" => out.required(&operation, "must not be empty"),
            _ => out.one_of(&operation, &["Apply", "Update"]),
        }
        let kind = entry.get("fieldsType");
        if !matches!(kind.text(), "" | "FieldsV1") {
            out.invalid(&kind, "must be `FieldsV1`");
        }
        field_manager(&entry.get("manager"), out);
        if entry.text_of("subresource").len() > SUBRESOURCE_MOST {
            out.push(FieldError::too_long(&entry.get("subresource").path, SUBRESOURCE_MOST));
        }
    }
}

/// Short and printable.
pub(super) fn field_manager(at: &At<'_, '_>, out: &mut Out) {
    if at.text().len() > MANAGER_MOST {
        out.push(FieldError::too_long(&at.path, MANAGER_MOST));
    }
    for (i, c) in at.text().char_indices().filter(|(_, c)| c.is_control()) {
        out.invalid(at, format!("invalid character U+{:04X} (at position {i})", c as u32));
    }
}
