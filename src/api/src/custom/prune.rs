//! Takes out of a custom object what its schema does not know, and nulls that say nothing.
//!
//! In: a schema and a value. Out: the value and the paths of what was unknown. Metadata, the object's own and that of
//! embedded resources, is read as Kubernetes' `ObjectMeta`. Never fills anything in, never judges values.

use crate::check;
use crate::schema::custom::{Additional, Place};
use crate::schema::{self, Struct};
use serde_json::{Map, Value};

/// What every object has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];
/// Kubernetes stops listing unknown fields here.
const UNKNOWN: usize = 100;

/// How metadata that cannot be read is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// It is told.
    Refused,
    /// It is dropped: what was kept once must stay readable.
    Dropped,
}

/// Brings an object into the form of its schema.
pub fn coerce(schema: Place<'_>, object: &mut Value, malformed: Malformed) -> Result<Vec<String>, String> {
    let Some(map) = object.as_object_mut() else { return Ok(Vec::new()) };
    for word in ["kind", "apiVersion"] {
        if map.get(word).is_some_and(|value| !value.is_string()) {
            let seen = map.get(word).map(ToString::to_string).unwrap_or_default();
            return Err(format!(".{word} accessor error: {seen} is of the wrong type, expected string"));
        }
    }
    let mut unknown = Vec::new();
    metadata(map, "metadata", malformed, &mut unknown)?;
    let mut walk = Walk { unknown: Vec::new() };
    walk.prune(Some(schema), object, &Path::Root);
    walk.unknown.sort();
    unknown.append(&mut walk.unknown);
    drop_nulls(Some(schema), object);
    if schema.has_embedded() {
        embedded(schema, object, "", true, malformed, &mut unknown)?;
    }
    unknown.truncate(UNKNOWN);
    Ok(unknown)
}

/// Drops what the schema does not know, below a root.
pub fn prune(schema: Place<'_>, value: &mut Value) {
    Walk { unknown: Vec::new() }.prune(Some(schema), value, &Path::Root);
}

fn object_meta() -> Option<Struct<'static>> {
    schema::named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta").and_then(schema::Node::as_struct)
}

/// Reads the metadata of an object as the built-in type.
fn metadata(
    map: &mut Map<String, Value>,
    path: &str,
    malformed: Malformed,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Some(own) = object_meta() else { return Ok(()) };
    match map.get_mut("metadata") {
        None => return Ok(()),
        Some(Value::Null) => {
            map.insert("metadata".to_owned(), Value::Object(Map::new()));
            return Ok(());
        }
        Some(metadata) if malformed == Malformed::Refused => match check::prune(own, metadata) {
            Ok(found) => unknown.extend(found.into_iter().map(|below| format!("{path}.{below}"))),
            Err(fault) => return Err(fault.to_string()),
        },
        Some(Value::Object(fields)) => {
            fields.retain(|name, value| {
                let mut one = Value::Object(Map::from_iter([(name.clone(), value.take())]));
                let is_read = check::prune(own, &mut one).is_ok();
                match one.as_object_mut().and_then(|one| one.remove(name)) {
                    Some(read) if is_read => {
                        *value = read;
                        true
                    }
                    _ => false,
                }
            });
        }
        Some(_) => drop(map.remove("metadata")),
    }
    Ok(())
}

