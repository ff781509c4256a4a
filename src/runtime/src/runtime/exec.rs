//! Further processes in running containers, from the daemon's side.
//!
//! In: the node's words. Out: streams, a terminal's size, an exit code. The operation stays with the process; dropping
//! `exit` before its end kills it.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kedge_api::machine::ExecSpec;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

use super::known::State;
use super::{OPERATION_LIMIT, Runtime};
use crate::error::{Result, RuntimeError};
use crate::exits::registered;
use crate::link::Operation;
use crate::operation::{ExecWanted, Reply, Request};
use crate::sys::{self, check};
use crate::wire::Kind;

/// A process that runs in a container.
pub struct ExecSession {
    /// Its process ID in the host's namespace.
    pub pid: i32,
    /// Its standard input, if asked for. Dropping it is its end.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output, and with a terminal its standard error too.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its standard error; none with a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// The terminal's size, if there is one.
    pub resize: Option<Resize>,
    /// Its end.
    pub exit: ExecExit,
}

/// Waits for the end of a process; dropped before, kills it.
pub struct ExecExit {
    id: String,
    operation: Operation,
}

impl ExecExit {
    /// Its exit code; 128 + signal when a signal ended it.
    pub async fn wait(mut self) -> Result<i32> {
        let failed = |cause: String| RuntimeError::Exec { id: self.id.clone(), cause };
        match self.operation.reply().await.map_err(|error| failed(error.to_string()))? {
            Some(Reply::Ended { code }) => Ok(code),
            Some(Reply::Failed(cause)) => Err(failed(cause)),
            Some(other) => Err(failed(format!("unexpected answer {other:?}"))),
            None => Err(failed("whoever held it was killed".to_owned())),
        }
    }
}

/// Sets a terminal's size.
#[derive(Clone)]
pub struct Resize(Arc<AsyncFd<OwnedFd>>);

impl Resize {
    /// Columns and rows.
    pub fn set(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the call reads one winsize.
        check(i64::from(unsafe { libc::ioctl(self.0.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })).map(drop)
    }
}

impl Runtime {
    /// Runs a further process in a running container, confined as the container is.
    pub async fn exec(&self, id: &str, exec: ExecSpec) -> Result<ExecSession> {
        match self.inner.known.state(id)? {
            State::Running { .. } => {}
            other => return Err(other.refuse("exec in", id)),
        }
        if exec.args.is_empty() {
            return Err(RuntimeError::Input { what: "arguments", value: String::new(), rule: "must name a program" });
        }
        let late = RuntimeError::Timeout { act: "exec in container", id: id.to_owned(), limit: OPERATION_LIMIT };
        tokio::time::timeout(OPERATION_LIMIT, self.run_further(id, exec)).await.unwrap_or(Err(late))
    }

    async fn run_further(&self, id: &str, exec: ExecSpec) -> Result<ExecSession> {
        let failed = |cause: String| RuntimeError::Exec { id: id.to_owned(), cause };
        let fault = |error: io::Error| failed(error.to_string());
        let (tty, with_input) = (exec.tty, exec.stdin);
        let streams = if tty { None } else { Some(Streams::new(with_input).map_err(fault)?) };
        let request = Request {
            layout: self.inner.layout.clone(),
            cgroups: self.inner.cgroups.clone(),
            want: ExecWanted { id: id.to_owned(), exec },
        };
        let (mut operation, reply) = {
            let _permit = self.inner.operations.acquire().await.map_err(|error| failed(error.to_string()))?;
            let theirs: Vec<&OwnedFd> = streams.iter().flat_map(|streams| &streams.theirs).collect();
            let begun = self.inner.link.begin(Kind::Exec, &request, &theirs).await;
            begun.map_err(fault)?
        };
        let pid = match reply {
            Reply::Running { pid } => pid,
            Reply::Failed(cause) | Reply::NoProgram(cause) => return Err(failed(cause)),
            other => return Err(failed(format!("unexpected answer {other:?}"))),
        };
        let terminal = match tty {
            true => Some(Terminal::new(operation.take().await.map_err(fault)?).map_err(fault)?),
            false => None,
        };
        let exit = ExecExit { id: id.to_owned(), operation };
        let boxed_input = |end: pipe::Sender| Box::new(end) as Box<dyn AsyncWrite + Send + Unpin>;
        let boxed_output = |end: pipe::Receiver| Box::new(end) as Box<dyn AsyncRead + Send + Unpin>;
        Ok(match (terminal, streams) {
            (Some(terminal), _) => ExecSession {
                pid,
                stdin: with_input.then(|| Box::new(terminal.clone()) as _),
                stdout: Some(Box::new(terminal.clone())),
                stderr: None,
                resize: Some(Resize(terminal.0)),
                exit,
            },
            (None, streams) => {
                let (stdin, stdout, stderr) = match streams {
                    Some(streams) => (streams.stdin, Some(streams.stdout), Some(streams.stderr)),
                    None => (None, None, None),
                };
                ExecSession {
                    pid,
                    stdin: stdin.map(boxed_input),
                    stdout: stdout.map(boxed_output),
                    stderr: stderr.map(boxed_output),
                    resize: None,
                    exit,
                }
            }
        })
    }
}

/// Both ends of a process's standard streams.
struct Streams {
    stdin: Option<pipe::Sender>,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    theirs: [OwnedFd; 3],
}

impl Streams {
    fn new(with_input: bool) -> io::Result<Self> {
        let output = || -> io::Result<(pipe::Receiver, OwnedFd)> {
            let (read, write) = sys::pipe()?;
            sys::nonblocking(read.as_fd())?;
            Ok((pipe::Receiver::from_owned_fd_unchecked(read)?, write))
        };
        let (stdin, input) = if with_input {
            let (read, write) = sys::pipe()?;
            sys::nonblocking(write.as_fd())?;
            (Some(pipe::Sender::from_owned_fd_unchecked(write)?), read)
        } else {
            (None, std::fs::File::open("/dev/null")?.into())
        };
        let (stdout, out) = output()?;
        let (stderr, err) = output()?;
        Ok(Self { stdin, stdout, stderr, theirs: [input, out, err] })
    }
}

/// The outer end of a terminal.
#[derive(Clone)]
struct Terminal(Arc<AsyncFd<OwnedFd>>);

impl Terminal {
    fn new(end: OwnedFd) -> io::Result<Self> {
        sys::nonblocking(end.as_fd())?;
        Ok(Self(Arc::new(registered(end)?)))
    }
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            // SAFETY: the kernel writes at most that many bytes.
            let read = |fd: &AsyncFd<OwnedFd>| {
                check(unsafe { libc::read(fd.as_raw_fd(), space.as_mut_ptr().cast(), space.len()) } as i64)
            };
            match guard.try_io(read) {
                Ok(Ok(count)) => {
                    buffer.advance(count as usize);
                    return Poll::Ready(Ok(()));
                }
                // The last process on the other end has closed it.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(context))?;
            // SAFETY: the kernel reads at most that many bytes.
            let write = |fd: &AsyncFd<OwnedFd>| {
                check(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) } as i64)
            };
            if let Ok(outcome) = guard.try_io(write) {
                return Poll::Ready(outcome.map(|count| count as usize));
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// `ExecExit` is awaited by value.
impl std::future::IntoFuture for ExecExit {
    type Output = Result<i32>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<i32>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.wait())
    }
}
