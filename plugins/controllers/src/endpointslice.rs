//! The EndpointSlice controller: slices with the endpoints of each Service that chooses pods.
//!
//! In: a Service, its pods, their nodes, the slices that are there. Out: slices made, changed and removed.
//! Where an endpoint goes is decided in `plan`; mirrored Endpoints use it too.

pub mod plan;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use serde_json::{Map, Value, json};

use crate::service::{self, Backend, HEADLESS, Service, TRIGGER_TIME};
use crate::world::{self, Outcome};
use plan::{Frame, Group, Step};

/// Who cares for a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Whose endpoints a slice has.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Labels that are ours, whatever the Service says.
pub const RESERVED: &[&str] = &[HEADLESS, MANAGED_BY, SERVICE_NAME];
/// A pod's node is not there: the pod is left out, until the node comes or the pod is collected.
const NODE_MISSING: Duration = Duration::from_secs(5);
/// Endpoints in one slice, as in Kubernetes.
const MOST: usize = 100;
const PODS: u32 = 1;
const NODES: u32 = 2;

/// The kind.
pub fn slices() -> Kind {
    world::kind("discovery.k8s.io", "v1", "EndpointSlice")
}

/// The watch of slices: what others do to them wakes whose endpoints they have.
pub fn watch() -> kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::Watch {
    let fields = [("endpoints", FieldType::Hash), ("ports", FieldType::Hash)];
    world::watch(slices(), &fields, &[Wakes::NamedAt(format!("metadata.labels.\"{SERVICE_NAME}\""))])
}

/// What it watches.
pub fn declare() -> Controller {
    let mut watches = service::watches();
    let zone = [("metadata.labels.\"topology.kubernetes.io/zone\"", FieldType::Text)];
    watches.push(world::watch(world::kind("", "v1", "Node"), &zone, &[Wakes::Nobody]));
    watches.push(watch());
    Controller { name: "endpointslice-controller".into(), watches, workers: 2 }
}

/// The slices of one Service.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let Some(row) = found.first() else { return Ok(None) };
    let service = service::read(row);
    let Some(selector) = service.selector() else { return Ok(None) };
    let pods = service::backends(PODS, &service, selector);
    let existing = existing(&key.namespace, &key.name, MANAGER)?;
    let zones: HashMap<String, Option<String>> = world::rows(NODES, Query::All)
        .iter()
        .map(|row| (row.name().to_string(), row.text(0).map(str::to_string)))
        .collect();
    let known = |pod: &&Backend| service.tells_all() || zones.contains_key(&pod.node);
    let all = pods.len();
    let pods: Vec<Backend> = pods.iter().filter(known).cloned().collect();
    let families = service.families();
    let mut steps = Vec::new();
    for family in &families {
        let told: Vec<&Value> = existing.iter().filter(|slice| slice["addressType"] == *family).collect();
        let last = told.iter().filter_map(|s| s["metadata"]["annotations"][TRIGGER_TIME].as_str()).max();
        let mut frame = frame(&service);
        if let Some(time) = service::trigger_time(&service, &pods, last) {
            frame.annotations.insert(TRIGGER_TIME.into(), json!(time));
        }
        let told: Vec<Value> = told.into_iter().cloned().collect();
        steps.extend(plan::plan(&frame, family, groups(&service, &pods, family, &zones), &told));
    }
    let foreign = existing.iter().filter(|slice| !families.iter().any(|family| slice["addressType"] == *family));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    steps.extend(foreign.map(|s| Step::Delete(text(&s["metadata"]["name"]), text(&s["metadata"]["uid"]))));
    match carry_out(&key.namespace, &steps, "Service", &key.name)? {
        None if pods.len() < all => Ok(Some(NODE_MISSING)),
        outcome => Ok(outcome),
    }
}

/// The slices of a name that somebody cares for, without those that end.
pub fn existing(namespace: &str, name: &str, manager: &str) -> Result<Vec<Value>, String> {
    let selector = format!("{SERVICE_NAME}={name},{MANAGED_BY}={manager}");
    let mut all = world::list(&slices(), namespace, &selector)?;
    all.retain(|slice| slice["metadata"]["deletionTimestamp"].is_null());
    Ok(all)
}

fn frame(service: &Service) -> Frame {
    let own = service.labels.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str()));
    let mut labels: Map<String, Value> = own.map(|(name, value)| (name.clone(), value.clone())).collect();
    if !service.has_address() {
        labels.insert(HEADLESS.into(), json!(""));
    }
    labels.insert(SERVICE_NAME.into(), json!(service.name));
    labels.insert(MANAGED_BY.into(), json!(MANAGER));
    Frame {
        name: service.name.clone(),
        namespace: service.namespace.clone(),
        owner: json!({
            "apiVersion": "v1", "kind": "Service", "name": service.name, "uid": service.uid,
            "controller": true, "blockOwnerDeletion": true,
        }),
        labels,
        reserved: RESERVED,
        placeholder: true,
        ends: service.deleting,
        most: MOST,
        ..Frame::default()
    }
}

