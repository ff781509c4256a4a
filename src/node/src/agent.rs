//! Starts the agent's tasks and hands pods to their workers.
//!
//! In: a watch on the pods of this node, runtime events. Out: one worker for each pod, the Node registered, orphans of
//! earlier lives swept away. Knows no pod's state.

mod handle;
mod sweep;

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kedge_api::machine::{ContainerState, ContainerStatus, Exit, RuntimeEvent, Sandbox};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use handle::{ContainerUsage, NodeFault, NodeHandle};

use crate::admit::{Room, refuse};
use crate::config::NodeConfig;
use crate::events::{About, Events, Level};
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::node_object::{allocatable, labels};
use crate::pod::PodId;
use crate::pod::worker::{End, Found, Input, MAILBOX, Mail, Worker};
use crate::port::{Api, Clock, Dice, Images, Kind, Mounts, PodNetwork, Runtime, WatchStep};
use crate::pull::Puller;
use crate::registrar::Registrar;
use crate::shared::{Directory, STARTS_AT_ONCE, Shared};
use crate::sources::Sources;
use crate::volume::Dirs;

/// What the agent stands on.
#[derive(Clone)]
pub struct Ports {
    /// The API, with the node's identity.
    pub api: Arc<dyn Api>,
    /// The container runtime.
    pub runtime: Arc<dyn Runtime>,
    /// The image store.
    pub images: Arc<dyn Images>,
    /// The pod network.
    pub network: Arc<dyn PodNetwork>,
    /// Mounts and owners.
    pub mounts: Arc<dyn Mounts>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub dice: Arc<dyn Dice>,
    /// The machine.
    pub machine: Arc<dyn Machine>,
}

/// Why the agent could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder cannot be used.
    #[error("cannot use the state folder {path}: {source}")]
    State {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The runtime does not say what lives.
    #[error("cannot ask the container runtime what lives: {0}")]
    Runtime(#[from] crate::port::RuntimeFault),
}

/// Starts the agent. It works until `stop`; containers go on without it.
pub async fn start(config: NodeConfig, ports: Ports, stop: CancellationToken) -> Result<NodeHandle, StartError> {
    let dirs = Dirs { state: config.state_dir.clone() };
    let leftovers = sweep::prepare(&dirs, ports.mounts.as_ref())?;
    // Listening comes before asking, so that no exit falls between the two.
    let exits = ports.runtime.events();
    let containers = ports.runtime.containers().await?;
    let sandboxes = ports.runtime.sandboxes().await?;
    let tasks = TaskTracker::new();
    let facts = ports.machine.facts();
    let (events, write_events) = Events::new(ports.api.clone(), ports.clock.clone(), config.node_name.clone());
    let (logins, record) = (config.registry_logins.clone(), config.state_dir.join("pulled.json"));
    let puller = Puller::new(ports.images, ports.api.clone(), ports.clock.clone(), logins, record);
    let shared = Arc::new(Shared {
        allocatable: allocatable(&facts, &config),
        host_ips: ports.network.node_ips(),
        sources: Sources::new(ports.api.clone(), tasks.clone(), stop.clone()),
        api: ports.api,
        runtime: ports.runtime,
        network: ports.network,
        mounts: ports.mounts,
        clock: ports.clock,
        dice: ports.dice,
        metrics: Arc::new(Metrics::default()),
        starts: Semaphore::new(STARTS_AT_ONCE),
        directory: Directory::default(),
        beat: watch::channel(()).0,
        walk: Semaphore::new(1),
        registered: AtomicBool::new(false),
        puller,
        events,
        dirs,
        facts,
        config,
    });
    let about = About::Node(shared.config.node_name.clone());
    shared.events.tell(about, Level::Normal, "Starting", "Starting kubelet.");
    let until = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = write_events => {}
            () = until.cancelled() => {}
        }
    });
    tasks.spawn(Registrar::new(shared.clone(), ports.machine).run(stop.clone()));
    let fields = format!("spec.nodeName={}", shared.config.node_name);
    let pods = shared.api.watch(Kind::Pod, None, &fields);
    let agent = Agent {
        labels: labels(&shared.facts, &shared.config),
        shared: shared.clone(),
        held: HashMap::new(),
        workers: JoinSet::new(),
        sweeper: JoinSet::new(),
        listed: None,
        found: Some((containers, sandboxes)),
        leftovers: Some(leftovers),
        unclaimed: VecDeque::new(),
        stop: stop.clone(),
    };
    tasks.spawn(agent.run(pods, exits));
    tasks.close();
    Ok(NodeHandle::new(shared, tasks))
}

