//! Admission policies and their bindings.
//!
//! In: an object, on update also the old one. Out: faults. Expressions are compiled in `expressions.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::expressions;
use super::extension::rule;
use crate::field::FieldError;
use crate::meta;
use crate::name;

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
/// Operations whose objects a policy can change.
const CHANGEABLE: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

pub(super) fn policy(object: &Value, old: Option<&Value>, mutating: bool, out: &mut Out) {
    let spec = At::root(object, "spec");
    let failure = spec.get("failurePolicy");
    out.one_of_required(&failure, &["Fail", "Ignore"]);
    let param = spec.get("paramKind");
    if param.is_set() {
        param_kind(&param, out);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        matching(&constraints, mutating, out);
        let rules = constraints.get("resourceRules");
        if rules.len() == 0 {
            out.required(&rules, "");
        }
    } else {
        out.required(&constraints, "");
    }
    let before = old.map(|old| At::root(old, "spec"));
    let same = |field: &str| before.is_some_and(|b| b.get(field).value == spec.get(field).value);
    if !(same("paramKind") && same("matchConditions")) {
        expressions::conditions(&spec.get("matchConditions"), param.is_set(), out);
    }
    let scope = expressions::variables(&spec, out);
    if mutating {
        let list = spec.get("mutations");
        if list.len() == 0 {
            out.required(&list, "mutations must contain at least one item");
        }
        expressions::mutations(&list, &scope, out);
        out.one_of_required(&spec.get("reinvocationPolicy"), &["IfNeeded", "Never"]);
        return;
    }
    let (list, audits) = (spec.get("validations"), spec.get("auditAnnotations"));
    if list.len() + audits.len() == 0 {
        let text = "validations or auditAnnotations must contain at least one item";
        out.required(&list, text);
        out.required(&audits, text);
        return;
    }
    expressions::validations(&list, &scope, out);
    expressions::annotations(&audits, meta::name(object), &scope, out);
}

fn param_kind(at: &At<'_, '_>, out: &mut Out) {
    let (version, kind) = (at.get("apiVersion"), at.get("kind"));
    if out.filled(&version) {
        let text = version.text();
        let (group, short) = text.split_once('/').unwrap_or(("", text));
        let wrong = |part: &str, faults: name::Faults| FieldError::invalid(&version.path, part, faults.join(","));
        if short.contains('/') {
            out.invalid(&version, format!("unexpected GroupVersion string: {text}"));
        } else {
            if let Some(faults) = name::check_subdomain(group).err().filter(|_| !group.is_empty()) {
                out.push(wrong(group, faults));
            }
            if short.is_empty() {
                out.invalid(&version, "version must be specified");
            } else if let Err(faults) = name::check_label_1035(short) {
                out.push(wrong(short, faults));
            }
        }
    }
    if out.filled(&kind)
        && let Err(faults) = name::check_label_1035(&kind.text().to_lowercase())
    {
        out.invalid(&kind, format!("may have mixed case, but should otherwise match: {}", faults.join(",")));
    }
}

pub(super) fn binding(object: &Value, mutating: bool, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.filled_form(&spec.get("policyName"), name::check_subdomain);
    let param = spec.get("paramRef");
    if param.is_set() {
        param_ref(&param, out);
    }
    let resources = spec.get("matchResources");
    if resources.is_set() {
        matching(&resources, mutating, out);
    }
    if mutating {
        return;
    }
    let actions = spec.get("validationActions");
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        if !ACTIONS.contains(&action.text()) {
            out.push(FieldError::not_supported(&action.path, action.text(), &ACTIONS));
        }
        if !seen.insert(action.text()) {
            out.duplicate(&action);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the \
                    API response and headers serves no purpose)";
        out.invalid(&actions, text);
    }
    if seen.is_empty() {
        out.required(&actions, "at least one validation action is required");
    }
}

fn param_ref(at: &At<'_, '_>, out: &mut Out) {
    let (name_at, selector) = (at.get("name"), at.get("selector"));
    let named = !name_at.text().is_empty();
    let both = "name and selector are mutually exclusive";
    if named {
        out.form(&name_at, name::check_path_segment);
        if selector.is_set() {
            out.forbidden(&name_at, both);
        }
    }
    if selector.is_set() {
        out.selector(&selector);
        if named {
            out.forbidden(&selector, both);
        }
    }
    if !named && !selector.is_set() {
        out.required(at, "one of name or selector must be specified");
    }
    out.one_of_required(&at.get("parameterNotFoundAction"), &["Deny", "Allow"]);
}

fn matching(at: &At<'_, '_>, mutating: bool, out: &mut Out) {
    out.one_of_required(&at.get("matchPolicy"), &["Equivalent", "Exact"]);
    for selector in ["namespaceSelector", "objectSelector"] {
        let selector = at.get(selector);
        match selector.is_set() {
            true => drop(out.selector(&selector)),
            false => out.required(&selector, ""),
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        for one in at.get(list).items() {
            let mut seen = BTreeSet::new();
            for name_at in one.get("resourceNames").items() {
                out.form(&name_at, name::check_path_segment);
                if !seen.insert(name_at.text()) {
                    out.duplicate(&name_at);
                }
            }
            rule(&one, out);
        }
    }
    let rules = at.get("resourceRules");
    for one in rules.items().filter(|_| mutating) {
        for operation in one.get("operations").items().filter(|o| !CHANGEABLE.contains(&o.text())) {
            let place = rules.get("operations");
            out.push(FieldError::not_supported(&place.path, operation.text(), &CHANGEABLE));
        }
    }
}
