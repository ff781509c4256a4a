//! From bytes to JSON values, within limits.
//!
//! In: JSON or YAML of unknown origin. Out: a value, the paths of keys that were given twice, or where it is wrong. What
//! YAML means is what it means to Kubernetes: `yes` without quotes is a truth, `0644` is octal.
//! Never looks at what a value means (`check.rs`), never allocates beyond what the limits allow.

mod builder;
mod order;
mod scalar;

pub use order::in_order;

use builder::{Build, Frame, State};
use serde::de::DeserializeSeed as _;
use serde_json::Value;

/// What a body may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of text.
    pub bytes: usize,
    /// Objects and arrays inside each other.
    pub depth: usize,
    /// Values in all, aliases expanded.
    pub values: usize,
    /// Documents in a YAML stream.
    pub documents: usize,
}

impl Limits {
    /// A request body: Kubernetes' 3 MiB; one value is at least two bytes of JSON, and a YAML alias
    /// must not make more of a text than it could have written out. Both parsers stop at depth 128 anyway.
    pub const REQUEST: Limits = Limits { bytes: 3 << 20, depth: 100, values: 1 << 20, documents: 1 };
    /// A manifest on a user's disk: large generated ones exist.
    pub const MANIFEST: Limits = Limits { bytes: 64 << 20, depth: 100, values: 16 << 20, documents: 100_000 };
}

/// A value and what was odd about its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The value; of a key given twice, the last.
    pub value: Value,
    /// Paths of keys that were given more than once, as in `spec.containers[0].name`.
    pub duplicates: Vec<String>,
}

impl From<Value> for Decoded {
    fn from(value: Value) -> Decoded {
        Decoded { value, duplicates: Vec::new() }
    }
}

/// One document of a YAML stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The line on which it starts, from 1.
    pub line: usize,
    /// What it says.
    pub decoded: Decoded,
}

/// Why bytes are no value.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecodeError {
    /// More bytes than allowed.
    #[error("the text is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More documents than one.
    #[error("there are more than {limit} documents")]
    TooManyDocuments {
        /// The limit.
        limit: usize,
    },
    /// Not JSON or YAML, too deep or too large.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// From 1; 0 where the parser does not know.
        line: usize,
        /// From 1; 0 where the parser does not know.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

/// One JSON value.
pub fn json(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    parse_json(bytes, limits, None)
}

/// JSON, whose numbers are those of YAML if `source` is there.
fn parse_json(bytes: &[u8], limits: &Limits, source: Option<&[u8]>) -> Result<Decoded, DecodeError> {
    fits(bytes, limits)?;
    let state = State::new(limits, source);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Build::root(&state, &Frame::Root)
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| json_fault(&error))?;
    Ok(Decoded { value, duplicates: state.into_duplicates() })
}

/// One YAML document; an empty one is null. One that is JSON, as most programs send it, is read as such: it means the
/// same and costs a fraction.
pub fn yaml(bytes: &[u8], limits: &Limits) -> Result<Decoded, DecodeError> {
    if bytes.first() == Some(&b'{')
        && let Ok(decoded) = parse_json(bytes, limits, Some(bytes))
    {
        return Ok(decoded);
    }
    let single = Limits { documents: 1, ..*limits };
    let document = yaml_documents(bytes, &single)?.pop();
    Ok(document.map_or_else(|| Value::Null.into(), |document| document.decoded))
}

/// Every document of a YAML stream (JSON is YAML too), empty ones left out.
pub fn yaml_documents(bytes: &[u8], limits: &Limits) -> Result<Vec<Document>, DecodeError> {
    fits(bytes, limits)?;
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    // A mark of the byte order is no part of the text, and positions of words would be off by it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for (line, part) in split_documents(text) {
        let state = State::new(limits, Some(part.as_bytes()));
        let value = Build::root(&state, &Frame::Root)
            .deserialize(serde_yaml::Deserializer::from_str(part))
            .map_err(|error| yaml_fault(&error, line))?;
        if value.is_null() {
            continue;
        }
        if documents.len() == limits.documents {
            return Err(DecodeError::TooManyDocuments { limit: limits.documents });
        }
        documents.push(Document {
            line: first_line(line, part),
            decoded: Decoded { value, duplicates: state.into_duplicates() },
        });
    }
    Ok(documents)
}

/// The one YAML document of a file of settings in Kubernetes' form, where a key given twice is a mistake.
pub fn settings(text: &str) -> Result<Value, String> {
    let decoded = yaml(text.as_bytes(), &Limits::MANIFEST).map_err(|fault| fault.to_string())?;
    match decoded.duplicates.first() {
        Some(path) => Err(format!("{path} is given twice")),
        None => Ok(decoded.value),
    }
}

/// JSON if it looks like it (an object or array first), else YAML: what files and standard input may hold.
pub fn any(bytes: &[u8], limits: &Limits) -> Result<Vec<Document>, DecodeError> {
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'['))
        && let Ok(decoded) = json(bytes, limits)
    {
        return Ok(vec![Document { line: 1, decoded }]);
    }
    yaml_documents(bytes, limits)
}

fn fits(bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    if bytes.len() > limits.bytes { Err(DecodeError::TooLong { limit: limits.bytes }) } else { Ok(()) }
}

/// Cuts at `---` lines, as the YAML stream rule says; a separator may carry the start of its document.
fn split_documents(text: &str) -> Vec<(usize, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut at) = (0, 1, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let is_separator =
            line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_separator && at > 0 {
            parts.push((start_line, &text[start..at]));
            (start, start_line) = (at, number + 1);
        }
        at += line.len();
    }
    parts.push((start_line, &text[start..]));
    parts
}

/// The line of the first thing that is neither blank, comment nor separator.
fn first_line(start: usize, part: &str) -> usize {
    let skipped = part.lines().take_while(|line| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---"
    });
    start + skipped.count()
}

fn json_fault(error: &serde_json::Error) -> DecodeError {
    let text = error.to_string();
    let message = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    DecodeError::Syntax { line: error.line(), column: error.column(), message }
}

fn yaml_fault(error: &serde_yaml::Error, first_line: usize) -> DecodeError {
    let text = error.to_string();
    // The parser's own position is relative to the document; ours is to the stream.
    let message = text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    let (line, column) = error.location().map_or((0, 0), |at| (first_line + at.line() - 1, at.column()));
    DecodeError::Syntax { line, column, message }
}

fn not_utf8(bytes: &[u8], at: usize) -> DecodeError {
    let before = &bytes[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1) + 1;
    DecodeError::Syntax { line, column, message: "this is not UTF-8 text".to_owned() }
}

#[cfg(test)]
mod tests;
