//! Rules in rows: an object with defaults, and every fault that it must have.

mod cluster;
mod early;
mod jobs;
mod kinds;
mod large;
mod machine_made;
mod pods;
mod sets;
mod things;
mod workloads;

use serde_json::Value;

use super::*;
use crate::defaults;
use crate::kinds::Kinds;
use crate::meta;

fn kind(api_version: &str, name: &str) -> Kind {
    (**Kinds::everything().by_gvk(&Gvk::from_api_version(api_version, name)).unwrap()).clone()
}

/// With a name, a namespace and defaults, as the server has it when it validates.
fn complete(kind: &Kind, mut object: Value) -> Value {
    if meta::name(&object).is_empty() {
        meta::set_name(&mut object, "x");
    }
    if kind.namespaced && meta::namespace(&object).is_empty() {
        meta::set_namespace(&mut object, "default");
    }
    defaults::apply(&kind.gvk(), &mut object);
    object
}

fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Faults of a new object. A row that ends in `...` says only how the text begins.
#[track_caller]
fn check(api_version: &str, name: &str, object: Value, expected: &[&str]) {
    let kind = kind(api_version, name);
    let object = complete(&kind, object);
    compare(&texts(&create(&kind, &object)), expected);
}

/// Faults of an update.
#[track_caller]
fn check_update(api_version: &str, name: &str, part: Part, new: Value, old: Value, expected: &[&str]) {
    let kind = kind(api_version, name);
    let (new, old) = (complete(&kind, new), complete(&kind, old));
    compare(&texts(&update(&kind, part, &new, &old)), expected);
}

#[track_caller]
fn compare(found: &[String], expected: &[&str]) {
    let fits = |found: &str, row: &str| match row.strip_suffix("...") {
        Some(start) => found.starts_with(start),
        None => found == row,
    };
    let same = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| fits(f, e));
    assert!(same, "found {found:#?}\nexpected {expected:#?}");
}
