//! The same object in another served version of its kind.
//!
//! In: an object, the kind it is and the kind it is to be. Out: the object. Versions whose schemas agree differ
//! only in `apiVersion`. Never fills in defaults.

mod autoscaling;
mod devices;
mod events;
mod removed;

pub use removed::forgives;

use crate::kinds::{Gvk, Removed};
use serde_json::Value;

/// Why an object cannot be had in another version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The two are different things.
    #[error("{from} cannot be converted to {to}")]
    Unrelated {
        /// What it is.
        from: Box<Gvk>,
        /// What was wanted.
        to: Box<Gvk>,
    },
}

/// The object as the kind `to`.
pub fn to(from: &Gvk, to: &Gvk, mut object: Value) -> Result<Value, ConvertError> {
    if from == to {
        return Ok(object);
    }
    let modern = |gvk: &Gvk| Removed::of(gvk).and_then(Removed::modern);
    if let Some(between) = modern(from) {
        removed::renew(from, &mut object);
        name(&between, &mut object);
        return self::to(&between, to, object);
    }
    if let Some(between) = modern(to) {
        object = self::to(from, &between, object)?;
        removed::age(to, &mut object);
        name(to, &mut object);
        return Ok(object);
    }
    let is_event = |gvk: &Gvk| gvk.kind == "Event" && (gvk.group.is_empty() || gvk.group == "events.k8s.io");
    if is_event(from) && is_event(to) {
        events::convert(&mut object, to.group.is_empty());
    } else if from.group != to.group || from.kind != to.kind {
        return Err(ConvertError::Unrelated { from: Box::new(from.clone()), to: Box::new(to.clone()) });
    } else if from.is("autoscaling", "HorizontalPodAutoscaler") {
        match (&*from.version, &*to.version) {
            ("v1", "v2") => autoscaling::v1_to_v2(&mut object),
            ("v2", "v1") => autoscaling::v2_to_v1(&mut object),
            _ => {}
        }
    } else if from.group == "resource.k8s.io" && (from.version == "v1beta1") != (to.version == "v1beta1") {
        devices::convert(&to.kind, &mut object, to.version == "v1beta1");
    }
    name(to, &mut object);
    Ok(object)
}

fn name(gvk: &Gvk, object: &mut Value) {
    if object.is_object() {
        object["apiVersion"] = Value::String(gvk.api_version());
    }
}

#[cfg(test)]
mod tests;
