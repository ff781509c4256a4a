//! Structural schemas: every value has a type outside of `allOf`, `anyOf`, `oneOf` and `not`, which only restrict it.
//!
//! In: a schema and its place. Out: faults, sorted by their text as Kubernetes does.

use kedge_cel::re2;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::meta;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Judges a whole schema.
pub(super) fn judge(schema: &Value, path: &Path<'_>) -> Vec<FieldError> {
    let mut out = Vec::new();
    invariants(schema, Level::Root, path, &mut out);
    completeness(schema, Some(schema), path, path, &mut out);
    out.sort_by_cached_key(ToString::to_string);
    out
}

fn says(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

/// A member that is set.
fn set<'v>(schema: &'v Value, name: &str) -> Option<&'v Value> {
    schema.get(name).filter(|value| !value.is_null())
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn invariants(schema: &Value, level: Level, path: &Path<'_>, out: &mut Vec<FieldError>) {
    let kind = meta::text(schema, "type");
    let type_at = path.child("type");
    let embedded = says(schema, "x-kubernetes-embedded-resource");
    let preserves = says(schema, "x-kubernetes-preserve-unknown-fields");
    let int_or_string = says(schema, "x-kubernetes-int-or-string");
    match set(schema, "items") {
        None if kind == "array" => out.push(FieldError::required(&path.child("items"), "must be specified")),
        Some(items) if items.is_object() => invariants(items, Level::Item, &path.child("items"), out),
        _ => {}
    }
    let properties_at = path.child("properties");
    for (name, below) in properties(schema) {
        invariants(below, Level::Field, &properties_at.key(name), out);
    }
    if let Some(additional) = set(schema, "additionalProperties") {
        let at = path.child("additionalProperties");
        if level == Level::Root {
            out.push(FieldError::forbidden(&at, "must not be used at the root"));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &at, out);
        }
        if embedded {
            out.push(FieldError::forbidden(&at, "must not be used if x-kubernetes-embedded-resource is set"));
        }
    }
    for (is_said, name) in
        [(preserves, "x-kubernetes-preserve-unknown-fields"), (embedded, "x-kubernetes-embedded-resource")]
    {
        if int_or_string && is_said {
            let why = "must be false if x-kubernetes-int-or-string is true";
            out.push(FieldError::invalid(&path.child(name), true, why));
        }
    }
    values(schema, path, is_int_or_string(schema), first_is_int_or_string(schema), out);
    if embedded && kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        out.push(if kind.is_empty() {
            FieldError::required(&type_at, why)
        } else {
            FieldError::invalid(&type_at, kind, why)
        });
    } else if kind.is_empty() && !int_or_string && !preserves {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        out.push(FieldError::required(&type_at, why));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        out.push(FieldError::invalid(&type_at, kind, "must be object at the root"));
    }
    let is_resource = level == Level::Root || embedded;
    for (name, below) in properties(schema) {
        let at = properties_at.key(name);
        let kind = meta::text(below, "type");
        match name.as_str() {
            "kind" | "apiVersion" if is_resource && kind != "string" => {
                out.push(FieldError::invalid(&at.child("type"), kind, "must be string"));
            }
            "metadata" if is_resource => metadata(below, level, &at, out),
            _ => {}
        }
    }
    if embedded && !preserves && properties(schema).next().is_none() {
        let why =
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        out.push(FieldError::required(&properties_at, why));
    }
}

/// At the root, names may be restricted and nothing else.
fn metadata(schema: &Value, level: Level, at: &Path<'_>, out: &mut Vec<FieldError>) {
    let kind = meta::text(schema, "type");
    if kind != "object" {
        out.push(FieldError::invalid(&at.child("type"), kind, "must be object"));
    }
    if level != Level::Root {
        return;
    }
    let only_names = properties(schema).all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let says_more = schema.as_object().into_iter().flatten().any(|(key, value)| {
        let is_zero = value.is_null() || value == &json!(false) || value == &json!([]) || value == &json!({});
        !is_zero && !matches!(key.as_str(), "type" | "default" | "properties")
    });
    if !only_names || says_more {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        out.push(FieldError::forbidden(at, why));
    }
}

/// The one pattern of types within `anyOf` that is allowed, beside `x-kubernetes-int-or-string`.
fn is_int_or_string(schema: &Value) -> bool {
    schema.get("anyOf") == Some(&json!([{"type": "integer"}, {"type": "string"}]))
}

