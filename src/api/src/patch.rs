//! Changes to an object, in the three forms of which each has rules of its own.
//!
//! In: an object and a patch. Out: the object changed, or why the patch cannot be used. An object is unchanged
//! only if the caller keeps a copy: after an error it may be half changed. Never validates the result.

mod json;
mod strategic;

use serde_json::{Map, Value};

pub use json::json;
pub use strategic::strategic;

/// Why a patch was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is no patch of its kind: `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// More operations than allowed: `RequestEntityTooLarge`.
    #[error("The allowed maximum operations in a JSON patch is {limit}, got {count}")]
    TooMany {
        /// The limit.
        limit: usize,
        /// How many there are.
        count: usize,
    },
    /// It does not apply to this object (a failed `test`, a missing path): 422, reason `Invalid`.
    #[error("{0}")]
    Unapplicable(String),
}

/// A JSON merge patch (RFC 7386).
pub fn merge(target: &mut Value, patch: Value) -> Result<(), PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
    }
    merge_value(target, patch);
    Ok(())
}

fn merge_value(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(map) = target {
        for (key, value) in patch {
            if value.is_null() {
                map.remove(&key);
            } else {
                merge_value(map.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
