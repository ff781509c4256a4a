//! Objects within custom objects (`x-kubernetes-embedded-resource`): they say what they are and have proper metadata.
//!
//! In: a schema and an object. Out: faults.

use crate::field::{Fault, FieldError};
use crate::name;
use crate::schema::custom::{Additional, Place};
use crate::validate;
use serde_json::Value;

/// Judges every embedded object; the root is judged like any object.
pub fn judge(schema: Place<'_>, object: &Value, out: &mut Vec<FieldError>) {
    if schema.has_embedded() {
        walk(schema, object, "", true, out);
    }
}

fn walk(schema: Place<'_>, value: &Value, path: &str, is_root: bool, out: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            if schema.is_embedded() && !is_root {
                one(value, path, out);
            }
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                match (schema.property(name), schema.additional()) {
                    (Some(below), _) => walk(below, value, &format!("{path}{dot}{name}"), false, out),
                    (None, Some(Additional::Schema(below))) => {
                        walk(below, value, &format!("{path}[{name}]"), false, out);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = schema.items() {
                for (index, value) in list.iter().enumerate() {
                    walk(items, value, &format!("{path}[{index}]"), false, out);
                }
            }
        }
        _ => {}
    }
}

fn one(object: &Value, path: &str, out: &mut Vec<FieldError>) {
    let fault = |fault: Fault, name: &str, value: Value, detail: String| FieldError {
        fault,
        field: format!("{path}.{name}"),
        value,
        detail,
    };
    for word in ["apiVersion", "kind"] {
        match object.get(word) {
            None => out.push(fault(Fault::Required, word, Value::Null, String::new())),
            Some(Value::String(text)) if text.is_empty() => {
                out.push(fault(Fault::Invalid, word, "".into(), "must not be empty".to_owned()));
            }
            Some(Value::String(text)) if word == "apiVersion" => {
                if text.matches('/').count() > 1 {
                    let why = format!("unexpected GroupVersion string: {text}");
                    out.push(fault(Fault::Invalid, word, text.as_str().into(), why));
                }
            }
            Some(Value::String(text)) => {
                if let Err(faults) = name::check_label_1035(&text.to_lowercase()) {
                    let why = format!("may have mixed case, but should otherwise match: {}", faults.join(","));
                    out.push(fault(Fault::Invalid, word, text.as_str().into(), why));
                }
            }
            Some(other) => out.push(fault(Fault::Invalid, word, other.clone(), "must be a string".to_owned())),
        }
    }
    if object.get("metadata").is_some_and(Value::is_object) {
        out.extend(validate::embedded_metadata(object).into_iter().map(|mut error| {
            error.field = format!("{path}.{}", error.field);
            error
        }));
    }
}
