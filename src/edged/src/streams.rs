//! Logs, exec, attach, port-forward and the node's own interface, for the API server.
//!
//! In: the API server's words. Out: the node agent's. Decides nothing.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::BoxStream;
use kedge_api::clock;
use kedge_api::machine::ExecSpec;
use kedge_api::status::{Reason, Status};
use kedge_apiserver::streams::{
    Channel, ContainerRef, ExecOptions, LogOptions, LogSource, NodeStreams, Session, SessionEnd, TerminalSize,
};
use kedge_node::{NodeFault, NodeHandle};
use tokio::sync::{mpsc, oneshot};

use crate::device::Device;

/// Sizes of a terminal that wait to be set.
const RESIZES: usize = 4;

/// The node agent and the device, once they run. Cheap to clone.
#[derive(Clone, Default)]
pub struct NodeSide(Arc<OnceLock<(NodeHandle, Device)>>);

impl NodeSide {
    /// They run now.
    pub fn set(&self, node: NodeHandle, device: Device) {
        // Set once, by the one that starts them.
        let _ = self.0.set((node, device));
    }

    /// Whether the agent runs and the Node is registered: before, there is nothing to run pods or load images on.
    pub fn is_ready(&self) -> bool {
        self.0.get().is_some_and(|(node, _)| node.is_registered())
    }

    /// The agent's metrics, once it runs.
    pub fn metrics(&self) -> Option<String> {
        self.0.get().map(|(node, _)| node.metrics())
    }

    fn node(&self) -> Result<&NodeHandle, Status> {
        self.0.get().map(|(node, _)| node).ok_or_else(starting)
    }

    /// The device; refused while it starts.
    pub fn device(&self) -> Result<&Device, Status> {
        self.0.get().map(|(_, device)| device).ok_or_else(starting)
    }
}

fn starting() -> Status {
    Status::unavailable("the node agent is starting; try again in a moment")
}

fn refused(fault: NodeFault) -> Status {
    match fault {
        NodeFault::NotFound(words) => Status::new(404, Reason::NotFound, words),
        NodeFault::BadRequest(words) => Status::bad_request(words),
        NodeFault::Internal(words) => Status::internal(words),
    }
}

#[async_trait]
impl NodeStreams for NodeSide {
    async fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        let wanted = kedge_node::LogOptions {
            follow: options.follow,
            previous: options.previous,
            since_seconds: options.since_seconds.and_then(|n| i64::try_from(n).ok()),
            since_time: options.since_time.as_deref().and_then(clock::parse),
            tail_lines: options.tail_lines,
            timestamps: options.timestamps,
            limit_bytes: options.limit_bytes,
            stream: options.stream.map(|source| match source {
                LogSource::Stdout => kedge_node::Stream::Stdout,
                LogSource::Stderr => kedge_node::Stream::Stderr,
            }),
        };
        let ContainerRef { namespace, pod, container, .. } = container;
        self.node()?.logs(&namespace, &pod, &container, wanted).await.map_err(refused)
    }

    async fn exec(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status> {
        let spec = ExecSpec { args: options.command, tty: options.tty, stdin: options.stdin, ..ExecSpec::default() };
        let ContainerRef { namespace, pod, container, .. } = container;
        let session = self.node()?.exec(&namespace, &pod, &container, spec).await.map_err(refused)?;
        Ok(shown(session, true))
    }

    async fn attach(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status> {
        let ContainerRef { namespace, pod, container, .. } = container;
        let session = self.node()?.attach(&namespace, &pod, &container, options.stdin).await.map_err(refused)?;
        Ok(shown(session, options.stderr))
    }

    async fn connect(&self, pod: ContainerRef, port: u16) -> Result<Box<dyn Channel>, Status> {
        let ContainerRef { namespace, pod, .. } = pod;
        let connection = self.node()?.connect(&namespace, &pod, port).await.map_err(refused)?;
        Ok(Box::new(connection))
    }

    async fn node_proxy(&self, node: &str, request: http::Request<Bytes>) -> Result<http::Response<Body>, Status> {
        let device = self.device()?;
        if node != device.name {
            return Err(Status::unavailable(format!("node {node} is not this device and cannot be reached from it")));
        }
        device.answer(request).await
    }
}

/// The agent's session in the API server's words; `stderr` says whether anybody wants error output.
fn shown(session: kedge_node::port::ExecSession, stderr: bool) -> Session {
    let (ended, end) = oneshot::channel();
    let exit = session.exit;
    tokio::spawn(async move {
        let mut ended = ended;
        // A client that is gone drops its end; dropping `exit` then kills the process.
        let outcome = tokio::select! {
            exit = exit => match exit {
                Ok(code) => SessionEnd::Exited(code),
                Err(fault) => SessionEnd::Failed(fault.to_string()),
            },
            () = ended.closed() => return,
        };
        let _ = ended.send(outcome);
    });
    let resize = session.resize.map(|terminal| {
        let (sender, mut sizes) = mpsc::channel::<TerminalSize>(RESIZES);
        tokio::spawn(async move {
            while let Some(size) = sizes.recv().await {
                if terminal.send((size.width, size.height)).await.is_err() {
                    return;
                }
            }
        });
        sender
    });
    Session { stdin: session.stdin, stdout: session.stdout, stderr: session.stderr.filter(|_| stderr), resize, end }
}
