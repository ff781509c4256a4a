//! What went wrong, in kubectl's words.
//!
//! In: errors of the server, of files and of the command line. Out: text for standard error, with its line end.
//! Never hides the server's sentence.

use std::fmt::Write;
use std::path::PathBuf;

use kedge_api::decode::DecodeError;
use kedge_client::ClientError;
use serde_json::Value;

use crate::screen::safe;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API said no, or did not answer.
    #[error(transparent)]
    Api(#[from] ClientError),
    /// A file could not be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A manifest could not be understood.
    #[error("error parsing {origin}: {source}")]
    Parse {
        /// File or standard input.
        origin: String,
        /// The cause, with its line.
        source: DecodeError,
    },
    /// What was asked for could not be printed.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
    /// Something about what was asked for.
    #[error("{0}")]
    Said(String),
}

impl Failure {
    /// A sentence.
    pub fn said(text: impl Into<String>) -> Failure {
        Failure::Said(text.into())
    }

    /// The words for standard error.
    pub fn words(&self) -> String {
        let words = match self {
            Failure::Api(error) => api_words(error),
            other => format!("error: {other}\n"),
        };
        safe(&words).into_owned()
    }
}

/// An error with what lies below it, each thing once.
pub fn causes(error: &dyn std::error::Error) -> String {
    below(error.to_string(), error.source())
}

fn below(mut text: String, mut cause: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(deeper) = cause {
        let words = deeper.to_string();
        if !text.contains(&words) {
            let _ = write!(text, ": {words}");
        }
        cause = deeper.source();
    }
    text
}

fn api_words(error: &ClientError) -> String {
    match error {
        ClientError::Status { reason, body, message, .. } if reason == "Invalid" => invalid(body, message),
        ClientError::Status { reason, message, .. } if reason.is_empty() => format!("Error from server: {message}\n"),
        ClientError::Status { reason, message, .. } => format!("Error from server ({reason}): {message}\n"),
        ClientError::Unreachable(source) => format!("{}\n", below(format!("error: {error}"), source.source())),
        other => format!("error: {other}\n"),
    }
}

/// `The Deployment "web" is invalid: …`, one line a cause when there are several. What a patch made of an object has
/// neither kind nor name: `The request is invalid: …`.
fn invalid(body: &Value, message: &str) -> String {
    let details = &body["details"];
    let what = match (details["kind"].as_str().unwrap_or(""), details["name"].as_str().unwrap_or("")) {
        ("", "") => "request".to_owned(),
        (kind, name) => format!("{kind} \"{name}\""),
    };
    let causes: Vec<String> = details["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|cause| {
            let (field, words) = (cause["field"].as_str().unwrap_or(""), cause["message"].as_str().unwrap_or(""));
            if field.is_empty() { words.to_owned() } else { format!("{field}: {words}") }
        })
        .collect();
    match causes.as_slice() {
        [] => format!("The request is invalid: {message}\n"),
        [one] => format!("The {what} is invalid: {one}\n"),
        many => {
            let lines: String = many.iter().map(|cause| format!("* {cause}\n")).collect();
            format!("The {what} is invalid: \n{lines}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_move_no_cursor() {
        assert_eq!(Failure::said("\u{1b}[2J\r").words(), "error: ^[[2J\\r\n");
    }

    #[test]
    fn an_invalid_object_is_told_cause_by_cause() {
        let cause = |field: &str| json!({"field": field, "message": "Required value"});
        let body = |causes: Vec<Value>| json!({"details": {"kind": "Pod", "name": "a", "causes": causes}});
        assert_eq!(invalid(&body(vec![cause("spec.x")]), ""), "The Pod \"a\" is invalid: spec.x: Required value\n");
        assert_eq!(
            invalid(&body(vec![cause("a"), cause("b")]), ""),
            "The Pod \"a\" is invalid: \n* a: Required value\n* b: Required value\n"
        );
        let of_patch = json!({"details": {"causes": [cause("patch")]}});
        assert_eq!(invalid(&of_patch, ""), "The request is invalid: patch: Required value\n");
    }
}
