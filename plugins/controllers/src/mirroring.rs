//! The EndpointSlice mirroring controller: slices of Endpoints that somebody wrote by hand.
//!
//! In: Endpoints of a Service that chooses no pods. Out: slices with the same addresses, removed when there is no reason
//! for them any more. They are laid out by `endpointslice::plan`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind, Query};
use serde_json::{Map, Value, json};

use crate::endpointslice::plan::{self, Frame, Group, Step};
use crate::endpointslice::{self, MANAGED_BY, SERVICE_NAME};
use crate::order;
use crate::service;
use crate::world::{self, EventType, Outcome};

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of one subset that are mirrored, as in Kubernetes.
const MOST: usize = 1000;
const SERVICES: u32 = 1;
const SLICES: u32 = 2;

fn endpoints() -> Kind {
    world::kind("", "v1", "Endpoints")
}

/// What it watches.
pub fn declare() -> Controller {
    let named = [Wakes::NamedAt("metadata.name".into())];
    let own = [("subsets", FieldType::Hash), ("metadata.annotations", FieldType::Hash)];
    Controller {
        name: "endpointslicemirroring-controller".into(),
        watches: vec![
            world::watch(endpoints(), &own, &[Wakes::Itself]),
            world::watch(service::services(), &[("spec", FieldType::Json)], &named),
            endpointslice::watch(),
        ],
        workers: 1,
    }
}

/// The slices of one Endpoints object.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(SERVICES, key);
    let spec = found.first().map(|row| world::json(row.text(0)));
    let chooses = |spec: &Value| spec["selector"].as_object().is_some_and(|labels| !labels.is_empty());
    let wanted = match &spec {
        Some(spec) if !chooses(spec) => world::get(&endpoints(), &key.namespace, &key.name)?.filter(is_mirrored),
        _ => None,
    };
    // Slices of Services that choose pods change all day: for them nothing is asked of the API.
    let ours = format!("{SERVICE_NAME}={},{MANAGED_BY}={MANAGER}", key.name);
    if wanted.is_none() && world::rows(SLICES, Query::Labelled((key.namespace.clone(), ours))).count() == 0 {
        return Ok(None);
    }
    let existing = endpointslice::existing(&key.namespace, &key.name, MANAGER)?;
    let Some(object) = wanted else {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let steps: Vec<Step> =
            existing.iter().map(|s| Step::Delete(text(&s["metadata"]["name"]), text(&s["metadata"]["uid"]))).collect();
        return endpointslice::carry_out(&key.namespace, &steps, "Endpoints", &key.name);
    };
    let mirrored = mirror(&object);
    tell(key, &object, &mirrored);
    let frame = frame(key, &object);
    let mut steps = Vec::new();
    for (family, groups) in mirrored.groups {
        let of_family: Vec<Value> = existing.iter().filter(|slice| slice["addressType"] == family).cloned().collect();
        steps.extend(plan::plan(&frame, family, groups, &of_family));
    }
    endpointslice::carry_out(&key.namespace, &steps, "Endpoints", &key.name)
}

fn is_mirrored(object: &Value) -> bool {
    let meta = &object["metadata"];
    meta["labels"][SKIP] != "true" && meta["annotations"][LEADER].is_null()
}

/// What is mirrored, and what is not.
#[derive(Debug, Default)]
struct Mirrored {
    groups: BTreeMap<&'static str, Vec<Group>>,
    invalid: usize,
    skipped: usize,
}

fn mirror(object: &Value) -> Mirrored {
    let mut all = Mirrored { groups: order::map([("IPv4", Vec::new()), ("IPv6", Vec::new())]), ..Mirrored::default() };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for subset in list(&object["subsets"]) {
        let ports: Vec<Value> = list(&subset["ports"]).iter().map(port).collect();
        let mut groups: BTreeMap<&'static str, Group> = BTreeMap::new();
        let mut taken = 0;
        let addresses = [("addresses", true), ("notReadyAddresses", false)];
        for (address, ready) in
            addresses.iter().flat_map(|(field, ready)| list(&subset[*field]).into_iter().zip(std::iter::repeat(*ready)))
        {
            let Some(ip) = address["ip"].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()) else {
                all.invalid += 1;
                continue;
            };
            if taken == MOST {
                all.skipped += 1;
                continue;
            }
            taken += 1;
            let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
            let mut told = json!({"addresses": [ip.to_string()], "conditions": {"ready": ready}});
            for field in ["nodeName", "hostname", "targetRef"] {
                if !address[field].is_null() && address[field] != "" {
                    told[field] = address[field].clone();
                }
            }
            groups.entry(family).or_default().endpoints.push(told);
        }
        for (family, mut group) in groups {
            group.ports = ports.clone();
            all.groups.entry(family).or_default().push(group);
        }
    }
    all
}

