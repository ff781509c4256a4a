//! What the API accepts: every rule of every built-in kind, in Kubernetes' words.
//!
//! In: a kind and an object with defaults (on update also the object that is kept). Out: all faults, with their
//! places. Types and unknown fields are checked before (`crate::check`); nothing here changes an object.

mod access;
mod admission;
mod at;
mod batch;
mod cluster;
mod condition;
mod config;
mod definition;
mod device;
mod diff;
mod early;
mod expressions;
mod extension;
mod flow;
mod metadata;
mod network;
mod pod;
mod policy;
mod request;
mod scaler;
mod service;
mod storage;
mod volume;
mod workload;

use serde_json::Value;

use crate::Object;
use crate::custom::values;
use crate::field::FieldError;
use crate::kinds::{Gvk, Kind};
use crate::schema;
use crate::strategy::Part;
use at::{At, Out};

/// Judges a new object.
pub fn create(kind: &Kind, object: &Object) -> Vec<FieldError> {
    let mut out = Out::default();
    metadata::create(kind, object, &mut out);
    if kind.gvk().is("", "Pod") {
        pod::create(object, &mut out);
    } else if let (Some(version), Some(place)) = (kind.custom_version(), custom_schema(kind)) {
        out.errors.extend(values::object(version, place, object, None));
    } else {
        content(kind, object, None, &mut out);
    }
    out.errors
}

/// Judges an update of `part`.
pub fn update(kind: &Kind, part: Part, new: &Object, old: &Object) -> Vec<FieldError> {
    let mut out = Out::default();
    metadata::update(new, old, &mut out);
    match part {
        _ if kind.gvk().is("", "Pod") => pod::update(part, new, old, &mut out),
        _ if kind.custom => {
            if let (Some(version), Some(place)) = (kind.custom_version(), custom_schema(kind)) {
                out.errors.extend(match part {
                    Part::Status => values::status(version, place, new, old),
                    _ => values::object(version, place, new, Some(old)),
                });
            }
        }
        Part::Status | Part::Approval => status(kind, part, new, old, &mut out),
        Part::Finalize => cluster::namespace_finalizers(new, &mut out),
        _ => content(kind, new, Some(old), &mut out),
    }
    out.errors
}

fn custom_schema(kind: &Kind) -> Option<schema::custom::Place<'_>> {
    kind.schema()?.node().custom()
}

/// What of the schema of version `index` of a definition is not structural.
pub(crate) fn structural_faults(schema: &Value, index: usize) -> Vec<FieldError> {
    definition::structural_faults(schema, index)
}

/// Judges the metadata of an object within a custom object; fields are told from `metadata` on.
pub(crate) fn embedded_metadata(object: &Object) -> Vec<FieldError> {
    let mut out = Out::default();
    metadata::embedded(object, &mut out);
    out.errors
}

