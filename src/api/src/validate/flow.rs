//! Flow control: FlowSchemas and PriorityLevelConfigurations.
//!
//! In: an object. Out: faults. The objects without which no request would have a place say what they always say.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::meta;
use crate::name;

/// The name of the schema and of the level that hold nobody back.
const EXEMPT: &str = "exempt";
/// The name of the schema and of the level that take what no other does.
const CATCH_ALL: &str = "catch-all";
const PRECEDENCE_MOST: i64 = 10_000;
const QUEUES_MOST: i64 = 10_000_000;
/// Bits of the hash that deals requests to queues.
const HASH_BITS: u32 = 60;
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// What all requests are, in a schema's rule.
const EVERYTHING: &str = r#""resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true,
    "namespaces": ["*"]}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]"#;
/// The schemas that are always there, but for what their rules take.
const FIXED_SCHEMAS: [(&str, &str); 2] = [
    (
        EXEMPT,
        r#"{"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "exempt"},
        "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:masters"}}], EVERYTHING}]}"#,
    ),
    (
        CATCH_ALL,
        r#"{"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "catch-all"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:unauthenticated"}},
            {"kind": "Group", "group": {"name": "system:authenticated"}}], EVERYTHING}]}"#,
    ),
];
/// The levels that are always there. How much the exempt one has is for whoever runs the server to say.
const FIXED_LEVELS: [(&str, &str); 2] = [
    (EXEMPT, r#"{"type": "Exempt"}"#),
    (
        CATCH_ALL,
        r#"{"type": "Limited", "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0,
        "limitResponse": {"type": "Reject"}}}"#,
    ),
];

/// Objects of those names have those specifications, but for one field.
fn fixed(object: &Value, table: [(&str, &str); 2], free: Option<&str>, out: &mut Out) {
    let name = meta::name(object);
    let Some((_, wanted)) = table.into_iter().find(|(fixed, _)| *fixed == name) else { return };
    let wanted: Value = serde_json::from_str(&wanted.replace("EVERYTHING", EVERYTHING)).unwrap_or_default();
    let spec = At::root(object, "spec");
    let mut said = bare(spec.value);
    let free = free.filter(|_| name == EXEMPT);
    if let (Some(field), Some(map)) = (free, said.as_object_mut()) {
        map.remove(field);
    }
    if said != wanted {
        let but = free.map_or(String::new(), |field| format!(" except the 'spec.{field}' field"));
        out.invalid(&spec, format!("spec of '{name}'{but} must equal the fixed value"));
    }
}

/// Without what is empty: that is as good as not there.
fn bare(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), bare(value)))
            .filter(|(_, value)| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()))
            .collect(),
        Value::Array(list) => list.iter().map(bare).collect(),
        other => other.clone(),
    }
}

