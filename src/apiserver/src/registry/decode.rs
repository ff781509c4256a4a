//! Bodies as objects of the kind that is expected.
//!
//! In: bytes, their format, the kind of the path. Out: an object that fits its schema, with what
//! to warn about, or a 400 in Kubernetes' words. Nothing is filled in here.

use kedge_api::Object;
use kedge_api::check::{self, FieldValidation, Tell};
use kedge_api::decode::{self, DecodeError, Decoded, Limits};
use kedge_api::kinds::Gvk;
use kedge_api::protobuf;
use kedge_api::schema::Struct;
use kedge_api::status::Status;
use serde_json::Value;

use crate::media::Format;

/// An object of a body.
#[derive(Debug)]
pub struct Sent {
    /// The object.
    pub object: Object,
    /// What to warn about.
    pub warnings: Vec<String>,
}

/// Reads a body as an object of that kind.
pub fn object(
    bytes: &[u8],
    format: Format,
    expected: &Gvk,
    schema: Option<Struct<'_>>,
    validation: FieldValidation,
) -> Result<Sent, Status> {
    let decoded = match format {
        // A message needs the kind to be read.
        Format::Protobuf => {
            let value = protobuf::decode(bytes, Some(expected)).map_err(|e| Status::bad_request(e.to_string()))?;
            Decoded::from(value)
        }
        _ => value(bytes, format)?,
    };
    let is_custom = schema.is_some_and(|schema| schema.node().custom().is_some());
    held(decoded, expected, schema, validation, &|unknown, duplicates| match format {
        // What Go makes of YAML has its keys in order, and those given twice are told by its reader.
        Format::Yaml if !duplicates.is_empty() => {
            let lines = twice(bytes, duplicates);
            let unknown = check::told(unknown, &[]);
            match validation {
                FieldValidation::Strict => std::iter::once(format!("{UNMARSHAL}{lines}")).chain(unknown).collect(),
                _ => lines.lines().skip(1).map(|line| line.trim_start().to_owned()).chain(unknown).collect(),
            }
        }
        // Types of Go are filled while the text is read; maps only afterwards.
        Format::Json if !is_custom => decode::in_order(bytes, unknown, duplicates),
        _ => check::told(unknown, duplicates),
    })
}

/// How YAML's reader begins to tell what it does not like.
pub const UNMARSHAL: &str = "yaml: unmarshal errors:";

/// Reads a body as any value.
pub fn value(bytes: &[u8], format: Format) -> Result<Decoded, Status> {
    let decoded = match format {
        Format::Json => decode::json(bytes, &Limits::REQUEST),
        Format::Protobuf => {
            return protobuf::decode(bytes, None).map(Decoded::from).map_err(|e| Status::bad_request(e.to_string()));
        }
        Format::Yaml => decode::yaml(bytes, &Limits::REQUEST),
    };
    decoded.map_err(|error| match error {
        DecodeError::TooLong { limit } => Status::too_large(limit),
        error => Status::bad_request(format!("the object provided is unrecognized (must be of type {}): couldn't get version/kind; {} parse error: {error}", "Object", match format {
            Format::Yaml => "yaml",
            _ => "json",
        })),
    })
}

/// What YAML's reader says of keys that were given twice, each in a line of its own: the line of the second, as far as
/// lines tell.
pub fn twice(bytes: &[u8], paths: &[String]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::new();
    for path in paths {
        let key = path.rsplit(['.', ']']).find(|part| !part.is_empty()).unwrap_or(path);
        // Where the key stands, and how far it is set in; a dash of a list counts as a space.
        let mut seen: Vec<usize> = Vec::new();
        let mut found = 0;
        for (number, line) in text.lines().enumerate() {
            let bare = line.trim_start_matches([' ', '-']);
            let name = bare.split(':').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            let depth = line.len() - bare.len();
            if name == key && bare.contains(':') {
                if seen.contains(&depth) {
                    found = number + 1;
                    break;
                }
                seen.push(depth);
            }
        }
        out.push_str(&format!("\n  line {found}: key {key:?} already set in map"));
    }
    out
}

