//! Definitions of custom kinds, from the schemas that their definitions hold.
//!
//! In: a kind and its schema as JSON. Out: its definition and that of its list. Version 2 cannot say everything, and
//! clients that read it refuse what they cannot read: what is kept unknown is published without its parts there.

use super::definitions::Flavour;
use crate::custom::Version;
use crate::kinds::Kind;
use serde_json::{Map, Value, json};

/// Where the schemas of custom kinds are read from.
pub trait Schemas {
    /// The schema of a version of the definition of that name, as it is kept.
    fn schema(&self, definition: &str, version: &str) -> Option<Value>;
}

/// No custom kinds.
pub struct NoSchemas;

impl Schemas for NoSchemas {
    fn schema(&self, _: &str, _: &str) -> Option<Value> {
        None
    }
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const API_VERSION: &str = "APIVersion defines the versioned schema of this representation of an object.";
const KIND: &str = "Kind is a string value representing the REST resource this object represents.";

/// The full name of a custom type: `com.example.v1.Widget`.
pub(super) fn model(kind: &Kind, name: &str) -> String {
    let mut parts: Vec<&str> = kind.group.split('.').collect();
    parts.reverse();
    format!("{}.{}.{name}", parts.join("."), kind.version)
}

/// The definitions that a custom kind adds, with their names.
pub(super) fn definitions(kind: &Kind, schemas: &dyn Schemas, flavour: Flavour) -> Vec<(String, Value)> {
    let Some(definition) = &kind.definition else { return Vec::new() };
    let schema = schemas.schema(&definition.name, &kind.version);
    let own = model(kind, &kind.kind);
    let mut item = object(schema, flavour);
    let mut list = json!({
        "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": word(API_VERSION),
            "kind": word(KIND),
            "metadata": meta("ListMeta", flavour),
            "items": {
                "description": format!("List of {}.", kind.plural),
                "type": "array",
                "items": flavour.reference(&own),
            },
        },
    });
    let selectable = kind.custom_version().and_then(selectable);
    for (of, name) in [(&mut item, &kind.kind), (&mut list, &kind.list_kind)] {
        of["x-kubernetes-group-version-kind"] = json!([{"group": kind.group, "version": kind.version, "kind": name}]);
        if let Some(fields) = &selectable {
            of["x-kubernetes-selectable-fields"] = fields.clone();
        }
    }
    vec![(own, item), (model(kind, &kind.list_kind), list)]
}

fn selectable(version: &Version) -> Option<Value> {
    let fields: Vec<Value> = version.selectable.iter().map(|path| json!({"fieldPath": path})).collect();
    (!fields.is_empty()).then(|| Value::from(fields))
}

fn word(description: &str) -> Value {
    json!({"description": description, "type": "string"})
}

fn meta(name: &str, flavour: Flavour) -> Value {
    let reference = flavour.reference(&format!("{META}{name}"));
    let description = "Standard object's metadata.";
    match flavour {
        Flavour::V2 => {
            let mut out = reference;
            out["description"] = json!(description);
            out
        }
        // Beside a reference nothing else may be said.
        Flavour::V3 => json!({"allOf": [reference], "description": description}),
    }
}

fn says(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

fn object(schema: Option<Value>, flavour: Flavour) -> Value {
    let Some(mut schema) = schema.filter(Value::is_object) else { return json!({"type": "object"}) };
    if flavour == Flavour::V2 && says(&schema, "x-kubernetes-preserve-unknown-fields") {
        return json!({"type": "object"});
    }
    rewrite(&mut schema, flavour);
    let properties = member(&mut schema, "properties");
    properties.insert("apiVersion".to_owned(), word(API_VERSION));
    properties.insert("kind".to_owned(), word(KIND));
    properties.insert("metadata".to_owned(), meta("ObjectMeta", flavour));
    schema
}

fn member<'v>(schema: &'v mut Value, name: &str) -> &'v mut Map<String, Value> {
    if !schema.get(name).is_some_and(Value::is_object) {
        schema[name] = json!({});
    }
    match schema.get_mut(name) {
        Some(Value::Object(map)) => map,
        _ => unreachable!("made an object just above"),
    }
}

