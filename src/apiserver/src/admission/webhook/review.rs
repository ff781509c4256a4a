//! The review that a webhook is sent, and what it answers.
//!
//! In: a request and an object in the version that is wanted; an answer's bytes. Out: a review;
//! what the answer says, or why it is none. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::kinds::{Gvk, Gvr, Kind, Sub};
use kedge_api::meta;
use kedge_api::status::{Reason, Status};
use serde_json::{Value, json};

use super::hook::Version;
use crate::admission::Attributes;
use crate::identity::Identity;

/// Warnings of one webhook, at most; the rest of the chain cuts their length.
const MOST_WARNINGS: usize = 64;

/// A review.
pub struct Question<'a> {
    /// How it is written.
    pub version: Version,
    /// Its own mark, which the answer repeats.
    pub uid: &'a str,
    /// What is about to be done.
    pub attributes: &'a Attributes<'a>,
    /// The kind in which the object is shown.
    pub kind: &'a Kind,
    /// The namespace; of a namespace its own name.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object, in that kind; null if there is none.
    pub object: &'a Value,
    /// The object as it was.
    pub old: &'a Value,
}

impl Question<'_> {
    /// The review as JSON.
    pub fn review(&self) -> Value {
        let attributes = self.attributes;
        let sub = attributes.subresource;
        let shown = sub.map_or_else(|| self.kind.gvk(), |sub| sub.gvk(self.kind));
        let asked = sub.map_or_else(|| attributes.kind.gvk(), |sub| sub.gvk(attributes.kind));
        let mut request = json!({
            "uid": self.uid,
            "kind": gvk(&shown),
            "resource": gvr(&self.kind.gvr()),
            "requestKind": gvk(&asked),
            "requestResource": gvr(&attributes.kind.gvr()),
            "operation": attributes.operation.as_str(),
            "userInfo": user(attributes.who),
            "object": self.object,
            "oldObject": self.old,
            "dryRun": attributes.dry_run,
            "options": attributes.given.options(attributes.operation, attributes.dry_run),
        });
        let sub = sub.map_or("", Sub::name);
        for (key, text) in
            [("subResource", sub), ("requestSubResource", sub), ("name", self.name), ("namespace", self.namespace)]
        {
            if !text.is_empty() {
                request[key] = json!(text);
            }
        }
        json!({"kind": "AdmissionReview", "apiVersion": self.version.api_version(), "request": request})
    }
}

/// What is asked, without the objects: as expressions see it.
pub fn request(attributes: &Attributes<'_>, kind: &Kind) -> Value {
    let question = Question {
        version: Version::V1,
        uid: "",
        attributes,
        kind,
        namespace: crate::admission::scope::namespace(attributes),
        name: attributes.name,
        object: &Value::Null,
        old: &Value::Null,
    };
    let mut request = question.review()["request"].take();
    for key in ["uid", "object", "oldObject"] {
        if let Some(request) = request.as_object_mut() {
            request.remove(key);
        }
    }
    request
}

