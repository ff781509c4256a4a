//! Secrets that the system fills or removes: tokens of service accounts, bootstrap tokens.
//!
//! In: the store's events of Secrets, accounts and `kube-public/cluster-info`. Out: filled Secrets,
//! deletions, signatures of `cluster-info`. [`wanted`] decides about a token's Secret and is pure;
//! bootstrap tokens are in `bootstrap_tokens.rs`. It lives here and not in a guest because the key
//! of tokens must not leave this crate. Other Secrets cost a look at their index.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kedge_api::fields::Index;
use kedge_api::selector::Lookup as _;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use kedge_store::{Change, Entry, Event};
use serde_json::{Value, json};

use super::{BREATH, DAY, bootstrap_tokens};
use crate::authn::legacy::{LegacyClaims, TYPE};
use crate::authn::{bootstrap, token::TokenKey};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::own::Own;
use crate::registry::update::Change as Written;
use crate::registry::{create, decode_kept, delete, keys, update};

const SECRETS: &str = "/core/secrets/";
const ACCOUNTS: &str = "/core/serviceaccounts/";
const NAME: &str = "kubernetes.io/service-account.name";
const UID: &str = "kubernetes.io/service-account.uid";

/// Follows them until the server stops.
pub async fn run(core: Arc<Core>) {
    loop {
        match core.store.readable(SECRETS).await {
            Ok(page) => {
                for entry in &page.entries {
                    look(&core, entry).await;
                }
                follow(&core, page.revision).await;
            }
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot read Secrets"),
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

/// Follows events after a revision, until a watch breaks or the server stops.
async fn follow(core: &Core, from: u64) {
    let watch = |prefix: &str| core.store.watch(prefix, from);
    let (Ok(mut secrets), Ok(mut accounts), Ok(mut info)) =
        (watch(SECRETS), watch(ACCOUNTS), watch(bootstrap_tokens::INFO))
    else {
        return;
    };
    let mut next = bootstrap_tokens::settle(core).await;
    loop {
        let wait = next.map(|t| t.duration_since(core.clock.now()).unwrap_or(Duration::ZERO).clamp(BREATH, DAY));
        let mut joiners = false;
        tokio::select! {
            events = secrets.next() => {
                let Ok(events) = events else { return };
                for event in events {
                    joiners |= is(&event.entry, bootstrap::TYPE) || event.previous.as_ref().is_some_and(|e| is(e, bootstrap::TYPE));
                    if event.change != Change::Deleted {
                        look(core, &event.entry).await;
                    }
                }
            }
            events = accounts.next() => {
                let Ok(events) = events else { return };
                for event in events.iter().filter(|e| e.change == Change::Deleted) {
                    orphaned(core, event).await;
                }
            }
            events = info.next() => {
                let Ok(_) = events else { return };
                joiners = true;
            }
            () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => joiners = true,
            () = core.stop.cancelled() => return,
        }
        if joiners {
            next = bootstrap_tokens::settle(core).await;
        }
    }
}

fn is(entry: &Entry, kind: &str) -> bool {
    Index::read(&entry.index).fields().value("type") == Some(kind)
}

/// What a token's Secret must become.
#[derive(Debug, PartialEq)]
enum Fill {
    Nothing,
    Delete,
    Replace(Object),
}

/// Fills one Secret, or removes it if its account is gone.
async fn look(core: &Core, entry: &Entry) {
    if !is(entry, TYPE) {
        return;
    }
    let Ok(secret) = decode_kept(entry) else { return };
    let (namespace, name) = (meta::namespace(&secret).to_owned(), meta::name(&secret).to_owned());
    let account = meta::annotation(&secret, NAME).unwrap_or_default().to_owned();
    let account = match core.reader().get("", "serviceaccounts", &namespace, &account).await {
        Ok(account) => account,
        Err(_) => return,
    };
    let outcome = match wanted(secret, account.as_ref(), core.authority.certificate_pem(), &core.authn.key) {
        Fill::Nothing => Ok(()),
        Fill::Delete => remove(core, &namespace, &name).await,
        Fill::Replace(object) => put(core, "secrets", object, true).await,
    };
    if let Err(status) = outcome {
        tracing::warn!(namespace, name, %status, "a Secret of a service account cannot be kept right");
    }
}

/// What to do about a token's Secret.
fn wanted(mut secret: Object, account: Option<&Object>, ca: &str, key: &TokenKey) -> Fill {
    if meta::deletion_timestamp(&secret).is_some() {
        return Fill::Nothing;
    }
    let said = meta::annotation(&secret, UID).unwrap_or_default().to_owned();
    let Some(account) = account.filter(|a| said.is_empty() || said == meta::uid(a)) else { return Fill::Delete };
    let (name, uid) = (meta::name(account).to_owned(), meta::uid(account).to_owned());
    let (namespace, own) = (meta::namespace(&secret).to_owned(), meta::name(&secret).to_owned());
    let before = secret.clone();
    let data = meta::child_mut(&mut secret, "data");
    let empty =
        |data: &serde_json::Map<String, Value>, k: &str| data.get(k).and_then(Value::as_str).is_none_or(str::is_empty);
    data.insert("ca.crt".into(), json!(STANDARD.encode(ca)));
    if empty(data, "namespace") {
        data.insert("namespace".into(), json!(STANDARD.encode(&namespace)));
    }
    if empty(data, "token") {
        let token = key.sign(&LegacyClaims::new(&namespace, &own, &name, &uid));
        data.insert("token".into(), json!(STANDARD.encode(token)));
    }
    meta::set_annotation(&mut secret, NAME, &name);
    meta::set_annotation(&mut secret, UID, &uid);
    if secret == before { Fill::Nothing } else { Fill::Replace(secret) }
}

/// Removes the tokens of an account that was deleted.
async fn orphaned(core: &Core, event: &Event) {
    let Some((namespace, _)) = keys::parse(&event.entry.key) else { return };
    let Ok(page) = core.store.readable(&keys::fixed("", "secrets", namespace, "")).await else { return };
    for entry in page.entries.iter() {
        look(core, entry).await;
    }
}

/// Deletes a Secret.
pub(super) async fn remove(core: &Core, namespace: &str, name: &str) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.resource("", "v1", "secrets").ok_or_else(Status::no_such_resource)?;
    let own = system(core);
    let act = own.act(kind, namespace, name);
    settled(delete::delete(&act, &delete::DeleteOptions::default()).await.map(drop))
}

/// Writes an object of the core group.
pub(super) async fn put(core: &Core, plural: &str, object: Object, exists: bool) -> Result<(), Status> {
    let kinds = core.kinds();
    let kind = kinds.resource("", "v1", plural).ok_or_else(Status::no_such_resource)?;
    let (namespace, name) = (meta::namespace(&object).to_owned(), meta::name(&object).to_owned());
    let own = system(core);
    let act = own.act(kind, &namespace, if exists { &name } else { "" });
    settled(if exists {
        update::update(&act, Written::Replace(object)).await.map(drop)
    } else {
        create::create(&act, object).await.map(drop)
    })
}

/// Whoever else wrote makes an event, and then it is looked at again.
fn settled(outcome: Result<(), Status>) -> Result<(), Status> {
    match outcome {
        Err(status) if matches!(status.reason, Reason::Conflict | Reason::NotFound | Reason::AlreadyExists) => Ok(()),
        outcome => outcome,
    }
}

fn system(core: &Core) -> Own<'_> {
    Own::new(core, Identity::user("system:kube-controller-manager", [""; 0]), "kube-controller-manager")
}

/// The earlier of two times, where there is one.
pub(super) fn earlier(a: Option<SystemTime>, b: Option<SystemTime>) -> Option<SystemTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "nothing", "delete", or the keys that are filled.
    #[track_caller]
    fn check(annotations: Value, data: Value, account: Option<Value>, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let key = TokenKey::open(dir.path()).unwrap();
        let secret = json!({"metadata": {"name": "t", "namespace": "ns", "annotations": annotations}, "type": TYPE, "data": data});
        let seen = match wanted(secret, account.as_ref(), "CA", &key) {
            Fill::Nothing => "nothing".to_owned(),
            Fill::Delete => "delete".to_owned(),
            Fill::Replace(object) => {
                let text =
                    |k: &str| String::from_utf8(STANDARD.decode(object["data"][k].as_str().unwrap()).unwrap()).unwrap();
                let sub = key.check_legacy(&text("token")).map(|c| c.sub).unwrap_or_default();
                format!("{} {} {} {sub}", text("ca.crt"), text("namespace"), object["metadata"]["annotations"][UID])
            }
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_token_is_filled_while_its_account_is_there() {
        let account = || Some(json!({"metadata": {"name": "bot", "namespace": "ns", "uid": "u1"}}));
        let filled = "CA ns \"u1\" system:serviceaccount:ns:bot";
        check(json!({NAME: "bot"}), json!(null), account(), filled);
        check(json!({NAME: "bot", UID: "u1"}), json!({}), account(), filled);
        check(json!({NAME: "bot", UID: "u0"}), json!({}), account(), "delete");
        check(json!({NAME: "bot"}), json!({}), None, "delete");
        let whole = json!({"token": "eA==", "namespace": "bnM=", "ca.crt": STANDARD.encode("CA")});
        check(json!({NAME: "bot", UID: "u1"}), whole, account(), "nothing");
    }
}
