//! What the API accepts with a warning: deprecated fields, and fields that do not do what they seem to.
//!
//! In: a kind and the object that was sent, with defaults. Out: warnings in Kubernetes' words, for `Warning`
//! headers. Never refuses anything.

mod pod;

use std::borrow::Cow;

use serde_json::Value;

use crate::Object;
use crate::custom::formats;
use crate::field::{Path, quote};
use crate::kinds::{Gvk, Kind, Removed};
use crate::meta::{self, at, list_at, text_at};
use crate::name;

/// Warnings for an object that is created or updated.
pub fn object(kind: &Kind, object: &Object) -> Vec<String> {
    let mut out = Vec::new();
    finalizers(object, &mut out);
    let pods = |out: &mut Vec<String>, path: &[&str]| {
        if let Some(template) = at(object, path) {
            pod::template(template, path, out);
        }
    };
    match (&*kind.group, &*kind.kind) {
        ("", "Pod") => pod::pod(object, &mut out),
        ("", "PodTemplate") => pods(&mut out, &["template"]),
        ("", "Node") => node(object, &mut out),
        ("", "ReplicationController") | ("apps", "DaemonSet") => pods(&mut out, &["spec", "template"]),
        ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") => {
            label_name(object, "this is used in Pod names and hostnames", &mut out);
            pods(&mut out, &["spec", "template"]);
        }
        ("batch", "Job") => {
            label_name(object, "this is used in Pod names and hostnames", &mut out);
            pods(&mut out, &["spec", "template"]);
        }
        ("batch", "CronJob") => {
            label_name(object, "this is used in Pod names and hostnames", &mut out);
            pods(&mut out, &["spec", "jobTemplate", "spec", "template"]);
        }
        ("networking.k8s.io", "Ingress") if meta::annotation(object, "kubernetes.io/ingress.class").is_some() => {
            let text =
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
            out.push(text.to_string());
        }
        ("", "Service") => service(object, &mut out),
        // Told when a definition is made; later only new ones would have to be.
        ("apiextensions.k8s.io", "CustomResourceDefinition") if meta::resource_version(object).is_empty() => {
            let mut unknown = Vec::new();
            for version in list_at(object, &["spec", "versions"]) {
                if let Some(schema) = at(version, &["schema", "openAPIV3Schema"]) {
                    formats::unknown(schema, &mut unknown);
                }
            }
            out.extend(unknown.into_iter().map(|format| format!("unrecognized format {}", quote(format))));
        }
        ("", "PersistentVolume") => volume(object, &mut out),
        ("storage.k8s.io", "StorageClass") => {
            for (i, term) in list_at(object, &["allowedTopologies"]).iter().enumerate() {
                for (j, expression) in list_at(term, &["matchLabelExpressions"]).iter().enumerate() {
                    if let Some(words) = deprecated_label(meta::text(expression, "key")) {
                        out.push(format!("allowedTopologies[{i}].matchLabelExpressions[{j}].key: {words}"));
                    }
                }
            }
        }
        ("node.k8s.io", "RuntimeClass") => {
            for (key, _) in meta::pairs_at(object, &["scheduling", "nodeSelector"]) {
                if let Some(words) = deprecated_label(key) {
                    out.push(format!("scheduling.nodeSelector: key {} {words}", quote(key)));
                }
            }
        }
        _ => {}
    }
    out
}

