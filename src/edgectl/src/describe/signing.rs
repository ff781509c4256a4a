//! The page of a request for a certificate.
//!
//! In: an object. Out: lines. Never tells whether a request is to be trusted: only what it asks for.

use kedge_api::clock;
use serde_json::Value;

use super::page::Page;
use super::request::{self, Asked};
use super::values::{in_line, items, moment, words};

/// A CertificateSigningRequest.
pub fn signing_request(object: &Value, page: &mut Page) {
    let (meta, spec) = (&object["metadata"], &object["spec"]);
    page.line(0, "Labels", in_line(&meta["labels"]));
    page.line(0, "Annotations", in_line(&meta["annotations"]));
    page.line(0, "CreationTimestamp", moment(&meta["creationTimestamp"]));
    page.line(0, "Requesting User", words(&spec["username"]));
    page.some(0, "Signer", &spec["signerName"]);
    if let Some(seconds) = spec["expirationSeconds"].as_i64() {
        page.line(0, "Requested Duration", clock::human(seconds));
    }
    page.line(0, "Status", standing(&object["status"]));
    match spec["request"].as_str().and_then(request::read) {
        Some(asked) => subject(&asked, page),
        None => page.line(0, "Subject", "<the request cannot be read>"),
    }
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
    page.raw(0, format!("\tCommon Name:\t{}", asked.subject("CN").join(",")));
    page.raw(0, format!("\tSerial Number:\t{}", asked.subject("serialNumber").join(",")));
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
    if !values.is_empty() {
        page.raw(0, format!("\t{name}:\t{}", values.join("\n\t\t")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

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

    #[test]
    fn a_subject_stands_one_column_further_right() {
        check(
            |page| {
                page.raw(0, "\tCommon Name:\tjane");
                listed("Organization", &["tea", "milk"], page);
            },
            "  Common Name:   jane\n  Organization:  tea\n                 milk\n",
        );
    }
}
