//! Between values and JSON.
//!
//! In: texts in a format; values that an expression came to. Out: values; JSON of bounded depth. Never borrows.

use base64::Engine as _;
use serde_json::{Map as JsonMap, Number, Value as Json};

use super::{Map, Value};
use crate::declare::Form;
use crate::fault::Fault;
use crate::library::times;

/// The value of a text in a format.
pub(super) fn formatted<'a>(text: &str, form: &Form) -> Result<Value<'a>, Fault> {
    match form {
        Form::Duration => times::parse_duration(text)
            .map(Value::Duration)
            .ok_or_else(|| Fault::new(format!("Invalid duration {text}: unable to parse as a duration"))),
        Form::Time => times::Time::parse(text)
            .or_else(|| times::Time::parse(&format!("{text}T00:00:00Z")))
            .map(Value::Time)
            .ok_or_else(|| Fault::new(format!("Invalid date-time formatted string {text}"))),
        _ => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(|bytes| Value::Bytes(bytes.into()))
            .map_err(|why| Fault::new(format!("Invalid byte formatted string {text}: {why}"))),
    }
}

impl Value<'_> {
    /// The value as JSON.
    pub fn to_json(&self) -> Result<Json, Fault> {
        Ok(match self {
            Value::Null => Json::Null,
            Value::Bool(is) => Json::Bool(*is),
            Value::Int(number) => Json::from(*number),
            Value::Uint(number) => Json::from(*number),
            Value::Double(number) => Number::from_f64(*number).map(Json::Number).ok_or_else(|| no_json(self))?,
            Value::Text(text) => Json::String(text.to_string()),
            Value::Bytes(bytes) => Json::String(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Value::Duration(nanos) => Json::String(times::duration_text(*nanos)),
            Value::Time(time) => Json::String(time.to_string()),
            Value::List(list) => {
                let mut items = Vec::with_capacity(list.len());
                for item in list.iter() {
                    items.push(item?.to_json()?);
                }
                Json::Array(items)
            }
            Value::Map(Map::Json(map, _)) => Json::Object((*map).clone()),
            Value::Map(Map::Made(map)) => {
                let mut out = JsonMap::new();
                for (key, value) in map.iter() {
                    let Value::Text(key) = key.value() else { return Err(no_json(self)) };
                    out.insert(key.to_string(), value.to_json()?);
                }
                Json::Object(out)
            }
            Value::Struct(made) => {
                let mut out = JsonMap::new();
                for (name, value) in &made.fields {
                    out.insert(name.to_string(), value.to_json()?);
                }
                Json::Object(out)
            }
            Value::Optional(Some(inner)) => inner.to_json()?,
            Value::Quantity(quantity) => Json::String(quantity.to_string()),
            Value::Ip(ip) => Json::String(ip.to_string()),
            Value::Cidr(ip, bits) => Json::String(format!("{ip}/{bits}")),
            other => return Err(no_json(other)),
        })
    }
}

fn no_json(value: &Value<'_>) -> Fault {
    Fault::new(format!("type conversion error from '{}' to JSON", value.kind().name()))
}
