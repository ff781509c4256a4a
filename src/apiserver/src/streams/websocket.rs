//! The WebSocket side of exec and attach: `v5.channel.k8s.io` down to `channel.k8s.io`, binary or base64.
//!
//! In: an upgraded connection and a session. Out: messages whose first byte is the channel: 0 input, 1 output, 2 error
//! output, 3 the end as a Status, 4 terminal sizes, 255 (v5) closes a channel. One task owns the socket; output is
//! read only as fast as the client takes it.

use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, header};
use kedge_api::status::Status;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::upgrade::{self, Upgraded};
use super::{ExecOptions, Session, SessionEnd, TerminalSize, ending};
use crate::respond::Answer;

/// The protocols of exec and attach, best first.
pub const EXEC: [&str; 7] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];

/// An upgraded connection.
pub type Socket = WebSocketStream<Upgraded>;

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
/// How long the client may take to answer the end before the connection is cut.
const LINGER: Duration = Duration::from_secs(2);

/// How channels and bytes are put into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// A byte, then the bytes.
    Binary,
    /// A digit, then the bytes as base64, as text.
    Base64,
}

impl Coding {
    /// The coding of a protocol.
    pub fn of(protocol: &str) -> Coding {
        if protocol.contains("base64.channel") { Coding::Base64 } else { Coding::Binary }
    }

    /// A message.
    pub fn write(self, channel: u8, data: &[u8]) -> Message {
        match self {
            Coding::Binary => {
                let mut bytes = BytesMut::with_capacity(data.len() + 1);
                bytes.put_u8(channel);
                bytes.put_slice(data);
                Message::Binary(bytes.freeze())
            }
            Coding::Base64 => {
                let mut text = String::with_capacity(data.len() * 4 / 3 + 5);
                text.push(char::from(b'0'.wrapping_add(channel)));
                STANDARD.encode_string(data, &mut text);
                Message::text(text)
            }
        }
    }

    /// Channel and bytes of a message; what is no such message is passed over.
    pub fn read(self, message: Message) -> Option<(u8, Bytes)> {
        let mut bytes = match (self, message) {
            (_, Message::Binary(bytes)) => bytes,
            (_, Message::Text(text)) => Bytes::from(text),
            _ => return None,
        };
        let first = *bytes.first()?;
        bytes::Buf::advance(&mut bytes, 1);
        match self {
            Coding::Binary => Some((first, bytes)),
            Coding::Base64 => Some((first.checked_sub(b'0')?, STANDARD.decode(&bytes).ok()?.into())),
        }
    }
}

/// The end of a connection on which all went well. Go's client takes any other code, also a missing one, for a broken one.
pub fn normal() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}

/// A request to speak WebSocket, understood.
pub struct Handshake {
    upgrade: hyper::upgrade::OnUpgrade,
    accept: String,
    protocol: Option<&'static str>,
}

