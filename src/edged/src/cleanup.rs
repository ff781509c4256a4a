//! `edged cleanup`: stops and removes everything that runs for a data directory.
//!
//! In: a data directory that no daemon has. Out: no container, mount, cgroup, link or table of it. The store and the
//! images stay: they are files that the user may want or remove.

use std::path::Path;

use crate::Fault;
use crate::config::{Config, Overrides};
use crate::layout::Layout;
use crate::run::{network_options, runtime_options};

/// The configuration to clean up by: the given one, the one of the last start, or the default.
pub fn configuration(layout: &Layout, file: Option<&Path>) -> Result<Config, Fault> {
    let last = layout.effective.exists().then_some(layout.effective.as_path());
    Ok(Config::load(file.or(last), &Overrides::default())?)
}

/// Removes everything; goes on after a failure and tells all of them.
pub async fn everything(layout: &Layout, config: &Config) -> Result<(), Fault> {
    let mut failures: Vec<String> = Vec::new();
    let runtime = runtime_options(layout, config);
    let containers = tokio::task::spawn_blocking(move || kedge_runtime::cleanup(&runtime)).await?;
    if let Err(error) = containers {
        failures.push(crate::chain(&error));
    }
    match network_options(layout, config) {
        Ok(options) => {
            if let Err(error) = kedge_network::PodNetwork::cleanup(&options).await {
                failures.push(crate::chain(&error));
            }
        }
        Err(error) => failures.push(error.to_string()),
    }
    if let Err(error) = unmount_volumes(layout) {
        failures.push(error.to_string());
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

/// Memory volumes and binds below the agent's folder, deepest first.
fn unmount_volumes(layout: &Layout) -> std::io::Result<()> {
    use kedge_node::port::{LinuxMounts, Mounts};
    for point in LinuxMounts.below(&layout.node)? {
        LinuxMounts.unmount(&point)?;
    }
    Ok(())
}
