//! OpenAPI schemas of a definition: keywords that Kubernetes takes, and how they go together.
//!
//! In: a schema and its place. Out: faults. Whether it is structural is judged by `structural.rs`, its defaults by
//! `defaults.rs`, rules in CEL by `custom::expressions`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::at::{At, Out};
use super::{defaults, structural};
use crate::custom::expressions;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::schema::Custom;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
/// What may stand at the root beside a status of its own, whose schema is then taken out and used alone.
const AT_ROOT: [&str; 22] = [
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];
/// The same in Go's words.
const AT_ROOT_WORDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
    MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations]";

/// Judges `schema` of a version; `is_known` if this very schema was accepted before.
pub(super) fn judge(at: &At<'_, '_>, has_status: bool, spec: &Value, is_known: bool, out: &mut Out) {
    let schema = at.get("openAPIV3Schema");
    if !schema.is_set() || is_known {
        return;
    }
    let before = out.errors.len();
    if has_status {
        root(at, &schema, out);
    }
    if schema.get("nullable").yes() {
        out.push(FieldError::forbidden(
            &at.path.child("openAPIV3Schema.nullable"),
            "nullable cannot be true at the root",
        ));
    }
    let must_be_structural = !meta::bool_at(spec, &["preserveUnknownFields"]) || says_more(schema.value);
    if must_be_structural {
        let faults = structural::judge(schema.value, &schema.path);
        let is_structural = faults.is_empty();
        out.errors.extend(faults);
        if is_structural && let Ok((custom, roots)) = Custom::build(std::iter::once((schema.value, false))) {
            let place = custom.place(roots[0]);
            defaults::judge(place, &schema.path.to_string(), &mut out.errors);
            if out.errors.len() == before {
                expressions::check(place, &schema.path.to_string(), &mut out.errors);
            }
        }
    }
    Keywords { forbids_defaults: None, in_metadata: false }.schema(schema.value, &schema.path, true, out);
}

/// Whether a schema uses what only structural schemas may use.
fn says_more(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| {
            key == "default" && !value.is_null() || key.starts_with("x-kubernetes-") || says_more(value)
        }),
        Value::Array(list) => list.iter().any(says_more),
        _ => false,
    }
}

fn root(at: &At<'_, '_>, schema: &At<'_, '_>, out: &mut Out) {
    let kind = schema.text_of("type");
    if !kind.is_empty() && kind != "object" {
        let why =
            "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        out.push(FieldError::invalid(&at.path.child("openAPIV3Schema.type"), kind, why));
        return;
    }
    let is_zero =
        |value: &Value| value.is_null() || value == &Value::Bool(false) || value.as_array().is_some_and(Vec::is_empty);
    let mut members = schema.value.as_object().into_iter().flatten();
    if members.any(|(key, value)| !is_zero(value) && !AT_ROOT.contains(&key.as_str())) {
        let why = format!(
            "only {AT_ROOT_WORDS} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        out.invalid(schema, why);
    }
}

#[derive(Clone, Copy)]
struct Keywords<'a> {
    /// Why defaults are forbidden here.
    forbids_defaults: Option<&'a str>,
    in_metadata: bool,
}

