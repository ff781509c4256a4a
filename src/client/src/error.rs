//! Why a request failed.
//!
//! In: answers and transport failures. Out: one closed enum; the server's words are kept whole.
//! Never retries.

use serde_json::Value;

/// The result of a request.
pub type Result<T> = std::result::Result<T, ClientError>;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server refused; its `Status` is kept whole.
    #[error("{message}")]
    Status {
        /// HTTP code.
        code: u16,
        /// Kubernetes' reason, e.g. `NotFound`; empty when the server gave none.
        reason: String,
        /// The server's sentence.
        message: String,
        /// The whole `Status` object (or null when the body was none).
        body: Value,
        /// Seconds after which the server asks to be called again.
        retry_after: Option<u64>,
    },
    /// No answer came.
    #[error("cannot reach the API server: {0}")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer could not be read.
    #[error("cannot read the API server's answer for {path}: {source}")]
    Decode {
        /// What was asked for.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The request could not be formed.
    #[error("cannot form the request for {path}: {source}")]
    Request {
        /// What was asked for.
        path: String,
        /// The cause.
        source: http::Error,
    },
    /// The answer is larger than we take.
    #[error("the API server's answer for {path} is larger than {limit} bytes; narrow the request or page it")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// The kubeconfig cannot be used.
    #[error("cannot use the kubeconfig: {0}")]
    Config(String),
}

impl ClientError {
    /// The HTTP code, if the server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            ClientError::Status { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The server says that the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The server says that the object is there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, ClientError::Status { reason, .. } if reason == "AlreadyExists")
    }

    /// The object was changed by somebody else meanwhile.
    pub fn is_conflict(&self) -> bool {
        matches!(self, ClientError::Status { reason, .. } if reason == "Conflict")
    }

    /// The version asked for is no longer kept.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    pub(crate) fn from_status(code: u16, body: &[u8], retry_after: Option<u64>) -> Self {
        let body: Value = serde_json::from_slice(body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body[..body.len().min(512)]).trim().to_owned()));
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let message = text("message").unwrap_or_else(|| match &body {
            Value::String(words) if !words.is_empty() => words.clone(),
            _ => format!("the server answered with code {code}"),
        });
        let code = body.get("code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok()).unwrap_or(code);
        ClientError::Status { code, reason: text("reason").unwrap_or_default(), message, retry_after, body }
    }
}
