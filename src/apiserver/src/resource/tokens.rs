//! Tokens of service accounts: whom one names, and asking for one.
//!
//! In: a token, or a TokenRequest. Out: an identity, or a token. The account, and what a token is
//! bound to, must still be there: looked up by uid in the store's index, without parsing.

use std::time::Duration;

use http::StatusCode;
use kedge_api::fields::Index;
use kedge_api::kinds::Gvk;
use kedge_api::selector::Lookup as _;
use kedge_api::status::Status;
use kedge_api::{clock, meta};
use serde_json::json;

use super::{asked, made};
use crate::authn::token::{self, Bound, Claims, ISSUER, TokenFault, TokenOrder};
use crate::chain::Call;
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::{Act, decode_kept, keys, rules};
use crate::respond::Answer;

/// What is given when nothing is asked for.
const USUAL: u64 = 3600;

/// Why a token names nobody.
#[derive(Debug, thiserror::Error)]
pub enum Nobody {
    /// The token itself is at fault.
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// What it is bound to is gone.
    #[error("{0} of the token no longer exists")]
    Gone(&'static str),
    /// The store could not be asked.
    #[error("the store could not be asked")]
    Store(#[from] kedge_store::ReadError),
}

/// Whom a token names, for one of `audiences`, and which of them it is for.
pub async fn identify(core: &Core, text: &str, audiences: &[&str]) -> Result<(Identity, Claims), Nobody> {
    let claims = core.token_key.check(text, audiences, core.clock.now())?;
    let said = &claims.kubernetes;
    there(core, "serviceaccounts", &said.namespace, &said.serviceaccount, "the service account").await?;
    if let Some(pod) = &said.pod {
        there(core, "pods", &said.namespace, pod, "the pod").await?;
    }
    if let Some(secret) = &said.secret {
        there(core, "secrets", &said.namespace, secret, "the secret").await?;
    }
    let mut identity = Identity::service_account(&said.namespace, &said.serviceaccount.name);
    identity.uid = said.serviceaccount.uid.clone();
    let mut tell = |key: &str, value: String| {
        identity.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
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
    Ok((identity, claims))
}

async fn there(core: &Core, plural: &str, namespace: &str, bound: &Bound, what: &'static str) -> Result<(), Nobody> {
    let entry = core.store.get(&keys::fixed("", plural, namespace, &bound.name)).await?;
    let same = entry.is_some_and(|e| Index::read(&e.index).fields().value(rules::UID) == Some(bound.uid.as_str()));
    if same { Ok(()) } else { Err(Nobody::Gone(what)) }
}

/// `serviceaccounts/NAME/token`.
pub async fn request(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let gvk = Gvk::fixed("authentication.k8s.io", "v1", "TokenRequest");
    let mut request = asked(call, act, &gvk).await?;
    if !meta::name(&request).is_empty() && meta::name(&request) != act.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            meta::name(&request),
            act.name
        )));
    }
    let account = decode_kept(&*act.kept().await?)?;
    crate::admission::admit(act.core, &act.attributes(crate::admission::Operation::Create), &mut request).await?;
    let order = order(act, &request).await?;
    let seconds = order.lifetime.as_secs();
    let now = call.core.clock.now();
    let id = call.core.random.uid();
    let bound = Bound { name: act.name.to_owned(), uid: meta::uid(&account).to_owned() };
    let audiences = if order.audiences.is_empty() { vec![ISSUER.to_owned()] } else { order.audiences.clone() };
    let claims = token::claims(act.namespace, bound, order, id, now);
    let text = call.core.token_key.sign(&claims);
    meta::set_name(&mut request, act.name);
    meta::set_namespace(&mut request, act.namespace);
    meta::set_creation_timestamp(&mut request, &call.core.timestamp());
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(seconds);
    request["status"] = json!({
        "token": text,
        "expirationTimestamp": clock::rfc3339(now + Duration::from_secs(seconds)),
    });
    made(call, StatusCode::CREATED, &request)
}

async fn order(act: &Act<'_>, request: &kedge_api::Object) -> Result<TokenOrder, Status> {
    let seconds = meta::int_at(request, &["spec", "expirationSeconds"]).map_or(USUAL, i64::unsigned_abs);
    let audiences = meta::list_at(request, &["spec", "audiences"]).iter().filter_map(|a| a.as_str().map(str::to_owned));
    let mut order =
        TokenOrder { audiences: audiences.collect(), lifetime: Duration::from_secs(seconds), ..TokenOrder::default() };
    let reference = |field: &str| meta::text_at(request, &["spec", "boundObjectRef", field]).to_owned();
    let (kind, name, uid) = (reference("kind"), reference("name"), reference("uid"));
    if kind.is_empty() {
        return Ok(order);
    }
    let reader = act.core.reader();
    let (plural, namespace) = match kind.as_str() {
        "Pod" => ("pods", act.namespace),
        "Secret" => ("secrets", act.namespace),
        "Node" => ("nodes", ""),
        other => {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount {:?} to object of kind {other:?}",
                act.name
            )));
        }
    };
    let object = reader.get("", plural, namespace, &name).await?.ok_or_else(|| Status::not_found("", plural, &name))?;
    let kept = meta::uid(&object).to_owned();
    if !uid.is_empty() && uid != kept {
        return Err(Status::conflict_because(
            "",
            plural,
            &name,
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    let bound = Some(Bound { name, uid: kept });
    match kind.as_str() {
        "Pod" => {
            if meta::text_at(&object, &["spec", "serviceAccountName"]) != act.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    act.name
                )));
            }
            let node = meta::text_at(&object, &["spec", "nodeName"]);
            if !node.is_empty() {
                let uid =
                    reader.get("", "nodes", "", node).await?.map(|n| meta::uid(&n).to_owned()).unwrap_or_default();
                order.node = Some(Bound { name: node.to_owned(), uid });
            }
            order.pod = bound;
        }
        "Secret" => order.secret = bound,
        _ => order.node = bound,
    }
    Ok(order)
}
