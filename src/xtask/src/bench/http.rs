//! A client for the API as thin as it gets: one TLS connection, one request after the other.
//!
//! In: `admin.kubeconfig`. Out: status codes and bytes. Never interprets an object.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::said;
use crate::command::{Done, Failure};

/// The administrator of one device. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    /// Where its API server listens.
    pub address: SocketAddr,
    /// With its certificate.
    pub tls: TlsConnector,
}

impl Admin {
    /// From the file that the daemon writes.
    pub fn read(kubeconfig: &Path) -> Done<Admin> {
        let text = std::fs::read_to_string(kubeconfig).map_err(|source| Failure::File {
            act: "read",
            path: kubeconfig.into(),
            source,
        })?;
        let value: Value = serde_yaml::from_str(&text).map_err(said("the kubeconfig is not YAML"))?;
        let (cluster, user) = (&value["clusters"][0]["cluster"], &value["users"][0]["user"]);
        let pem = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            base64::engine::general_purpose::STANDARD.decode(text).map_err(said("the kubeconfig holds no base64"))
        };
        let server = cluster["server"].as_str().unwrap_or_default();
        let address = server.trim_start_matches("https://").parse().map_err(said("the server is no address"))?;
        let mut roots = RootCertStore::empty();
        for ca in CertificateDer::pem_slice_iter(&pem(&cluster["certificate-authority-data"])?) {
            roots.add(ca.map_err(said("the authority"))?).map_err(said("the authority"))?;
        }
        let chain = CertificateDer::pem_slice_iter(&pem(&user["client-certificate-data"])?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(said("the certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&pem(&user["client-key-data"])?).map_err(said("the key"))?;
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(said("the certificate does not fit the key"))?;
        Ok(Admin { address, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// A new connection.
    pub async fn connect(&self) -> Done<Connection> {
        let failed = format!("cannot connect to {}", self.address);
        let stream = TcpStream::connect(self.address).await.map_err(said(&failed))?;
        stream.set_nodelay(true).map_err(said(&failed))?;
        let name = ServerName::from(self.address.ip());
        let stream = self.tls.connect(name, stream).await.map_err(said(&failed))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(said(&failed))?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, host: self.address.to_string() })
    }

    /// One request on a connection of its own.
    pub async fn once(&self, method: Method, path: &str, body: &Value) -> Done<(u16, Bytes)> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.connect().await?.send(method, path, body).await
    }

    /// An object that must be there.
    pub async fn get(&self, path: &str) -> Done<Value> {
        match self.once(Method::GET, path, &Value::Null).await? {
            (200, body) => serde_json::from_slice(&body).map_err(said("the answer is no JSON")),
            (code, body) => Err(refused("GET", path, code, &body)),
        }
    }

    /// Makes an object.
    pub async fn create(&self, path: &str, object: &Value) -> Done {
        match self.once(Method::POST, path, object).await? {
            (201, _) => Ok(()),
            (code, body) => Err(refused("POST", path, code, &body)),
        }
    }

    /// Removes an object and what it owns.
    pub async fn delete(&self, path: &str) -> Done {
        match self.once(Method::DELETE, path, &Value::Null).await? {
            (200 | 202, _) => Ok(()),
            (code, body) => Err(refused("DELETE", path, code, &body)),
        }
    }

    /// The body of a watch.
    pub async fn watch(&self, path: &str) -> Done<Lines> {
        let mut connection = self.connect().await?;
        let request = connection.request(Method::GET, path, String::new())?;
        let answer = connection.sender.send_request(request).await.map_err(said("the watch failed"))?;
        if answer.status() != 200 {
            return Err(Failure::Said(format!("the watch of {path} was answered with {}", answer.status())));
        }
        Ok(Lines { body: answer.into_body(), rest: Vec::new(), _open: connection })
    }

    /// The sum of all samples of a metric whose labels contain some text.
    pub async fn metric(&self, name: &str, labels: &str) -> Done<f64> {
        let (_, body) = self.once(Method::GET, "/metrics", &Value::Null).await?;
        let text = String::from_utf8_lossy(&body);
        let ours = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        Ok(ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, method: Method, path: &str, body: String) -> Done<(u16, Bytes)> {
        let request = self.request(method, path, body)?;
        self.sender.ready().await.map_err(said("the connection ended"))?;
        let answer = self.sender.send_request(request).await.map_err(said(format!("{path} was not answered")))?;
        let code = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(said(format!("the answer of {path} broke off")))?;
        Ok((code, body.to_bytes()))
    }

    fn request(&self, method: Method, path: &str, body: String) -> Done<Request<Full<Bytes>>> {
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)))
            .map_err(said("the request"))
    }
}

/// The lines of a watch.
pub struct Lines {
    body: Incoming,
    rest: Vec<u8>,
    _open: Connection,
}

impl Lines {
    /// How many lines ended in what has come; none at the end of the watch.
    pub async fn count(&mut self) -> Option<usize> {
        let frame = self.body.frame().await?.ok()?;
        Some(frame.data_ref().map_or(0, |data| data.iter().filter(|byte| **byte == b'\n').count()))
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let frame = self.body.frame().await?.ok()?;
            self.rest.extend_from_slice(frame.data_ref()?);
        }
    }
}

/// A code that was not hoped for.
pub fn refused(verb: &str, path: &str, code: u16, body: &[u8]) -> Failure {
    let text: String = String::from_utf8_lossy(body).chars().take(300).collect();
    Failure::Said(format!("{verb} {path} was answered with {code}: {text}"))
}
