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
    /// Display merged kubeconfig settings, without secrets but for --raw and --flatten.
    View {
        /// Display keys, certificates and tokens too.
        #[arg(long)]
        raw: bool,
        /// Only what the context needs.
        #[arg(long)]
        minify: bool,
        /// Put the content of files in the place of their names, and keep secrets: for a file that stands alone.
        #[arg(long)]
        flatten: bool,
        /// Output format: yaml, json, jsonpath=… or go-template=….
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
    /// Set one property, such as current-context, clusters.NAME.server or contexts.NAME.namespace.
    Set {
        /// Its name.
        #[arg(value_name = "PROPERTY_NAME")]
        property: String,
        /// Its value; of certificates and keys in base64.
        #[arg(value_name = "PROPERTY_VALUE")]
        value: String,
        /// The value of a certificate or key is no base64.
        #[arg(long)]
        set_raw_bytes: bool,
    },
    /// Remove one property, or a whole cluster, context or user: users.NAME.
    Unset {
        /// Its name.
        #[arg(value_name = "PROPERTY_NAME")]
        property: String,
    },
    /// Set a cluster's --server, --certificate-authority, --tls-server-name and --insecure-skip-tls-verify.
    SetCluster {
        /// Its name.
        name: String,
        /// Put the certificate itself into the kubeconfig and not the name of its file.
        #[arg(long)]
        embed_certs: bool,
    },
    /// Set a user's --client-certificate, --client-key and --token.
    SetCredentials {
        /// Its name.
        name: String,
        /// Put certificate and key themselves into the kubeconfig and not the names of their files.
        #[arg(long)]
        embed_certs: bool,
    },
    /// Delete a cluster from the kubeconfig.
    DeleteCluster {
        /// Its name.
        name: String,
    },
    /// Delete a context from the kubeconfig.
    DeleteContext {
        /// Its name.
        name: String,
    },
    /// Delete a user from the kubeconfig.
    DeleteUser {
        /// Its name.
        name: String,
    },
    /// Rename a context.
    RenameContext {
        /// Its name.
        name: String,
        /// Its new name.
        new: String,
    },
    /// Display the clusters of the kubeconfig.
    GetClusters,
    /// Display the users of the kubeconfig.
    GetUsers,
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
            "edgectl config set-cluster c --server=https://a --certificate-authority=ca.crt --embed-certs",
            "edgectl config set-credentials u --client-certificate=a --client-key=b --token=c",
            "edgectl config set clusters.c.server https://a",
            "edgectl config set users.u.client-key-data x --set-raw-bytes=true",
            "edgectl config unset contexts.a.namespace",
            "edgectl config view -o go-template={{.kind}}",
            "edgectl config delete-cluster c",
            "edgectl config delete-context c",
            "edgectl config delete-user c",
            "edgectl config rename-context a b",
            "edgectl config get-clusters",
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