struct Agent {
    shared: Arc<Shared>,
    labels: std::collections::BTreeMap<String, String>,
    /// Pods with a worker, by UID.
    held: HashMap<String, Held>,
    workers: JoinSet<(PodId, End)>,
    /// The one that sweeps after the first list.
    sweeper: JoinSet<()>,
    /// UIDs of a list that is under way.
    listed: Option<HashSet<String>>,
    /// What was found at the start, until the first list is whole.
    found: Option<(Vec<ContainerStatus>, Vec<Sandbox>)>,
    /// Folders that were there at the start, until the first list is whole.
    leftovers: Option<sweep::Leftovers>,
    /// Exits of pods that have no worker yet, until the first list is whole.
    unclaimed: VecDeque<(String, String, Exit)>,
    stop: CancellationToken,
}

/// Exits that may come between asking what lives and the first list: each container of a full node ends once or twice.
const UNCLAIMED: usize = 512;

struct Held {
    input: watch::Sender<Input>,
    mail: mpsc::Sender<Mail>,
}

impl Agent {
    async fn run(mut self, mut pods: BoxStream<'static, WatchStep>, mut exits: BoxStream<'static, RuntimeEvent>) {
        let stop = self.stop.clone();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(event) = exits.next() => self.event(event).await,
                Some(ended) = self.workers.join_next(), if !self.workers.is_empty() => {
                    if let Ok((id, _)) = ended {
                        self.held.remove(&id.uid);
                        self.shared.directory.leave(&id);
                        self.shared.metrics.pods.store(self.held.len() as u64, Ordering::Relaxed);
                    }
                }
                Some(step) = pods.next() => self.step(step).await,
            }
        }
        // Workers see the same token; what they do now is to end.
        while self.workers.join_next().await.is_some() {}
        while self.sweeper.join_next().await.is_some() {}
    }

    async fn event(&mut self, event: RuntimeEvent) {
        match event {
            RuntimeEvent::Exited { id, pod_uid, exit } => match self.held.get(&pod_uid) {
                // A worker that is gone needs no exits.
                Some(held) => drop(held.mail.send(Mail::Exited(id, exit)).await),
                // What was found at the start says that it runs; its worker, when it comes, must hear of the end.
                None if self.found.is_some() && self.unclaimed.len() < UNCLAIMED => {
                    self.unclaimed.push_back((pod_uid, id, exit));
                }
                None => tracing::debug!(container = id, "an exit of a pod that has no worker"),
            },
            RuntimeEvent::ZygoteRestarted => {
                let about = About::Node(self.shared.config.node_name.clone());
                let text =
                    "The process that makes containers was lost and started again; running containers are untouched.";
                self.shared.events.tell(about, Level::Warning, "RuntimeRestarted", text);
                self.hear_again().await;
            }
        }
    }

    /// Ends that may have been missed are told again; a worker that knows of one already pays it no heed.
    async fn hear_again(&mut self) {
        for container in self.shared.runtime.containers().await.unwrap_or_default() {
            if let (ContainerState::Exited(exit), Some(held)) = (container.state, self.held.get(&container.pod_uid)) {
                // A worker that is gone needs no exits.
                let _ = held.mail.send(Mail::Exited(container.id, exit)).await;
            }
        }
    }

    async fn step(&mut self, step: WatchStep) {
        match step {
            WatchStep::Restarted => self.listed = Some(HashSet::new()),
            WatchStep::Apply(object) => self.apply(object).await,
            WatchStep::Delete(object) => {
                let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
                // Its last form says how much grace it has.
                self.gone(&uid, serde_json::from_value(object).ok());
            }
            WatchStep::Synced => self.synced().await,
        }
    }

    async fn apply(&mut self, mut object: Value) {
        // It is there, whether or not it can be read: what runs of it must not be swept away.
        if let (Some(listed), Some(uid)) = (&mut self.listed, object["metadata"]["uid"].as_str()) {
            listed.insert(uid.to_owned());
        }
        self.slim(&mut object);
        let pod: Pod = match serde_json::from_value(object) {
            Ok(pod) => pod,
            Err(error) => {
                tracing::warn!(%error, "a pod that cannot be read is left alone");
                return;
            }
        };
        let Some(id) = PodId::of(&pod) else {
            return;
        };
        let input = Input { pod: Arc::new(pod), removed: false };
        match self.held.get(&id.uid) {
            Some(held) => {
                held.input.send_replace(input);
            }
            None => self.take_up(id, input).await,
        }
    }

    /// Takes out what no worker reads: who set which field, and of a pod that has a worker, what that worker wrote.
    fn slim(&self, object: &mut Value) {
        if let Some(meta) = object["metadata"].as_object_mut() {
            meta.remove("managedFields");
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
        if self.held.contains_key(uid)
            && let Some(status) = object["status"].as_object_mut()
        {
            status.remove("containerStatuses");
            status.remove("initContainerStatuses");
        }
    }

    fn gone(&mut self, uid: &str, last: Option<Pod>) {
        if let Some(held) = self.held.get(uid) {
            held.input.send_modify(|input| {
                input.removed = true;
                if let Some(last) = last {
                    input.pod = Arc::new(last);
                }
            });
        }
    }

    async fn synced(&mut self) {
        let Some(listed) = self.listed.take() else {
            return;
        };
        let missing: Vec<String> = self.held.keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in missing {
            self.gone(&uid, None);
        }
        self.unclaimed.clear();
        let (Some((containers, sandboxes)), Some(leftovers)) = (self.found.take(), self.leftovers.take()) else {
            return;
        };
        // Addresses are swept before the next pod can be taken up: what is swept is what was there at the start.
        let live: Vec<String> = listed.iter().cloned().collect();
        if let Err(fault) = self.shared.network.sweep(&live).await {
            tracing::warn!(%fault, "the pod network could not be swept");
        }
        let shared = self.shared.clone();
        self.sweeper.spawn(async move { sweep::orphans(&shared, &listed, leftovers, &containers, &sandboxes).await });
    }

    async fn take_up(&mut self, id: PodId, input: Input) {
        let verdict = self.verdict(&input.pod);
        let found = match &self.found {
            Some((containers, sandboxes)) => Found {
                containers: containers.iter().filter(|container| container.pod_uid == id.uid).cloned().collect(),
                sandboxes: sandboxes.iter().filter(|sandbox| sandbox.pod_uid == id.uid).cloned().collect(),
                verdict,
            },
            // Known from before, although the first list did not have it: ask what lives.
            None if self.shared.dirs.record(&id).exists() => look(&self.shared, verdict).await,
            None => Found { containers: Vec::new(), sandboxes: Vec::new(), verdict },
        };
        let (input_sender, input_receiver) = watch::channel(input);
        let (mail, mailbox) = mpsc::channel(MAILBOX);
        let (view, view_receiver) = watch::channel(Default::default());
        self.shared.directory.enter(&id, view_receiver);
        self.unclaimed.retain(|(uid, run, exit)| {
            // The mailbox is empty and has room for more containers than a pod has.
            *uid != id.uid || mail.try_send(Mail::Exited(run.clone(), exit.clone())).is_err()
        });
        self.held.insert(id.uid.clone(), Held { input: input_sender, mail });
        let count = self.held.len() as u64;
        self.shared.metrics.pods.store(count, Ordering::Relaxed);
        let (shared, stop) = (self.shared.clone(), self.stop.clone());
        self.workers.spawn(async move {
            let end = supervise(shared, id.clone(), found, input_receiver, mailbox, view, stop).await;
            (id, end)
        });
    }

    /// Whether the node refuses a pod; one that has run here before was taken once and stays so.
    fn verdict(&self, pod: &Pod) -> Option<crate::pod::observed::Reason> {
        let status = pod.status.as_ref();
        let begun = status.and_then(|status| status.start_time.as_ref()).is_some();
        if begun || pod.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let inputs: Vec<Arc<Pod>> = self
            .held
            .values()
            // What is gone from the API takes no room, even if its containers are still being ended.
            .filter_map(|held| Some(held.input.borrow()).filter(|input| !input.removed).map(|input| input.pod.clone()))
            .filter(|pod| {
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                !matches!(phase, Some("Succeeded" | "Failed"))
            })
            .collect();
        let room = Room {
            name: &self.shared.config.node_name,
            labels: &self.labels,
            allocatable: self.shared.allocatable,
            max_pods: self.shared.config.max_pods,
        };
        refuse(pod, inputs.iter().map(Arc::as_ref), &room)
    }
}

