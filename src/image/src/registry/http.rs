//! HTTP requests with limits.
//!
//! In: a request. Out: an answer's head within its time, a document within its size.
//! Never follows a redirect and never repeats a request by itself.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::RegistryError;
use super::config::{Patience, Registries};

/// A client for as long as a pull lasts: certificates and connections take memory that an idle device can use.
pub struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Patience,
}

impl Http {
    /// Reads the trusted certificates; blocks on the disk for some milliseconds.
    pub fn new(registries: &Registries) -> Result<Self, RegistryError> {
        let mut roots = RootCertStore::empty();
        // Machines without any still reach registries of the configuration.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in &registries.authorities {
            let fault = |e: &dyn std::fmt::Display| {
                RegistryError::Setting(format!("the certificate authority {}: {e}", path.display()))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| fault(&e))? {
                roots.add(certificate.map_err(|e| fault(&e))?).map_err(|e| fault(&e))?;
            }
        }
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| RegistryError::Setting(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(registries.patience.connect));
        connector.enforce_http(false);
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), patience: registries.patience })
    }

    /// Sends a request and waits for the head of the answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, RegistryError> {
        let host = request.uri().authority().map_or_else(String::new, ToString::to_string);
        match within(self.patience.answer, &host, self.client.request(request)).await? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(RegistryError::Transport { host, reason: causes(&error) }),
        }
    }

    /// Reads a whole answer of at most `limit` bytes.
    pub async fn document(&self, host: &str, mut body: Incoming, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let read = async {
            let mut bytes = Vec::new();
            while let Some(piece) = self.next(host, &mut body).await? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Err(RegistryError::Garbage {
                        host: host.to_owned(),
                        reason: format!("a document of more than {limit} bytes"),
                    });
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        within(self.patience.document, host, read).await?
    }

    /// The next bytes of an answer; `None` at its end.
    pub async fn next(&self, host: &str, body: &mut Incoming) -> Result<Option<Bytes>, RegistryError> {
        loop {
            match within(self.patience.stall, host, body.frame()).await? {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(RegistryError::Transport { host: host.to_owned(), reason: causes(&error) });
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}

async fn within<T>(after: Duration, host: &str, work: impl Future<Output = T>) -> Result<T, RegistryError> {
    tokio::time::timeout(after, work).await.map_err(|_| RegistryError::Timeout { host: host.to_owned(), after })
}

/// An error with its causes: hyper's own words alone say little.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    text
}
