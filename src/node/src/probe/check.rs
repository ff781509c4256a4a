//! Asks a container how it is.
//!
//! In: a target and a time limit. Out: an outcome with what was said, at most 10 KiB of it. Used by probes and hooks.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::Outcome;
use super::target::{Http, Target, authority};
use crate::port::{Runtime, RuntimeFault};
use kedge_api::machine::ExecSpec;

/// What is kept of an answer: Kubernetes' bound.
const ANSWER: usize = 10 << 10;

/// Asks, and gives up after `limit`.
pub async fn ask(runtime: &Arc<dyn Runtime>, id: &str, target: &Target, limit: Duration) -> Outcome {
    match target {
        Target::Exec(command) => exec(runtime, id, command, limit).await,
        Target::Http(get) => match tokio::time::timeout(limit, http(get)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failure(format!(
                "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                get.url()
            )),
        },
        Target::Tcp(host, port) => {
            let address = authority(host, *port);
            match tokio::time::timeout(limit, TcpStream::connect(&address)).await {
                Ok(Ok(_)) => Outcome::Success,
                Ok(Err(error)) => Outcome::Failure(dial(&address, &error)),
                Err(_) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
            }
        }
        Target::Grpc(host, port, service) => match tokio::time::timeout(limit, grpc::check(host, *port, service)).await
        {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failure(format!(
                "timeout: failed to connect service \"{}\" within {}s: context deadline exceeded",
                authority(host, *port),
                limit.as_secs()
            )),
        },
        Target::Sleep(duration) => {
            let _ = tokio::time::timeout(limit, tokio::time::sleep(*duration)).await;
            Outcome::Success
        }
    }
}

fn dial(address: &str, error: &std::io::Error) -> String {
    let cause = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: connect: {cause}")
}

async fn exec(runtime: &Arc<dyn Runtime>, id: &str, command: &[String], limit: Duration) -> Outcome {
    let request = ExecSpec { args: command.to_vec(), ..ExecSpec::default() };
    let run = async {
        let mut session = runtime.exec(id, request).await?;
        let mut said = Vec::new();
        let outs = [session.stdout.take(), session.stderr.take()];
        for out in outs.into_iter().flatten() {
            // A reader that fails tells nothing more than one that ends.
            let _ = read_some(out, &mut said).await;
        }
        Ok::<_, RuntimeFault>((session.exit.await?, said))
    };
    match tokio::time::timeout(limit, run).await {
        Ok(Ok((0, _))) => Outcome::Success,
        Ok(Ok((_, said))) => Outcome::Failure(String::from_utf8_lossy(&said).into_owned()),
        Ok(Err(RuntimeFault::Start(message))) => Outcome::Failure(message),
        Ok(Err(fault)) => Outcome::Unknown(fault.to_string()),
        Err(_) => {
            Outcome::Failure(format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs()))
        }
    }
}

/// Reads to the end, and keeps the beginning.
async fn read_some(mut out: Box<dyn AsyncRead + Send + Unpin>, said: &mut Vec<u8>) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match out.read(&mut buffer).await? {
            0 => return Ok(()),
            count => {
                let room = ANSWER.saturating_sub(said.len()).min(count);
                said.extend_from_slice(&buffer[..room]);
            }
        }
    }
}

async fn http(get: &Http) -> Outcome {
    let address = authority(&get.host, get.port);
    let failed = |cause: String| Outcome::Failure(format!("Get \"{}\": {cause}", get.url()));
    let stream = match TcpStream::connect(&address).await {
        Ok(stream) => stream,
        Err(error) => return failed(dial(&address, &error)),
    };
    let answer = match get.tls {
        false => request(stream, get, &address).await,
        true => match tls::connect(stream, &get.host).await {
            Ok(stream) => request(stream, get, &address).await,
            Err(error) => Err(error.to_string()),
        },
    };
    match answer {
        Ok(status @ 200..400) => {
            tracing::trace!(status, "probe passed");
            Outcome::Success
        }
        Ok(status) => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        Err(cause) => failed(cause),
    }
}

async fn request<S>(stream: S, get: &Http, address: &str) -> Result<u16, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let say = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(say)?;
    let mut request = hyper::Request::get(&get.path);
    let named = |name: &str| get.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    for (name, value) in &get.headers {
        request = request.header(name, value);
    }
    let defaults = [("Host", address), ("User-Agent", "kube-probe/1.36"), ("Accept", "*/*"), ("Connection", "close")];
    for (name, value) in defaults {
        if !named(name) {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(say)?;
        let status = answer.status().as_u16();
        // The rest of a long answer is of no interest.
        let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
        Ok(status)
    };
    tokio::pin!(exchange);
    tokio::pin!(connection);
    tokio::select! {
        result = &mut exchange => result,
        ended = &mut connection => match ended {
            Ok(()) => exchange.await,
            Err(error) => Err(say(error)),
        },
    }
}

mod grpc;

mod tls {
    //! TLS to a container whose certificate nobody has signed for the pod's address: encrypted, not authenticated.

    use std::io;
    use std::sync::{Arc, LazyLock};

    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;
    use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

    pub async fn connect(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
        static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(config);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(CONFIG.clone()).connect(name, stream).await
    }

    fn config() -> Arc<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Anyone(provider.clone()));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's provider speaks the default versions");
        let config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Arc::new(config)
    }

    #[derive(Debug)]
    struct Anyone(Arc<CryptoProvider>);

    impl ServerCertVerifier for Anyone {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{FakeClock, FakeRuntime};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    async fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    async fn get(port: u16) -> Outcome {
        let runtime: Arc<dyn Runtime> = Arc::new(FakeRuntime::new(FakeClock::new()));
        let target =
            Target::Http(Http { tls: false, host: "127.0.0.1".into(), port, path: "/".into(), headers: Vec::new() });
        ask(&runtime, "id", &target, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn http_status_decides() {
        let ok = serve("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(get(ok).await, Outcome::Success);
        let bad = serve("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await;
        let said = "HTTP probe failed with statuscode: 500".to_owned();
        assert_eq!(get(bad).await, Outcome::Failure(said));
    }

    #[tokio::test]
    async fn a_closed_port_is_a_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let want = format!("Get \"http://127.0.0.1:{port}/\": dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(get(port).await, Outcome::Failure(want));
    }

    #[tokio::test(start_paused = true)]
    async fn commands_decide_by_their_code() {
        let runtime: Arc<dyn Runtime> = Arc::new(FakeRuntime::new(FakeClock::new()));
        let target = Target::Exec(vec!["check".into()]);
        let outcome = ask(&runtime, "none", &target, Duration::from_secs(1)).await;
        assert_eq!(outcome, Outcome::Unknown("none not found".into()));
        assert!(runtime.containers().await.unwrap().is_empty());
    }
}
