//! Who is asking: the first authenticator that knows the credential decides.
//!
//! In: what the connection and the headers show. Out: an identity, or the refusal (401).
//! Service-account tokens live in `token.rs`, static tokens in a map given at start.

pub mod token;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::identity::Identity;
use crate::tls::client::{Believed, CertificateFault};

/// What the connection said about its client, once for all its requests.
#[derive(Debug, Clone)]
pub enum Shown {
    /// No certificate.
    Nothing,
    /// A believed certificate.
    Certificate(Arc<Believed>),
    /// A certificate that is not believed.
    Stranger(CertificateFault),
}

/// The bearer token of a request, if it has one.
pub fn bearer(headers: &http::HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty());
    }
    websocket_bearer(headers)
}

/// Browsers cannot set headers on a WebSocket; they offer the token as a protocol, as base64url.
fn websocket_bearer(headers: &http::HeaderMap) -> Option<&str> {
    let offered = headers.get(http::header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered.split(',').find_map(|p| p.trim().strip_prefix(WEBSOCKET_TOKEN))
}

/// The prefix of the protocol that carries a token.
pub const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Tokens that name somebody without being signed: static ones, later bootstrap ones.
#[derive(Debug, Default)]
pub struct KnownTokens(RwLock<HashMap<String, Identity>>);

impl KnownTokens {
    /// Adds a token.
    pub fn add(&self, token: String, identity: Identity) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(token, identity);
    }

    /// Whom the token names.
    pub fn find(&self, token: &str) -> Option<Identity> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }
}
