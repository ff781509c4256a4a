//! What every pod worker reaches: the ports, the settings, and the view that others have of pods.
//!
//! In: ports. Out: one handle, given to each worker. Holds no pod's state; each worker publishes its own view.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Semaphore, watch};

use crate::config::NodeConfig;
use crate::container::env::Allocatable;
use crate::events::Events;
use crate::machine::MachineFacts;
use crate::metrics::Metrics;
use crate::pod::PodId;
use crate::port::{Api, Clock, Dice, Mounts, PodNetwork, Runtime};
use crate::pull::Puller;
use crate::sources::Sources;
use crate::volume::Dirs;

/// Containers made at once: each costs a fork, mounts and cgroups; two cores gain nothing from more.
pub const STARTS_AT_ONCE: usize = 8;

/// What every worker reaches.
pub struct Shared {
    pub config: NodeConfig,
    pub api: Arc<dyn Api>,
    pub runtime: Arc<dyn Runtime>,
    pub network: Arc<dyn PodNetwork>,
    pub mounts: Arc<dyn Mounts>,
    pub clock: Arc<dyn Clock>,
    pub dice: Arc<dyn Dice>,
    pub puller: Puller,
    pub sources: Sources,
    pub events: Events,
    pub metrics: Arc<Metrics>,
    pub dirs: Dirs,
    pub facts: MachineFacts,
    pub allocatable: Allocatable,
    /// The machine's addresses, primary first.
    pub host_ips: watch::Receiver<Vec<IpAddr>>,
    pub starts: Semaphore,
    pub directory: Directory,
    /// Beats when the machine is awake anyway: whoever looks at something regularly does it then.
    pub beat: watch::Sender<()>,
    /// One folder is walked at a time.
    pub walk: Semaphore,
    /// The Node object has been written by this daemon.
    pub registered: AtomicBool,
}

impl Shared {
    /// The machine's addresses now.
    pub fn ips(&self) -> Vec<IpAddr> {
        self.host_ips.borrow().clone()
    }

    /// A new identity: 32 hexadecimal digits.
    pub fn new_id(&self) -> String {
        let bytes = self.dice.roll();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Who is where: what logs and exec look a container up in.
#[derive(Default)]
pub struct Directory {
    pods: RwLock<HashMap<(String, String), watch::Receiver<PodView>>>,
}

/// A pod as others see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodView {
    /// Its UID.
    pub uid: String,
    /// Its containers by name.
    pub containers: HashMap<String, ContainerView>,
}

/// A container as others see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerView {
    /// The running container's identity.
    pub running: Option<String>,
    /// The newest run that has a log.
    pub attempt: Option<u32>,
    /// The run before it.
    pub previous: Option<u32>,
    /// Why it does not run.
    pub waiting: Option<String>,
    /// Its environment may be seen by others through exec only while it runs.
    pub image_id: String,
}

impl Directory {
    /// A pod's worker has begun.
    pub fn enter(&self, id: &PodId, view: watch::Receiver<PodView>) {
        let key = (id.namespace.clone(), id.name.clone());
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        pods.insert(key, view);
    }

    /// A pod's worker has ended; a later pod of its name stays.
    pub fn leave(&self, id: &PodId) {
        let key = (id.namespace.clone(), id.name.clone());
        let mut pods = self.pods.write().unwrap_or_else(PoisonError::into_inner);
        if pods.get(&key).is_some_and(|view| view.borrow().uid == id.uid) {
            pods.remove(&key);
        }
    }

    /// A pod's view, kept up to date.
    pub fn find(&self, namespace: &str, name: &str) -> Option<watch::Receiver<PodView>> {
        let key = (namespace.to_owned(), name.to_owned());
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        pods.get(&key).cloned()
    }

    /// Image IDs that some pod has run and may run again.
    pub fn images_in_use(&self) -> Vec<String> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<String> = pods
            .values()
            .flat_map(|view| {
                let view = view.borrow();
                let ids = view.containers.values().map(|c| c.image_id.clone());
                ids.collect::<Vec<_>>()
            })
            .filter(|id| !id.is_empty())
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Running containers: pod and container names with the runtime's identity.
    pub fn running(&self) -> Vec<(String, String, String, String)> {
        let pods = self.pods.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Vec::new();
        for ((namespace, name), view) in pods.iter() {
            for (container, state) in &view.borrow().containers {
                if let Some(id) = &state.running {
                    all.push((namespace.clone(), name.clone(), container.clone(), id.clone()));
                }
            }
        }
        all.sort();
        all
    }
}
