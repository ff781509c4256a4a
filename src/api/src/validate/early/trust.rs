//! What pods trust and are trusted by: bundles of root certificates, and certificates for single pods.
//!
//! In: an object, on update also the old one. Out: faults. Reads of a certificate only whether it is one and whether it
//! is an authority's; signatures and times are for who uses it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::base64;
use crate::field::FieldError;
use crate::name;
use crate::validate::access;
use crate::validate::at::{At, Out};
use crate::validate::{condition, metadata};

const BUNDLE_MOST: usize = 1 << 20;
const KEY_MOST: usize = 10 * 1024;
const CHAIN_MOST: usize = 100 * 1024;
const UID_MOST: usize = 128;
const HOUR: i64 = 60 * 60;
const OMITTED: &str = "<value omitted>";
const ENDS: [&str; 3] = ["Issued", "Denied", "Failed"];

pub(in crate::validate) fn trust_bundle(object: &Value, old: Option<&Value>, out: &mut Out) {
    let (spec, metadata) = (At::root(object, "spec"), At::root(object, "metadata"));
    let (signer, own) = (spec.get("signerName"), metadata.get("name"));
    if old.is_none() {
        match signer.text() {
            "" if own.text().contains(':') => {
                out.invalid(&own, "ClusterTrustBundle without signer name must not have \":\" in its name");
            }
            "" => out.form(&own, name::check_subdomain),
            text => {
                let prefix = format!("{}:", text.replace('/', ":"));
                match own.text().strip_prefix(&prefix) {
                    Some(rest) => out.form_of(&own, rest, name::check_subdomain),
                    None => {
                        let rule =
                            format!("ClusterTrustBundle for signerName {text} must be named with prefix {prefix}");
                        out.invalid(&own, rule);
                    }
                }
            }
        }
    }
    if !signer.text().is_empty() {
        access::signer(&signer, out);
    }
    let bundle = spec.get("trustBundle");
    if old.is_none_or(|old| old["spec"]["trustBundle"].as_str().unwrap_or("") != bundle.text()) {
        anchors(&bundle, out);
    }
    if let Some(old) = old {
        out.immutable(&signer, &old["spec"]["signerName"]);
    }
}

/// Certificates of authorities, each once.
fn anchors(at: &At<'_, '_>, out: &mut Out) {
    if at.text().len() > BUNDLE_MOST {
        out.push(FieldError::too_long(&at.path, BUNDLE_MOST));
        return;
    }
    let before = out.errors.len();
    let mut places: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (i, block) in blocks(at.text()).enumerate() {
        let fault = match (block.label, authority(&block.bytes)) {
            (label, _) if label != "CERTIFICATE" => format!("has bad block type: {label}"),
            _ if block.headers => "has PEM block headers".to_owned(),
            (_, None) => "does not parse as X.509".to_owned(),
            (_, Some(false)) => "does not have the CA bit set".to_owned(),
            (_, Some(true)) => {
                places.entry(block.bytes).or_default().push(i.to_string());
                continue;
            }
        };
        out.push(FieldError::invalid(&at.path, OMITTED, format!("entry {i} {fault}")));
    }
    if out.errors.len() > before {
        return;
    }
    if places.is_empty() {
        out.push(FieldError::invalid(&at.path, OMITTED, "at least one trust anchor must be provided"));
    }
    for twice in places.values().filter(|list| list.len() > 1) {
        let text = format!("duplicate trust anchor (indices [{}])", twice.join(" "));
        out.push(FieldError::invalid(&at.path, OMITTED, text));
    }
}