/// Everything but the metadata.
fn content(kind: &Kind, object: &Object, old: Option<&Object>, out: &mut Out) {
    match (&*kind.group, &*kind.kind) {
        ("", "Namespace") => cluster::namespace(object, out),
        ("", "Node") => {
            cluster::node(object, old, out);
            if old.is_none() {
                cluster::node_status(object, out);
            }
        }
        ("", "Event") => cluster::event(object, old, cluster::EventForm::Core, out),
        ("events.k8s.io", "Event") => {
            let strict = &*kind.version == "v1";
            let form = if strict { cluster::EventForm::Strict } else { cluster::EventForm::Beta };
            cluster::event(object, old, form, out);
        }
        ("", "LimitRange") => cluster::limit_range(object, out),
        ("", "ResourceQuota") => cluster::quota(object, old, out),
        ("", "ConfigMap") => config::config_map(object, old, out),
        ("", "Secret") => config::secret(object, old, out),
        ("", "Service") => match old {
            None => service::create(object, out),
            Some(old) => service::update(object, old, out),
        },
        ("", "PodTemplate") => pod::template(&At::root(object, "template"), out),
        ("", "ReplicationController") => workload::replication_controller(object, out),
        ("", "Endpoints") => network::endpoints(object, old, out),
        ("", "PersistentVolume") => volume::all(object, old, out),
        ("", "PersistentVolumeClaim") => storage::claim(object, old, out),
        ("apps", name) => match name {
            "Deployment" => workload::deployment(object, old, out),
            "ReplicaSet" => workload::replica_set(object, old, out),
            "DaemonSet" => workload::daemon_set(object, old, out),
            "StatefulSet" => workload::stateful_set(object, old, out),
            "ControllerRevision" => workload::controller_revision(object, old, out),
            _ => {}
        },
        ("batch", "Job") => batch::job(object, old, out),
        ("batch", "CronJob") => batch::cron_job(object, old, out),
        ("autoscaling", "HorizontalPodAutoscaler") => scaler::all(object, old, out),
        ("policy", "PodDisruptionBudget") => policy::budget(object, out),
        ("scheduling.k8s.io", "PriorityClass") => policy::priority_class(object, old, out),
        ("node.k8s.io", "RuntimeClass") => policy::runtime_class(object, old, out),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => flow::schema(object, out),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => flow::level(object, out),
        ("coordination.k8s.io", "Lease") => cluster::lease(object, out),
        ("discovery.k8s.io", "EndpointSlice") => network::slice(object, old, out),
        ("networking.k8s.io", "Ingress") => network::ingress(object, old, out),
        ("networking.k8s.io", "IngressClass") => network::class(object, old, out),
        ("networking.k8s.io", "ServiceCIDR") => network::cidr(object, old, out),
        ("networking.k8s.io", "IPAddress") => network::address(object, old, out),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(object, old, out),
        ("storage.k8s.io", name) => match name {
            "StorageClass" => storage::class(object, old, out),
            "VolumeAttributesClass" => storage::attributes_class(object, old, out),
            "VolumeAttachment" => storage::attachment(object, old, out),
            "CSINode" => storage::node(object, old, out),
            "CSIDriver" => storage::driver(object, old, out),
            "CSIStorageCapacity" => storage::capacity(object, old, out),
            _ => {}
        },
        ("resource.k8s.io", name) => match name {
            "DeviceClass" => device::class(object, out),
            "ResourceClaim" => device::claim(object, old, out),
            "ResourceClaimTemplate" => device::claim_template(object, old, out),
            "ResourceSlice" => device::slice(object, old, out),
            "DeviceTaintRule" => device::taint_rule(object, old, out),
            "ResourcePoolStatusRequest" => early::pool_request(object, old, out),
            _ => {}
        },
        ("coordination.k8s.io", "LeaseCandidate") => early::lease_candidate(object, old, out),
        ("certificates.k8s.io", "ClusterTrustBundle") => early::trust_bundle(object, old, out),
        ("certificates.k8s.io", "PodCertificateRequest") => early::pod_certificate(object, old, out),
        ("storagemigration.k8s.io", "StorageVersionMigration") => early::migration(object, old, out),
        ("internal.apiserver.k8s.io", "StorageVersion") if old.is_none() => early::storage_version(object, out),
        ("scheduling.k8s.io", "Workload") => early::workload(object, old, out),
        ("scheduling.k8s.io", "PodGroup") => early::pod_group(object, old, out),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => access::role(object, kind.namespaced, out),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            access::binding(object, old, kind.namespaced, out);
        }
        // What is asked for never changes.
        ("certificates.k8s.io", "CertificateSigningRequest") if old.is_none() => access::request(object, out),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => extension::webhooks(object, old, true, out),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => {
            extension::webhooks(object, old, false, out)
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => admission::policy(object, old, false, out),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => admission::policy(object, old, true, out),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => admission::binding(object, false, out),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => admission::binding(object, true, out),
        ("apiregistration.k8s.io", "APIService") => extension::api_service(object, out),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => match old {
            None => definition::create(object, out),
            Some(old) => definition::update(object, old, out),
        },
        _ => {}
    }
}

