//! Asking for a token of a service account.
//!
//! In: a TokenRequest. Out: the same with a token. What it is bound to must be there and be what it
//! says. Whom a token names is decided by `authn/identify.rs`.

use std::time::Duration;

use http::StatusCode;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Gvk;
use kedge_api::status::Status;
use kedge_api::{clock, meta};
use serde_json::json;

use super::{asked, made};
use crate::authn::token::{self, Bound, ISSUER, TokenOrder};
use crate::chain::Call;
use crate::registry::{Act, decode_kept};
use crate::respond::Answer;

/// What is given when nothing is asked for.
const USUAL: u64 = 3600;

/// What pods' tokens are asked for by this number of seconds, and nobody else: they hold for
/// [`EXTENDED`], so that programs that read their token once go on working, and warn after that time.
const PODS: u64 = 3607;
/// A year.
const EXTENDED: Duration = Duration::from_secs(365 * 24 * 3600);

/// `serviceaccounts/NAME/token`.
pub async fn request(call: &mut Call, act: &Act<'_>) -> Result<Answer, Status> {
    let gvk = Gvk::fixed("authentication.k8s.io", "v1", "TokenRequest");
    let mut request = asked(call, act, &gvk).await?;
    for (field, said, wanted) in
        [("name", meta::name(&request), act.name), ("namespace", meta::namespace(&request), act.namespace)]
    {
        if !said.is_empty() && said != wanted {
            let metadata = Path::root("metadata");
            let why = format!("must match the service account {field} if specified");
            let fault = FieldError::invalid(&metadata.child(field), said, why);
            return Err(Status::invalid(&gvk.group, &gvk.kind, act.name, &[fault]));
        }
    }
    let account = decode_kept(&*act.kept().await?)?;
    crate::admission::admit(act.core, &act.attributes(crate::admission::Operation::Create), &mut request).await?;
    let (asked_uid, uid) = (meta::uid(&request).to_owned(), meta::uid(&account).to_owned());
    if !asked_uid.is_empty() && asked_uid != uid {
        return Err(Status::conflict_because(
            &gvk.group,
            &gvk.kind,
            act.name,
            format!("the UID in the token request ({asked_uid}) does not match the UID of the service account ({uid})"),
        ));
    }
    let mut order = order(act, &request).await?;
    let seconds = order.lifetime.as_secs();
    let ours = order.audiences.iter().all(|a| a == ISSUER);
    if order.pod.is_some() && seconds == PODS && ours {
        order.warn_after = Some(order.lifetime);
        order.lifetime = EXTENDED;
    }
    let now = call.core.clock.now();
    let id = call.core.random.uid();
    let bound = Bound { name: act.name.to_owned(), uid: uid.clone() };
    let audiences = if order.audiences.is_empty() { vec![ISSUER.to_owned()] } else { order.audiences.clone() };
    let claims = token::claims(act.namespace, bound, order, id, now);
    let text = call.core.authn.key.sign(&claims);
    meta::set_name(&mut request, act.name);
    meta::set_namespace(&mut request, act.namespace);
    meta::set_uid(&mut request, &uid);
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
    if meta::at(request, &["spec", "boundObjectRef"]).is_none_or(|r| r.is_null()) {
        return Ok(order);
    }
    let (kind, name, uid) = (reference("kind"), reference("name"), reference("uid"));
    let version = reference("apiVersion");
    let reader = act.core.reader();
    let core_kind = !version.contains('/');
    let (plural, namespace) = match kind.as_str() {
        "Pod" if core_kind => ("pods", act.namespace),
        "Secret" if core_kind => ("secrets", act.namespace),
        "Node" if core_kind => ("nodes", ""),
        other => {
            let (group, version) = version.split_once('/').unwrap_or(("", &version));
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={other}"
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
