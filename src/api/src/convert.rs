//! The same object in another served version of its kind.
//!
//! In: an object, the kind it is and the kind it is to be. Out: the object. Versions whose schemas agree differ
//! only in `apiVersion`. Never fills in defaults.

mod autoscaling;
mod events;

use crate::kinds::Gvk;
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
    }
    if object.is_object() {
        object["apiVersion"] = Value::String(to.api_version());
    }
    Ok(object)
}

#[cfg(test)]
mod tests;