/// What an update of the status may say.
fn status(kind: &Kind, part: Part, object: &Object, old: &Object, out: &mut Out) {
    match (&*kind.group, &*kind.kind) {
        ("", "Namespace") => cluster::namespace_status(object, out),
        ("", "Node") => cluster::node_status(object, out),
        ("", "Service") => service::status(object, old, out),
        ("", "ResourceQuota") => cluster::quota_status(object, out),
        ("", "PersistentVolumeClaim") => storage::claim_status(object, out),
        ("storage.k8s.io", "VolumeAttachment") => storage::attachment_status(object, out),
        ("networking.k8s.io", "Ingress") => network::ingress_status(object, old, out),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::status(object, out),
        ("apps", name) | ("", name @ "ReplicationController") => workload::status(name, object, old, out),
        ("batch", "Job") => batch::job_status(object, old, out),
        ("autoscaling", "HorizontalPodAutoscaler") => scaler::status(object, out),
        ("policy", "PodDisruptionBudget") => policy::budget_status(object, out),
        ("flowcontrol.apiserver.k8s.io", _) => flow::status(object, out),
        ("resource.k8s.io", "ResourceClaim") => device::claim_status(object, old, out),
        ("resource.k8s.io", "DeviceTaintRule") => device::taint_rule_status(object, out),
        ("resource.k8s.io", "ResourcePoolStatusRequest") => early::pool_request_status(object, old, out),
        ("storagemigration.k8s.io", "StorageVersionMigration") => early::migration_status(object, old, out),
        ("internal.apiserver.k8s.io", "StorageVersion") => early::storage_version(object, out),
        ("scheduling.k8s.io", "PodGroup") => early::pod_group_status(object, out),
        ("certificates.k8s.io", "PodCertificateRequest") => early::pod_certificate_status(object, old, out),
        ("apiregistration.k8s.io", "APIService") => extension::api_service_status(object, out),
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            access::request_status(part, object, old, out);
        }
        _ => {}
    }
}

/// Judges an object that is only asked with (a Binding, a Scale, a review ...), which is not kept.
pub fn request(gvk: &Gvk, object: &Object) -> Vec<FieldError> {
    let mut out = Out::default();
    match &*gvk.kind {
        "Binding" => request::binding(object, &mut out),
        "Scale" => request::scale(object, &mut out),
        "Eviction" => request::eviction(object, &mut out),
        "TokenRequest" => request::token(object, &mut out),
        "SubjectAccessReview" => request::access_review(object, false, false, &mut out),
        "LocalSubjectAccessReview" => request::access_review(object, false, true, &mut out),
        "SelfSubjectAccessReview" => request::access_review(object, true, false, &mut out),
        _ => {}
    }
    out.errors
}

/// Judges the options that a request carries in its query: `fieldManager`, `dryRun`, `fieldValidation`.
pub fn options(field_manager: Option<&str>, dry_run: &[&str], field_validation: Option<&str>) -> Vec<FieldError> {
    let object = serde_json::json!({
        "fieldManager": field_manager.unwrap_or(""),
        "dryRun": dry_run,
        "fieldValidation": field_validation.unwrap_or(""),
    });
    let mut out = Out::default();
    metadata::field_manager(&At::root(&object, "fieldManager"), &mut out);
    let at = At::root(&object, "dryRun");
    if dry_run.iter().any(|value| *value != "All") {
        out.push(FieldError::not_supported(&at.path, Value::from(dry_run), &["All"]));
    }
    out.one_of(&At::root(&object, "fieldValidation"), &["", "Ignore", "Strict", "Warn"]);
    out.errors
}

#[cfg(test)]
mod tests;
