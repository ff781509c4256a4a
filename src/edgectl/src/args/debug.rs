//! Flags of `debug`.
//!
//! In: arguments. Out: typed values, under kubectl's names.

use clap::{Args, ValueEnum};

use super::OneContainer;

/// `debug`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// POD, pod/NAME or node/NAME.
    #[arg(value_name = "POD | TYPE/NAME")]
    pub target: String,
    /// The image of the debug container.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The name of the debug container; else one is made up.
    #[arg(long, short = 'c', value_name = "NAME")]
    pub container: Option<String>,
    /// See the processes of this container; for ephemeral containers.
    #[arg(long = "target", value_name = "NAME")]
    pub of_container: Option<String>,
    #[command(flatten)]
    pub own: OneContainer,
    /// What the debug container may do.
    #[arg(long, value_enum, default_value = "general", value_name = "PROFILE")]
    pub profile: Profile,
    /// The words after -- are the arguments of the image's entry point, and do not replace it.
    #[arg(long)]
    pub arguments_only: bool,
    /// Debug a copy of the pod with this name.
    #[arg(long, value_name = "NAME")]
    pub copy_to: Option<String>,
    /// With --copy-to: delete the original pod.
    #[arg(long)]
    pub replace: bool,
    /// With --copy-to: on the same node.
    #[arg(long)]
    pub same_node: bool,
    /// With --copy-to: other images, NAME=IMAGE; * stands for every container.
    #[arg(long, value_name = "NAME=IMAGE", value_delimiter = ',')]
    pub set_image: Vec<String>,
    /// With --copy-to: containers see each other's processes.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", value_parser = super::boolean)]
    pub share_processes: Option<bool>,
    /// With --copy-to: keep the labels.
    #[arg(long)]
    pub keep_labels: bool,
    /// With --copy-to: keep the annotations.
    #[arg(long)]
    pub keep_annotations: bool,
    /// With --copy-to: keep liveness probes.
    #[arg(long)]
    pub keep_liveness: bool,
    /// With --copy-to: keep readiness probes.
    #[arg(long)]
    pub keep_readiness: bool,
    /// With --copy-to: keep startup probes.
    #[arg(long)]
    pub keep_startup: bool,
    /// With --copy-to: run the init containers.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", default_value = "true", value_name = "BOOL", value_parser = super::boolean)]
    pub keep_init_containers: bool,
    /// Command or arguments, after --.
    #[arg(last = true)]
    pub words: Vec<String>,
}

/// What a debug container may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Trace the processes that it sees; of a node, see all of it.
    General,
    /// What Pod Security's baseline allows.
    Baseline,
    /// What Pod Security's restricted allows.
    Restricted,
    /// Change the network.
    Netadmin,
    /// Everything.
    Sysadmin,
    /// As kubectl did before there were profiles.
    #[value(hide = true)]
    Legacy,
}
