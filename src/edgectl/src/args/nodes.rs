//! Flags of the verbs that keep pods off nodes: taint, cordon, uncordon, drain.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::Args;

use super::{DryRun, change::Told};

/// `taint`.
#[derive(Debug, Args)]
pub struct Taint {
    /// node NAME, then KEY=VALUE:EFFECT or KEY:EFFECT to set, KEY:EFFECT- or KEY- to remove.
    #[arg(value_name = "node NAME… KEY=VALUE:EFFECT… KEY-…")]
    pub words: Vec<String>,
    /// Selector (label query) to filter on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// All nodes.
    #[arg(long)]
    pub all: bool,
    /// Replace taints that are there.
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub told: Told,
}

/// `cordon` and `uncordon`.
#[derive(Debug, Args)]
pub struct Cordon {
    /// The nodes.
    #[arg(value_name = "NODE")]
    pub nodes: Vec<String>,
    /// Nodes by selector (label query).
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
}

/// `drain`.
#[derive(Debug, Args)]
pub struct Drain {
    #[command(flatten)]
    pub cordon: Cordon,
    /// Pass over pods of daemon sets.
    #[arg(long)]
    pub ignore_daemonsets: bool,
    /// Go on though there are pods with emptyDir volumes, whose data is lost.
    #[arg(long)]
    pub delete_emptydir_data: bool,
    /// Go on though there are pods that nothing makes anew.
    #[arg(long)]
    pub force: bool,
    /// Seconds given to each pod to end gracefully; less than 0 for the pod's own.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    pub grace_period: i64,
    /// Longest wait, e.g. 30s; 0 waits for ever.
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// Only pods by selector (label query).
    #[arg(long, value_name = "SELECTOR")]
    pub pod_selector: Option<String>,
    /// Delete pods without asking whether their budgets allow it.
    #[arg(long)]
    pub disable_eviction: bool,
    /// Don't wait for pods that have been ending for longer than so many seconds.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub skip_wait_for_delete_timeout: i64,
}

#[cfg(test)]
mod tests {
    use crate::args::read;

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl taint node n a=b:NoSchedule c:NoExecute d- --overwrite",
            "edgectl taint nodes --all a-",
            "edgectl cordon n",
            "edgectl uncordon -l a=b --dry-run=server",
            "edgectl drain n --ignore-daemonsets --delete-emptydir-data --force --grace-period=0 --timeout=30s",
            "edgectl drain -l a=b --disable-eviction --pod-selector=app=web --dry-run",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }
}
