//! Holds the table against the OpenAPI documents that Kubernetes publishes.

use super::*;
use crate::testdata;
use serde_json::{Map, Value, json};

fn swagger() -> Option<Value> {
    let folder = testdata::folder("openapi")?;
    let text = std::fs::read_to_string(folder.join("swagger.json")).expect("swagger.json");
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// The part of a published property that tells types.
fn typed(node: Node<'_>) -> Value {
    if let Some(name) = node.name() {
        return json!({"$ref": format!("#/definitions/{name}")});
    }
    match node.shape() {
        Shape::List(item) => json!({"type": "array", "items": typed(item)}),
        Shape::Map(item) => json!({"type": "object", "additionalProperties": typed(item)}),
        Shape::Scalar(Scalar::String) => json!({"type": "string"}),
        Shape::Scalar(Scalar::Bytes) => json!({"type": "string", "format": "byte"}),
        Shape::Scalar(Scalar::Bool) => json!({"type": "boolean"}),
        Shape::Scalar(Scalar::Int32) => json!({"type": "integer", "format": "int32"}),
        Shape::Scalar(Scalar::Int64) => json!({"type": "integer", "format": "int64"}),
        Shape::Scalar(Scalar::Double) => json!({"type": "number", "format": "double"}),
        shape => panic!("{shape:?} has a name"),
    }
}

fn property(field: Field<'_>) -> Value {
    let mut out = typed(field.node());
    match (field.says_list_type(), field.list_type()) {
        (true, ListType::Atomic) => out["x-kubernetes-list-type"] = json!("atomic"),
        (_, ListType::Set) => out["x-kubernetes-list-type"] = json!("set"),
        (_, list @ ListType::Map(_)) => {
            out["x-kubernetes-list-type"] = json!("map");
            out["x-kubernetes-list-map-keys"] = json!(list.keys().collect::<Vec<_>>());
        }
        _ => {}
    }
    if !field.said_map_type().is_empty() {
        out["x-kubernetes-map-type"] = json!(field.said_map_type());
    }
    let strategy = field.strategy();
    let words: Vec<&str> =
        [(strategy.merge, "merge"), (strategy.retain_keys, "retainKeys"), (strategy.replace, "replace")]
            .into_iter()
            .filter_map(|(on, word)| on.then_some(word))
            .collect();
    if !words.is_empty() {
        out["x-kubernetes-patch-strategy"] = json!(words.join(","));
    }
    if !strategy.key.is_empty() {
        out["x-kubernetes-patch-merge-key"] = json!(strategy.key);
    }
    out
}

#[test]
fn every_published_type_and_field_is_in_the_table() {
    let Some(swagger) = swagger() else { return };
    let docs = Docs::open();
    let definitions = swagger["definitions"].as_object().expect("definitions");
    let mut faults = Vec::new();
    for (name, published) in definitions {
        let Some(node) = named(name) else {
            faults.push(format!("{name}: missing"));
            continue;
        };
        // Its documentation is on the variants of an enum in Rust.
        let is_enum = name.ends_with(".WatchEvent");
        let is_list = name.ends_with("List") && published["properties"]["items"]["items"]["$ref"].is_string();
        let empty = Map::new();
        let properties = published["properties"].as_object().unwrap_or(&empty);
        let Shape::Struct(own) = node.shape() else {
            if !properties.is_empty() {
                faults.push(format!("{name}: is not a struct"));
            }
            continue;
        };
        if !is_list && !is_enum && published["description"].as_str().unwrap_or_default() != node.doc(&docs) {
            faults.push(format!("{name}: documentation"));
        }
        if own.fields().count() != properties.len() {
            faults.push(format!("{name}: {} fields, published {}", own.fields().count(), properties.len()));
        }
        for (field, published_field) in properties {
            let Some(own_field) = own.field(field) else {
                faults.push(format!("{name}.{field}: missing"));
                continue;
            };
            let mut published_field = published_field.clone();
            let doc = published_field.as_object_mut().and_then(|field| field.remove("description"));
            if property(own_field) != published_field {
                faults.push(format!("{name}.{field}: {} published {published_field}", property(own_field)));
            }
            if !is_list && !is_enum && doc.as_ref().and_then(Value::as_str).unwrap_or_default() != own_field.doc(&docs)
            {
                faults.push(format!("{name}.{field}: documentation"));
            }
            let required = published["required"].as_array().is_some_and(|list| list.contains(&json!(field)));
            if required != own_field.is_required() {
                faults.push(format!("{name}.{field}: required {required}"));
            }
        }
        if published["x-kubernetes-map-type"].as_str().unwrap_or_default()
            != if node.is_atomic() { "atomic" } else { "" }
        {
            faults.push(format!("{name}: map type"));
        }
        let kinds = published["x-kubernetes-group-version-kind"].as_array().map(Vec::as_slice).unwrap_or_default();
        if kinds.is_empty() == node.gvk().is_some() {
            faults.push(format!("{name}: kind {:?} published {kinds:?}", node.gvk()));
        }
        if let ([kind], Some(own)) = (kinds, node.gvk()) {
            if *kind != json!({"group": own.group, "version": own.version, "kind": own.kind}) {
                faults.push(format!("{name}: {own} published {kind}"));
            }
            assert_eq!(of(&own).map(Struct::name), Some(name.as_str()));
        }
    }
    for node in all() {
        let name = node.name().expect("a definition has a name");
        if !definitions.contains_key(name) && !node.is_removed() {
            faults.push(format!("{name}: not published"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_kind_is_found_and_walked() {
    let deployment = of(&Gvk::fixed("apps", "v1", "Deployment")).expect("is built in");
    assert_eq!(deployment.go_name(), "Deployment");
    let spec = deployment.field("spec").expect("spec").node().as_struct().expect("a struct");
    let template = spec.field("template").expect("template").node().as_struct().expect("a struct");
    let pod = template.field("spec").expect("spec").node().as_struct().expect("a struct");
    let containers = pod.field("containers").expect("containers");
    assert_eq!(containers.list_type(), ListType::Map("name"));
    assert_eq!(containers.strategy().key, "name");
    assert!(pod.field("nonsense").is_none());
    assert!(of(&Gvk::fixed("apps", "v1", "Nonsense")).is_none());
    assert!(containers.doc(&Docs::open()).starts_with("List of containers"));
    assert_eq!(containers.doc(&Docs::closed()), "");
}
