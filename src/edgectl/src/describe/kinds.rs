//! Which kinds have a page of their own, and the short ones of them.
//!
//! In: an object. Out: lines. What is not there is left out, as kubectl does.

use std::time::SystemTime;

use kedge_api::base64;
use serde_json::Value;

use super::page::Page;
use super::values::{items, moment, words};
use super::{
    access, autoscaler, batch, generic, network_policy, node, pod, policy, service, signing, storage, traffic,
    workloads,
};
use crate::resource::Resource;

/// Kinds that have a page of their own, by their API group. A kind of that name in another group is another kind.
pub const LAYOUTS: [(&str, &[&str]); 11] = [
    (
        "",
        &[
            "Pod",
            "Node",
            "ReplicationController",
            "ConfigMap",
            "Secret",
            "Service",
            "ServiceAccount",
            "Endpoints",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "ResourceQuota",
            "LimitRange",
            "Namespace",
        ],
    ),
    ("apps", &["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]),
    ("networking.k8s.io", &["Ingress", "IngressClass", "IPAddress", "NetworkPolicy", "ServiceCIDR"]),
    ("discovery.k8s.io", &["EndpointSlice"]),
    ("storage.k8s.io", &["StorageClass", "CSINode", "VolumeAttributesClass"]),
    ("batch", &["Job", "CronJob"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
    ("policy", &["PodDisruptionBudget"]),
    ("scheduling.k8s.io", &["PriorityClass"]),
    ("rbac.authorization.k8s.io", &["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"]),
    ("certificates.k8s.io", &["CertificateSigningRequest"]),
];

/// The kind whose page an object has; empty for kinds that are shown field by field.
pub fn layout(resource: &Resource) -> &'static str {
    let of_group = LAYOUTS.iter().find(|(group, _)| *group == resource.group).map_or(&[][..], |(_, kinds)| *kinds);
    of_group.iter().find(|kind| **kind == resource.kind).copied().unwrap_or("")
}

/// Kinds whose pages show no events.
pub const WITHOUT_EVENTS: [&str; 9] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "LimitRange",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "Role",
    "RoleBinding",
    "Secret",
];

/// Writes one object's page in a [`layout`]; `related` is what `describe.rs` found for its kind.
pub fn describe(layout: &str, object: &Value, related: &Value, now: SystemTime, page: &mut Page) {
    let meta = &object["metadata"];
    page.line(0, "Name", words(&meta["name"]));
    if layout == "Ingress" {
        page.pairs(0, "Labels", &meta["labels"]);
    }
    // Kinds without a page have the line even where they have no namespace.
    if layout.is_empty() || (!meta["namespace"].is_null() && !matches!(layout, "Role" | "RoleBinding")) {
        page.line(0, "Namespace", words(&meta["namespace"]));
    }
    match layout {
        "Pod" => pod::pod(object, now, page),
        "Node" => node::node(object, related, page),
        "Deployment" => workloads::deployment(object, related, page),
        "ReplicaSet" | "ReplicationController" => workloads::replica_set(object, related, page),
        "StatefulSet" => workloads::stateful_set(object, related, page),
        "DaemonSet" => workloads::daemon_set(object, related, page),
        "ConfigMap" => config_map(object, page),
        "Secret" => secret(object, page),
        "Service" => service::service(object, related, page),
        "ServiceAccount" => access::service_account(object, page),
        "Endpoints" => service::plain_endpoints(object, page),
        "EndpointSlice" => service::slice(object, page),
        "PersistentVolume" => storage::volume(object, now, page),
        "PersistentVolumeClaim" => storage::claim(object, related, now, page),
        "StorageClass" => storage::storage_class(object, page),
        "CSINode" => storage::csi_node(object, page),
        "VolumeAttributesClass" => storage::attributes_class(object, page),
        "Ingress" => traffic::ingress(object, related, page),
        "IngressClass" => traffic::ingress_class(object, page),
        "ServiceCIDR" => traffic::service_cidr(object, page),
        "IPAddress" => traffic::ip_address(object, page),
        "NetworkPolicy" => network_policy::network_policy(object, page),
        "Job" => batch::job(object, page),
        "CronJob" => batch::cron_job(object, page),
        "HorizontalPodAutoscaler" => autoscaler::autoscaler(object, page),
        "Namespace" => policy::namespace(object, related, page),
        "ResourceQuota" => policy::quota(object, page),
        "LimitRange" => policy::limits(object, page),
        "PodDisruptionBudget" => policy::budget(object, page),
        "PriorityClass" => policy::priority(object, page),
        "Role" | "ClusterRole" => access::role(object, page),
        "RoleBinding" | "ClusterRoleBinding" => access::binding(object, page),
        "CertificateSigningRequest" => signing::signing_request(object, page),
        _ => {
            both(object, page);
            generic::fields(object, page);
        }
    }
}

/// Labels and annotations.
pub fn both(object: &Value, page: &mut Page) {
    page.pairs(0, "Labels", &object["metadata"]["labels"]);
    page.annotations(0, "Annotations", &object["metadata"]["annotations"]);
}

/// The owner that controls an object.
pub fn controller(object: &Value, page: &mut Page) {
    if let Some(owner) = items(&object["metadata"]["ownerReferences"]).find(|o| o["controller"] == true) {
        page.line(0, "Controlled By", format!("{}/{}", words(&owner["kind"]), words(&owner["name"])));
    }
}

/// Conditions with the times they came about; nothing when there are none.
pub fn conditions_since(list: &Value, page: &mut Page) {
    let row = |one: &Value| {
        let [of, is, why, message] = ["type", "status", "reason", "message"].map(|field| words(&one[field]));
        vec![of, is, moment(&one["lastTransitionTime"]), why, message]
    };
    let rows: Vec<Vec<String>> = items(list).map(row).collect();
    if !rows.is_empty() {
        page.head(0, "Conditions");
        page.table(1, &["Type", "Status", "LastTransitionTime", "Reason", "Message"], &rows);
    }
}

fn config_map(object: &Value, page: &mut Page) {
    both(object, page);
    page.raw(0, "\nData\n====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        page.raw(0, format!("{key}:\n----\n{}\n", words(value)));
    }
    page.raw(0, "\nBinaryData\n====");
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        page.raw(0, format!("{key}: {} bytes", size(value)));
    }
    page.raw(0, "");
}

fn secret(object: &Value, page: &mut Page) {
    both(object, page);
    page.raw(0, "");
    page.line(0, "Type", words(&object["type"]));
    page.raw(0, "\nData\n====");
    for (key, value) in object["data"].as_object().into_iter().flatten() {
        // A description must not show a secret.
        page.line(0, key, format!("{} bytes", size(value)));
    }
}

/// How many bytes a text in base64 stands for.
fn size(value: &Value) -> usize {
    base64::decoded_len(&words(value)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_config_map_shows_its_text_and_the_size_of_its_bytes() {
        let map = json!({"data": {"a": "1", "b": "two\nlines\n"}, "binaryData": {"x": "eA==", "xyz": "eHl6"}});
        check(
            |page| config_map(&map, page),
            "Labels:       <none>\nAnnotations:  <none>\n\nData\n====\na:\n----\n1\n\nb:\n----\ntwo\nlines\n\n\n\nBinaryData\n====\nx: 1 bytes\nxyz: 3 bytes\n\n",
        );
    }

    #[test]
    fn a_secret_is_not_shown() {
        let object = json!({"type": "kubernetes.io/service-account-token", "data": {"token": "eHl6", "longer": ""}});
        check(
            |page| secret(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\n\nType:  kubernetes.io/service-account-token\n\nData\n====\nlonger:  0 bytes\ntoken:   3 bytes\n",
        );
    }

    #[test]
    fn only_pages_of_no_kind_name_a_namespace_that_is_not_there() {
        let mut page = Page::default();
        describe("", &json!({"metadata": {"name": "n"}}), &Value::Null, SystemTime::UNIX_EPOCH, &mut page);
        assert!(page.text().starts_with("Name:         n\nNamespace:    \nLabels:"), "{}", page.text());
        let mut page = Page::default();
        let role = json!({"metadata": {"name": "n", "namespace": "x"}});
        describe("Role", &role, &Value::Null, SystemTime::UNIX_EPOCH, &mut page);
        assert!(page.text().starts_with("Name:         n\nLabels:"), "{}", page.text());
    }

    #[test]
    fn a_kind_of_another_group_has_no_page_of_its_own() {
        for (group, kind, expected) in [
            ("", "Service", "Service"),
            ("serving.example.com", "Service", ""),
            ("apps", "Pod", ""),
            ("a", "Kettle", ""),
        ] {
            let resource = Resource { group: group.to_owned(), kind: kind.to_owned(), ..Resource::default() };
            assert_eq!(layout(&resource), expected, "{group} {kind}");
        }
    }
}
