//! Services on their way in: one address said in two fields, and on update: what was allocated stays, what the new type
//! does not have goes.
//!
//! In: the sent and the kept Service. Out: the sent one put right. Allocates nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::Object;
use crate::meta::{self, at, int_at, list_at, text, text_at};

/// A client that knows one address only names the first of them.
pub(super) fn create(new: &mut Object) {
    let own = text_at(new, &["spec", "clusterIP"]).to_owned();
    if !own.is_empty() && list_at(new, &["spec", "clusterIPs"]).is_empty() {
        put(new, "clusterIPs", Some(json!([own])));
    }
}

pub(super) fn update(new: &mut Object, old: &Object) {
    keep_allocated(new, old);
    one_address(new, old);
    drop_of_type(new, old);
}

fn kind_of(service: &Object) -> &str {
    text_at(service, &["spec", "type"])
}

fn has_cluster_ip(service: &Object) -> bool {
    kind_of(service) != "ExternalName"
}

fn has_node_ports(service: &Object) -> bool {
    matches!(kind_of(service), "NodePort" | "LoadBalancer")
}

fn has_health_port(service: &Object) -> bool {
    kind_of(service) == "LoadBalancer" && text_at(service, &["spec", "externalTrafficPolicy"]) == "Local"
}

fn has_external_policy(service: &Object) -> bool {
    has_node_ports(service) || kind_of(service) == "ClusterIP" && !list_at(service, &["spec", "externalIPs"]).is_empty()
}

fn node_ports(service: &Object) -> BTreeSet<i64> {
    list_at(service, &["spec", "ports"]).iter().filter_map(|p| int_at(p, &["nodePort"])).filter(|n| *n != 0).collect()
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
        let mut used: BTreeSet<i64> = node_ports(old).intersection(&node_ports(new)).copied().collect();
        let kept: BTreeMap<&str, i64> = list_at(old, &["spec", "ports"])
            .iter()
            .map(|port| (text(port, "name"), int_at(port, &["nodePort"]).unwrap_or(0)))
            .collect();
        for port in ports_mut(new) {
            if int_at(port, &["nodePort"]).unwrap_or(0) != 0 {
                continue;
            }
            let number = kept.get(text(port, "name")).copied().filter(|number| *number != 0);
            if let Some(number) = number.filter(|number| used.insert(*number)) {
                port["nodePort"] = number.into();
            }
        }
    }
    if has_health_port(new) && has_health_port(old) && int_at(new, &["spec", "healthCheckNodePort"]).unwrap_or(0) == 0 {
        put(new, "healthCheckNodePort", at(old, &["spec", "healthCheckNodePort"]).cloned());
    }
}

/// A client that knows one address only changes or clears that: the list follows.
fn one_address(new: &mut Object, old: &Object) {
    let (sent, kept) = (text_at(new, &["spec", "clusterIP"]).to_owned(), text_at(old, &["spec", "clusterIP"]));
    let same_list = list_at(new, &["spec", "clusterIPs"]) == list_at(old, &["spec", "clusterIPs"]);
    if sent == kept || !same_list {
        return;
    }
    let list = if sent.is_empty() { None } else { Some(json!([sent])) };
    put(new, "clusterIPs", list);
}

/// Fields that only the old type has go, unless the client changed them (then validation speaks).
fn drop_of_type(new: &mut Object, old: &Object) {
    let same = |new: &Object, field: &str| at(new, &["spec", field]) == at(old, &["spec", field]);
    if has_cluster_ip(old) && !has_cluster_ip(new) {
        if same(new, "clusterIP") && same(new, "clusterIPs") {
            for field in ["clusterIP", "clusterIPs"] {
                put(new, field, None);
            }
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if same(new, field) {
                put(new, field, None);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) && node_ports(old).is_superset(&node_ports(new)) {
        for port in ports_mut(new) {
            if let Some(map) = port.as_object_mut() {
                map.remove("nodePort");
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
    if kind_of(new) != "LoadBalancer" && at(new, &["status", "loadBalancer"]).is_some() {
        meta::child_mut(new, "status").insert("loadBalancer".to_owned(), json!({}));
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
