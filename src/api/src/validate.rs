//! What the API accepts: every rule of every built-in kind, in Kubernetes' words.
//!
//! In: a kind and an object with defaults (on update also the object that is kept). Out: all faults, with their
//! places. Types and unknown fields are checked before (`crate::check`); nothing here changes an object.

mod at;
mod metadata;

use serde_json::Value;

use crate::Object;
use crate::field::FieldError;
use crate::kinds::Kind;
use crate::strategy::Part;
use at::{At, Out};

/// Judges a new object.
pub fn create(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let mut out = Out::default();
    metadata::create(kind, object, &mut out);
    out.errors
}

/// Judges an update of `part`.
pub fn update(kind: &Kind, part: Part, new: &Object, old: &Object) -> Vec<FieldError> {
    let _ = (kind, part);
    let mut out = Out::default();
    metadata::update(new, old, &mut out);
    out.errors
}

/// Judges the options that a request carries in its query: `fieldManager`, `dryRun`, `fieldValidation`.
pub fn options(field_manager: Option<&str>, dry_run: &[&str], field_validation: Option<&str>) -> Vec<FieldError> {
    let object = serde_json::json!({
        "fieldManager": field_manager.unwrap_or(""),
        "dryRun": dry_run,
        "fieldValidation": field_validation.unwrap_or(""),
    });
    let mut out = Out::default();
    metadata::field_manager(&At::root(&object, "fieldManager"), &mut out);
    let at = At::root(&object, "dryRun");
    if dry_run.iter().any(|value| *value != "All") {
        out.push(FieldError::not_supported(&at.path, Value::from(dry_run), &["All"]));
    }
    out.one_of(&At::root(&object, "fieldValidation"), &["", "Ignore", "Strict", "Warn"]);
    out.errors
}