pub(in crate::validate) fn pod_certificate(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    if let Some(old) = old {
        out.immutable(&spec, &old["spec"]);
        return;
    }
    access::signer(&spec.get("signerName"), out);
    let said = spec.get("unverifiedUserAnnotations");
    metadata::annotations(&said, out);
    for (key, _) in said.entries().filter(|(key, _)| !key.contains('/')) {
        let rule = "must be a domain-prefixed key (such as \"acme.io/foo\")";
        out.push(FieldError::invalid(&said.path, key, rule));
    }
    for (own, uid) in [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")] {
        out.form(&spec.get(own), name::check_subdomain);
        let uid = spec.get(uid);
        if uid.text().is_empty() {
            out.push(FieldError::invalid(&uid.path, "", "must not be empty"));
        } else if uid.text().len() > UID_MOST {
            out.push(FieldError::too_long(&uid.path, UID_MOST));
        }
    }
    let seconds = spec.get("maxExpirationSeconds");
    let Some(most) = seconds.int() else {
        out.required(&seconds, "must be set");
        return;
    };
    let days = if spec.text_of("signerName").starts_with("kubernetes.io/") { 1 } else { 91 };
    if !(HOUR..=days * 24 * HOUR).contains(&most) {
        out.invalid(&seconds, format!("must be in the range [{HOUR}, {}]", days * 24 * HOUR));
    }
    let (request, key, proof) =
        (spec.get("stubPKCS10Request"), spec.get("pkixPublicKey"), spec.get("proofOfPossession"));
    let set = |at: &At<'_, '_>| !at.text().is_empty();
    match (set(&request), set(&key), set(&proof)) {
        (true, false, false) => der(&request, "must be a valid PKCS#10 CSR", out),
        (false, true, true) => {
            der(&key, "must be a valid PKIX-serialized public key", out);
            if base64::decoded_len(proof.text()).unwrap_or(0) > KEY_MOST {
                out.push(FieldError::too_long(&proof.path, KEY_MOST));
            }
        }
        _ => {
            let text = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
            out.push(FieldError::omitted(&spec.path, text));
        }
    }
}

/// A sequence in DER and nothing behind it.
fn der(at: &At<'_, '_>, rule: &str, out: &mut Out) {
    let bytes = base64::decode(at.text()).unwrap_or_default();
    if bytes.len() > KEY_MOST {
        out.push(FieldError::too_long(&at.path, KEY_MOST));
    } else if !matches!(element(&bytes), Some((SEQUENCE, _, []))) {
        out.push(FieldError::omitted(&at.path, rule));
    }
}