fn first_is_int_or_string(schema: &Value) -> bool {
    meta::list_at(schema, &["allOf"]).first().is_some_and(is_int_or_string)
}

fn values(schema: &Value, path: &Path<'_>, skip_any: bool, skip_first_all: bool, out: &mut Vec<FieldError>) {
    for (name, skips_all) in [("anyOf", skip_any), ("allOf", false), ("oneOf", false)] {
        let at = path.child(name);
        for (index, below) in meta::list_at(schema, &[name]).iter().enumerate().filter(|_| !skips_all) {
            nested(below, &at.index(index), name == "allOf" && index == 0 && skip_first_all, out);
        }
    }
    if let Some(not) = set(schema, "not") {
        nested(not, &path.child("not"), false, out);
    }
    let pattern = meta::text(schema, "pattern");
    if !pattern.is_empty()
        && let Err(why) = re2::compile(pattern)
    {
        let why = format!("must be a valid regular expression, but isn't: {why}");
        out.push(FieldError::invalid(&path.child("pattern"), pattern, why));
    }
}

fn nested(schema: &Value, path: &Path<'_>, skip_any: bool, out: &mut Vec<FieldError>) {
    values(schema, path, skip_any, false, out);
    if let Some(items) = set(schema, "items").filter(|items| items.is_object()) {
        nested(items, &path.child("items"), false, out);
    }
    let properties_at = path.child("properties");
    for (name, below) in properties(schema) {
        nested(below, &properties_at.key(name), false, out);
    }
    let mut forbid = |name: &str, why: &str| out.push(FieldError::forbidden(&path.child(name), why));
    for (name, why) in [
        ("type", "must be empty to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
    ] {
        if !meta::text(schema, name).is_empty() {
            forbid(name, why);
        }
    }
    if set(schema, "additionalProperties").is_some_and(|value| value != &json!(false)) {
        forbid("additionalProperties", "must be undefined to be structural");
    }
    if set(schema, "default").is_some() {
        forbid("default", "must be undefined to be structural");
    }
    for name in [
        "nullable",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
    ] {
        if says(schema, name) {
            forbid(name, "must be false to be structural");
        }
    }
    for name in ["x-kubernetes-list-map-keys", "x-kubernetes-validations"] {
        if !meta::list_at(schema, &[name]).is_empty() {
            forbid(name, "must be empty to be structural");
        }
    }
    for name in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        if set(schema, name).is_some() {
            forbid(name, "must be undefined to be structural");
        }
    }
    if properties(schema).any(|(name, _)| name == "metadata") {
        out.push(FieldError::forbidden(&properties_at.key("metadata"), "must not be specified in a nested context"));
    }
}

/// Whatever is restricted is also specified. `own` is the structural schema that belongs to `rules`.
fn completeness(rules: &Value, own: Option<&Value>, path: &Path<'_>, rules_at: &Path<'_>, out: &mut Vec<FieldError>) {
    if let Some(not) = set(rules, "not") {
        restricted(not, own, path, &rules_at.child("not"), out);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        let at = rules_at.child(name);
        for (index, below) in meta::list_at(rules, &[name]).iter().enumerate() {
            restricted(below, own, path, &at.index(index), out);
        }
    }
}

fn restricted(rules: &Value, own: Option<&Value>, path: &Path<'_>, rules_at: &Path<'_>, out: &mut Vec<FieldError>) {
    let Some(own) = own else {
        out.push(FieldError::required(path, format!("because it is defined in {rules_at}")));
        return;
    };
    completeness(rules, Some(own), path, rules_at, out);
    if let Some(items) = set(rules, "items").filter(|items| items.is_object()) {
        let below = set(own, "items").filter(|items| items.is_object());
        restricted(items, below, &path.child("items"), &rules_at.child("items"), out);
    }
    let (properties_at, from) = (path.child("properties"), rules_at.child("properties"));
    for (name, below) in properties(rules) {
        let here = properties_at.key(name);
        match own.get("properties").and_then(|all| all.get(name)) {
            Some(known) => restricted(below, Some(known), &here, &from.key(name), out),
            None => out.push(FieldError::required(&here, format!("because it is defined in {}", from.key(name)))),
        }
    }
}
