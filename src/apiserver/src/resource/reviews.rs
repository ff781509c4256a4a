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
use crate::authz::{Detail, Rule, Wanted, node};
use crate::chain::Call;
use crate::identity::Identity;
use crate::registry::{Act, render};
use crate::request::Verb;
use crate::respond::{self, Answer};

/// Answers a call for a kind that is not kept.
pub async fn answer(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    if kind.plural == "bindings" {
        return super::pods::bind_by_name(call, act).await;
    }
    if kind.plural == "componentstatuses" {
        return components(call, act, kind);
    }
    if call.info.verb != Verb::Create || !act.name.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let mut review = asked(call, act, &kind.gvk()).await?;
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    let status = match &*kind.plural {
        "selfsubjectreviews" => json!({"userInfo": user_info(&call.who)}),
        "selfsubjectaccessreviews" => access(call, kind, &call.who, &review).await?,
        "subjectaccessreviews" | "localsubjectaccessreviews" => {
            if kind.namespaced {
                local(act, &mut review)?;
            }
            access(call, kind, &subject(kind, &review)?, &review).await?
        }
        "selfsubjectrulesreviews" => rules(call, kind, &review)?,
        "tokenreviews" if meta::text_at(&review, &["spec", "token"]).is_empty() => {
            return Err(Status::bad_request("token is required for TokenReview in authentication"));
        }
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
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let extra = review["spec"]["extra"].as_object().into_iter().flatten();
    Ok(Identity {
        name: name.to_owned(),
        groups,
        uid: meta::text_at(review, &["spec", "uid"]).to_owned(),
        extra: extra.map(|(key, values)| (key.to_lowercase(), texts(values))).collect(),
    })
}

async fn access(call: &Call, kind: &Kind, who: &Identity, review: &Object) -> Result<Value, Status> {
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
    let Selected { fields, labels } = resource.map(|a| selected(kind, a)).transpose()?.unwrap_or_default();
    let version = resource.map_or("", |a| meta::text(a, "version"));
    let decision = call.core.decide(who, &wanted, Detail { version, fields: &fields, labels: &labels }).await;
    let mut status = json!({"allowed": decision.allowed});
    if decision.denied {
        status["denied"] = json!(true);
    }
    if !decision.reason.is_empty() {
        status["reason"] = json!(decision.reason);
    }
    Ok(status)
}

/// The selectors that a review asks about, as text.
#[derive(Default)]
struct Selected {
    fields: String,
    labels: String,
}

/// Reads and checks the selectors of a review.
fn selected(kind: &Kind, attributes: &Value) -> Result<Selected, Status> {
    let (spec, mut selected) = (Path::root("spec.resourceAttributes"), Selected::default());
    for name in ["fieldSelector", "labelSelector"] {
        let Some(selector) = attributes.get(name).filter(|s| s.is_object()) else { continue };
        let at = spec.child(name);
        let (raw, list) = (meta::text(selector, "rawSelector"), meta::list_at(selector, &["requirements"]));
        let mut faults = Vec::new();
        if !raw.is_empty() && !list.is_empty() {
            let why = "may not specified at the same time as requirements";
            faults.push(FieldError::invalid(&at.child("rawSelector"), raw, why));
        }
        if raw.is_empty() && list.is_empty() {
            let why = format!("when {at} is specified, requirements or rawSelector is required");
            faults.push(FieldError::required(&at.child("requirements"), why));
        }
        let requirements = at.child("requirements");
        let mut terms = Vec::new();
        for (place, requirement) in list.iter().enumerate() {
            let at = requirements.index(place);
            let (key, operator) = (meta::text(requirement, "key"), meta::text(requirement, "operator"));
            let values = meta::list_at(requirement, &["values"]);
            if key.is_empty() {
                faults.push(FieldError::required(&at.child("key"), "must be specified"));
            }
            match operator {
                "In" | "NotIn" if values.is_empty() => {
                    let why = "must be specified when `operator` is 'In' or 'NotIn'";
                    faults.push(FieldError::required(&at.child("values"), why));
                }
                "Exists" | "DoesNotExist" if !values.is_empty() => {
                    let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    faults.push(FieldError::forbidden(&at.child("values"), why));
                }
                _ => {}
            }
            terms.extend(term(name, key, operator, values));
        }
        if !faults.is_empty() {
            return Err(Status::invalid(&kind.group, &kind.kind, "", &faults));
        }
        let text = if raw.is_empty() { terms.join(",") } else { raw.to_owned() };
        if name == "fieldSelector" {
            selected.fields = text;
        } else {
            selected.labels = text;
        }
    }
    Ok(selected)
}

/// A requirement in a selector's own words. Field selectors know one value for each field; what they have no word for
/// is left out, which only widens what is asked about.
fn term(selector: &str, key: &str, operator: &str, values: &[Value]) -> Option<String> {
    let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    match (selector, operator, &words[..]) {
        ("fieldSelector", "In", [one]) => Some(format!("{key}={}", escape(one))),
        ("fieldSelector", "NotIn", [one]) => Some(format!("{key}!={}", escape(one))),
        ("labelSelector", "In", words) => Some(format!("{key} in ({})", words.join(","))),
        ("labelSelector", "NotIn", words) => Some(format!("{key} notin ({})", words.join(","))),
        ("labelSelector", "Exists", _) => Some(key.to_owned()),
        ("labelSelector", "DoesNotExist", _) => Some(format!("!{key}")),
        _ => None,
    }
}

/// A value as field selectors write it.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn rules(call: &Call, kind: &Kind, review: &Object) -> Result<Value, Status> {
    let namespace = meta::text_at(review, &["spec", "namespace"]);
    if namespace.is_empty() {
        return Err(invalid(kind, "namespace", "no namespace on request"));
    }
    let held = call.core.authorizer.rules_of(&call.who, namespace);
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) = held.iter().partition(|r| !r.paths.is_empty());
    let mut status = json!({
        "resourceRules": resources.iter().map(|r| r.to_json()).collect::<Vec<_>>(),
        "nonResourceRules": paths.iter().map(|r| r.to_json()).collect::<Vec<_>>(),
        "incomplete": false,
    });
    let mut untold = Vec::new();
    if node::name_of(&call.who).is_some() {
        untold.push("node authorizer does not support user rule resolution");
    }
    if call.core.access_webhook.is_some() {
        untold.push("webhook authorizer does not support user rule resolution");
    }
    if !untold.is_empty() {
        status["incomplete"] = json!(true);
        status["evaluationError"] = json!(untold.join(", "));
    }
    Ok(status)
}

