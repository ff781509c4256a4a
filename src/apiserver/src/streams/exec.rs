//! Exec and attach over SPDY: `v4.channel.k8s.io` down to `channel.k8s.io`.
//!
//! In: a connection whose client opens one stream for each of error, input, output, error output and terminal sizes,
//! and a session. Out: bytes both ways, then the end on the error stream: a Status as JSON (v4), or its message.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::spdy::{self, Headers, Incoming, Outgoing, Stream, Wire};
use super::{ExecOptions, Session, SessionEnd, TerminalSize, ending};

/// The protocols, best first.
pub const PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// How long a client may take to open its streams, as in Kubernetes.
const STREAMS: Duration = Duration::from_secs(30);
/// Output leaves in pieces of at most this size.
const PIECE: usize = 16 * 1024;
/// A size as JSON has some thirty bytes.
const LONGEST_SIZE: usize = 1024;

/// Runs a session over a connection until it ends, the client goes, or the server stops.
pub async fn session(
    wire: Wire,
    protocol: &'static str,
    session: Session,
    options: ExecOptions,
    stop: CancellationToken,
) {
    let (handle, streams, work) = spdy::connect(wire, |_: &Headers| Ok(()));
    let talk = async {
        tokio::select! {
            () = talk(streams, protocol, session, options, &stop) => handle.close().await,
            // What is dropped ends the process.
            () = handle.gone() => {}
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = work => {}
        () = talk => {}
    }
}

async fn talk(
    mut streams: mpsc::Receiver<Stream>,
    protocol: &'static str,
    mut session: Session,
    options: ExecOptions,
    stop: &CancellationToken,
) {
    let sizes = options.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let wanted = Wanted { options: &options, sizes };
    let Ok(mut there) = tokio::time::timeout(STREAMS, wanted.collect(&mut streams)).await else {
        tracing::info!("timed out waiting for client to create streams");
        return;
    };
    let stdin = copy_in(session.stdin.take(), there.stdin.take());
    let resize = resize(session.resize.take(), there.resize.take());
    let output = async {
        tokio::join!(
            copy_out(session.stdout.take(), there.stdout.as_mut()),
            copy_out(session.stderr.take(), there.stderr.as_mut())
        );
        (&mut session.end).await.unwrap_or_else(|_| SessionEnd::Failed("the session was lost".to_owned()))
    };
    let end = tokio::select! {
        end = output => end,
        () = stdin => return,
        () = resize => return,
        // Streams that nobody asked for are dropped, which resets them.
        () = async { while streams.recv().await.is_some() {} } => return,
        () = stop.cancelled() => SessionEnd::Failed("the server is shutting down".to_owned()),
    };
    let status = ending::status(&end, options.command.is_empty());
    let text = match protocol {
        "v4.channel.k8s.io" => status.to_string(),
        _ if end == SessionEnd::Exited(0) => String::new(),
        _ => status["message"].as_str().unwrap_or_default().to_owned(),
    };
    if let Some(error) = &mut there.error {
        // The client may be gone by now, and then nobody is to be told.
        let _ = error.send(Bytes::from(text)).await;
        error.finish().await;
    }
}

/// The streams that a client opens.
#[derive(Default)]
struct Streams {
    error: Option<Outgoing>,
    stdin: Option<Incoming>,
    stdout: Option<Outgoing>,
    stderr: Option<Outgoing>,
    resize: Option<Incoming>,
    /// Halves that are not used but must stay open.
    unused: Vec<(Option<Incoming>, Option<Outgoing>)>,
}

struct Wanted<'a> {
    options: &'a ExecOptions,
    sizes: bool,
}

impl Wanted<'_> {
    /// Waits until every stream is there that this session has.
    async fn collect(&self, streams: &mut mpsc::Receiver<Stream>) -> Streams {
        let mut there = Streams::default();
        while !self.complete(&there) {
            let Some(stream) = streams.recv().await else { return std::future::pending().await };
            let Stream { headers, incoming, outgoing, .. } = stream;
            match headers.get("streamtype") {
                "error" if there.error.is_none() => {
                    there.error = Some(outgoing);
                    there.unused.push((Some(incoming), None));
                }
                "stdin" if self.options.stdin && there.stdin.is_none() => {
                    there.stdin = Some(incoming);
                    there.unused.push((None, Some(outgoing)));
                }
                "stdout" if self.options.stdout && there.stdout.is_none() => {
                    there.stdout = Some(outgoing);
                    there.unused.push((Some(incoming), None));
                }
                "stderr" if self.options.stderr && there.stderr.is_none() => {
                    there.stderr = Some(outgoing);
                    there.unused.push((Some(incoming), None));
                }
                "resize" if self.sizes && there.resize.is_none() => {
                    there.resize = Some(incoming);
                    there.unused.push((None, Some(outgoing)));
                }
                kind => tracing::info!(kind, "unexpected stream type"),
            }
        }
        there
    }

    fn complete(&self, there: &Streams) -> bool {
        there.error.is_some()
            && (!self.options.stdin || there.stdin.is_some())
            && (!self.options.stdout || there.stdout.is_some())
            && (!self.options.stderr || there.stderr.is_some())
            && (!self.sizes || there.resize.is_some())
    }
}

/// Copies output until its end, and says so. What nobody wants, or not any more, is read and dropped: the process must
/// not be ended by it.
async fn copy_out(from: Option<Box<dyn AsyncRead + Send + Unpin>>, mut to: Option<&mut Outgoing>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; PIECE];
    while let Ok(count) = from.read(&mut buffer).await
        && count > 0
    {
        if let Some(to) = to.as_mut() {
            let _ = to.send(Bytes::copy_from_slice(&buffer[..count])).await;
        }
    }
    if let Some(to) = to {
        to.finish().await;
    }
}

/// Copies input until its end, and says so. Never ends: the session goes on without input.
async fn copy_in(to: Option<Box<dyn AsyncWrite + Send + Unpin>>, from: Option<Incoming>) {
    if let (Some(mut to), Some(mut from)) = (to, from) {
        while let Some(bytes) = from.next().await {
            if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        let _ = to.shutdown().await;
    }
    std::future::pending().await
}

/// Hands sizes on: JSON objects one after the other. Never ends.
async fn resize(to: Option<mpsc::Sender<TerminalSize>>, from: Option<Incoming>) {
    if let (Some(to), Some(mut from)) = (to, from) {
        let mut text = Vec::new();
        while let Some(bytes) = from.next().await {
            text.extend_from_slice(&bytes);
            let mut values = serde_json::Deserializer::from_slice(&text).into_iter::<Value>();
            while let Some(Ok(value)) = values.next() {
                if let Some(size) = TerminalSize::read(&value) {
                    // A size that does not fit is replaced by the next one anyway.
                    let _ = to.try_send(size);
                }
            }
            let read = values.byte_offset();
            text.drain(..read);
            if text.len() > LONGEST_SIZE {
                break;
            }
        }
    }
    std::future::pending().await
}
