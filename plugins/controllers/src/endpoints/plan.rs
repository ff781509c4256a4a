//! What stands in a Service's Endpoints.
//!
//! In: a Service, the pods behind it, the Endpoints that are there. Out: the Endpoints to be written, if any. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::service::{self, Backend, HEADLESS, Service, TRIGGER_TIME};

/// Who cares for the object.
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// Addresses in one Endpoints object, as in Kubernetes: what is more is left out and an annotation says so.
const MOST: usize = 1000;

/// The Endpoints to be created or put in place of `current`; `None` when all is as it should be.
pub fn plan(service: &Service, pods: &[Backend], current: Option<&Value>) -> Option<Value> {
    let mut subsets = subsets(service, pods);
    let truncated = truncate(&mut subsets);
    let held = current.map(|object| &object["metadata"]);
    let annotation = |name: &str| held.and_then(|meta| meta["annotations"][name].as_str());
    if let Some(current) = current
        && plain(&current["subsets"]) == subsets
        && own_labels(&current["metadata"]["labels"]) == own_labels(&Value::Object(service.labels.clone()))
        && truncated == annotation(OVER_CAPACITY).is_some()
    {
        return None;
    }
    let mut labels = service.labels.clone();
    if service.has_address() {
        labels.remove(HEADLESS);
    } else {
        labels.insert(HEADLESS.into(), json!(""));
    }
    labels.insert(MANAGED_BY.into(), json!(MANAGER));
    let mut annotations = held.and_then(|meta| meta["annotations"].as_object()).cloned().unwrap_or_default();
    match service::trigger_time(service, pods, annotation(TRIGGER_TIME)) {
        Some(time) => annotations.insert(TRIGGER_TIME.into(), json!(time)),
        None => annotations.remove(TRIGGER_TIME),
    };
    if truncated {
        annotations.insert(OVER_CAPACITY.into(), json!("truncated"));
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    let mut object = current.cloned().unwrap_or_else(|| {
        json!({"apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"name": service.name, "namespace": service.namespace}})
    });
    object["metadata"]["labels"] = Value::Object(labels);
    object["metadata"]["annotations"] = Value::Object(annotations);
    object["subsets"] = Value::Array(subsets);
    Some(object)
}

/// Labels but those that only tell who cares.
fn own_labels(labels: &Value) -> Map<String, Value> {
    let all = labels.as_object().into_iter().flatten();
    all.filter(|(name, _)| *name != HEADLESS && *name != MANAGED_BY).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// Subsets without the versions of pods, which nobody needs.
fn plain(subsets: &Value) -> Vec<Value> {
    let mut subsets = subsets.as_array().cloned().unwrap_or_default();
    for subset in &mut subsets {
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset[list].as_array_mut().into_iter().flatten() {
                if let Some(target) = address["targetRef"].as_object_mut() {
                    target.remove("resourceVersion");
                }
            }
            if subset[list].is_null()
                && let Some(subset) = subset.as_object_mut()
            {
                subset.remove(list);
            }
        }
    }
    subsets
}

/// An address: sorted by its number, then by its pod.
type Address = (String, String, bool, String);

/// Ports that the same addresses serve stand together, so each address of a subset serves each of its ports.
fn subsets(service: &Service, pods: &[Backend]) -> Vec<Value> {
    let mut by_port: BTreeMap<String, BTreeSet<Address>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| service.tells_all() || !pod.ending) {
        let wanted = service.families()[0];
        let Some(ip) = pod.addresses.iter().find(|ip| service::family(ip) == wanted) else { continue };
        let mut address = json!({"ip": ip, "nodeName": pod.node, "targetRef": service::target_ref(pod)});
        if let Some(hostname) = service.hostname(pod) {
            address["hostname"] = json!(hostname);
        }
        let ready = service.tells_all() || pod.ready;
        let address = (ip.clone(), pod.uid.clone(), ready, address.to_string());
        if service.ports().is_empty() {
            if service.is_headless() {
                by_port.entry(String::new()).or_default().insert(address);
            }
            continue;
        }
        for port in service.ports() {
            let Some(number) = service.target(port, pod) else { continue };
            let mut told = json!({"port": number, "protocol": port["protocol"].as_str().unwrap_or("TCP")});
            for field in ["name", "appProtocol"] {
                if port[field].as_str().is_some_and(|text| !text.is_empty()) {
                    told[field] = port[field].clone();
                }
            }
            by_port.entry(told.to_string()).or_default().insert(address.clone());
        }
    }
    let mut by_addresses: BTreeMap<BTreeSet<Address>, Vec<String>> = BTreeMap::new();
    for (port, addresses) in by_port {
        by_addresses.entry(addresses).or_default().push(port);
    }
    by_addresses.into_iter().map(|(addresses, ports)| subset(&addresses, &ports)).collect()
}

fn subset(addresses: &BTreeSet<Address>, ports: &[String]) -> Value {
    let json = |text: &String| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let mut subset = Map::new();
    for (field, wanted) in [("addresses", true), ("notReadyAddresses", false)] {
        let list: Vec<Value> =
            addresses.iter().filter(|(_, _, ready, _)| *ready == wanted).map(|(_, _, _, text)| json(text)).collect();
        if !list.is_empty() {
            subset.insert(field.into(), Value::Array(list));
        }
    }
    let ports: Vec<Value> = ports.iter().filter(|port| !port.is_empty()).map(json).collect();
    if !ports.is_empty() {
        subset.insert("ports".into(), Value::Array(ports));
    }
    Value::Object(subset)
}

/// Leaves out what is too much, those that are not ready first. Says whether there was any.
fn truncate(subsets: &mut Vec<Value>) -> bool {
    let count = |subsets: &[Value], list: &str| -> usize {
        subsets.iter().map(|subset| subset[list].as_array().map_or(0, Vec::len)).sum()
    };
    let ready = count(subsets, "addresses");
    let all = ready + count(subsets, "notReadyAddresses");
    if all <= MOST {
        return false;
    }
    let mut room = [ready.min(MOST), MOST.saturating_sub(ready)];
    for subset in subsets.iter_mut().filter_map(Value::as_object_mut) {
        for (list, room) in ["addresses", "notReadyAddresses"].into_iter().zip(&mut room) {
            if let Some(addresses) = subset.get_mut(list).and_then(Value::as_array_mut) {
                addresses.truncate(*room);
                *room -= addresses.len();
                if addresses.is_empty() {
                    subset.remove(list);
                }
            }
        }
    }
    subsets.retain(|subset| !subset["addresses"].is_null() || !subset["notReadyAddresses"].is_null());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, ip: &str, ready: bool) -> Backend {
        Backend {
            namespace: "n".into(),
            name: name.into(),
            uid: name.into(),
            node: "edge".into(),
            addresses: vec![ip.into()],
            ready,
            ..Backend::default()
        }
    }

    fn service(spec: Value) -> Service {
        let mut spec = spec;
        spec["ipFamilies"] = json!(["IPv4"]);
        Service { name: "web".into(), namespace: "n".into(), created: 1_000_000, spec, ..Service::default() }
    }

    /// Each subset as `ready|not ready|ports`.
    #[track_caller]
    fn check(service: &Service, pods: &[Backend], expected: &[&str]) {
        let made = plan(service, pods, None).unwrap();
        let words = |list: &Value, field: &str| -> String {
            let all = list.as_array().into_iter().flatten();
            all.map(|one| one[field].to_string().trim_matches('"').to_string()).collect::<Vec<_>>().join(",")
        };
        let subsets = made["subsets"].as_array().unwrap().iter().map(|subset| {
            let (ready, not) = (words(&subset["addresses"], "ip"), words(&subset["notReadyAddresses"], "ip"));
            format!("{ready}|{not}|{}", words(&subset["ports"], "port"))
        });
        assert_eq!(subsets.collect::<Vec<_>>(), expected);
        assert_eq!(plan(service, pods, Some(&made)), None, "what was written is as it should be");
    }

    #[test]
    fn pods_are_told_by_readiness_and_port() {
        let web = service(json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80, "targetPort": 8080}]}));
        check(&web, &[pod("b", "10.1.0.2", true), pod("a", "10.1.0.1", false)], &["10.1.0.2|10.1.0.1|8080"]);
        check(&web, &[], &[]);
        let mut ending = pod("a", "10.1.0.1", true);
        ending.ending = true;
        check(&web, &[ending.clone()], &[]);
        let all = service(json!({"ports": [{"port": 80}], "publishNotReadyAddresses": true}));
        check(&all, &[ending, pod("b", "10.1.0.2", false)], &["10.1.0.1,10.1.0.2||80"]);
    }

    #[test]
    fn named_ports_part_the_pods() {
        let web = service(json!({"ports": [{"name": "a", "port": 80, "targetPort": "x"}, {"name": "b", "port": 81}]}));
        let mut one = pod("one", "10.1.0.1", true);
        one.ports = vec![("x".into(), "TCP".into(), 1)];
        let mut two = pod("two", "10.1.0.2", true);
        two.ports = vec![("x".into(), "TCP".into(), 2)];
        check(&web, &[one, two], &["10.1.0.1||1", "10.1.0.1,10.1.0.2||81", "10.1.0.2||2"]);
    }

    #[test]
    fn a_headless_service_needs_no_ports() {
        let mut named = pod("a", "10.1.0.1", true);
        (named.hostname, named.subdomain) = ("web-0".into(), "web".into());
        let headless = service(json!({"clusterIP": "None"}));
        check(&headless, &[named.clone()], &["10.1.0.1||"]);
        let made = plan(&headless, &[named], None).unwrap();
        assert_eq!(made["subsets"][0]["addresses"][0]["hostname"], "web-0");
        assert_eq!(made["metadata"]["labels"][HEADLESS], "");
        assert_eq!(made["metadata"]["annotations"][TRIGGER_TIME], "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_thousand_addresses_are_told() {
        let many: Vec<Backend> =
            (0..1100).map(|i| pod(&format!("p{i:04}"), &format!("10.1.{}.{}", i / 200, i % 200), i % 2 == 0)).collect();
        let web = service(json!({"ports": [{"port": 80}]}));
        let made = plan(&web, &many, None).unwrap();
        let count = |list: &str| made["subsets"][0][list].as_array().unwrap().len();
        assert_eq!((count("addresses"), count("notReadyAddresses")), (550, 450));
        assert_eq!(made["metadata"]["annotations"][OVER_CAPACITY], "truncated");
        assert_eq!(plan(&web, &many, Some(&made)), None);
    }

    #[test]
    fn labels_follow_the_service() {
        let mut web = service(json!({"clusterIP": "10.0.0.1", "ports": [{"port": 80}]}));
        let made = plan(&web, &[], None).unwrap();
        web.labels.insert("a".into(), json!("b"));
        let again = plan(&web, &[], Some(&made)).unwrap();
        assert_eq!(again["metadata"]["labels"], json!({"a": "b", MANAGED_BY: MANAGER}));
    }
}
