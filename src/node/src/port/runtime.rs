//! The container runtime, as the agent sees it.
//!
//! In: sandbox and container specs, signals, commands. Out: states, exits and exec sessions.

use std::path::PathBuf;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use kedge_api::machine::{
    ContainerSpec, ContainerStatus, ExecSpec, RuntimeEvent, Sandbox, SandboxSpec, Started, Stats,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Makes and ends sandboxes and containers. What it reports is the truth about what lives.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Makes a pod's namespaces; making one that exists returns it.
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<Sandbox, RuntimeFault>;
    /// Removes a pod's namespaces and cgroup; removing none is no fault.
    async fn remove_sandbox(&self, pod_uid: &str) -> Result<(), RuntimeFault>;
    /// Every sandbox that is whole.
    async fn sandboxes(&self) -> Result<Vec<Sandbox>, RuntimeFault>;
    /// Makes a container and does not start it. `Start` says that it is fine but for its program, which cannot be run.
    async fn create(&self, spec: ContainerSpec) -> Result<(), RuntimeFault>;
    /// Starts a made container.
    async fn start(&self, id: &str) -> Result<Started, RuntimeFault>;
    /// Sends a signal to the container's first process; one that has ended is no fault.
    async fn signal(&self, id: &str, signal: i32) -> Result<(), RuntimeFault>;
    /// Kills if needed and removes; removing none is no fault.
    async fn remove(&self, id: &str) -> Result<(), RuntimeFault>;
    /// Every container that is known, with how it stands.
    async fn containers(&self) -> Result<Vec<ContainerStatus>, RuntimeFault>;
    /// Runs a further process in a running container.
    async fn exec(&self, id: &str, request: ExecSpec) -> Result<ExecSession, RuntimeFault>;
    /// Joins the own streams of a running container; the exit is 0 once it has ended, however it did.
    async fn attach(&self, id: &str, stdin: bool) -> Result<ExecSession, RuntimeFault>;
    /// What happens from now on; asked for once. The stream ends only with the runtime.
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;
    /// What a running container uses.
    async fn stats(&self, id: &str) -> Result<Stats, RuntimeFault>;
    /// The folder of what a container writes over its image, if it is one of the host.
    fn writable(&self, pod_uid: &str, id: &str) -> Option<PathBuf>;
    /// Why no container can be made, if none can.
    fn fault(&self) -> Option<String>;
}

/// A process that runs in a container. Dropping `exit` before it is done ends the process, or lets go of the container.
pub struct ExecSession {
    /// Its standard input, if asked for.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output (and error, with a terminal).
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its standard error.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its exit code, once it has ended.
    pub exit: BoxFuture<'static, Result<i32, RuntimeFault>>,
    /// Takes the terminal's columns and rows, if there is one.
    pub resize: Option<tokio::sync::mpsc::Sender<(u16, u16)>>,
}

impl ExecSession {
    /// The session of a process that could not be run.
    pub fn failed(why: RuntimeFault) -> Self {
        Self { stdin: None, stdout: None, stderr: None, exit: Box::pin(std::future::ready(Err(why))), resize: None }
    }
}

/// Why the runtime did not.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RuntimeFault {
    /// There is no such container or sandbox.
    #[error("{0} not found")]
    NotFound(String),
    /// The container could not be made.
    #[error("{0}")]
    Create(String),
    /// The container was made, but its program could not be started.
    #[error("{0}")]
    Start(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
