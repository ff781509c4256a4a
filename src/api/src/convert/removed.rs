//! Kinds in versions that Kubernetes no longer serves, as today's and back.
//!
//! In: an object of one form. Out: of the other, field by field, as Kubernetes converted them while it served both.
//! What the old form cannot say is left out there; what only the old form says is kept as an annotation, where
//! Kubernetes kept it. Partial objects convert too: nothing is filled in.

mod definition;
mod network;
mod workload;

use serde_json::{Map, Value};

use super::autoscaling;
use crate::field::{Fault, FieldError};
use crate::kinds::Gvk;

type Fields = Map<String, Value>;

/// From the old form to today's.
pub(super) fn renew(from: &Gvk, object: &mut Value) {
    convert(from, object, true);
}

/// From today's form to the old one.
pub(super) fn age(to: &Gvk, object: &mut Value) {
    convert(to, object, false);
}

fn convert(old: &Gvk, object: &mut Value, renews: bool) {
    match (&*old.group, &*old.version, &*old.kind) {
        ("extensions", _, "Deployment") | ("apps", "v1beta1", "Deployment") => {
            workload::noted(object, workload::ROLLBACK, &["rollbackTo", "revision"], renews);
        }
        ("extensions", _, "DaemonSet") => {
            workload::noted(object, workload::GENERATION, &["templateGeneration"], renews);
        }
        ("extensions" | "networking.k8s.io", _, "Ingress") => network::ingress(object, renews),
        ("discovery.k8s.io", _, "EndpointSlice") => network::slice(object, renews),
        ("policy", _, "PodDisruptionBudget") => workload::budget(object, renews),
        ("autoscaling", "v2beta1", _) if renews => autoscaling::v2beta1_to_v2(object),
        ("autoscaling", "v2beta1", _) => autoscaling::v2_to_v2beta1(object),
        ("flowcontrol.apiserver.k8s.io", "v1beta1" | "v1beta2", "PriorityLevelConfiguration") => {
            let (old, new) = ("assuredConcurrencyShares", "nominalConcurrencyShares");
            if let Some(limited) = object.pointer_mut("/spec/limited") {
                rename(limited, old, new, renews);
            }
        }
        ("node.k8s.io", "v1alpha1", _) => runtime_class(object, renews),
        ("rbac.authorization.k8s.io", "v1alpha1", "RoleBinding" | "ClusterRoleBinding") => subjects(object, renews),
        ("apiextensions.k8s.io", ..) if renews => definition::renew(object),
        ("apiextensions.k8s.io", ..) => definition::age(object),
        _ => {}
    }
}

/// A field under its old or its new name.
fn rename(object: &mut Value, old: &str, new: &str, renews: bool) {
    let (from, to) = if renews { (old, new) } else { (new, old) };
    if let Some(map) = object.as_object_mut()
        && let Some(value) = map.remove(from)
    {
        map.insert(to.to_owned(), value);
    }
}

/// The first version had everything in a `spec`.
fn runtime_class(object: &mut Value, renews: bool) {
    const NAMES: [(&str, &str); 3] =
        [("runtimeHandler", "handler"), ("overhead", "overhead"), ("scheduling", "scheduling")];
    let Some(map) = object.as_object_mut() else { return };
    if renews {
        let Some(Value::Object(mut spec)) = map.remove("spec") else { return };
        map.extend(NAMES.iter().filter_map(|(old, new)| Some(((*new).to_owned(), spec.remove(*old)?))));
    } else {
        let spec: Fields = NAMES.iter().filter_map(|(old, new)| Some(((*old).to_owned(), map.remove(*new)?))).collect();
        map.insert("spec".to_owned(), Value::Object(spec));
    }
}

/// Subjects had an `apiVersion` where they have an `apiGroup`; the user `*` meant everybody who is known.
fn subjects(object: &mut Value, renews: bool) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let list = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        let text = |map: &Fields, field: &str| map.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if renews {
            let version = text(subject, "apiVersion");
            subject.remove("apiVersion");
            let group = version.split_once('/').map_or("", |(group, _)| group);
            if !group.is_empty() {
                subject.insert("apiGroup".to_owned(), Value::from(group));
            }
            if text(subject, "kind") == "User" && text(subject, "name") == "*" && matches!(group, "" | GROUP) {
                subject.insert("kind".to_owned(), Value::from("Group"));
                subject.insert("name".to_owned(), Value::from("system:authenticated"));
            }
        } else {
            let group = text(subject, "apiGroup");
            subject.remove("apiGroup");
            let version = match text(subject, "kind").as_str() {
                "ServiceAccount" => "v1".to_owned(),
                _ if group.is_empty() => continue,
                _ => format!("{group}/v1alpha1"),
            };
            subject.insert("apiVersion".to_owned(), Value::from(version));
        }
    }
}

/// Whether an object that came in that old version may have the fault: rules that are younger than the version.
pub fn forgives(old: &Gvk, fault: &FieldError) -> bool {
    match (&*old.group, &*old.version) {
        ("admissionregistration.k8s.io", "v1beta1") => {
            fault.field.ends_with(".sideEffects")
                && fault.fault == Fault::NotSupported
                && matches!(fault.value.as_str(), Some("Unknown" | "Some"))
        }
        ("certificates.k8s.io", "v1beta1") => {
            fault.field == "spec.signerName" && fault.value.as_str() == Some("kubernetes.io/legacy-unknown")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
