//! Documents of issuers, by HTTPS.
//!
//! In: a URL. Out: JSON, or why it cannot be had. Bounded in time and size; follows no redirect and
//! speaks no plain HTTP.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest wait for a document.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest document; real ones are 2 to 10 KB.
const LARGEST: usize = 1 << 20;

/// Why a document cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchFault {
    /// It was tried a moment ago.
    #[error("the last try was a moment ago")]
    TooSoon,
    /// The URL is none, or not `https:`.
    #[error("{0:?} is no https URL")]
    Url(String),
    /// Trust cannot be set up.
    #[error("no certificate authority can be used: {0}")]
    Trust(String),
    /// It took too long.
    #[error("no answer from {0} within {PATIENCE:?}")]
    Slow(String),
    /// Connection or protocol.
    #[error("{url}: {why}")]
    Broken {
        /// What was asked for.
        url: String,
        /// What happened.
        why: String,
    },
    /// Another answer than 200.
    #[error("{url} answers {code}")]
    Code {
        /// What was asked for.
        url: String,
        /// The answer's code.
        code: u16,
    },
    /// The document is not what it should be.
    #[error("the issuer's document cannot be used: {0}")]
    Document(&'static str),
}

/// Where documents come from: servers with certificates of these authorities.
pub struct Source {
    /// PEM; `None` for the system's.
    authority: Option<String>,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl Source {
    /// Trusts these authorities (PEM), or the system's. They are loaded at the first use.
    pub fn trusting(authority: Option<String>) -> Self {
        Source { authority, tls: OnceLock::new() }
    }

    /// The document at a URL.
    pub async fn get(&self, url: &str) -> Result<Value, FetchFault> {
        match tokio::time::timeout(PATIENCE, self.ask(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchFault::Slow(url.to_owned())),
        }
    }

    async fn ask(&self, url: &str) -> Result<Value, FetchFault> {
        let broken = |why: &dyn std::fmt::Display| FetchFault::Broken { url: url.to_owned(), why: why.to_string() };
        let parsed: Uri = url.parse().map_err(|_| FetchFault::Url(url.to_owned()))?;
        let (Some("https"), Some(host)) = (parsed.scheme_str(), parsed.host()) else {
            return Err(FetchFault::Url(url.to_owned()));
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchFault::Url(url.to_owned()))?;
        let stream = TcpStream::connect((bare, parsed.port_u16().unwrap_or(443))).await.map_err(|e| broken(&e))?;
        let stream = TlsConnector::from(self.tls()?).connect(name, stream).await.map_err(|e| broken(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        let path = parsed.path_and_query().map_or("/", |p| p.as_str());
        let authority = parsed.authority().map_or(host, |a| a.as_str());
        let request = Request::get(path)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|e| broken(&e))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|e| broken(&e))?;
            let code = answer.status().as_u16();
            if code != 200 {
                return Err(FetchFault::Code { url: url.to_owned(), code });
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|e| broken(&e))?;
            serde_json::from_slice(&body.to_bytes()).map_err(|_| FetchFault::Document("it is no JSON"))
        };
        // The connection is driven here, so that it ends with this call.
        let mut connection = std::pin::pin!(connection);
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            ended = &mut connection => match ended {
                Ok(()) => exchange.await,
                Err(error) => Err(broken(&error)),
            },
        }
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, FetchFault> {
        if let Some(kept) = self.tls.get() {
            return Ok(kept.clone());
        }
        let mut roots = rustls::RootCertStore::empty();
        match &self.authority {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|e| FetchFault::Trust(e.to_string()))?;
                    roots.add(certificate).map_err(|e| FetchFault::Trust(e.to_string()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(FetchFault::Trust("there is none".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| FetchFault::Trust(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(self.tls.get_or_init(|| Arc::new(config)).clone())
    }
}