pub(super) fn schema(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let precedence = spec.get("matchingPrecedence");
    let n = precedence.int().unwrap_or(0);
    if n <= 0 {
        out.push(FieldError::invalid(&precedence.path, n, "must be a positive value"));
    }
    if n > PRECEDENCE_MOST {
        out.invalid(&precedence, format!("must not be greater than {PRECEDENCE_MOST}"));
    }
    if n == 1 && meta::name(object) != EXEMPT {
        out.invalid(&precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    let method = spec.get("distinguisherMethod");
    if method.is_set() && !matches!(method.text_of("type"), "ByNamespace" | "ByUser") {
        let kind = method.get("type");
        out.push(FieldError::not_supported(&kind.path, method.value.clone(), &["ByNamespace", "ByUser"]));
    }
    let level = spec.get("priorityLevelConfiguration");
    let level = level.get("name");
    match level.text() {
        "" => out.required(&level, "must reference a priority level"),
        _ => out.form(&level, name::check_subdomain),
    }
    for rule in spec.get("rules").items() {
        let subjects = rule.get("subjects");
        if subjects.len() == 0 {
            out.required(&subjects, "subjects must contain at least one value");
        }
        for subject in subjects.items() {
            self::subject(&subject, out);
        }
        let (resources, paths) = (rule.get("resourceRules"), rule.get("nonResourceRules"));
        if resources.len() + paths.len() == 0 {
            out.required(&rule, "at least one of resourceRules and nonResourceRules has to be non-empty");
        }
        for one in resources.items() {
            resource_rule(&one, out);
        }
        for one in paths.items() {
            path_rule(&one, out);
        }
    }
    fixed(object, FIXED_SCHEMAS, None, out);
    status(object, out);
}

/// Conditions have types, each once.
pub(super) fn status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let mut seen = BTreeSet::new();
    for condition in status.get("conditions").items() {
        let kind = condition.get("type");
        if !seen.insert(kind.text()) {
            out.push(FieldError::duplicate(&kind.path, kind.text()));
        }
        out.filled(&kind);
    }
}

fn subject(at: &At<'_, '_>, out: &mut Out) {
    const KINDS: [(&str, &str); 3] = [("ServiceAccount", "serviceAccount"), ("User", "user"), ("Group", "group")];
    let kind = at.get("kind");
    let Some((wanted, field)) = KINDS.into_iter().find(|(kind, _)| *kind == at.text_of("kind")) else {
        out.push(FieldError::not_supported(&kind.path, kind.text(), &["Group", "ServiceAccount", "User"]));
        return;
    };
    let one = at.get(field);
    if !one.is_set() {
        out.required(&one, &format!("{field} is required when subject kind is '{wanted}'"));
    } else if out.filled(&one.get("name")) && field == "serviceAccount" && one.text_of("name") != "*" {
        out.form(&one.get("name"), name::check_subdomain);
    }
    if one.is_set() && field == "serviceAccount" {
        let namespace = one.get("namespace");
        match namespace.text() {
            "" => out.required(&namespace, "must specify namespace for service account"),
            _ => out.form(&namespace, name::check_label),
        }
    }
    for (other, field) in KINDS.into_iter().filter(|(kind, _)| *kind != wanted) {
        if at.get(field).is_set() {
            out.forbidden(&at.get(field), format!("{field} is forbidden when subject kind is not '{other}'"));
        }
    }
}

fn verbs(rule: &At<'_, '_>, out: &mut Out) {
    let at = rule.get("verbs");
    if at.len() == 0 {
        out.required(&at, "verbs must contain at least one value");
    } else if wildcard(&at) {
        alone(&at, "verbs", out);
    } else if at.items().any(|verb| !VERBS.contains(&verb.text())) {
        out.push(FieldError::not_supported(&at.path, at.value.clone(), &VERBS));
    }
}

fn wildcard(at: &At<'_, '_>) -> bool {
    at.items().any(|one| one.text() == "*")
}

fn alone(at: &At<'_, '_>, what: &str, out: &mut Out) {
    if at.len() > 1 && wildcard(at) {
        out.invalid(at, format!("if '*' is present, must not specify other {what}"));
    }
}

fn resource_rule(at: &At<'_, '_>, out: &mut Out) {
    verbs(at, out);
    for (field, one, many) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        let list = at.get(field);
        if list.len() == 0 {
            out.required(&list, &format!("resource rules must supply at least one {one}"));
        }
        alone(&list, many, out);
    }
    let namespaces = at.get("namespaces");
    if namespaces.len() == 0 && !at.get("clusterScope").yes() {
        let text = "resource rules that are not cluster scoped must supply at least one namespace";
        out.required(&namespaces, text);
    } else if wildcard(&namespaces) {
        alone(&namespaces, "namespaces", out);
    } else {
        for one in namespaces.items() {
            for fault in name::check_label(one.text()).err().into_iter().flatten() {
                out.invalid(&one, format!("each member of this list must be '*' or a DNS-1123 label; {fault}"));
            }
        }
    }
}

fn path_rule(at: &At<'_, '_>, out: &mut Out) {
    verbs(at, out);
    let urls = at.get("nonResourceURLs");
    if urls.len() == 0 {
        out.required(&urls, "nonResourceURLs must contain at least one value");
    } else if wildcard(&urls) {
        alone(&urls, "non-resource URLs", out);
    } else {
        for url in urls.items() {
            if let Some(fault) = path(url.text()) {
                out.invalid(&url, fault);
            }
        }
    }
}

