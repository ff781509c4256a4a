//! The flags of `rollout`.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

use super::{DryRun, Files, Which};

/// `rollout`.
#[derive(Debug, Args)]
pub struct Rollout {
    #[command(subcommand)]
    pub what: RolloutWhat,
}

/// What to do about a rollout.
#[derive(Debug, Subcommand)]
pub enum RolloutWhat {
    /// Show the status of the rollout and wait for its end.
    Status {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
        /// Wait for the end.
        #[arg(long, short = 'w', default_value = "true")]
        watch: bool,
        /// Longest wait, e.g. 30s; 0 waits for ever.
        #[arg(long, default_value = "0s")]
        timeout: String,
    },
    /// View earlier revisions.
    History {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
        /// Details of one revision.
        #[arg(long, default_value_t = 0)]
        revision: i64,
    },
    /// Go back to an earlier revision.
    Undo {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
        /// The revision; 0 is the one before.
        #[arg(long, default_value_t = 0)]
        to_revision: i64,
        /// none, client or server.
        #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
        dry_run: DryRun,
    },
    /// Stop rolling out for now.
    Pause {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
    },
    /// Go on rolling out.
    Resume {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
    },
    /// Replace all pods, one after the other.
    Restart {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        files: Files,
    },
}
