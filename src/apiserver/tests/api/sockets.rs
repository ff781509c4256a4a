//! Over TLS, on port 0: certificates, kubeconfig, half-open connections, HTTP/2, exec.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{SinkExt as _, StreamExt as _};
use kedge_api::status::Status;
use kedge_apiserver::ApiServer;
use kedge_apiserver::streams::{Channel, ContainerRef, ExecOptions, LogOptions, NodeStreams, Session, SessionEnd};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::support::{PODS, Server, pod, server, server_with};

pub struct Served {
    pub server: Server,
    pub address: SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

pub async fn serve(server: Server) -> Served {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let (api, token): (ApiServer, _) = (server.api.clone(), stop.clone());
    let task = tokio::spawn(async move { api.serve(listener, token).await.unwrap() });
    Served { server, address, stop, task }
}

impl Served {
    pub async fn connect(&self, client: Option<(String, String)>, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.server.api.ca_certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    pub async fn get(&self, path: &str, client: Option<(String, String)>, header: &str) -> String {
        self.ask("GET", path, client, header).await
    }

    /// Sends a head without a body.
    pub async fn ask(&self, method: &str, path: &str, client: Option<(String, String)>, header: &str) -> String {
        let mut stream = self.connect(client, &[]).await;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    pub async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(30), self.task).await.expect("the server ends").unwrap();
    }
}

pub fn code(answer: &str) -> u16 {
    answer.get(9..12).and_then(|c| c.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn certificates_and_tokens_name_their_holders() {
    let served = serve(server().await).await;
    let api = &served.server.api;
    let path = "/api/v1/namespaces/default/configmaps";
    let day = Duration::from_secs(86400);
    let admin = api.issue_client_certificate("root", Some("system:masters"), day).unwrap();
    let jane = api.issue_client_certificate("jane", None, day).unwrap();
    let stranger =
        crate::support::server().await.api.issue_client_certificate("root", Some("system:masters"), day).unwrap();
    assert_eq!(code(&served.get(path, Some(admin), "").await), 200);
    assert_eq!(code(&served.get(path, Some(jane), "").await), 403);
    assert_eq!(code(&served.get(path, Some(stranger), "").await), 401);
    // Nobody in particular is asked who they are, but for health and version.
    assert_eq!(code(&served.get(path, None, "").await), 401);
    assert_eq!(code(&served.get(path, None, "Authorization: Bearer nonsense\r\n").await), 401);
    assert_eq!(code(&served.get("/version", None, "").await), 200);
    api.add_static_token("secret", kedge_apiserver::Identity::master("token"));
    assert_eq!(code(&served.get(path, None, "Authorization: Bearer secret\r\n").await), 200);
    served.end().await;
}

#[tokio::test]
async fn the_admin_kubeconfig_is_private_and_names_the_port() {
    use std::os::unix::fs::PermissionsExt as _;
    let served = serve(server().await).await;
    // The file is there before the first connection is answered.
    assert_eq!(code(&served.get("/readyz", None, "").await), 200);
    let path = served.server.dir.path().join("admin.kubeconfig");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("https://127.0.0.1:{}", served.address.port())), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    served.end().await;
}

#[tokio::test]
async fn idle_connections_keep_nobody_out() {
    let served = serve(server_with(|config, _| config.limits.half_open = 20).await).await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    // Some speak, but not HTTP, and some not to the end.
    let mut slow = served.connect(None, &[]).await;
    slow.write_all(b"GET / HT").await.unwrap();
    let mut garbage = TcpStream::connect(served.address).await.unwrap();
    garbage.write_all(&[0xff; 4096]).await.unwrap();
    assert_eq!(code(&served.get("/readyz", None, "").await), 200);
    // The oldest were dropped.
    let mut byte = [0u8; 1];
    let first = tokio::time::timeout(Duration::from_secs(30), idle[0].read(&mut byte)).await.expect("is dropped");
    assert!(matches!(first, Ok(0) | Err(_)));
    drop(idle);
    served.end().await;
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let served = serve(server().await).await;
    let answer = served.get("/version", None, &format!("X-Large: {}\r\n", "x".repeat(200_000))).await;
    assert!(matches!(code(&answer), 0 | 400 | 431), "{answer:.100}");
    assert_eq!(code(&served.get("/version", None, "").await), 200);
    served.end().await;
}

#[tokio::test]
async fn http2_is_spoken() {
    let served = serve(server().await).await;
    let stream = served.connect(None, &[b"h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::builder().uri("https://localhost/version").body(axum::body::Body::empty()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
    drop(sender);
    let _ = driver.await;
    served.end().await;
}

/// Runs `cat`: what comes in goes out, and the end is 3.
struct Cat;

#[async_trait]
impl NodeStreams for Cat {
    async fn logs(&self, _: ContainerRef, _: LogOptions) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        Err(Status::unavailable("no logs"))
    }

    async fn exec(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        let (input, mut theirs) = tokio::io::duplex(1024);
        let (mut out, output) = tokio::io::duplex(1024);
        let (ended, end) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _ = tokio::io::copy(&mut theirs, &mut out).await;
            drop(out);
            let _ = ended.send(SessionEnd::Exited(3));
        });
        Ok(Session { stdin: Some(Box::new(input)), stdout: Some(Box::new(output)), stderr: None, resize: None, end })
    }

    async fn attach(&self, container: ContainerRef, options: ExecOptions) -> Result<Session, Status> {
        self.exec(container, options).await
    }

    async fn connect(&self, _: ContainerRef, _: u16) -> Result<Box<dyn Channel>, Status> {
        Err(Status::unavailable("no ports"))
    }
}

#[tokio::test]
async fn an_exec_runs_over_a_websocket() {
    let server = server_with(|_, parts| parts.streams = Arc::new(Cat)).await.with_account().await;
    server.admin.post(PODS, pod("a")).await.ok();
    server.admin.post(&format!("{PODS}/a/binding"), json!({"target": {"name": "n"}})).await.ok();
    let served = serve(server).await;
    served.server.api.add_static_token("secret", kedge_apiserver::Identity::master("token"));
    let stream = served.connect(None, &[b"http/1.1"]).await;
    let request = http::Request::builder()
        .uri(format!("wss://localhost{PODS}/a/exec?command=cat&stdin=true&stdout=true"))
        .header("host", "localhost")
        .header("authorization", "Bearer secret")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "v5.channel.k8s.io")
        .body(())
        .unwrap();
    let (mut socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    // More than any buffer on the way holds: input must not wait for output for ever.
    let line = [&[0u8][..], &[b'x'; 8192]].concat();
    let (mut sink, mut source) = futures::StreamExt::split(&mut socket);
    let send = async {
        for _ in 0..16 {
            sink.send(Message::Binary(line.clone().into())).await.unwrap();
        }
        sink.send(Message::Binary(Bytes::from_static(&[255, 0]))).await.unwrap();
    };
    let receive = async {
        let (mut output, mut end) = (0, Value::Null);
        while let Some(Ok(message)) = source.next().await {
            match message {
                Message::Binary(bytes) if bytes[0] == 1 => output += bytes.len() - 1,
                Message::Binary(bytes) if bytes[0] == 3 && bytes.len() > 1 => {
                    end = serde_json::from_slice(&bytes[1..]).unwrap()
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
        (output, end)
    };
    let ((), (output, end)) = tokio::join!(send, receive);
    assert_eq!(output, 16 * 8192);
    assert_eq!(end["details"]["causes"][0]["message"], "3");
    served.end().await;
}

#[tokio::test]
async fn who_writes_a_body_that_is_too_large_before_reading_hears_why() {
    let served = serve(server_with(|config, _| config.limits.body = 10_000).await).await;
    served.server.api.add_static_token("secret", kedge_apiserver::Identity::master("token"));
    let path = "/api/v1/namespaces/default/configmaps";
    for (size, framing) in [(8 << 20, "Content-Length: 8388608\r\n"), (8 << 20, "Transfer-Encoding: chunked\r\n")] {
        let mut stream = served.connect(None, &[]).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Authorization: Bearer secret\r\n{framing}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let body = vec![b' '; size];
        if framing.starts_with("Transfer") {
            for piece in body.chunks(1 << 20) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await.unwrap();
                stream.write_all(piece).await.unwrap();
                stream.write_all(b"\r\n").await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        } else {
            stream.write_all(&body).await.unwrap();
        }
        let mut answer = Vec::new();
        // The end of the connection may come as a reset once the answer is there.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(code(&String::from_utf8_lossy(&answer)), 413, "{framing}");
    }
    served.end().await;
}
