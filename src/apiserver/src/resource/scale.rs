//! The scale of whatever has replicas.
//!
//! In: GET, PUT, PATCH or an applied configuration of `scale`. Out: an `autoscaling/v1` Scale; a write changes the number of replicas and
//! nothing else. Where replicas and selector stand is said by the kind's definition, for custom kinds.

use std::sync::Arc;

use http::StatusCode;
use kedge_api::check::FieldValidation;
use kedge_api::custom::Scale;
use kedge_api::decode::Decoded;
use kedge_api::kinds::{Gvk, Kind, Sub};
use kedge_api::selector::LabelSelector;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::{patch_of, sent};
use crate::chain::Call;
use crate::media::PatchKind;
use crate::query::WriteOptions;
use crate::registry::patching;
use crate::registry::render::{self, View};
use crate::registry::update::{self, Change};
use crate::registry::{Act, Outcome, convert, create, decode, managers};
use crate::request::Verb;
use crate::respond::{self, Answer};
use crate::{error, media};

/// Answers a call for `scale`.
pub async fn answer(call: &mut Call, act: &Act<'_>, kind: &Arc<Kind>) -> Result<Answer, Status> {
    let gvk = Sub::Scale.gvk(kind);
    if call.info.verb == Verb::Get {
        return told(call, kind, &gvk, &kept(act).await?);
    }
    let options = WriteOptions::parse(&call.query).map_err(|f| error::option(&f))?;
    let object = if call.info.verb == Verb::Update {
        let wanted = sent(call, act, &gvk, &options).await?;
        write(act, &wanted).await?
    } else {
        match patch_of(call, act, false, &options).await? {
            Change::Apply { config, force } => applied(act, &gvk, config, force, &options).await?,
            Change::Patch { kind, patch, validation } => {
                write(act, &patched(act, &gvk, kind, &patch, validation).await?).await?
            }
            Change::Replace(_) => return Err(Status::method_not_allowed()),
        }
    };
    told(call, kind, &gvk, &object)
}

/// The scale of an object, in the form that the client asked for.
fn told(call: &Call, kind: &Arc<Kind>, gvk: &Gvk, object: &Object) -> Result<Answer, Status> {
    let accepted = media::negotiate(&call.head.headers, media::Offer { shapes: true, ..media::Offer::ITSELF })?;
    let view = View::new(&call.core, kind, accepted, &call.query)?;
    Ok(respond::object(StatusCode::OK, &render::of_subresource(&view, gvk, scale_of(kind, object)), accepted))
}

async fn kept(act: &Act<'_>) -> Result<Object, Status> {
    let entry = act.kept().await?;
    let object = convert::working(act.core, act.kind, &entry).await?;
    match custom(act.kind) {
        Some(scale) if Scale::at(&object, &scale.spec).is_none() => {
            let why = format!("the spec replicas field {:?} does not exist", format!(".{}", scale.spec));
            Err(Status::internal(why))
        }
        _ => Ok(object),
    }
}

/// The kept scale with a patch applied.
async fn patched(
    act: &Act<'_>,
    gvk: &Gvk,
    kind: PatchKind,
    patch: &Decoded,
    validation: FieldValidation,
) -> Result<Object, Status> {
    let mut scale = scale_of(act.kind, &kept(act).await?);
    meta::set_resource_version(&mut scale, "");
    let sent = patching::apply(gvk, kedge_api::schema::of(gvk), &scale, kind, patch, validation)?;
    act.warn(sent.warnings);
    Ok(sent.object)
}

/// Applies a configuration of the scale: the field that it says is owned, where the kind has it.
async fn applied(
    act: &Act<'_>,
    gvk: &Gvk,
    config: Object,
    force: bool,
    options: &WriteOptions,
) -> Result<Object, Status> {
    managers::is_of(&config, gvk)?;
    let scale = decode::fit(config.into(), gvk, kedge_api::schema::of(gvk), options.field_validation)?;
    act.warn(scale.warnings);
    let scale = scale.object;
    let mut change = match meta::int_at(&scale, &["spec", "replicas"]) {
        Some(replicas) => {
            check(act, &scale, replicas)?;
            in_place(act.kind, replicas)
        }
        None => json!({}),
    };
    let own = act.spoken.gvk();
    change["apiVersion"] = json!(own.api_version());
    change["kind"] = json!(own.kind);
    change["metadata"] = json!({"name": act.name});
    carry(&scale, &mut change);
    changed(act, Change::Apply { config: change, force }).await
}

