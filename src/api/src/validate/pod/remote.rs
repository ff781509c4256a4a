//! Volumes that come over a network or from a cloud, in pods and in PersistentVolumes.
//!
//! In: a source. Out: faults below it.

use super::super::at::{At, Out};
use super::container::backsteps;
use crate::field::FieldError;
use crate::name::{self, range};

/// What is said of a portal that does not fit into a name on the node.
pub(in super::super) const LONG_PORTAL: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 \
                                                characters if iscsi.initiatorName is specified.";
/// Longest name of a CSI driver.
const DRIVER_MOST: usize = 63;
/// Longest tenant of a Quobyte volume.
const TENANT_MOST: usize = 64;

pub(in super::super) fn gce(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("pdName"));
    partition(&at.get("partition"), out);
}

pub(in super::super) fn aws(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("volumeID"));
    partition(&at.get("partition"), out);
}

fn partition(at: &At<'_, '_>, out: &mut Out) {
    if at.int().is_some_and(|n| !(0..=255).contains(&n)) {
        out.invalid(at, range(1, 255));
    }
}

pub(in super::super) fn nfs(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("server"));
    let path = at.get("path");
    out.filled(&path);
    if !path.text().starts_with('/') {
        out.push(FieldError::invalid(&path.path, path.text(), "must be an absolute path"));
    }
}

pub(in super::super) fn iscsi(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("targetPortal"));
    if out.filled(&at.get("iqn")) {
        initiator(&at.get("iqn"), "must be valid format starting with iqn, eui, or naa", out);
    }
    unit(&at.get("lun"), out);
    let asks = at.get("chapAuthDiscovery").yes() || at.get("chapAuthSession").yes();
    if asks && !at.get("secretRef").is_set() {
        out.required(&at.get("secretRef"), "");
    }
    let name_at = at.get("initiatorName");
    if name_at.is_set() {
        let shown = At { value: name_at.value, path: at.path.child("initiatorname") };
        initiator(&shown, "must be valid format starting with iqn, eui, or naa", out);
    }
}

/// As `iscsi`, but for the words and the secret; `volume` is the name of the PersistentVolume.
pub(in super::super) fn iscsi_persistent(at: &At<'_, '_>, volume: &str, out: &mut Out) {
    let (portal, name_at, secret) = (at.get("targetPortal"), at.get("initiatorName"), at.get("secretRef"));
    out.filled(&portal);
    if name_at.is_set() && volume.len() + 1 + portal.text().len() > super::volume::PORTAL_MOST {
        let shown = At { value: portal.value, path: at.path.child("targetportal") };
        out.invalid(&shown, LONG_PORTAL);
    }
    if out.filled(&at.get("iqn")) {
        initiator(&at.get("iqn"), "must be valid format", out);
    }
    unit(&at.get("lun"), out);
    let asks = at.get("chapAuthDiscovery").yes() || at.get("chapAuthSession").yes();
    if asks && !secret.is_set() {
        out.required(&secret, "");
    }
    if secret.is_set() {
        out.filled(&secret.get("name"));
    }
    if name_at.is_set() {
        let shown = At { value: name_at.value, path: at.path.child("initiatorname") };
        initiator(&shown, "must be valid format", out);
    }
}

/// `iqn.2026-01.com.example:disk`, `eui.` and 16 or `naa.` and 32 letters and digits.
fn initiator(at: &At<'_, '_>, words: &str, out: &mut Out) {
    let text = at.text();
    let letters =
        |rest: &str, count: usize| rest.len() == count + 1 && rest.bytes().skip(1).all(|b| b.is_ascii_alphanumeric());
    let good = match text.get(..3) {
        Some("iqn") => iqn(text),
        Some("eui") => letters(&text[3..], 16),
        Some("naa") => letters(&text[3..], 32),
        _ => return out.invalid(at, words),
    };
    if !good {
        out.invalid(at, "must be valid format");
    }
}

