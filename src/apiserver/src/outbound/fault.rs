//! Why a call gave nothing, in the words of Kubernetes' client, which tests and people look for.
//!
//! In: what went wrong at which step. Out: one sentence; for an answer that refuses, its Status.

use http::Method;
use kedge_api::status::{Reason, Status};

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The Service is not there, or not on that port.
    #[error("{0}")]
    NoService(String),
    /// Nothing stands behind it.
    #[error("no endpoints available for service {0:?}")]
    NoBackend(String),
    /// A name has no address.
    #[error("dial tcp: lookup {name}: {why}")]
    Lookup {
        /// The name.
        name: String,
        /// What the resolver said.
        why: String,
    },
    /// No connection.
    #[error("dial tcp {address}: {why}")]
    Dial {
        /// Where to.
        address: String,
        /// What the system said.
        why: String,
    },
    /// The other side is not who it should be.
    #[error("tls: {0}")]
    Tls(String),
    /// The connection ended before an answer began.
    #[error("EOF")]
    Closed,
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Too late.
    #[error("context deadline exceeded")]
    Deadline,
    /// The answer is larger than may be held.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// One of the above, of that request.
    #[error("{verb} {url:?}: {fault}")]
    Call {
        /// `Post`, `Get`.
        verb: String,
        /// Where to.
        url: String,
        /// What.
        #[source]
        fault: Box<Fault>,
    },
    /// An answer that is no success.
    #[error("{0}")]
    Refused(Box<Status>),
}

impl Fault {
    /// The fault as one of a request.
    pub fn of(self, method: &Method, url: &str) -> Fault {
        if matches!(self, Fault::Call { .. } | Fault::Refused(_)) {
            return self;
        }
        let mut verb = method.as_str().to_ascii_lowercase();
        if let Some(first) = verb.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Fault::Call { verb, url: url.to_owned(), fault: Box::new(self) }
    }

    /// A fault of the connection.
    pub fn transport(error: &(dyn std::error::Error + 'static)) -> Fault {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
                return Fault::Closed;
            }
            if let Some(cause) = std::error::Error::source(error) {
                return Fault::Broken(cause.to_string());
            }
        }
        Fault::Broken(error.to_string())
    }

    /// Whether the other side had not begun to answer: a kept connection that was closed meanwhile.
    pub fn is_before_answer(&self) -> bool {
        matches!(self, Fault::Closed)
    }

    /// The code that is counted for it.
    pub fn code(&self) -> u16 {
        match self {
            Fault::Refused(status) => status.code,
            _ => 503,
        }
    }
}

/// What an answer that is no success says: its own Status, or one made of its code.
pub fn refusal(code: u16, text: bool, body: &[u8]) -> Fault {
    /// What is repeated of a body that is no Status.
    const SHOWN: usize = 2048;
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body)
        && value["apiVersion"] == "v1"
        && value["status"] == "Failure"
        && let Some(status) = Status::from_json(&value, code)
    {
        return Fault::Refused(Box::new(status));
    }
    let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]).trim().to_owned();
    let said = if text { shown } else { "unknown".to_owned() };
    let (reason, message) = match code {
        400 => (Reason::BadRequest, "the server rejected our request for an unknown reason".to_owned()),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials".to_owned()),
        403 => (Reason::Forbidden, said),
        404 => (Reason::NotFound, "the server could not find the requested resource".to_owned()),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource".to_owned()),
        409 => (Reason::AlreadyExists, "the server reported a conflict".to_owned()),
        415 => (Reason::UnsupportedMediaType, said),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request".to_owned()),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later".to_owned(),
        ),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request".to_owned()),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the request"
                .to_owned(),
        ),
        500.. => (
            Reason::InternalError,
            format!("an error on the server ({said:?}) has prevented the request from succeeding"),
        ),
        _ => (
            Reason::Unknown,
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    Fault::Refused(Box::new(Status::new(code, reason, message)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: u16, body: &str, expected: &str) {
        assert_eq!(refusal(code, true, body.as_bytes()).to_string(), expected);
    }

    #[test]
    fn refusals_are_told_as_kubernetes_client_tells_them() {
        check(404, "page not found", "the server could not find the requested resource");
        check(500, "boom\n", "an error on the server (\"boom\") has prevented the request from succeeding");
        check(302, "", "the server responded with the status code 302 but did not return more information");
        check(403, r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","code":403}"#, "no");
    }

    #[test]
    fn a_fault_names_its_request_once() {
        let fault = Fault::Deadline.of(&Method::POST, "https://h/x").of(&Method::GET, "https://other");
        assert_eq!(fault.to_string(), "Post \"https://h/x\": context deadline exceeded");
    }
}
