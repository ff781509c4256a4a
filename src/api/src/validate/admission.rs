//! Admission policies and their bindings.
//!
//! In: an object. Out: faults. Expressions are compiled in `expressions.rs`.

use serde_json::Value;

use super::at::{At, Out};
use super::expressions;
use super::extension::rule;
use crate::field::FieldError;
use crate::name;

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
/// What a policy that changes objects may be about.
const MUTATED: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

pub(super) fn policy(object: &Value, mutating: bool, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (steps, audits) = (if mutating { "mutations" } else { "validations" }, spec.get("auditAnnotations"));
    let list = spec.get(steps);
    if list.len() == 0 && (mutating || audits.len() == 0) {
        let either = "validations or auditAnnotations must contain at least one item";
        out.required(&list, if mutating { "mutations must contain at least one item" } else { either });
        if !mutating {
            out.required(&audits, either);
        }
    }
    expressions::conditions(&spec.get("matchConditions"), spec.get("paramKind").is_set(), out);
    let scope = expressions::variables(&spec, out);
    if mutating {
        expressions::mutations(&list, &scope, out);
    } else {
        expressions::validations(&list, &scope, out);
        expressions::annotations(&audits, crate::meta::name(object), &scope, out);
    }
    let param = spec.get("paramKind");
    if param.is_set() {
        filled(&param.get("apiVersion"), "", out);
        filled(&param.get("kind"), "", out);
    }
    out.one_of(&spec.get("failurePolicy"), &["Fail", "Ignore"]);
    if mutating {
        out.one_of_required(&spec.get("reinvocationPolicy"), &["IfNeeded", "Never"]);
        for rule in spec.get("matchConstraints").get("resourceRules").items() {
            for operation in rule.get("operations").items().filter(|o| !MUTATED.contains(&o.text())) {
                let constraints = spec.path.child("matchConstraints");
                let rules = constraints.child("resourceRules");
                let path = rules.child("operations");
                out.push(FieldError::not_supported(&path, operation.text(), &MUTATED));
            }
        }
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        matching(&constraints, true, out);
    } else {
        out.required(&constraints, "");
    }
}

pub(super) fn binding(object: &Value, mutating: bool, out: &mut Out) {
    let spec = At::root(object, "spec");
    let policy = spec.get("policyName");
    if policy.text().is_empty() {
        out.required(&policy, "");
    } else {
        out.form(&policy, name::check_subdomain);
    }
    let param = spec.get("paramRef");
    if param.is_set() {
        let (named, selector) = (!param.text_of("name").is_empty(), param.get("selector").is_set());
        if named == selector {
            out.push(FieldError::required(&param.path.child("name"), "one of name or selector must be specified"));
        }
        out.selector(&param.get("selector"));
        out.one_of_required(&param.get("parameterNotFoundAction"), &["Allow", "Deny"]);
    }
    let resources = spec.get("matchResources");
    if resources.is_set() {
        matching(&resources, false, out);
    }
    if mutating {
        return;
    }
    let actions = spec.get("validationActions");
    if actions.len() == 0 {
        out.required(&actions, "at least one validation action is required");
    }
    let mut seen = std::collections::BTreeSet::new();
    for action in actions.items() {
        out.one_of(&action, &ACTIONS);
        if !seen.insert(action.text()) {
            out.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        out.invalid(&actions, "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)");
    }
}

fn filled(at: &At<'_, '_>, text: &str, out: &mut Out) {
    if at.text().trim().is_empty() {
        out.required(at, text);
    }
}

fn matching(at: &At<'_, '_>, need_rules: bool, out: &mut Out) {
    for selector in ["namespaceSelector", "objectSelector"] {
        out.selector(&at.get(selector));
    }
    out.one_of(&at.get("matchPolicy"), &["Equivalent", "Exact"]);
    let rules = at.get("resourceRules");
    if need_rules && rules.len() == 0 {
        out.required(&rules, "");
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for one in at.get(list).items() {
            rule(&one, out);
        }
    }
}
