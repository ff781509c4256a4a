//! What `/scale` reads of a custom object: numbers of replicas and a selector, whatever the schema says.
//!
//! In: paths and an object. Out: faults.

use super::Scale;
use crate::field::{Fault, FieldError};
use serde_json::Value;

/// Judges them; the wanted number only if `with_spec`.
pub fn replicas(scale: &Scale, object: &Value, with_spec: bool, out: &mut Vec<FieldError>) {
    let mut number = |path: &str| {
        let mut push = |value: Value, detail: String| {
            out.push(FieldError { fault: Fault::Invalid, field: format!(".{path}"), value, detail });
        };
        match walk(object, path) {
            Ok(None) => {}
            Ok(Some(value)) => match value.as_i64() {
                None => push(0.into(), accessor(path, value, "int64")),
                Some(count) if count < 0 => push(count.into(), "should be a non-negative integer".to_owned()),
                Some(count) if count > i64::from(i32::MAX) => {
                    push(count.into(), format!("should be less than or equal to {}", i32::MAX));
                }
                Some(_) => {}
            },
            Err((at, value)) => push(0.into(), accessor(&at, value, "map[string]interface{}")),
        }
    };
    if with_spec {
        number(&scale.spec);
    }
    number(&scale.status);
    if !scale.selector.is_empty() {
        let path = &*scale.selector;
        let fault = match walk(object, path) {
            Ok(Some(value)) if !value.is_string() => Some(accessor(path, value, "string")),
            Err((at, value)) => Some(accessor(&at, value, "map[string]interface{}")),
            _ => None,
        };
        if let Some(detail) = fault {
            out.push(FieldError { fault: Fault::Invalid, field: format!(".{path}"), value: "".into(), detail });
        }
    }
}

/// The value at a path of fields; a fault where something on the way is no object.
fn walk<'v>(object: &'v Value, path: &str) -> Result<Option<&'v Value>, (String, &'v Value)> {
    let (mut at, mut gone) = (object, String::new());
    for name in path.split('.') {
        let Some(map) = at.as_object() else {
            return if at.is_null() { Ok(None) } else { Err((gone, at)) };
        };
        let Some(below) = map.get(name) else { return Ok(None) };
        if !gone.is_empty() {
            gone.push('.');
        }
        gone.push_str(name);
        at = below;
    }
    Ok(Some(at))
}

fn accessor(path: &str, value: &Value, wanted: &str) -> String {
    let seen = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    format!(".{path} accessor error: {value} is of the type {seen}, expected {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn replicas_are_numbers_in_range() {
        let scale = Scale {
            spec: "spec.replicas".into(),
            status: "status.replicas".into(),
            selector: "status.selector".into(),
        };
        let mut out = Vec::new();
        replicas(
            &scale,
            &json!({"spec": {"replicas": -1}, "status": {"replicas": "x", "selector": 1}}),
            true,
            &mut out,
        );
        let seen: Vec<String> = out.iter().map(ToString::to_string).collect();
        assert_eq!(
            seen,
            [
                ".spec.replicas: Invalid value: -1: should be a non-negative integer",
                ".status.replicas: Invalid value: 0: .status.replicas accessor error: \"x\" is of the type string, expected int64",
                ".status.selector: Invalid value: \"\": .status.selector accessor error: 1 is of the type int64, expected string",
            ]
        );
    }
}
