//! A pod network in memory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use kedge_api::machine::{DnsConfig, PodAddresses, PortMapping};
use tokio::sync::watch;

use crate::port::{Connection, NetworkFault, PodNetwork};

/// Gives 10.42.0.2, 10.42.0.3 and so on.
#[derive(Debug)]
pub struct FakeNetwork {
    state: Mutex<State>,
    ips: watch::Sender<Vec<IpAddr>>,
}

impl Default for FakeNetwork {
    fn default() -> Self {
        let ips = watch::Sender::new(vec![Ipv4Addr::new(192, 0, 2, 1).into()]);
        Self { state: Mutex::default(), ips }
    }
}

#[derive(Debug, Default)]
struct State {
    attached: BTreeMap<String, (PodAddresses, Vec<PortMapping>)>,
    given: u8,
    fail: Option<NetworkFault>,
    down: Option<String>,
}

impl FakeNetwork {
    /// Who is on the network.
    pub fn attached(&self) -> Vec<String> {
        self.lock().attached.keys().cloned().collect()
    }

    /// The next attach fails so.
    pub fn fail_next(&self, fault: NetworkFault) {
        self.lock().fail = Some(fault);
    }

    /// The machine has another address.
    pub fn move_to(&self, address: [u8; 4]) {
        self.ips.send_replace(vec![address.into()]);
    }

    /// Pods cannot be connected, or can again.
    pub fn break_down(&self, why: Option<&str>) {
        self.lock().down = why.map(str::to_owned);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PodNetwork for FakeNetwork {
    async fn attach(
        &self,
        pod_uid: &str,
        _netns: &Path,
        _hostname: &str,
        ports: &[PortMapping],
    ) -> Result<PodAddresses, NetworkFault> {
        let mut state = self.lock();
        if let Some(fault) = state.fail.take() {
            return Err(fault);
        }
        if let Some((addresses, _)) = state.attached.get(pod_uid) {
            return Ok(addresses.clone());
        }
        state.given += 1;
        let ip = Ipv4Addr::new(10, 42, 0, state.given + 1);
        let addresses = PodAddresses { ips: vec![ip.into()] };
        state.attached.insert(pod_uid.into(), (addresses.clone(), ports.to_vec()));
        Ok(addresses)
    }

    async fn detach(&self, pod_uid: &str) -> Result<(), NetworkFault> {
        self.lock().attached.remove(pod_uid);
        Ok(())
    }

    async fn sweep(&self, live: &[String]) -> Result<(), NetworkFault> {
        self.lock().attached.retain(|uid, _| live.contains(uid));
        Ok(())
    }

    async fn connect(&self, netns: Option<&Path>, port: u16) -> Result<Connection, NetworkFault> {
        let inside = netns.map_or_else(|| "the host".to_owned(), |path| path.display().to_string());
        Err(NetworkFault::Other(format!("nothing listens on port {port} of {inside}")))
    }

    async fn host_dns(&self) -> Result<DnsConfig, NetworkFault> {
        Ok(DnsConfig { nameservers: vec!["192.0.2.53".into()], ..DnsConfig::default() })
    }

    fn node_ips(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.ips.subscribe()
    }

    fn fault(&self) -> Option<String> {
        self.lock().down.clone()
    }
}
