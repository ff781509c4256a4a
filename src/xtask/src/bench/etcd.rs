//! Debian's etcd as the peer of durable writes.
//!
//! In: keys and values. Out: answers to `Put` over gRPC, one HTTP/2 connection for each client: in the open, the
//! shortest way into it, or by TLS with client certificates, as every control plane asks it. Without rights and
//! validation either way, which our side has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::device::free_port;
use super::keys::Keys;
use super::load::{Outcome, Until};
use super::said;
use crate::command::{self, Done, Failure, on_path};

/// Longest wait for its first answer.
const READY: Duration = Duration::from_secs(20);

/// A running etcd.
pub struct Etcd {
    child: Child,
    folder: PathBuf,
    address: SocketAddr,
    tls: Option<TlsConnector>,
}

impl Etcd {
    /// Starts one beside our own data; none if it is not installed.
    pub async fn start(name: &str, sealed: bool) -> Done<Option<Etcd>> {
        if !on_path("etcd") {
            return Ok(None);
        }
        let folder = command::target().join("bench").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(|source| Failure::File {
            act: "make",
            path: folder.clone(),
            source,
        })?;
        let keys = sealed.then(|| Keys::make(&folder.join("keys"))).transpose()?;
        let (client, peer) = (format!("127.0.0.1:{}", free_port()?), format!("http://127.0.0.1:{}", free_port()?));
        let address = client.parse().map_err(said("the address of etcd"))?;
        let client = format!("{}://{client}", if sealed { "https" } else { "http" });
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(folder.join("data"));
        if let Some(keys) = &keys {
            etcd.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&keys.authority);
            etcd.arg("--cert-file").arg(&keys.certificate).arg("--key-file").arg(&keys.key);
        }
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &format!("default={peer}")]);
        let child = etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|source| Failure::Start { program: "etcd".into(), source })?;
        let etcd = Etcd { child, folder, address, tls: keys.map(|keys| keys.client) };
        let begun = Instant::now();
        while begun.elapsed() < READY {
            if let Ok(mut connection) = etcd.connect().await
                && put(&mut connection, address, "ready", "").await.is_ok()
            {
                return Ok(Some(etcd));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::Said(format!("etcd was not ready within {READY:?}")))
    }

    async fn connect(&self) -> Done<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await.map_err(said("cannot connect to etcd"))?;
        stream.set_nodelay(true).map_err(said("cannot connect to etcd"))?;
        match &self.tls {
            None => open(stream).await,
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                open(tls.connect(name, stream).await.map_err(said("cannot connect to etcd"))?).await
            }
        }
    }

    /// The same load as on the API server.
    pub async fn puts<F>(&self, clients: usize, until: Until, object: F) -> Done<Outcome>
    where
        F: Fn(usize) -> (String, String) + Send + Sync + Clone + 'static,
    {
        let mut connections = Vec::new();
        for _ in 0..clients {
            connections.push(self.connect().await?);
        }
        let (next, begun, address) = (Arc::new(AtomicUsize::new(0)), Instant::now(), self.address);
        let mut tasks: JoinSet<Done<Vec<f64>>> = JoinSet::new();
        for mut connection in connections {
            let (next, object) = (next.clone(), object.clone());
            tasks.spawn(async move {
                let mut each = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if !until.goes_on(at, begun) {
                        return Ok(each);
                    }
                    let (key, value) = object(at);
                    let sent = Instant::now();
                    put(&mut connection, address, &key, &value).await?;
                    each.push(sent.elapsed().as_secs_f64() * 1e3);
                }
            });
        }
        let mut outcome = Outcome::default();
        while let Some(done) = tasks.join_next().await {
            outcome.each.extend(done.map_err(said("a client"))??);
        }
        outcome.took = begun.elapsed();
        Ok(outcome)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn open(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Done<SendRequest<Full<Bytes>>> {
    let (sender, connection) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(said("cannot connect to etcd"))?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}

async fn put(connection: &mut SendRequest<Full<Bytes>>, address: SocketAddr, key: &str, value: &str) -> Done {
    let request = Request::post(format!("http://{address}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(put_request(key.as_bytes(), value.as_bytes())))
        .map_err(said("the request"))?;
    connection.ready().await.map_err(said("the connection to etcd ended"))?;
    let answer = connection.send_request(request).await.map_err(said("etcd did not answer"))?;
    let early = answer.headers().get("grpc-status").cloned();
    let body = answer.into_body().collect().await.map_err(said("the answer of etcd broke off"))?;
    let status = early.or_else(|| body.trailers().and_then(|all| all.get("grpc-status").cloned()));
    match status {
        Some(status) if status == "0" => Ok(()),
        other => Err(Failure::Said(format!("etcd refused a put: {other:?}"))),
    }
}

/// A `PutRequest` in its frame: field 1 is the key, field 2 the value.
fn put_request(key: &[u8], value: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    for (tag, bytes) in [(0x0a, key), (0x12, value)] {
        message.put_u8(tag);
        let mut left = bytes.len();
        while left >= 0x80 {
            message.put_u8((left & 0x7f) as u8 | 0x80);
            left >>= 7;
        }
        message.put_u8(left as u8);
        message.put_slice(bytes);
    }
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put(message);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_is_framed_as_grpc_wants_it() {
        assert_eq!(&put_request(b"k", b"v")[..], [0, 0, 0, 0, 6, 0x0a, 1, b'k', 0x12, 1, b'v']);
        let long = put_request(b"k", &[b'x'; 300]);
        assert_eq!(&long[8..11], [0x12, 0xac, 0x02]);
    }
}
