//! Flags of `config`. Context, cluster, user and namespace are those of every verb.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

/// `config`.
#[derive(Debug, Args)]
pub struct Config {
    #[command(subcommand)]
    pub what: ConfigWhat,
}

/// What to do about the kubeconfig.
#[derive(Debug, Subcommand)]
pub enum ConfigWhat {
    /// Display merged kubeconfig settings, without secrets.
    View {
        /// Display keys, certificates and tokens too.
        #[arg(long)]
        raw: bool,
        /// Only what the context needs.
        #[arg(long)]
        minify: bool,
        /// Put the content of files in the place of their names; implies nothing about secrets.
        #[arg(long)]
        flatten: bool,
        /// Output format: yaml, json or jsonpath=….
        #[arg(long, short = 'o', default_value = "yaml", value_name = "FORMAT")]
        output: String,
    },
    /// Display the current context.
    CurrentContext,
    /// Describe one or many contexts.
    GetContexts {
        /// Their names; else all.
        names: Vec<String>,
        /// Don't print headers.
        #[arg(long)]
        no_headers: bool,
        /// Output format: name.
        #[arg(long, short = 'o', value_name = "FORMAT")]
        output: Option<String>,
    },
    /// Set the current context.
    #[command(visible_alias = "use")]
    UseContext {
        /// Its name.
        name: String,
    },
    /// Set a context's --cluster, --user and --namespace.
    SetContext {
        /// Its name.
        #[arg(required_unless_present = "current")]
        name: Option<String>,
        /// Change the current context.
        #[arg(long, conflicts_with = "name")]
        current: bool,
    },
}

#[cfg(test)]
mod tests {
    use crate::args::read;

    #[test]
    fn kubectls_words_are_understood() {
        for line in [
            "edgectl config view --minify -o jsonpath={.contexts}",
            "edgectl config view --raw --flatten",
            "edgectl config current-context",
            "edgectl config get-contexts a b -o name",
            "edgectl config use-context a --kubeconfig x",
            "edgectl config set-context --current --namespace=a",
            "edgectl config set-context new --cluster=a --user=b",
            "edgectl options",
        ] {
            read(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in
            ["edgectl config set-context", "edgectl config set-context a --current", "edgectl config use-context"]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