impl Keywords<'_> {
    fn schema(self, schema: &Value, path: &Path<'_>, is_root: bool, out: &mut Out) {
        let Some(map) = schema.as_object() else { return };
        self.standard(schema, path, out);
        let says = |name: &str| schema.get(name).and_then(Value::as_bool) == Some(true);
        let set = |name: &str| schema.get(name).filter(|value| !value.is_null());
        if says("uniqueItems") {
            out.push(FieldError::forbidden(
                &path.child("uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ));
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(additional) = set("additionalProperties") {
            let here = path.child("additionalProperties");
            if properties.is_some_and(|all| !all.is_empty()) && additional != &Value::Bool(true) {
                out.push(FieldError::forbidden(&here, "additionalProperties and properties are mutual exclusive"));
            }
            let forbids = if self.in_metadata {
                Some("inside additionalProperties applying to object metadata")
            } else {
                self.forbids_defaults
            };
            Keywords { forbids_defaults: forbids, ..self }.schema(additional, &here, false, out);
        }
        let properties_at = path.child("properties");
        for (name, below) in properties.into_iter().flatten() {
            let is_meta = matches!(name.as_str(), "metadata" | "kind" | "apiVersion")
                && (is_root || says("x-kubernetes-embedded-resource"));
            let why = format!("in top-level {name}");
            let inner = Keywords {
                forbids_defaults: if is_meta && is_root { Some(&*why) } else { self.forbids_defaults },
                in_metadata: self.in_metadata || is_meta,
            };
            inner.schema(below, &properties_at.key(name), false, out);
        }
        if let Some(not) = map.get("not") {
            self.schema(not, &path.child("not"), false, out);
        }
        for name in ["allOf", "oneOf", "anyOf"] {
            let here = path.child(name);
            for (index, below) in meta::list_at(schema, &[name]).iter().enumerate() {
                self.schema(below, &here.index(index), false, out);
            }
        }
        if let Some(items) = map.get("items").filter(|items| items.is_object()) {
            self.schema(items, &path.child("items"), false, out);
        }
        topology(schema, path, out);
        rules(schema, path, out);
    }

    fn standard(self, schema: &Value, path: &Path<'_>, out: &mut Out) {
        let kind = meta::text(schema, "type");
        if !kind.is_empty() && !TYPES.contains(&kind) {
            out.push(FieldError::not_supported(&path.child("type"), kind, &TYPES));
        }
        let set = |name: &str| schema.get(name).is_some_and(|value| !value.is_null());
        if set("default")
            && let Some(why) = self.forbids_defaults
        {
            out.push(FieldError::forbidden(&path.child("default"), format!("must not be set {why}")));
        }
        for name in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
            if set(name) && schema[name] != "" {
                out.push(FieldError::forbidden(&path.child(name), format!("{name} is not supported")));
            }
        }
        if kind == "null" {
            let why = "type cannot be set to null, use nullable as an alternative";
            out.push(FieldError::forbidden(&path.child("type"), why));
        }
        if schema.get("items").is_some_and(Value::is_array) {
            out.push(FieldError::forbidden(&path.child("items"), "items must be a schema object and not an array"));
        }
        if self.in_metadata && meta::bool_at(schema, &["x-kubernetes-embedded-resource"]) {
            let at = path.child("x-kubernetes-embedded-resource");
            out.push(FieldError::forbidden(&at, "must not be used inside of resource meta"));
        }
    }
}

/// How lists and maps are merged, and what that asks of their schemas.
fn topology(schema: &Value, path: &Path<'_>, out: &mut Out) {
    let kind = meta::text(schema, "type");
    let said = |name: &str| schema.get(name).and_then(Value::as_str);
    let type_at = path.child("type");
    let must_be = |wanted: &str, why: &str, out: &mut Out| {
        if kind.is_empty() {
            out.push(FieldError::required(&type_at, why));
        } else if kind != wanted {
            out.push(FieldError::invalid(&type_at, kind, why));
        }
    };
    if schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
        let at = path.child("x-kubernetes-preserve-unknown-fields");
        out.push(FieldError::invalid(&at, false, "must be true or undefined"));
    }
    if let Some(map_type) = said("x-kubernetes-map-type") {
        must_be("object", "must be object if x-kubernetes-map-type is specified", out);
        if !matches!(map_type, "atomic" | "granular") {
            let at = path.child("x-kubernetes-map-type");
            out.push(FieldError::not_supported(&at, map_type, &["atomic", "granular"]));
        }
    }
    let list_at = path.child("x-kubernetes-list-type");
    let keys = meta::list_at(schema, &["x-kubernetes-list-map-keys"]);
    let Some(list_type) = said("x-kubernetes-list-type") else {
        if !keys.is_empty() {
            out.push(FieldError::required(&list_at, "must be map if x-kubernetes-list-map-keys is non-empty"));
        }
        return;
    };
    must_be("array", "must be array if x-kubernetes-list-type is specified", out);
    let items_at = path.child("items");
    let items = schema.get("items").filter(|items| !items.is_null());
    if kind == "array"
        && list_type == "set"
        && let Some(items) = items
    {
        atomic(items, &items_at, out);
    }
    if !matches!(list_type, "atomic" | "set" | "map") {
        out.push(FieldError::not_supported(&list_at, list_type, &["atomic", "set", "map"]));
    }
    if !keys.is_empty() && list_type != "map" {
        out.push(FieldError::invalid(&list_at, list_type, "must be map if x-kubernetes-list-map-keys is non-empty"));
    }
    if list_type == "map" {
        map_items(items, keys, path, &items_at, out);
    }
    if let Some(items) = items.filter(|_| matches!(list_type, "set" | "map"))
        && meta::bool_at(items, &["nullable"])
    {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        out.push(FieldError::forbidden(&items_at.child("nullable"), why));
    }
}

/// Items of a set are told apart as a whole.
fn atomic(items: &Value, at: &Path<'_>, out: &mut Out) {
    const WHY: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let list_type = items.get("x-kubernetes-list-type").and_then(Value::as_str);
    match meta::text(items, "type") {
        "array" if list_type.is_some_and(|said| said != "atomic") => {
            out.push(FieldError::invalid(&at.child("x-kubernetes-list-type"), list_type.unwrap_or_default(), WHY));
        }
        "object" if meta::text(items, "x-kubernetes-map-type") != "atomic" => {
            out.push(FieldError::invalid(&at.child("x-kubernetes-map-type"), Value::Null, WHY));
        }
        _ => {}
    }
}

/// Items of a map are objects with the keys.
fn map_items(items: Option<&Value>, keys: &[Value], path: &Path<'_>, at: &Path<'_>, out: &mut Out) {
    let keys_at = path.child("x-kubernetes-list-map-keys");
    if keys.is_empty() {
        out.push(FieldError::required(&keys_at, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        return out.push(FieldError::required(at, "must have a schema if x-kubernetes-list-type is map"));
    };
    if items.is_array() {
        let why = "must only have a single schema if x-kubernetes-list-type is map";
        return out.push(FieldError::invalid(at, items.clone(), why));
    }
    let kind = meta::text(items, "type");
    if kind != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return out.push(FieldError::invalid(&at.child("type"), kind, why));
    }
    let required: BTreeSet<&str> = meta::list_at(items, &["required"]).iter().filter_map(Value::as_str).collect();
    let properties_at = at.child("properties");
    let mut seen = BTreeSet::new();
    for key in keys {
        if out.is_full() {
            return;
        }
        let name = key.as_str().unwrap_or_default();
        let place = properties_at.key(name);
        match items.get("properties").and_then(|all| all.get(name)) {
            None => {
                let why = "entries must all be names of item properties";
                out.push(FieldError::invalid(&keys_at, Value::from(keys), why));
            }
            Some(property) => {
                if matches!(meta::text(property, "type"), "array" | "object") {
                    let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                    out.push(FieldError::invalid(&place.child("type"), kind, why));
                }
                let has_default = property.get("default").is_some_and(|value| !value.is_null());
                if !required.contains(name) && !has_default {
                    let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                    out.push(FieldError::required(&place.child("default"), why));
                }
                if meta::bool_at(property, &["nullable"]) {
                    let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                    out.push(FieldError::forbidden(&place.child("nullable"), why));
                }
            }
        }
        if !seen.insert(name) {
            out.push(FieldError::invalid(&keys_at, Value::from(keys), "must not contain duplicate entries"));
        }
    }
}

/// The frames of rules in CEL.
fn rules(schema: &Value, path: &Path<'_>, out: &mut Out) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    let all = path.child("x-kubernetes-validations");
    for (index, rule) in meta::list_at(schema, &["x-kubernetes-validations"]).iter().enumerate() {
        let at = all.index(index);
        let text = |name: &str| meta::text(rule, name);
        let is_set = |name: &str| rule.get(name).is_some_and(Value::is_string) && !text(name).is_empty();
        let breaks = |text: &str| text.contains(['\n', '\r']);
        let (expression, message) = (text("rule").trim(), text("message").trim());
        if expression.is_empty() {
            out.push(FieldError::required(&at.child("rule"), "rule is not specified"));
        } else if is_set("message") && message.is_empty() {
            out.push(FieldError::invalid(&at.child("message"), text("message"), "must be non-empty if specified"));
        } else if breaks(message) {
            out.push(FieldError::invalid(&at.child("message"), text("message"), "must not contain line breaks"));
        } else if breaks(expression) && message.is_empty() {
            let why = "message must be specified if rule contains line breaks";
            out.push(FieldError::required(&at.child("message"), why));
        }
        if is_set("messageExpression") && text("messageExpression").trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            out.push(FieldError::required(&at.child("messageExpression"), why));
        }
        if is_set("reason") && !REASONS.contains(&text("reason")) {
            out.push(FieldError::not_supported(&at.child("reason"), text("reason"), &REASONS));
        }
        let field = text("fieldPath");
        if !field.is_empty() {
            let here = at.child("fieldPath");
            if field.trim().is_empty() {
                out.push(FieldError::invalid(&here, field, "must be non-empty if specified"));
            }
            if breaks(field) {
                out.push(FieldError::invalid(&here, field, "must not contain line breaks"));
            }
            if super::paths::resolve(schema, field).is_err() {
                out.push(FieldError::invalid(&here, field, "must be a valid path"));
            }
        }
    }
}
