//! Where the rules of `x-kubernetes-validations` are judged: one place for definitions, one for objects.
//!
//! In: schemas with rules ([`Place::expressions`]), objects. Out: faults.

use super::Version;
use super::rules::{self, Rules};
use crate::field::{Fault, FieldError};
use crate::schema::custom::Place;
use serde_json::Value;

/// Judges the rules of a version's schema when its definition is written. `path` is the schema's place in the
/// definition: `spec.versions[0].schema.openAPIV3Schema`.
pub fn check(schema: Place<'_>, path: &str, out: &mut Vec<FieldError>) {
    if schema.has_expressions() {
        rules::check(schema, path, out);
    }
}

/// Judges an object by the rules of its schema; on update also against the object as it was. They are compiled when the
/// first object comes.
pub fn judge(version: &Version, schema: Place<'_>, object: &Value, old: Option<&Value>, out: &mut Vec<FieldError>) {
    if !schema.has_expressions() {
        return;
    }
    let blocks = |error: &FieldError| {
        matches!(
            error.fault,
            Fault::NotSupported | Fault::Required | Fault::TooLong | Fault::TooMany | Fault::TypeInvalid
        )
    };
    if out.iter().any(blocks) {
        out.push(FieldError {
            fault: Fault::Invalid,
            field: "<nil>".to_owned(),
            value: Value::Null,
            detail: "some validation rules were not checked because the object was invalid; correct the existing \
                     errors to complete validation"
                .to_owned(),
        });
        return;
    }
    let compiled = version.rules.get_or_init(|| Rules::compile(schema));
    rules::judge(compiled, schema, object, old, out);
}
