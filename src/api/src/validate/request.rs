//! Objects that are only asked with: bindings, scales, evictions, tokens, reviews.
//!
//! In: the posted object. Out: faults.

use serde_json::Value;

use super::at::{At, NEGATIVE, Out};
use crate::field::FieldError;
use crate::name;

/// A token must hold ten minutes.
const TOKEN_LEAST: i64 = 600;

pub(super) fn binding(object: &Value, out: &mut Out) {
    let target = At::root(object, "target");
    let kind = target.get("kind");
    if !matches!(kind.text(), "" | "Node") {
        out.push(FieldError::not_supported(&kind.path, kind.text(), &["Node", "<empty>"]));
    }
    out.filled(&target.get("name"));
}

pub(super) fn scale(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let replicas = spec.get("replicas");
    if replicas.int().is_some_and(|n| n < 0) {
        out.invalid(&replicas, NEGATIVE);
    }
}

pub(super) fn token(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let seconds = spec.get("expirationSeconds");
    if seconds.int().is_some_and(|n| n < TOKEN_LEAST) {
        out.invalid(&seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds.int().is_some_and(|n| n > 1 << 32) {
        out.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
}

/// Who may do what: one of a resource and a path, and, unless it is about oneself, somebody.
pub(super) fn access_review(object: &Value, own: bool, local: bool, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (resource, path) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    match (resource.is_set(), path.is_set()) {
        (true, true) => {
            let text = "cannot be specified in combination with resourceAttributes";
            out.push(FieldError::invalid(&path.path, path.value.clone(), text));
        }
        (false, false) => {
            let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            out.push(FieldError::invalid(&resource.path, Value::Null, text));
        }
        _ => {}
    }
    let described = metadata_said(object, local);
    if !own && spec.text_of("user").is_empty() && spec.get("groups").len() == 0 {
        let text = "at least one of user or group must be specified";
        out.push(FieldError::invalid(&spec.get("user").path, "", text));
    }
    if described {
        let text = if local { "must be empty except for namespace" } else { "must be empty" };
        out.invalid(&At::root(object, "metadata"), text);
    }
    if local {
        let wanted = crate::meta::namespace(object);
        let namespace = resource.get("namespace");
        if namespace.text() != wanted {
            out.invalid(&namespace, "must match metadata.namespace");
        }
        if path.is_set() {
            out.invalid(&path, "disallowed on this kind of request");
        }
    }
}

/// Reviews are about nothing that has a name.
fn metadata_said(object: &Value, local: bool) -> bool {
    let metadata = object.get("metadata").and_then(Value::as_object);
    metadata.into_iter().flatten().any(|(field, value)| {
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        !empty && field != "managedFields" && !(local && field == "namespace")
    })
}

pub(super) fn eviction(object: &Value, out: &mut Out) {
    let metadata = At::root(object, "metadata");
    out.optional_form(&metadata.get("name"), name::check_subdomain);
}
