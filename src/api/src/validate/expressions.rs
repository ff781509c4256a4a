//! The expressions of policies and of webhooks' conditions, compiled to see whether they can be.
//!
//! In: a policy or conditions. Out: faults, worded as Kubernetes words them. What else there is to say of these kinds is said
//! in `admission.rs` and `extension.rs`.

use std::collections::BTreeSet;

use kedge_cel::Type;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::name;
use crate::policy::{Scope, Wanted};

/// Conditions of one webhook or policy are at most so many.
const MOST_CONDITIONS: usize = 64;
/// Audit annotations of a policy are at most so many.
const MOST_ANNOTATIONS: usize = 20;
/// The expression of an audit annotation is at most this long.
const LONGEST_ANNOTATION: usize = 5 * 1024;

const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

/// An expression that comes to what is wanted. Out: its type.
fn compile(at: &At<'_, '_>, scope: &Scope, wanted: Wanted, out: &mut Out) -> Option<Type> {
    match scope.compile(at.text(), wanted) {
        Ok(checked) => Some(checked.output().clone()),
        Err(fault) => {
            out.invalid(at, fault);
            None
        }
    }
}

fn is_blank(at: &At<'_, '_>) -> bool {
    at.text().trim().is_empty()
}

/// The conditions under which a webhook or policy is asked.
pub(super) fn conditions(list: &At<'_, '_>, params: bool, out: &mut Out) {
    if list.len() > MOST_CONDITIONS {
        out.push(FieldError::too_many(&list.path, list.len(), MOST_CONDITIONS));
    }
    let scope = Scope::new(params);
    let mut names = BTreeSet::new();
    for condition in list.items() {
        let (expression, own) = (condition.get("expression"), condition.get("name"));
        if is_blank(&expression) {
            out.required(&expression, "");
        } else {
            compile(&expression, &scope, Wanted::Truth, out);
        }
        if own.text().is_empty() {
            out.required(&own, "");
        } else {
            out.form(&own, name::check_qualified);
            if !names.insert(own.text()) {
                out.duplicate(&own);
            }
        }
    }
}

/// What expressions of a policy may name, and what is wrong with its variables.
pub(super) fn variables(spec: &At<'_, '_>, out: &mut Out) -> Scope {
    let mut scope = Scope::new(spec.get("paramKind").is_set());
    for variable in spec.get("variables").items() {
        let (own, expression) = (variable.get("name"), variable.get("expression"));
        if is_blank(&own) {
            out.required(&own, "name is not specified");
        } else if !is_identifier(own.text()) {
            out.invalid(&own, "must be a valid CEL identifier");
        }
        if is_blank(&expression) {
            out.required(&expression, "expression is not specified");
            continue;
        }
        let of = compile(&expression, &scope, Wanted::Anything, out);
        scope.add_variable(own.text(), of.unwrap_or(Type::Dyn));
    }
    scope
}

fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && kedge_cel::declare::escape(text).is_some_and(|escaped| escaped == text || text.contains("__"))
}

/// The validations of a policy.
pub(super) fn validations(list: &At<'_, '_>, scope: &Scope, out: &mut Out) {
    let messages = scope.without_authorizer();
    for validation in list.items() {
        let expression = validation.get("expression");
        if is_blank(&expression) {
            out.required(&expression, "expression is not specified");
        } else {
            compile(&expression, scope, Wanted::Truth, out);
        }
        let by = validation.get("messageExpression");
        if !by.text().is_empty() && is_blank(&by) {
            out.invalid(&by, "must be non-empty if specified");
        } else if !by.text().is_empty() {
            compile(&by, &messages, Wanted::Text, out);
        }
        let message = validation.get("message");
        if !message.text().is_empty() && is_blank(&message) {
            out.invalid(&message, "must be non-empty if specified");
        } else if message.text().trim().contains(['\n', '\r']) {
            out.invalid(&message, "must not contain line breaks");
        }
        out.one_of(&validation.get("reason"), &REASONS);
    }
}

/// The audit annotations of a policy of that name.
pub(super) fn annotations(list: &At<'_, '_>, policy: &str, scope: &Scope, out: &mut Out) {
    if list.len() > MOST_ANNOTATIONS {
        out.invalid(list, format!("must not have more than {MOST_ANNOTATIONS} auditAnnotations"));
    }
    let mut keys = BTreeSet::new();
    for annotation in list.items() {
        let (key, expression) = (annotation.get("key"), annotation.get("valueExpression"));
        if policy.is_empty() {
            out.invalid(&key, "requires metadata.name be non-empty");
        } else {
            out.form_of(&key, &format!("{policy}/{}", key.text()), name::check_qualified);
        }
        if is_blank(&expression) {
            out.required(&expression, "valueExpression is not specified");
        } else if expression.text().trim().len() > LONGEST_ANNOTATION {
            out.required(&expression, &format!("must not exceed {LONGEST_ANNOTATION} bytes in length"));
        } else {
            compile(&expression, scope, Wanted::TextOrNull, out);
        }
        if !keys.insert(key.text()) {
            out.duplicate(&key);
        }
    }
}

/// The mutations of a policy.
pub(super) fn mutations(list: &At<'_, '_>, scope: &Scope, out: &mut Out) {
    let scope = scope.with_patches();
    for mutation in list.items() {
        let kind = mutation.get("patchType");
        let (field, other, wanted) = match kind.text() {
            "JSONPatch" => ("jsonPatch", "applyConfiguration", Wanted::Patches),
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Wanted::Object),
            _ => {
                out.one_of_required(&kind, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        let (own, other_at) = (mutation.get(field), mutation.get(other));
        let expression = own.get("expression");
        if !own.is_set() {
            out.required(&own, &format!("must be specified when patchType is {}", kind.text()));
        } else if is_blank(&expression) {
            out.required(&expression, "");
        } else {
            compile(&expression, &scope, wanted, out);
        }
        if other_at.is_set() {
            let text = format!("must not be specified when patchType is {}", kind.text());
            out.push(FieldError::invalid(&other_at.path, format!("{{{other}}}"), text));
        }
    }
}
