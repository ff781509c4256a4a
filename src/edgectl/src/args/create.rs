//! The flags of `create`: from files, or the usual small objects by name.
//!
//! In: arguments. Out: typed values, under kubectl's names. Never asks the server.

use clap::{Args, Subcommand};

use super::{CreateObject, CreateRole, DryRun, Files};

/// `create`.
#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true)]
pub struct Create {
    #[command(subcommand)]
    pub what: Option<CreateWhat>,
    #[command(flatten)]
    pub files: Files,
    #[command(flatten)]
    pub how: CreateHow,
}

/// How something is created.
#[derive(Clone, Debug, Default, Args)]
pub struct CreateHow {
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
    /// Output format: json, yaml or name.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// strict, warn or ignore unknown and duplicate fields.
    #[arg(long, default_value = "strict", value_name = "WHAT")]
    pub validate: String,
}

/// What is created by name.
#[derive(Debug, Subcommand)]
pub enum CreateWhat {
    /// Create a namespace.
    #[command(visible_alias = "ns")]
    Namespace {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a deployment with an image.
    #[command(visible_alias = "deploy")]
    Deployment {
        /// Its name.
        name: String,
        /// The image; may be repeated.
        #[arg(long, required = true)]
        image: Vec<String>,
        /// Number of replicas.
        #[arg(long, short = 'r', default_value_t = 1)]
        replicas: i32,
        /// The port that the container exposes.
        #[arg(long)]
        port: Option<u16>,
        /// A command for the container.
        #[arg(last = true)]
        command: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a config map from literals and files.
    #[command(visible_alias = "cm")]
    Configmap {
        /// Its name.
        name: String,
        #[command(flatten)]
        from: FromData,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a secret.
    Secret {
        #[command(subcommand)]
        what: CreateSecret,
    },
    /// Create a role, a cluster role or a binding.
    #[command(flatten)]
    Role(CreateRole),
    /// Create a service, a job, an ingress and the like.
    #[command(flatten)]
    Object(CreateObject),
    /// Create a quota with limits and scopes.
    #[command(visible_alias = "resourcequota")]
    Quota {
        /// Its name.
        name: String,
        /// Hard limits, such as cpu=1,pods=2.
        #[arg(long, value_delimiter = ',', value_name = "NAME=QUANTITY")]
        hard: Vec<String>,
        /// What it counts, such as BestEffort.
        #[arg(long, value_delimiter = ',', value_name = "SCOPE")]
        scopes: Vec<String>,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a service account.
    #[command(visible_alias = "sa")]
    Serviceaccount {
        /// Its name.
        name: String,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Request a service account token.
    Token {
        /// The service account.
        name: String,
        /// Lifetime, e.g. 10m.
        #[arg(long)]
        duration: Option<String>,
        /// Audience; may be repeated.
        #[arg(long)]
        audience: Vec<String>,
        /// Kind of an object that the token ends with: Pod, Secret or Node.
        #[arg(long, value_name = "KIND", requires = "bound_object_name")]
        bound_object_kind: Option<String>,
        /// Name of that object.
        #[arg(long, value_name = "NAME", requires = "bound_object_kind")]
        bound_object_name: Option<String>,
        /// UID of that object.
        #[arg(long, value_name = "UID", requires = "bound_object_kind")]
        bound_object_uid: Option<String>,
    },
}

/// Kinds of secrets.
#[derive(Debug, Subcommand)]
pub enum CreateSecret {
    /// Create a secret from literals and files.
    Generic {
        /// Its name.
        name: String,
        /// Its type.
        #[arg(long = "type", value_name = "TYPE")]
        of_type: Option<String>,
        #[command(flatten)]
        from: FromData,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a secret from a certificate and its key.
    Tls {
        /// Its name.
        name: String,
        /// The certificate's file (PEM).
        #[arg(long, required = true, value_name = "FILE")]
        cert: std::path::PathBuf,
        /// The key's file (PEM).
        #[arg(long, required = true, value_name = "FILE")]
        key: std::path::PathBuf,
        #[command(flatten)]
        how: CreateHow,
    },
    /// Create a secret for use with a registry.
    DockerRegistry {
        /// Its name.
        name: String,
        /// The registry.
        #[arg(long, default_value = "https://index.docker.io/v1/")]
        docker_server: String,
        /// The user.
        #[arg(long)]
        docker_username: String,
        /// The password.
        #[arg(long)]
        docker_password: String,
        #[command(flatten)]
        how: CreateHow,
    },
}

/// Where data comes from.
#[derive(Clone, Debug, Default, Args)]
pub struct FromData {
    /// key=value; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub from_literal: Vec<String>,
    /// FILE, KEY=FILE or a folder; may be repeated.
    #[arg(long, value_name = "[KEY=]FILE")]
    pub from_file: Vec<String>,
    /// A file with KEY=VALUE lines; may be repeated.
    #[arg(long, value_name = "FILE")]
    pub from_env_file: Vec<std::path::PathBuf>,
}
