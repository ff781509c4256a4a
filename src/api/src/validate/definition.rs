//! CustomResourceDefinitions: names, versions, subresources, columns, selectable fields, conversion, stored versions.
//!
//! In: a definition, on update also the old one. Out: faults. What all versions say alike is told as Kubernetes does,
//! at `spec.validation`, `spec.subresources` and so on. Schemas are judged by `definition/schema.rs`.

mod defaults;
mod paths;
mod schema;
mod structural;

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::extension::client_config;
use crate::custom::approval::{self, Approval};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;

/// Fields that selectors may name, at most.
const MOST_SELECTABLE: usize = 8;
/// The longest deprecation warning, in bytes.
const LONGEST_WARNING: usize = 256;
const COLUMN_TYPES: &str = "boolean,date,integer,number,string";
const COLUMN_FORMATS: &str = "byte,date,date-time,double,float,int32,int64,password";

pub(super) fn create(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let metadata = At::root(object, "metadata");
    let wanted = format!("{}.{}", spec.get("names").text_of("plural"), spec.text_of("group"));
    if metadata.text_of("name") != wanted {
        out.invalid(&metadata.get("name"), "must be spec.names.plural+\".\"+spec.group");
    }
    judge(object, None, out);
}

pub(super) fn update(object: &Value, old: &Value, out: &mut Out) {
    judge(object, Some(old), out);
    let (spec, before) = (At::root(object, "spec"), At::root(old, "spec"));
    let (names, names_before) = (spec.get("names"), before.get("names"));
    if is_established(old) {
        out.immutable(&spec.get("scope"), before.get("scope").value);
        out.immutable(&names.get("kind"), names_before.get("kind").value);
    }
    out.immutable(&spec.get("group"), before.get("group").value);
    out.immutable(&names.get("plural"), names_before.get("plural").value);
}

/// What an update of the status may say.
pub(super) fn status(object: &Value, out: &mut Out) {
    names(&At::root(object, "status").get("acceptedNames"), out);
}

/// What of the schema of a version is not structural.
pub(super) fn structural_faults(schema: &Value, index: usize) -> Vec<FieldError> {
    let root = Path::root("spec");
    let versions = root.child("versions");
    let version = versions.index(index);
    let at = version.child("schema");
    structural::judge(schema, &at.child("openAPIV3Schema"))
}

fn is_established(definition: &Value) -> bool {
    meta::list_at(definition, &["status", "conditions"])
        .iter()
        .any(|c| meta::text(c, "type") == "Established" && meta::text(c, "status") == "True")
}

fn judge(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    self::spec(&spec, old.and_then(|old| old.get("spec")), out);
    status(object, out);
    stored_versions(object, out);
    approval(object, old, out);
    let preserves = spec.get("preserveUnknownFields");
    let preserved = old.is_some_and(|old| meta::bool_at(old, &["spec", "preserveUnknownFields"]));
    if preserves.yes() && !preserved {
        out.invalid(
            &preserves,
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        );
    }
}

fn spec(spec: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let group = spec.get("group");
    if group.text().is_empty() {
        out.required(&group, "");
    } else if let Err(faults) = name::check_subdomain(group.text()) {
        out.invalid(&group, faults.join(","));
    } else if group.text().split('.').count() < 2 {
        out.invalid(&group, "should be a domain with at least one dot");
    }
    out.one_of_required(&spec.get("scope"), &["Cluster", "Namespaced"]);
    versions(spec, old, out);
    let names_at = spec.get("names");
    for field in ["plural", "singular", "kind", "listKind"] {
        if names_at.text_of(field).is_empty() {
            out.required(&names_at.get(field), "");
        }
    }
    names(&names_at, out);
    conversion(spec, out);
}

/// What stands at a field of all versions, where all say the same.
fn alike<'v>(versions: &'v [Value], field: &str) -> Option<&'v Value> {
    let (first, rest) = versions.split_first()?;
    let first = first.get(field).unwrap_or(&Value::Null);
    rest.iter().all(|version| version.get(field).unwrap_or(&Value::Null) == first).then_some(first)
}

