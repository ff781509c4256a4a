//! The WebSocket side of exec and attach: `v4.channel.k8s.io` and `v5.channel.k8s.io`.
//!
//! In: an upgraded connection and a session. Out: frames whose first byte is the channel: 0 input,
//! 1 output, 2 error output, 3 the end as a Status, 4 terminal sizes, 255 (v5) closes a channel.
//! One task owns the socket; output is read only as fast as the client takes it.

use std::future::Future;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use kedge_api::status::Status;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ExecOptions, Session, SessionEnd, TerminalSize};
use crate::respond::Answer;

/// The protocols of exec and attach, best first.
pub const EXEC: [&str; 5] =
    ["v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

/// An upgraded connection.
pub type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Output leaves in frames of at most this size.
const FRAME: usize = 32 * 1024;
/// No client sends larger messages: input comes in pieces of 32 KiB.
const MAX_MESSAGE: usize = 1 << 20;

/// A request to speak WebSocket, understood.
pub struct Handshake {
    upgrade: hyper::upgrade::OnUpgrade,
    accept: String,
    protocol: Option<&'static str>,
}

impl Handshake {
    /// Reads the request's head; `offered` are the protocols of this server, best first.
    pub fn read(head: &mut http::request::Parts, offered: &[&'static str]) -> Result<Handshake, Status> {
        let text = |name: header::HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let upgrade = text(header::UPGRADE);
        if !upgrade.eq_ignore_ascii_case("websocket") {
            let why = if upgrade.to_ascii_lowercase().starts_with("spdy") {
                "this server speaks WebSocket (v4.channel.k8s.io, v5.channel.k8s.io), not SPDY, for streams"
            } else {
                "Upgrade request required"
            };
            return Err(Status::bad_request(why));
        }
        let key = text(header::SEC_WEBSOCKET_KEY);
        if key.is_empty() || text(header::SEC_WEBSOCKET_VERSION) != "13" {
            return Err(Status::bad_request("the WebSocket handshake lacks a key or is not of version 13"));
        }
        let wanted: Vec<&str> = text(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim).collect();
        // The client's order counts.
        let protocol = wanted.iter().find_map(|w| offered.iter().find(|o| *o == w)).copied();
        if protocol.is_none() && wanted.iter().any(|w| !w.is_empty() && !w.starts_with(crate::authn::WEBSOCKET_TOKEN)) {
            return Err(Status::bad_request(format!(
                "none of the protocols {wanted:?} is offered; there are {offered:?}"
            )));
        }
        let accept = derive_accept_key(key.as_bytes());
        let upgrade = head
            .extensions
            .remove::<hyper::upgrade::OnUpgrade>()
            .ok_or_else(|| Status::bad_request("this connection cannot be upgraded"))?;
        Ok(Handshake { upgrade, accept, protocol })
    }

    /// Answers 101 and runs `work` on the socket once the connection is handed over.
    pub fn run<W, F>(self, tasks: &TaskTracker, stop: CancellationToken, work: W) -> Answer
    where
        W: FnOnce(Socket, &'static str, CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let protocol = self.protocol;
        let upgrade = self.upgrade;
        tasks.spawn(async move {
            let io = tokio::select! {
                io = upgrade => io,
                () = stop.cancelled() => return,
            };
            match io {
                Ok(io) => {
                    let config = WebSocketConfig::default()
                        .max_message_size(Some(MAX_MESSAGE))
                        .max_frame_size(Some(MAX_MESSAGE));
                    let socket = WebSocketStream::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
                    work(socket, protocol.unwrap_or("channel.k8s.io"), stop).await;
                }
                Err(error) => tracing::info!(%error, "a connection could not be upgraded"),
            }
        });
        let mut answer = Response::new(axum::body::Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        answer
    }
}

/// Runs a session over a socket until it ends, the client goes, or the server stops.
pub async fn session(
    mut socket: Socket,
    protocol: &'static str,
    mut session: Session,
    options: ExecOptions,
    stop: CancellationToken,
) {
    let v5 = protocol == "v5.channel.k8s.io";
    // Clients of these protocols wait for an empty frame on the first channel that is written to.
    let first = match (options.stdout, options.stderr) {
        (true, _) => STDOUT,
        (false, true) => STDERR,
        (false, false) => ERROR,
    };
    if socket.send(frame(first, &[])).await.is_err() {
        return;
    }
    let mut input = Input { to: session.stdin.take(), pending: Bytes::new(), ends: false };
    let mut out = Reading::new(session.stdout.take(), STDOUT);
    let mut err = Reading::new(session.stderr.take(), STDERR);
    let mut end: Option<SessionEnd> = None;
    while end.is_none() || out.open() || err.open() {
        tokio::select! {
            piece = out.next(), if out.open() => {
                if let Some(piece) = piece && socket.send(piece).await.is_err() {
                    return;
                }
            }
            piece = err.next(), if err.open() => {
                if let Some(piece) = piece && socket.send(piece).await.is_err() {
                    return;
                }
            }
            () = input.write(), if input.waits() => {}
            // While input waits for the process no more is taken from the client.
            message = socket.next(), if !input.waits() => match message {
                Some(Ok(Message::Binary(bytes))) => take(bytes, &mut input, session.resize.as_ref(), v5),
                Some(Ok(Message::Close(_))) | None | Some(Err(_)) => return,
                Some(Ok(_)) => {}
            },
            ended = &mut session.end, if end.is_none() => {
                end = Some(ended.unwrap_or_else(|_| SessionEnd::Failed("the session was lost".to_owned())));
            }
            () = stop.cancelled() => {
                end = Some(SessionEnd::Failed("the server is shutting down".to_owned()));
                break;
            }
        }
    }
    if let Some(end) = end {
        let status = end_status(&end).to_string();
        let _ = socket.send(frame(ERROR, status.as_bytes())).await;
    }
    // Go's client takes any other code than 1000, also a missing one, for a broken connection.
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _ = socket.close(Some(normal)).await;
}

/// Takes one message of the client.
fn take(mut bytes: Bytes, input: &mut Input, resize: Option<&mpsc::Sender<TerminalSize>>, v5: bool) {
    if bytes.is_empty() {
        return;
    }
    let data = bytes.split_off(1);
    match bytes[0] {
        STDIN if input.to.is_some() => input.pending = data,
        RESIZE => {
            let size: Option<(u64, u64)> = serde_json::from_slice::<Value>(&data)
                .ok()
                .and_then(|v| Some((v.get("Width")?.as_u64()?, v.get("Height")?.as_u64()?)));
            if let (Some(resize), Some((width, height))) = (resize, size) {
                let clamp = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
                // A size that does not fit is replaced by the next one anyway.
                let _ = resize.try_send(TerminalSize { width: clamp(width), height: clamp(height) });
            }
        }
        CLOSE if v5 && data[..] == [STDIN] => input.ends = true,
        _ => {}
    }
}

/// The process's input and what it has not taken yet.
struct Input {
    to: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pending: Bytes,
    ends: bool,
}

impl Input {
    fn waits(&self) -> bool {
        self.to.is_some() && (!self.pending.is_empty() || self.ends)
    }

    /// Writes some of what is pending, or closes. Nothing is lost if this is dropped half-way.
    async fn write(&mut self) {
        let Some(to) = self.to.as_mut() else { return };
        if self.pending.is_empty() {
            let _ = to.shutdown().await;
            self.to = None;
            return;
        }
        match to.write(&self.pending).await {
            Ok(count) if count > 0 => {
                bytes::Buf::advance(&mut self.pending, count);
                if self.pending.is_empty() && to.flush().await.is_err() {
                    self.to = None;
                }
            }
            _ => {
                self.to = None;
                self.pending.clear();
            }
        }
    }
}

/// The end of a session, as clients read it.
fn end_status(end: &SessionEnd) -> Value {
    match end {
        SessionEnd::Exited(0) => json!({"metadata": {}, "status": "Success"}),
        SessionEnd::Exited(code) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        SessionEnd::Failed(why) => json!({
            "metadata": {},
            "status": "Failure",
            "message": why,
            "reason": "InternalError",
            "details": {"causes": [{"message": why}]},
            "code": 500,
        }),
    }
}

fn frame(channel: u8, data: &[u8]) -> Message {
    let mut bytes = BytesMut::with_capacity(data.len() + 1);
    bytes.put_u8(channel);
    bytes.put_slice(data);
    Message::Binary(bytes.freeze())
}

/// One output and its channel.
struct Reading {
    from: Option<Box<dyn AsyncRead + Send + Unpin>>,
    channel: u8,
    buffer: Vec<u8>,
}

impl Reading {
    fn new(from: Option<Box<dyn AsyncRead + Send + Unpin>>, channel: u8) -> Self {
        let size = if from.is_some() { FRAME } else { 0 };
        Reading { from, channel, buffer: vec![0; size] }
    }

    fn open(&self) -> bool {
        self.from.is_some()
    }

    /// The next frame; `None` once the output has ended.
    async fn next(&mut self) -> Option<Message> {
        let from = self.from.as_mut()?;
        match from.read(&mut self.buffer).await {
            Ok(count) if count > 0 => Some(frame(self.channel, &self.buffer[..count])),
            _ => {
                self.from = None;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_as_kubectl_reads_it() {
        assert_eq!(end_status(&SessionEnd::Exited(0))["status"], "Success");
        let failed = end_status(&SessionEnd::Exited(3));
        assert_eq!(failed["reason"], "NonZeroExitCode");
        assert_eq!(failed["details"]["causes"][0]["message"], "3");
    }

    #[tokio::test]
    async fn client_frames_reach_the_session() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (resize, mut sizes) = mpsc::channel(1);
        let mut input = Input { to: Some(Box::new(ours)), pending: Bytes::new(), ends: false };
        for message in [&b"\x00hello"[..], b"\x04{\"Width\":80,\"Height\":24}", b"\x09?", b"", b"\xff\x00"] {
            take(Bytes::from_static(message), &mut input, Some(&resize), true);
            while input.waits() {
                input.write().await;
            }
        }
        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        assert_eq!(sizes.recv().await, Some(TerminalSize { width: 80, height: 24 }));
    }
}