/// The metadata of embedded resources.
fn embedded(
    schema: Place<'_>,
    value: &mut Value,
    path: &str,
    is_root: bool,
    malformed: Malformed,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => {
            if schema.is_embedded() && !is_root {
                for word in ["apiVersion", "kind"] {
                    if let Some(value) = map.get(word).filter(|value| !value.is_string()) {
                        if malformed == Malformed::Refused {
                            return Err(format!("{}: Invalid value: {value}: must be a string", join(word)));
                        }
                        map.remove(word);
                    }
                }
                let seen = map.get("metadata").cloned().unwrap_or_default();
                metadata(map, &join("metadata"), malformed, unknown)
                    .map_err(|why| format!("{}: Invalid value: {seen}: {why}", join("metadata")))?;
            }
            for (name, value) in map.iter_mut() {
                let below = match (schema.property(name), schema.additional()) {
                    (Some(below), _) => below,
                    (None, Some(Additional::Schema(below))) => below,
                    _ => continue,
                };
                embedded(below, value, &join(name), false, malformed, unknown)?;
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                for (index, value) in list.iter_mut().enumerate() {
                    embedded(items, value, &format!("{path}[{index}]"), false, malformed, unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Where the walk is; lives on the stack.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, name) => f.write_str(name),
            Path::Key(parent, name) => write!(f, "{parent}.{name}"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

struct Walk {
    unknown: Vec<String>,
}

impl Walk {
    /// `None` is a place of which nothing is known: all its members are unknown.
    fn prune(&mut self, schema: Option<Place<'_>>, value: &mut Value, path: &Path<'_>) {
        if let Some(schema) = schema.filter(|schema| schema.preserves()) {
            return self.keep(schema, value, path);
        }
        match value {
            Value::Object(map) => map.retain(|name, value| {
                let is_meta = META.contains(&name.as_str());
                if is_meta && schema.is_some_and(Place::is_embedded) {
                    return true;
                }
                let here = Path::Key(path, name);
                if let Some(below) = schema.and_then(|schema| schema.property(name)) {
                    self.prune(Some(below), value, &here);
                    return true;
                }
                match schema.and_then(Place::additional) {
                    Some(Additional::Schema(below)) => self.prune(Some(below), value, &here),
                    Some(Additional::Any) => self.prune(None, value, &here),
                    None => {
                        if self.unknown.len() < UNKNOWN {
                            self.unknown.push(here.to_string());
                        }
                        return false;
                    }
                }
                true
            }),
            Value::Array(list) => {
                let items = schema.and_then(Place::items);
                for (index, value) in list.iter_mut().enumerate() {
                    self.prune(items, value, &Path::Index(path, index));
                }
            }
            _ => {}
        }
    }

    /// Everything stays but what is unknown below what is known.
    fn keep(&mut self, schema: Place<'_>, value: &mut Value, path: &Path<'_>) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    if schema.is_embedded() && META.contains(&name.as_str()) {
                        continue;
                    }
                    let here = Path::Key(path, name);
                    match (schema.property(name), schema.additional()) {
                        (Some(below), _) => self.prune(Some(below), value, &here),
                        (None, Some(Additional::Schema(below))) => self.prune(Some(below), value, &here),
                        (None, Some(Additional::Any)) => self.prune(None, value, &here),
                        (None, None) => {}
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = schema.items() {
                    for (index, value) in list.iter_mut().enumerate() {
                        self.keep(items, value, &Path::Index(path, index));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Nulls where neither null nor a default is said count as not there.
fn drop_nulls(schema: Option<Place<'_>>, value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|name, value| {
            let below = schema.and_then(|schema| match (schema.property(name), schema.additional()) {
                (Some(below), _) => Some(below),
                (None, Some(Additional::Schema(below))) => Some(below),
                _ => None,
            });
            if value.is_null() {
                return below.is_none_or(|below| below.is_nullable() || !below.default_json().is_empty());
            }
            drop_nulls(below, value);
            true
        }),
        Value::Array(list) => {
            let items = schema.and_then(Place::items);
            list.iter_mut().for_each(|value| drop_nulls(items, value));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Custom;
    use serde_json::json;

    /// `unknown` in the order told.
    #[track_caller]
    fn check(schema: Value, mut object: Value, expected: Value, unknown: &[&str]) {
        let (custom, roots) = Custom::build(std::iter::once((&schema, false))).unwrap();
        let seen = coerce(custom.place(roots[0]), &mut object, Malformed::Refused).unwrap();
        assert_eq!(object, expected);
        assert_eq!(seen, unknown);
    }

    fn object(properties: Value) -> Value {
        json!({"type": "object", "properties": properties})
    }

    #[test]
    fn unknown_fields_go_and_are_told() {
        let schema = object(json!({"spec": {"type": "object", "properties": {
            "a": {"type": "string"},
            "m": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        }}}));
        check(
            schema,
            json!({"apiVersion": "v1", "metadata": {"name": "a", "odd": 1}, "other": 1,
                "spec": {"a": "x", "b": 1, "m": {"k": {"x": 1, "y": 2}}, "l": [{"x": 1}, {"z": 1}]}}),
            json!({"apiVersion": "v1", "metadata": {"name": "a"},
                "spec": {"a": "x", "m": {"k": {"x": 1}}, "l": [{"x": 1}, {}]}}),
            &["metadata.odd", "other", "spec.b", "spec.l[1].z", "spec.m.k.y"],
        );
    }

    #[test]
    fn preserved_fields_stay_but_not_below_known_ones() {
        let schema =
            object(json!({"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "a": {"type": "object", "properties": {"x": {"type": "string"}}}}}}));
        check(
            schema,
            json!({"spec": {"a": {"x": "1", "y": 1}, "b": {"c": 1}}}),
            json!({"spec": {"a": {"x": "1"}, "b": {"c": 1}}}),
            &["spec.a.y"],
        );
    }

    #[test]
    fn embedded_resources_have_metadata() {
        let schema = object(json!({"template": {"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}}}));
        check(
            schema,
            json!({"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "odd": 1}, "x": 1, "spec": {}}}),
            json!({"template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {}}}),
            &["template.x", "template.metadata.odd"],
        );
    }

    #[test]
    fn nulls_without_meaning_go() {
        let schema = object(json!({
            "a": {"type": "string"}, "b": {"type": "string", "nullable": true}, "c": {"type": "string", "default": "x"}}));
        check(schema, json!({"a": null, "b": null, "c": null}), json!({"b": null, "c": null}), &[]);
    }

    #[test]
    fn kept_metadata_that_cannot_be_read_is_dropped() {
        let (custom, roots) = Custom::build(std::iter::once((&json!({"type": "object"}), false))).unwrap();
        let mut kept = json!({"metadata": {"name": "a", "labels": 3}});
        assert!(coerce(custom.place(roots[0]), &mut kept.clone(), Malformed::Refused).is_err());
        coerce(custom.place(roots[0]), &mut kept, Malformed::Dropped).unwrap();
        assert_eq!(kept, json!({"metadata": {"name": "a"}}));
    }
}
