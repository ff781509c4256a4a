//! Webhook configurations, admission policies' frames, aggregated APIs.
//!
//! In: an object, on update also the old one. Out: faults. Expressions are judged elsewhere.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::meta;
use crate::name;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

pub(super) fn webhooks(object: &Value, old: Option<&Value>, mutating: bool, out: &mut Out) {
    // What older rules let in stays in, as long as it was there.
    let before = old.map_or(&[][..], |old| meta::list_at(old, &["webhooks"]));
    let once = before.iter().map(meta_name).collect::<BTreeSet<_>>().len() == before.len();
    let harmless = before.iter().all(|hook| matches!(meta::text(hook, "sideEffects"), "None" | "NoneOnDryRun"));
    let understood = before.iter().all(|hook| {
        let versions = meta::list_at(hook, &["admissionReviewVersions"]);
        versions.is_empty() || versions.iter().any(|v| matches!(v.as_str(), Some("v1" | "v1beta1")))
    });
    let kept = |hooks: &[Value]| hooks.iter().map(|hook| hook.get("matchConditions").cloned()).collect::<Vec<_>>();
    let conditions = old.is_none() || kept(meta::list_at(object, &["webhooks"])) != kept(before);
    let effects: &[&str] =
        if harmless { &["None", "NoneOnDryRun"] } else { &["None", "NoneOnDryRun", "Some", "Unknown"] };
    let mut names = BTreeSet::new();
    for hook in At::root(object, "webhooks").items() {
        let name_at = hook.get("name");
        qualified(&name_at, out);
        for rule in hook.get("rules").items() {
            self::rule(&rule, out);
        }
        out.one_of(&hook.get("failurePolicy"), &["Fail", "Ignore"]);
        out.one_of(&hook.get("matchPolicy"), &["Equivalent", "Exact"]);
        let effect = hook.get("sideEffects");
        match effect.text() {
            "" => out.required(&effect, &format!("must specify one of {}", effects.join(", "))),
            _ => out.one_of(&effect, effects),
        }
        let timeout = hook.get("timeoutSeconds");
        if timeout.int().is_some_and(|n| !(1..=30).contains(&n)) {
            out.invalid(&timeout, "the timeout value must be between 1 and 30 seconds");
        }
        for selector in ["namespaceSelector", "objectSelector"] {
            out.selector(&hook.get(selector));
        }
        if mutating {
            out.one_of(&hook.get("reinvocationPolicy"), &["IfNeeded", "Never"]);
        }
        client_config(&hook.get("clientConfig"), out);
        if conditions {
            super::expressions::conditions(&hook.get("matchConditions"), false, out);
        }
        review_versions(&hook.get("admissionReviewVersions"), understood, out);
        if once && !name_at.text().is_empty() && !names.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
    }
}

fn meta_name(hook: &Value) -> &str {
    meta::text(hook, "name")
}

fn review_versions(at: &At<'_, '_>, understood: bool, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, "must specify one of v1, v1beta1");
        return;
    }
    let mut seen = BTreeSet::new();
    for version in at.items() {
        match seen.insert(version.text()) {
            true => out.form(&version, name::check_label_1035),
            false => out.invalid(&version, "duplicate version"),
        }
    }
    if understood && !seen.contains("v1") && !seen.contains("v1beta1") {
        out.invalid(at, "must include at least one of v1, v1beta1");
    }
}

/// A domain of at least three parts.
fn qualified(at: &At<'_, '_>, out: &mut Out) {
    if at.text().is_empty() {
        out.required(at, "");
    } else if let Err(faults) = name::check_subdomain(at.text()) {
        out.invalid(at, faults.join(","));
    } else if at.text().split('.').count() < 3 {
        out.invalid(at, "should be a domain with at least three segments separated by dots");
    }
}

/// Which requests are meant.
pub(super) fn rule(at: &At<'_, '_>, out: &mut Out) {
    let named = at.get("operations");
    alone(&named, "operations", out);
    for operation in named.items() {
        if !OPERATIONS.contains(&operation.text()) {
            out.push(FieldError::not_supported(&operation.path, operation.text(), &OPERATIONS));
        }
    }
    alone(&at.get("apiGroups"), "API groups", out);
    let versions = at.get("apiVersions");
    alone(&versions, "API versions", out);
    for version in versions.items() {
        out.filled(&version);
    }
    resources(&at.get("resources"), out);
    out.one_of(&at.get("scope"), &["*", "Cluster", "Namespaced"]);
}

/// A list that is not empty, and has `*` only alone.
fn alone(at: &At<'_, '_>, what: &str, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, "");
    }
    if at.len() > 1 && at.items().any(|one| one.text() == "*") {
        out.invalid(at, format!("if '*' is present, must not specify other {what}"));
    }
}