fn versions(spec: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let listed = spec.get("versions");
    let all: &[Value] = listed.value.as_array().map_or(&[], Vec::as_slice);
    let before: &[Value] = old.map_or(&[], |old| meta::list_at(old, &["versions"]));
    // What was accepted without a schema may stay so.
    let had_schemas = before.iter().all(has_schema);
    for version in listed.items().filter(|version| !has_schema(version.value)) {
        let at = version.get("schema");
        if had_schemas {
            out.required(&at.get("openAPIV3Schema"), "");
        } else if !spec.get("preserveUnknownFields").yes() && version.get("served").yes() {
            out.required(&at.get("openAPIV3Schema"), "because otherwise all fields are pruned");
        }
    }
    let (mut seen, mut storage, mut unique) = (BTreeSet::new(), 0, true);
    let same_schema = alike(all, "schema");
    let same_subresources = alike(all, "subresources");
    let same_columns = alike(all, "additionalPrinterColumns");
    let same_fields = alike(all, "selectableFields");
    for version in listed.items() {
        let name_at = version.get("name");
        storage += usize::from(version.get("storage").yes());
        unique &= seen.insert(name_at.text());
        if let Err(faults) = name::check_label_1035(name_at.text()) {
            out.push(FieldError::invalid(&name_at.path, name_at.text(), faults.join(",")));
        }
        warning(&version, out);
        let schema_at = version.get("schema");
        if same_schema.is_none() {
            let is_known = before.iter().any(|old| old.get("name") == Some(name_at.value) && same_shape(old, &version));
            self::schema::judge(&schema_at, has_status(version.value), spec.value, is_known, out);
        }
        if same_subresources.is_none() {
            subresources(&version.get("subresources"), out);
        }
        if same_columns.is_none() {
            columns(&version.get("additionalPrinterColumns"), out);
        }
        if same_fields.is_none() {
            selectable(&version.get("selectableFields"), schema_at.get("openAPIV3Schema").value, out);
        }
    }
    if !unique {
        out.invalid(&listed, "must contain unique version names");
    }
    if storage != 1 {
        out.invalid(&listed, "must have exactly one version marked as storage version");
    }
    if let Some(value) = same_schema {
        let is_known = !before.is_empty()
            && alike(before, "schema") == Some(value)
            && before.iter().any(has_status) == all.iter().any(has_status);
        let at = At { value, path: spec.path.child("validation") };
        self::schema::judge(&at, all.iter().any(has_status), spec.value, is_known, out);
    }
    if let Some(value) = same_subresources {
        subresources(&At { value, path: spec.path.child("subresources") }, out);
    }
    if let Some(value) = same_columns {
        columns(&At { value, path: spec.path.child("additionalPrinterColumns") }, out);
    }
    if let Some(value) = same_fields {
        let schema = all.first().and_then(|version| meta::at(version, &["schema", "openAPIV3Schema"]));
        let at = At { value, path: spec.path.child("selectableFields") };
        selectable(&at, schema.unwrap_or(&Value::Null), out);
    }
}

fn has_schema(version: &Value) -> bool {
    meta::at(version, &["schema", "openAPIV3Schema"]).is_some()
}

fn has_status(version: &Value) -> bool {
    meta::at(version, &["subresources", "status"]).is_some()
}

/// Whether a version was accepted with this schema already.
fn same_shape(old: &Value, version: &At<'_, '_>) -> bool {
    old.get("schema") == version.value.get("schema") && has_status(old) == has_status(version.value)
}

fn warning(version: &At<'_, '_>, out: &mut Out) {
    let at = version.get("deprecationWarning");
    if !at.is_set() {
        return;
    }
    if !version.get("deprecated").yes() {
        return out.invalid(&at, "can only be set for deprecated versions");
    }
    if at.text().len() > LONGEST_WARNING {
        out.invalid(&at, format!("must be <= {LONGEST_WARNING} characters long"));
    }
    if at.text().is_empty() {
        out.invalid(&at, "must not be an empty string");
    }
    if let Some((index, _)) = at.text().char_indices().find(|(_, c)| c.is_control()) {
        let why = "must only contain printable UTF-8 characters; non-printable character found at index";
        out.invalid(&at, format!("{why} {index}"));
    }
}

