//! Pods: image pull policy, volumes of no source, requests from limits, ports on the host network.

use super::{Fields, object, text};
use crate::quantity::Quantity;
use serde_json::{Map, Value};

pub(super) fn container(container: &mut Fields) {
    pull_policy(container, "image", "imagePullPolicy");
}

/// `Always` for the tag `latest`, said or meant, else `IfNotPresent`.
pub(super) fn pull_policy(map: &mut Fields, reference: &str, policy: &str) {
    let value = if is_latest(text(map, reference)) { "Always" } else { "IfNotPresent" };
    super::put(map, policy, value);
}

fn is_latest(reference: &str) -> bool {
    let (name, digest) = reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
    // A colon before the last slash belongs to the registry's port.
    let last = name.rsplit('/').next().unwrap_or_default();
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => digest.is_none() && !reference.is_empty(),
    }
}

/// A volume that names no source is an empty directory.
pub(super) fn volume(volume: &mut Fields) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".to_owned(), Value::Object(Map::new()));
    }
}

/// What holds for Pods themselves and not for templates.
pub(super) fn pod(pod: &mut Fields) {
    let Some(spec) = object(pod, "spec") else { return };
    spec.entry("enableServiceLinks").or_insert(Value::Bool(true));
    let on_host = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        for container in objects(spec, list) {
            if let Some(resources) = container.get_mut("resources").and_then(Value::as_object_mut) {
                requests_from_limits(resources);
            }
            if on_host {
                host_ports(container);
            }
        }
    }
    pod_requests(spec);
}

fn objects<'a>(map: &'a mut Fields, list: &str) -> impl Iterator<Item = &'a mut Fields> {
    let items = map.get_mut(list).and_then(Value::as_array_mut);
    items.into_iter().flatten().filter_map(Value::as_object_mut)
}

fn requests_from_limits(resources: &mut Fields) {
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    let Some(requests) = object(resources, "requests") else { return };
    for (name, amount) in limits {
        requests.entry(name).or_insert(amount);
    }
    if requests.is_empty() {
        resources.remove("requests");
    }
}

fn host_ports(container: &mut Fields) {
    for port in objects(container, "ports") {
        if port.get("hostPort").and_then(Value::as_i64).unwrap_or_default() == 0
            && let Some(number) = port.get("containerPort").cloned()
        {
            port.insert("hostPort".to_owned(), number);
        }
    }
}

/// Requests of the pod as a whole, where it has limits: what its containers request in all, else the limits.
fn pod_requests(spec: &mut Fields) {
    let limits = |spec: &Fields| spec.get("resources")?.get("limits")?.as_object().cloned();
    let Some(limits) = limits(spec).filter(|limits| !limits.is_empty()) else { return };
    let sums: Vec<(String, Value)> =
        limits.keys().filter_map(|name| Some((name.clone(), container_sum(spec, name)?))).collect();
    let Some(resources) = object(spec, "resources") else { return };
    let Some(requests) = object(resources, "requests") else { return };
    for (name, amount) in sums.into_iter().chain(limits) {
        requests.entry(name).or_insert(amount);
    }
}

fn container_sum(spec: &Fields, resource: &str) -> Option<Value> {
    let containers = spec.get("containers")?.as_array()?;
    let amounts = containers
        .iter()
        .filter_map(|container| Quantity::from_json(container.get("resources")?.get("requests")?.get(resource)?).ok());
    amounts.reduce(|sum, amount| sum.add(&amount)).map(|sum| Value::from(sum.to_string()))
}