/// A date, a reversed domain, and after a colon a name.
fn iqn(text: &str) -> bool {
    let Some((head, tail)) = text.split_once(':') else { return false };
    let digits = |part: Option<&str>| part.is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    let domain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
    let dated = head.starts_with("iqn.")
        && digits(head.get(4..8))
        && head.get(8..9) == Some("-")
        && digits(head.get(9..11))
        && head.get(11..12) == Some(".");
    let rest = head.get(12..).unwrap_or_default();
    let named =
        !tail.is_empty() && !tail.contains([',', ';', '*', '&', '$', '|']) && !tail.contains(char::is_whitespace);
    dated && !rest.is_empty() && domain(rest) && named
}

fn unit(at: &At<'_, '_>, out: &mut Out) {
    out.within(at, 0, 255);
}

pub(in super::super) fn glusterfs(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("endpoints"));
    out.filled(&at.get("path"));
}

pub(in super::super) fn glusterfs_persistent(at: &At<'_, '_>, out: &mut Out) {
    glusterfs(at, out);
    let namespace = at.get("endpointsNamespace");
    if namespace.is_set() && namespace.text().is_empty() {
        out.invalid(&namespace, "if the endpointnamespace is set, it must be a valid namespace name");
    } else {
        out.optional_form(&namespace, name::check_label);
    }
}

pub(in super::super) fn flocker(at: &At<'_, '_>, out: &mut Out) {
    let (dataset, id) = (at.get("datasetName"), at.get("datasetUUID"));
    match (dataset.text().is_empty(), id.text().is_empty()) {
        (true, true) => out.required(at, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            let text = "datasetName and datasetUUID can not be specified simultaneously";
            out.push(FieldError::invalid(&at.path, "resource", text));
        }
        _ => {}
    }
    if dataset.text().contains('/') {
        out.invalid(&dataset, "must not contain '/'");
    }
}

pub(in super::super) fn rbd(at: &At<'_, '_>, out: &mut Out) {
    cephfs(at, out);
    out.filled(&at.get("image"));
}

pub(in super::super) fn cephfs(at: &At<'_, '_>, out: &mut Out) {
    if at.get("monitors").len() == 0 {
        out.required(&at.get("monitors"), "");
    }
}

pub(in super::super) fn cinder(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("volumeID"));
    secret(&at.get("secretRef"), &["name"], out);
}

pub(in super::super) fn cinder_persistent(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("volumeID"));
    secret(&at.get("secretRef"), &["name", "namespace"], out);
}

fn secret(at: &At<'_, '_>, fields: &[&str], out: &mut Out) {
    if at.is_set() {
        fields.iter().for_each(|field| super::needs(at, field, out));
    }
}

pub(in super::super) fn quobyte(at: &At<'_, '_>, out: &mut Out) {
    const WORDS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = at.get("registry");
    if registry.text().is_empty() {
        out.required(&registry, WORDS);
    } else if at.text_of("tenant").len() > TENANT_MOST {
        out.required(&at.get("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.text().split(',') {
            let good = pair.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.starts_with('['));
            if !good {
                out.invalid(&registry, WORDS);
            }
        }
    }
    out.filled(&at.get("volume"));
}

pub(in super::super) fn fibre_channel(at: &At<'_, '_>, out: &mut Out) {
    let (names, ids, lun) = (at.get("targetWWNs"), at.get("wwids"), at.get("lun"));
    match (names.len(), ids.len()) {
        (0, 0) => out.required(&names, "must specify either targetWWNs or wwids, but not both"),
        (1.., 1..) => out.invalid(&names, "targetWWNs and wwids can not be specified simultaneously"),
        _ => {}
    }
    if names.len() > 0 {
        match lun.is_set() {
            true => unit(&lun, out),
            false => out.required(&lun, "lun is required if targetWWNs is specified"),
        }
    }
}