fn subresources(at: &At<'_, '_>, out: &mut Out) {
    if !at.get("scale").is_set() {
        return;
    }
    let scale = at.value.get("scale").unwrap_or(&Value::Null);
    for (field, place, prefixes, words) in [
        ("specReplicasPath", "scale.specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        ("statusReplicasPath", "scale.statusReplicasPath", &[".status."][..], "should be a json path under .status"),
        (
            "labelSelectorPath",
            "scale.labelSelectorPath",
            &[".spec.", ".status."][..],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let here = At { value: scale.get(field).unwrap_or(&Value::Null), path: at.path.child(place) };
        if here.text().is_empty() {
            if field != "labelSelectorPath" {
                out.required(&here, "");
            }
        } else if !here.text().starts_with('.') {
            out.invalid(&here, "must be a simple json path starting with .");
        } else if !prefixes.iter().any(|prefix| here.text().starts_with(prefix)) {
            out.invalid(&here, words);
        }
    }
}

fn columns(at: &At<'_, '_>, out: &mut Out) {
    for column in at.items() {
        out.filled(&column.get("name"));
        let kind = column.get("type");
        if kind.text().is_empty() {
            out.required(&kind, &format!("must be one of {COLUMN_TYPES}"));
        } else if !COLUMN_TYPES.split(',').any(|one| one == kind.text()) {
            out.invalid(&kind, format!("must be one of {COLUMN_TYPES}"));
        }
        let format = column.get("format");
        if !format.text().is_empty() && !COLUMN_FORMATS.split(',').any(|one| one == format.text()) {
            out.invalid(&format, format!("must be one of {COLUMN_FORMATS}"));
        }
        let path = At { value: column.get("jsonPath").value, path: column.path.child("JSONPath") };
        if path.text().is_empty() {
            out.required(&path, "");
        } else if !path.text().starts_with('.') {
            out.invalid(&path, "must be a simple json path starting with .");
        }
    }
}

fn selectable(at: &At<'_, '_>, schema: &Value, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for field in at.items() {
        let path = field.get("jsonPath");
        if path.text().is_empty() {
            out.required(&path, "");
            continue;
        }
        let (steps, found) = match paths::resolve(schema, path.text()) {
            Ok(found) => found,
            Err(why) => {
                out.invalid(&path, format!("is an invalid path: {why}"));
                continue;
            }
        };
        if steps.first().is_some_and(|first| first == "metadata") {
            out.invalid(&path, "must not point to fields in metadata");
        }
        if !matches!(meta::text(found, "type"), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            out.invalid(&path, why);
        }
        if !seen.insert(steps) {
            out.duplicate(&path);
        }
    }
    if seen.len() > MOST_SELECTABLE {
        out.push(FieldError::too_many(&at.path, seen.len(), MOST_SELECTABLE));
    }
}

fn names(names: &At<'_, '_>, out: &mut Out) {
    for field in ["plural", "singular", "kind", "listKind"] {
        let at = names.get(field);
        if at.text().is_empty() {
            continue;
        }
        let is_kind = field.ends_with("ind");
        let lower = at.text().to_lowercase();
        if let Err(faults) = name::check_label_1035(if is_kind { &lower } else { at.text() }) {
            let words = if is_kind { "may have mixed case, but should otherwise match: " } else { "" };
            out.invalid(&at, format!("{words}{}", faults.join(",")));
        }
    }
    let words = |list: &str, out: &mut Out| {
        for one in names.get(list).items() {
            if let Err(faults) = name::check_label_1035(one.text()) {
                out.invalid(&one, faults.join(","));
            }
        }
    };
    words("shortNames", out);
    if !names.text_of("kind").is_empty() && names.text_of("kind") == names.text_of("listKind") {
        out.invalid(&names.get("listKind"), "kind and listKind may not be the same");
    }
    words("categories", out);
}

fn conversion(spec: &At<'_, '_>, out: &mut Out) {
    let conversion = spec.get("conversion");
    if !conversion.is_set() {
        return;
    }
    let strategy = conversion.get("strategy");
    if strategy.text() == "Webhook" && spec.get("preserveUnknownFields").yes() {
        out.invalid(&strategy, "must be None if spec.preserveUnknownFields is true");
    }
    out.one_of_required(&strategy, &["None", "Webhook"]);
    let hook = conversion.value.get("webhook").unwrap_or(&Value::Null);
    let part = |name: &str| hook.get(name).unwrap_or(&Value::Null);
    let client = At { value: part("clientConfig"), path: conversion.path.child("webhookClientConfig") };
    let reviews =
        At { value: part("conversionReviewVersions"), path: conversion.path.child("conversionReviewVersions") };
    if strategy.text() != "Webhook" {
        for at in [&client, &reviews] {
            if at.is_set() && (at.len() > 0 || at.value.is_object()) {
                out.forbidden(at, "should not be set when strategy is not set to Webhook");
            }
        }
        return;
    }
    if client.is_set() {
        client_config(&client, out);
    } else {
        out.required(&client, "required when strategy is set to Webhook");
    }
    if reviews.len() == 0 {
        return out.required(&reviews, "");
    }
    let mut seen = BTreeSet::new();
    for version in reviews.items() {
        if !seen.insert(version.text()) {
            out.invalid(&version, "duplicate version");
        } else {
            out.form(&version, name::check_label_1035);
        }
    }
    if !seen.contains("v1") && !seen.contains("v1beta1") {
        out.invalid(&reviews, "must include at least one of v1, v1beta1");
    }
}

fn stored_versions(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let stored = status.get("storedVersions");
    if stored.len() == 0 {
        return out.push(FieldError::invalid(
            &stored.path,
            Value::Array(Vec::new()),
            "must have at least one stored version",
        ));
    }
    let versions = meta::list_at(object, &["spec", "versions"]);
    let is_stored = |name: &str| stored.items().any(|one| one.text() == name);
    for name in versions.iter().filter(|v| meta::bool_at(v, &["storage"])).map(|v| meta::text(v, "name")) {
        if !is_stored(name) {
            out.invalid(&stored, format!("must have the storage version {name}"));
        }
    }
    for one in stored.items() {
        let name = one.text();
        if !versions.iter().any(|version| meta::text(version, "name") == name) {
            out.invalid(&one, format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            ));
        }
    }
}

fn approval(object: &Value, old: Option<&Value>, out: &mut Out) {
    if !approval::is_protected(meta::text_at(object, &["spec", "group"])) {
        return;
    }
    let (state, why) = approval::state(object);
    if old.is_some_and(|old| approval::state(old).0 == state) {
        return;
    }
    let root = Path::root("metadata");
    let annotations = root.child("annotations");
    let path = annotations.key(approval::ANNOTATION);
    let said = meta::annotation(object, approval::ANNOTATION).unwrap_or_default();
    match state {
        Approval::Missing => out.push(FieldError::required(&path, why)),
        Approval::Invalid => out.push(FieldError::invalid(&path, said, why)),
        Approval::Approved | Approval::Bypassed => {}
    }
}

#[cfg(test)]
mod tests;