/// Brings a schema into the form that is published.
fn rewrite(schema: &mut Value, flavour: Flavour) {
    if says(schema, "x-kubernetes-int-or-string") {
        unfold(schema);
    }
    if flavour == Flavour::V2 {
        lessen(schema);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(|below| rewrite(below, flavour));
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(name).filter(|below| below.is_object()) {
            rewrite(below, flavour);
        }
    }
    let preserves = says(schema, "x-kubernetes-preserve-unknown-fields");
    if says(schema, "x-kubernetes-embedded-resource") && !(flavour == Flavour::V2 && preserves) {
        let properties = member(schema, "properties");
        properties.insert("apiVersion".to_owned(), word(API_VERSION));
        properties.insert("kind".to_owned(), word(KIND));
        properties.insert("metadata".to_owned(), meta("ObjectMeta", flavour));
        let mut required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        for name in ["kind", "apiVersion"] {
            if !required.iter().any(|one| one == name) {
                required.push(json!(name));
            }
        }
        schema["required"] = Value::from(required);
    }
}

/// Says the types of an integer or text, unless they are said.
fn unfold(schema: &mut Value) {
    let types = json!([{"type": "integer"}, {"type": "string"}]);
    let first = schema.pointer("/allOf/0/anyOf");
    if schema.get("anyOf") == Some(&types) || first == Some(&types) {
        return;
    }
    if schema.get("anyOf").is_none() {
        schema["anyOf"] = types;
        return;
    }
    let mut all = vec![json!({"anyOf": types})];
    all.extend(schema.get("allOf").and_then(Value::as_array).cloned().unwrap_or_default());
    schema["allOf"] = Value::from(all);
}

/// Takes out what version 2 cannot say, and what its readers cannot cope with.
fn lessen(schema: &mut Value) {
    let preserves = says(schema, "x-kubernetes-preserve-unknown-fields");
    let Some(map) = schema.as_object_mut() else { return };
    for name in ["allOf", "oneOf", "anyOf", "not"] {
        map.remove(name);
    }
    if map.remove("nullable") == Some(Value::Bool(true)) {
        for name in ["type", "items", "properties"] {
            map.remove(name);
        }
    }
    if preserves {
        map.remove("items");
        map.remove("properties");
    }
    let is = |map: &Map<String, Value>, wanted: &str| map.get("type").is_some_and(|kind| kind == wanted);
    if is(map, "array") && !map.contains_key("items") || preserves && is(map, "object") {
        map.remove("type");
    }
    let nullable: Vec<String> = map
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, below)| says(below, "nullable"))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(Value::Array(required)) = map.get_mut("required") {
        required.retain(|name| !nullable.iter().any(|one| name == one));
        if required.is_empty() {
            map.remove("required");
        }
    }
    if map.get("additionalProperties").is_some_and(|below| says(below, "nullable")) {
        map.remove("required");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: Value, flavour: Flavour, path: &str, expected: Value) {
        let seen = object(Some(schema), flavour);
        assert_eq!(seen.pointer(path).cloned().unwrap_or_default(), expected, "{seen}");
    }

    #[test]
    fn version_3_says_it_all() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "description": "d", "nullable": true,
            "properties": {"p": {"x-kubernetes-int-or-string": true}}, "oneOf": [{"required": ["p"]}]}}});
        check(schema.clone(), Flavour::V3, "/properties/spec/description", json!("d"));
        check(schema.clone(), Flavour::V3, "/properties/spec/nullable", json!(true));
        check(schema.clone(), Flavour::V3, "/properties/spec/oneOf/0/required/0", json!("p"));
        check(schema.clone(), Flavour::V3, "/properties/spec/properties/p/anyOf/1/type", json!("string"));
        check(
            schema,
            Flavour::V3,
            "/properties/metadata/allOf/0/$ref",
            json!(format!("#/components/schemas/{META}ObjectMeta")),
        );
    }

    #[test]
    fn version_2_says_less() {
        let schema = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"type": "object", "nullable": true, "properties": {"x": {"type": "string"}}},
            "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"x": {"type": "string"}}},
            "c": {"type": "string", "anyOf": [{"pattern": "a"}], "maxLength": 3}}});
        check(schema.clone(), Flavour::V2, "/required", json!(["b"]));
        check(schema.clone(), Flavour::V2, "/properties/a", json!({}));
        check(schema.clone(), Flavour::V2, "/properties/b", json!({"x-kubernetes-preserve-unknown-fields": true}));
        check(schema.clone(), Flavour::V2, "/properties/c", json!({"type": "string", "maxLength": 3}));
        check(
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            Flavour::V2,
            "",
            json!({"type": "object"}),
        );
    }

    #[test]
    fn embedded_resources_say_what_every_object_has() {
        let schema = json!({"type": "object", "properties": {"t": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}}}});
        check(schema.clone(), Flavour::V3, "/properties/t/required", json!(["kind", "apiVersion"]));
        check(schema, Flavour::V2, "/properties/t/properties/kind/type", json!("string"));
    }
}