/// Pods by the ports that they serve.
fn groups(service: &Service, pods: &[Backend], family: &str, zones: &HashMap<String, Option<String>>) -> Vec<Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for pod in pods {
        let ports: Vec<Value> = service
            .ports()
            .iter()
            .filter_map(|port| {
                let number = service.target(port, pod)?;
                let mut told = json!({
                    "name": port["name"].as_str().unwrap_or_default(), "port": number,
                    "protocol": port["protocol"].as_str().unwrap_or("TCP"),
                });
                if !port["appProtocol"].is_null() {
                    told["appProtocol"] = port["appProtocol"].clone();
                }
                Some(told)
            })
            .collect();
        let zone = zones.get(&pod.node).and_then(Option::as_deref);
        let group = groups.entry(Value::Array(ports.clone()).to_string()).or_default();
        group.ports = ports;
        group.endpoints.extend(endpoint(service, pod, family, zone));
    }
    groups.into_values().collect()
}

fn endpoint(service: &Service, pod: &Backend, family: &str, zone: Option<&str>) -> Option<Value> {
    let addresses: Vec<&String> = pod.addresses.iter().filter(|ip| service::family(ip) == family).collect();
    if addresses.is_empty() {
        return None;
    }
    let ready = service.tells_all() || (pod.ready && !pod.ending);
    let mut told = json!({
        "addresses": addresses,
        "conditions": {"ready": ready, "serving": pod.ready, "terminating": pod.ending},
        "targetRef": service::target_ref(pod),
    });
    if !pod.node.is_empty() {
        told["nodeName"] = json!(pod.node);
    }
    if let Some(zone) = zone.filter(|zone| !zone.is_empty()) {
        told["zone"] = json!(zone);
    }
    if let Some(hostname) = service.hostname(pod) {
        told["hostname"] = json!(hostname);
    }
    Some(told)
}

/// Writes. When somebody else was faster the key is looked at again.
pub fn carry_out(namespace: &str, steps: &[Step], kind: &str, name: &str) -> Outcome {
    let change = |step: &Step| match step {
        Step::Create(slice) => world::creation(&slices(), namespace, slice),
        Step::Update(slice) => {
            world::update(&slices(), namespace, slice["metadata"]["name"].as_str().unwrap_or_default(), "", slice)
        }
        Step::Delete(name, uid) => world::delete(&slices(), namespace, name, uid, None),
    };
    let changes: Vec<_> = steps.iter().map(change).collect();
    if changes.is_empty() {
        return Ok(None);
    }
    let mut raced = false;
    for (answer, step) in world::together(&changes).into_iter().zip(steps) {
        match (answer, step) {
            (Ok(()), _) => {}
            (Err(e), Step::Create(_)) if world::ends(&e) => {}
            (Err(e), _) if e.code == 404 || e.code == 409 => raced = true,
            (Err(e), _) => return Err(format!("cannot write an EndpointSlice of {kind} {name}: {}", e.message)),
        }
    }
    Ok(raced.then_some(world::RACED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_tells_its_condition() {
        let pod = |ready: bool, ending: bool| Backend {
            name: "a".into(),
            node: "edge".into(),
            addresses: vec!["10.1.0.1".into(), "fd00::1".into()],
            ready,
            ending,
            ..Backend::default()
        };
        let told = |all: bool, pod: &Backend| {
            let service = Service { spec: json!({"publishNotReadyAddresses": all}), ..Service::default() };
            endpoint(&service, pod, "IPv4", Some("z")).unwrap()["conditions"].clone()
        };
        let conditions = |ready: bool, serving: bool, terminating: bool| json!({"ready": ready, "serving": serving, "terminating": terminating});
        assert_eq!(told(false, &pod(true, false)), conditions(true, true, false));
        assert_eq!(told(false, &pod(true, true)), conditions(false, true, true));
        assert_eq!(told(true, &pod(false, true)), conditions(true, false, true));
        let told = endpoint(&Service::default(), &pod(true, false), "IPv6", Some("z")).unwrap();
        assert_eq!((&told["addresses"], &told["zone"]), (&json!(["fd00::1"]), &json!("z")));
        assert!(endpoint(&Service::default(), &Backend::default(), "IPv4", None).is_none());
    }

    #[test]
    fn pods_with_other_ports_stand_apart() {
        let service = Service { spec: json!({"ports": [{"port": 80, "targetPort": "http"}]}), ..Service::default() };
        let pod = |name: &str, port: i64| Backend {
            name: name.into(),
            addresses: vec!["10.1.0.1".into()],
            ports: vec![("http".into(), "TCP".into(), port)],
            ..Backend::default()
        };
        let groups = groups(&service, &[pod("a", 1), pod("b", 2), pod("c", 1)], "IPv4", &HashMap::new());
        let sizes: Vec<usize> = groups.iter().map(|group| group.endpoints.len()).collect();
        assert_eq!(sizes, [2, 1]);
    }
}
