//! Kubernetes `Status` objects: every way in which the API says yes or no.
//!
//! In: what went wrong with which object. Out: a [`Status`] with Kubernetes' code, reason, message and causes,
//! to JSON and back. Never decides whether something is wrong.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::FieldError;

mod errors;

pub use errors::Access;

/// Why a request was refused, by Kubernetes' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Not said.
    Unknown,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409: the name is taken.
    AlreadyExists,
    /// 409: changed meanwhile.
    Conflict,
    /// 410: gone for ever.
    Gone,
    /// 422.
    Invalid,
    /// 500: try again.
    ServerTimeout,
    /// 500 while storage is read.
    StoreReadError,
    /// 504.
    Timeout,
    /// 429.
    TooManyRequests,
    /// 400.
    BadRequest,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 413.
    RequestEntityTooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 500.
    InternalError,
    /// 410: a resource version or continue token is too old.
    Expired,
    /// 503.
    ServiceUnavailable,
    /// Somebody else's, e.g. a webhook's.
    Other(String),
}

/// Names of the reasons; the table for both directions.
const REASONS: [(Reason, &str); 20] = [
    (Reason::Unauthorized, "Unauthorized"),
    (Reason::Forbidden, "Forbidden"),
    (Reason::NotFound, "NotFound"),
    (Reason::AlreadyExists, "AlreadyExists"),
    (Reason::Conflict, "Conflict"),
    (Reason::Gone, "Gone"),
    (Reason::Invalid, "Invalid"),
    (Reason::ServerTimeout, "ServerTimeout"),
    (Reason::StoreReadError, "StorageReadError"),
    (Reason::Timeout, "Timeout"),
    (Reason::TooManyRequests, "TooManyRequests"),
    (Reason::BadRequest, "BadRequest"),
    (Reason::MethodNotAllowed, "MethodNotAllowed"),
    (Reason::NotAcceptable, "NotAcceptable"),
    (Reason::RequestEntityTooLarge, "RequestEntityTooLarge"),
    (Reason::UnsupportedMediaType, "UnsupportedMediaType"),
    (Reason::InternalError, "InternalError"),
    (Reason::Expired, "Expired"),
    (Reason::ServiceUnavailable, "ServiceUnavailable"),
    (Reason::Unknown, ""),
];

impl Reason {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Reason::Other(name) => name,
            known => REASONS.iter().find(|(reason, _)| reason == known).map_or("", |(_, name)| name),
        }
    }

    /// The reason of that name.
    pub fn parse(name: &str) -> Reason {
        match REASONS.iter().find(|(_, known)| *known == name) {
            Some((reason, _)) => reason.clone(),
            None => Reason::Other(name.to_string()),
        }
    }
}

/// One of several causes of a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable, e.g. `FieldValueInvalid`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field, e.g. `spec.replicas`.
    pub field: String,
}

/// What the refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Object name.
    pub name: String,
    /// API group.
    pub group: String,
    /// Kind or resource, as Kubernetes puts it for each reason.
    pub kind: String,
    /// Object UID.
    pub uid: String,
    /// All causes.
    pub causes: Vec<Cause>,
    /// When to try again, in seconds; 0 is not said.
    pub retry_after_seconds: u32,
}

/// The answer to a request that yields no object. As an error it is what an API call failed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code; below 400 is success.
    pub code: u16,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// About what.
    pub details: Option<Box<Details>>,
    /// `metadata.continue`: lets an expired list go on, inconsistently.
    pub continue_token: Option<Box<str>>,
}

impl std::error::Error for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Status {
    /// A refusal without details.
    pub fn new(code: u16, reason: Reason, message: impl Into<String>) -> Status {
        Status { code, reason, message: message.into(), details: None, continue_token: None }
    }

    /// The answer to a deletion that is done, and the like.
    pub fn success(group: &str, resource: &str, name: &str, uid: &str) -> Status {
        let details = Details {
            name: name.into(),
            group: group.into(),
            kind: resource.into(),
            uid: uid.into(),
            ..Details::default()
        };
        Status::new(200, Reason::Unknown, "").with_details(details)
    }

    /// With these details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Status {
        self.details = Some(Box::new(details));
        self
    }

    /// With one more cause.
    #[must_use]
    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Status {
        let cause = Cause { reason: reason.into(), message: message.into(), field: field.into() };
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// With advice to try again after that many seconds.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Status {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// It says yes.
    pub fn is_success(&self) -> bool {
        self.code < 400
    }

    /// Seconds for the `Retry-After` header, if any.
    pub fn retry_after(&self) -> Option<u32> {
        self.details.as_ref().map(|d| d.retry_after_seconds).filter(|s| *s > 0)
    }

    /// The object on the wire.
    pub fn to_json(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue".into(), Value::from(&**token));
        }
        let mut object = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": if self.is_success() { "Success" } else { "Failure" },
        });
        put(&mut object, "message", &self.message);
        put(&mut object, "reason", self.reason.as_str());
        if let Some(details) = &self.details {
            object["details"] = details.to_json();
        }
        if !self.is_success() {
            object["code"] = Value::from(self.code);
        }
        object
    }

    /// Reads what a server answered; `code` is the HTTP status, used when the object does not say.
    /// `None` when it is no `Status` object.
    pub fn from_json(object: &Value, code: u16) -> Option<Status> {
        if object.get("kind").and_then(Value::as_str) != Some("Status") {
            return None;
        }
        let said = object.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok());
        let token = object.pointer("/metadata/continue").and_then(Value::as_str).filter(|t| !t.is_empty());
        Some(Status {
            code: said.filter(|c| *c != 0).unwrap_or(code),
            reason: Reason::parse(text(object, "reason")),
            message: text(object, "message").to_string(),
            details: object.get("details").filter(|d| d.is_object()).map(|d| Box::new(Details::from_json(d))),
            continue_token: token.map(Box::from),
        })
    }
}

impl Details {
    fn to_json(&self) -> Value {
        let mut object = json!({});
        put(&mut object, "name", &self.name);
        put(&mut object, "group", &self.group);
        put(&mut object, "kind", &self.kind);
        put(&mut object, "uid", &self.uid);
        if !self.causes.is_empty() {
            object["causes"] = self.causes.iter().map(Cause::to_json).collect();
        }
        if self.retry_after_seconds > 0 {
            object["retryAfterSeconds"] = Value::from(self.retry_after_seconds);
        }
        object
    }

    fn from_json(object: &Value) -> Details {
        let causes = object.get("causes").and_then(Value::as_array);
        let seconds = object.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(0);
        Details {
            name: text(object, "name").into(),
            group: text(object, "group").into(),
            kind: text(object, "kind").into(),
            uid: text(object, "uid").into(),
            causes: causes.into_iter().flatten().map(Cause::from_json).collect(),
            retry_after_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        }
    }
}

impl Cause {
    /// The cause that a field's fault is.
    pub fn of(error: &FieldError) -> Cause {
        Cause { reason: error.fault.reason().into(), message: error.body(), field: error.field.clone() }
    }

    fn to_json(&self) -> Value {
        let mut object = json!({});
        put(&mut object, "reason", &self.reason);
        put(&mut object, "message", &self.message);
        put(&mut object, "field", &self.field);
        object
    }

    fn from_json(object: &Value) -> Cause {
        Cause {
            reason: text(object, "reason").into(),
            message: text(object, "message").into(),
            field: text(object, "field").into(),
        }
    }
}

fn put(object: &mut Value, key: &str, value: &str) {
    if !value.is_empty() {
        object[key] = Value::from(value);
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or("")
}
