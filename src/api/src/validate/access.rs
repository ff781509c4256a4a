//! Roles, their bindings, and certificate signing requests.
//!
//! In: an object, on update also the old one. Out: faults. Whether somebody may grant a role is the authorizer's.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use crate::base64;
use crate::field::FieldError;
use crate::meta;
use crate::name;
use crate::strategy::Part;

const GROUP: &str = "rbac.authorization.k8s.io";
/// A certificate must hold ten minutes.
const EXPIRATION_LEAST: i64 = 600;

pub(super) fn role(object: &Value, namespaced: bool, out: &mut Out) {
    for rule in At::root(object, "rules").items() {
        self::rule(&rule, namespaced, out);
    }
    let aggregation = At::root(object, "aggregationRule");
    if aggregation.is_set() {
        let selectors = aggregation.get("clusterRoleSelectors");
        if selectors.len() == 0 {
            out.required(&selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in selectors.items() {
            out.selector(&selector);
        }
    }
}

fn rule(at: &At<'_, '_>, namespaced: bool, out: &mut Out) {
    if at.get("verbs").len() == 0 {
        out.required(&at.get("verbs"), "verbs must contain at least one value");
    }
    let urls = at.get("nonResourceURLs");
    let (groups, resources) = (at.get("apiGroups"), at.get("resources"));
    if urls.len() > 0 {
        if namespaced {
            out.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if groups.len() + resources.len() + at.get("resourceNames").len() > 0 {
            out.invalid(&urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    if groups.len() == 0 {
        out.required(&groups, "resource rules must supply at least one api group");
    }
    if resources.len() == 0 {
        out.required(&resources, "resource rules must supply at least one resource");
    }
}

pub(super) fn binding(object: &Value, old: Option<&Value>, namespaced: bool, out: &mut Out) {
    let role = At::root(object, "roleRef");
    if role.text_of("apiGroup") != GROUP {
        let at = role.get("apiGroup");
        out.push(FieldError::not_supported(&at.path, at.text(), &[GROUP]));
    }
    let kind = role.get("kind");
    let allowed: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if !allowed.contains(&kind.text()) {
        out.push(FieldError::not_supported(&kind.path, kind.text(), allowed));
    }
    let name_at = role.get("name");
    if name_at.text().is_empty() {
        out.required(&name_at, "");
    } else {
        out.form(&name_at, name::check_path_segment);
    }
    for subject in At::root(object, "subjects").items() {
        self::subject(&subject, namespaced, out);
    }
    if let Some(old) = old
        && role.value != &old["roleRef"]
    {
        out.invalid(&role, "cannot change roleRef");
    }
}

fn subject(at: &At<'_, '_>, namespaced: bool, out: &mut Out) {
    let (kind, group) = (at.get("kind"), at.get("apiGroup"));
    if at.text_of("name").is_empty() {
        out.required(&at.get("name"), "");
    }
    match kind.text() {
        "ServiceAccount" => {
            out.optional_form(&at.get("name"), name::check_subdomain);
            if !group.text().is_empty() {
                out.push(FieldError::not_supported(&group.path, group.text(), &[""]));
            }
            if !namespaced && at.text_of("namespace").is_empty() {
                out.required(&at.get("namespace"), "");
            }
        }
        "User" | "Group" => {
            if group.text() != GROUP {
                out.push(FieldError::not_supported(&group.path, group.text(), &[GROUP]));
            }
        }
        other => out.push(FieldError::not_supported(&kind.path, other, &["ServiceAccount", "User", "Group"])),
    }
}

pub(super) fn request(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let request = spec.get("request");
    let pem = base64::decode(request.text()).and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    if !pem.contains("-----BEGIN CERTIFICATE REQUEST-----") && !pem.contains("-----BEGIN NEW CERTIFICATE REQUEST-----")
    {
        out.invalid(&request, "PEM block type must be CERTIFICATE REQUEST");
    }
    let usages = spec.get("usages");
    if usages.len() == 0 {
        out.required(&usages, "");
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        if !USAGES.contains(&usage.text()) {
            out.push(FieldError::not_supported(&usage.path, usage.text(), &USAGES));
        }
        if !seen.insert(usage.text()) {
            out.duplicate(&usage);
        }
    }
    let name_at = spec.get("signerName");
    match name_at.text() {
        "kubernetes.io/legacy-unknown" => {
            out.invalid(&name_at, "the legacy signerName is not allowed via this API version");
        }
        _ => signer(&name_at, out),
    }
    let seconds = spec.get("expirationSeconds");
    if seconds.int().is_some_and(|n| n < EXPIRATION_LEAST) {
        out.invalid(&seconds, "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// `domain/path`.
pub(super) fn signer(at: &At<'_, '_>, out: &mut Out) {
    if at.text().is_empty() {
        out.required(at, "");
        return;
    }
    match at.text().split_once('/') {
        Some((domain, path)) if !path.contains('/') => {
            out.form_of(at, domain, name::check_subdomain);
            if domain.split('.').count() < 2 {
                out.push(FieldError::invalid(
                    &at.path,
                    domain,
                    "should be a domain with at least two segments separated by dots",
                ));
            }
            out.form_of(at, path, name::check_subdomain);
        }
        _ => out.invalid(at, "must be a fully qualified domain and path of the form 'example.com/signer-name'"),
    }
}

/// Conditions of an approval stand alone, are true, and stay; a certificate is given once. Whether it is one the API
/// server tells.
pub(super) fn request_status(part: Part, object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let list = status.get("conditions");
    let before = meta::list_at(old, &["status", "conditions"]);
    let kinds: Vec<&str> = before.iter().map(|condition| meta::text(condition, "type")).collect();
    let was_twice = kinds.iter().collect::<BTreeSet<_>>().len() < kinds.len();
    let was_both = kinds.contains(&"Approved") && kinds.contains(&"Denied");
    let mut seen = BTreeSet::new();
    for condition in list.items() {
        let (kind, truth) = (condition.get("type"), condition.get("status"));
        if kind.text().is_empty() && !kinds.contains(&"") {
            out.required(&kind, "");
        }
        let allowed: &[&str] = match kind.text() {
            "Approved" | "Denied" | "Failed" => &["True"],
            _ => &["False", "True", "Unknown"],
        };
        out.one_of_required(&truth, allowed);
        let other = match kind.text() {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "none",
        };
        if !was_both && seen.contains(other) {
            let text = "Approved and Denied conditions are mutually exclusive";
            out.push(FieldError::invalid(&list.path, kind.text(), text));
        }
        if !seen.insert(kind.text()) && !was_twice {
            out.push(FieldError::duplicate(&kind.path, kind.text()));
        }
    }
    let certificate = status.get("certificate");
    let kept = meta::text_at(old, &["status", "certificate"]);
    let count = |list: &[Value], kind: &str| list.iter().filter(|c| meta::text(c, "type") == kind).count();
    let now = meta::list_at(object, &["status", "conditions"]);
    for kind in ["Approved", "Denied", "Failed"] {
        if count(now, kind) < count(before, kind) {
            out.forbidden(&list, format!("updates may not remove a condition of type {kind:?}"));
        }
    }
    if part != Part::Approval {
        for kind in ["Approved", "Denied"] {
            if count(now, kind) > count(before, kind) {
                out.forbidden(&list, format!("updates may not add a condition of type {kind:?}"));
            }
        }
    }
    if !kept.is_empty() && certificate.text() != kept {
        out.forbidden(&certificate, "updates may not modify existing certificate content");
    }
}
