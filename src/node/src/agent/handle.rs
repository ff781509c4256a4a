//! What the daemon and the API server ask of a running agent: logs, further processes,
//! a container's own streams, ports, metrics.
//!
//! In: names. Out: streams, in the words of `port` and `logs`. Errors are Kubernetes' sentences with their HTTP code.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use kedge_api::machine::{ExecSpec, Stats};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::logs::{self, LogOptions, LogStream};
use crate::pod::PodId;
use crate::port::{Connection, ExecSession, RuntimeFault};
use crate::shared::{ContainerView, PodView, Shared};

/// A running agent.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

/// Why something asked of the node cannot be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NodeFault {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 400.
    #[error("{0}")]
    BadRequest(String),
    /// 500.
    #[error("{0}")]
    Internal(String),
}

impl NodeFault {
    /// The HTTP code that fits.
    pub fn code(&self) -> u16 {
        match self {
            NodeFault::NotFound(_) => 404,
            NodeFault::BadRequest(_) => 400,
            NodeFault::Internal(_) => 500,
        }
    }
}

/// What a running container uses, with its names.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUsage {
    /// Namespace of its pod.
    pub namespace: String,
    /// Name of its pod.
    pub pod: String,
    /// Its name.
    pub container: String,
    /// What it uses.
    pub stats: Stats,
}

impl NodeHandle {
    pub(super) fn new(shared: Arc<Shared>, tasks: TaskTracker) -> Self {
        Self { shared, tasks }
    }

    /// Waits until every task has ended; they do when the agent's token is cancelled.
    pub async fn join(&self) {
        self.tasks.wait().await;
    }

    /// Whether the Node object is there and tells of this machine as it is now.
    pub fn is_registered(&self) -> bool {
        self.shared.registered.load(Ordering::Acquire)
    }

