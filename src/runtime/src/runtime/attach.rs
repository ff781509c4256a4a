//! Clients of a container's own streams, from the daemon's side.
//!
//! In: a container. Out: what it writes from now on, a way to type, a terminal's size, and the word that it has ended.
//! Its waiter hands the bytes out; input goes straight into its fifo. Dropping a session lets go of the container, which
//! goes on; if its input is for one client only, that ends too.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::unix::pipe;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::known::State;
use super::{Runtime, not_found};
use crate::clear;
use crate::error::{Result, RuntimeError};
use crate::exits::registered;
use crate::operation::ATTACH;
use crate::sys;
use crate::waiter::{lines, words};

/// What may wait for a client on each stream, beside what the socket holds.
const WAITING: usize = 64 * 1024;

/// The word of an end may come so much later than the end of the socket.
const WORD: std::time::Duration = std::time::Duration::from_secs(2);

/// A container's own streams.
pub struct AttachSession {
    /// Its standard input, if asked for and there is one.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Its standard output, and with a terminal its standard error too.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Its standard error; none with a terminal.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// The terminal's size, if there is one.
    pub resize: Option<AttachResize>,
    /// Its end, or why nothing more comes.
    pub end: oneshot::Receiver<Result<()>>,
}

/// Sets the size of a container's terminal.
#[derive(Clone)]
pub struct AttachResize(Arc<AsyncFd<OwnedFd>>);

impl AttachResize {
    /// Columns and rows.
    pub fn set(&self, columns: u16, rows: u16) -> io::Result<()> {
        let ([a, b], [c, d]) = (columns.to_le_bytes(), rows.to_le_bytes());
        sys::message_send(self.0.as_fd(), &[words::SIZE, a, b, c, d])
    }
}

impl Runtime {
    /// Joins a running container's own streams.
    pub async fn attach(&self, id: &str, with_input: bool) -> Result<AttachSession> {
        match self.inner.known.state(id)? {
            State::Running { .. } => {}
            other => return Err(other.refuse("attach to", id)),
        }
        let spec = clear::saved_spec(&self.inner.layout, id).ok_or_else(|| not_found("container", id))?;
        let paths = self.inner.layout.container(id);
        let failed = |error: io::Error| RuntimeError::failed("attach to container", id, error);
        // The name of a socket has at most 108 bytes: it is reached through its folder's descriptor.
        let folder = File::open(&paths.folder).map_err(failed)?;
        let socket = match sys::message_connect(&format!("/proc/self/fd/{}/{ATTACH}", folder.as_raw_fd())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let why = "an earlier version made it, without a way to attach; restart it to have one";
                return Err(failed(io::Error::new(io::ErrorKind::Unsupported, why)));
            }
            other => Arc::new(registered(other.map_err(failed)?).map_err(failed)?),
        };
        let stdin = match with_input && spec.stdin {
            true => Input::open(paths.stdin(), spec.stdin_once, &socket).map_err(failed)?,
            false => None,
        };
        let (stdout, to_stdout) = tokio::io::duplex(WAITING);
        let (stderr, to_stderr) = tokio::io::duplex(WAITING);
        let (ended, end) = oneshot::channel();
        tokio::spawn(hand_out(self.clone(), id.to_owned(), socket.clone(), to_stdout, to_stderr, ended));
        Ok(AttachSession {
            stdin: stdin.map(|input| Box::new(input) as _),
            stdout: Box::new(stdout),
            stderr: (!spec.tty).then(|| Box::new(stderr) as _),
            resize: spec.tty.then_some(AttachResize(socket)),
            end,
        })
    }
}

/// Hands pieces to their streams until the container ends or the session is dropped.
async fn hand_out(
    runtime: Runtime,
    id: String,
    socket: Arc<AsyncFd<OwnedFd>>,
    mut stdout: DuplexStream,
    mut stderr: DuplexStream,
    mut ended: oneshot::Sender<Result<()>>,
) {
    let mut buffer = vec![0; lines::LINE + 1];
    let copy = async {
        loop {
            let count = match receive(&socket, &mut buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(count) => count,
            };
            let Some((stream, bytes)) = buffer.get(..count).and_then(|message| message.split_first()) else { continue };
            // A stream that nobody reads is passed over.
            match *stream {
                words::ENDED => return true,
                words::OUTPUT => drop(stdout.write_all(bytes).await),
                words::ERRORS => drop(stderr.write_all(bytes).await),
                _ => {}
            }
        }
    };
    let told = tokio::select! {
        told = copy => told,
        () = ended.closed() => return,
    };
    let outcome = if told || has_ended(&runtime, &id).await {
        Ok(())
    } else {
        let why = "nothing was taken for too long, or too many clients are attached";
        Err(RuntimeError::failed("stay attached to container", &id, io::Error::other(why)))
    };
    // A session that is gone needs no word.
    let _ = ended.send(outcome);
}

/// Whether the container has ended: its socket may close a moment before the word of its end is here.
async fn has_ended(runtime: &Runtime, id: &str) -> bool {
    let mut events = runtime.events();
    let heard = async {
        while matches!(runtime.inner.known.state(id), Ok(State::Running { .. })) {
            if matches!(events.recv().await, Err(RecvError::Closed)) {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(WORD, heard).await.unwrap_or(false)
}

async fn receive(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut guard = socket.readable().await?;
        if let Ok(outcome) = guard.try_io(|fd| sys::message_receive(fd.as_fd(), buffer)) {
            return outcome;
        }
    }
}

/// A container's standard input.
struct Input {
    pipe: pipe::Sender,
    once: Option<Once>,
}

impl Input {
    /// `None` if its input has ended for good.
    fn open(fifo: PathBuf, once: bool, socket: &Arc<AsyncFd<OwnedFd>>) -> io::Result<Option<Self>> {
        match pipe::OpenOptions::new().open_sender(&fifo) {
            Ok(pipe) => Ok(Some(Self { pipe, once: once.then(|| Once { fifo, socket: socket.clone() }) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENXIO) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Input that ends with its first client.
struct Once {
    fifo: PathBuf,
    socket: Arc<AsyncFd<OwnedFd>>,
}

impl Drop for Once {
    fn drop(&mut self) {
        // Nobody opens it again, and the waiter lets go of it: the container reads to its end. A waiter that is gone
        // holds nothing.
        let _ = std::fs::remove_file(&self.fifo);
        let _ = sys::message_send(self.socket.as_fd(), &[words::INPUT_ENDED]);
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipe).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.once = None;
        Pin::new(&mut self.pipe).poll_shutdown(context)
    }
}
