//! Services on update: what was allocated stays, what the new type does not have goes.
//!
//! In: the sent and the kept Service. Out: the sent one put right. Allocates nothing.

use serde_json::Value;

use crate::Object;
use crate::meta::{self, at, int_at, list_at, text, text_at};

pub(super) fn update(new: &mut Object, old: &Object) {
    keep_allocated(new, old);
    drop_of_type(new, old);
}

fn kind_of(service: &Object) -> &str {
    text_at(service, &["spec", "type"])
}

fn has_cluster_ip(service: &Object) -> bool {
    matches!(kind_of(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn has_node_ports(service: &Object) -> bool {
    match kind_of(service) {
        "NodePort" => true,
        "LoadBalancer" => {
            at(service, &["spec", "allocateLoadBalancerNodePorts"]).and_then(Value::as_bool) != Some(false)
        }
        _ => false,
    }
}

fn has_health_port(service: &Object) -> bool {
    kind_of(service) == "LoadBalancer" && text_at(service, &["spec", "externalTrafficPolicy"]) == "Local"
}

fn has_external_policy(service: &Object) -> bool {
    matches!(kind_of(service), "NodePort" | "LoadBalancer") || !list_at(service, &["spec", "externalIPs"]).is_empty()
}

/// A client that sends a manifest again does not give up addresses and ports that the server chose.
fn keep_allocated(new: &mut Object, old: &Object) {
    if has_cluster_ip(new) && has_cluster_ip(old) {
        let (sent, kept) = (text_at(new, &["spec", "clusterIP"]), text_at(old, &["spec", "clusterIP"]));
        if sent.is_empty() && !kept.is_empty() {
            put(new, "clusterIP", Some(kept.into()));
        }
        if list_at(new, &["spec", "clusterIPs"]).is_empty()
            && text_at(new, &["spec", "clusterIP"]) == text_at(old, &["spec", "clusterIP"])
        {
            put(new, "clusterIPs", at(old, &["spec", "clusterIPs"]).cloned());
        }
    }
    if has_node_ports(new) && has_node_ports(old) {
        let kept = list_at(old, &["spec", "ports"]);
        for port in ports_mut(new) {
            if int_at(port, &["nodePort"]).unwrap_or(0) != 0 {
                continue;
            }
            let same = |other: &&Value| {
                text(other, "protocol") == text(port, "protocol") && int_at(other, &["port"]) == int_at(port, &["port"])
            };
            if let Some(number) = kept.iter().find(same).and_then(|p| int_at(p, &["nodePort"])) {
                port["nodePort"] = number.into();
            }
        }
    }
    if has_health_port(new) && has_health_port(old) && int_at(new, &["spec", "healthCheckNodePort"]).unwrap_or(0) == 0 {
        put(new, "healthCheckNodePort", at(old, &["spec", "healthCheckNodePort"]).cloned());
    }
}

/// Fields that only the old type has go, unless the client changed them (then validation speaks).
fn drop_of_type(new: &mut Object, old: &Object) {
    let same = |new: &Object, field: &str| at(new, &["spec", field]) == at(old, &["spec", field]);
    if has_cluster_ip(old) && !has_cluster_ip(new) && same(new, "clusterIP") && same(new, "clusterIPs") {
        for field in ["clusterIP", "clusterIPs"] {
            put(new, field, None);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if same(new, field) {
                put(new, field, None);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let kept: Vec<i64> = list_at(old, &["spec", "ports"]).iter().filter_map(|p| int_at(p, &["nodePort"])).collect();
        let sent: Vec<i64> = list_at(new, &["spec", "ports"]).iter().filter_map(|p| int_at(p, &["nodePort"])).collect();
        if kept == sent {
            for port in ports_mut(new) {
                if let Some(map) = port.as_object_mut() {
                    map.remove("nodePort");
                }
            }
        }
    }
    if has_health_port(old) && !has_health_port(new) && same(new, "healthCheckNodePort") {
        put(new, "healthCheckNodePort", None);
    }
    if kind_of(old) == "LoadBalancer" && kind_of(new) != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(new, field) {
                put(new, field, None);
            }
        }
    }
    if has_external_policy(old) && !has_external_policy(new) && same(new, "externalTrafficPolicy") {
        put(new, "externalTrafficPolicy", None);
    }
}

fn put(service: &mut Object, field: &str, value: Option<Value>) {
    let spec = meta::child_mut(service, "spec");
    match value {
        Some(value) => spec.insert(field.into(), value),
        None => spec.remove(field),
    };
}

fn ports_mut(service: &mut Object) -> impl Iterator<Item = &mut Value> {
    let ports = service.get_mut("spec").and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut);
    ports.into_iter().flatten()
}