/// What lives now.
async fn look(shared: &Shared, verdict: Option<crate::pod::observed::Reason>) -> Found {
    Found {
        containers: shared.runtime.containers().await.unwrap_or_default(),
        sandboxes: shared.runtime.sandboxes().await.unwrap_or_default(),
        verdict,
    }
}

/// A worker that panics is started again from its checkpoint after this long, doubling up to a minute.
const REVIVAL: Duration = Duration::from_secs(1);

/// Runs a worker; one that panics takes nothing with it and is taken up again.
async fn supervise(
    shared: Arc<Shared>,
    id: PodId,
    found: Found,
    mut inputs: watch::Receiver<Input>,
    mut mailbox: mpsc::Receiver<Mail>,
    view: watch::Sender<crate::shared::PodView>,
    stop: CancellationToken,
) -> End {
    let mut found = Some(found);
    let mut pause = REVIVAL;
    loop {
        let found = match found.take() {
            Some(found) => found,
            None => look(&shared, None).await,
        };
        let input = inputs.borrow_and_update().clone();
        let worker = Worker::new(shared.clone(), id.clone(), &input, found, view.clone());
        let run = AssertUnwindSafe(worker.run(&mut inputs, &mut mailbox, &stop));
        match run.catch_unwind().await {
            Ok(end) => return end,
            Err(_) => {
                Metrics::count(&shared.metrics.worker_panics);
                tracing::error!(pod = id.long(), "a pod worker panicked; it is started again");
                let stopped = tokio::time::timeout(pause, stop.cancelled()).await.is_ok();
                if stopped {
                    return End::Stopped;
                }
                pause = (pause * 2).min(Duration::from_secs(60));
            }
        }
    }
}

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod tests;
