//! Extension points as Rust traits, mirroring `wit/`.
//!
//! In: nothing. Out: the words and traits through which the API server, the scheduler and the controllers call plugins.
//! Data only, no I/O: `plugin-host` implements the traits with Wasm components.

pub mod admission;
pub mod bitmap;
pub mod controllers;
pub mod nodes;
pub mod scheduling;
pub mod symbols;

pub use admission::{AdmissionPlugin, AdmissionPlugins, NoAdmissionPlugins};
pub use bitmap::Bitmap;
pub use controllers::{Cluster, Controllers};
pub use nodes::NodeTable;
pub use scheduling::{PodRow, Reason, Scheduling, Verdict};
pub use symbols::{Symbol, Symbols};

/// A plugin could not answer. The daemon goes on; what follows is the caller's policy.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("plugin {plugin}: {fault}")]
pub struct PluginError {
    /// The plugin's name in the configuration.
    pub plugin: String,
    /// What happened.
    pub fault: Fault,
}

/// What can go wrong with a plugin.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// It trapped: a panic, an illegal memory access, an exhausted stack.
    #[error("trapped: {0}")]
    Trap(String),
    /// It was still running at its deadline.
    #[error("still running at its deadline of {0} ms, stopped")]
    Deadline(u64),
    /// It asked for more memory than it may have.
    #[error("asked for more memory than its {0} MiB")]
    Memory(u64),
    /// It answered what makes no sense.
    #[error("answered nonsense: {0}")]
    Nonsense(String),
    /// It refused its configuration.
    #[error("refused its configuration: {0}")]
    Refused(String),
    /// It could not be loaded.
    #[error("cannot be loaded: {0}")]
    Load(String),
    /// It failed before and waits to be replaced.
    #[error("failed and is replaced in {0} ms: {1}")]
    Resting(u64, String),
}
