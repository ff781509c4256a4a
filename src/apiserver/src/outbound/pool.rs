//! Connections that are open: made, kept for a while after use, closed.
//!
//! In: a stream. Out: a connection that takes one request after the other. The task that closes
//! old connections runs only while some are kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::Stream;
use super::fault::Fault;
use super::trust::Tls;

/// Kept connections, at most: a device has a handful of webhooks; each connection holds about 20 KiB.
const MOST_KEPT: usize = 16;
/// How long a connection is kept unused: shorter than servers keep theirs.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// A call under way has this long to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(3);
/// The head of an answer, in bytes: as much as this server's own requests may have.
const HEAD_BYTES: usize = 64 * 1024;

/// Which connections are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    authority: String,
    name: String,
    tls: [u8; 16],
}

impl Key {
    /// Connections to that host, whose certificate bears that name, with those settings.
    pub fn new(authority: &str, name: String, tls: &Tls) -> Self {
        Key { authority: authority.to_owned(), name, tls: tls.id }
    }
}

/// A connection in use.
pub struct Connection {
    key: Key,
    sender: SendRequest<Body>,
}

impl Connection {
    /// Sends a request and waits for the answer's head.
    pub async fn send(mut self, request: Request<Body>) -> Result<(Response<Incoming>, Connection), Fault> {
        self.sender.ready().await.map_err(|_| Fault::Closed)?;
        match self.sender.send_request(request).await {
            Ok(response) => Ok((response, self)),
            Err(error) => Err(Fault::transport(&error)),
        }
    }
}

/// The kept connections.
pub struct Pool {
    stop: CancellationToken,
    tasks: TaskTracker,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// Oldest first.
    idle: VecDeque<(Instant, Connection)>,
    /// Whether somebody closes them in time.
    tended: bool,
}

impl Pool {
    /// Keeps nothing yet.
    pub fn new(stop: CancellationToken, tasks: TaskTracker) -> Self {
        Pool { stop, tasks, kept: Mutex::default() }
    }

    /// A connection on a new stream.
    pub async fn open(&self, stream: Stream, key: Key) -> Result<Connection, Fault> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|error| Fault::transport(&error))?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                ended = connection.with_upgrades() => if let Err(error) = ended {
                    tracing::debug!(%error, "a connection to a server that is called ended early");
                },
                // A last word may still be said; connections that nobody uses are dropped at once.
                () = async {
                    stop.cancelled().await;
                    tokio::time::sleep(FAREWELL).await;
                } => {}
            }
        });
        Ok(Connection { key, sender })
    }

    /// A kept connection of that kind, the freshest first.
    pub fn take(&self, key: &Key) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.idle.retain(|(_, connection)| !connection.sender.is_closed());
        let at = kept.idle.iter().rposition(|(_, connection)| connection.key == *key)?;
        kept.idle.remove(at).map(|(_, connection)| connection)
    }

    /// Keeps a connection whose answer was read to its end.
    pub fn keep(self: &Arc<Self>, connection: Connection) {
        if connection.sender.is_closed() || self.stop.is_cancelled() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.idle.push_back((Instant::now() + KEPT_FOR, connection));
        if kept.idle.len() > MOST_KEPT {
            kept.idle.pop_front();
        }
        if !std::mem::replace(&mut kept.tended, true) {
            self.tasks.spawn(self.clone().tend());
        }
    }

    /// Closes connections whose time is over; ends with the last of them.
    async fn tend(self: Arc<Self>) {
        loop {
            let next = {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                while kept.idle.front().is_some_and(|(until, _)| *until <= now) {
                    kept.idle.pop_front();
                }
                let next = kept.idle.front().map(|(until, _)| *until);
                kept.tended = next.is_some();
                next
            };
            let Some(next) = next else { return };
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.stop.cancelled() => {
                    self.kept.lock().unwrap_or_else(PoisonError::into_inner).idle.clear();
                    return;
                }
            }
        }
    }
}