/// What a scale may not say.
fn check(act: &Act<'_>, scale: &Object, replicas: i64) -> Result<(), Status> {
    if !meta::name(scale).is_empty() && meta::name(scale) != act.name {
        return Err(create::names_differ(meta::name(scale), act.name));
    }
    if replicas < 0 {
        let spec = kedge_api::field::Path::root("spec");
        let fault = kedge_api::field::FieldError::invalid(
            &spec.child("replicas"),
            replicas,
            "must be greater than or equal to 0",
        );
        return Err(Status::invalid("autoscaling", "Scale", act.name, &[fault]));
    }
    Ok(())
}

/// Says of which object, in which version, the change is, if the scale says so.
fn carry(scale: &Object, change: &mut Value) {
    for (key, value) in [("resourceVersion", meta::resource_version(scale)), ("uid", meta::uid(scale))] {
        if !value.is_empty() {
            change["metadata"][key] = json!(value);
        }
    }
}

async fn write(act: &Act<'_>, scale: &Object) -> Result<Object, Status> {
    let replicas = meta::int_at(scale, &["spec", "replicas"]).unwrap_or(0);
    check(act, scale, replicas)?;
    let mut patch = in_place(act.kind, replicas);
    carry(scale, &mut patch);
    // The patch is made in the served version, which the registry converts.
    let change = Change::Patch { kind: PatchKind::Merge, patch: patch.into(), validation: FieldValidation::Ignore };
    changed(act, change).await
}

async fn changed(act: &Act<'_>, change: Change) -> Result<Object, Status> {
    match update::update(act, change).await?.outcome {
        Outcome::Kept(entry) => convert::working(act.core, act.kind, &entry).await,
        Outcome::Made(object) => Ok(object),
    }
}

/// The number of replicas where the kind has it, as a merge patch.
pub fn in_place(kind: &Kind, replicas: i64) -> Object {
    let path = custom(kind).map_or("spec.replicas", |scale| &*scale.spec);
    path.trim_start_matches('.').rsplit('.').fold(json!(replicas), |value, name| json!({name: value}))
}

/// Where a custom kind has its numbers.
fn custom(kind: &Kind) -> Option<&Scale> {
    kind.custom_version()?.scale.as_ref()
}

/// The scale of an object.
pub fn scale_of(kind: &Kind, object: &Object) -> Object {
    let mut metadata = json!({});
    for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object["metadata"].get(key) {
            metadata[key] = value.clone();
        }
    }
    let (wanted, actual, selector) = match custom(kind) {
        Some(scale) => {
            let number = |path: &str| Scale::at(object, path).and_then(Value::as_i64);
            let selector = Scale::at(object, &scale.selector).and_then(Value::as_str).unwrap_or_default().to_owned();
            (number(&scale.spec), number(&scale.status), selector)
        }
        None => (
            meta::int_at(object, &["spec", "replicas"]),
            meta::int_at(object, &["status", "replicas"]),
            selector_of(object),
        ),
    };
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": wanted.unwrap_or(0)},
        "status": {"replicas": actual.unwrap_or(0), "selector": selector},
    })
}

fn selector_of(object: &Object) -> String {
    let path = kedge_api::field::Path::root("spec");
    let selector = object.pointer("/spec/selector");
    match selector {
        // A ReplicationController has a plain map.
        Some(map) if map.get("matchLabels").is_none() && map.get("matchExpressions").is_none() => {
            let pairs = map.as_object().into_iter().flatten().filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)));
            LabelSelector::equal(pairs).to_string()
        }
        selector => {
            LabelSelector::from_object(selector, &path.child("selector")).map(|s| s.to_string()).unwrap_or_default()
        }
    }
}
