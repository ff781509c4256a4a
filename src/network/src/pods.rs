//! Attaches pods to the bridge of this instance and lets go of them.
//!
//! In: pod UIDs, pinned namespaces, port mappings. Out: links, addresses and rules that match the leases.
//! Never leaves half a pod: an attach that fails takes back what it made.

mod bridge;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kedge_api::machine::{DnsConfig, PodAddresses, PortMapping, Protocol};

use crate::flows;
use crate::guard::Guard;
use crate::host::{self, SwitchError};
use crate::leases::{Lease, LeaseError, Leases};
use crate::link::{LinkError, MAX_NAME, Pair, mac_of};
use crate::moves::Moves;
use crate::namespace::{Namespace, NamespaceError};
use crate::netlink::Netlink;
use crate::nft::{self, NftError};
use crate::range::Range;
use crate::rules::{self, Snapshot};
use crate::traffic::{self, Traffic};

/// The link's name inside of a pod.
const POD_LINK: &str = "eth0";
/// The loopback link is the first of each namespace.
const LOOPBACK: u32 = 1;
/// Rules that could not be made again are tried again after this long.
const RETRY: Duration = Duration::from_secs(10);
/// A new lease changes an address and some routes one after the other; what is in between is nobody's address.
const SETTLING: Duration = Duration::from_millis(500);

/// What a pod network needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells instances on one machine apart: `[a-z0-9-]`, at most 40.
    pub instance: String,
    /// The bridge's name.
    pub bridge: String,
    /// The pods' addresses.
    pub range: Range,
    /// Largest packet; `None` takes that of the link to the world.
    pub mtu: Option<u32>,
    /// Where leases are kept.
    pub folder: PathBuf,
    /// The program `nft`.
    pub nft: PathBuf,
}

