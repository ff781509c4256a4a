//! Exec, attach and port-forward over TLS, in what old and new clients speak: SPDY/3.1, WebSocket of each version, SPDY
//! within a WebSocket.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{SinkExt as _, StreamExt as _};
use kedge_api::status::Status;
use kedge_apiserver::streams::{Channel, ContainerRef, ExecOptions, LogOptions, NodeStreams, Session, SessionEnd};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::sockets::{Served, serve};
use crate::support::{PODS, pod, server_with};

/// Runs `cat`, with the end 3; on a terminal it says each size it is given. Port 7 echoes, port 8 says one word and
/// waits, others refuse.
struct Fake;

#[async_trait]
impl NodeStreams for Fake {
    async fn logs(&self, _: ContainerRef, _: LogOptions) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        Err(Status::unavailable("no logs"))
    }

    async fn exec(&self, _: ContainerRef, options: ExecOptions) -> Result<Session, Status> {
        let (input, mut theirs) = tokio::io::duplex(1024);
        let (mut out, output) = tokio::io::duplex(1024);
        let (mut err, errors) = tokio::io::duplex(1024);
        let (ended, end) = tokio::sync::oneshot::channel();
        let (resize, mut sizes) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            if options.tty {
                let size: kedge_apiserver::streams::TerminalSize = sizes.recv().await.unwrap();
                let text = format!("{}x{}\n", size.width, size.height);
                out.write_all(text.as_bytes()).await.unwrap();
            }
            if options.stdin {
                let _ = tokio::io::copy(&mut theirs, &mut out).await;
            }
            let _ = err.write_all(b"oops").await;
            drop((out, err));
            let _ = ended.send(SessionEnd::Exited(3));
        });
        Ok(Session {
            stdin: options.stdin.then(|| Box::new(input) as _),
            stdout: Some(Box::new(output)),
            stderr: options.stderr.then(|| Box::new(errors) as _),
            resize: options.tty.then_some(resize),
            end,
        })
    }

    async fn attach(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status> {
        let session = self.exec(container, options).await?;
        let (ended, end) = tokio::sync::oneshot::channel();
        let exec = session.end;
        tokio::spawn(async move {
            let _ = exec.await;
            let _ = ended.send(SessionEnd::Exited(0));
        });
        Ok(Session { end, ..session })
    }

    async fn connect(&self, _: ContainerRef, port: u16) -> Result<Box<dyn Channel>, Status> {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        match port {
            7 => {
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(theirs);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
            8 => {
                tokio::spawn(async move { theirs.write_all(b"word").await });
            }
            _ => return Err(Status::internal("nobody listens")),
        }
        Ok(Box::new(ours))
    }
}

/// A server whose pod `a` is on the fake.
pub async fn device() -> Served {
    let server = server_with(|_, parts| parts.streams = Arc::new(Fake)).await.with_account().await;
    server.admin.post(PODS, pod("a")).await.ok();
    server.admin.post(&format!("{PODS}/a/binding"), json!({"target": {"name": "n"}})).await.ok();
    let status = json!({"status": {"phase": "Running"}});
    server.admin.patch("merge", &format!("{PODS}/a/status"), status).await.ok();
    let served = serve(server).await;
    served.server.api.add_static_token("secret", kedge_apiserver::Identity::master("token"));
    served
}

/// A client of SPDY/3.1 as Go's: it pays no heed to windows.
struct Spdy<S> {
    io: S,
    begun: bool,
    streams: u32,
}

#[derive(Default)]
struct Seen {
    bytes: HashMap<u32, Vec<u8>>,
    finished: Vec<u32>,
    reset: Vec<u32>,
}

impl Seen {
    fn text(&self, stream: u32) -> String {
        self.bytes.get(&stream).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Spdy<S> {
    fn new(io: S) -> Self {
        Spdy { io, begun: false, streams: 0 }
    }

    /// Opens a stream; its number.
    async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let stream = self.streams * 2 + 1;
        self.streams += 1;
        let mut payload = stream.to_be_bytes().to_vec();
        payload.extend([0; 6]);
        if !std::mem::replace(&mut self.begun, true) {
            payload.extend([0x78, 0x20, 0xe3, 0xc6, 0xa7, 0xc2]);
        }
        let length = plain.len() as u16;
        payload.push(0);
        payload.extend(length.to_le_bytes());
        payload.extend((!length).to_le_bytes());
        payload.extend(plain);
        payload.extend([0, 0, 0, 0xff, 0xff]);
        let mut frame = vec![0x80, 3, 0, 1];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        self.io.write_all(&frame).await.unwrap();
        stream
    }

    async fn send(&mut self, stream: u32, bytes: &[u8], fin: bool) {
        let mut frame = stream.to_be_bytes().to_vec();
        frame.extend((u32::from(fin) << 24 | bytes.len() as u32).to_be_bytes());
        frame.extend(bytes);
        self.io.write_all(&frame).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// Reads until `done`, or the end.
    async fn until(&mut self, done: impl Fn(&Seen) -> bool) -> Seen {
        let mut seen = Seen::default();
        let work = async {
            while !done(&seen) {
                let Ok(first) = self.io.read_u32().await else { break };
                let second = self.io.read_u32().await.unwrap();
                let mut payload = vec![0; (second & 0xff_ffff) as usize];
                self.io.read_exact(&mut payload).await.unwrap();
                match (first >> 31, first as u16) {
                    (0, _) => {
                        seen.bytes.entry(first).or_default().extend(payload);
                        if second >> 24 == 1 {
                            seen.finished.push(first);
                        }
                    }
                    (_, 3) => seen.reset.push(u32::from_be_bytes(payload[..4].try_into().unwrap())),
                    (_, 7) => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), work).await.expect("frames in time");
        seen
    }
}

/// Upgrades to SPDY; the answer's head, and the connection.
async fn upgrade(
    served: &Served,
    path: &str,
    protocols: &[&str],
) -> (String, impl AsyncRead + AsyncWrite + Unpin + use<>) {
    let mut stream = served.connect(None, &[b"http/1.1"]).await;
    let wanted: String = protocols.iter().map(|p| format!("X-Stream-Protocol-Version: {p}\r\n")).collect();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\nConnection: Upgrade\r\n\
         Upgrade: SPDY/3.1\r\nContent-Length: 0\r\n{wanted}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    (String::from_utf8(answer).unwrap().to_ascii_lowercase(), stream)
}

#[tokio::test]
async fn an_exec_runs_over_spdy_in_every_version() {
    let served = device().await;
    let path = format!("{PODS}/a/exec?command=cat&stdin=true&stdout=true&stderr=true");
    for version in ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"] {
        let (head, stream) = upgrade(&served, &path, &["v9.channel.k8s.io", version]).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains(&format!("x-stream-protocol-version: {version}\r\n")), "{head}");
        let mut client = Spdy::new(stream);
        let error = client.open(&[("streamtype", "error")]).await;
        let stdin = client.open(&[("streamtype", "stdin")]).await;
        let stdout = client.open(&[("streamtype", "stdout")]).await;
        let stderr = client.open(&[("streamtype", "stderr")]).await;
        client.send(stdin, b"hello ", false).await;
        client.send(stdin, b"world", true).await;
        let seen = client.until(|_| false).await;
        assert_eq!((seen.text(stdout), seen.text(stderr)), ("hello world".into(), "oops".into()), "{version}");
        let end = seen.text(error);
        if version.starts_with("v4") {
            let status: Value = serde_json::from_str(&end).unwrap();
            assert_eq!(status["details"]["causes"][0]["message"], "3");
        } else {
            assert_eq!(end, "command terminated with non-zero exit code: exit status 3");
        }
        let mut finished = seen.finished;
        finished.sort_unstable();
        assert_eq!(finished, [error, stdout, stderr]);
    }
    served.end().await;
}

#[tokio::test]
async fn much_goes_through_spdy_and_a_terminal_is_resized() {
    let served = device().await;
    let path = format!("{PODS}/a/exec?command=cat&stdin=true&stdout=true&tty=true");
    let (_, stream) = upgrade(&served, &path, &["v4.channel.k8s.io"]).await;
    let mut client = Spdy::new(stream);
    let _error = client.open(&[("streamtype", "error")]).await;
    let stdin = client.open(&[("streamtype", "stdin")]).await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let resize = client.open(&[("streamtype", "resize")]).await;
    client.send(resize, b"{\"Width\":80,\"Hei", false).await;
    client.send(resize, b"ght\":24}\n", false).await;
    let Spdy { io, .. } = client;
    let (read, write) = tokio::io::split(io);
    let mut sender = Spdy { io: tokio::io::join(tokio::io::empty(), write), begun: true, streams: 4 };
    let mut receiver = Spdy::new(tokio::io::join(read, tokio::io::sink()));
    let send = async {
        for _ in 0..64 {
            sender.send(stdin, &[b'x'; 32 * 1024], false).await;
        }
        sender.send(stdin, &[], true).await;
    };
    let ((), seen) = tokio::join!(send, receiver.until(|_| false));
    let out = seen.text(stdout);
    assert!(out.starts_with("80x24\nx"), "{:.20}", out);
    assert_eq!(out.len(), 6 + 64 * 32 * 1024);
    served.end().await;
}

#[tokio::test]
async fn an_attach_ends_well_and_what_cannot_be_agreed_on_is_told() {
    let served = device().await;
    let path = format!("{PODS}/a/attach?stdout=true");
    let (_, stream) = upgrade(&served, &path, &["v4.channel.k8s.io"]).await;
    let mut client = Spdy::new(stream);
    let error = client.open(&[("streamtype", "error")]).await;
    client.open(&[("streamtype", "stdout")]).await;
    let seen = client.until(|_| false).await;
    assert_eq!(seen.text(error), r#"{"metadata":{},"status":"Success"}"#);

    let (head, _) = upgrade(&served, &path, &["v9.channel.k8s.io"]).await;
    assert!(head.starts_with("http/1.1 403 "), "{head}");
    assert!(head.contains("x-accepted-stream-protocol-versions: v4.channel.k8s.io\r\n"), "{head}");
    let (head, _) = upgrade(&served, &path, &[]).await;
    assert!(head.starts_with("http/1.1 400 "), "{head}");
    served.end().await;
}

async fn forwards(mut client: Spdy<impl AsyncRead + AsyncWrite + Unpin>) {
    // Bytes both ways; the end of the client's direction is handed on.
    let error = client.open(&[("streamtype", "error"), ("port", "7"), ("requestid", "0")]).await;
    let data = client.open(&[("streamtype", "data"), ("port", "7"), ("requestid", "0")]).await;
    client.send(error, &[], true).await;
    client.send(data, b"ping", true).await;
    let seen = client.until(|seen| seen.finished.len() == 2).await;
    assert_eq!((seen.text(data), seen.text(error)), ("ping".into(), String::new()));
    // The pod ends its direction: the client hears of it, and both streams end.
    let error = client.open(&[("streamtype", "error"), ("port", "8"), ("requestid", "1")]).await;
    let data = client.open(&[("streamtype", "data"), ("port", "8"), ("requestid", "1")]).await;
    let seen = client.until(|seen| seen.finished.contains(&error)).await;
    assert_eq!(seen.text(data), "word");
    // Nobody listens: a sentence, and the connection goes on.
    let error = client.open(&[("streamtype", "error"), ("port", "9"), ("requestid", "2")]).await;
    let data = client.open(&[("streamtype", "data"), ("port", "9"), ("requestid", "2")]).await;
    let seen = client.until(|seen| seen.finished.contains(&error) && seen.reset.contains(&data)).await;
    let text = seen.text(error);
    assert!(text.starts_with("error forwarding port 9 to pod a, uid ") && text.ends_with("nobody listens"), "{text}");
    // No port, no kind: reset.
    let odd = client.open(&[("streamtype", "data"), ("port", "x")]).await;
    client.until(|seen| seen.reset.contains(&odd)).await;
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy() {
    let served = device().await;
    let (head, stream) = upgrade(&served, &format!("{PODS}/a/portforward"), &["portforward.k8s.io"]).await;
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    forwards(Spdy::new(stream)).await;
    served.end().await;
}

/// Opens a WebSocket; the protocol that was agreed on.
async fn websocket(
    served: &Served,
    path: &str,
    protocol: &str,
) -> (String, tokio_tungstenite::WebSocketStream<impl AsyncRead + AsyncWrite + Unpin + use<>>) {
    let stream = served.connect(None, &[b"http/1.1"]).await;
    let request = http::Request::builder()
        .uri(format!("wss://localhost{path}"))
        .header("host", "localhost")
        .header("authorization", "Bearer secret")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", protocol)
        .body(())
        .unwrap();
    let (socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    (answer.headers()["sec-websocket-protocol"].to_str().unwrap().to_owned(), socket)
}

#[tokio::test]
async fn ports_are_forwarded_over_spdy_within_a_websocket() {
    let served = device().await;
    let path = format!("{PODS}/a/portforward");
    let (agreed, socket) = websocket(&served, &path, "SPDY/3.1+portforward.k8s.io").await;
    assert_eq!(agreed, "SPDY/3.1+portforward.k8s.io");
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    tokio::spawn(async move {
        let (mut sink, mut source) = socket.split();
        let (mut read, mut write) = tokio::io::split(theirs);
        let out = async {
            let mut buffer = vec![0; 1000];
            while let Ok(count) = read.read(&mut buffer).await
                && count > 0
            {
                sink.send(Message::binary(buffer[..count].to_vec())).await.unwrap();
            }
        };
        let back = async {
            while let Some(Ok(Message::Binary(bytes))) = source.next().await {
                write.write_all(&bytes).await.unwrap();
            }
        };
        tokio::join!(out, back);
    });
    forwards(Spdy::new(ours)).await;
    served.end().await;
}

#[tokio::test]
async fn ports_are_forwarded_over_channels() {
    let served = device().await;
    let path = format!("{PODS}/a/portforward?ports=7&ports=9");
    let (agreed, mut socket) = websocket(&served, &path, "v5.channel.k8s.io, v4.channel.k8s.io").await;
    assert_eq!(agreed, "v4.channel.k8s.io");
    socket.send(Message::binary(b"\x00ping".to_vec())).await.unwrap();
    let mut channels: HashMap<u8, Vec<u8>> = HashMap::new();
    while channels.get(&0).is_none_or(|bytes| bytes.len() < 6) || channels.get(&3).is_none_or(|bytes| bytes.len() < 4) {
        match socket.next().await.unwrap().unwrap() {
            Message::Binary(bytes) => channels.entry(bytes[0]).or_default().extend(&bytes[1..]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(channels[&0], b"\x07\x00ping");
    assert_eq!(channels[&1], b"\x07\x00");
    assert!(String::from_utf8_lossy(&channels[&3][2..]).ends_with("nobody listens"));
    drop(socket);
    served.end().await;
}

#[tokio::test]
async fn an_exec_runs_over_every_websocket() {
    let served = device().await;
    let path = format!("{PODS}/a/exec?command=x&stdout=true&stderr=true");
    for version in [
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
    ] {
        let (agreed, mut socket) = websocket(&served, &path, version).await;
        assert_eq!(agreed, version);
        let mut channels: HashMap<u8, Vec<u8>> = HashMap::new();
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Binary(bytes) => channels.entry(bytes[0]).or_default().extend(&bytes[1..]),
                Message::Text(text) => {
                    use base64::Engine as _;
                    let bytes = base64::engine::general_purpose::STANDARD.decode(&text[1..]).unwrap();
                    channels.entry(text.as_bytes()[0] - b'0').or_default().extend(bytes);
                }
                _ => break,
            }
        }
        assert_eq!(channels[&2], b"oops", "{version}");
        let end = String::from_utf8_lossy(&channels[&3]).into_owned();
        if version.starts_with('v') {
            assert!(end.contains("\"reason\":\"NonZeroExitCode\""), "{version}: {end}");
        } else {
            assert_eq!(end, "command terminated with non-zero exit code: exit status 3");
        }
    }
    served.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_spdy_end_the_connection() {
    let served = device().await;
    for noise in [&b"\x80\x03\x00\x01\xff\xff\xff\xff"[..], b"GET / HTTP/1.1\r\n\r\n", &[0xff; 64]] {
        let (_, mut stream) = upgrade(&served, &format!("{PODS}/a/portforward"), &["portforward.k8s.io"]).await;
        stream.write_all(noise).await.unwrap();
        let mut rest = Vec::new();
        // A GOAWAY, then the end.
        tokio::time::timeout(std::time::Duration::from_secs(30), stream.read_to_end(&mut rest)).await.unwrap().ok();
        assert_eq!(rest.get(..4), Some(&[0x80, 3, 0, 7][..]), "{noise:x?}: {rest:x?}");
    }
    served.end().await;
}
