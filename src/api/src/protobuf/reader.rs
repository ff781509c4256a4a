//! Reads messages by their schema.

use super::ProtobufError;
use crate::check;
use crate::clock;
use crate::schema::{Field, Node, Scalar, Shape, Struct};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// A value as it lies in the message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// A field as it lies in the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    pub number: u64,
    pub value: Wire<'a>,
}

impl<'a> Found<'a> {
    fn wrong(self, field: &str) -> ProtobufError {
        let wire = match self.value {
            Wire::Varint(_) => 0,
            Wire::Fixed64(_) => 1,
            Wire::Bytes(_) => 2,
            Wire::Fixed32 => 5,
        };
        ProtobufError::WrongWire { wire, field: field.to_owned() }
    }

    fn bytes(self, field: &str) -> Result<&'a [u8], ProtobufError> {
        if let Wire::Bytes(bytes) = self.value { Ok(bytes) } else { Err(self.wrong(field)) }
    }

    pub(super) fn text(self, field: &str) -> Result<&'a str, ProtobufError> {
        std::str::from_utf8(self.bytes(field)?).map_err(|_| malformed(field, "is not UTF-8 text"))
    }

    fn number(self, field: &str) -> Result<u64, ProtobufError> {
        if let Wire::Varint(number) = self.value { Ok(number) } else { Err(self.wrong(field)) }
    }
}

fn malformed(field: &str, why: &'static str) -> ProtobufError {
    ProtobufError::Malformed { field: field.to_owned(), why }
}

/// The fields of a message, in order.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Fields<'a> {
        Fields(bytes)
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(ProtobufError::Truncated)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
            if *byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Truncated)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtobufError> {
        let length = usize::try_from(length).map_err(|_| ProtobufError::Truncated)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Found<'a>, ProtobufError> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                Wire::Fixed64(bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
            }
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Wire::Fixed32
            }
            wire => return Err(ProtobufError::WrongWire { wire: wire as u8, field: format!("number {}", key >> 3) }),
        };
        Ok(Found { number: key >> 3, value })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Found<'a>, ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// A message of that type.
pub(super) fn read(own: Struct<'_>, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, ProtobufError> {
    let mut out = Map::new();
    read_into(own, &mut Vec::new(), bytes, depth, &mut out)?;
    Ok(out)
}

/// Reads the fields whose numbers begin with `prefix`: those of a message that JSON does not show.
fn read_into(
    own: Struct<'_>,
    prefix: &mut Vec<u8>,
    bytes: &[u8],
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    if depth == 0 {
        return Err(malformed(own.go_name(), "is nested too deep"));
    }
    for found in Fields::of(bytes) {
        let found = found?;
        let Ok(number) = u8::try_from(found.number) else { continue };
        prefix.push(number);
        let field = own.fields().find(|field| field.wire_path() == prefix.as_slice());
        if let Some(field) = field {
            read_field(field, found, depth, out)?;
        } else if own.fields().any(|field| field.wire_path().starts_with(prefix)) {
            read_into(own, prefix, found.bytes(own.go_name())?, depth - 1, out)?;
        }
        prefix.pop();
    }
    Ok(())
}

