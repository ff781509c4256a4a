//! Why the runtime did not do what it was asked.
//!
//! In: the act, the thing, the cause. Out: one sentence that names all three. Never loses the cause.

use std::time::Duration;

/// A refused or failed act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// There is no such container or sandbox.
    #[error("{what} {id} not found")]
    NotFound {
        /// `container` or `sandbox`.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// A container of that name is there already.
    #[error("container {id} exists already")]
    Exists {
        /// Which.
        id: String,
    },
    /// The container is not in the state that the act needs.
    #[error("{act} container {id}: it is {state}")]
    State {
        /// What was wanted.
        act: &'static str,
        /// Which.
        id: String,
        /// How it stands.
        state: &'static str,
    },
    /// A name or path that can't be used.
    #[error("{what} {value:?}: {rule}")]
    Input {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        rule: &'static str,
    },
    /// The sandbox could not be made.
    #[error("create sandbox {id}: {cause}")]
    Sandbox {
        /// The pod's UID.
        id: String,
        /// Why.
        cause: String,
    },
    /// The container could not be made. Nothing of it is left.
    #[error("create container {id}: {cause}")]
    Create {
        /// Which.
        id: String,
        /// Why.
        cause: String,
    },
    /// The container was made, but its program could not be started.
    #[error("start container {id}: {cause}")]
    Start {
        /// Which.
        id: String,
        /// Why.
        cause: String,
    },
    /// A further process could not be started.
    #[error("exec in container {id}: {cause}")]
    Exec {
        /// Which.
        id: String,
        /// Why.
        cause: String,
    },
    /// An act took too long and was given up.
    #[error("{act} {id}: not done within {limit:?}")]
    Timeout {
        /// What was wanted.
        act: &'static str,
        /// Which.
        id: String,
        /// How long it may take.
        limit: Duration,
    },
    /// Anything else that the kernel refused.
    #[error("{act} {id}: {cause}")]
    Failed {
        /// What was wanted.
        act: &'static str,
        /// Of what.
        id: String,
        /// Why.
        cause: String,
    },
}

/// An answer of the runtime.
pub type Result<T> = std::result::Result<T, RuntimeError>;

impl RuntimeError {
    /// An act that failed with `cause`, its sources included.
    pub(crate) fn failed(act: &'static str, id: impl Into<String>, cause: impl std::fmt::Display) -> Self {
        Self::Failed { act, id: id.into(), cause: cause.to_string() }
    }
}

/// An error and its sources in one line, each once.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
