//! References from a pod to its own fields and resources (the downward API).
//!
//! In: `fieldRef` and `resourceFieldRef`. Out: faults.

use super::super::at::{At, Out};
use crate::field::FieldError;
use crate::name;

/// Resources of a container that can be shown.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// A field of the pod: one of `allowed`, or one label or annotation.
pub(super) fn field(at: &At<'_, '_>, allowed: &[&str], out: &mut Out) {
    if at.text_of("apiVersion").is_empty() {
        out.required(&at.get("apiVersion"), "");
        return;
    }
    let path = at.get("fieldPath");
    if path.text().is_empty() {
        out.required(&path, "");
        return;
    }
    if let Some((map, key)) = path.text().strip_suffix("']").and_then(|text| text.split_once("['")) {
        match map {
            "metadata.annotations" => out.form_of(at, &key.to_lowercase(), name::check_qualified),
            "metadata.labels" => out.form_of(at, key, name::check_qualified),
            _ => out.push(FieldError::invalid(&at.path, map, "does not support subscript")),
        }
        return;
    }
    let known = [
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    if !known.contains(&path.text()) {
        out.invalid(&path, format!("error converting fieldPath: field label not supported: {}", path.text()));
    } else if !allowed.contains(&path.text()) {
        out.push(FieldError::not_supported(&path.path, path.text(), allowed));
    }
}

/// A limit or request of a container; in volumes the container must be named.
pub(super) fn resource(at: &At<'_, '_>, volume: bool, out: &mut Out) {
    if volume && at.text_of("containerName").is_empty() {
        out.required(&at.get("containerName"), "");
        return;
    }
    let resource = at.get("resource");
    let name = resource.text();
    if name.is_empty() {
        out.required(&resource, "");
        return;
    }
    let pages = name.starts_with("limits.hugepages-") || name.starts_with("requests.hugepages-");
    if !RESOURCES.contains(&name) && !pages {
        out.push(FieldError::not_supported(&resource.path, name, &RESOURCES));
        return;
    }
    let divisor = at.get("divisor");
    let text = divisor.quantity().map(|q| q.to_string()).unwrap_or_default();
    if text.is_empty() || text == "0" {
        return;
    }
    let units: &[&str] = match name {
        "limits.cpu" | "requests.cpu" => &["1m", "1"],
        _ => &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"],
    };
    if !units.contains(&text.as_str()) {
        let what = match name.split_once('.').map_or("", |(_, resource)| resource) {
            "cpu" => "cpu",
            "memory" => "memory",
            "ephemeral-storage" => "local ephemeral storage",
            _ => "hugepages",
        };
        let listed = match units {
            [milli, one] => format!("{milli} and {one}"),
            many => many.join(", "),
        };
        let rule = format!("only divisor's values {listed} are supported with the {what} resource");
        out.push(FieldError::invalid(&divisor.path, name, rule));
    }
}
