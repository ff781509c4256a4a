//! Asks registries by the OCI distribution protocol.
//!
//! In: a repository, digests and tags, credentials. Out: documents and streams of blobs.
//! Never trusts an answer: each has a size limit, a time limit and, where one is known, a digest.
//!
//! The protocol's reading side is a handful of GET requests. It is written on hyper, which this daemon
//! links anyway: crate oci-client brings reqwest, holds whole answers in memory and cannot resume a blob.

pub mod challenge;
pub mod config;
pub mod http;
pub mod keys;
pub mod session;

use std::time::Duration;

use ::http::StatusCode;

use crate::digest::Digest;
use crate::manifest::ManifestFault;

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry cannot be reached, or the connection broke.
    #[error("{host}: {reason}")]
    Transport {
        /// Whom we asked.
        host: String,
        /// What happened, with its causes.
        reason: String,
    },
    /// No answer in time.
    #[error("{host} did not answer within {} seconds", after.as_secs_f32())]
    Timeout {
        /// Whom we asked.
        host: String,
        /// How long we waited.
        after: Duration,
    },
    /// There is no such image, or blob.
    #[error("{host} has no {what}")]
    NotFound {
        /// Whom we asked.
        host: String,
        /// For what.
        what: String,
    },
    /// The credentials were not accepted, or there are none.
    #[error("{host} refused access{}", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Denied {
        /// Whom we asked.
        host: String,
        /// What it said.
        reason: String,
    },
    /// Another refusal.
    #[error("{host} answered {status}{}", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Status {
        /// Whom we asked.
        host: String,
        /// The status.
        status: StatusCode,
        /// What it said.
        reason: String,
        /// When it asks us to come back.
        retry_after: Option<Duration>,
    },
    /// An answer that makes no sense.
    #[error("{host} answered with garbage: {reason}")]
    Garbage {
        /// Whom we asked.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An answer with another digest than was asked for.
    #[error("{host} sent something else than {wanted}: its digest is {got}")]
    Digest {
        /// Whom we asked.
        host: String,
        /// What we asked for.
        wanted: Digest,
        /// What came.
        got: Digest,
    },
    /// A document is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    /// A setting is not usable.
    #[error("{0}")]
    Setting(String),
    /// The disk refused.
    #[error("keeping a download")]
    Disk(#[from] std::io::Error),
}

impl RegistryError {
    /// True if another registry, or the same later, may do better.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Transport { .. } | Self::Timeout { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => false,
        }
    }
}
