//! The table of selectable fields beyond name and namespace.
//!
//! In: group and kind. Out: rows. One place to add a field.

use super::Row;
use crate::kinds::Gvk;

const fn row(name: &'static str, paths: &'static [&'static [&'static str]], default: &'static str) -> Row {
    Row { name, paths, default }
}

const POD: &[Row] = &[
    row("spec.nodeName", &[&["spec", "nodeName"]], ""),
    row("spec.restartPolicy", &[&["spec", "restartPolicy"]], ""),
    row("spec.schedulerName", &[&["spec", "schedulerName"]], ""),
    row("spec.serviceAccountName", &[&["spec", "serviceAccountName"]], ""),
    row("spec.hostNetwork", &[&["spec", "hostNetwork"]], "false"),
    row("status.phase", &[&["status", "phase"]], ""),
    row("status.podIP", &[&["status", "podIP"]], ""),
    row("status.podIPs", &[], ""),
    row("status.nominatedNodeName", &[&["status", "nominatedNodeName"]], ""),
];

const EVENT: &[Row] = &[
    row("involvedObject.kind", &[&["involvedObject", "kind"], &["regarding", "kind"]], ""),
    row("involvedObject.namespace", &[&["involvedObject", "namespace"], &["regarding", "namespace"]], ""),
    row("involvedObject.name", &[&["involvedObject", "name"], &["regarding", "name"]], ""),
    row("involvedObject.uid", &[&["involvedObject", "uid"], &["regarding", "uid"]], ""),
    row("involvedObject.apiVersion", &[&["involvedObject", "apiVersion"], &["regarding", "apiVersion"]], ""),
    row(
        "involvedObject.resourceVersion",
        &[&["involvedObject", "resourceVersion"], &["regarding", "resourceVersion"]],
        "",
    ),
    row("involvedObject.fieldPath", &[&["involvedObject", "fieldPath"], &["regarding", "fieldPath"]], ""),
    row("reason", &[&["reason"]], ""),
    row("reportingComponent", &[&["reportingComponent"], &["reportingController"]], ""),
    row(
        "source",
        &[
            &["source", "component"],
            &["deprecatedSource", "component"],
            &["reportingComponent"],
            &["reportingController"],
        ],
        "",
    ),
    row("type", &[&["type"]], ""),
];

const NODE: &[Row] = &[row("spec.unschedulable", &[&["spec", "unschedulable"]], "false")];
const NAMESPACE: &[Row] = &[row("status.phase", &[&["status", "phase"]], "")];
const SECRET: &[Row] = &[row("type", &[&["type"]], "")];
const SERVICE: &[Row] =
    &[row("spec.clusterIP", &[&["spec", "clusterIP"]], ""), row("spec.type", &[&["spec", "type"]], "")];
const REPLICAS: &[Row] = &[row("status.replicas", &[&["status", "replicas"]], "0")];
const JOB: &[Row] = &[row("status.successful", &[&["status", "succeeded"]], "0")];
const SIGNER: &[Row] = &[row("spec.signerName", &[&["spec", "signerName"]], "")];
const CANDIDATE: &[Row] = &[row("spec.leaseName", &[&["spec", "leaseName"]], "")];
const POD_CERTIFICATE: &[Row] = &[
    row("spec.signerName", &[&["spec", "signerName"]], ""),
    row("spec.podName", &[&["spec", "podName"]], ""),
    row("spec.nodeName", &[&["spec", "nodeName"]], ""),
];
const SLICE: &[Row] =
    &[row("spec.nodeName", &[&["spec", "nodeName"]], ""), row("spec.driver", &[&["spec", "driver"]], "")];

pub(super) fn rows(group: &str, kind: &str) -> &'static [Row] {
    match (group, kind) {
        ("", "Pod") => POD,
        ("" | "events.k8s.io", "Event") => EVENT,
        ("", "Node") => NODE,
        ("", "Namespace") => NAMESPACE,
        ("", "Secret") => SECRET,
        ("", "Service") => SERVICE,
        ("", "ReplicationController") | ("apps" | "extensions", "ReplicaSet") => REPLICAS,
        ("batch", "Job") => JOB,
        ("certificates.k8s.io", "CertificateSigningRequest" | "ClusterTrustBundle") => SIGNER,
        ("certificates.k8s.io", "PodCertificateRequest") => POD_CERTIFICATE,
        ("coordination.k8s.io", "LeaseCandidate") => CANDIDATE,
        ("resource.k8s.io", "ResourceSlice") => SLICE,
        _ => &[],
    }
}

/// The name under which `field` is kept, if the kind has it.
pub(super) fn alias(gvk: &Gvk, field: &str) -> Option<&'static str> {
    let known = rows(&gvk.group, &gvk.kind);
    let wanted = match (&*gvk.group, &*gvk.kind, field) {
        ("", "Pod", "spec.host") => "spec.nodeName".to_string(),
        ("", "Namespace", "name") => return Some("metadata.name"),
        ("events.k8s.io", "Event", "reportingController") => "reportingComponent".to_string(),
        ("events.k8s.io", "Event", other) if other.starts_with("regarding.") => {
            other.replacen("regarding.", "involvedObject.", 1)
        }
        (_, _, other) => other.to_string(),
    };
    known.iter().find(|row| row.name == wanted).map(|row| row.name)
}