pub(in super::super) fn flex(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("driver"));
    for (key, option) in at.get("options").entries() {
        let space = format!(".{}", key.split('/').next().unwrap_or_default().to_lowercase());
        if space.ends_with(".kubernetes.io") || space.ends_with(".k8s.io") {
            let text = "kubernetes.io and k8s.io namespaces are reserved";
            out.push(FieldError::invalid(&option.path, key, text));
        }
    }
}

pub(in super::super) fn azure_file(at: &At<'_, '_>, out: &mut Out) {
    out.filled(&at.get("secretName"));
    out.filled(&at.get("shareName"));
}

pub(in super::super) fn azure_file_persistent(at: &At<'_, '_>, out: &mut Out) {
    azure_file(at, out);
    if at.get("secretNamespace").is_set() {
        out.filled(&at.get("secretNamespace"));
    }
}

pub(in super::super) fn azure_disk(at: &At<'_, '_>, out: &mut Out) {
    let (uri, caching, kind) = (at.get("diskURI"), at.get("cachingMode"), at.get("kind"));
    out.filled(&at.get("diskName"));
    out.filled(&uri);
    let one_of = |at: &At<'_, '_>, allowed: &[&str], out: &mut Out| {
        if at.is_set() && !allowed.contains(&at.text()) {
            out.push(FieldError::not_supported(&at.path, at.text(), allowed));
        }
    };
    one_of(&caching, &["None", "ReadOnly", "ReadWrite"], out);
    one_of(&kind, &["Dedicated", "Managed", "Shared"], out);
    if !kind.is_set() {
        return;
    }
    let (prefix, form) = match kind.text() {
        "Managed" => (
            "/subscriptions/",
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",
        ),
        _ => ("https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"),
    };
    if !uri.text().starts_with(prefix) {
        out.push(FieldError::not_supported(&uri.path, uri.text(), &[form]));
    }
}

pub(in super::super) fn storage_os(at: &At<'_, '_>, out: &mut Out) {
    os_names(at, out);
    secret(&at.get("secretRef"), &["name"], out);
}

pub(in super::super) fn storage_os_persistent(at: &At<'_, '_>, out: &mut Out) {
    os_names(at, out);
    secret(&at.get("secretRef"), &["name", "namespace"], out);
}

fn os_names(at: &At<'_, '_>, out: &mut Out) {
    out.filled_form(&at.get("volumeName"), name::check_label);
    out.optional_form(&at.get("volumeNamespace"), name::check_label);
}

pub(in super::super) fn scale_io(at: &At<'_, '_>, out: &mut Out) {
    for field in ["gateway", "system", "volumeName"] {
        out.filled(&at.get(field));
    }
}

pub(in super::super) fn local(at: &At<'_, '_>, out: &mut Out) {
    if out.filled(&at.get("path")) {
        backsteps(&at.get("path"), out);
    }
}

pub(in super::super) fn csi(at: &At<'_, '_>, out: &mut Out) {
    driver(&at.get("driver"), out);
    let secret = at.get("nodePublishSecretRef");
    if secret.is_set() && out.filled(&secret.get("name")) {
        // The place is Kubernetes' own slip.
        out.form_of(&at.get("name"), secret.text_of("name"), name::check_subdomain);
    }
}

pub(in super::super) fn csi_persistent(at: &At<'_, '_>, out: &mut Out) {
    driver(&at.get("driver"), out);
    out.filled(&at.get("volumeHandle"));
    for field in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        let secret = at.get(field);
        if secret.is_set() {
            out.filled_form(&secret.get("name"), name::check_subdomain);
            out.filled_form(&secret.get("namespace"), name::check_label);
        }
    }
}

/// A CSI driver's name: a subdomain in any case.
pub(in super::super) fn driver(at: &At<'_, '_>, out: &mut Out) {
    if !out.filled(at) {
        return;
    }
    if at.text().len() > DRIVER_MOST {
        out.push(FieldError::too_long(&at.path, DRIVER_MOST));
    }
    for fault in name::check_subdomain(&at.text().to_lowercase()).err().into_iter().flatten() {
        out.invalid(at, fault);
    }
}
