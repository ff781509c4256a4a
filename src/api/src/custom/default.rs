//! Fills in the defaults of a custom schema.
//!
//! In: a schema and a value. Out: the value with defaults where nothing was said, or null where null is no value.
//! Twice changes nothing.

use crate::schema::custom::{Additional, Place};
use serde_json::Value;

/// Fills in everything below.
pub fn fill(schema: Place<'_>, value: &mut Value) {
    if !schema.has_defaults() {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, below) in schema.properties() {
                if below.default_json().is_empty() {
                    continue;
                }
                if map.get(name).is_none_or(|value| value.is_null() && !below.is_nullable()) {
                    map.insert(name.to_owned(), default(below));
                }
            }
            for (name, value) in map.iter_mut() {
                match (schema.property(name), schema.additional()) {
                    (Some(below), _) => fill(below, value),
                    (None, Some(Additional::Schema(below))) => item(below, value),
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                list.iter_mut().for_each(|value| item(items, value));
            }
        }
        _ => {}
    }
}

/// A value that has no name of its own: only a null is replaced.
fn item(schema: Place<'_>, value: &mut Value) {
    if value.is_null() && !schema.is_nullable() {
        *value = default(schema);
    }
    fill(schema, value);
}

fn default(schema: Place<'_>) -> Value {
    // The text was written from a value when the definition was compiled.
    serde_json::from_str(schema.default_json()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Custom;
    use serde_json::json;

    #[track_caller]
    fn check(mut object: Value, expected: Value) {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "string", "default": "A"},
            "n": {"type": "string", "default": "N", "nullable": true},
            "o": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 5}}},
            "l": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
            "m": {"type": "object", "additionalProperties": {"type": "string", "default": "v"}}}});
        let (custom, roots) = Custom::build(std::iter::once((&schema, false))).unwrap();
        for _ in 0..2 {
            fill(custom.place(roots[0]), &mut object);
            assert_eq!(object, expected);
        }
    }

    #[test]
    fn defaults_stand_where_nothing_was_said() {
        check(json!({}), json!({"a": "A", "n": "N", "o": {"x": 5}}));
        check(json!({"a": null, "n": null, "o": {}}), json!({"a": "A", "n": null, "o": {"x": 5}}));
        check(
            json!({"a": "b", "l": [{}, {"p": "UDP"}], "m": {"k": null, "j": "w"}}),
            json!({"a": "b", "n": "N", "o": {"x": 5}, "l": [{"p": "TCP"}, {"p": "UDP"}], "m": {"k": "v", "j": "w"}}),
        );
    }
}
