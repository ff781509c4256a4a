//! A TLS server that the API server calls: webhooks, aggregated servers, receivers.
//!
//! In: a function from requests to answers. Out: its port, its certificate, and what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;

/// One request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub head: Arc<http::request::Parts>,
    pub body: Value,
    /// Common names of the certificates that the client showed.
    pub client: Vec<Vec<u8>>,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub fn header(&self, name: &str) -> Vec<String> {
        self.head.headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }
}

type Handler = dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Body>> + Send + Sync;

/// A running server; it ends with the test.
pub struct Backend {
    pub address: SocketAddr,
    pub ca: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<std::sync::atomic::AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Backend {
    /// A server whose certificate is good for `localhost` and the Service `hook` in `default`.
    pub async fn start<F, A>(answer: F) -> Backend
    where
        F: Fn(Request<Bytes>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Arc<Handler> = Arc::new(move |request| Box::pin(answer(request)));
        let names = ["localhost", "hook.default.svc", "127.0.0.1"].map(str::to_owned).to_vec();
        let own = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(AnyClient(provider.clone()));
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections: Arc<std::sync::atomic::AtomicUsize> = Arc::default();
        let (log, count) = (seen.clone(), connections.clone());
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, handler, log) = (acceptor.clone(), handler.clone(), log.clone());
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                open.spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let client: Vec<Vec<u8>> =
                        tls.get_ref().1.peer_certificates().into_iter().flatten().map(|c| c.to_vec()).collect();
                    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                        let (handler, log, client) = (handler.clone(), log.clone(), client.clone());
                        async move {
                            let (head, body) = request.into_parts();
                            let upgrade = head.extensions.get::<hyper::upgrade::OnUpgrade>().is_some()
                                && head.headers.contains_key("upgrade");
                            let bytes = if upgrade { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
                            let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                            let mut copy = Request::new(());
                            *copy.method_mut() = head.method.clone();
                            *copy.uri_mut() = head.uri.clone();
                            *copy.headers_mut() = head.headers.clone();
                            let copy = Arc::new(copy.into_parts().0);
                            log.lock().unwrap().push(Seen { head: copy, body: value, client });
                            Ok::<_, std::convert::Infallible>(handler(Request::from_parts(head, bytes)).await)
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(tls), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Backend { address, ca: STANDARD.encode(own.cert.pem()), seen, connections, task }
    }

    /// What came since the last look.
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// A `clientConfig` by URL.
    pub fn client_config(&self, path: &str) -> Value {
        json!({"url": format!("https://localhost:{}{path}", self.address.port()), "caBundle": self.ca})
    }
}

/// An answer in JSON.
pub fn json_answer(code: u16, body: &Value) -> Response<Body> {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// Lets any client certificate in, and those without one.
#[derive(Debug)]
struct AnyClient(Arc<rustls::crypto::CryptoProvider>);

impl rustls::server::danger::ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[rustls::DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &rustls_pki_types::CertificateDer<'_>,
        _: &[rustls_pki_types::CertificateDer<'_>],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::server::danger::ClientCertVerified, rustls::Error> {
        Ok(rustls::server::danger::ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls_pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls_pki_types::CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A way to the backend from the machine's own address.
pub async fn door(backend: SocketAddr) -> Option<SocketAddr> {
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    probe.connect("192.0.2.1:9").await.ok()?;
    let listener = TcpListener::bind((probe.local_addr().ok()?.ip(), 0)).await.ok()?;
    let address = listener.local_addr().ok()?;
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            let Ok(mut inside) = TcpStream::connect(backend).await else { return };
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut outside, &mut inside).await.ok() });
        }
    });
    Some(address)
}
