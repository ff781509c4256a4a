//! The flags of what is particular to a device: `image` and `plugin`.

use clap::{Args, Subcommand};

/// `image`.
#[derive(Debug, Args)]
pub struct Image {
    #[command(subcommand)]
    pub what: ImageWhat,
}

/// What to do about images.
#[derive(Debug, Subcommand)]
pub enum ImageWhat {
    /// Load images from an archive (`docker save` or OCI, also compressed) into a device.
    Load {
        /// The archive, or - for standard input.
        archive: String,
        /// The device; by default the only one.
        #[arg(long)]
        node: Option<String>,
        /// Never collect these images.
        #[arg(long)]
        pin: bool,
    },
    /// List the images of a device.
    #[command(visible_alias = "ls")]
    List {
        /// The device; by default the only one.
        #[arg(long)]
        node: Option<String>,
        /// Output format: json.
        #[arg(long, short = 'o', value_name = "FORMAT")]
        output: Option<String>,
    },
}

/// `plugin`.
#[derive(Debug, Args)]
pub struct Plugin {
    #[command(subcommand)]
    pub what: PluginWhat,
}

/// What to do about plugins.
#[derive(Debug, Subcommand)]
pub enum PluginWhat {
    /// List the plugins of a device.
    #[command(visible_alias = "ls")]
    List {
        /// The device; by default the only one.
        #[arg(long)]
        node: Option<String>,
        /// Output format: json.
        #[arg(long, short = 'o', value_name = "FORMAT")]
        output: Option<String>,
    },
}
