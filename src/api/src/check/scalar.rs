//! Single values: what Go's decoder takes for each type and the form in which Kubernetes writes it again.
//!
//! In: a type and a value that is not null. Out: the value in canonical form, or what Go would say.

use crate::clock;
use crate::quantity::Quantity;
use crate::schema::{Scalar, Shape};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Why a value is not of its type.
pub(super) enum Fault {
    /// Go's decoder names the kind of value and the type that was wanted.
    Type { value: Cow<'static, str>, wanted: &'static str },
    /// The type decodes itself and has words of its own.
    Own(String),
}

/// Go's word for the kind of a JSON value.
pub(super) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Go's name of the type.
pub(super) fn go_name(kind: Scalar) -> &'static str {
    match kind {
        Scalar::String | Scalar::Time | Scalar::MicroTime => "string",
        Scalar::Bytes => "[]uint8",
        Scalar::Bool => "bool",
        Scalar::Int32 | Scalar::IntOrString => "int32",
        Scalar::Int64 => "int64",
        Scalar::Double => "float64",
        Scalar::Quantity => "resource.Quantity",
    }
}

/// What a null in a list or map stands for.
pub(super) fn zero(shape: Shape<'_>) -> Value {
    match shape {
        Shape::Scalar(Scalar::String | Scalar::Bytes) => Value::String(String::new()),
        Shape::Scalar(Scalar::Bool) => Value::Bool(false),
        Shape::Scalar(Scalar::Quantity) => Value::String("0".to_owned()),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString) => Value::from(0),
        Shape::Struct(_) | Shape::Map(_) | Shape::Raw => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Scalar(Scalar::Time | Scalar::MicroTime) | Shape::Any | Shape::Deduced => Value::Null,
    }
}

/// Whether Go's `omitempty` leaves this value out.
pub(super) fn is_zero(shape: Shape<'_>, value: &Value) -> bool {
    match (shape, value) {
        (Shape::Scalar(Scalar::String | Scalar::Bytes), Value::String(text)) => text.is_empty(),
        (Shape::Scalar(Scalar::Bool), Value::Bool(value)) => !value,
        (Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Double), Value::Number(number)) => {
            number.as_f64() == Some(0.0)
        }
        (Shape::List(_), Value::Array(list)) => list.is_empty(),
        (Shape::Map(_), Value::Object(map)) => map.is_empty(),
        _ => false,
    }
}

/// Holds a value against a type and writes it in canonical form.
pub(super) fn canonical(kind: Scalar, value: &mut Value) -> Result<(), Fault> {
    let wrong = |value: &Value| Fault::Type { value: go_kind(value).into(), wanted: go_name(kind) };
    // Types that decode themselves lose sight of the field they are in.
    let wrong_own = |value: &Value, wanted| {
        Fault::Own(format!("json: cannot unmarshal {} into Go value of type {wanted}", go_kind(value)))
    };
    match (kind, &*value) {
        (Scalar::String, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) | (Scalar::Double, Value::Number(_)) => {
            Ok(())
        }
        (Scalar::Int32, Value::Number(number)) => {
            let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            if fits { Ok(()) } else { Err(Fault::Type { value: format!("number {number}").into(), wanted: "int32" }) }
        }
        (Scalar::Int64, Value::Number(number)) => {
            if number.is_i64() {
                Ok(())
            } else {
                Err(Fault::Type { value: format!("number {number}").into(), wanted: "int64" })
            }
        }
        (Scalar::IntOrString, Value::String(_)) => Ok(()),
        (Scalar::IntOrString, Value::Number(number)) => {
            let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            if fits {
                Ok(())
            } else {
                Err(Fault::Own(format!("json: cannot unmarshal number {number} into Go value of type int32")))
            }
        }
        (Scalar::IntOrString, value) => Err(wrong_own(value, "int32")),
        (Scalar::Bytes, Value::String(text)) => {
            base64_fault(text).map_or(Ok(()), |at| Err(Fault::Own(format!("illegal base64 data at input byte {at}"))))
        }
        (Scalar::Quantity, given) => {
            let quantity = Quantity::from_json(given).map_err(|error| Fault::Own(error.to_string()))?;
            let text = quantity.to_string();
            if given.as_str() != Some(&text) {
                *value = Value::String(text);
            }
            Ok(())
        }
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            let Some(time) = clock::parse(text) else {
                let layout =
                    if kind == Scalar::Time { "2006-01-02T15:04:05Z07:00" } else { "2006-01-02T15:04:05.000000Z07:00" };
                return Err(Fault::Own(format!(
                    "parsing time \"{text}\" as \"{layout}\": cannot parse \"{text}\" as \"2006\""
                )));
            };
            let canonical = if kind == Scalar::Time { clock::rfc3339(time) } else { clock::micro(time) };
            if *text != canonical {
                *value = Value::String(canonical);
            }
            Ok(())
        }
        // A time that was never set; only maps of times hold it.
        (Scalar::Time | Scalar::MicroTime, Value::Null) => Ok(()),
        (Scalar::Time | Scalar::MicroTime, value) => Err(wrong_own(value, "string")),
        (_, value) => Err(wrong(value)),
    }
}

/// The offset of the first byte that is not base64, as Go's decoder counts it (line ends are skipped).
fn base64_fault(text: &str) -> Option<usize> {
    let mut digits = 0usize;
    let mut padding = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'=' => {
                padding += 1;
                if digits % 4 < 2 || digits % 4 + padding > 4 {
                    return Some(at);
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => digits += 1,
            _ => return Some(at),
        }
    }
    if (digits + padding).is_multiple_of(4) { None } else { Some(text.len()) }
}
