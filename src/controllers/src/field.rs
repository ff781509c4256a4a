//! Declared fields: paths into an object and the cells that they give.
//!
//! In: a path such as `spec.replicas`, `status.conditions[type=Ready].status`, `metadata.labels."a/b"`, and an object.
//! Out: a cell of the declared type. Never fails on an object: what is not there, or is of another type, is absent.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use kedge_plugin_api::controllers::FieldType;
use serde_json::Value;

/// A path is at most this deep; Kubernetes' own objects stay below 20.
const DEPTH: usize = 32;

/// A parsed path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Name(String),
    Index(usize),
    Where {
        key: String,
        value: String,
    },
    /// Every entry, or every one whose field has that text.
    Each {
        only: Option<(String, String)>,
    },
}

/// Why a path was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field path {path:?} is not understood at byte {at}: {why}")]
pub struct PathError {
    /// The whole path.
    pub path: String,
    /// Where.
    pub at: usize,
    /// What was expected.
    pub why: &'static str,
}

/// The value of one field of one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// For `Text` and `Json`.
    Text(Box<str>),
    /// For `Integer`, `Time` (microseconds since 1970), `Count` and `Hash`.
    Integer(i64),
    /// For `Boolean`.
    Boolean(bool),
}

impl FieldPath {
    /// Reads a path; `.` is the whole object.
    pub fn parse(path: &str) -> Result<FieldPath, PathError> {
        let fail = |at, why| Err(PathError { path: path.to_owned(), at, why });
        if path == "." {
            return Ok(FieldPath(Vec::new()));
        }
        let (mut parts, mut at) = (Vec::new(), 0);
        while at < path.len() {
            if parts.len() == DEPTH {
                return fail(at, "a path of at most 32 parts");
            }
            let rest = &path[at..];
            if let Some(inner) = rest.strip_prefix('[') {
                let Some(end) = inner.find(']') else { return fail(at, "a closing ]") };
                let inside = &inner[..end];
                parts.push(match (inside.split_once('='), inside.parse()) {
                    (None, _) if inside == "*" => Part::Each { only: None },
                    (Some((key, value)), _) if key.len() > 1 && key.starts_with('*') => {
                        Part::Each { only: Some((key[1..].to_owned(), value.to_owned())) }
                    }
                    (Some(("*", _)), _) => return fail(at, "[*] or [*field=text]"),
                    (Some((key, value)), _) if !key.is_empty() => {
                        Part::Where { key: key.to_owned(), value: value.to_owned() }
                    }
                    (None, Ok(index)) => Part::Index(index),
                    _ => return fail(at, "[number] or [field=text]"),
                });
                at += end + 2;
            } else if let Some(quoted) = rest.strip_prefix('"') {
                let Some(end) = quoted.find('"') else { return fail(at, "a closing quote") };
                parts.push(Part::Name(quoted[..end].to_owned()));
                at += end + 2;
            } else {
                let end = rest.find(['.', '[', '"']).unwrap_or(rest.len());
                if end == 0 {
                    return fail(at, "a field's name");
                }
                parts.push(Part::Name(rest[..end].to_owned()));
                at += end;
            }
            match path[at..].chars().next() {
                None | Some('[') => {}
                Some('.') if at + 1 < path.len() => at += 1,
                Some(_) => return fail(at, "a dot and another name, or the end"),
            }
        }
        if parts.is_empty() { fail(0, "at least one name") } else { Ok(FieldPath(parts)) }
    }

    /// What stands there; JSON's null counts as nothing. Behind a `[*]` it is an array of what was found, if anything was.
    pub fn find<'a>(&self, object: &'a Value) -> Option<Cow<'a, Value>> {
        find(object, &self.0)
    }

    /// The names it begins with, outermost first, as far as they are names. Nothing for the whole object.
    pub fn sections(&self) -> (Option<&str>, Option<&str>) {
        let name = |at: usize| match self.0.get(at) {
            Some(Part::Name(name)) => Some(name.as_str()),
            _ => None,
        };
        (name(0), name(1))
    }

    /// The cell of a type.
    pub fn cell(&self, object: &Value, field_type: FieldType) -> Option<Cell> {
        let value = self.find(object)?;
        let value = &*value;
        match field_type {
            FieldType::Text => match value {
                Value::String(text) => Some(Cell::Text(text.as_str().into())),
                Value::Number(_) | Value::Bool(_) => Some(Cell::Text(value.to_string().into())),
                _ => None,
            },
            FieldType::Integer => value.as_i64().map(Cell::Integer),
            FieldType::Boolean => value.as_bool().map(Cell::Boolean),
            FieldType::Time => value.as_str().and_then(microseconds).map(Cell::Integer),
            FieldType::Json => Some(Cell::Text(value.to_string().into())),
            FieldType::Count => match value {
                Value::Array(entries) => i64::try_from(entries.len()).ok().map(Cell::Integer),
                Value::Object(entries) => i64::try_from(entries.len()).ok().map(Cell::Integer),
                _ => None,
            },
            FieldType::Hash => Some(Cell::Integer(hash(value))),
        }
    }
}

