//! Flags of `apply` and `delete`.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::Args;

use super::{DryRun, Files, Which};

/// `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    pub files: Files,
    /// Apply on the server, with field ownership.
    #[arg(long)]
    pub server_side: bool,
    /// With --server-side: take over fields of other managers.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Delete and create anew what cannot be patched. Never with --server-side, nor in a dry run of the server.
    #[arg(long)]
    pub force: bool,
    /// Name of the manager used to track field ownership.
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
    /// strict, warn or ignore unknown and duplicate fields.
    #[arg(long, default_value = "strict", value_name = "WHAT")]
    pub validate: String,
    /// Output format: json, yaml or name.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// Selector (label query) to filter the manifests on; with --prune also what is pruned.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Delete what was applied once and is not in the manifests. Needs -l or --all.
    #[arg(long)]
    pub prune: bool,
    /// With --prune: whatever its labels.
    #[arg(long)]
    pub all: bool,
    /// With --prune: only these kinds, as in core/v1/ConfigMap; else those that kubectl prunes.
    #[arg(long, value_name = "GROUP/VERSION/KIND")]
    pub prune_allowlist: Vec<String>,
    /// With --prune and --force, what happens to dependents: background, foreground or orphan.
    #[arg(long, num_args = 0..=1, default_missing_value = "background", default_value = "background", value_name = "HOW")]
    pub cascade: String,
    /// With --prune and --force, seconds given to objects to end gracefully.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    pub grace_period: i64,
    /// With --prune and --force, the longest wait for ends, e.g. 30s; 0 waits for ever.
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// With --prune: wait until the objects are gone.
    #[arg(long)]
    pub wait: bool,
    /// Leave the annotation of what was applied last as it is: for a diff, which shows what the manifests say.
    #[arg(skip)]
    pub plain: bool,
}

/// `delete`.
#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// Delete all resources of the given types in the namespace.
    #[arg(long)]
    pub all: bool,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// What happens to dependents: background, foreground or orphan.
    #[arg(long, num_args = 0..=1, default_missing_value = "background", default_value = "background", value_name = "HOW")]
    pub cascade: String,
    /// Seconds given to the resource to end gracefully; 1 and --force for immediate.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    pub grace_period: i64,
    /// Shortcut for --grace-period=1.
    #[arg(long)]
    pub now: bool,
    /// Remove at once, without waiting for the node.
    #[arg(long)]
    pub force: bool,
    /// Treat "not found" as success.
    #[arg(long)]
    pub ignore_not_found: bool,
    /// Wait until the resources are gone.
    #[arg(long, default_value = "true")]
    pub wait: bool,
    /// Longest wait, e.g. 30s; 0 waits for ever.
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// Output: name for short.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
}
