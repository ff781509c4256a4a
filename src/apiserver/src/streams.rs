//! Logs, exec, attach and port-forward: the port to whoever holds the containers, and what clients speak: WebSocket,
//! and SPDY of older ones.
//!
//! In: a pod, a container and options. Out: bytes, or sessions with byte channels. The node's side
//! is a trait; this crate never knows how containers run.

mod ending;
pub(crate) mod exec;
pub(crate) mod options;
pub(crate) mod portforward;
pub(crate) mod spdy;
pub(crate) mod upgrade;
pub(crate) mod websocket;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::BoxStream;
use kedge_api::status::Status;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// Which container of which pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRef {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// The container's name; never empty.
    pub container: String,
}

/// What part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on as lines come.
    pub follow: bool,
    /// The container before this one.
    pub previous: bool,
    /// Each line after its time.
    pub timestamps: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Only what is newer than that many seconds.
    pub since_seconds: Option<u64>,
    /// Only what is newer than that time, RFC 3339.
    pub since_time: Option<String>,
    /// At most that many bytes.
    pub limit_bytes: Option<u64>,
    /// Only what went to one of the outputs.
    pub stream: Option<LogSource>,
}

/// An output of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is to be run or attached to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command; empty to attach to the container's own process.
    pub command: Vec<String>,
    /// Whether input is sent.
    pub stdin: bool,
    /// Whether output is wanted.
    pub stdout: bool,
    /// Whether error output is wanted; never with a terminal.
    pub stderr: bool,
    /// Whether it runs on a terminal.
    pub tty: bool,
}

/// A terminal's new size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl TerminalSize {
    /// Reads `{"Width": 80, "Height": 24}`.
    pub(crate) fn read(value: &serde_json::Value) -> Option<TerminalSize> {
        let side = |name: &str| Some(u16::try_from(value.get(name)?.as_u64()?).unwrap_or(u16::MAX));
        Some(TerminalSize { width: side("Width")?, height: side("Height")? })
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The process ended with that code (128 + signal if killed).
    Exited(i32),
    /// It could not be run or was lost.
    Failed(String),
}

/// A running session. Dropping it closes its channels; the process gets end of file.
pub struct Session {
    /// Takes input; dropping it is end of file.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Gives output.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Gives error output.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Takes sizes, if there is a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// How it ended.
    pub end: oneshot::Receiver<SessionEnd>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

/// A byte channel to a port of a pod.
pub trait Channel: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Channel for T {}

/// What the node agent does for the API server. Pods and containers were looked up before; a
/// refusal is a `Status`.
#[async_trait]
pub trait NodeStreams: Send + Sync {
    /// The log of a container, in pieces.
    async fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status>;

    /// Runs a command in a container.
    async fn exec(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status>;

    /// Joins the container's own process.
    async fn attach(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status>;

    /// Opens a connection to a port inside the pod's network. `container` is empty.
    async fn connect(&self, pod: ContainerRef, port: u16) -> Result<Box<dyn Channel>, Status>;

    /// Answers a request to the node agent itself: the path and query are those below the proxy.
    async fn node_proxy(&self, node: &str, request: http::Request<Bytes>) -> Result<http::Response<Body>, Status> {
        let _ = (node, request);
        Err(nothing_here())
    }
}

/// A node that holds no containers.
#[derive(Debug, Clone, Copy)]
pub struct NoStreams;

#[async_trait]
impl NodeStreams for NoStreams {
    async fn logs(&self, _: ContainerRef, _: LogOptions) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        Err(nothing_here())
    }

    async fn exec(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(nothing_here())
    }

    async fn attach(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(nothing_here())
    }

    async fn connect(&self, _: ContainerRef, _: u16) -> Result<Box<dyn Channel>, Status> {
        Err(nothing_here())
    }
}

fn nothing_here() -> Status {
    Status::unavailable("no node agent runs here")
}
