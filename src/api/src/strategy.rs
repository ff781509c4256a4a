//! What the API server changes in an object before it is validated and kept.
//!
//! In: a kind and the object that was sent, with defaults, name, UID and creation time set; on update also the
//! object that is kept. Out: the same object with status, generation and the fields that clients may not set
//! put right. Never refuses anything (`crate::validate` does).

mod claim;
mod pod;
mod service;
mod workload;

use serde_json::{Map, Value, json};

use crate::Object;
use crate::kinds::{Kind, Sub};
use crate::meta;

pub use pod::qos_class;

/// Which part of an object an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The object itself: everything but the status.
    Main,
    /// `/status`.
    Status,
    /// `/finalize` of a Namespace: `spec.finalizers`.
    Finalize,
    /// `/approval` of a CertificateSigningRequest: the approval conditions.
    Approval,
    /// `/ephemeralcontainers` of a Pod.
    EphemeralContainers,
    /// `/resize` of a Pod: resources of its containers.
    Resize,
}

/// Puts a new object right. Its name, namespace, UID and creation time are set already.
pub fn prepare_create(kind: &Kind, object: &mut Object) {
    let metadata = meta::metadata_mut(object);
    metadata.remove("deletionTimestamp");
    metadata.remove("deletionGracePeriodSeconds");
    metadata.remove("selfLink");
    metadata.remove("generation");
    if counts_generations(kind) {
        meta::set_generation(object, 1);
    }
    // A node registers itself with its status.
    if kind.has_sub(Sub::Status) && !kind.gvk().is("", "Node") {
        match crate::defaults::blank_status(&kind.stored_gvk()) {
            Some(blank) => object["status"] = blank,
            None => remove(object, "status"),
        }
    }
    match (&*kind.group, &*kind.kind) {
        ("", "Pod") => pod::create(object),
        ("", "Namespace") => {
            let name = meta::name(object).to_string();
            meta::set_label(object, "kubernetes.io/metadata.name", &name);
            object["status"] = json!({"phase": "Active"});
            let spec = meta::child_mut(object, "spec");
            add_text(spec, "finalizers", "kubernetes");
        }
        ("", "PersistentVolume") => object["status"] = json!({"phase": "Pending"}),
        ("", "PersistentVolumeClaim") => {
            object["status"] = json!({"phase": "Pending"});
            claim::sources(object, None);
        }
        ("", "ServiceAccount") => bare_secrets(object),
        ("", "Secret") => merge_string_data(object),
        ("", "Service") => service::create(object),
        ("apps", "DaemonSet") => workload::count_templates(object, None),
        ("apps", "StatefulSet") => workload::at_most_one_down(object, None),
        ("batch", "Job") => workload::create_job(object),
        ("discovery.k8s.io", "EndpointSlice") if &*kind.version == "v1" => drop_topology(object, None),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => stored_versions(object),
        ("apiregistration.k8s.io", "APIService") if meta::at(object, &["spec", "service"]).is_none() => {
            let made = meta::creation_timestamp(object).to_string();
            object["status"] = json!({"conditions": [{"type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available", "lastTransitionTime": made}]});
        }
        _ => {}
    }
}

/// Puts an update right: `part` says what of `new` counts; the rest is taken from `old`.
pub fn prepare_update(kind: &Kind, part: Part, new: &mut Object, old: &Object) {
    keep_metadata(new, old);
    match part {
        Part::Main => update_main(kind, new, old),
        Part::Status => update_status(kind, new, old),
        Part::Finalize => {
            let finalizers = meta::at(new, &["spec", "finalizers"]).cloned();
            take_all_but(new, old, &["metadata"]);
            let spec = meta::child_mut(new, "spec");
            match finalizers {
                Some(list) => spec.insert("finalizers".into(), list),
                None => spec.remove("finalizers"),
            };
        }
        Part::Approval => workload::approve(new, old),
        Part::EphemeralContainers => pod::ephemeral(new, old),
        Part::Resize => pod::resize(new, old),
    }
    if matches!(part, Part::Main | Part::EphemeralContainers | Part::Resize) && counts_changes(kind) {
        bump(kind, new, old);
    }
}