    /// A container's log.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        options: LogOptions,
    ) -> Result<LogStream, NodeFault> {
        let (views, view) = self.container(namespace, pod, container)?;
        let uid = views.borrow().uid.clone();
        let id = PodId { namespace: namespace.into(), name: pod.into(), uid };
        let attempt = match options.previous {
            true => view.previous.ok_or_else(|| {
                NodeFault::BadRequest(format!(
                    "previous terminated container \"{container}\" in pod \"{pod}\" not found"
                ))
            })?,
            false => match view.attempt {
                Some(attempt) => attempt,
                None => return Err(waits(pod, container, &view)),
            },
        };
        let file: PathBuf = self.shared.dirs.log(&id, container, attempt);
        let ended = options.previous || view.running.is_none();
        if ended && !logs::exists(&file) {
            return Err(NodeFault::NotFound(format!("the log of container \"{container}\" in pod \"{pod}\" is gone")));
        }
        let alive = match (options.follow && !ended, view.running) {
            (true, Some(run)) => self.alive(views, container.to_owned(), run),
            _ => watch::channel(false).1,
        };
        Ok(logs::read(file, options, self.shared.clock.wall(), alive))
    }

    /// Whether a run goes on; ends with the pod or with the follower.
    fn alive(&self, mut views: watch::Receiver<PodView>, container: String, run: String) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(true);
        self.tasks.spawn(async move {
            let runs = |view: &PodView| {
                let view = view.containers.get(&container);
                view.and_then(|view| view.running.as_ref()) == Some(&run)
            };
            tokio::select! {
                // Either the run is over, or its worker is gone: both end the log.
                _ = views.wait_for(|view| !runs(view)) => {}
                () = sender.closed() => {}
            }
            sender.send_replace(false);
        });
        receiver
    }

    /// Runs a further process in a running container. One that cannot be run is a session that ends at once, because
    /// clients read why where they read exit codes; in Kubernetes too it is tried only once the client is connected.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        spec: ExecSpec,
    ) -> Result<ExecSession, NodeFault> {
        let run = self.running(namespace, pod, container)?;
        match self.shared.runtime.exec(&run, spec).await {
            Err(fault @ RuntimeFault::NotFound(_)) => Err(session_fault(container, fault)),
            Err(fault) => Ok(ExecSession::failed(fault)),
            Ok(session) => Ok(session),
        }
    }

    /// Joins the own streams of a running container.
    pub async fn attach(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        stdin: bool,
    ) -> Result<ExecSession, NodeFault> {
        let run = self.running(namespace, pod, container)?;
        self.shared.runtime.attach(&run, stdin).await.map_err(|fault| session_fault(container, fault))
    }

    /// Connects to a port inside a pod's network.
    pub async fn connect(&self, namespace: &str, pod: &str, port: u16) -> Result<Connection, NodeFault> {
        let Some(views) = self.shared.directory.find(namespace, pod) else {
            return Err(NodeFault::NotFound(format!("pod \"{pod}\" is not on this node")));
        };
        let uid = views.borrow().uid.clone();
        let all = self.shared.runtime.sandboxes().await.map_err(|fault| NodeFault::Internal(fault.to_string()))?;
        let Some(sandbox) = all.into_iter().find(|sandbox| sandbox.pod_uid == uid) else {
            return Err(NodeFault::NotFound(format!("pod \"{pod}\" has no network: it is not running")));
        };
        let connected = self.shared.network.connect(sandbox.network.as_deref(), port).await;
        connected.map_err(|fault| NodeFault::Internal(fault.to_string()))
    }

    fn running(&self, namespace: &str, pod: &str, container: &str) -> Result<String, NodeFault> {
        let (_, view) = self.container(namespace, pod, container)?;
        view.running.ok_or_else(|| NodeFault::NotFound(format!("container not found (\"{container}\")")))
    }

    /// What every running container uses.
    pub async fn usage(&self) -> Vec<ContainerUsage> {
        let mut all = Vec::new();
        for (namespace, pod, container, id) in self.shared.directory.running() {
            // One that ends while it is asked uses nothing.
            if let Ok(stats) = self.shared.runtime.stats(&id).await {
                all.push(ContainerUsage { namespace, pod, container, stats });
            }
        }
        all
    }

    /// Frees so many bytes of images that nobody uses; returns how many it freed.
    pub async fn collect_images(&self, free: u64) -> Result<u64, NodeFault> {
        let in_use = self.shared.directory.images_in_use();
        let images = self.shared.puller.images();
        let freed = images.collect_garbage(&in_use, free).await;
        self.shared.puller.arrived.notify_one();
        freed.map_err(|fault| NodeFault::Internal(fault.to_string()))
    }

    /// Images have come or gone by another hand: the Node's list is to be told.
    pub fn images_changed(&self) {
        self.shared.puller.arrived.notify_one();
    }

    /// The agent's metrics as Prometheus text.
    pub fn metrics(&self) -> String {
        self.shared.metrics.text(self.shared.events.dropped())
    }

    fn container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
    ) -> Result<(watch::Receiver<PodView>, ContainerView), NodeFault> {
        let Some(views) = self.shared.directory.find(namespace, pod) else {
            return Err(NodeFault::NotFound(format!("pod \"{pod}\" is not on this node")));
        };
        let view = views.borrow().containers.get(container).cloned();
        match view {
            Some(view) => Ok((views, view)),
            None => Err(waits(pod, container, &ContainerView::default())),
        }
    }
}

fn session_fault(container: &str, fault: RuntimeFault) -> NodeFault {
    match fault {
        RuntimeFault::NotFound(_) => NodeFault::NotFound(format!("container not found (\"{container}\")")),
        fault => NodeFault::Internal(fault.to_string()),
    }
}

fn waits(pod: &str, container: &str, view: &ContainerView) -> NodeFault {
    let why = view.waiting.as_deref().unwrap_or("ContainerCreating");
    NodeFault::BadRequest(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {why}"))
}
