//! Patches applied to objects, and what comes out held against its schema.
//!
//! In: an object, a patch of any kind but an applied configuration. Out: the object changed, with what to warn about,
//! or a refusal in Kubernetes' words. What a patch makes of an object is `Invalid` (422) if it does not fit; only a
//! patch that is none is a `BadRequest` (400). Keeps nothing.

use kedge_api::Object;
use kedge_api::check::{self, FieldValidation};
use kedge_api::decode::Decoded;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Gvk;
use kedge_api::patch::{self, PatchError};
use kedge_api::schema::Struct;
use kedge_api::status::{Reason, Status};
use serde_json::Value;

use super::decode::{self, Sent};
use crate::media::PatchKind;

/// Applies a patch to an object of that kind and holds the result against its schema.
pub(crate) fn apply(
    gvk: &Gvk,
    schema: Option<Struct<'_>>,
    object: &Object,
    kind: PatchKind,
    patch: &Decoded,
    validation: FieldValidation,
) -> Result<Sent, Status> {
    let mut value = patched(gvk, schema, object, kind, patch)?;
    let Some(schema) = schema else { return Ok(Sent { object: value, warnings: Vec::new() }) };
    // What does not fit is told of the object that came out, made once more for it; of a strategic patch it is told of
    // the patch itself.
    let invalid = |why: String| {
        let shown = match kind {
            PatchKind::Strategic => printed(&patch.value),
            _ => patched(gvk, Some(schema), object, kind, patch).unwrap_or_default().to_string(),
        };
        Status::invalid("", "", "", &[FieldError::invalid(&Path::root("patch"), shown, why)])
    };
    let unknown = check::unknown(schema, &mut value).map_err(|fault| invalid(fault.to_string()))?;
    let issues = own_issues(kind, patch).into_iter().chain(unknown).collect();
    let warnings = check::judge(issues, validation).map_err(invalid)?;
    Ok(Sent { object: value, warnings })
}

/// The object patched, whether it fits or not.
fn patched(
    gvk: &Gvk,
    schema: Option<Struct<'_>>,
    object: &Object,
    kind: PatchKind,
    patch: &Decoded,
) -> Result<Object, Status> {
    let unsupported = |more: &[&str]| {
        let plain = ["application/json-patch+json", "application/merge-patch+json"];
        Err(Status::unsupported_media_type(&[&plain, more].concat()))
    };
    let mut object = object.clone();
    let outcome = match kind {
        PatchKind::Json => patch::json(&mut object, patch.value.clone()),
        PatchKind::Merge => patch::merge(&mut object, patch.value.clone()),
        PatchKind::Strategic => match schema {
            Some(schema) => patch::strategic(schema, &mut object, patch.value.clone()),
            None => return unsupported(&[]),
        },
        // Applied before it gets here, and not to things that are made on request.
        PatchKind::Apply => return unsupported(&["application/strategic-merge-patch+json"]),
    };
    outcome.map_err(refused)?;
    decode::name(&mut object, gvk)?;
    Ok(object)
}

fn refused(fault: PatchError) -> Status {
    match fault {
        PatchError::Unapplicable(why) => {
            let message = "the server rejected our request due to an error in our request";
            Status::new(422, Reason::Invalid, message).with_cause("UnexpectedServerResponse", why, "")
        }
        PatchError::TooMany { .. } => Status::new(413, Reason::RequestEntityTooLarge, fault.to_string()),
        fault => Status::bad_request(fault.to_string()),
    }
}

/// What is odd about the patch itself.
fn own_issues(kind: PatchKind, patch: &Decoded) -> Vec<String> {
    if kind != PatchKind::Json {
        return check::told(&[], &patch.duplicates);
    }
    let mut out = Vec::new();
    for (at, operation) in patch.value.as_array().into_iter().flatten().enumerate() {
        let own = format!("[{at}].");
        let keys = operation.as_object().into_iter().flat_map(serde_json::Map::keys);
        let unknown: Vec<String> =
            keys.filter(|key| !OPERATION.contains(&key.as_str())).map(|key| format!("{own}{key}")).collect();
        let duplicates: Vec<String> =
            patch.duplicates.iter().filter(|path| path.starts_with(&own) && !unknown.contains(path)).cloned().collect();
        out.extend(check::told(&unknown, &duplicates).iter().map(|issue| format!("json patch {issue}")));
    }
    out
}

/// What an operation of a JSON patch may say.
const OPERATION: [&str; 4] = ["op", "path", "from", "value"];

/// A value as Go prints it.
fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| *key);
            let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A Deployment patched; out: what is warned about, or the refusal's code and message.
    #[track_caller]
    fn check(kind: PatchKind, patch: Decoded, validation: FieldValidation, expected: Result<&[&str], (u16, &str)>) {
        let gvk = Gvk::new("", "v1", "ConfigMap");
        let object = json!({"metadata": {"name": "a"}});
        let seen = apply(&gvk, kedge_api::schema::of(&gvk), &object, kind, &patch, validation);
        let seen = seen.map(|sent| sent.warnings).map_err(|status| (status.code, status.message));
        let expected = expected.map(|e| e.iter().map(|&w| w.to_owned()).collect()).map_err(|(c, m)| (c, m.to_owned()));
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_a_patch_makes_is_invalid_and_not_a_bad_request() {
        use FieldValidation::{Ignore, Strict, Warn};
        let merge = || Decoded { value: json!({"dta": {}}), duplicates: vec!["data".to_owned()] };
        let object = r#"{\"apiVersion\":\"v1\",\"dta\":{},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"#;
        let text = format!(
            " \"\" is invalid: patch: Invalid value: \"{object}\": strict decoding error: duplicate field \"data\", unknown field \"dta\""
        );
        check(PatchKind::Merge, merge(), Strict, Err((422, &text)));
        check(PatchKind::Merge, merge(), Warn, Ok(&["duplicate field \"data\"", "unknown field \"dta\""]));
        check(PatchKind::Merge, merge(), Ignore, Ok(&[]));
        let text = " \"\" is invalid: patch: Invalid value: \"map[dta:map[]]\": strict decoding error: duplicate field \"data\", unknown field \"dta\"";
        check(PatchKind::Strategic, merge(), Strict, Err((422, text)));
        let operations = || Decoded {
            value: json!([{"op": "add", "path": "/data", "value": {}, "why": 1}, {"op": "test", "path": "/metadata/name", "value": "a"}]),
            duplicates: vec!["[0].why".to_owned(), "[1].op".to_owned()],
        };
        let issues = ["json patch unknown field \"[0].why\"", "json patch duplicate field \"[1].op\""];
        check(PatchKind::Json, operations(), Warn, Ok(&issues));
        let object = r#"{\"apiVersion\":\"v1\",\"data\":{},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"#;
        let text = format!(
            " \"\" is invalid: patch: Invalid value: \"{object}\": strict decoding error: {}, {}",
            issues[0], issues[1]
        );
        check(PatchKind::Json, operations(), Strict, Err((422, &text)));
    }

    #[test]
    fn values_are_printed_as_go_does() {
        let value = json!({"b": [1, null, "x y"], "a": {"t": true}});
        assert_eq!(printed(&value), "map[a:map[t:true] b:[1 <nil> x y]]");
    }
}
