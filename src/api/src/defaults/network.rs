//! Services, network policies and the subjects of role bindings.

use super::{Fields, is_empty_list, object, put, text};
use serde_json::{Value, json};

/// Three hours, as in Kubernetes.
const AFFINITY_SECONDS: i64 = 3 * 60 * 60;

pub(super) fn service(service: &mut Fields) {
    let Some(spec) = object(service, "spec") else { return };
    put(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            spec.remove("sessionAffinityConfig");
        }
        "ClientIP" => {
            let client = object(spec, "sessionAffinityConfig").and_then(|config| object(config, "clientIP"));
            if let Some(client) = client {
                put(client, "timeoutSeconds", AFFINITY_SECONDS);
            }
        }
        _ => {}
    }
    put(spec, "type", "ClusterIP");
    let ports = spec.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        put(port, "protocol", "TCP");
        let is_unsaid = super::unsaid(port, "targetPort") || port.get("targetPort") == Some(&json!(0));
        if is_unsaid && let Some(number) = port.get("port").cloned() {
            port.insert("targetPort".to_owned(), number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let is_exposed =
        matches!(&*kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && !is_empty_list(spec, "externalIPs");
    if is_exposed {
        put(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(&*kind, "ClusterIP" | "NodePort" | "LoadBalancer") {
        put(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        put(spec, "allocateLoadBalancerNodePorts", true);
        let ingress = object(service, "status")
            .and_then(|status| object(status, "loadBalancer"))
            .and_then(|balancer| balancer.get_mut("ingress"))
            .and_then(Value::as_array_mut);
        for point in ingress.into_iter().flatten().filter_map(Value::as_object_mut) {
            if !text(point, "ip").is_empty() {
                put(point, "ipMode", "VIP");
            }
        }
    }
}

pub(super) fn policy(spec: &mut Fields) {
    if is_empty_list(spec, "policyTypes") {
        let types = if is_empty_list(spec, "egress") { json!(["Ingress"]) } else { json!(["Ingress", "Egress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

/// Users and groups belong to the RBAC group, service accounts to the core group.
pub(super) fn subject(subject: &mut Fields) {
    if matches!(text(subject, "kind"), "User" | "Group") {
        put(subject, "apiGroup", "rbac.authorization.k8s.io");
    }
}
