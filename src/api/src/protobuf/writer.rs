//! Writes messages by their schema. What a schema does not know, and what is of another type, is left out.

use super::MAGIC;
use super::reader::props;
use crate::clock;
use crate::schema::{Field, Node, Scalar, Shape, Struct};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::time::UNIX_EPOCH;

#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn number(&mut self, field: u8, number: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(number);
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.varint((u64::from(field) << 3) | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

pub(super) fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut meta = Message::default();
    meta.bytes(1, api_version.as_bytes());
    meta.bytes(2, kind.as_bytes());
    let mut out = Message(MAGIC.to_vec());
    out.bytes(1, &meta.0);
    out.bytes(2, raw);
    out.bytes(3, b"");
    out.bytes(4, b"");
    out.0
}

pub(super) fn watch_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut raw = Message::default();
    raw.bytes(1, object);
    let mut event = Message::default();
    event.bytes(1, kind.as_bytes());
    event.bytes(2, &raw.0);
    let length = u32::try_from(event.0.len()).unwrap_or(u32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend(event.0);
    out
}

/// A message of that type.
pub(super) fn message(own: Struct<'_>, map: &Map<String, Value>) -> Vec<u8> {
    let mut fields: Vec<(&[u8], Field<'_>, &Value)> = map
        .iter()
        .filter_map(|(name, value)| {
            let field = own.field(name)?;
            let path = field.wire_path();
            (!path.is_empty() && !value.is_null()).then_some((path, field, value))
        })
        .collect();
    fields.sort_by_key(|(path, ..)| *path);
    nested(&fields, 0)
}

/// Fields sorted by path, from the number at `level` on: those that share it are in one message.
fn nested(fields: &[(&[u8], Field<'_>, &Value)], level: usize) -> Vec<u8> {
    let mut out = Message::default();
    let mut rest = fields;
    while let Some((path, field, value)) = rest.first() {
        let number = path[level];
        let count = rest.iter().take_while(|(path, ..)| path[level] == number).count();
        let (same, others) = rest.split_at(count);
        rest = others;
        if path.len() == level + 1 {
            write_field(&mut out, number, *field, value);
        } else {
            out.bytes(number, &nested(same, level + 1));
        }
    }
    out.0
}

fn write_field(out: &mut Message, number: u8, field: Field<'_>, value: &Value) {
    match (field.node().shape(), value) {
        (Shape::List(item), Value::Array(list)) if field.is_wire_wrapped() => {
            out.bytes(number, &list_message(item, list));
        }
        (Shape::List(item), Value::Array(list)) => list.iter().for_each(|value| write(out, number, item, value)),
        (Shape::Map(item), Value::Object(map)) => {
            for (key, value) in map {
                let mut entry = Message::default();
                entry.bytes(1, key.as_bytes());
                match (item.shape(), value) {
                    (Shape::List(inner), Value::Array(list)) => entry.bytes(2, &list_message(inner, list)),
                    // A time that was never set.
                    (_, Value::Null) => entry.bytes(2, &[]),
                    _ => write(&mut entry, 2, item, value),
                }
                out.bytes(number, &entry.0);
            }
        }
        _ => write(out, number, field.node(), value),
    }
}

fn list_message(item: Node<'_>, list: &[Value]) -> Vec<u8> {
    let mut out = Message::default();
    list.iter().for_each(|value| write(&mut out, 1, item, value));
    out.0
}

fn write(out: &mut Message, number: u8, node: Node<'_>, value: &Value) {
    match (node.shape(), value) {
        (Shape::Struct(own), Value::Object(map)) => out.bytes(number, &message(own, map)),
        (Shape::Scalar(Scalar::String), Value::String(text)) => out.bytes(number, text.as_bytes()),
        (Shape::Scalar(Scalar::Bytes), Value::String(text)) => {
            let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            out.bytes(number, &STANDARD.decode(text).unwrap_or_default());
        }
        (Shape::Scalar(Scalar::Bool), Value::Bool(value)) => out.number(number, u64::from(*value)),
        (Shape::Scalar(Scalar::Int32 | Scalar::Int64), Value::Number(value)) => {
            out.number(number, value.as_i64().unwrap_or_default() as u64);
        }
        (Shape::Scalar(Scalar::Double), Value::Number(value)) => {
            out.varint((u64::from(number) << 3) | 1);
            out.0.extend(value.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Shape::Scalar(Scalar::Quantity), value) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut inner = Message::default();
            inner.bytes(1, text.as_bytes());
            out.bytes(number, &inner.0);
        }
        (Shape::Scalar(Scalar::IntOrString), value) => {
            let text = value.as_str();
            let mut inner = Message::default();
            inner.number(1, u64::from(text.is_some()));
            inner.number(2, value.as_i64().unwrap_or_default() as u64);
            inner.bytes(3, text.unwrap_or_default().as_bytes());
            out.bytes(number, &inner.0);
        }
        (Shape::Scalar(Scalar::Time | Scalar::MicroTime), Value::String(text)) => {
            out.bytes(number, &time(text));
        }
        (Shape::Raw, value) => out.bytes(number, &raw(value)),
        (Shape::Any | Shape::Deduced, value) => out.bytes(number, &any(node, value)),
        _ => {}
    }
}

fn time(text: &str) -> Vec<u8> {
    let mut out = Message::default();
    if let Some(at) = clock::parse(text) {
        let (seconds, nanos) = match at.duration_since(UNIX_EPOCH) {
            Ok(after) => (after.as_secs() as i64, after.subsec_nanos()),
            // Before 1970 the whole second below counts up.
            Err(before) => {
                let before = before.duration();
                let is_whole = before.subsec_nanos() == 0;
                let nanos = if is_whole { 0 } else { 1_000_000_000 - before.subsec_nanos() };
                (-(before.as_secs() as i64) - i64::from(!is_whole), nanos)
            }
        };
        out.number(1, seconds as u64);
        out.number(2, u64::from(nanos));
    }
    out.0
}

fn raw(value: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.bytes(1, value.to_string().as_bytes());
    out.0
}

fn any(node: Node<'_>, value: &Value) -> Vec<u8> {
    let kind = node.name().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
    let mut out = Message::default();
    let schema = |value: &Value| match (props(node), value.as_object()) {
        (Some(own), Some(map)) => message(own, map),
        _ => Vec::new(),
    };
    match (kind, value) {
        ("JSON", value) => return raw(value),
        ("JSONSchemaPropsOrBool", Value::Bool(value)) => out.number(1, u64::from(*value)),
        ("JSONSchemaPropsOrBool", value) => {
            out.number(1, 1);
            out.bytes(2, &schema(value));
        }
        ("JSONSchemaPropsOrArray", Value::Array(list)) => list.iter().for_each(|value| out.bytes(2, &schema(value))),
        ("JSONSchemaPropsOrStringArray", Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).for_each(|text| out.bytes(2, text.as_bytes()));
        }
        (_, value) => out.bytes(1, &schema(value)),
    }
    out.0
}