fn port(port: &Value) -> Value {
    let mut told = json!({
        "name": port["name"].as_str().unwrap_or_default(), "port": port["port"],
        "protocol": port["protocol"].as_str().unwrap_or("TCP"),
    });
    if !port["appProtocol"].is_null() {
        told["appProtocol"] = port["appProtocol"].clone();
    }
    told
}

fn tell(key: &Key, object: &Value, mirrored: &Mirrored) {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let say = |reason: &str, text: &str| {
        world::event(&endpoints(), &key.namespace, &key.name, uid, EventType::Warning, reason, text);
    };
    if mirrored.invalid > 0 {
        let text = format!("Skipped {} invalid IP addresses when mirroring to EndpointSlices", mirrored.invalid);
        say("InvalidIPAddress", &text);
    }
    if mirrored.skipped > 0 {
        let skipped = mirrored.skipped + mirrored.invalid;
        let text = format!(
            "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
        );
        say("TooManyAddressesToMirror", &text);
    }
}

fn frame(key: &Key, object: &Value) -> Frame {
    let meta = &object["metadata"];
    let map = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let mut labels: Map<String, Value> = map(&meta["labels"]);
    labels.insert(SERVICE_NAME.into(), json!(key.name));
    labels.insert(MANAGED_BY.into(), json!(MANAGER));
    let mut annotations = map(&meta["annotations"]);
    annotations.retain(|name, _| name != service::TRIGGER_TIME && name != LAST_APPLIED);
    Frame {
        name: key.name.clone(),
        namespace: key.namespace.clone(),
        owner: json!({
            "apiVersion": "v1", "kind": "Endpoints", "name": key.name, "uid": meta["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }),
        labels,
        reserved: &[MANAGED_BY, SERVICE_NAME],
        annotations,
        compares_annotations: true,
        placeholder: false,
        ends: !meta["deletionTimestamp"].is_null(),
        most: MOST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_to_their_family_with_their_ports() {
        let mirrored = mirror(&json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1", "nodeName": "a"}, {"ip": "fd00::1"}, {"ip": "nonsense"}],
             "notReadyAddresses": [{"ip": "10.0.0.2", "hostname": "h"}], "ports": [{"port": 80}]},
            {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "x", "port": 81, "protocol": "UDP"}]}]}));
        let four = &mirrored.groups["IPv4"];
        assert_eq!((four.len(), mirrored.groups["IPv6"].len(), mirrored.invalid), (2, 1, 1));
        assert_eq!(four[0].ports, [json!({"name": "", "port": 80, "protocol": "TCP"})]);
        let told = json!({"addresses": ["10.0.0.2"], "conditions": {"ready": false}, "hostname": "h"});
        assert_eq!(four[0].endpoints[1], told);
    }

    #[test]
    fn no_more_than_a_thousand_of_a_subset_are_mirrored() {
        let addresses: Vec<Value> = (0..1002).map(|i| json!({"ip": format!("10.0.{}.{}", i / 250, i % 250)})).collect();
        let mirrored = mirror(&json!({"subsets": [{"addresses": addresses}]}));
        assert_eq!((mirrored.groups["IPv4"][0].endpoints.len(), mirrored.skipped), (1000, 2));
    }

    #[test]
    fn locks_and_what_asks_not_to_be_are_not_mirrored() {
        assert!(is_mirrored(&json!({"metadata": {}})));
        assert!(!is_mirrored(&json!({"metadata": {"labels": {SKIP: "true"}}})));
        assert!(!is_mirrored(&json!({"metadata": {"annotations": {LEADER: "{}"}}})));
    }
}