fn gvk(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn gvr(gvr: &Gvr) -> Value {
    json!({"group": gvr.group, "version": gvr.version, "resource": gvr.resource})
}

fn user(who: &Identity) -> Value {
    let mut info = json!({"username": who.name, "groups": who.groups});
    if !who.uid.is_empty() {
        info["uid"] = json!(who.uid);
    }
    if !who.extra.is_empty() {
        info["extra"] = json!(who.extra);
    }
    info
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Said {
    /// Whether it may be done.
    pub allowed: bool,
    /// What to change; empty for nothing.
    pub patch: Vec<u8>,
    /// What kind of patch that is.
    pub patch_type: String,
    /// Why not.
    pub result: Value,
    /// What to tell the client.
    pub warnings: Vec<String>,
    /// What to note for the audit log.
    pub annotations: Vec<(String, String)>,
}

/// Reads an answer to the review of that mark.
pub fn read(answer: &Value, version: Version, uid: &str, mutating: bool) -> Result<Said, String> {
    let Some(response) = answer.get("response").filter(|r| r.is_object()) else {
        return Err("webhook response was absent".to_owned());
    };
    let patch_type = response.get("patchType").and_then(Value::as_str);
    let patch = match meta::text(response, "patch") {
        "" => Vec::new(),
        text => STANDARD.decode(text).map_err(|e| format!("the patch is no base64: {e}"))?,
    };
    let mut kind = patch_type.unwrap_or("").to_owned();
    match version {
        Version::V1 => {
            let said = meta::text(response, "uid");
            if said != uid {
                return Err(format!("expected response.uid={uid:?}, got {said:?}"));
            }
            let (group_version, said) = (meta::text(answer, "apiVersion"), meta::text(answer, "kind"));
            if (group_version, said) != (version.api_version(), "AdmissionReview") {
                let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
                return Err(format!(
                    "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}/{version}, Kind={said}"
                ));
            }
            check_patch(&patch, patch_type, mutating)?;
        }
        // This version never checked the mark, the kind or the type of a patch.
        Version::V1beta1 if !patch.is_empty() => kind = "JSONPatch".to_owned(),
        Version::V1beta1 => {}
    }
    let texts = |key: &str| meta::list_at(response, &[key]).iter().filter_map(|v| v.as_str().map(str::to_owned));
    Ok(Said {
        allowed: meta::bool_at(response, &["allowed"]),
        patch: if mutating { patch } else { Vec::new() },
        patch_type: kind,
        result: response.get("status").cloned().unwrap_or(Value::Null),
        warnings: texts("warnings").take(MOST_WARNINGS).collect(),
        annotations: meta::pairs_at(response, &["auditAnnotations"])
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    })
}

fn check_patch(patch: &[u8], kind: Option<&str>, mutating: bool) -> Result<(), String> {
    let fault = match (mutating, patch.is_empty(), kind) {
        (true, false, None) => "webhook returned response.patch but not response.patchType",
        (true, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, false, Some("")) => "webhook returned invalid response.patchType of \"\"",
        (false, false, _) => "validating webhook may not return response.patch",
        (false, _, Some(_)) => "validating webhook may not return response.patchType",
        _ => return Ok(()),
    };
    Err(fault.to_owned())
}

/// The refusal that a webhook's answer means for the client.
pub fn denied(hook: &str, result: &Value) -> Status {
    let mut given = if result.is_object() { result.clone() } else { json!({}) };
    given["kind"] = json!("Status");
    let mut status = Status::from_json(&given, 400).unwrap_or_else(|| Status::new(400, Reason::Unknown, ""));
    if status.code < 400 {
        status.code = 400;
    }
    let by = format!("admission webhook {hook:?} denied the request");
    status.message = match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("{by} without explanation"),
        ("", reason) => format!("{by}: {reason}"),
        (message, _) => format!("{by}: {message}"),
    };
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(version: Version, mutating: bool, answer: Value, expected: Result<(bool, &str), &str>) {
        let seen = read(&answer, version, "u", mutating);
        let seen = seen.map(|said| (said.allowed, String::from_utf8(said.patch).unwrap()));
        assert_eq!(seen, expected.map(|(a, p)| (a, p.to_owned())).map_err(str::to_owned), "{answer}");
    }

    fn v1(response: Value) -> Value {
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response})
    }

    #[test]
    fn an_answer_is_held_against_the_rules_of_its_version() {
        let patch = STANDARD.encode("[]");
        let v = Version::V1;
        check(v, true, v1(json!({"uid": "u", "allowed": true})), Ok((true, "")));
        check(
            v,
            true,
            v1(json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"})),
            Ok((true, "[]")),
        );
        check(v, true, json!({}), Err("webhook response was absent"));
        check(v, true, v1(json!({"uid": "x"})), Err("expected response.uid=\"u\", got \"x\""));
        check(
            v,
            true,
            json!({"response": {"uid": "u"}}),
            Err("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="),
        );
        check(
            v,
            true,
            v1(json!({"uid": "u", "patch": patch})),
            Err("webhook returned response.patch but not response.patchType"),
        );
        check(
            v,
            true,
            v1(json!({"uid": "u", "patchType": "JSONPatch"})),
            Err("webhook returned response.patchType but not response.patch"),
        );
        check(
            v,
            false,
            v1(json!({"uid": "u", "patch": patch})),
            Err("validating webhook may not return response.patch"),
        );
        check(Version::V1beta1, true, json!({"response": {"allowed": true, "patch": patch}}), Ok((true, "[]")));
        check(Version::V1beta1, false, json!({"response": {"allowed": true, "patch": patch}}), Ok((true, "")));
    }

    #[track_caller]
    fn check_denied(result: Value, code: u16, message: &str) {
        let status = denied("a.b.c", &result);
        assert_eq!((status.code, status.message.as_str()), (code, message));
    }

    #[test]
    fn a_denial_says_who_and_why() {
        check_denied(Value::Null, 400, "admission webhook \"a.b.c\" denied the request without explanation");
        check_denied(json!({"message": "no"}), 400, "admission webhook \"a.b.c\" denied the request: no");
        check_denied(
            json!({"reason": "Forbidden", "code": 403}),
            403,
            "admission webhook \"a.b.c\" denied the request: Forbidden",
        );
        check_denied(json!({"message": "no", "code": 200}), 400, "admission webhook \"a.b.c\" denied the request: no");
    }
}
