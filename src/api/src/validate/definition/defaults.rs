//! Defaults of a schema: they are values of it, and say nothing that it does not know.
//!
//! In: a structural schema and its place. Out: faults.

use crate::custom::{prune, values};
use crate::field::{Fault, FieldError};
use crate::schema::custom::Place;
use serde_json::Value;

/// Judges every default below.
pub(super) fn judge(schema: Place<'_>, path: &str, out: &mut Vec<FieldError>) {
    if !schema.has_defaults() {
        return;
    }
    if !schema.default_json().is_empty() {
        // The text was written from a value when the schema was read.
        let value: Value = serde_json::from_str(schema.default_json()).unwrap_or_default();
        let place = format!("{path}.default");
        let mut pruned = value.clone();
        prune::prune(schema, &mut pruned);
        if pruned != value {
            let detail = "must not have unknown fields".to_owned();
            out.push(FieldError { fault: Fault::Invalid, field: place.clone(), value: value.clone(), detail });
        }
        out.extend(values::judge(schema, &place, &value, None));
    }
    if let Some(items) = schema.items() {
        judge(items, &format!("{path}.items"), out);
    }
    for (name, below) in schema.properties() {
        judge(below, &format!("{path}.properties[{name}]"), out);
    }
}
