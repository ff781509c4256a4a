//! What is said of a plugin from outside: where it comes from, what it may use, what happens when it fails.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PluginConfig {
    /// Its name: in logs, metrics and errors.
    pub name: String,
    /// Where its code is.
    pub source: Source,
    /// Weights of its priorities; those not named have 1, 0 turns one off.
    #[serde(default)]
    pub weights: BTreeMap<String, u32>,
    /// Predicates that are turned off.
    #[serde(default)]
    pub disabled: Vec<String>,
    /// Given to the plugin as JSON.
    #[serde(default)]
    pub arguments: serde_json::Value,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// What a failure means: of its predicates for the pod, of its admission hooks for the write.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// `namespace:name` of the service account that its controllers act under; `None`: one that is called after each
    /// controller, in kube-system.
    #[serde(default)]
    pub service_account: Option<String>,
}

impl PluginConfig {
    /// A built-in plugin as it comes.
    pub fn builtin(name: &str) -> Self {
        Self::new(name, Source::Builtin(name.to_string()))
    }

    /// A plugin with the defaults of everything else.
    pub fn new(name: &str, source: Source) -> Self {
        Self {
            name: name.to_string(),
            source,
            weights: BTreeMap::new(),
            disabled: Vec::new(),
            arguments: serde_json::Value::Null,
            limits: Limits::default(),
            on_failure: OnFailure::default(),
            service_account: None,
        }
    }
}

/// Where a plugin's code is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// In the daemon itself, under this name.
    Builtin(String),
    /// A component in this file (`.wasm`).
    File(PathBuf),
}

/// What happens to a pod when a predicate cannot answer, or to a write when an admission hook cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The pod waits and is tried again; the write is refused.
    #[default]
    Closed,
    /// It goes on as if the plugin were not there.
    Open,
}

/// What a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Limits {
    /// Milliseconds of one call, not counting what the daemon does for it meanwhile.
    pub deadline_ms: u64,
    /// MiB of linear memory of one instance.
    pub memory_mib: u64,
}

impl Default for Limits {
    /// A call over 5000 nodes takes about a millisecond, a reconcile over 1000 pods less; a board with a tenth of that
    /// speed still has a factor of fifty. 5000 nodes take about 5 MiB.
    fn default() -> Self {
        Self { deadline_ms: 1000, memory_mib: 64 }
    }
}

impl Limits {
    /// As a duration.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// In bytes.
    pub fn memory(&self) -> usize {
        usize::try_from(self.memory_mib << 20).unwrap_or(usize::MAX)
    }
}
