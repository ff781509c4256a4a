//! Documents of issuers.
//!
//! In: a URL of the scheme `https`. Out: JSON, or why it cannot be had. Bounded in time and size; how it is fetched is
//! `outbound`'s, which follows no redirect.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Uri, header};
use serde_json::Value;

use crate::outbound::{Endpoint, Fault, Outbound, Roots, Target, Trust};

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
    /// The call gave nothing.
    #[error("{0}")]
    Call(#[from] Fault),
    /// The document is not what it should be.
    #[error("the issuer's document cannot be used: {0}")]
    Document(&'static str),
}

/// Where documents come from: servers with certificates of these authorities.
#[derive(Debug)]
pub struct Source {
    roots: Roots,
}

impl Source {
    /// Trusts these authorities (PEM), or the system's. They are loaded at the first use.
    pub fn trusting(authority: Option<String>) -> Self {
        Source { roots: authority.map_or(Roots::System, |pem| Roots::Bundle(pem.into_bytes())) }
    }

    /// The document at a URL.
    pub async fn get(&self, outbound: &Outbound, url: &str) -> Result<Value, FetchFault> {
        let refuse = || FetchFault::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        let target = Target::of_url(url).map_err(|_| refuse())?;
        let trust = Trust { roots: self.roots.clone(), client: None };
        let tls = outbound.tls(&trust).map_err(FetchFault::Trust)?;
        let mut request = Request::new(Body::empty());
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let endpoint = Endpoint { target, tls, authorization: None };
        let query = uri.query().unwrap_or_default();
        let answer = outbound.collect(&endpoint, query, request, LARGEST, PATIENCE).await?;
        serde_json::from_slice(&answer.body).map_err(|_| FetchFault::Document("it is no JSON"))
    }
}
