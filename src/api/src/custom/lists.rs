//! Lists that are sets or maps: no value, and no combination of keys, twice.
//!
//! In: a schema and a value. Out: the faults, each at the second of its kind.

use crate::field::{Fault, FieldError};
use crate::schema::ListType;
use crate::schema::custom::{Additional, Place};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Judges every list below.
pub fn judge(schema: Place<'_>, object: &Value) -> Vec<FieldError> {
    let mut out = Vec::new();
    walk(schema, object, "", &mut out);
    out
}

fn walk(schema: Place<'_>, value: &Value, path: &str, out: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                match (schema.property(name), schema.additional()) {
                    (Some(below), _) => walk(below, value, &format!("{path}{dot}{name}"), out),
                    (None, Some(Additional::Schema(below))) => walk(below, value, &format!("{path}[{name}]"), out),
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            match schema.list_type() {
                ListType::Atomic => {}
                ListType::Set => twice(list.iter().cloned(), path, out),
                keys @ ListType::Map(_) => items(keys, list, path, out),
            }
            if let Some(items) = schema.items() {
                for (index, value) in list.iter().enumerate() {
                    walk(items, value, &format!("{path}[{index}]"), out);
                }
            }
        }
        _ => {}
    }
}

fn items(keys: ListType<'_>, list: &[Value], path: &str, out: &mut Vec<FieldError>) {
    if let Some((index, item)) = list.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        out.push(FieldError {
            fault: Fault::Invalid,
            field: format!("{path}[{index}]"),
            value: item.clone(),
            detail: "must be an object for an array of list-type map".to_owned(),
        });
        return;
    }
    let identity = |item: &Value| {
        let pairs = keys.keys().filter_map(|key| Some((key.to_owned(), item.get(key)?.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    twice(list.iter().map(identity), path, out);
}

fn twice(values: impl Iterator<Item = Value>, path: &str, out: &mut Vec<FieldError>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            let field = format!("{path}[{index}]");
            out.push(FieldError { fault: Fault::Duplicate, field, value, detail: String::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Custom;
    use serde_json::json;

    #[track_caller]
    fn check(object: Value, expected: &[&str]) {
        let schema = json!({"type": "object", "properties": {
            "s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
                "items": {"type": "object"}},
            "o": {"type": "object", "additionalProperties": {"type": "array", "x-kubernetes-list-type": "set"}}}});
        let (custom, roots) = Custom::build(std::iter::once((&schema, false))).unwrap();
        let seen: Vec<String> = judge(custom.place(roots[0]), &object).iter().map(ToString::to_string).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn nothing_is_there_twice() {
        check(json!({"s": ["a", "b"], "m": [{"a": 1, "b": 1}, {"a": 1, "b": 2}]}), &[]);
        check(json!({"s": ["a", "b", "a", "a"]}), &["s[2]: Duplicate value: \"a\""]);
        check(json!({"m": [{"a": 1, "c": 1}, {"a": 1, "c": 2}]}), &["m[1]: Duplicate value: {\"a\":1}"]);
        check(json!({"m": [1]}), &["m[0]: Invalid value: 1: must be an object for an array of list-type map"]);
        check(json!({"o": {"k": [1, 1]}}), &["o[k][1]: Duplicate value: 1"]);
    }
}