/// `pods`, `pods/status`, `pods/*`, `*/scale`, `*` and `*/*`, as long as none says what another says already.
fn resources(at: &At<'_, '_>, out: &mut Out) {
    if at.len() == 0 {
        out.required(at, "");
    }
    let (mut any_sub, mut any_resource) = (BTreeSet::new(), BTreeSet::new());
    let (mut all, mut plain) = (false, false);
    for one in at.items() {
        if !out.filled(&one) {
            continue;
        }
        all |= one.text() == "*";
        let Some((resource, sub)) = one.text().split_once('/') else {
            plain = one.text() != "*";
            continue;
        };
        if any_sub.contains(resource) {
            out.invalid(&one, format!("if '{resource}/*' is present, must not specify {}", one.text()));
        }
        if any_resource.contains(sub) {
            out.invalid(&one, format!("if '*/{sub}' is present, must not specify {}", one.text()));
        }
        if sub == "*" {
            any_sub.insert(resource);
        }
        if resource == "*" {
            any_resource.insert(sub);
        }
    }
    if at.len() > 1 && at.items().any(|one| one.text() == "*/*") {
        out.invalid(at, "if '*/*' is present, must not specify other resources");
    }
    if all && plain {
        out.invalid(at, "if '*' is present, must not specify other resources without subresources");
    }
}

/// Where a webhook listens: one of an address and a service.
pub(super) fn client_config(at: &At<'_, '_>, out: &mut Out) {
    let (url, service) = (at.get("url"), at.get("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => self::url(&url, out),
        (false, true) => {
            out.filled(&service.get("name"));
            out.filled(&service.get("namespace"));
            let port = service.get("port");
            if port.int().is_some_and(|n| !(1..=65535).contains(&n)) {
                out.invalid(&port, format!("port is not valid: {}", name::range(1, 65535)));
            }
            service_path(&service.get("path"), out);
        }
        _ => out.required(at, "exactly one of url or service is required"),
    }
}

/// Parts of a path are not empty, and domains.
fn service_path(at: &At<'_, '_>, out: &mut Out) {
    match at.text() {
        "" | "/" => return,
        "//" => {
            out.invalid(at, "segment[0] may not be empty");
            return;
        }
        text if !text.starts_with('/') => out.invalid(at, "must start with a '/'"),
        _ => {}
    }
    let inner: String = at.text().chars().skip(1).collect();
    for (i, step) in inner.strip_suffix('/').unwrap_or(&inner).split('/').enumerate() {
        if step.is_empty() {
            out.invalid(at, format!("segment[{i}] may not be empty"));
            continue;
        }
        for fault in name::check_subdomain(step).err().into_iter().flatten() {
            out.invalid(at, format!("segment[{i}]: {fault}"));
        }
    }
}

fn url(at: &At<'_, '_>, out: &mut Out) {
    let form = "desired format: https://host[/path]";
    let (scheme, rest) = at.text().split_once("://").unwrap_or(("", at.text()));
    let mut wrong = |part: &str, text: String| out.push(FieldError::invalid(&at.path, part, text));
    if !scheme.eq_ignore_ascii_case("https") {
        wrong(scheme, format!("'https' is the only allowed URL scheme; {form}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or("") };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        wrong("", format!("host must be specified; {form}"));
    }
    for (part, text) in [
        (user, "user information is not permitted in the URL"),
        (fragment, "fragments are not permitted in the URL"),
        (query, "query parameters are not permitted in the URL"),
    ] {
        if !part.is_empty() {
            wrong(part, text.to_owned());
        }
    }
}

pub(super) fn api_service(object: &Value, out: &mut Out) {
    let (spec, metadata) = (At::root(object, "spec"), At::root(object, "metadata"));
    let wanted = format!("{}.{}", spec.text_of("version"), spec.text_of("group"));
    if metadata.text_of("name") != wanted {
        out.invalid(&metadata.get("name"), format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
    }
    let group = spec.get("group");
    if spec.text_of("version").is_empty() {
        out.required(&spec.get("version"), "");
    } else {
        out.form(&spec.get("version"), name::check_label_1035);
    }
    if group.text().is_empty() {
        if spec.text_of("version") != "v1" {
            out.required(&group, "only v1 may have an empty group and it better be legacy kube");
        }
    } else {
        out.form(&group, name::check_subdomain);
    }
    for (field, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1000)] {
        let at = spec.get(field);
        let value = at.int().unwrap_or(0);
        if value <= 0 || value > most {
            let text = format!("must be positive and less than {most}");
            out.push(FieldError::invalid(&at.path, value, text));
        }
    }
    let service = spec.get("service");
    let bundle = spec.get("caBundle");
    if !service.is_set() {
        if !bundle.text().is_empty() {
            let size = crate::base64::decoded_len(bundle.text()).unwrap_or(0);
            let text = "local APIServices may not have a caBundle";
            out.push(FieldError::invalid(&bundle.path, format!("{size} bytes"), text));
        }
        if spec.get("insecureSkipTLSVerify").yes() {
            out.invalid(&spec.get("insecureSkipTLSVerify"), "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for field in ["namespace", "name"] {
        if service.text_of(field).is_empty() {
            out.required(&service.get(field), "");
        }
    }
    let port = service.get("port");
    if port.int().is_some_and(|n| !(1..=65535).contains(&n)) {
        out.invalid(&port, format!("port is not valid: {}", name::range(1, 65535)));
    }
    if spec.get("insecureSkipTLSVerify").yes() && !bundle.text().is_empty() {
        out.invalid(&spec.get("insecureSkipTLSVerify"), "may not be true if caBundle is present");
    }
}

pub(super) fn api_service_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    for condition in status.get("conditions").items() {
        let at = condition.get("status");
        if !matches!(at.text(), "True" | "False" | "Unknown") {
            out.push(FieldError::not_supported(&at.path, at.text(), &["True", "False", "Unknown"]));
        }
    }
}
