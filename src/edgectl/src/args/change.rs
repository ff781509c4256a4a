//! Flags of the verbs that change what is there, or wait for it: patch, replace, edit, diff, wait.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{DryRun, Files, Which};

/// What a verb says about what it wrote.
#[derive(Clone, Debug, Default, Args)]
pub struct Told {
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
    /// Output format: json, yaml, name, jsonpath=… or go-template=….
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
}

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PatchType {
    /// A list of operations (RFC 6902).
    Json,
    /// What shall differ (RFC 7386).
    Merge,
    /// The same, where lists merge by their keys.
    Strategic,
}

/// `patch`.
#[derive(Debug, Args)]
pub struct Patch {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// The patch, in JSON or YAML.
    #[arg(long, short = 'p', value_name = "PATCH")]
    pub patch: Option<String>,
    /// A file with the patch.
    #[arg(long, value_name = "FILE")]
    pub patch_file: Option<PathBuf>,
    /// The form of the patch.
    #[arg(long = "type", value_enum, default_value = "strategic")]
    pub of_type: PatchType,
    /// Patch this subresource: status, scale or resize.
    #[arg(long, value_name = "NAME", value_parser = ["status", "scale", "resize"])]
    pub subresource: Option<String>,
    /// Name of the manager used to track field ownership.
    #[arg(long, default_value = "kubectl-patch", value_name = "NAME")]
    pub field_manager: String,
    #[command(flatten)]
    pub told: Told,
}

/// `replace`.
#[derive(Debug, Args)]
pub struct Replace {
    #[command(flatten)]
    pub files: Files,
    /// Delete the objects and create them anew.
    #[arg(long)]
    pub force: bool,
    /// With --force, what happens to dependents: background, foreground or orphan.
    #[arg(long, num_args = 0..=1, default_missing_value = "background", default_value = "background", value_name = "HOW")]
    pub cascade: String,
    /// With --force, seconds given to the object to end gracefully.
    #[arg(long, allow_negative_numbers = true, default_value_t = -1)]
    pub grace_period: i64,
    /// With --force, the longest wait for the end, e.g. 30s; 0 waits for ever.
    #[arg(long, default_value = "0s")]
    pub timeout: String,
    /// Replace this subresource: status or scale.
    #[arg(long, value_name = "NAME", value_parser = ["status", "scale"])]
    pub subresource: Option<String>,
    /// Keep the configuration in the object's annotation, for a later apply.
    #[arg(long)]
    pub save_config: bool,
    /// strict, warn or ignore unknown and duplicate fields.
    #[arg(long, default_value = "strict", value_name = "WHAT")]
    pub validate: String,
    /// Name of the manager used to track field ownership.
    #[arg(long, default_value = "kubectl-replace", value_name = "NAME")]
    pub field_manager: String,
    #[command(flatten)]
    pub told: Told,
}

/// `edit`.
#[derive(Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// The format to edit: yaml or json.
    #[arg(long, short = 'o', default_value = "yaml", value_parser = ["yaml", "json"], value_name = "FORMAT")]
    pub output: String,
    /// Print the patch that was sent.
    #[arg(long)]
    pub output_patch: bool,
    /// Edit this subresource: status.
    #[arg(long, value_name = "NAME", value_parser = ["status"])]
    pub subresource: Option<String>,
    /// Keep managedFields in what is edited.
    #[arg(long)]
    pub show_managed_fields: bool,
    /// strict, warn or ignore unknown and duplicate fields.
    #[arg(long, default_value = "strict", value_name = "WHAT")]
    pub validate: String,
    /// Name of the manager used to track field ownership.
    #[arg(long, default_value = "kubectl-edit", value_name = "NAME")]
    pub field_manager: String,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    pub files: Files,
    /// As apply --server-side would do it.
    #[arg(long)]
    pub server_side: bool,
    /// With --server-side: take over fields of other managers.
    #[arg(long)]
    pub force_conflicts: bool,
    /// Name of the manager used to track field ownership.
    #[arg(long, value_name = "NAME")]
    pub field_manager: Option<String>,
    /// Selector (label query) to filter the manifests on.
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// Keep managedFields in what is compared.
    #[arg(long)]
    pub show_managed_fields: bool,
}

/// `wait`.
#[derive(Debug, Args)]
pub struct Wait {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub files: Files,
    /// create, delete, condition=NAME[=VALUE] or jsonpath='{…}'[=VALUE].
    #[arg(long = "for", required = true, value_name = "WHAT")]
    pub condition: String,
    /// Longest wait, e.g. 30s; 0 looks once, less waits for a week.
    #[arg(long, default_value = "30s", allow_hyphen_values = true)]
    pub timeout: String,
    /// All resources of the types in the namespace.
    #[arg(long)]
    pub all: bool,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Output format: json, yaml, name, jsonpath=… or go-template=….
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use crate::args::{Verb, read};

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl patch deploy web -p {\"spec\":{}}",
            "edgectl patch -f a.yaml --type=json --patch-file b --subresource=status --dry-run=server -o yaml",
            "edgectl replace -f a.yaml --force --grace-period=0 --cascade=orphan --timeout=5s",
            "edgectl replace -f - --save-config --subresource status",
            "edgectl edit deploy/web -o json --output-patch",
            "edgectl diff -f a.yaml -R --server-side --force-conflicts",
            "edgectl wait --for=condition=Ready pod/a pod/b --timeout=-1s",
            "edgectl wait --for=delete pods -l app=web -A -o name",
            "edgectl wait --for=jsonpath={.status.phase}=Running pods --all",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in ["edgectl wait pod/a", "edgectl patch a b --type=text", "edgectl edit a b -o name"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_negative_wait_is_a_value() {
        let parsed = read("edgectl wait --for=delete pod/a --timeout=-1s").unwrap();
        assert!(matches!(parsed.verb, Verb::Wait(wait) if wait.timeout == "-1s"));
    }
}
