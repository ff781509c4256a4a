//! The pod network, as the agent sees it.
//!
//! In: a pod's network namespace and host ports. Out: its addresses.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use kedge_api::machine::{DnsConfig, PodAddresses, PortMapping};
use tokio::sync::watch;

/// Joins pods to the network and takes them off it.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Gives a pod addresses and ports; asking again for a pod that has them returns the same.
    async fn attach(
        &self,
        pod_uid: &str,
        netns: &Path,
        hostname: &str,
        ports: &[PortMapping],
    ) -> Result<PodAddresses, NetworkFault>;
    /// Takes a pod off; one that is not on is no fault.
    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkFault>;
    /// Frees what belongs to pods that are not in `live`.
    async fn sweep(&self, live: &[String]) -> Result<(), NetworkFault>;
    /// Connects to a port on the loopback address of a network namespace; `None` is the host's.
    async fn connect(&self, netns: Option<&Path>, port: u16) -> Result<Connection, NetworkFault>;
    /// The host's resolver settings.
    async fn host_dns(&self) -> Result<DnsConfig, NetworkFault>;
    /// The machine's own addresses, primary first, as they are now and whenever they change.
    fn node_ips(&self) -> watch::Receiver<Vec<IpAddr>>;
    /// Why pods cannot be connected, if they cannot.
    fn fault(&self) -> Option<String>;
}

/// A connection to a pod.
pub type Connection = tokio::net::TcpStream;

/// Why the network did not.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NetworkFault {
    /// A host port is taken by another pod.
    #[error("host port {0} is already allocated")]
    PortInUse(u16),
    /// No free address.
    #[error("no addresses available: {0}")]
    Exhausted(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
