//! What an object uses of a quota.
//!
//! In: a Pod, a Service or a PersistentVolumeClaim as JSON. Out: names of resources with amounts, by the rules that
//! Kubernetes documents for ResourceQuota. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::order;
use crate::quantity::Quantity;
use crate::world;

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Whether the quota evaluator of pods answers for a resource.
pub fn is_of_pods(name: &str) -> bool {
    const FIXED: [&str; 11] = [
        "count/pods",
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
    ];
    FIXED.contains(&name)
        || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || name.strip_prefix("requests.").is_some_and(|_| !is_native(name))
}

/// Whether that of services does.
pub fn is_of_services(name: &str) -> bool {
    matches!(name, "count/services" | "services" | "services.nodeports" | "services.loadbalancers")
}

const CLASS: &str = ".storageclass.storage.k8s.io/";

/// Whether that of claims does.
pub fn is_of_claims(name: &str) -> bool {
    let plain = |name: &str| matches!(name, "persistentvolumeclaims" | "requests.storage");
    name == "count/persistentvolumeclaims"
        || plain(name)
        || name.split_once(CLASS).is_some_and(|(_, resource)| plain(resource))
}

/// A name without a domain, or of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A pod's use. `now` in microseconds: a pod whose time to end has passed uses nothing but its place.
pub fn of_pod(pod: &Value, now: i64) -> Amounts {
    let mut used = order::map([("count/pods".to_string(), Quantity::whole(1))]);
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
    let meta = &pod["metadata"];
    let late = meta["deletionTimestamp"].as_str().and_then(world::microseconds).is_some_and(|at| {
        meta["deletionGracePeriodSeconds"].as_i64().is_some_and(|grace| at + grace * 1_000_000 < now)
    });
    if ended || late {
        return used;
    }
    used.insert("pods".into(), Quantity::whole(1));
    for (name, amount) in resources(pod, "requests") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            used.insert(format!("requests.{name}"), amount);
            used.insert(name, amount);
        } else if !is_native(&name) && !name.starts_with("requests.") {
            used.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in resources(pod, "limits") {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount);
        }
    }
    used
}

/// What the whole pod asks for: the sum of its containers and sidecars, or what its start needs, if that is more.
fn resources(pod: &Value, which: &str) -> Amounts {
    let mut sum = Amounts::new();
    for container in list(&pod["spec"]["containers"]) {
        add(&mut sum, &of_container(pod, container, "containerStatuses", which));
    }
    let (mut sidecars, mut start) = (Amounts::new(), Amounts::new());
    for container in list(&pod["spec"]["initContainers"]) {
        let mut own = of_container(pod, container, "initContainerStatuses", which);
        if container["restartPolicy"] == "Always" {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            own = sidecars.clone();
        } else {
            add(&mut own, &sidecars);
        }
        more(&mut start, &own);
    }
    more(&mut sum, &start);
    for (name, amount) in amounts(&pod["spec"]["resources"][which]) {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            sum.insert(name, amount);
        }
    }
    for (name, amount) in amounts(&pod["spec"]["overhead"]) {
        match sum.get_mut(&name) {
            Some(held) if which == "requests" || !held.is_zero() => *held = held.plus(amount),
            None if which == "requests" => {
                sum.insert(name, amount);
            }
            _ => {}
        }
    }
    sum
}

/// While a container is being resized it uses the larger of what it has and what it is to have.
fn of_container(pod: &Value, container: &Value, statuses: &str, which: &str) -> Amounts {
    let mut own = amounts(&container["resources"][which]);
    let status = list(&pod["status"][statuses]).iter().find(|status| status["name"] == container["name"]);
    if let Some(status) = status {
        more(&mut own, &amounts(&status["resources"][which]));
        if which == "requests" {
            more(&mut own, &amounts(&status["allocatedResources"]));
        }
    }
    own
}

/// A Service's use.
pub fn of_service(service: &Value) -> Amounts {
    let spec = &service["spec"];
    let ports = list(&spec["ports"]);
    let named = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count();
    let (node_ports, balancers) = match spec["type"].as_str() {
        Some("NodePort") => (ports.len(), 0),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (named, 1),
        Some("LoadBalancer") => (ports.len(), 1),
        _ => (0, 0),
    };
    order::map([
        ("count/services".to_string(), Quantity::whole(1)),
        ("services".to_string(), Quantity::whole(1)),
        ("services.nodeports".to_string(), Quantity::whole(node_ports as i64)),
        ("services.loadbalancers".to_string(), Quantity::whole(balancers)),
    ])
}

