//! The daemon's command line.
//!
//! In: arguments. Out: one typed value. Never reads a file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A whole Kubernetes-compatible node and control plane in one process.
///
/// When the API is ready, DIR/admin.kubeconfig (mode 0600) has been written and GET /readyz answers 200.
/// SIGTERM stops the daemon and leaves containers running; `edged cleanup` stops and removes them.
#[derive(Debug, Parser)]
#[command(name = "edged", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do instead of running the daemon.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// How to run the daemon.
    #[command(flatten)]
    pub run: Run,
}

/// What to do instead of running the daemon.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Stop and remove every container, mount, cgroup, link and nftables table of a data directory.
    Cleanup {
        /// Where the device keeps its state.
        #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
        data_dir: PathBuf,
        /// The configuration file that the daemon ran with, if any.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Replace every object of a stopped device by those of a file that `edgectl backup` wrote.
    Restore {
        /// The backup.
        file: PathBuf,
        /// Where the device keeps its state; made when it is not there.
        #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
        data_dir: PathBuf,
        /// Also take over the keys in it: this device is then the one that was backed up.
        #[arg(long)]
        keys: bool,
    },
}

/// How to run the daemon.
#[derive(Debug, Args)]
pub struct Run {
    /// Where the device keeps its state; made with mode 0700 when it is not there.
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// The configuration file; without one every setting has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the API listens, instead of the configuration's api.listen [default: 0.0.0.0:6443].
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// The Node's name, instead of the configuration's node.name [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,
}

const DATA_DIR: &str = "/var/lib/kedge";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_come_without_a_verb() {
        let arguments = Arguments::try_parse_from(["edged", "--data-dir", "/d", "--listen", "127.0.0.1:1"]).unwrap();
        assert_eq!(arguments.run.data_dir, PathBuf::from("/d"));
        assert!(arguments.verb.is_none());
    }

    #[test]
    fn cleanup_takes_its_data_directory() {
        let arguments = Arguments::try_parse_from(["edged", "cleanup", "--data-dir", "/d"]).unwrap();
        assert!(matches!(arguments.verb, Some(Verb::Cleanup { data_dir, .. }) if data_dir == *"/d"));
    }
}