async fn token(call: &Call, review: &Object) -> Value {
    let asked: Vec<&str> = meta::list_at(review, &["spec", "audiences"]).iter().filter_map(Value::as_str).collect();
    let audiences = if asked.is_empty() { vec![ISSUER] } else { asked };
    let text = meta::text_at(review, &["spec", "token"]);
    match identify::identify(&call.core, text, &audiences).await {
        Ok(found) => {
            json!({"authenticated": true, "user": user_info(&found.identity), "audiences": found.audiences})
        }
        Err(why) => json!({"authenticated": false, "user": {}, "error": why.to_string()}),
    }
}

/// What `kubectl get componentstatuses` shows: all parts live in this process.
fn components(call: &Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let of = |name: &str| {
        json!({
            "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
            "conditions": [{"type": "Healthy", "status": "True", "message": "ok"}],
        })
    };
    const PARTS: [&str; 3] = ["controller-manager", "etcd-0", "scheduler"];
    let view = super::view(call, kind)?;
    match act.name {
        "" => Ok(respond::kept(StatusCode::OK, render::objects(&view, &PARTS.map(of)), view.accepted)),
        name if PARTS.contains(&name) => {
            Ok(respond::kept(StatusCode::OK, render::object(&view, of(name))?, view.accepted))
        }
        _ => Err(act.about().not_found()),
    }
}