/// A claim's use, in all and of its class.
pub fn of_claim(claim: &Value) -> Amounts {
    let one = Quantity::whole(1);
    let mut used =
        order::map([("count/persistentvolumeclaims".to_string(), one), ("persistentvolumeclaims".to_string(), one)]);
    let annotated = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = annotated.or(claim["spec"]["storageClassName"].as_str()).unwrap_or_default();
    let asked = Quantity::of(&claim["spec"]["resources"]["requests"]["storage"]);
    let given = Quantity::of(&claim["status"]["allocatedResources"]["storage"]);
    let storage = asked.map(|asked| given.map_or(asked, |given| asked.or_more(given)).rounded());
    if let Some(storage) = storage {
        used.insert("requests.storage".into(), storage);
    }
    if !class.is_empty() {
        used.insert(format!("{class}{CLASS}persistentvolumeclaims"), one);
        if let Some(storage) = storage {
            used.insert(format!("{class}{CLASS}requests.storage"), storage);
        }
    }
    used
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn amounts(value: &Value) -> Amounts {
    let all = value.as_object().into_iter().flatten();
    order::map(all.filter_map(|(name, amount)| Some((name.clone(), Quantity::of(amount)?))))
}

/// Adds every amount.
pub fn add(into: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let sum = into.get(name).map_or(*amount, |held| held.plus(*amount));
        into.insert(name.clone(), sum);
    }
}

fn more(into: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let larger = into.get(name).map_or(*amount, |held| held.or_more(*amount));
        into.insert(name.clone(), larger);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(used: &Amounts, expected: &[(&str, &str)]) {
        for (name, amount) in expected {
            assert_eq!(used.get(*name).map(|a| a.text()).as_deref(), Some(*amount), "{name} in {used:?}");
        }
    }

    #[test]
    fn a_pod_uses_the_larger_of_start_and_run() {
        let with = |cpu: &str| json!({"requests": {"cpu": cpu}, "limits": {"cpu": "2"}});
        let pod = json!({"spec": {
            "overhead": {"cpu": "10m", "memory": "1Mi"},
            "containers": [{"name": "a", "resources": with("100m")}, {"name": "b", "resources": with("200m")}],
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "1", "memory": "64Mi", "example.com/led": 2}}}]}});
        let used = of_pod(&pod, 0);
        check(
            &used,
            &[
                ("requests.cpu", "1060m"),
                ("cpu", "1060m"),
                ("limits.cpu", "4010m"),
                ("requests.memory", "65Mi"),
                ("requests.example.com/led", "2"),
                ("pods", "1"),
            ],
        );
        assert!(!used.contains_key("example.com/led") && !used.contains_key("limits.memory"));
    }

    #[test]
    fn an_ended_or_overdue_pod_uses_its_place_only() {
        let ended = json!({"status": {"phase": "Succeeded"}});
        assert_eq!(of_pod(&ended, 0).len(), 1);
        let late = json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:10Z", "deletionGracePeriodSeconds": 30}});
        assert_eq!(of_pod(&late, 41_000_000).len(), 1);
        assert_eq!(of_pod(&late, 39_000_000).len(), 2);
    }

    #[test]
    fn pods_may_ask_as_a_whole() {
        let pod = json!({"spec": {"resources": {"requests": {"cpu": "3"}}, "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
        check(&of_pod(&pod, 0), &[("requests.cpu", "3"), ("requests.memory", "1Gi")]);
    }

    #[test]
    fn services_use_node_ports_and_balancers_by_their_type() {
        let service = |of_type: &str, allocate: bool| {
            of_service(&json!({"spec": {"type": of_type, "allocateLoadBalancerNodePorts": allocate,
                "ports": [{"port": 1, "nodePort": 30001}, {"port": 2}]}}))
        };
        check(&service("ClusterIP", true), &[("services", "1"), ("services.nodeports", "0")]);
        check(&service("NodePort", true), &[("services.nodeports", "2"), ("services.loadbalancers", "0")]);
        check(&service("LoadBalancer", true), &[("services.nodeports", "2"), ("services.loadbalancers", "1")]);
        check(&service("LoadBalancer", false), &[("services.nodeports", "1")]);
    }

    #[test]
    fn claims_are_counted_by_class() {
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"allocatedResources": {"storage": "2Gi"}}});
        check(
            &of_claim(&claim),
            &[
                ("requests.storage", "2Gi"),
                ("gold.storageclass.storage.k8s.io/requests.storage", "2Gi"),
                ("gold.storageclass.storage.k8s.io/persistentvolumeclaims", "1"),
            ],
        );
    }

    #[test]
    fn names_find_who_answers_for_them() {
        for (name, pods, services, claims) in [
            ("requests.cpu", true, false, false),
            ("requests.example.com/led", true, false, false),
            ("requests.storage", false, false, true),
            ("hugepages-2Mi", true, false, false),
            ("services.nodeports", false, true, false),
            ("gold.storageclass.storage.k8s.io/requests.storage", false, false, true),
            ("count/configmaps", false, false, false),
            ("count/pods", true, false, false),
        ] {
            assert_eq!(
                (is_of_pods(name), is_of_services(name), is_of_claims(name)),
                (pods, services, claims),
                "{name}"
            );
        }
    }
}
