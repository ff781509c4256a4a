//! Who is asking: the first authenticator that knows the credential decides.
//!
//! In: what the connection and the headers show. Out: an identity, or the refusal (401).
//! Tokens are told apart in `identify.rs`; what the administrator set is read by `settings.rs`.

pub mod bootstrap;
pub mod identify;
pub mod legacy;
pub mod oidc;
mod proxy;
pub mod settings;
mod structured;
pub mod token;
mod token_file;
pub mod webhook;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kedge_api::status::Status;

use crate::core::Core;
use crate::identity::Identity;
use crate::tls::client::{Believed, CertificateFault};
use crate::tls::renewal::Validity;

/// What the connection said about its client, once for all its requests.
#[derive(Debug, Clone)]
pub enum Shown {
    /// No certificate.
    Nothing,
    /// A believed certificate.
    Certificate(Arc<Believed>),
    /// A certificate that is not believed.
    Stranger(CertificateFault),
    /// A front proxy's certificate with its time, and what it is beside that.
    Proxy(Validity, Box<Shown>),
}

/// The bearer token of a request, if it has one.
pub fn bearer(headers: &http::HeaderMap) -> Option<Cow<'_, str>> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|t| !t.is_empty());
        return token.map(Cow::Borrowed);
    }
    websocket_bearer(headers).map(Cow::Owned)
}

/// Browsers cannot set headers on a WebSocket; they offer the token as a protocol, as base64url.
fn websocket_bearer(headers: &http::HeaderMap) -> Option<String> {
    let offered = headers.get(http::header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let encoded = offered.split(',').find_map(|p| p.trim().strip_prefix(WEBSOCKET_TOKEN))?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok().filter(|t| !t.is_empty())
}

/// The prefix of the protocol that carries a token.
pub const WEBSOCKET_TOKEN: &str = "base64url.bearer.authorization.k8s.io.";

/// Tokens that name somebody without being signed: those of the token file and of the daemon.
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

/// Everything that a credential is held against, beside certificates.
#[derive(Debug)]
pub struct Authenticators {
    /// The key of service-account tokens.
    pub key: token::TokenKey,
    /// Static tokens.
    pub known: KnownTokens,
    /// Trusted issuers.
    pub oidc: oidc::Oidc,
    /// Where nobody in particular is let in.
    pub anonymous: settings::Anonymous,
    /// Tokens that were used after they should have been replaced, for the metrics.
    pub stale: AtomicU64,
}

impl Authenticators {
    /// Of these settings.
    pub fn new(key: token::TokenKey, settings: settings::Settings) -> Self {
        let known = KnownTokens::default();
        settings.tokens.into_iter().for_each(|(token, who)| known.add(token, who));
        Authenticators {
            key,
            known,
            oidc: oidc::Oidc::new(settings.issuers),
            anonymous: settings.anonymous,
            stale: AtomicU64::new(0),
        }
    }
}

/// Whether two secrets are the same. Their digests are compared, so how long that takes tells
/// nothing about the secrets.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    let digest = |bytes| ring::digest::digest(&ring::digest::SHA256, bytes);
    digest(a).as_ref() == digest(b).as_ref()
}

/// Who asks: the first authenticator that knows the credential decides, in Kubernetes' order.
pub async fn authenticate(
    core: &Core,
    shown: &Shown,
    headers: &http::HeaderMap,
    path: &str,
) -> Result<Identity, Status> {
    let mut shown = shown;
    if let Shown::Proxy(validity, own) = shown {
        if validity.covers(core.clock.now())
            && let Some(named) = proxy::named(headers)
        {
            return Ok(named);
        }
        shown = own;
    }
    if let Shown::Certificate(believed) = shown {
        if believed.validity.covers(core.clock.now()) {
            return Ok(believed.identity.clone());
        }
        tracing::info!(user = believed.identity.name, "a client certificate has run out");
        return Err(Status::unauthorized());
    }
    if let Some(token) = bearer(headers) {
        return match identify::identify(core, &token, &[token::ISSUER]).await {
            Ok(found) => Ok(found.identity),
            Err(why) => {
                tracing::info!(%why, "a token is not believed");
                Err(Status::unauthorized())
            }
        };
    }
    if let Shown::Stranger(fault) = shown {
        tracing::info!(%fault, "a client certificate is not believed");
        return Err(Status::unauthorized());
    }
    if core.authn.anonymous.allows(path) { Ok(Identity::anonymous()) } else { Err(Status::unauthorized()) }
}