fn read_field(
    field: Field<'_>,
    found: Found<'_>,
    depth: usize,
    out: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    let name = field.name();
    match field.node().shape() {
        Shape::List(item) if field.is_wire_wrapped() => {
            let list = wrapped_list(item, found, name, depth)?;
            out.insert(name.to_owned(), list);
        }
        Shape::List(item) => {
            let value = value(item, found, name, depth)?;
            let list = out.entry(name).or_insert_with(|| json!([]));
            if let Some(list) = list.as_array_mut() {
                list.push(value);
            }
        }
        Shape::Map(item) => {
            let (key, value) = entry(item, found, name, depth)?;
            let map = out.entry(name).or_insert_with(|| json!({}));
            if let Some(map) = map.as_object_mut() {
                map.insert(key, value);
            }
        }
        _ => {
            let value = value(field.node(), found, name, depth)?;
            if !value.is_null() {
                out.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn wrapped_list(item: Node<'_>, found: Found<'_>, name: &str, depth: usize) -> Result<Value, ProtobufError> {
    let mut list = Vec::new();
    for found in Fields::of(found.bytes(name)?) {
        let found = found?;
        if found.number == 1 {
            list.push(value(item, found, name, depth)?);
        }
    }
    Ok(Value::Array(list))
}

fn entry(item: Node<'_>, found: Found<'_>, name: &str, depth: usize) -> Result<(String, Value), ProtobufError> {
    let mut key = String::new();
    // An entry without value holds the zero value.
    let mut out = match item.shape() {
        Shape::Scalar(Scalar::String | Scalar::Bytes) => json!(""),
        Shape::Scalar(Scalar::Quantity) => json!("0"),
        Shape::Scalar(Scalar::Time | Scalar::MicroTime) => Value::Null,
        Shape::List(_) => json!([]),
        _ => json!({}),
    };
    for found in Fields::of(found.bytes(name)?) {
        let found = found?;
        match (found.number, item.shape()) {
            (1, _) => key = found.text(name)?.to_owned(),
            (2, Shape::List(inner)) => out = wrapped_list(inner, found, name, depth)?,
            (2, _) => out = value(item, found, name, depth)?,
            _ => {}
        }
    }
    Ok((key, out))
}

/// Null is a time that was never set.
fn value(node: Node<'_>, found: Found<'_>, name: &str, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match node.shape() {
        Shape::Struct(own) => {
            let mut out = Map::new();
            read_into(own, &mut Vec::new(), found.bytes(name)?, depth - 1, &mut out)?;
            Value::Object(out)
        }
        Shape::Scalar(Scalar::String) => Value::from(found.text(name)?),
        Shape::Scalar(Scalar::Bytes) => Value::String(STANDARD.encode(found.bytes(name)?)),
        Shape::Scalar(Scalar::Bool) => Value::Bool(found.number(name)? != 0),
        Shape::Scalar(Scalar::Int32) => Value::from(found.number(name)? as i32),
        Shape::Scalar(Scalar::Int64) => Value::from(found.number(name)? as i64),
        Shape::Scalar(Scalar::Double) => {
            let Wire::Fixed64(bits) = found.value else { return Err(found.wrong(name)) };
            Number::from_f64(f64::from_bits(bits)).map_or(Value::Null, Value::Number)
        }
        Shape::Scalar(Scalar::Quantity) => {
            let mut text = "0";
            for found in Fields::of(found.bytes(name)?) {
                let found = found?;
                if found.number == 1 {
                    text = found.text(name)?;
                }
            }
            Value::from(text)
        }
        Shape::Scalar(Scalar::IntOrString) => int_or_string(found.bytes(name)?, name)?,
        Shape::Scalar(kind @ (Scalar::Time | Scalar::MicroTime)) => time(kind, found.bytes(name)?, name)?,
        Shape::Raw => raw(found.bytes(name)?, name)?.unwrap_or_else(|| json!({})),
        Shape::Any | Shape::Deduced => any(node, found.bytes(name)?, name, depth)?,
        // Only lists and maps in lists and maps, of which Kubernetes has none.
        Shape::List(_) | Shape::Map(_) => Value::Null,
    })
}

fn int_or_string(bytes: &[u8], name: &str) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    for found in Fields::of(bytes) {
        let found = found?;
        match found.number {
            1 => is_text = found.number(name)? == 1,
            2 => number = found.number(name)? as i32,
            3 => text = found.text(name)?,
            _ => {}
        }
    }
    Ok(if is_text { Value::from(text) } else { Value::from(number) })
}

fn time(kind: Scalar, bytes: &[u8], name: &str) -> Result<Value, ProtobufError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for found in Fields::of(bytes) {
        let found = found?;
        match found.number {
            1 => seconds = found.number(name)? as i64,
            2 => nanos = found.number(name)? as i32,
            _ => {}
        }
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    // The year 9999 is the last that RFC 3339 can write.
    const LAST: i64 = 253_402_300_799;
    let at =
        base.filter(|_| (-62_135_596_800..=LAST).contains(&seconds)).ok_or_else(|| malformed(name, "is no time"))?;
    let at = at + Duration::from_nanos(nanos.clamp(0, 999_999_999) as u64);
    Ok(Value::String(if kind == Scalar::Time { clock::rfc3339(at) } else { clock::micro(at) }))
}

/// The JSON in a message that holds nothing else; `None` if it holds none.
fn raw(bytes: &[u8], name: &str) -> Result<Option<Value>, ProtobufError> {
    for found in Fields::of(bytes) {
        let found = found?;
        if found.number == 1 {
            let bytes = found.bytes(name)?;
            if bytes.is_empty() {
                return Ok(None);
            }
            return serde_json::from_slice(bytes).map(Some).map_err(|_| malformed(name, "is not JSON"));
        }
    }
    Ok(None)
}

/// The types of a CRD's schema that may be one thing or another.
fn any(node: Node<'_>, bytes: &[u8], name: &str, depth: usize) -> Result<Value, ProtobufError> {
    let kind = node.name().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
    if kind == "JSON" {
        return Ok(raw(bytes, name)?.unwrap_or(Value::Null));
    }
    let schema = |bytes: &[u8]| -> Result<Value, ProtobufError> {
        let Some(own) = props(node) else { return Ok(Value::Null) };
        let mut out = Map::new();
        read_into(own, &mut Vec::new(), bytes, depth - 1, &mut out)?;
        let mut out = Value::Object(out);
        // What is below is any JSON to whoever checks the object as a whole.
        match check::prune(own, &mut out) {
            Ok(_) => Ok(out),
            Err(_) => Err(malformed(name, "does not fit its type")),
        }
    };
    let (mut one, mut many, mut allows) = (None, Vec::new(), false);
    for found in Fields::of(bytes) {
        let found = found?;
        match (kind, found.number) {
            ("JSONSchemaPropsOrBool", 1) => allows = found.number(name)? != 0,
            ("JSONSchemaPropsOrBool", 2) | (_, 1) => one = Some(schema(found.bytes(name)?)?),
            ("JSONSchemaPropsOrArray", 2) => many.push(schema(found.bytes(name)?)?),
            ("JSONSchemaPropsOrStringArray", 2) => many.push(Value::from(found.text(name)?)),
            _ => {}
        }
    }
    Ok(match one {
        Some(one) => one,
        None if kind == "JSONSchemaPropsOrBool" => Value::Bool(allows),
        None => Value::Array(many),
    })
}

/// The schema of schemas.
pub(super) fn props(_: Node<'_>) -> Option<Struct<'static>> {
    crate::schema::named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")?.as_struct()
}
