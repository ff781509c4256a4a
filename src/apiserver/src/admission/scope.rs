//! What webhooks and policies have in common: which objects and namespaces they select, and in which version they see an
//! object.
//!
//! In: selectors, a write. Out: whether it is selected; the object in another version and back. Reads no more than the
//! index of a namespace.

use kedge_api::check::FieldValidation;
use kedge_api::decode::Decoded;
use kedge_api::fields::Index;
use kedge_api::kinds::{Gvk, Kind, Sub};
use kedge_api::schema::{self, Struct};
use kedge_api::selector::LabelSelector;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, defaults, meta};
use serde_json::json;

use super::webhook::matching::is_namespaces;
use super::{Attributes, Operation};
use crate::core::Core;
use crate::registry::{decode, keys, rules};
use crate::resource::scale;

/// The namespace that selectors look at; of a namespace itself.
pub fn namespace<'a>(attributes: &Attributes<'a>) -> &'a str {
    if is_namespaces(attributes.kind) { attributes.name } else { attributes.namespace }
}

/// Whether the selector wants the object, as it is or as it was.
pub fn selects_object(
    selector: &LabelSelector,
    attributes: &Attributes<'_>,
    object: Option<&Object>,
    old: Option<&Object>,
) -> bool {
    let none = json!({});
    selector.is_everything()
        || [object, old].into_iter().flatten().any(|object| {
            // What is read from a scale has no labels.
            let labels = object["metadata"].get("labels").filter(|_| attributes.subresource != Some(Sub::Scale));
            selector.matches(labels.unwrap_or(&none))
        })
}

/// Whether the selector wants the namespace.
pub async fn selects_namespace(
    selector: &LabelSelector,
    core: &Core,
    attributes: &Attributes<'_>,
    object: Option<&Object>,
) -> Result<bool, Status> {
    let namespace = namespace(attributes);
    if selector.is_everything() || namespace.is_empty() && !is_namespaces(attributes.kind) {
        return Ok(true);
    }
    let itself = is_namespaces(attributes.kind)
        && attributes.subresource.is_none()
        && matches!(attributes.operation, Operation::Create | Operation::Update);
    if itself {
        let none = json!({});
        let labels = object.and_then(|o| o["metadata"].get("labels")).unwrap_or(&none);
        return Ok(selector.matches(labels));
    }
    match core.store.get(&keys::fixed("", "namespaces", "", namespace)).await {
        Ok(Some(entry)) => Ok(selector.matches(&Index::read(&entry.index).labels())),
        Ok(None) => Err(Status::not_found("", "namespaces", namespace)),
        Err(fault) => Err(Status::internal(fault)),
    }
}

/// The object in the kind that is wanted.
pub fn shown(attributes: &Attributes<'_>, object: &Object, kind: &Kind) -> Object {
    match (attributes.operation, attributes.subresource) {
        (Operation::Connect, _) => object.clone(),
        (_, Some(Sub::Scale)) => scale::scale_of(kind, object),
        (_, Some(Sub::Binding | Sub::Eviction | Sub::Token)) => object.clone(),
        _ => {
            let mut shown = object.clone();
            rules::to_served(kind, &mut shown);
            shown
        }
    }
}

/// The object in the storage version, after what was shown of it in `kind` was changed.
pub fn restored(attributes: &Attributes<'_>, object: &Object, kind: &Kind, changed: Object) -> Result<Object, Status> {
    let sub = attributes.subresource;
    if sub == Some(Sub::Scale) {
        let mut whole = object.clone();
        let replicas = meta::int_at(&changed, &["spec", "replicas"]).unwrap_or(0);
        if !whole["spec"].is_object() {
            whole["spec"] = json!({});
        }
        whole["spec"]["replicas"] = json!(replicas);
        return Ok(whole);
    }
    let gvk = sub.map_or_else(|| kind.gvk(), |sub| sub.gvk(kind));
    let is_itself = gvk == kind.gvk();
    let schema = if is_itself { kind.schema() } else { schema::of(&gvk) };
    let mut fitted = fitted(changed, &gvk, schema)?;
    if is_itself {
        rules::default(kind, &mut fitted);
        rules::to_kept(kind, &mut fitted);
    } else {
        defaults::apply(&gvk, &mut fitted);
    }
    Ok(fitted)
}

/// A changed object held against its schema: what the kind does not know is dropped.
fn fitted(object: Object, gvk: &Gvk, schema: Option<Struct<'_>>) -> Result<Object, Status> {
    let sent = decode::fit(Decoded::from(object), gvk, schema, FieldValidation::Ignore);
    sent.map(|sent| sent.object).map_err(|status| Status::new(500, Reason::InternalError, status.message))
}
