//! What one node agent is told about itself.
//!
//! In: nothing. Out: plain settings with the defaults of a small gateway. Never read from a file here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::port::RegistryLogin;

/// Settings of one node agent.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The Node's name, also its `kubernetes.io/hostname` label.
    pub node_name: String,
    /// Where pods' folders, logs, volumes and checkpoints live; absolute.
    pub state_dir: PathBuf,
    /// Further labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// `nodeInfo.kubeletVersion`.
    pub version: String,
    /// `nodeInfo.containerRuntimeVersion`.
    pub runtime_version: String,
    /// Most pods at once.
    pub max_pods: u32,
    /// Most processes and threads of one pod.
    pub pod_pids_limit: Option<i64>,
    /// Kept back from allocatable.
    pub reserved: Reserved,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Name servers of the cluster; none means that pods use the host's.
    pub cluster_dns: Vec<IpAddr>,
    /// A container's log is rotated at this many bytes.
    pub log_max_bytes: u64,
    /// Log files kept for each container, the current one included.
    pub log_max_files: u32,
    /// When images that nobody uses go.
    pub image_gc: ImageGc,
    /// Registry logins of the machine itself.
    pub registry_logins: Vec<RegistryLogin>,
    /// How often the lease is renewed.
    pub lease_renewal: Duration,
    /// How long a lease holds.
    pub lease_duration: Duration,
    /// The Node's status is written at least this often, changed or not.
    pub status_report: Duration,
    /// Folder of `Localhost` seccomp profiles.
    pub seccomp_dir: PathBuf,
}

/// Resources that pods cannot have.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reserved {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

/// When images that nobody uses are removed, in percent of the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageGc {
    /// They go when so much is taken; 100 is never.
    pub high: u8,
    /// Until no more than this is.
    pub low: u8,
    /// None goes that was used within this time.
    pub least_age: Duration,
}

impl Default for ImageGc {
    fn default() -> Self {
        Self { high: 85, low: 80, least_age: Duration::from_secs(120) }
    }
}

impl ImageGc {
    /// The bytes of images that are to go from a disk of this size with so many bytes free.
    pub fn wanted(self, all: u64, free: u64) -> u64 {
        let (all, free) = (u128::from(all), u128::from(free));
        let left = |percent: u8| u128::from(100 - percent.min(100));
        // Whole percents, as in Kubernetes.
        if all == 0 || self.high >= 100 || free * 100 / all > left(self.high) {
            return 0;
        }
        u64::try_from((all * left(self.low) / 100).saturating_sub(free)).unwrap_or(u64::MAX)
    }
}

impl NodeConfig {
    /// The defaults for a node of that name with that state folder.
    pub fn new(node_name: impl Into<String>, state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        Self {
            node_name: node_name.into(),
            labels: BTreeMap::new(),
            version: format!("v1.36.0+kedge{}", env!("CARGO_PKG_VERSION")),
            runtime_version: format!("kedge://{}", env!("CARGO_PKG_VERSION")),
            max_pods: 110,
            // Half of a small kernel's process numbers: one pod that forks without end takes no other's.
            pod_pids_limit: Some(16 << 10),
            reserved: Reserved::default(),
            cluster_domain: "cluster.local".into(),
            cluster_dns: Vec::new(),
            // Three files of 10 MiB: a chatty container costs an SD card at most 30 MiB of space.
            log_max_bytes: 10 << 20,
            log_max_files: 3,
            image_gc: ImageGc::default(),
            registry_logins: Vec::new(),
            lease_renewal: Duration::from_secs(10),
            lease_duration: Duration::from_secs(40),
            status_report: Duration::from_secs(300),
            seccomp_dir: state_dir.join("seccomp"),
            state_dir,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_go_from_the_high_mark_down_to_the_low_one() {
        for (high, low, free, want) in
            [(85, 80, 160, 0), (85, 80, 159, 41), (85, 80, 0, 200), (100, 80, 0, 0), (0, 0, 1000, 0), (1, 0, 900, 100)]
        {
            let gc = ImageGc { high, low, ..ImageGc::default() };
            assert_eq!(gc.wanted(1000, free), want, "{high} {low} {free}");
        }
        assert_eq!(ImageGc::default().wanted(0, 0), 0, "a disk of which nothing is known");
    }
}