/// The warning that every request for a deprecated version gets.
pub fn version(gvk: &Gvk) -> Option<Cow<'static, str>> {
    Some(match (&*gvk.group, &*gvk.version, &*gvk.kind) {
        ("", "v1", "ComponentStatus") => Cow::Borrowed("v1 ComponentStatus is deprecated in v1.19+"),
        ("", "v1", "Endpoints") => {
            Cow::Borrowed("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        ("", ..) => return None,
        (group, version, kind) => match ending(group, version, kind) {
            Some(words) => Cow::Owned(words),
            None => Cow::Owned(Removed::of(gvk)?.to_string()),
        },
    })
}

/// The release, as `1.38`, from which a version is gone, by the words of its warning.
pub fn release_without(words: &str) -> Option<&str> {
    let (release, _) = words.split_once("unavailable in v")?.1.split_once('+')?;
    Some(release)
}

/// Versions that are still served, and the releases from which they were deprecated and will be gone.
const ENDING: [(&str, &str, &[&str], u8, u8); 9] = [
    (
        "admissionregistration.k8s.io",
        "v1alpha1",
        &["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"],
        35,
        38,
    ),
    ("certificates.k8s.io", "v1alpha1", &["ClusterTrustBundle"], 34, 37),
    ("coordination.k8s.io", "v1alpha2", &["LeaseCandidate"], 35, 38),
    ("coordination.k8s.io", "v1beta1", &["LeaseCandidate"], 36, 39),
    ("networking.k8s.io", "v1beta1", &["IPAddress", "ServiceCIDR"], 34, 37),
    ("resource.k8s.io", "v1alpha3", &["DeviceTaintRule"], 36, 39),
    ("resource.k8s.io", "v1beta1", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"], 35, 38),
    ("resource.k8s.io", "v1beta2", &["DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"], 36, 39),
    ("storage.k8s.io", "v1beta1", &["VolumeAttributesClass"], 34, 37),
];

fn ending(group: &str, version: &str, kind: &str) -> Option<String> {
    let row = ENDING.iter().find(|row| row.0 == group && row.1 == version && row.2.contains(&kind))?;
    let instead = match kind {
        "VolumeAttributesClass" => "; use storage.k8s.io/v1 VolumeAttributesClass",
        _ => "",
    };
    let (from, to) = (row.3, row.4);
    Some(format!("{group}/{version} {kind} is deprecated in v1.{from}+, unavailable in v1.{to}+{instead}"))
}

fn finalizers(object: &Object, out: &mut Vec<String>) {
    for finalizer in meta::finalizers(object) {
        let known = matches!(finalizer, "orphan" | "foregroundDeletion" | "kubernetes");
        if !finalizer.contains('/') && !known {
            out.push(format!(
                "metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid \
                 accidental conflicts with other finalizer writers",
                quote(finalizer)
            ));
        }
    }
}

/// A name that becomes part of host names should be a DNS label.
fn label_name(object: &Object, use_of: &str, out: &mut Vec<String>) {
    let name = meta::name(object);
    if name.is_empty() {
        return;
    }
    if let Err(faults) = name::check_label(name) {
        out.push(format!(
            "metadata.name: {use_of}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            faults.join(" ")
        ));
    }
}

/// What to say of a node label that has another name today.
fn deprecated_label(key: &str) -> Option<String> {
    let (since, instead) = match key {
        "beta.kubernetes.io/arch" => ("v1.14", "kubernetes.io/arch"),
        "beta.kubernetes.io/os" => ("v1.14", "kubernetes.io/os"),
        "failure-domain.beta.kubernetes.io/region" => ("v1.17", "topology.kubernetes.io/region"),
        "failure-domain.beta.kubernetes.io/zone" => ("v1.17", "topology.kubernetes.io/zone"),
        "beta.kubernetes.io/instance-type" => ("v1.17", "node.kubernetes.io/instance-type"),
        _ => return None,
    };
    Some(format!("deprecated since {since}; use \"{instead}\" instead"))
}

fn node(object: &Object, out: &mut Vec<String>) {
    if at(object, &["spec", "configSource"]).is_some() {
        out.push("spec.configSource: the feature is no longer supported".to_string());
    }
    if !text_at(object, &["spec", "externalID"]).is_empty() {
        out.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_string());
    }
}

fn service(object: &Object, out: &mut Vec<String>) {
    let spec = Path::root("spec");
    let external = text_at(object, &["spec", "type"]) == "ExternalName";
    if text_at(object, &["spec", "externalName"]).is_empty() || external {
        // Nothing is ignored.
    } else {
        out.push(format!("{} is ignored when spec.type is not \"ExternalName\"", spec.child("externalName")));
    }
    if external && !list_at(object, &["spec", "externalIPs"]).is_empty() {
        out.push(format!("{} is ignored when spec.type is \"ExternalName\"", spec.child("externalIPs")));
    }
    if text_at(object, &["spec", "clusterIP"]) == "None" {
        let balancer = text_at(object, &["spec", "loadBalancerIP"]);
        if !balancer.is_empty() {
            out.push("spec.loadBalancerIP is ignored for headless services".to_string());
        }
        if !list_at(object, &["spec", "externalIPs"]).is_empty() {
            out.push("spec.externalIPs is ignored for headless services".to_string());
        }
        if text_at(object, &["spec", "sessionAffinity"]) == "ClientIP" {
            out.push("spec.SessionAffinity is ignored for headless services".to_string());
        }
    }
}

fn volume(object: &Object, out: &mut Vec<String>) {
    let spec = object.get("spec").unwrap_or(&Value::Null);
    if meta::text(spec, "persistentVolumeReclaimPolicy") == "Recycle" {
        out.push("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_string());
    }
    if meta::annotation(object, "volume.beta.kubernetes.io/storage-class").is_some() {
        out.push("metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead".to_string());
    }
    if meta::annotation(object, "volume.beta.kubernetes.io/mount-options").is_some() {
        out.push("metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" attribute instead".to_string());
    }
    for (field, words) in GONE {
        if spec.get(field).is_some_and(|v| !v.is_null()) {
            out.push(format!("spec.{field}: {words}"));
        }
    }
}

/// Volume types that are deprecated or do nothing.
const GONE: [(&str, &str); 9] = [
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("flexVolume", "deprecated in v1.23"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kinds;
    use serde_json::json;

    #[track_caller]
    fn check(api_version: &str, name: &str, value: Value, expected: &[&str]) {
        let kind = Kinds::everything().by_gvk(&Gvk::from_api_version(api_version, name)).cloned().unwrap();
        assert_eq!(object(&kind, &value), expected);
    }

    #[test]
    fn releases_that_lack_a_version_are_named() {
        let words = |api_version: &str, kind: &str| version(&Gvk::from_api_version(api_version, kind)).unwrap();
        assert_eq!(release_without(&words("coordination.k8s.io/v1beta1", "LeaseCandidate")), Some("1.39"));
        assert_eq!(release_without(&words("v1", "Endpoints")), None);
    }

    #[test]
    fn pods() {
        check(
            "v1",
            "Pod",
            json!({"metadata": {"name": "a.b", "finalizers": ["mine"], "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}},
                "spec": {"terminationGracePeriodSeconds": -1, "nodeSelector": {"beta.kubernetes.io/os": "linux"},
                  "volumes": [{"name": "g", "gitRepo": {}}],
                  "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}], "imagePullSecrets": [{"name": ""}],
                  "containers": [{"name": "c", "env": [{"name": "A"}, {"name": "A"}],
                    "ports": [{"containerPort": 1, "protocol": "TCP"}, {"containerPort": 1, "protocol": "TCP"}],
                    "resources": {"limits": {"memory": "100m"}}}]}}),
            &[
                "metadata.finalizers: \"mine\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers",
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]",
                "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead",
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the \"appArmorProfile\" field instead",
                "spec.hostAliases[1].ip: duplicate ip \"1.1.1.1\"",
                "spec.imagePullSecrets[0].name: invalid empty name \"\"",
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
                "spec.containers[0].resources.limits[memory]: fractional byte value \"100m\" is invalid, must be an integer",
                "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
                "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
            ],
        );
        check("v1", "Pod", json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}]}}), &[]);
    }

    #[test]
    fn templates_and_others() {
        check(
            "apps/v1",
            "Deployment",
            json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"nodeSelector": {"beta.kubernetes.io/arch": "x"}}}}}),
            &[
                "spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
            ],
        );
        check(
            "networking.k8s.io/v1",
            "Ingress",
            json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}}),
            &["annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"],
        );
        check(
            "v1",
            "Service",
            json!({"spec": {"type": "ClusterIP", "externalName": "x"}}),
            &["spec.externalName is ignored when spec.type is not \"ExternalName\""],
        );
        assert!(version(&Gvk::fixed("", "v1", "Endpoints")).is_some());
    }
}
