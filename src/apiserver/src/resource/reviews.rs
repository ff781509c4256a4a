//! Kinds that are asked and not kept: who am I, may I, whose token is this; and bindings and
//! component statuses.
//!
//! In: a review. Out: the same with its status.

use std::sync::Arc;

use http::StatusCode;
use kedge_api::Object;
use kedge_api::field::{FieldError, Path};
use kedge_api::kinds::Kind;
use kedge_api::meta;
use kedge_api::status::Status;
use serde_json::{Value, json};

use super::{asked, made};
use crate::authn::identify;
use crate::authn::token::ISSUER;
use crate::authz::{Rule, Wanted};
use crate::chain::Call;
use crate::identity::Identity;
use crate::registry::Act;
use crate::request::Verb;
use crate::respond::Answer;

/// Answers a call for a kind that is not kept.
pub async fn answer(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    if kind.plural == "bindings" {
        return super::pods::bind_by_name(call, act).await;
    }
    if kind.plural == "componentstatuses" {
        return components(call, act);
    }
    if call.info.verb != Verb::Create || !act.name.is_empty() {
        return Err(Status::method_not_supported(&kind.group, &kind.plural, call.info.verb.as_str()));
    }
    let mut review = asked(call, act, &kind.gvk()).await?;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    let status = match &*kind.plural {
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.who)}),
        "selfsubjectaccessreviews" => access(call, kind, &call.who, &review)?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            if kind.namespaced {
                local(act, &mut review)?;
            }
            access(call, kind, &subject(kind, &review)?, &review)?
        }
        "selfsubjectrulesreviews" => rules(call, kind, &review)?,
        "tokenreviews" => token(call, &review).await,
        _ => return Err(Status::no_such_resource()),
    };
    review["status"] = status;
    if kind.plural == "selfsubjectreviews" {
        meta::set_creation_timestamp(&mut review, &call.core.timestamp());
    }
    made(call, StatusCode::CREATED, &review)
}

fn user_info(who: &Identity) -> Value {
    let mut info = json!({"username": who.name, "groups": who.groups});
    if !who.uid.is_empty() {
        info["uid"] = json!(who.uid);
    }
    if !who.extra.is_empty() {
        info["extra"] = json!(who.extra);
    }
    info
}

fn invalid(kind: &Kind, field: &str, why: &str) -> Status {
    let spec = Path::root("spec");
    Status::invalid(&kind.group, &kind.kind, "", &[FieldError::invalid(&spec.child(field), Value::Null, why)])
}

/// A review of one namespace may only ask about that namespace.
fn local(act: &Act<'_>, review: &mut Object) -> Result<(), Status> {
    let asked = meta::text_at(review, &["spec", "resourceAttributes", "namespace"]).to_owned();
    if asked != act.namespace {
        return Err(invalid(
            act.kind,
            "resourceAttributes",
            &format!("must match the namespace of the request {:?}", act.namespace),
        ));
    }
    meta::set_namespace(review, act.namespace);
    Ok(())
}

fn subject(kind: &Kind, review: &Object) -> Result<Identity, Status> {
    let name = meta::text_at(review, &["spec", "user"]);
    let groups: Vec<String> =
        meta::list_at(review, &["spec", "groups"]).iter().filter_map(|g| g.as_str().map(str::to_owned)).collect();
    if name.is_empty() && groups.is_empty() {
        return Err(invalid(kind, "user", "at least one of user or group must be specified"));
    }
    Ok(Identity { name: name.to_owned(), groups, ..Identity::default() })
}

fn access(call: &Call, kind: &Kind, who: &Identity, review: &Object) -> Result<Value, Status> {
    let resource = review.pointer("/spec/resourceAttributes");
    let path = review.pointer("/spec/nonResourceAttributes");
    let wanted = match (resource, path) {
        (Some(a), None) => Wanted::Resource {
            verb: meta::text(a, "verb"),
            group: meta::text(a, "group"),
            resource: meta::text(a, "resource"),
            subresource: meta::text(a, "subresource"),
            namespace: meta::text(a, "namespace"),
            name: meta::text(a, "name"),
        },
        (None, Some(a)) => Wanted::Path { verb: meta::text(a, "verb"), path: meta::text(a, "path") },
        (Some(_), Some(_)) => {
            return Err(invalid(
                kind,
                "nonResourceAttributes",
                "cannot be specified in combination with resourceAttributes",
            ));
        }
        (None, None) => {
            return Err(invalid(
                kind,
                "resourceAttributes",
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ));
        }
    };
    let decision = call.core.authorizer.decide(who, &wanted);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    Ok(status)
}

fn rules(call: &Call, kind: &Kind, review: &Object) -> Result<Value, Status> {
    let namespace = meta::text_at(review, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(invalid(kind, "namespace", "no namespace on request"));
    }
    let held = call.core.authorizer.rules_of(&call.who, namespace);
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) = held.iter().partition(|r| !r.paths.is_empty());
    Ok(json!({
        "resourceRules": resources.iter().map(|r| r.to_json()).collect::<Vec<_>>(),
        "nonResourceRules": paths.iter().map(|r| r.to_json()).collect::<Vec<_>>(),
        "incomplete": false,
    }))
}

async fn token(call: &Call, review: &Object) -> Value {
    let asked: Vec<&str> = meta::list_at(review, &["spec", "audiences"]).iter().filter_map(Value::as_str).collect();
    let audiences = if asked.is_empty() { vec![ISSUER] } else { asked };
    let text = meta::text_at(review, &["spec", "token"]);
    if text.is_empty() {
        return json!({"authenticated": false, "user": {}});
    }
    match identify::identify(&call.core, text, &audiences).await {
        Ok(found) => {
            json!({"authenticated": true, "user": user_info(&found.identity), "audiences": found.audiences})
        }
        Err(why) => json!({"authenticated": false, "user": {}, "error": why.to_string()}),
    }
}

/// What `kubectl get componentstatuses` shows: all parts live in this process.
fn components(call: &Call, act: &Act<'_>) -> Result<Answer, Status> {
    let of = |name: &str| {
        json!({
            "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
            "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
        })
    };
    const PARTS: [&str; 3] = ["controller-manager", "etcd-0", "scheduler"];
    match act.name {
        "" => made(
            call,
            StatusCode::OK,
            &json!({
                "kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {},
                "items": PARTS.map(of),
            }),
        ),
        name if PARTS.contains(&name) => made(call, StatusCode::OK, &of(name)),
        _ => Err(act.about().not_found()),
    }
}
