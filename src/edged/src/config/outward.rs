//! The sections about others: who is told what happened, and who is asked who may do what.
//!
//! In: nothing. Out: plain data, all of it off by default. Never checks ranges: `Config::check` does.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is written down of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Audit {
    /// A Policy of `audit.k8s.io/v1`; `null` writes nothing down.
    pub policy: Option<PathBuf>,
    /// The file; `null` is `audit/audit.log` of the data directory.
    pub file: Option<PathBuf>,
    /// Whether there is a file at all.
    pub to_file: bool,
    /// The file is rotated at this many MiB.
    pub max_mib: u64,
    /// Rotated files that are kept; 0 keeps all.
    pub max_files: usize,
    /// Days that rotated files are kept; 0 keeps them for ever.
    pub max_age_days: u64,
    /// What happened is written together this many seconds after the first of it.
    pub delay_seconds: u64,
    /// A kubeconfig that names a receiver; `null` sends nothing.
    pub webhook: Option<PathBuf>,
}

impl Default for Audit {
    fn default() -> Self {
        Audit {
            policy: None,
            file: None,
            to_file: true,
            max_mib: 10,
            max_files: 4,
            max_age_days: 0,
            delay_seconds: 5,
            webhook: None,
        }
    }
}

/// Who is asked beside the device itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Webhooks {
    /// A kubeconfig that names a server for TokenReviews; `null` asks nobody.
    pub authentication: Option<PathBuf>,
    /// How long its answers are believed.
    pub authentication_ttl_seconds: u64,
    /// A kubeconfig that names a server for SubjectAccessReviews; `null` asks nobody.
    pub authorization: Option<PathBuf>,
    /// How long a yes of it is believed.
    pub authorized_ttl_seconds: u64,
    /// How long a no of it is believed.
    pub unauthorized_ttl_seconds: u64,
}

impl Default for Webhooks {
    fn default() -> Self {
        Webhooks {
            authentication: None,
            authentication_ttl_seconds: 120,
            authorization: None,
            authorized_ttl_seconds: 300,
            unauthorized_ttl_seconds: 30,
        }
    }
}