fn update_main(kind: &Kind, new: &mut Object, old: &Object) {
    if kind.has_sub(Sub::Status) {
        copy(new, old, "status");
    }
    match (&*kind.group, &*kind.kind) {
        ("", "Namespace") => {
            let finalizers = meta::at(old, &["spec", "finalizers"]).cloned().unwrap_or(Value::Null);
            let spec = meta::child_mut(new, "spec");
            spec.insert("finalizers".into(), finalizers);
            let name = meta::name(new).to_string();
            meta::set_label(new, "kubernetes.io/metadata.name", &name);
        }
        ("", "Secret") => merge_string_data(new),
        ("", "Service") => service::update(new, old),
        ("", "PersistentVolumeClaim") => claim::sources(new, Some(old)),
        ("", "ServiceAccount") => bare_secrets(new),
        ("apps", "DaemonSet") => workload::count_templates(new, Some(old)),
        ("apps", "StatefulSet") => workload::at_most_one_down(new, Some(old)),
        ("certificates.k8s.io", "CertificateSigningRequest") => copy(new, old, "spec"),
        ("discovery.k8s.io", "EndpointSlice") if &*kind.version == "v1" => drop_topology(new, Some(old)),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => stored_versions(new),
        _ => {}
    }
}

fn update_status(kind: &Kind, new: &mut Object, old: &Object) {
    take_all_but(new, old, &["metadata", "status"]);
    match (&*kind.group, &*kind.kind) {
        ("", "Pod") => pod::status(new, old),
        ("apps", "Deployment") => copy_within(new, old, "metadata", "labels"),
        ("certificates.k8s.io", "CertificateSigningRequest") => workload::sign(new, old),
        ("", "PersistentVolume") => claim::phase_time(new, old),
        _ if kind.custom || metadata_is_apart(kind) => {
            let managed = meta::at(new, &["metadata", "managedFields"]).cloned();
            let version = meta::resource_version(new).to_string();
            copy(new, old, "metadata");
            meta::set_resource_version(new, &version);
            match managed {
                Some(fields) => meta::metadata_mut(new).insert("managedFields".into(), fields),
                None => meta::metadata_mut(new).remove("managedFields"),
            };
        }
        _ => {}
    }
}

/// Kinds whose status is changed without their metadata.
fn metadata_is_apart(kind: &Kind) -> bool {
    match &*kind.group {
        "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "flowcontrol.apiserver.k8s.io"
        | "internal.apiserver.k8s.io"
        | "resource.k8s.io"
        | "scheduling.k8s.io"
        | "storage.k8s.io"
        | "storagemigration.k8s.io" => true,
        "certificates.k8s.io" => &*kind.kind == "PodCertificateRequest",
        "networking.k8s.io" => &*kind.kind == "ServiceCIDR",
        _ => false,
    }
}

/// What an update can never change or forget.
fn keep_metadata(new: &mut Object, old: &Object) {
    for key in ["creationTimestamp", "generation", "deletionTimestamp"] {
        copy_within(new, old, "metadata", key);
    }
    for key in ["uid", "name", "namespace", "deletionGracePeriodSeconds"] {
        if meta::at(new, &["metadata", key]).is_none_or(|v| v.as_str() == Some("")) {
            copy_within(new, old, "metadata", key);
        }
    }
    meta::metadata_mut(new).remove("selfLink");
}

/// One more when the desired state changed.
fn bump(kind: &Kind, new: &mut Object, old: &Object) {
    if desired_changed(kind, new, old) {
        meta::set_generation(new, meta::generation(old).saturating_add(1));
    }
}

/// Whether anything outside metadata and status differs (a Deployment also counts its annotations).
fn desired_changed(kind: &Kind, new: &Object, old: &Object) -> bool {
    let (Some(a), Some(b)) = (new.as_object(), old.as_object()) else { return true };
    // A custom object without a status of its own has it as part of what is desired.
    let outside = |key: &&String| {
        if kind.custom {
            *key != "metadata"
        } else {
            !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind")
        }
    };
    let differs = a.keys().chain(b.keys()).filter(outside).any(|key| a.get(key) != b.get(key));
    let annotations = ["metadata", "annotations"];
    let labels = ["metadata", "labels"];
    match &*kind.kind {
        "Deployment" => differs || meta::at(new, &annotations) != meta::at(old, &annotations),
        "EndpointSlice" => differs || meta::at(new, &labels) != meta::at(old, &labels),
        _ => differs,
    }
}

/// Kinds whose `metadata.generation` Kubernetes keeps.
fn counts_generations(kind: &Kind) -> bool {
    let known = match &*kind.group {
        "" => matches!(&*kind.kind, "Pod" | "PodTemplate" | "ReplicationController"),
        "apps" => &*kind.kind != "ControllerRevision",
        "extensions" | "batch" | "policy" | "flowcontrol.apiserver.k8s.io" | "admissionregistration.k8s.io" => true,
        "networking.k8s.io" => matches!(&*kind.kind, "Ingress" | "IngressClass" | "NetworkPolicy"),
        "scheduling.k8s.io" => &*kind.kind == "PriorityClass",
        "discovery.k8s.io" | "apiextensions.k8s.io" => true,
        "resource.k8s.io" => matches!(&*kind.kind, "ResourceSlice" | "DeviceClass" | "DeviceTaintRule"),
        _ => false,
    };
    known || kind.custom
}

