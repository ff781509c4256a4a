//! Ingresses and EndpointSlices: backends in one piece, places in one map.

use serde_json::{Map, Value, json};

use super::{Fields, rename};

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Backends named a service and its port side by side; the default one had a shorter name.
pub(super) fn ingress(object: &mut Value, renews: bool) {
    let Some(spec) = object.get_mut("spec") else { return };
    rename(spec, "backend", "defaultBackend", renews);
    if let Some(backend) = spec.get_mut(if renews { "defaultBackend" } else { "backend" }) {
        self::backend(backend, renews);
    }
    let rules = spec.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten();
    let paths = rules.filter_map(|rule| rule.pointer_mut("/http/paths")?.as_array_mut()).flatten();
    paths.filter_map(|path| path.get_mut("backend")).for_each(|backend| self::backend(backend, renews));
}

fn backend(backend: &mut Value, renews: bool) {
    let Some(map) = backend.as_object_mut() else { return };
    if renews {
        let (name, port) = (map.remove("serviceName"), map.remove("servicePort"));
        let port = port.filter(|port| *port != json!(0));
        if name.is_none() && port.is_none() {
            return;
        }
        let mut service = Map::new();
        service.extend(name.map(|name| ("name".to_owned(), name)));
        if let Some(port) = port {
            let field = if port.is_string() { "name" } else { "number" };
            service.insert("port".to_owned(), json!({ field: port }));
        }
        map.insert("service".to_owned(), Value::Object(service));
    } else if let Some(Value::Object(mut service)) = map.remove("service") {
        map.extend(service.remove("name").map(|name| ("serviceName".to_owned(), name)));
        let mut port = service.remove("port").unwrap_or_default();
        let said = ["name", "number"].into_iter().find_map(|field| {
            Some(port.get_mut(field)?.take()).filter(|value| *value != json!("") && *value != json!(0))
        });
        map.extend(said.map(|port| ("servicePort".to_owned(), port)));
    }
}

/// Where an endpoint is was a map of labels.
pub(super) fn slice(object: &mut Value, renews: bool) {
    let list = object.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in list.into_iter().flatten().filter_map(Value::as_object_mut) {
        if renews { places(endpoint) } else { topology(endpoint) }
    }
}

fn places(endpoint: &mut Fields) {
    let Some(Value::Object(mut map)) = endpoint.remove("topology") else { return };
    if let Some(zone) = map.remove(ZONE) {
        endpoint.insert("zone".to_owned(), zone);
    }
    // A host that is not the node's name is kept apart.
    if map.get(HOSTNAME).is_some_and(|host| endpoint.get("nodeName") == Some(host)) {
        map.remove(HOSTNAME);
    }
    if !map.is_empty() {
        endpoint.insert("deprecatedTopology".to_owned(), Value::Object(map));
    }
}

fn topology(endpoint: &mut Fields) {
    let mut map = match endpoint.remove("deprecatedTopology") {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    map.extend(endpoint.remove("zone").map(|zone| (ZONE.to_owned(), zone)));
    if let Some(node) = endpoint.get("nodeName") {
        map.entry(HOSTNAME).or_insert_with(|| node.clone());
    }
    if !map.is_empty() {
        endpoint.insert("topology".to_owned(), Value::Object(map));
    }
}
