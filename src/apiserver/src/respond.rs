//! HTTP answers: objects, statuses, texts.
//!
//! In: bytes or values and a form. Out: responses with the headers Kubernetes' clients look at.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use kedge_api::status::Status;
use kedge_api::{Object, protobuf, yaml};

use crate::flow::Marks;
use crate::media::{Accepted, Format};

/// A response.
pub type Answer = Response<Body>;

/// Bytes with a type.
pub fn bytes(code: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Body::from(body.into()));
    *answer.status_mut() = code;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// A body that comes in pieces.
pub fn stream(content_type: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    answer
}

/// Text for people and for probes.
pub fn text(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = bytes(code, "text/plain; charset=utf-8", body);
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// An object in the form that was asked for; what has no protobuf form is JSON.
pub fn object(code: StatusCode, object: &Object, accepted: Accepted) -> Answer {
    match accepted.format {
        Format::Json => bytes(code, accepted.content_type(), object.to_string()),
        Format::Yaml => bytes(code, accepted.content_type(), yaml::text(object)),
        Format::Protobuf => match protobuf::encode(object) {
            Some(message) => bytes(code, accepted.content_type(), message),
            None => bytes(code, Accepted::JSON.content_type(), object.to_string()),
        },
    }
}

/// Kept bytes, which are JSON, in the form that was asked for.
pub fn kept(code: StatusCode, json: Bytes, accepted: Accepted) -> Answer {
    if accepted.format == Format::Json {
        return bytes(code, accepted.content_type(), json);
    }
    match serde_json::from_slice::<Object>(&json) {
        Ok(value) => object(code, &value, accepted),
        Err(_) => bytes(code, Accepted::JSON.content_type(), json),
    }
}

/// A refusal, or the word that all is done.
pub fn status(status: &Status, format: Format) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let accepted = Accepted { format, ..Accepted::JSON };
    let mut answer = object(code, &status.to_json(), accepted);
    if let Some(seconds) = status.retry_after() {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Says under which FlowSchema and PriorityLevelConfiguration it was served.
pub fn mark(mut answer: Answer, marks: Marks) -> Answer {
    for (name, value) in
        [("x-kubernetes-pf-flowschema-uid", marks.schema), ("x-kubernetes-pf-prioritylevel-uid", marks.level)]
    {
        if let Some(value) = value {
            answer.headers_mut().insert(name, value);
        }
    }
    answer
}

/// Adds `Warning` headers. Each is at most 1 KiB and all together 4 KiB, as clients cut them anyway.
pub fn warn(answer: &mut Answer, warnings: &[String]) {
    const EACH: usize = 1024;
    const TOGETHER: usize = 4 * EACH;
    let mut room = TOGETHER;
    for warning in warnings {
        let mut quoted = String::with_capacity(warning.len() + 8);
        for c in warning.chars().filter(|c| !c.is_control()).take(EACH) {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        let line = format!("299 - \"{quoted}\"");
        if line.len() > room {
            return;
        }
        room -= line.len();
        if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
            answer.headers_mut().append(header::WARNING, value);
        }
    }
}
