//! One definition of the schema table as JSON, in either version of OpenAPI.
//!
//! In: a node that has a name. Out: its definition. The two versions differ in how they refer to others and in
//! that version 3 publishes defaults.

use crate::kinds::Kinds;
use crate::schema::{Docs, Field, ListType, Node, Scalar, Shape};
use serde_json::{Map, Value, json};

/// Which version of OpenAPI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    V2,
    V3,
}

impl Flavour {
    pub(super) fn reference(self, name: &str) -> Value {
        match self {
            Flavour::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Flavour::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
        }
    }
}

/// Types that belong to every group and version.
const UBIQUITOUS: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent"];

pub(super) fn render(node: Node<'_>, docs: &Docs, flavour: Flavour, kinds: &Kinds) -> Value {
    let name = node.name().unwrap_or_default();
    let mut out = shape(node, docs, flavour);
    let doc = node.doc(docs);
    if !doc.is_empty() {
        out["description"] = json!(doc);
    }
    if node.is_atomic() {
        out["x-kubernetes-map-type"] = json!("atomic");
    }
    if let Some(gvk) = node.gvk() {
        let row = |group: &str, version: &str| json!({"group": group, "version": version, "kind": gvk.kind});
        let rows: Vec<Value> = if UBIQUITOUS.contains(&name) {
            let mut versions: Vec<(&str, &str)> = kinds.iter().map(|kind| (&*kind.group, &*kind.version)).collect();
            versions.dedup();
            versions.into_iter().map(|(group, version)| row(group, version)).collect()
        } else {
            vec![row(&gvk.group, &gvk.version)]
        };
        out["x-kubernetes-group-version-kind"] = Value::Array(rows);
    }
    if !node.union().is_empty() {
        out["x-kubernetes-unions"] = union(node.union());
    }
    out
}

/// `DISCRIMINATOR:FIELD=VALUE,...` as published.
fn union(text: &str) -> Value {
    let (discriminator, fields) = text.split_once(':').unwrap_or(("", text));
    let fields: Map<String, Value> = fields
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(field, value)| (field.to_owned(), json!(value)))
        .collect();
    let mut row = json!({"fields-to-discriminateBy": fields});
    if !discriminator.is_empty() {
        row["discriminator"] = json!(discriminator);
    }
    json!([row])
}

/// The definition without what is said about it as a whole.
fn shape(node: Node<'_>, docs: &Docs, flavour: Flavour) -> Value {
    match node.shape() {
        Shape::Struct(own) => {
            let mut out = json!({"type": "object"});
            let properties: Map<String, Value> =
                own.fields().map(|field| (field.name().to_owned(), property(field, docs, flavour))).collect();
            if !properties.is_empty() {
                out["properties"] = Value::Object(properties);
            }
            let required: Vec<&str> = own.fields().filter(|field| field.is_required()).map(Field::name).collect();
            if !required.is_empty() {
                out["required"] = json!(required);
            }
            out
        }
        Shape::Raw => json!({"type": "object"}),
        Shape::Any | Shape::Deduced => json!({}),
        Shape::Scalar(Scalar::Quantity) => match flavour {
            Flavour::V2 => json!({"type": "string"}),
            Flavour::V3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        },
        Shape::Scalar(Scalar::IntOrString) => match flavour {
            Flavour::V2 => json!({"type": "string", "format": "int-or-string"}),
            Flavour::V3 => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        },
        Shape::Scalar(Scalar::Time | Scalar::MicroTime) => json!({"type": "string", "format": "date-time"}),
        Shape::List(_) | Shape::Map(_) | Shape::Scalar(_) => inline(node, flavour),
    }
}

/// A type where it is used: by reference if it has a name.
fn inline(node: Node<'_>, flavour: Flavour) -> Value {
    if let Some(name) = node.name() {
        return flavour.reference(name);
    }
    match node.shape() {
        Shape::List(item) => json!({"type": "array", "items": inline(item, flavour)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": inline(item, flavour)}),
        Shape::Scalar(Scalar::String) => json!({"type": "string"}),
        Shape::Scalar(Scalar::Bytes) => json!({"type": "string", "format": "byte"}),
        Shape::Scalar(Scalar::Bool) => json!({"type": "boolean"}),
        Shape::Scalar(Scalar::Int32) => json!({"type": "integer", "format": "int32"}),
        Shape::Scalar(Scalar::Int64) => json!({"type": "integer", "format": "int64"}),
        Shape::Scalar(Scalar::Double) => json!({"type": "number", "format": "double"}),
        // Everything else has a name.
        _ => json!({"type": "object"}),
    }
}

fn property(field: Field<'_>, docs: &Docs, flavour: Flavour) -> Value {
    let mut out = inline(field.node(), flavour);
    let doc = field.doc(docs);
    if flavour == Flavour::V3 {
        let default = default(field);
        if out.get("$ref").is_some() && (default.is_some() || !doc.is_empty()) {
            // Beside a reference nothing else may be said.
            out = json!({"allOf": [out]});
        }
        if let Some(default) = default {
            out["default"] = default;
        }
    }
    if !doc.is_empty() {
        out["description"] = json!(doc);
    }
    match field.list_type() {
        ListType::Atomic if field.says_list_type() => out["x-kubernetes-list-type"] = json!("atomic"),
        ListType::Atomic => {}
        ListType::Set => out["x-kubernetes-list-type"] = json!("set"),
        list @ ListType::Map(_) => {
            out["x-kubernetes-list-type"] = json!("map");
            out["x-kubernetes-list-map-keys"] = list.keys().collect();
        }
    }
    if !field.said_map_type().is_empty() {
        out["x-kubernetes-map-type"] = json!(field.said_map_type());
    }
    let strategy = field.strategy();
    let words = [(strategy.merge, "merge"), (strategy.retain_keys, "retainKeys"), (strategy.replace, "replace")];
    let words: Vec<&str> = words.into_iter().filter_map(|(is_said, word)| is_said.then_some(word)).collect();
    if !words.is_empty() {
        out["x-kubernetes-patch-strategy"] = json!(words.join(","));
    }
    if !strategy.key.is_empty() {
        out["x-kubernetes-patch-merge-key"] = json!(strategy.key);
    }
    out
}

fn default(field: Field<'_>) -> Option<Value> {
    if !field.default_json().is_empty() {
        return serde_json::from_str(field.default_json()).ok();
    }
    if !field.is_always_written() {
        return None;
    }
    Some(match (field.node().name(), field.node().shape()) {
        (None, Shape::Scalar(Scalar::String)) => json!(""),
        (None, Shape::Scalar(Scalar::Bool)) => json!(false),
        (None, Shape::Scalar(Scalar::Int32 | Scalar::Int64)) => json!(0),
        _ => json!({}),
    })
}