/// Depth is bounded by the number of parts, which `parse` bounds.
fn find<'a>(object: &'a Value, parts: &[Part]) -> Option<Cow<'a, Value>> {
    let mut here = object;
    for (at, part) in parts.iter().enumerate() {
        here = match part {
            Part::Name(name) => here.get(name)?,
            Part::Index(index) => here.get(index)?,
            Part::Where { key, value } => here.as_array()?.iter().find(|entry| has(entry, key, value))?,
            Part::Each { only } => {
                let wanted = |entry: &&Value| only.as_ref().is_none_or(|(key, value)| has(entry, key, value));
                let found = here.as_array()?.iter().filter(wanted).filter_map(|entry| find(entry, &parts[at + 1..]));
                let found: Vec<Value> = found.map(Cow::into_owned).collect();
                return (!found.is_empty()).then_some(Cow::Owned(Value::Array(found)));
            }
        };
    }
    (!here.is_null()).then_some(Cow::Borrowed(here))
}

fn has(entry: &Value, key: &str, value: &str) -> bool {
    match entry.get(key) {
        Some(Value::String(text)) => text == value,
        Some(Value::Bool(on)) => value == if *on { "true" } else { "false" },
        _ => false,
    }
}

/// Equal for equal JSON: objects are sorted, so the text is canonical.
fn hash(value: &Value) -> i64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish().cast_signed()
}

/// RFC 3339 in UTC, as Kubernetes writes it (with or without a fraction), as microseconds since 1970.
fn microseconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[10] != b'T' || !text.ends_with('Z') {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = text.get(19..text.len() - 1)?;
    let micros = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        None => return None,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(digits) => format!("{digits:0<6}").get(..6)?.parse::<i64>().ok()?,
    };
    // March-based years put the leap day last.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000 + micros)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(path: &str, field_type: FieldType, expected: Option<Cell>) {
        let object = json!({
            "metadata": {"name": "a", "labels": {"app.x/y": "z"}, "creationTimestamp": "2026-11-22T00:00:00Z"},
            "spec": {"replicas": 3, "paused": true, "none": null, "list": [{"a": 1}, {"a": 2}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        assert_eq!(FieldPath::parse(path).unwrap().cell(&object, field_type), expected);
    }

    #[test]
    fn a_path_finds_its_cell() {
        let text = |t: &str| Some(Cell::Text(t.into()));
        check("metadata.name", FieldType::Text, text("a"));
        check("metadata.labels.\"app.x/y\"", FieldType::Text, text("z"));
        check("metadata.creationTimestamp", FieldType::Time, Some(Cell::Integer(1_795_305_600_000_000)));
        check("spec.replicas", FieldType::Integer, Some(Cell::Integer(3)));
        check("spec.replicas", FieldType::Text, text("3"));
        check("spec.paused", FieldType::Boolean, Some(Cell::Boolean(true)));
        check("spec.list", FieldType::Count, Some(Cell::Integer(2)));
        check("spec.list[1].a", FieldType::Integer, Some(Cell::Integer(2)));
        check("spec.list", FieldType::Json, text(r#"[{"a":1},{"a":2}]"#));
        check("status.conditions[type=Ready].status", FieldType::Text, text("True"));
        check("status.conditions[type=Other].status", FieldType::Text, None);
        check("spec.list[*].a", FieldType::Json, text("[1,2]"));
        check("spec.list[*].b", FieldType::Json, None);
        check("status.conditions[*type=Ready].status", FieldType::Json, text(r#"["True"]"#));
        check("status.conditions[*type=Other].status", FieldType::Json, None);
        check("spec.none", FieldType::Json, None);
        check("spec.paused", FieldType::Integer, None);
        check("spec.replicas.more", FieldType::Text, None);
    }

    #[test]
    fn a_broken_path_is_refused() {
        for path in ["", "a..b", "a.", ".a", "a[", "a[x]", "a[=b]", "a[*=b]", "a[*x]", "\"a", "a b\"", &"a.".repeat(40)]
        {
            assert!(FieldPath::parse(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn times_are_read_to_the_microsecond() {
        assert_eq!(microseconds("1970-01-01T00:00:01.25Z"), Some(1_250_000));
        for text in ["", "2026-11-22", "2026-13-01T00:00:00Z", "2026-11-22T00:00:00+01:00", "2026-11-22T00:00:00.Z"] {
            assert_eq!(microseconds(text), None, "{text}");
        }
    }

    #[test]
    fn equal_json_has_equal_hashes() {
        let (a, b) = (json!({"x": 1, "y": [2]}), json!({"y": [2], "x": 1}));
        assert_eq!(hash(&a), hash(&b));
        assert_ne!(hash(&a), hash(&json!({"x": 1})));
    }
}
