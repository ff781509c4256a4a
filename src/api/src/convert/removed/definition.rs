//! CustomResourceDefinitions: one schema for all versions, pruning by choice, schemas that are not structural.
//!
//! Today every version has a schema, a structural one, and what it does not know is dropped. An old definition without
//! a schema, or which keeps unknown fields, gets the mark that keeps them at every place.

use serde_json::{Map, Value, json};

use super::{Fields, rename};

const KEEPS: &str = "x-kubernetes-preserve-unknown-fields";
/// What stands beside the versions if it is the same in all of them, and what it is called within one.
const SHARED: [(&str, &str); 3] = [
    ("validation", "schema"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
];

pub(super) fn renew(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let single = spec.remove("version");
    let versions = spec.entry("versions").or_insert_with(|| json!([]));
    if let (Some(name), Value::Array(list)) = (single, &mut *versions)
        && list.is_empty()
    {
        list.push(json!({"name": name, "served": true, "storage": true}));
    }
    let mut versions = versions.take();
    let keeps = spec.remove("preserveUnknownFields") != Some(Value::Bool(false));
    for (above, within) in SHARED {
        let Some(value) = spec.remove(above) else { continue };
        versions_of(&mut versions).for_each(|version| drop(version.insert(within.to_owned(), value.clone())));
    }
    for version in versions_of(&mut versions) {
        for column in columns(version) {
            rename(column, "JSONPath", "jsonPath", true);
        }
        let schema = version.entry("schema").or_insert_with(|| json!({}));
        let Some(schema) = schema.as_object_mut() else { continue };
        let root = schema.entry("openAPIV3Schema").or_insert_with(|| json!({}));
        if keeps {
            structured(root, true);
        }
    }
    spec.insert("versions".to_owned(), versions);
    if let Some(conversion) = spec.get_mut("conversion").and_then(Value::as_object_mut) {
        let config = conversion.remove("webhookClientConfig");
        let reviews = conversion.remove("conversionReviewVersions");
        if config.is_some() || reviews.is_some() && conversion.get("strategy") == Some(&json!("Webhook")) {
            let mut webhook = Map::new();
            webhook.extend(config.map(|config| ("clientConfig".to_owned(), config)));
            webhook.extend(reviews.map(|reviews| ("conversionReviewVersions".to_owned(), reviews)));
            conversion.insert("webhook".to_owned(), Value::Object(webhook));
        }
    }
}

/// Gives every place a type, and keeps what no place names. The depth is that of the object, which is bounded.
fn structured(schema: &mut Value, is_root: bool) {
    let Some(map) = schema.as_object_mut() else { return };
    let has = |map: &Fields, field: &str| map.get(field).is_some_and(|value| !value.is_null());
    if !has(map, "type") && !has(map, "x-kubernetes-int-or-string") {
        if is_root || has(map, "properties") || has(map, "additionalProperties") {
            map.insert("type".to_owned(), json!("object"));
        } else if has(map, "items") {
            map.insert("type".to_owned(), json!("array"));
        } else {
            map.insert(KEEPS.to_owned(), json!(true));
        }
    }
    // A map of values of one kind has no unknown fields.
    if map.get("type") == Some(&json!("object")) && !has(map, "additionalProperties") {
        map.insert(KEEPS.to_owned(), json!(true));
    }
    if let Some(properties) = map.get_mut("properties").and_then(Value::as_object_mut) {
        // The server's own fields keep nothing.
        let names = ["apiVersion", "kind", "metadata"];
        let inner = properties.iter_mut().filter(|(name, _)| !is_root || !names.contains(&name.as_str()));
        inner.for_each(|(_, schema)| structured(schema, false));
    }
    for field in ["items", "additionalProperties"] {
        if let Some(inner) = map.get_mut(field) {
            structured(inner, false);
        }
    }
}

pub(super) fn age(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let mut versions = spec.remove("versions").unwrap_or_else(|| json!([]));
    for version in versions_of(&mut versions) {
        for column in columns(version) {
            rename(column, "JSONPath", "jsonPath", false);
        }
    }
    for (above, within) in SHARED {
        let Some(first) = versions.get(0).and_then(|version| version.get(within)).cloned() else { continue };
        if versions_of(&mut versions).all(|version| version.get(within) == Some(&first)) {
            versions_of(&mut versions).for_each(|version| drop(version.remove(within)));
            spec.insert(above.to_owned(), first);
        }
    }
    if let Some(name) = versions.get(0).and_then(|version| version.get("name")).cloned() {
        spec.insert("version".to_owned(), name);
    }
    spec.insert("versions".to_owned(), versions);
    spec.insert("preserveUnknownFields".to_owned(), json!(false));
    if let Some(conversion) = spec.get_mut("conversion").and_then(Value::as_object_mut)
        && let Some(Value::Object(mut webhook)) = conversion.remove("webhook")
    {
        for (new, old) in
            [("clientConfig", "webhookClientConfig"), ("conversionReviewVersions", "conversionReviewVersions")]
        {
            conversion.extend(webhook.remove(new).map(|value| (old.to_owned(), value)));
        }
    }
}

fn versions_of(versions: &mut Value) -> impl Iterator<Item = &mut Fields> {
    versions.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
}

fn columns(version: &mut Fields) -> impl Iterator<Item = &mut Value> {
    version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut).into_iter().flatten()
}
