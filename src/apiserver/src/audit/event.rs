//! One audit Event as JSON.
//!
//! In: what is known of a request at a stage. Out: an Event of `audit.k8s.io/v1`. Pure.

use std::time::SystemTime;

use bytes::Bytes;
use kedge_api::clock;
use serde_json::{Map, Value, json};

use super::notes::{About, Noted};
use super::policy::{Level, Stage};
use crate::identity::Identity;
use crate::request::RequestInfo;

/// What an Event repeats of a user agent, as upstream.
const LONGEST_AGENT: usize = 1024;

/// What is known from the start.
#[derive(Debug, Clone)]
pub struct Known {
    /// The Event's own mark, which the answer's header repeats.
    pub id: String,
    /// How much is written down.
    pub level: Level,
    /// Path and query.
    pub uri: String,
    /// What is asked.
    pub info: RequestInfo,
    /// Who asks.
    pub who: Identity,
    /// Whom they act as.
    pub acts_as: Option<Identity>,
    /// Where they are, nearest last.
    pub from: Vec<String>,
    /// Which program.
    pub agent: String,
    /// When it came.
    pub received: SystemTime,
    /// Whether managed fields are left out.
    pub omit_managed_fields: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The answer's code.
    pub code: u16,
    /// The answer's body, if it was kept.
    pub body: Option<Bytes>,
}

/// The Event of a stage.
pub fn event(known: &Known, stage: Stage, now: SystemTime, outcome: Option<&Outcome>, noted: &Noted) -> Value {
    let mut event = json!({
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": known.level.as_str(),
        "auditID": known.id,
        "stage": stage.as_str(),
        "requestURI": known.uri,
        "verb": known.info.verb.as_str(),
        "user": user(&known.who),
        "requestReceivedTimestamp": clock::micro(known.received),
        "stageTimestamp": clock::micro(now),
    });
    if let Some(other) = &known.acts_as {
        event["impersonatedUser"] = user(other);
    }
    if !known.from.is_empty() {
        event["sourceIPs"] = json!(known.from);
    }
    if !known.agent.is_empty() {
        event["userAgent"] = json!(known.agent.chars().take(LONGEST_AGENT).collect::<String>());
    }
    let sent = noted.request.as_ref().and_then(|bytes| object(bytes, known.omit_managed_fields));
    if known.info.resource_request {
        event["objectRef"] = reference(&known.info, &noted.about);
    }
    if let (Some(sent), true) = (sent, known.level >= Level::Request) {
        event["requestObject"] = sent;
    }
    if let Some(outcome) = outcome {
        let body = outcome.body.as_ref().and_then(|bytes| object(bytes, known.omit_managed_fields));
        event["responseStatus"] = status(outcome.code, body.as_ref());
        if let (Some(body), Level::RequestResponse, true) = (body, known.level, known.info.resource_request) {
            event["responseObject"] = body;
        }
    }
    if !noted.annotations.is_empty() {
        event["annotations"] = json!(noted.annotations);
    }
    event
}

fn user(who: &Identity) -> Value {
    let mut user = json!({"username": who.name});
    if !who.uid.is_empty() {
        user["uid"] = json!(who.uid);
    }
    if !who.groups.is_empty() {
        user["groups"] = json!(who.groups);
    }
    if !who.extra.is_empty() {
        user["extra"] = json!(who.extra);
    }
    user
}

/// What the request is about; a name that is only in the body counts, too.
fn reference(info: &RequestInfo, about: &About) -> Value {
    let mut reference = Map::new();
    let name = if info.name.is_empty() { &about.name } else { &info.name };
    for (key, text) in [
        ("resource", info.resource.as_str()),
        ("namespace", &info.namespace),
        ("name", name),
        ("uid", &about.uid),
        ("apiGroup", &info.group),
        ("apiVersion", &info.version),
        ("resourceVersion", &about.version),
        ("subresource", &info.subresource),
    ] {
        if !text.is_empty() {
            reference.insert(key.to_owned(), json!(text));
        }
    }
    Value::Object(reference)
}

/// The answer in short; a refusal says why.
fn status(code: u16, body: Option<&Value>) -> Value {
    let mut status = json!({"metadata": {}, "code": code});
    if let Some(body) = body.filter(|body| body["kind"] == "Status" && body["apiVersion"] == "v1") {
        for key in ["status", "message", "reason", "details"] {
            if let Some(value) = body.get(key) {
                status[key] = value.clone();
            }
        }
    }
    status
}

/// A body as an object; what is neither JSON nor a message of ours is left out.
fn object(bytes: &Bytes, omit_managed_fields: bool) -> Option<Value> {
    let mut object: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) => kedge_api::protobuf::decode(bytes, None).ok()?,
    };
    if omit_managed_fields {
        let omit = |object: &mut Value| {
            if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("managedFields");
            }
        };
        omit(&mut object);
        object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().for_each(omit);
    }
    Some(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use std::time::{Duration, UNIX_EPOCH};

    fn known(level: Level) -> Known {
        Known {
            id: "id".into(),
            level,
            uri: "/api/v1/namespaces/a/pods?x=y".into(),
            info: crate::request::parse(&http::Method::POST, "/api/v1/namespaces/a/pods", &Query::default()),
            who: Identity::user("joe", ["g"]),
            acts_as: None,
            from: vec!["192.0.2.1".into()],
            agent: "kubectl".into(),
            received: UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_001),
            omit_managed_fields: true,
        }
    }

    #[test]
    fn an_event_says_as_much_as_its_level() {
        let sent = json!({"kind": "Pod", "metadata": {"name": "p", "managedFields": [1]}});
        let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
        let outcome = Outcome { code: 403, body: Some(Bytes::from(refusal.to_string())) };
        let about = About { name: "p".into(), ..About::default() };
        let noted = || Noted { request: Some(Bytes::from(sent.to_string())), about: about.clone(), ..Noted::default() };
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_001);
        let made = |level| event(&known(level), Stage::ResponseComplete, now, Some(&outcome), &noted());
        let event = made(Level::Metadata);
        assert_eq!(
            event,
            json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "id",
                "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/a/pods?x=y", "verb": "create",
                "user": {"username": "joe", "groups": ["g", "system:authenticated"]}, "sourceIPs": ["192.0.2.1"],
                "userAgent": "kubectl", "objectRef": {"resource": "pods", "namespace": "a", "name": "p", "apiVersion": "v1"},
                "responseStatus": {"metadata": {}, "code": 403, "status": "Failure", "message": "no", "reason": "Forbidden"},
                "requestReceivedTimestamp": "2023-11-14T22:13:20.000001Z", "stageTimestamp": "2023-11-14T22:13:21.000000Z"})
        );
        let event = made(Level::Request);
        assert_eq!(event["requestObject"], json!({"kind": "Pod", "metadata": {"name": "p"}}));
        assert_eq!(event.get("responseObject"), None);
        assert_eq!(made(Level::RequestResponse)["responseObject"]["message"], "no");
    }
}