impl Handshake {
    /// Reads the request's head; `offered` are the protocols of this server, best first.
    pub fn read(head: &mut http::request::Parts, offered: &[&'static str]) -> Result<Handshake, Status> {
        if !upgrade::asks_for(&head.headers, "websocket") {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let text = |name: header::HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("");
        let key = text(header::SEC_WEBSOCKET_KEY);
        if key.is_empty() || text(header::SEC_WEBSOCKET_VERSION) != "13" {
            return Err(Status::bad_request("the WebSocket handshake lacks a key or is not of version 13"));
        }
        let wanted: Vec<&str> = text(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim).collect();
        // The client's order counts.
        let protocol = wanted.iter().find_map(|w| offered.iter().find(|o| *o == w)).copied();
        if protocol.is_none() && wanted.iter().any(|w| !w.is_empty() && !w.starts_with(crate::authn::WEBSOCKET_TOKEN)) {
            return Err(Status::bad_request(format!(
                "unable to upgrade websocket connection: requested protocol(s) are not supported: {wanted:?}; \
                 supports {offered:?}"
            )));
        }
        let accept = derive_accept_key(key.as_bytes());
        Ok(Handshake { upgrade: upgrade::take(head)?, accept, protocol })
    }

    /// What was agreed on; empty if the client wanted nothing in particular.
    pub fn protocol(&self) -> &'static str {
        self.protocol.unwrap_or_default()
    }

    /// Answers 101 and runs `work` on the socket once the connection is handed over.
    pub fn run<W, F>(self, tasks: &TaskTracker, stop: CancellationToken, work: W) -> Answer
    where
        W: FnOnce(Socket, CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        upgrade::run(self.upgrade, tasks, stop, move |io, stop| async move {
            let config =
                WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
            work(socket, stop).await;
        });
        let mut answer = upgrade::switching("websocket");
        let headers = answer.headers_mut();
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.protocol {
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
    let coding = Coding::of(protocol);
    // Clients of these protocols wait for an empty frame on the first channel that is written to.
    let first = match (options.stdout, options.stderr) {
        (true, _) => STDOUT,
        (false, true) => STDERR,
        (false, false) => ERROR,
    };
    if socket.send(coding.write(first, &[])).await.is_err() {
        return;
    }
    let mut input = Input { to: session.stdin.take(), pending: Bytes::new(), ends: false };
    let mut out = Reading::new(session.stdout.take(), STDOUT, options.stdout.then_some(coding));
    let mut err = Reading::new(session.stderr.take(), STDERR, options.stderr.then_some(coding));
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
                Some(Ok(Message::Close(_))) | None | Some(Err(_)) => return,
                Some(Ok(message)) => {
                    if let Some((channel, data)) = coding.read(message) {
                        take(channel, data, &mut input, session.resize.as_ref(), v5);
                    }
                }
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
        let status = ending::status(&end, options.command.is_empty());
        // Before v4 the end is told in words, and success in none.
        let text = match (protocol, status["message"].as_str()) {
            ("v5.channel.k8s.io" | "v4.channel.k8s.io" | "v4.base64.channel.k8s.io", _) => status.to_string(),
            (_, message) => message.unwrap_or_default().to_owned(),
        };
        if !text.is_empty() {
            let _ = socket.send(coding.write(ERROR, text.as_bytes())).await;
        }
    }
    let _ = socket.close(Some(normal())).await;
    // Cut at once, what the client has not read yet would be lost with what it sent meanwhile.
    let drain = async { while let Some(Ok(_)) = socket.next().await {} };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// Takes one message of the client.
fn take(channel: u8, data: Bytes, input: &mut Input, resize: Option<&mpsc::Sender<TerminalSize>>, v5: bool) {
    match channel {
        STDIN if input.to.is_some() => input.pending = data,
        RESIZE => {
            let size = serde_json::from_slice::<Value>(&data).ok().and_then(|v| TerminalSize::read(&v));
            if let (Some(resize), Some(size)) = (resize, size) {
                // A size that does not fit is replaced by the next one anyway.
                let _ = resize.try_send(size);
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

/// One output and its channel.
struct Reading {
    from: Option<Box<dyn AsyncRead + Send + Unpin>>,
    channel: u8,
    /// None if nobody wants it: then it is read and dropped, since the process must not be ended by that.
    coding: Option<Coding>,
    buffer: Vec<u8>,
}

impl Reading {
    fn new(from: Option<Box<dyn AsyncRead + Send + Unpin>>, channel: u8, coding: Option<Coding>) -> Self {
        let size = if from.is_some() { FRAME } else { 0 };
        Reading { from, channel, coding, buffer: vec![0; size] }
    }

    fn open(&self) -> bool {
        self.from.is_some()
    }

    /// The next frame; `None` once the output has ended.
    async fn next(&mut self) -> Option<Message> {
        let from = self.from.as_mut()?;
        loop {
            match (from.read(&mut self.buffer).await, self.coding) {
                (Ok(count), Some(coding)) if count > 0 => {
                    return Some(coding.write(self.channel, &self.buffer[..count]));
                }
                (Ok(count), None) if count > 0 => {}
                _ => {
                    self.from = None;
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_channel_and_bytes() {
        for coding in [Coding::Binary, Coding::Base64] {
            let message = coding.write(1, b"\0out");
            assert_eq!(coding.read(message), Some((1, Bytes::from_static(b"\0out"))));
            assert_eq!(coding.read(Message::Binary(Bytes::new())), None);
        }
        assert_eq!(Coding::Base64.write(3, b"hi"), Message::text("3aGk="));
        assert_eq!(Coding::Base64.read(Message::text("0!")), None);
        assert_eq!(Coding::Base64.read(Message::text("\u{1}aGk=")), None);
    }

    #[tokio::test]
    async fn client_frames_reach_the_session() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (resize, mut sizes) = mpsc::channel(1);
        let mut input = Input { to: Some(Box::new(ours)), pending: Bytes::new(), ends: false };
        for message in [&b"\x00hello"[..], b"\x04{\"Width\":80,\"Height\":24}", b"\x09?", b"", b"\xff\x00"] {
            let Some((channel, data)) = Coding::Binary.read(Message::Binary(Bytes::from_static(message))) else {
                continue;
            };
            take(channel, data, &mut input, Some(&resize), true);
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
