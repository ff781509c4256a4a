//! Volumes that are put together from several objects.
//!
//! In: a `projected` source. Out: faults below it.

use std::collections::BTreeSet;

use super::super::access::signer;
use super::super::at::{At, Out};
use super::super::metadata;
use super::volume::{downward_file, items, mode, unreserved};
use crate::field::FieldError;
use crate::name;

/// Keys that can be asked for.
const KEYS: [&str; 6] = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
/// A certificate holds an hour at least.
const CERTIFICATE_LEAST: i64 = 60 * 60;
/// And 91 days at most; a day, if a signer of Kubernetes' own makes it.
const CERTIFICATE_MOST: i64 = 91 * 24 * 60 * 60;
const OWN_CERTIFICATE_MOST: i64 = 24 * 60 * 60;

pub(super) fn all(at: &At<'_, '_>, out: &mut Out) {
    mode(&at.get("defaultMode"), out);
    let mut paths = Paths { at, seen: BTreeSet::new() };
    for source in at.get("sources").items() {
        let mut found = 0;
        for (kind, rule) in KINDS {
            let one = source.get(kind);
            if one.is_set() {
                found += 1;
                rule(&one, &mut paths, out);
            }
        }
        if found > 1 {
            out.forbidden(&source, "may not specify more than 1 volume type per source");
        }
    }
}

/// Files that are taken. Faults stand at the volume.
struct Paths<'v, 'p, 'a> {
    at: &'a At<'v, 'p>,
    seen: BTreeSet<String>,
}

impl Paths<'_, '_, '_> {
    fn take(&mut self, path: &str, shown: &str, out: &mut Out) {
        if !self.seen.insert(path.to_owned()) {
            out.push(FieldError::invalid(&self.at.path, shown, "conflicting duplicate paths"));
        }
    }
}

type Rule = fn(&At<'_, '_>, &mut Paths<'_, '_, '_>, &mut Out);

const KINDS: [(&str, Rule); 6] = [
    ("secret", keys),
    ("configMap", keys),
    ("downwardAPI", downward),
    ("serviceAccountToken", token),
    ("clusterTrustBundle", bundle),
    ("podCertificate", certificate),
];

fn keys(at: &At<'_, '_>, paths: &mut Paths<'_, '_, '_>, out: &mut Out) {
    out.filled(&at.get("name"));
    items(&at.get("items"), out);
    for item in at.get("items").items().filter(|item| !item.text_of("path").is_empty()) {
        paths.take(item.text_of("path"), at.text_of("name"), out);
    }
}

fn downward(at: &At<'_, '_>, paths: &mut Paths<'_, '_, '_>, out: &mut Out) {
    for item in at.get("items").items() {
        // The place is the source's, not the file's.
        downward_file(&At { value: item.value, path: at.path }, out);
        let path = item.text_of("path");
        if !path.is_empty() {
            paths.take(path, path, out);
        }
    }
}

fn token(at: &At<'_, '_>, paths: &mut Paths<'_, '_, '_>, out: &mut Out) {
    let seconds = at.get("expirationSeconds");
    if seconds.int().is_some_and(|n| n < 600) {
        out.invalid(&seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds.int().is_some_and(|n| n > 1 << 32) {
        out.invalid(&seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // The place is the volume's.
    let path = At { value: at.get("path").value, path: paths.at.path.child("path") };
    if out.filled(&path) {
        unreserved(&path, out);
    }
}

fn bundle(at: &At<'_, '_>, paths: &mut Paths<'_, '_, '_>, out: &mut Out) {
    let (name_at, signer_at, selector) = (at.get("name"), at.get("signerName"), at.get("labelSelector"));
    match (name_at.is_set(), signer_at.is_set()) {
        (true, true) => out.invalid(at, "only one of name and signerName may be used"),
        (false, false) => out.required(at, "either name or signerName must be specified"),
        (true, false) => {
            if name_at.text().is_empty() {
                out.required(&name_at, "must be a valid object name");
            }
            for fault in name::check_subdomain(&name_at.text().replace(':', ".")).err().into_iter().flatten() {
                out.invalid(&name_at, format!("not a valid clustertrustbundlename: {fault}"));
            }
            if selector.is_set() {
                out.invalid(&selector, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer_at.text().is_empty() {
                out.required(&signer_at, "must be a valid signer name");
            }
            signer(&signer_at, out);
            out.selector(&selector);
        }
    }
    let path = at.get("path");
    out.filled(&path);
    unreserved(&path, out);
    paths.take(path.text(), path.text(), out);
}

fn certificate(at: &At<'_, '_>, paths: &mut Paths<'_, '_, '_>, out: &mut Out) {
    signer(&at.get("signerName"), out);
    metadata::annotations(&at.get("userAnnotations"), out);
    let kind = at.get("keyType");
    if !KEYS.contains(&kind.text()) {
        out.push(FieldError::not_supported(&kind.path, kind.text(), &KEYS));
    }
    let seconds = at.get("maxExpirationSeconds");
    let domain = at.text_of("signerName").split('/').next().unwrap_or_default();
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let most = if own { OWN_CERTIFICATE_MOST } else { CERTIFICATE_MOST };
    if seconds.int().is_some_and(|n| n < CERTIFICATE_LEAST) {
        out.invalid(&seconds, format!("if provided, maxExpirationSeconds must be >= {CERTIFICATE_LEAST}"));
    }
    if seconds.int().is_some_and(|n| n > most) {
        out.invalid(&seconds, format!("if provided, maxExpirationSeconds must be <= {most}"));
    }
    let mut found = false;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = at.get(field);
        if !path.text().is_empty() {
            found = true;
            unreserved(&path, out);
            paths.take(path.text(), path.text(), out);
        }
    }
    if !found {
        out.required(at, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}
