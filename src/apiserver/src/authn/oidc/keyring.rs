//! The keys of one issuer, fetched when a token needs them.
//!
//! In: where the issuer is. Out: its keys. Kept until a token fits none of them; then fetched again,
//! but not more often than [`REST`], so forged tokens cannot make us ask the issuer without end.
//! Never fetched at idle, so an issuer that is out of reach harms nobody who has a known token.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::fetch::{FetchFault, Source};
use super::jwk::{self, Key};
use crate::authn::settings::Issuer;
use crate::outbound::Outbound;

/// The least time between two fetches.
const REST: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct Keyring {
    issuer: String,
    discovery: String,
    source: Source,
    kept: RwLock<Option<Arc<Vec<Key>>>>,
    /// When it was tried last; also makes callers wait for one fetch instead of making many.
    tried: Mutex<Option<Instant>>,
}

impl Keyring {
    /// Of an issuer; nothing is fetched yet.
    pub fn new(issuer: &Issuer) -> Self {
        let discovery = match &issuer.discovery {
            Some(url) => url.clone(),
            None => format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/')),
        };
        Keyring {
            issuer: issuer.url.clone(),
            discovery,
            source: Source::trusting(issuer.authority.clone()),
            kept: RwLock::default(),
            tried: Mutex::default(),
        }
    }

    /// The keys that were fetched last.
    pub fn kept(&self) -> Option<Arc<Vec<Key>>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fresh keys, or those of a moment ago.
    pub async fn refresh(&self, outbound: &Outbound) -> Result<Arc<Vec<Key>>, FetchFault> {
        let mut tried = self.tried.lock().await;
        if tried.is_some_and(|at| at.elapsed() < REST) {
            return self.kept().ok_or(FetchFault::TooSoon);
        }
        *tried = Some(Instant::now());
        let document = self.source.get(outbound, &self.discovery).await?;
        if document["issuer"] != self.issuer.as_str() {
            return Err(FetchFault::Document("its issuer is another one"));
        }
        let url = document["jwks_uri"].as_str().ok_or(FetchFault::Document("it names no jwks_uri"))?;
        let set: Value = self.source.get(outbound, url).await?;
        let keys = Arc::new(jwk::read_set(&set));
        if keys.is_empty() {
            return Err(FetchFault::Document("there is no key in it that is known here"));
        }
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
        Ok(keys)
    }
}