/// Kinds whose generation grows: a PriorityClass keeps its first, a CSIDriver begins with none.
fn counts_changes(kind: &Kind) -> bool {
    match (&*kind.group, &*kind.kind) {
        ("scheduling.k8s.io", "PriorityClass") => false,
        ("storage.k8s.io", "CSIDriver") => true,
        _ => counts_generations(kind),
    }
}

/// Of the secrets of an account only the names are kept.
fn bare_secrets(account: &mut Object) {
    let secrets = account.get_mut("secrets").and_then(Value::as_array_mut);
    for secret in secrets.into_iter().flatten().filter_map(Value::as_object_mut) {
        secret.retain(|field, _| field == "name");
    }
}

/// Endpoints that change lose the topology of an old version; the node that it named is kept where nothing else names
/// it.
fn drop_topology(slice: &mut Object, old: Option<&Object>) {
    const TOPOLOGY: &str = "deprecatedTopology";
    const HOST: &str = "kubernetes.io/hostname";
    if old.is_some_and(|old| old.get("endpoints") == slice.get("endpoints")) {
        return;
    }
    let before = old.map_or(&[][..], |old| meta::list_at(old, &["endpoints"]));
    let endpoints = slice.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten().filter_map(Value::as_object_mut) {
        let Some(topology) = endpoint.remove(TOPOLOGY) else { continue };
        let host = meta::text(&topology, HOST);
        let known = before.iter().any(|one| !host.is_empty() && meta::text_at(one, &[TOPOLOGY, HOST]) == host);
        let named = endpoint.get("nodeName").is_some_and(|name| !name.is_null());
        if known && !named && crate::name::check_subdomain(host).is_ok() {
            endpoint.insert("nodeName".into(), host.into());
        }
    }
}

/// `stringData` of a Secret goes into `data`, and is gone.
fn merge_string_data(secret: &mut Object) {
    let Some(map) = secret.as_object_mut() else { return };
    let Some(Value::Object(texts)) = map.remove("stringData") else { return };
    let data = meta::child_mut(secret, "data");
    for (key, value) in texts {
        let text = value.as_str().unwrap_or("");
        data.insert(key, Value::from(crate::base64::encode(text.as_bytes())));
    }
}

/// `status.storedVersions` of a definition holds its storage version.
fn stored_versions(definition: &mut Object) {
    let versions = meta::list_at(definition, &["spec", "versions"]);
    let storage = versions.iter().find(|v| meta::bool_at(v, &["storage"])).map(|v| meta::text(v, "name").to_string());
    if let Some(name) = storage {
        add_text(meta::child_mut(definition, "status"), "storedVersions", &name);
    }
}

fn add_text(map: &mut Map<String, Value>, key: &str, text: &str) {
    let list = map.entry(key).or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    if let Value::Array(list) = list
        && !list.iter().any(|v| v.as_str() == Some(text))
    {
        list.push(text.into());
    }
}

fn remove(object: &mut Value, key: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(key);
    }
}

/// `new[key]` becomes `old[key]`, also when that is absent.
fn copy(new: &mut Value, old: &Value, key: &str) {
    let Some(map) = new.as_object_mut() else { return };
    match old.get(key) {
        Some(value) => map.insert(key.into(), value.clone()),
        None => map.remove(key),
    };
}

/// `new[parent][key]` becomes `old[parent][key]`, also when that is absent.
fn copy_within(new: &mut Value, old: &Value, parent: &str, key: &str) {
    let value = old.get(parent).and_then(|p| p.get(key));
    if value.is_none() && new.get(parent).is_none() {
        return;
    }
    let map = meta::child_mut(new, parent);
    match value {
        Some(value) => map.insert(key.into(), value.clone()),
        None => map.remove(key),
    };
}

/// Everything of `new` but `kept` (and what it is) becomes `old`'s.
fn take_all_but(new: &mut Object, old: &Object, kept: &[&str]) {
    let Some(old) = old.as_object() else { return };
    let mut result = old.clone();
    for key in kept.iter().chain(&["apiVersion", "kind"]) {
        match new.as_object_mut().and_then(|map| map.remove(*key)) {
            Some(value) => result.insert((*key).to_string(), value),
            None => result.remove(*key),
        };
    }
    *new = Value::Object(result);
}

#[cfg(test)]
mod tests;