/// A certificate is issued, denied or failed once, and then stays so.
pub(in crate::validate) fn pod_certificate_status(object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let conditions = status.get("conditions");
    let before = out.errors.len();
    for (i, condition) in conditions.items().enumerate() {
        let (kind, truth) = (condition.get("type"), condition.get("status"));
        if !ENDS.contains(&kind.text()) {
            out.push(FieldError::not_supported(&kind.path, kind.text(), &ENDS));
            continue;
        }
        if i > 0 {
            out.invalid(&kind, "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"");
        }
        if truth.text() != "True" {
            out.push(FieldError::not_supported(&truth.path, truth.text(), &["True"]));
        }
    }
    condition::all(&conditions, out);
    if out.errors.len() > before {
        return;
    }
    let end = |object: &Value| {
        let list = crate::meta::list_at(object, &["status", "conditions"]);
        list.first().map(|one| crate::meta::text(one, "type").to_owned())
    };
    // An absent status says as much as an empty one.
    let empty = |value: &Value| value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
    let was = &old["status"];
    let same = status.value == was || empty(status.value) && empty(was);
    let rule = match (end(old), end(object).as_deref()) {
        (Some(_), _) => (!same).then_some("immutable after PodCertificateRequest is issued, denied, or failed"),
        (None, Some("Issued")) => return issued(&status, out),
        (None, Some(_)) => status
            .entries()
            .any(|(field, value)| field != "conditions" && value.is_set())
            .then_some("non-condition status fields must be empty when denying or failing the PodCertificateRequest"),
        (None, None) => {
            (!same).then_some("status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"")
        }
    };
    if let Some(rule) = rule {
        out.push(FieldError::omitted(&status.path, rule));
    }
}

/// The chain holds certificates, and the times are told.
fn issued(status: &At<'_, '_>, out: &mut Out) {
    let chain = status.get("certificateChain");
    if chain.text().len() > CHAIN_MOST {
        out.push(FieldError::too_long(&chain.path, CHAIN_MOST));
        return;
    }
    let mut some = false;
    for block in blocks(chain.text()) {
        let fault = match block.label {
            "CERTIFICATE" if authority(&block.bytes).is_some() => {
                some = true;
                continue;
            }
            "CERTIFICATE" if some => "intermediate certificate does not parse as valid X.509",
            "CERTIFICATE" => "leaf certificate does not parse as valid X.509",
            _ => "issued certificate chain must consist entirely of CERTIFICATE PEM blocks",
        };
        out.invalid(&chain, fault);
        return;
    }
    if !some {
        out.push(FieldError::invalid(
            &chain.path,
            chain.text(),
            "issued certificate chain must contain at least one certificate",
        ));
        return;
    }
    const CONSISTENT: &str = "must be present and consistent with the issued certificate";
    for (field, rule) in [
        ("notBefore", CONSISTENT),
        ("notAfter", CONSISTENT),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ] {
        if !status.get(field).is_set() {
            out.required(&status.get(field), rule);
        }
    }
}

/// A block of PEM.
struct Block<'t> {
    label: &'t str,
    headers: bool,
    bytes: Vec<u8>,
}

/// The blocks of a text; what is between them, and what is no block, is skipped.
fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    const BEGIN: &str = "-----BEGIN ";
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find(BEGIN)? + BEGIN.len()..];
            let Some((label, body)) = rest.split_once("-----") else { continue };
            let Some((body, after)) = body.split_once(&*format!("-----END {label}-----")) else { continue };
            let (headers, body) = match body.trim_start().split_once("\n\n") {
                Some((head, body)) if head.contains(':') => (true, body),
                _ => (false, body),
            };
            let Some(bytes) = base64::decode(&body.replace([' ', '\t'], "")) else { continue };
            rest = after;
            return Some(Block { label, headers, bytes });
        }
    })
}

const SEQUENCE: u8 = 0x30;
/// `id-ce-basicConstraints` as an element of DER.
const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];

/// The first element of these bytes: its tag, what is in it, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
        }
        _ => return None,
    };
    let (inside, after) = rest.split_at_checked(length)?;
    Some((*tag, inside, after))
}

/// Whether a certificate is an authority's; `None` when it is no certificate.
fn authority(bytes: &[u8]) -> Option<bool> {
    let inside = |bytes, wanted| element(bytes).filter(|(tag, ..)| *tag == wanted).map(|(_, inside, _)| inside);
    let (tag, whole, []) = element(bytes)? else { return None };
    let mut rest = inside(whole, SEQUENCE).filter(|_| tag == SEQUENCE)?;
    // Version, serial number, algorithm, issuer, validity, subject, key; the version may be left out.
    let mut fields = 0;
    let mut extensions: &[u8] = &[];
    while !rest.is_empty() {
        let (tag, content, after) = element(rest)?;
        match tag {
            0xa3 => extensions = inside(content, SEQUENCE)?,
            0xa0 if fields == 0 => {}
            0x02 | SEQUENCE => fields += 1,
            _ => {}
        }
        rest = after;
    }
    if fields != 6 {
        return None;
    }
    while !extensions.is_empty() {
        let (_, content, after) = element(extensions)?;
        if let Some(mut value) = content.strip_prefix(&BASIC_CONSTRAINTS) {
            // It may be marked as critical.
            if let Some((0x01, _, rest)) = element(value) {
                value = rest;
            }
            let constraints = inside(inside(value, 0x04)?, SEQUENCE)?;
            return Some(matches!(element(constraints), Some((0x01, [0xff], _))));
        }
        extensions = after;
    }
    Some(false)
}
