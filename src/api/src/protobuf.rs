//! Built-in kinds as protobuf (`application/vnd.kubernetes.protobuf`), which Go clients speak among themselves.
//!
//! In: an object as JSON and its schema, or bytes of unknown origin. Out: the other. Unknown field numbers are
//! skipped, as protobuf wants. Never validates; what was decoded still goes through `check`.

mod reader;
mod writer;

use crate::kinds::Gvk;
use crate::schema::{self, Struct};
use reader::{Fields, Wire};
use serde_json::Value;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What every enveloped message begins with.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Messages inside each other; Kubernetes' deepest type, a CRD's schema, nests by what users write.
const DEPTH: usize = 100;

/// Why bytes are no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// It does not begin with `k8s\0`.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoMagic,
    /// It ends in the middle of something.
    #[error("unexpected EOF")]
    Truncated,
    /// A field is written in another way than its type is.
    #[error("proto: wrong wireType = {wire} for field {field}")]
    WrongWire {
        /// What was found.
        wire: u8,
        /// The field.
        field: String,
    },
    /// Text that is not UTF-8, JSON that is none, or messages nested too deep.
    #[error("proto: field {field}: {why}")]
    Malformed {
        /// The field.
        field: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The kind is not built in.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
    },
}

/// The parts of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The object's apiVersion; may be empty.
    pub api_version: &'a str,
    /// The object's kind; may be empty.
    pub kind: &'a str,
    /// The object's message, or its JSON if the content type says so.
    pub raw: &'a [u8],
    /// Empty for protobuf.
    pub content_type: &'a str,
}

/// Opens an envelope.
pub fn open(bytes: &[u8]) -> Result<Envelope<'_>, ProtobufError> {
    let body = bytes.strip_prefix(&MAGIC).ok_or(ProtobufError::NoMagic)?;
    let mut out = Envelope { api_version: "", kind: "", raw: &[], content_type: "" };
    for field in Fields::of(body) {
        let field = field?;
        match (field.number, field.value) {
            (1, Wire::Bytes(bytes)) => {
                for field in Fields::of(bytes) {
                    let field = field?;
                    match field.number {
                        1 => out.api_version = field.text("apiVersion")?,
                        2 => out.kind = field.text("kind")?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => out.raw = bytes,
            (4, Wire::Bytes(_)) => out.content_type = field.text("contentType")?,
            _ => {}
        }
    }
    Ok(out)
}

/// An enveloped object as JSON; `expected` says what it is where the envelope does not.
pub fn decode(bytes: &[u8], expected: Option<&Gvk>) -> Result<Value, ProtobufError> {
    let envelope = open(bytes)?;
    let gvk = match expected {
        Some(gvk) if envelope.kind.is_empty() => gvk.clone(),
        _ => Gvk::from_api_version(envelope.api_version, envelope.kind),
    };
    let unknown = || ProtobufError::UnknownKind { api_version: gvk.api_version(), kind: gvk.kind.to_string() };
    let own = schema_of(&gvk).ok_or_else(unknown)?;
    let mut object = message(own, envelope.raw)?;
    if let Some(map) = object.as_object_mut() {
        map.insert("apiVersion".to_owned(), Value::from(gvk.api_version()));
        map.insert("kind".to_owned(), Value::from(&*gvk.kind));
    }
    Ok(object)
}

/// Options, `Status` and their like belong to every group and version. Bare metadata is written as a kind of which only
/// the metadata is there, since every kind has it in the same place.
fn schema_of(gvk: &Gvk) -> Option<Struct<'static>> {
    if gvk.group == "meta.k8s.io" {
        match &*gvk.kind {
            "PartialObjectMetadata" => return schema::of(&Gvk::fixed("", "v1", "ConfigMap")),
            "PartialObjectMetadataList" => return schema::of(&Gvk::fixed("", "v1", "ConfigMapList")),
            _ => {}
        }
    }
    schema::of(gvk)
        .or_else(|| schema::of(&Gvk::new("", "v1", &gvk.kind)).filter(|own| own.name().contains(".meta.v1.")))
}

/// A bare message of a known type as JSON, without apiVersion and kind.
pub fn message(own: Struct<'_>, bytes: &[u8]) -> Result<Value, ProtobufError> {
    reader::read(own, bytes, DEPTH).map(Value::Object)
}

/// An object in an envelope that says its apiVersion and kind; `None` if its kind has no such form.
pub fn encode(object: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let own = schema_of(&Gvk::from_api_version(api_version, kind))?;
    let raw = writer::message(own, object.as_object()?);
    Some(writer::envelope(api_version, kind, &raw))
}

/// One event of a watch, framed: four bytes of length, then the message. `object` is in its envelope.
pub fn watch_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    writer::watch_frame(kind, object)
}

#[cfg(test)]
mod tests;
