//! The flags of who may do what: `auth`, `certificate`, `backup`, `restore`, roles of `create`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{CreateHow, Files};

/// `auth`.
#[derive(Debug, Args)]
pub struct Auth {
    #[command(subcommand)]
    pub what: AuthWhat,
}

/// What to ask about access.
#[derive(Debug, Subcommand)]
pub enum AuthWhat {
    /// Check whether an action is allowed.
    CanI {
        /// VERB and TYPE, TYPE/NAME or a path such as /healthz.
        #[arg(value_name = "VERB [TYPE[/NAME] | PATH]")]
        words: Vec<String>,
        /// A subresource such as log or scale.
        #[arg(long, value_name = "NAME")]
        subresource: Option<String>,
        /// In all namespaces.
        #[arg(long, short = 'A')]
        all_namespaces: bool,
        /// Say nothing, and tell by the exit code.
        #[arg(long, short = 'q')]
        quiet: bool,
        /// Print all allowed actions.
        #[arg(long)]
        list: bool,
    },
    /// Tell who the server takes you for.
    Whoami {
        /// Output format: json or yaml.
        #[arg(long, short = 'o', value_name = "FORMAT")]
        output: Option<String>,
    },
    /// Make roles and bindings grant at least what files say.
    Reconcile {
        #[command(flatten)]
        files: Files,
    },
}

/// `certificate`.
#[derive(Debug, Args)]
pub struct Certificate {
    #[command(subcommand)]
    pub what: CertificateWhat,
}

/// What becomes of requests for certificates.
#[derive(Debug, Subcommand)]
pub enum CertificateWhat {
    /// Approve certificate signing requests.
    Approve {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Deny certificate signing requests.
    Deny {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file to write, mode 0600.
    pub file: PathBuf,
    /// Also the certificate authority and the keys of tokens and encryption: for a new device in this one's place.
    #[arg(long)]
    pub keys: bool,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// A file that `edgectl backup` wrote.
    pub file: PathBuf,
    /// Also take over the keys in it, from the next start of edged.
    #[arg(long)]
    pub keys: bool,
    /// Replace every object of the cluster.
    #[arg(long)]
    pub yes: bool,
}

/// Rules of `create role` and `create clusterrole`.
#[derive(Clone, Debug, Default, Args)]
pub struct RuleFlags {
    /// Verbs; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "VERB", required = true)]
    pub verb: Vec<String>,
    /// Resources such as pods, deployments.apps or pods/log; may be repeated.
    #[arg(long, value_delimiter = ',', value_name = "TYPE")]
    pub resource: Vec<String>,
    /// Names that the rule is limited to; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub resource_name: Vec<String>,
}

/// Subjects of `create rolebinding` and `create clusterrolebinding`.
#[derive(Clone, Debug, Default, Args)]
pub struct SubjectFlags {
    /// Users; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub user: Vec<String>,
    /// Groups; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// Service accounts; may be repeated.
    #[arg(long, value_name = "NAMESPACE:NAME")]
    pub serviceaccount: Vec<String>,
}

/// Roles and bindings by name.
#[derive(Debug, Subcommand)]
pub enum CreateRole {
    /// Create a role with a single rule.
    Role {
        /// Its name.
        name: String,
        #[command(flatten)]
        rule: RuleFlags,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a cluster role with a single rule.
    Clusterrole {
        /// Its name.
        name: String,
        #[command(flatten)]
        rule: RuleFlags,
        /// Paths that are no resources; may be repeated.
        #[arg(long = "non-resource-url", value_delimiter = ',', value_name = "PATH")]
        paths: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Bind a role or cluster role within a namespace.
    Rolebinding {
        /// Its name.
        name: String,
        /// The cluster role.
        #[arg(long, value_name = "NAME", conflicts_with = "role")]
        clusterrole: Option<String>,
        /// The role.
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
        #[command(flatten)]
        subjects: SubjectFlags,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Bind a cluster role for the whole cluster.
    Clusterrolebinding {
        /// Its name.
        name: String,
        /// The cluster role.
        #[arg(long, value_name = "NAME", required = true)]
        clusterrole: String,
        #[command(flatten)]
        subjects: SubjectFlags,
        #[command(flatten)]
        how: CreateHow,
    },
}
