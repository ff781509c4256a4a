//! Whether this node takes a pod that is bound to it.
//!
//! In: the pod, the pods that are here, what the node can give. Out: nothing, or the reason for which the pod fails.
//! Pure. The scheduler has looked before; this is for what it could not know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, NodeSelectorRequirement, NodeSelectorTerm, Pod};
use kedge_api::machine::PortMapping;

use crate::acts::host_ports;
use crate::container::env::Allocatable;
use crate::container::limits::{cpu_request, memory_request, total};
use crate::pod::observed::Reason;
use crate::pod::{members, spec};

/// What the node can give.
pub struct Room<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Its allocatable resources.
    pub allocatable: Allocatable,
    /// Most pods.
    pub max_pods: u32,
}

fn localhost(profile: Option<&AppArmorProfile>) -> bool {
    profile.is_some_and(|profile| profile.type_ == "Localhost")
}

/// Whether a container is to run under a profile of AppArmor, which this node does not have.
pub fn wants_app_armor(container: &Container) -> bool {
    localhost(container.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref()))
}

/// The reason for which a pod is refused.
pub fn refuse<'a>(pod: &Pod, here: impl Iterator<Item = &'a Pod> + Clone, room: &Room<'_>) -> Option<Reason> {
    let words = spec(pod);
    if words.os.as_ref().is_some_and(|os| os.name != "linux") {
        return Some(Reason::new("PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"));
    }
    let shared = words.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
    if localhost(shared) || members(pod).iter().any(|member| wants_app_armor(member.container)) {
        return Some(Reason::new("AppArmor", "Cannot enforce AppArmor: AppArmor is not supported by this node"));
    }
    let count = here.clone().count() as i64;
    let most = i64::from(room.max_pods);
    let rows = [
        ("pods", 1, count, most),
        (
            "cpu",
            total(pod, cpu_request),
            here.clone().map(|other| total(other, cpu_request)).sum(),
            room.allocatable.cpu_millis,
        ),
        (
            "memory",
            total(pod, memory_request),
            here.clone().map(|other| total(other, memory_request)).sum(),
            room.allocatable.memory,
        ),
    ];
    for (name, asked, used, capacity) in rows {
        if asked > 0 && asked > capacity - used {
            return Some(Reason::new(
                format!("OutOf{name}"),
                format!(
                    "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
                ),
            ));
        }
    }
    if !selects(pod, room) {
        return Some(Reason::new(
            "NodeAffinity",
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ));
    }
    let wanted = host_ports(pod);
    let taken = |other: &Pod| host_ports(other).iter().any(|theirs| wanted.iter().any(|own| clash(own, theirs)));
    if !wanted.is_empty() && here.into_iter().any(taken) {
        return Some(Reason::new(
            "NodePorts",
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
        ));
    }
    None
}

/// Whether the node has what the pod's selector and required node affinity ask for.
fn selects(pod: &Pod, room: &Room<'_>) -> bool {
    let words = spec(pod);
    let selected = words.node_selector.iter().flatten().all(|(key, value)| room.labels.get(key) == Some(value));
    let affinity = words.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
        .is_none_or(|required| required.node_selector_terms.iter().any(|term| fits(term, room)));
    selected && required
}

/// A term that asks for nothing fits no node.
fn fits(term: &NodeSelectorTerm, room: &Room<'_>) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let field = |key: &str| (key == "metadata.name").then_some(room.name);
    (!labels.is_empty() || !fields.is_empty())
        && labels.iter().all(|wish| holds(wish, room.labels.get(&wish.key).map(String::as_str)))
        && fields.iter().all(|wish| holds(wish, field(&wish.key)))
}

fn holds(wish: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wish.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    // Numbers are compared only if both sides are some.
    let numbers = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match wish.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(have, than)| have > than),
        "Lt" => numbers().is_some_and(|(have, than)| have < than),
        _ => false,
    }
}

/// Two mappings cannot both be made: same port and protocol, and no two different addresses.
fn clash(one: &PortMapping, other: &PortMapping) -> bool {
    let any = |ip: &Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
    one.host_port == other.host_port
        && one.protocol == other.protocol
        && (any(&one.host_ip) || any(&other.host_ip) || one.host_ip == other.host_ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(cpu: &str, memory: &str) -> Pod {
        serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]}}))
        .unwrap()
    }

    #[track_caller]
    fn check(pod: &Pod, here: &[Pod], want: Option<&str>) {
        let labels = BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]);
        let room = Room {
            name: "gw",
            labels: &labels,
            allocatable: Allocatable { cpu_millis: 2000, memory: 1 << 30, ephemeral_storage: 0 },
            max_pods: 3,
        };
        let reason = refuse(pod, here.iter(), &room);
        assert_eq!(reason.map(|reason| reason.reason).as_deref(), want);
    }

    #[test]
    fn what_fits_is_taken() {
        check(&pod("1", "512Mi"), &[pod("1", "512Mi")], None);
        check(&pod("1", "1Mi"), &[pod("1500m", "1Mi")], Some("OutOfcpu"));
        check(&pod("1", "600Mi"), &[pod("1", "512Mi")], Some("OutOfmemory"));
        check(&pod("0", "0"), &[pod("0", "0"), pod("0", "0"), pod("0", "0")], Some("OutOfpods"));
    }

    #[test]
    fn the_selector_must_fit() {
        let with = |selector: Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [], "nodeSelector": selector}})).unwrap()
        };
        check(&with(json!({"disk": "ssd"})), &[], None);
        check(&with(json!({"disk": "hdd"})), &[], Some("NodeAffinity"));
    }

    #[test]
    fn the_required_affinity_must_fit() {
        let with = |terms: Value| -> Pod {
            let required = json!({"nodeSelectorTerms": terms});
            let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
            serde_json::from_value(json!({"spec": {"containers": [], "affinity": affinity}})).unwrap()
        };
        let label = |operator: &str, key: &str, values: &[&str]| json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
        for (terms, fits) in [
            (label("In", "disk", &["hdd", "ssd"]), true),
            (label("In", "disk", &["hdd"]), false),
            (label("NotIn", "disk", &["ssd"]), false),
            (label("NotIn", "zone", &["a"]), true),
            (label("Exists", "disk", &[]), true),
            (label("DoesNotExist", "disk", &[]), false),
            (label("Gt", "disk", &["1"]), false),
            (json!([{}]), false),
            (json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gw"]}]}]), true),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["other"]}]}]), false),
        ] {
            check(&with(terms), &[], (!fits).then_some("NodeAffinity"));
        }
    }

    #[test]
    fn a_host_port_is_one_pods() {
        let with = |port: Value| -> Pod {
            serde_json::from_value(json!({"spec": {"containers": [{"name": "a", "ports": [port]}]}})).unwrap()
        };
        let here = with(json!({"containerPort": 80, "hostPort": 8080}));
        let local = with(json!({"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}));
        let other = with(json!({"containerPort": 80, "hostPort": 8080, "hostIP": "192.0.2.1"}));
        let udp = with(json!({"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}));
        check(&here, std::slice::from_ref(&here), Some("NodePorts"));
        check(&local, std::slice::from_ref(&here), Some("NodePorts"));
        check(&here, std::slice::from_ref(&local), Some("NodePorts"));
        check(&local, std::slice::from_ref(&other), None);
        check(&udp, std::slice::from_ref(&here), None);
        check(&with(json!({"containerPort": 80})), std::slice::from_ref(&here), None);
    }
}
