//! Whom a bearer token names: a static one, a service account, a joining machine, a user of a
//! trusted issuer.
//!
//! In: a token and the audiences it may be for. Out: an identity, or why there is none. Accounts,
//! pods, nodes and Secrets that a token stands on must still be there: looked up by uid in the
//! store's index, without parsing where that will do.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::fields::Index;
use kedge_api::selector::Lookup as _;
use kedge_api::{Object, meta};
use kedge_store::Entry;

use super::bootstrap::{self, BootstrapFault};
use super::legacy::{self, LegacyClaims};
use super::oidc::OidcFault;
use super::token::{Bound, Claims, ISSUER, TokenFault};
use crate::clock::seconds;
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::{body, keys, rules};

/// What a token says of its holder.
const EXTRA: &str = "authentication.kubernetes.io/";

/// Somebody, and which of the asked audiences their token is for.
#[derive(Debug)]
pub struct Found {
    /// Whom it names.
    pub identity: Identity,
    /// For whom it is.
    pub audiences: Vec<String>,
}

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
pub enum Nobody {
    /// Nobody here knows it.
    #[error("invalid bearer token")]
    Unknown,
    /// The token itself is at fault.
    #[error("[invalid bearer token, {0}]")]
    Token(#[from] TokenFault),
    /// The account is gone.
    #[error("[invalid bearer token, serviceaccounts {0:?} not found]")]
    Account(String),
    /// What it is bound to is gone or another one.
    #[error("[invalid bearer token, service account token has been invalidated]")]
    Invalidated,
    /// A bootstrap token is at fault.
    #[error("[invalid bearer token, {0}]")]
    Bootstrap(#[from] BootstrapFault),
    /// A token of a trusted issuer is at fault.
    #[error("[invalid bearer token, {0}]")]
    Oidc(OidcFault),
    /// Whoever was asked about it names nobody, or could not be asked.
    #[error("[invalid bearer token, {0}]")]
    Elsewhere(String),
    /// The store could not be asked.
    #[error("the store could not be asked")]
    Store(#[from] kedge_store::ReadError),
}

/// Whom a token names, for one of `audiences`.
pub async fn identify(core: &Core, token: &str, audiences: &[&str]) -> Result<Found, Nobody> {
    let authn = &core.authn;
    if let Some(identity) = authn.known.find(token) {
        return for_this_server(identity, audiences);
    }
    match authn.key.check(token, audiences, core.clock.now()) {
        Ok(claims) => return account(core, claims, audiences).await,
        Err(TokenFault::NotOurs) => {}
        Err(fault) => return Err(fault.into()),
    }
    match authn.key.check_legacy(token) {
        Ok(claims) => {
            let identity = legacy_account(core, &claims, token).await?;
            return for_this_server(identity, audiences);
        }
        Err(TokenFault::NotOurs) => {}
        Err(fault) => return Err(fault.into()),
    }
    if let Some((id, secret)) = bootstrap::split(token) {
        let name = format!("{}{id}", bootstrap::PREFIX);
        let object = object(core, "secrets", bootstrap::NAMESPACE, &name).await?.ok_or(Nobody::Unknown)?;
        return for_this_server(bootstrap::holder(&object, id, secret, core.clock.now())?, audiences);
    }
    match authn.oidc.identify(&core.outbound, token, core.clock.now()).await {
        Ok((identity, _)) => for_this_server(identity, audiences),
        Err(OidcFault::NotOurs) => elsewhere(core, token, audiences).await,
        Err(fault) => Err(Nobody::Oidc(fault)),
    }
}

/// Whom somebody else says a token names, if there is somebody to be asked.
async fn elsewhere(core: &Core, token: &str, audiences: &[&str]) -> Result<Found, Nobody> {
    let webhook = core.token_webhook.as_ref().ok_or(Nobody::Unknown)?;
    match webhook.identify(&core.outbound, token, audiences).await {
        Ok(Some(identity)) => Ok(Found { identity, audiences: audiences.iter().map(|a| (*a).to_owned()).collect() }),
        Ok(None) => Err(Nobody::Unknown),
        Err(why) => Err(Nobody::Elsewhere(why)),
    }
}

/// Tokens without audiences of their own are for this server.
fn for_this_server(identity: Identity, audiences: &[&str]) -> Result<Found, Nobody> {
    if audiences.contains(&ISSUER) {
        return Ok(Found { identity, audiences: vec![ISSUER.to_owned()] });
    }
    Err(TokenFault::Audience.into())
}

async fn account(core: &Core, claims: Claims, audiences: &[&str]) -> Result<Found, Nobody> {
    let said = &claims.kubernetes;
    the_account(core, &said.namespace, &said.serviceaccount).await?;
    if let Some(pod) = &said.pod {
        bound(core, "pods", &said.namespace, pod).await?;
    }
    if let Some(secret) = &said.secret {
        bound(core, "secrets", &said.namespace, secret).await?;
    }
    // The node of a pod's token is told and not checked: the pod is.
    if let (Some(node), None) = (&said.node, &said.pod) {
        bound(core, "nodes", "", node).await?;
    }
    if said.warnafter.is_some_and(|after| after < seconds(core.clock.now())) {
        core.authn.stale.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(subject = claims.sub, "a token is used after it should have been replaced");
    }
    let mut identity = Identity::service_account(&said.namespace, &said.serviceaccount.name);
    identity.uid = said.serviceaccount.uid.clone();
    let mut tell = |key: &str, value: String| {
        identity.extra.insert(format!("{EXTRA}{key}"), vec![value]);
    };
    tell("credential-id", format!("JTI={}", claims.jti));
    if let Some(pod) = &said.pod {
        tell("pod-name", pod.name.clone());
        tell("pod-uid", pod.uid.clone());
    }
    if let Some(node) = &said.node {
        tell("node-name", node.name.clone());
        if !node.uid.is_empty() {
            tell("node-uid", node.uid.clone());
        }
    }
    let both = audiences.iter().filter(|a| claims.aud.iter().any(|c| c == **a)).map(|a| (*a).to_owned());
    Ok(Found { identity, audiences: both.collect() })
}

/// The account of a token without an end: its Secret must still hold that very token.
async fn legacy_account(core: &Core, claims: &LegacyClaims, token: &str) -> Result<Identity, Nobody> {
    let account = Bound { name: claims.account.clone(), uid: claims.uid.clone() };
    the_account(core, &claims.namespace, &account).await?;
    let secret = object(core, "secrets", &claims.namespace, &claims.secret).await?.ok_or(Nobody::Invalidated)?;
    let kept = STANDARD.decode(meta::text_at(&secret, &["data", "token"])).unwrap_or_default();
    let same = super::same_secret(&kept, token.as_bytes());
    if !same || meta::text(&secret, "type") != legacy::TYPE || meta::deletion_timestamp(&secret).is_some() {
        return Err(Nobody::Invalidated);
    }
    let mut identity = Identity::service_account(&claims.namespace, &claims.account);
    identity.uid.clone_from(&claims.uid);
    Ok(identity)
}

async fn the_account(core: &Core, namespace: &str, account: &Bound) -> Result<(), Nobody> {
    let entry = core.store.get(&keys::fixed("", "serviceaccounts", namespace, &account.name)).await?;
    match entry.filter(|e| has_uid(e, &account.uid)) {
        Some(_) => Ok(()),
        None => Err(Nobody::Account(account.name.clone())),
    }
}

async fn bound(core: &Core, plural: &str, namespace: &str, to: &Bound) -> Result<(), Nobody> {
    let entry = core.store.get(&keys::fixed("", plural, namespace, &to.name)).await?;
    if entry.is_some_and(|e| has_uid(&e, &to.uid)) { Ok(()) } else { Err(Nobody::Invalidated) }
}

fn has_uid(entry: &Entry, uid: &str) -> bool {
    Index::read(&entry.index).fields().value(rules::UID) == Some(uid)
}

async fn object(core: &Core, plural: &str, namespace: &str, name: &str) -> Result<Option<Object>, Nobody> {
    let entry = core.store.get(&keys::fixed("", plural, namespace, name)).await?;
    Ok(entry.and_then(|e| body::decode(&e.bytes).ok()))
}
