//! The daemon's side of the zygote: asks for operations, regains a lost zygote.
//!
//! In: a kind, a body, descriptors. Out: the stream of an operation. Bounded in how many run at a time. Never knows what
//! the operations do.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::PoisonError;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::exits::registered;
use crate::wire::{self, Kind};
use crate::zygote::{self, Zygote};

/// A zygote that dies at once is not made again at once.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// From the first socket that a killed zygote closes to the last; an operation that was killed alone is told after it.
const DYING: Duration = Duration::from_secs(1);

/// The zygote of now.
pub struct Link {
    current: Mutex<Current>,
    /// Why there is no zygote.
    fault: std::sync::Mutex<Option<String>>,
}

struct Current {
    zygote: Zygote,
    generation: u64,
}

impl Link {
    /// Over a zygote that was forked first.
    pub fn new(zygote: Zygote) -> Self {
        Self { current: Mutex::new(Current { zygote, generation: 0 }), fault: std::sync::Mutex::default() }
    }

    /// Begins an operation: asks the zygote to fork, sends the body, reads the first reply. When the zygote is gone
    /// before anything was answered, a new one is made and asked, once.
    pub async fn begin<T: DeserializeOwned>(
        &self,
        kind: Kind,
        body: &impl Serialize,
        descriptors: &[&OwnedFd],
    ) -> io::Result<(Operation, T)> {
        let body = wire::encode(body)?;
        let generation = self.current.lock().await.generation;
        match self.try_to_begin(kind, &body, descriptors).await {
            Err(error) if is_gone(&error) && self.has_ended(generation).await => {
                self.replace(generation).await?;
                self.try_to_begin(kind, &body, descriptors).await
            }
            other => other,
        }
    }

    async fn try_to_begin<T: DeserializeOwned>(
        &self,
        kind: Kind,
        body: &[u8],
        descriptors: &[&OwnedFd],
    ) -> io::Result<(Operation, T)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(ours)?;
        let all: Vec<RawFd> = [theirs.as_raw_fd()]
            .into_iter()
            .chain(descriptors.iter().map(|descriptor| descriptor.as_raw_fd()))
            .collect();
        wire::ask(&self.current.lock().await.zygote.socket, kind, &all)?;
        drop(theirs);
        stream.write_all(body).await?;
        let mut operation = Operation { stream };
        let first = operation.reply().await?;
        first
            .map(|reply| (operation, reply))
            .ok_or_else(|| io::Error::new(io::ErrorKind::ConnectionReset, "the operation ended without an answer"))
    }

    /// Whether the zygote of then has closed its socket, or does so now: a process that is killed closes what it has one
    /// after another.
    async fn has_ended(&self, generation: u64) -> bool {
        let socket = {
            let current = self.current.lock().await;
            if current.generation != generation {
                return true;
            }
            current.zygote.socket.try_clone()
        };
        // It never writes to us: readable means its end.
        match socket.and_then(registered) {
            Ok(socket) => tokio::time::timeout(DYING, socket.readable()).await.is_ok_and(|ready| ready.is_ok()),
            Err(_) => false,
        }
    }

    /// The zygote's process ID.
    pub async fn pid(&self) -> i32 {
        self.current.lock().await.zygote.pid
    }

    /// Why containers cannot be made: there is no zygote.
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the zygote is gone and makes a new one; comes back when that is done.
    pub async fn regain(&self) {
        let (socket, generation) = {
            let current = self.current.lock().await;
            (current.zygote.socket.try_clone(), current.generation)
        };
        let ended = match socket.and_then(registered) {
            // It never writes to us: readable means its end.
            Ok(socket) => socket.readable().await.map(drop),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "the zygote can't be watched");
        }
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.replace(generation).await {
            tracing::error!(%error, ?pause, "the zygote is lost and can't be made again yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Makes a new zygote, unless somebody did so since `generation`.
    async fn replace(&self, generation: u64) -> io::Result<()> {
        let mut current = self.current.lock().await;
        if current.generation != generation {
            return Ok(());
        }
        zygote::reap(current.zygote.pid);
        let made = zygote::run_again();
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = made.as_ref().err().map(ToString::to_string);
        current.zygote = made?;
        current.generation += 1;
        tracing::warn!(pid = current.zygote.pid, "the zygote was lost and has been made again");
        Ok(())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPIPE | libc::ECONNRESET | libc::ECONNREFUSED | libc::ENOTCONN))
}

/// An operation on its way. Dropping it tells the operation that nobody waits any more.
pub struct Operation {
    stream: UnixStream,
}

impl Operation {
    /// Its next reply; `None` at its end.
    pub async fn reply<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let mut head = [0; 4];
        match self.stream.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        };
        let mut body = vec![0; wire::length(head)?];
        self.stream.read_exact(&mut body).await?;
        serde_json::from_slice(&body).map(Some).map_err(io::Error::other)
    }

    /// A descriptor that the operation hands over.
    pub async fn take(&mut self) -> io::Result<OwnedFd> {
        loop {
            self.stream.readable().await?;
            let stream = &self.stream;
            match stream.try_io(tokio::io::Interest::READABLE, || wire::take(stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }
}
