//! Port-forward over SPDY: two streams for each connection, one for its bytes and one for what went wrong.
//!
//! In: a wire whose client opens pairs of streams under one request number. Out: one connection for each pair.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Target, port};
use crate::streams::spdy::{self, Headers, Incoming, Outgoing, Stream, Wire};

/// How long the second stream of a pair may take, as in Kubernetes.
const PAIR: Duration = Duration::from_secs(30);
/// Connections at once, also those whose streams a client has ended before they stood: as many as it may have streams.
const CONNECTIONS: usize = 256;
/// How long a client may go on sending after the pod has ended a connection.
const REST: Duration = Duration::from_secs(1);
/// Bytes leave in pieces of at most this size.
const PIECE: usize = 16 * 1024;

/// Serves a client until it goes or the server stops.
pub async fn serve(wire: Wire, target: Target, stop: CancellationToken) {
    let (handle, mut streams, work) = spdy::connect(wire, accept);
    let forwards = async {
        let mut pairs = Pairs::default();
        let mut running: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
        loop {
            let deadline = pairs.deadline();
            tokio::select! {
                stream = streams.recv(), if running.len() < CONNECTIONS => match stream {
                    Some(stream) => match pairs.add(stream, Instant::now()) {
                        Added::Waits => {}
                        Added::Complete { data, error } => running.push(Box::pin(forward(target.clone(), data, error))),
                        Added::Twice(stream) => running.push(Box::pin(twice(stream))),
                    },
                    None => return,
                },
                Some(()) = running.next(), if !running.is_empty() => {}
                () = tokio::time::sleep_until(deadline), if pairs.wait() => {
                    for mut late in pairs.late(Instant::now()) {
                        running.push(Box::pin(async move {
                            let _ = late.outgoing.send(Bytes::from_static(b"timed out waiting for streams")).await;
                            late.outgoing.finish().await;
                        }));
                    }
                }
                () = stop.cancelled() => {
                    handle.close().await;
                    return std::future::pending().await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = forwards => {}
    }
}

/// What a stream must say of itself.
fn accept(headers: &Headers) -> Result<(), String> {
    match headers.get("port") {
        "" => return Err("\"port\" header is required".to_owned()),
        text => port(text)?,
    };
    match headers.get("streamtype") {
        "" => Err("\"streamType\" header is required".to_owned()),
        "error" | "data" => Ok(()),
        other => Err(format!("invalid stream type {other:?}")),
    }
}

/// Streams whose other half has not come yet. Bounded by the streams that a connection may have.
#[derive(Default)]
struct Pairs {
    waiting: HashMap<String, Stream>,
    order: VecDeque<(Instant, String)>,
}

enum Added {
    Waits,
    Complete { data: Stream, error: Stream },
    Twice(Stream),
}

impl Pairs {
    fn add(&mut self, stream: Stream, now: Instant) -> Added {
        let is_error = |stream: &Stream| stream.headers.get("streamtype") == "error";
        let key = match stream.headers.get("requestid") {
            // Clients of before 1.4 give no number: their error stream comes first, and the data stream right after it.
            "" if is_error(&stream) => stream.id.to_string(),
            "" => stream.id.wrapping_sub(2).to_string(),
            id => id.to_owned(),
        };
        let first = self.waiting.remove(&key);
        if first.is_some() {
            self.order.retain(|(_, waits)| *waits != key);
        }
        match first {
            Some(first) if is_error(&first) == is_error(&stream) => {
                self.order.push_back((now + PAIR, key.clone()));
                self.waiting.insert(key, first);
                Added::Twice(stream)
            }
            Some(first) if is_error(&first) => Added::Complete { data: stream, error: first },
            Some(first) => Added::Complete { data: first, error: stream },
            None => {
                self.order.push_back((now + PAIR, key.clone()));
                self.waiting.insert(key, stream);
                Added::Waits
            }
        }
    }

    fn wait(&self) -> bool {
        !self.order.is_empty()
    }

    /// When to look again; of no meaning if none waits.
    fn deadline(&self) -> Instant {
        self.order.front().map_or_else(Instant::now, |(at, _)| *at)
    }

    /// Those that have waited too long.
    fn late(&mut self, now: Instant) -> Vec<Stream> {
        let mut late = Vec::new();
        while let Some((_, key)) = self.order.pop_front_if(|(at, _)| *at <= now) {
            late.extend(self.waiting.remove(&key));
        }
        late
    }
}

async fn twice(mut stream: Stream) {
    let (kind, id) = (stream.headers.get("streamtype"), stream.headers.get("requestid"));
    let text = format!("error processing stream for request {id}: {kind} stream already assigned");
    let _ = stream.outgoing.send(Bytes::from(text)).await;
    stream.outgoing.finish().await;
}

/// Runs one connection.
async fn forward(target: Target, data: Stream, error: Stream) {
    // `accept` has read it.
    let Ok(port) = port(data.headers.get("port")) else { return };
    let mut report = error.outgoing;
    match target.connect(port).await {
        Ok(channel) => {
            let (read, write) = tokio::io::split(channel);
            copy(data.incoming, data.outgoing, read, write).await;
        }
        // Dropped, the data stream is reset.
        Err(text) => {
            let _ = report.send(Bytes::from(text)).await;
        }
    }
    report.finish().await;
}

async fn copy(
    mut from_client: Incoming,
    mut to_client: Outgoing,
    mut read: impl tokio::io::AsyncRead + Unpin,
    mut write: impl tokio::io::AsyncWrite + Unpin,
) {
    let to_pod = async {
        while let Some(bytes) = from_client.next().await {
            if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let from_pod = async {
        let mut buffer = vec![0; PIECE];
        while let Ok(count) = read.read(&mut buffer).await
            && count > 0
            && to_client.send(Bytes::copy_from_slice(&buffer[..count])).await.is_ok()
        {}
        to_client.finish().await;
    };
    tokio::pin!(to_pod, from_pod);
    tokio::select! {
        // The client has said all; the pod may answer for long.
        () = &mut to_pod => from_pod.await,
        () = &mut from_pod => {
            let _ = tokio::time::timeout(REST, to_pod).await;
        }
    }
}