/// Holds a value against the schema of the kind; a body that does not say what it is, is that kind.
pub fn fit(
    decoded: Decoded,
    expected: &Gvk,
    schema: Option<Struct<'_>>,
    validation: FieldValidation,
) -> Result<Sent, Status> {
    held(decoded, expected, schema, validation, &check::told)
}

fn held(
    mut decoded: Decoded,
    expected: &Gvk,
    schema: Option<Struct<'_>>,
    validation: FieldValidation,
    tell: Tell<'_>,
) -> Result<Sent, Status> {
    name(&mut decoded.value, expected)?;
    match schema {
        Some(schema) => {
            let checked = check::object_told(expected, schema, decoded, validation, tell)
                .map_err(|refusal| Status::bad_request(refusal.to_string()))?;
            Ok(Sent { object: checked.object, warnings: checked.warnings })
        }
        None => Ok(Sent { object: decoded.value, warnings: Vec::new() }),
    }
}

/// Makes a value say that it is of the kind, unless it says that it is of another.
pub fn name(value: &mut Value, expected: &Gvk) -> Result<(), Status> {
    let Some(map) = value.as_object_mut() else {
        return Err(Status::bad_request("Object 'Kind' is missing in the body: it is no object"));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
    let (version, kind) = (text(map.get("apiVersion")), text(map.get("kind")));
    let wanted = expected.api_version();
    if !kind.is_empty() && kind != *expected.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}: converting ({kind}) to ({}): unknown conversion",
            version.rsplit('/').next().unwrap_or(""),
            expected.kind,
            expected.kind
        )));
    }
    // Clients from before evictions left beta send them in that version, which says the same.
    let beta = *expected.kind == *"Eviction" && version == "policy/v1beta1";
    if !version.is_empty() && version != wanted && !beta {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({wanted})"
        )));
    }
    map.insert("apiVersion".to_owned(), Value::from(wanted));
    map.insert("kind".to_owned(), Value::from(&*expected.kind));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(text: &str, format: Format, strict: &str, warned: &[&str]) {
        let gvk = Gvk::new("", "v1", "Pod");
        let sent = |validation| object(text.as_bytes(), format, &gvk, kedge_api::schema::of(&gvk), validation);
        let refused = sent(FieldValidation::Strict).unwrap_err().message;
        assert_eq!(refused.split_once("strict decoding error: ").map(|(_, told)| told), Some(strict), "{refused}");
        assert_eq!(sent(FieldValidation::Warn).unwrap().warnings, warned);
        assert!(sent(FieldValidation::Ignore).unwrap().warnings.is_empty());
    }

    #[test]
    fn oddities_are_told_in_kubernetes_order() {
        let text = r#"{"zzz": 1, "spec": {"nodeName": "a", "nodeName": "b", "odd": 1, "odd": 2}, "aaa": 1}"#;
        let issues = [
            "unknown field \"zzz\"",
            "duplicate field \"spec.nodeName\"",
            "unknown field \"spec.odd\"",
            "unknown field \"aaa\"",
        ];
        told(text, Format::Json, &issues.join(", "), &issues);
        let text = "zzz: 1\nspec:\n  nodeName: a\n  nodeName: b\n  odd: 1\n  odd: 2\naaa: 1\n";
        let lines = ["line 4: key \"nodeName\" already set in map", "line 6: key \"odd\" already set in map"];
        let unknown = ["unknown field \"aaa\"", "unknown field \"spec.odd\"", "unknown field \"zzz\""];
        let strict = format!("{UNMARSHAL}\n  {}\n  {}, {}", lines[0], lines[1], unknown.join(", "));
        told(text, Format::Yaml, &strict, &[&lines[..], &unknown[..]].concat());
    }

    #[test]
    fn a_key_given_twice_is_told_by_its_line() {
        let text = "\nkind: A\nspec:\n  unknown: 1\n  foo: a\n  foo: b\n  bar:\n    foo: c\n";
        assert_eq!(twice(text.as_bytes(), &["spec.foo".to_owned()]), "\n  line 6: key \"foo\" already set in map");
    }
}
