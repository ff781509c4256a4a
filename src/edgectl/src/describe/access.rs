//! Pages of roles, bindings and requests for certificates.
//!
//! In: an object. Out: lines. Never tells whether a request is to be trusted: only what it asks for.

use kedge_api::clock;
use serde_json::Value;

use super::kinds::both;
use super::page::{Page, items, moment, words};
use super::request::{self, Asked};

/// A Role or a ClusterRole.
pub fn role(object: &Value, page: &mut Page) {
    both(object, page);
    page.head(0, "PolicyRule");
    page.table(1, &["Resources", "Non-Resource URLs", "Resource Names", "Verbs"], &rules(&object["rules"]));
}

/// A row for each resource and for each path, sorted; the rules of one resource together where their names agree.
fn rules(rules: &Value) -> Vec<Vec<String>> {
    let shown = |value: &Value| format!("[{}]", super::page::joined(value, " "));
    let mut rows = Vec::new();
    for rule in items(rules) {
        let (names, verbs) = (shown(&rule["resourceNames"]), shown(&rule["verbs"]));
        for group in items(&rule["apiGroups"]).map(words) {
            for resource in items(&rule["resources"]).map(words) {
                let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
                rows.push(vec![resource, "[]".to_owned(), names.clone(), verbs.clone()]);
            }
        }
        for path in items(&rule["nonResourceURLs"]).map(words) {
            rows.push(vec![String::new(), format!("[{path}]"), "[]".to_owned(), verbs.clone()]);
        }
    }
    rows.sort();
    rows.dedup();
    rows
}

/// A RoleBinding or a ClusterRoleBinding.
pub fn binding(object: &Value, page: &mut Page) {
    both(object, page);
    page.head(0, "Role");
    page.line(1, "Kind", words(&object["roleRef"]["kind"]));
    page.line(1, "Name", words(&object["roleRef"]["name"]));
    page.head(0, "Subjects");
    let rows: Vec<Vec<String>> = items(&object["subjects"])
        .map(|subject| ["kind", "name", "namespace"].map(|field| words(&subject[field])).to_vec())
        .collect();
    page.table(1, &["Kind", "Name", "Namespace"], &rows);
}

/// A CertificateSigningRequest.
pub fn request(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    both(object, page);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    page.line(0, "Requesting User", words(&spec["username"]));
    page.some(0, "Signer", &spec["signerName"]);
    if let Some(seconds) = spec["expirationSeconds"].as_i64() {
        page.line(0, "Requested Duration", clock::human(seconds));
    }
    page.line(0, "Status", standing(status));
    let Some(asked) = spec["request"].as_str().and_then(request::read) else {
        return page.line(0, "Subject", "<the request cannot be read>");
    };
    subject(&asked, page);
}

/// `Pending`, or what has been decided and done.
fn standing(status: &Value) -> String {
    let has = |kind: &str| items(&status["conditions"]).any(|c| c["type"] == kind);
    let mut words: Vec<&str> = Vec::new();
    match (has("Approved"), has("Denied")) {
        (_, true) => words.push("Denied"),
        (true, false) => words.push("Approved"),
        (false, false) => words.push("Pending"),
    }
    if has("Failed") {
        words.push("Failed");
    }
    if status["certificate"].as_str().is_some_and(|text| !text.is_empty()) {
        words.push("Issued");
    }
    words.join(",")
}

fn subject(asked: &Asked, page: &mut Page) {
    page.head(0, "Subject");
    page.line(1, "Common Name", asked.subject("CN").join(","));
    page.raw(1, format!("Serial Number:  {}", asked.subject("serialNumber").join(",")).trim_end());
    for (name, key) in [
        ("Organization", "O"),
        ("Organizational Unit", "OU"),
        ("Country", "C"),
        ("Locality", "L"),
        ("Province", "ST"),
        ("StreetAddress", "street"),
        ("PostalCode", "postalCode"),
    ] {
        listed(name, &asked.subject(key), page);
    }
    if asked.names.is_empty() {
        return;
    }
    page.head(0, "Subject Alternative Names");
    for name in ["DNS Names", "Email Addresses", "URIs", "IP Addresses"] {
        let found: Vec<&str> = asked.names.iter().filter(|(of, _)| *of == name).map(|(_, text)| &**text).collect();
        listed(name, &found, page);
    }
}

/// Values one below the other; nothing when there are none.
fn listed(name: &str, values: &[&str], page: &mut Page) {
    if let [first, others @ ..] = values {
        page.line(1, name, *first);
        others.iter().for_each(|value| page.below(1, *value));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    #[test]
    fn a_role_has_a_row_for_each_resource() {
        let object = json!({"metadata": {}, "rules": [
            {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"], "resourceNames": ["a"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get"]},
        ]});
        page::check(
            |page| role(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\nPolicyRule:\n  Resources  Non-Resource URLs  Resource Names  Verbs\n  ---------  -----------------  --------------  -----\n             [/healthz]         []              [get]\n  pods       []                 [a]             [get list]\n  pods.apps  []                 [a]             [get list]\n",
        );
    }

    #[test]
    fn a_binding_names_role_and_subjects() {
        let object = json!({"metadata": {}, "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "bot", "namespace": "a"}]});
        page::check(
            |page| binding(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\nRole:\n  Kind:  ClusterRole\n  Name:  view\nSubjects:\n  Kind            Name  Namespace\n  ----            ----  ---------\n  User            jane\n  ServiceAccount  bot   a\n",
        );
    }

    #[test]
    fn requests_stand_where_they_were_decided() {
        let condition = |kind: &str| json!({"type": kind});
        for (status, expected) in [
            (json!({}), "Pending"),
            (json!({"conditions": [condition("Approved")]}), "Approved"),
            (json!({"conditions": [condition("Approved")], "certificate": "x"}), "Approved,Issued"),
            (json!({"conditions": [condition("Approved"), condition("Failed")]}), "Approved,Failed"),
            (json!({"conditions": [condition("Denied")]}), "Denied"),
        ] {
            assert_eq!(standing(&status), expected);
        }
    }
}