/// Why the pod network is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A setting is not usable.
    #[error("{0}")]
    Setting(String),
    /// The bridge belongs to somebody else.
    #[error("the link {0} exists already and is not of this instance; set another bridge name in the configuration")]
    ForeignBridge(String),
    /// The range is in use.
    #[error("the pod range {range} overlaps with {other} of the link {link}; set another range in the configuration")]
    Overlap {
        /// Ours.
        range: Range,
        /// Theirs.
        other: Range,
        /// Where it is in use.
        link: String,
    },
    /// A lease was refused.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The kernel refused a link, an address or a route.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The kernel gives no netlink socket.
    #[error("opening a netlink socket")]
    Socket(#[source] std::io::Error),
    /// The pod's namespace cannot be entered.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The rules were refused.
    #[error(transparent)]
    Rules(#[from] NftError),
    /// A kernel switch was refused.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// The folder of leases cannot be removed.
    #[error("removing {}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// The pod network of one instance; clones share it.
#[derive(Clone)]
pub struct PodNetwork {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    mtu: u32,
    leases: Mutex<Leases>,
    /// The host's side; whoever holds it changes links.
    host: Mutex<Netlink>,
    /// Counts changes of what the rules follow from.
    changes: AtomicU64,
    /// The change up to which the rules are applied.
    applied: tokio::sync::Mutex<u64>,
    /// Why the rules are not as they should be.
    fault: Mutex<Option<String>>,
}

impl PodNetwork {
    /// Makes the bridge, its address, the kernel switches and the rules, in this thread's network namespace.
    pub async fn open(options: Options) -> Result<Self, NetworkError> {
        bridge::check(&options)?;
        let inner = blocking(move || {
            let mut host = open_netlink()?;
            let mtu = bridge::prepare(&mut host, &options)?;
            let leases = Leases::open(&options.folder, options.range)?;
            Ok(Inner {
                options,
                mtu,
                leases: Mutex::new(leases),
                host: Mutex::new(host),
                changes: AtomicU64::new(1),
                applied: tokio::sync::Mutex::new(0),
                fault: Mutex::default(),
            })
        })
        .await?;
        let network = Self { inner: Arc::new(inner) };
        network.apply_rules().await?;
        Ok(network)
    }

    /// Connects a pod; one that is connected already stays as it is. The address is kept until `detach`.
    pub async fn attach(
        &self,
        pod_uid: &str,
        netns: &Path,
        hostname: &str,
        ports: &[PortMapping],
    ) -> Result<PodAddresses, NetworkError> {
        let inner = self.inner.clone();
        let (pod, netns, hostname, ports) = (pod_uid.to_owned(), netns.to_owned(), hostname.to_owned(), ports.to_vec());
        let (lease, new, changed) = blocking(move || {
            let (lease, new, changed) = {
                let mut leases = inner.leases();
                let before = leases.all().find(|l| l.pod == pod).map(|l| l.ports.clone()).unwrap_or_default();
                let (lease, new) = leases.lease(&pod, &hostname, &ports)?;
                let changed = before != lease.ports;
                (lease, new, changed)
            };
            if let Err(error) = inner.connect(&lease, &netns) {
                if new {
                    inner.take_back(&lease.pod);
                }
                return Err(error);
            }
            Ok((lease, new, changed))
        })
        .await?;
        if changed {
            self.inner.changes.fetch_add(1, Ordering::SeqCst);
            if let Err(error) = self.apply_rules().await {
                if new {
                    let _ = self.detach(&lease.pod).await;
                }
                return Err(error);
            }
            forget_flows(std::slice::from_ref(&lease)).await;
        }
        Ok(addresses(&lease))
    }

    /// Disconnects a pod and frees its address; one that is not there is fine.
    pub async fn detach(&self, pod_uid: &str) -> Result<(), NetworkError> {
        let (inner, pod) = (self.inner.clone(), pod_uid.to_owned());
        let lease = blocking(move || inner.disconnect(&pod)).await?;
        self.without(lease.into_iter().collect()).await
    }

    /// The pods that have a lease and whose link is there.
    pub async fn attached(&self) -> Result<Vec<(String, PodAddresses)>, NetworkError> {
        let inner = self.inner.clone();
        blocking(move || {
            let links = inner.host().links()?;
            let leases = inner.leases();
            let there = |lease: &&Lease| links.iter().any(|l| l.name == link_name(&inner.options.instance, &lease.pod));
            Ok(leases.all().filter(there).map(|lease| (lease.pod.clone(), addresses(lease))).collect())
        })
        .await
    }

    /// What went through a pod's link, if it has one.
    pub fn traffic(&self, pod_uid: &str) -> Option<Traffic> {
        let link = link_name(&self.inner.options.instance, pod_uid);
        traffic::of(&Path::new("/sys/class/net").join(link).join("statistics"))
    }

    /// Disconnects all pods but these, and removes ports of the bridge that belong to nobody. Returns how many went.
    pub async fn sweep(&self, live: &[String]) -> Result<usize, NetworkError> {
        let (inner, live) = (self.inner.clone(), live.to_vec());
        let (gone, count) = blocking(move || inner.sweep(&live)).await?;
        self.without(gone).await?;
        Ok(count)
    }

    /// Takes the mapped ports of ended leases out of the rules.
    async fn without(&self, mut gone: Vec<Lease>) -> Result<(), NetworkError> {
        gone.retain(|lease| !lease.ports.is_empty());
        if gone.is_empty() {
            return Ok(());
        }
        self.inner.changes.fetch_add(1, Ordering::SeqCst);
        self.apply_rules().await?;
        forget_flows(&gone).await;
        Ok(())
    }

    /// Puts the rules back whenever somebody else removes them, as a reloaded firewall does. Ends only with an error
    /// of the kernel's; the caller runs it beside everything else and drops it to stop.
    pub async fn guard(&self) -> Result<std::convert::Infallible, NetworkError> {
        let options = &self.inner.options;
        for chain in nft::dropping_chains(&options.nft).await {
            tracing::warn!(
                "the firewall chain {chain:?} drops forwarded packets: pods reach the world only if it accepts those from and to {}",
                options.bridge
            );
        }
        let mut guard = Guard::open(table(options)).map_err(NetworkError::Socket)?;
        loop {
            guard.lost().await.map_err(NetworkError::Socket)?;
            tracing::warn!(
                table = table(options),
                "somebody removed the rules of the pod network: they are made again"
            );
            self.inner.changes.fetch_add(1, Ordering::SeqCst);
            while let Err(error) = self.apply_rules().await {
                tracing::error!(%error, "the rules of the pod network cannot be made again yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Resolver settings for pods, from this machine's.
    pub fn host_dns(&self) -> DnsConfig {
        let (config, warning) = host::dns();
        if let Some(warning) = warning {
            tracing::warn!("{warning}");
        }
        config
    }

    /// This machine's address: the one towards the world, else any of another link than loopback, else the bridge's.
    pub async fn node_ip(&self) -> IpAddr {
        self.own_address().await.unwrap_or(self.gateway())
    }

    /// Returns this machine's address as soon as it is another one than `known`. While it has none, as without a lease
    /// of DHCP, the one that is known stays.
    pub async fn moved_from(&self, known: IpAddr) -> Result<IpAddr, NetworkError> {
        // Listening comes before looking, so that no change falls between the two.
        let mut moves = Moves::open().map_err(NetworkError::Socket)?;
        loop {
            match self.own_address().await {
                Some(address) if address != known => return Ok(address),
                _ => moves.next().await.map_err(NetworkError::Socket)?,
            }
            tokio::time::sleep(SETTLING).await;
        }
    }

    async fn own_address(&self) -> Option<IpAddr> {
        if let Some(address) = host::outward_address() {
            return Some(address);
        }
        let inner = self.inner.clone();
        let found = blocking(move || {
            let mut host = inner.host();
            let bridge = host.link(&inner.options.bridge)?.map(|l| l.index);
            let addresses = host.addresses()?;
            let good = |(link, _, ip): &&(u32, Range, Ipv4Addr)| {
                Some(*link) != bridge && !ip.is_loopback() && !ip.is_link_local()
            };
            Ok(addresses.iter().find(good).map(|(_, _, ip)| IpAddr::V4(*ip)))
        })
        .await;
        found.ok().flatten()
    }

    /// Why pods may not reach each other or the world: the rules could not be applied.
    pub fn fault(&self) -> Option<String> {
        self.inner.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bridge's address: the host, as pods see it.
    pub fn gateway(&self) -> IpAddr {
        IpAddr::V4(self.inner.options.range.gateway())
    }

    /// Removes every link, address, rule and file of this instance.
    pub async fn cleanup_all(&self) -> Result<(), NetworkError> {
        Self::cleanup(&self.inner.options).await
    }

    /// The same without opening: for a daemon that is not running.
    pub async fn cleanup(options: &Options) -> Result<(), NetworkError> {
        bridge::check(options)?;
        let own = options.clone();
        blocking(move || {
            let mut host = open_netlink()?;
            bridge::remove(&mut host, &own)?;
            match std::fs::remove_dir_all(&own.folder) {
                Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                    Err(NetworkError::Folder { path: own.folder, source })
                }
                _ => Ok(()),
            }
        })
        .await?;
        match nft::apply(&options.nft, &rules::removal(&table(options))).await {
            // Without the program there cannot be a table of ours.
            Err(NftError::Missing(_)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Applies the rules as of now. Callers that wait for each other share one transaction.
    async fn apply_rules(&self) -> Result<(), NetworkError> {
        let inner = &self.inner;
        let wanted = inner.changes.load(Ordering::SeqCst);
        let mut applied = inner.applied.lock().await;
        if *applied >= wanted {
            return Ok(());
        }
        let upto = inner.changes.load(Ordering::SeqCst);
        let text = rules::ruleset(&inner.snapshot());
        let outcome = nft::apply(&inner.options.nft, &text).await;
        *inner.fault.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().map(ToString::to_string);
        outcome?;
        *applied = upto;
        Ok(())
    }
}

impl Inner {
    fn connect(&self, lease: &Lease, netns: &Path) -> Result<(), NetworkError> {
        let namespace = Namespace::open(netns)?;
        let mut inside = namespace.netlink()?;
        let name = link_name(&self.options.instance, &lease.pod);
        let mut host = self.host();
        let bridge = bridge::ensure(&mut host, &self.options, self.mtu)?;
        let ours = host.link(&name)?;
        if let Some(existing) = inside.link(POD_LINK)? {
            let has = inside.addresses()?.iter().any(|(link, _, ip)| *link == existing.index && *ip == lease.address);
            if has && existing.up && ours.as_ref().is_some_and(|l| l.master == Some(bridge) && l.up) {
                return Ok(());
            }
            inside.remove_link(POD_LINK)?;
        }
        host.remove_link(&name)?;
        let pair = Pair { host: &name, bridge, pod: POD_LINK, mac: mac_of(lease.address.into()), mtu: self.mtu };
        host.add_pair(&pair, &namespace)?;
        let done = self.dress(&mut host, &mut inside, &name, lease);
        if done.is_err() {
            let _ = host.remove_link(&name);
        }
        done
    }

    /// Gives a new pair of links its settings.
    fn dress(&self, host: &mut Netlink, inside: &mut Netlink, name: &str, lease: &Lease) -> Result<(), NetworkError> {
        let gone = |name: &str| NetworkError::Setting(format!("the link {name} vanished while it was set up"));
        let port = host.link(name)?.ok_or_else(|| gone(name))?;
        host.set_hairpin(port.index)?;
        let link = inside.link(POD_LINK)?.ok_or_else(|| gone(POD_LINK))?;
        inside.set_up(LOOPBACK)?;
        inside.add_address(link.index, lease.address, self.options.range)?;
        inside.set_up(link.index)?;
        inside.add_default_route(link.index, self.options.range.gateway())?;
        Ok(())
    }

    /// The lease that the pod had.
    fn disconnect(&self, pod: &str) -> Result<Option<Lease>, NetworkError> {
        // On a socket of its own: the kernel takes some 40 ms to let a link go, and attaches need not wait for that.
        open_netlink()?.remove_link(&link_name(&self.options.instance, pod))?;
        // The lease last: an address is free only when its link is gone.
        Ok(self.leases().release(pod)?)
    }

    fn take_back(&self, pod: &str) {
        if let Err(error) = self.leases().release(pod) {
            tracing::warn!(pod, %error, "an address stays taken until the next sweep");
        }
    }

    fn sweep(&self, live: &[String]) -> Result<(Vec<Lease>, usize), NetworkError> {
        let dead: Vec<String> = self.leases().all().filter(|l| !live.contains(&l.pod)).map(|l| l.pod.clone()).collect();
        let mut gone = Vec::new();
        for pod in &dead {
            gone.extend(self.disconnect(pod)?);
        }
        let known: Vec<String> = self.leases().all().map(|l| link_name(&self.options.instance, &l.pod)).collect();
        let mut host = self.host();
        let strays = bridge::ports(&mut host, &self.options)?.into_iter().filter(|name| !known.contains(name));
        let mut count = dead.len();
        for name in strays {
            host.remove_link(&name)?;
            count += 1;
        }
        Ok((gone, count))
    }

    fn snapshot(&self) -> Snapshot {
        let leases = self.leases();
        let ports = leases.all().flat_map(|l| l.ports.iter().map(|p| (l.address, p.clone()))).collect();
        Snapshot { table: table(&self.options), bridge: self.options.bridge.clone(), range: self.options.range, ports }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self) -> MutexGuard<'_, Netlink> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Flows of mapped UDP ports go on for ever while packets come, wherever they led when they began.
async fn forget_flows(leases: &[Lease]) {
    let udp = |p: &&PortMapping| p.protocol == Protocol::Udp;
    let ports: BTreeSet<u16> = leases.iter().flat_map(|l| l.ports.iter().filter(udp)).map(|p| p.host_port).collect();
    if ports.is_empty() {
        return;
    }
    let pods: BTreeSet<Ipv4Addr> = leases.iter().map(|l| l.address).collect();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || flows::forget(&ports, &pods)).await {
        tracing::debug!(%error, "UDP flows of a mapped port go on until they are idle");
    }
}

fn open_netlink() -> Result<Netlink, NetworkError> {
    Netlink::open().map_err(|e| NetworkError::Socket(e.into()))
}

fn addresses(lease: &Lease) -> PodAddresses {
    PodAddresses { ips: vec![IpAddr::V4(lease.address)] }
}

fn table(options: &Options) -> String {
    format!("kedge-{}", options.instance)
}

/// The host's end of a pod's pair: the same for the same pod, so that a repeated attach finds it.
fn link_name(instance: &str, pod: &str) -> String {
    // FNV-1a: no secret, only spread.
    let hash = [instance.as_bytes(), b"/", pod.as_bytes()]
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    let name = format!("kv{:012x}", hash & 0xffff_ffff_ffff);
    debug_assert!(name.len() <= MAX_NAME);
    name
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetworkError> + Send + 'static,
) -> Result<T, NetworkError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(NetworkError::Stopping),
        },
    }
}
