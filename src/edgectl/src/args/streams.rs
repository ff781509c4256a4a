//! Flags of the verbs that talk to processes and ports: exec, attach, run, cp, port-forward, proxy.
//!
//! In: arguments. Out: typed values, under kubectl's names.

use std::path::PathBuf;

use clap::Args;

use super::DryRun;

/// `exec`.
#[derive(Debug, Args)]
pub struct Exec {
    /// POD or TYPE/NAME.
    pub target: String,
    /// The container.
    #[arg(long, short = 'c', value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input.
    #[arg(long, short = 'i')]
    pub stdin: bool,
    /// Standard input is a terminal.
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Only print what the command prints.
    #[arg(long, short = 'q')]
    pub quiet: bool,
    /// The command, after --.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// `attach`.
#[derive(Debug, Args)]
pub struct Attach {
    /// POD, TYPE/NAME, or TYPE NAME.
    #[arg(required = true, num_args = 1..=2, value_name = "POD | TYPE/NAME")]
    pub target: Vec<String>,
    /// The container.
    #[arg(long, short = 'c', value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input.
    #[arg(long, short = 'i')]
    pub stdin: bool,
    /// Standard input is a terminal.
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Only print what the container prints.
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// What is said of a container that is made to be joined.
#[derive(Debug, Args)]
pub struct OneContainer {
    /// Always, IfNotPresent or Never; else the server's default.
    #[arg(long, value_name = "POLICY")]
    pub image_pull_policy: Option<String>,
    /// Environment variables, KEY=VALUE; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Keep standard input open, and attach to it.
    #[arg(long, short = 'i')]
    pub stdin: bool,
    /// Allocate a terminal.
    #[arg(long, short = 't')]
    pub tty: bool,
    /// Wait for the container to run, then attach to it; as -i does by itself.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = super::boolean)]
    pub attach: Option<bool>,
    /// Suppress informational messages.
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The pod's name.
    pub name: String,
    /// The image for the container to run.
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    #[command(flatten)]
    pub own: OneContainer,
    /// The port that this container exposes.
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Labels, comma-separated; else run=NAME.
    #[arg(long, short = 'l', value_name = "KEY=VALUE,…")]
    pub labels: Option<String>,
    /// Annotations, KEY=VALUE; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotations: Vec<String>,
    /// Leave standard input open after the first attach.
    #[arg(long)]
    pub leave_stdin_open: bool,
    /// Delete the pod after it exits; only when attached.
    #[arg(long)]
    pub rm: bool,
    /// Always, OnFailure or Never.
    #[arg(long, default_value = "Always", value_name = "POLICY")]
    pub restart: String,
    /// The words after -- replace the image's entry point rather than its arguments.
    #[arg(long)]
    pub command: bool,
    /// Run the container in privileged mode.
    #[arg(long)]
    pub privileged: bool,
    /// How long to wait for the pod to run, e.g. 5s, 2m.
    #[arg(long, default_value = "1m0s", value_name = "DURATION")]
    pub pod_running_timeout: String,
    /// none, client or server.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "client", default_value = "none")]
    pub dry_run: DryRun,
    /// Output format: json, yaml or name.
    #[arg(long, short = 'o', value_name = "FORMAT")]
    pub output: Option<String>,
    /// Arguments or command, after --.
    #[arg(last = true)]
    pub words: Vec<String>,
}

/// `cp`.
#[derive(Debug, Args)]
pub struct Copy {
    /// From: a local path, or [NAMESPACE/]POD:PATH.
    #[arg(value_name = "SOURCE")]
    pub from: String,
    /// To: a local path, or [NAMESPACE/]POD:PATH.
    #[arg(value_name = "DESTINATION")]
    pub to: String,
    /// The container.
    #[arg(long, short = 'c', value_name = "NAME")]
    pub container: Option<String>,
    /// Do not preserve owners and permissions in the container.
    #[arg(long)]
    pub no_preserve: bool,
}

/// `port-forward`.
#[derive(Debug, Args)]
pub struct PortForward {
    /// POD or TYPE/NAME.
    pub target: String,
    /// Ports: REMOTE, LOCAL:REMOTE, or :REMOTE for any free one.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    pub ports: Vec<String>,
    /// Addresses to listen on, comma-separated: IP addresses or localhost.
    #[arg(long, default_value = "localhost", value_delimiter = ',', value_name = "ADDRESS")]
    pub address: Vec<String>,
}

/// `proxy`.
#[derive(Debug, Args)]
pub struct Proxy {
    /// The port on which to serve; 0 picks a free one.
    #[arg(long, short = 'p', default_value_t = 8001)]
    pub port: u16,
    /// The IP address on which to serve.
    #[arg(long, default_value = "127.0.0.1")]
    pub address: std::net::IpAddr,
    /// Prefix to serve the API under.
    #[arg(long, default_value = "/", value_name = "PATH")]
    pub api_prefix: String,
    /// A Unix socket on which to serve instead.
    #[arg(long, short = 'u', value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// Serve any host name, and exec and attach too. Dangerous where others reach the port.
    #[arg(long)]
    pub disable_filter: bool,
}