fn path(text: &str) -> Option<&'static str> {
    let stars = text.matches('*').count();
    match text {
        "" => Some("must not be empty"),
        "/" => None,
        _ if !text.starts_with('/') => Some("must start with slash"),
        _ if text.contains(' ') => Some("must not contain white-space"),
        _ if text.contains("//") => Some("must not contain double slash"),
        _ if stars > 1 || stars == 1 && !text.ends_with("/*") => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

pub(super) fn level(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (kind, limited, exempt) = (spec.get("type"), spec.get("limited"), spec.get("exempt"));
    if (meta::name(object) == EXEMPT) != (kind.text() == "Exempt") {
        let text = "must be 'Exempt' if and only if `name` is 'exempt'";
        out.push(FieldError::invalid(&kind.path, kind.text(), text));
    }
    match kind.text() {
        "Exempt" => {
            if limited.is_set() {
                out.forbidden(&limited, "must be nil if the type is not Limited");
            }
            shares(&exempt, out);
        }
        "Limited" => {
            if exempt.is_set() {
                out.forbidden(&exempt, "must be nil if the type is Limited");
            }
            match limited.is_set() {
                false => out.required(&limited, "must not be empty when type is Limited"),
                true => self::limited(&limited, out),
            }
        }
        _ => out.push(FieldError::not_supported(&kind.path, kind.text(), &["Exempt", "Limited"])),
    }
    fixed(object, FIXED_LEVELS, Some("exempt"), out);
    status(object, out);
}

fn shares(at: &At<'_, '_>, out: &mut Out) {
    let shares = at.get("nominalConcurrencyShares");
    if shares.int().is_some_and(|n| n < 0) {
        out.invalid(&shares, "must be a non-negative integer");
    }
    out.within(&at.get("lendablePercent"), 0, 100);
}

fn limited(at: &At<'_, '_>, out: &mut Out) {
    let shares = at.get("nominalConcurrencyShares");
    if shares.int().is_some_and(|n| n < 0) {
        out.invalid(&shares, "must be a non-negative integer");
    }
    let response = at.get("limitResponse");
    let (kind, queuing) = (response.get("type"), response.get("queuing"));
    match kind.text() {
        "Reject" if queuing.is_set() => {
            out.forbidden(&queuing, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Reject" => {}
        "Queue" if !queuing.is_set() => {
            out.required(&queuing, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => queues(&queuing, out),
        _ => out.push(FieldError::not_supported(&kind.path, kind.text(), &["Queue", "Reject"])),
    }
    out.within(&at.get("lendablePercent"), 0, 100);
    let borrowing = at.get("borrowingLimitPercent");
    if borrowing.int().is_some_and(|n| n < 0) {
        out.invalid(&borrowing, "if specified, must be a non-negative integer");
    }
}

fn queues(at: &At<'_, '_>, out: &mut Out) {
    let (length, queues, hand) = (at.get("queueLengthLimit"), at.get("queues"), at.get("handSize"));
    let count = |at: &At<'_, '_>| at.int().unwrap_or(0);
    let positive = |at: &At<'_, '_>, out: &mut Out| {
        if count(at) <= 0 {
            out.push(FieldError::invalid(&at.path, count(at), "must be positive"));
        }
        count(at) > 0
    };
    positive(&length, out);
    if positive(&queues, out) && count(&queues) > QUEUES_MOST {
        out.invalid(&queues, format!("must not be greater than {QUEUES_MOST}"));
    }
    if !positive(&hand, out) {
        return;
    }
    let (deck, size) = (count(&queues), count(&hand));
    let bits = entropy(deck, size);
    if size > deck {
        out.invalid(&hand, format!("should not be greater than queues ({deck})"));
    } else if bits > HASH_BITS {
        let text = format!(
            "required entropy bits of deckSize {deck} and handSize {size} should not be greater than {HASH_BITS}"
        );
        out.invalid(&hand, text);
    }
}

/// Bits that dealing a hand takes, as Kubernetes guesses them.
fn entropy(deck: i64, hand: i64) -> u32 {
    ((deck as f64).log2() * hand as f64).ceil() as u32
}
