//! Webhook configurations, admission policies' frames, aggregated APIs.
//!
//! In: an object, on update also the old one. Out: faults. Expressions are judged elsewhere.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::name;

pub(super) fn webhooks(object: &Value, mutating: bool, out: &mut Out) {
    let mut names = BTreeSet::new();
    for hook in At::root(object, "webhooks").items() {
        let name_at = hook.get("name");
        qualified(&name_at, out);
        if !name_at.text().is_empty() && !names.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
        let versions = hook.get("admissionReviewVersions");
        if versions.len() == 0 {
            out.required(&versions, "must specify one of v1, v1beta1");
        } else if !versions.items().any(|v| matches!(v.text(), "v1" | "v1beta1")) {
            out.invalid(&versions, "must include at least one of v1, v1beta1");
        }
        for rule in hook.get("rules").items() {
            self::rule(&rule, out);
        }
        out.one_of(&hook.get("failurePolicy"), &["Fail", "Ignore"]);
        out.one_of(&hook.get("matchPolicy"), &["Equivalent", "Exact"]);
        let effects = hook.get("sideEffects");
        if effects.text().is_empty() {
            out.required(&effects, "must specify one of None, NoneOnDryRun");
        } else {
            out.one_of(&effects, &["None", "NoneOnDryRun"]);
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
        super::expressions::conditions(&hook.get("matchConditions"), false, out);
        client_config(&hook.get("clientConfig"), out);
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
    let star = |list: &At<'_, '_>| list.len() > 1 && list.items().any(|v| v.text() == "*");
    for field in ["apiGroups", "apiVersions", "resources", "operations"] {
        let list = at.get(field);
        if list.len() == 0 {
            out.required(&list, "");
        }
        if star(&list) {
            out.invalid(&list, "if '*' is present, must not specify other values");
        }
    }
    for version in at.get("apiVersions").items() {
        out.filled(&version);
    }
    for operation in at.get("operations").items() {
        out.one_of(&operation, &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]);
    }
    out.one_of(&at.get("scope"), &["*", "Cluster", "Namespaced"]);
}

/// Where a webhook listens: one of an address and a service.
pub(super) fn client_config(at: &At<'_, '_>, out: &mut Out) {
    let (url, service) = (at.get("url"), at.get("service"));
    match (url.is_set(), service.is_set()) {
        (true, false) => self::url(&url, out),
        (false, true) => {
            out.filled(&service.get("name"));
            out.filled(&service.get("namespace"));
            let path = service.get("path");
            if path.is_set() && !path.text().is_empty() && !path.text().starts_with('/') {
                out.invalid(&path, "must start with a '/'");
            }
            let port = service.get("port");
            if port.is_set() {
                out.port(&port);
            }
        }
        _ => out.required(at, "exactly one of url or service is required"),
    }
}

fn url(at: &At<'_, '_>, out: &mut Out) {
    let form = "desired format: https://host[/path]";
    let Some(rest) = at.text().strip_prefix("https://") else {
        out.invalid(at, format!("'https' is the only allowed URL scheme; {form}"));
        return;
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or("");
    if host.is_empty() {
        out.invalid(at, format!("host must be specified; {form}"));
    }
    if host.contains('@') {
        out.invalid(at, "user information is not permitted in the URL");
    }
    if rest.contains('#') {
        out.invalid(at, "fragments are not permitted in the URL");
    }
    if rest.contains('?') {
        out.invalid(at, "query parameters are not permitted in the URL");
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
            out.invalid(&bundle, "local APIServices may not have a caBundle");
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
    if service.get("port").is_set() {
        out.port(&service.get("port"));
    }
    if spec.get("insecureSkipTLSVerify").yes() && !bundle.text().is_empty() {
        out.invalid(&spec.get("insecureSkipTLSVerify"), "may not be true if caBundle is present");
    }
}
