//! Services and the pods behind them, as the controllers of Endpoints and EndpointSlices see both.
//!
//! In: rows. Out: a model of a Service and of each pod that may answer for it. Pure but for reading rows.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Wakes, Watch};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Kind, Query};
use kedge_plugin_sdk::table::Row;
use serde_json::{Map, Value, json};

use crate::world;

/// When an address last changed, for those who measure how long that takes to arrive.
pub const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// On what belongs to a Service without an address of its own.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// A Service.
#[derive(Clone, Debug, Default)]
pub struct Service {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub created: i64,
    pub deleting: bool,
    pub labels: Map<String, Value>,
    pub spec: Value,
}

/// A pod behind it.
#[derive(Clone, Debug, Default)]
pub struct Backend {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub node: String,
    pub addresses: Vec<String>,
    pub ready: bool,
    pub ending: bool,
    /// When its readiness, or else the pod itself, came to be.
    pub since: i64,
    pub hostname: String,
    pub subdomain: String,
    /// Name, protocol and number of its containers' ports.
    pub ports: Vec<(String, String, i64)>,
}

/// The watches of Services and of their pods.
pub fn watches() -> Vec<Watch> {
    use FieldType::{Json, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.creationTimestamp", Time),
        ("metadata.deletionTimestamp", Time),
        ("metadata.labels", Json),
        ("spec", Json),
    ];
    let pods = [
        ("metadata.uid", Text),
        ("spec.nodeName", Text),
        ("status.phase", Text),
        ("metadata.deletionTimestamp", Time),
        ("status.conditions[type=Ready].status", Text),
        ("status.conditions[type=Ready].lastTransitionTime", Time),
        ("metadata.creationTimestamp", Time),
        ("status.podIPs", Json),
        ("spec.hostname", Text),
        ("spec.subdomain", Text),
        ("spec.containers[*].ports", Json),
        ("spec.initContainers[*restartPolicy=Always].ports", Json),
    ];
    vec![
        world::watch(services(), &own, &[Wakes::Itself]),
        world::watch(world::kind("", "v1", "Pod"), &pods, &[Wakes::SelectedBy("spec.selector".into())]),
    ]
}

/// The kind.
pub fn services() -> Kind {
    world::kind("", "v1", "Service")
}

/// A Service from its row.
pub fn read(row: Row<'_>) -> Service {
    Service {
        namespace: row.namespace().into(),
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        created: row.integer(1).unwrap_or(0),
        deleting: row.has(2),
        labels: world::json(row.text(3)).as_object().cloned().unwrap_or_default(),
        spec: world::json(row.text(4)),
    }
}

/// The pods that a Service chooses, which have addresses and have not ended.
pub fn backends(pods: u32, service: &Service, selector: &Value) -> Vec<Backend> {
    let query = Query::Labelled((service.namespace.clone(), world::selector_text(selector)));
    world::rows(pods, query).iter().filter_map(read_pod).collect()
}

fn read_pod(row: Row<'_>) -> Option<Backend> {
    if matches!(row.text(2), Some("Succeeded" | "Failed")) {
        return None;
    }
    let addresses = world::json(row.text(7));
    let addresses: Vec<String> =
        addresses.as_array().into_iter().flatten().filter_map(|one| one["ip"].as_str().map(str::to_string)).collect();
    if addresses.is_empty() {
        return None;
    }
    let mut ports = named_ports(&world::json(row.text(10)));
    ports.extend(named_ports(&world::json(row.text(11))));
    Some(Backend {
        namespace: row.namespace().into(),
        name: row.name().into(),
        uid: row.text(0).unwrap_or("").into(),
        node: row.text(1).unwrap_or("").into(),
        addresses,
        ready: row.text(4) == Some("True"),
        ending: row.has(3),
        since: row.integer(5).or(row.integer(6)).unwrap_or(0),
        hostname: row.text(8).unwrap_or("").into(),
        subdomain: row.text(9).unwrap_or("").into(),
        ports,
    })
}

/// Of a list of containers' lists of ports.
fn named_ports(lists: &Value) -> Vec<(String, String, i64)> {
    let ports = lists.as_array().into_iter().flatten().flat_map(|list| list.as_array().into_iter().flatten());
    ports
        .filter_map(|port| {
            let name = port["name"].as_str()?.to_string();
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_string();
            Some((name, protocol, port["containerPort"].as_i64()?))
        })
        .collect()
}

impl Service {
    /// What chooses its pods; `None` when somebody else cares for its endpoints.
    pub fn selector(&self) -> Option<&Value> {
        let external = self.spec["type"] == "ExternalName";
        let chooses = self.spec["selector"].as_object().is_some_and(|labels| !labels.is_empty());
        (chooses && !external).then(|| &self.spec["selector"])
    }

    /// It asked for no address.
    pub fn is_headless(&self) -> bool {
        self.spec["clusterIP"] == "None"
    }

    /// It has an address of its own.
    pub fn has_address(&self) -> bool {
        self.spec["clusterIP"].as_str().is_some_and(|ip| !ip.is_empty() && ip != "None")
    }

    /// Its pods are told whether ready or not.
    pub fn tells_all(&self) -> bool {
        self.spec["publishNotReadyAddresses"] == true
    }

    /// Its ports.
    pub fn ports(&self) -> &[Value] {
        self.spec["ports"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The families of addresses that it serves, the first one first.
    pub fn families(&self) -> Vec<&'static str> {
        let known = |family: &Value| match family.as_str() {
            Some("IPv4") => Some("IPv4"),
            Some("IPv6") => Some("IPv6"),
            _ => None,
        };
        let asked: Vec<&'static str> =
            self.spec["ipFamilies"].as_array().into_iter().flatten().filter_map(known).collect();
        match self.spec["clusterIP"].as_str() {
            _ if !asked.is_empty() => asked,
            Some(ip) if self.has_address() => vec![family(ip)],
            _ => vec!["IPv4", "IPv6"],
        }
    }

    /// The number of one of its ports on a pod; `None` when the pod has no port of that name.
    pub fn target(&self, port: &Value, pod: &Backend) -> Option<i64> {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match &port["targetPort"] {
            Value::Number(number) if number.as_i64() != Some(0) => number.as_i64(),
            Value::String(name) => {
                let found = pod.ports.iter().find(|(named, its, _)| named == name && its == protocol);
                found.map(|(_, _, number)| *number)
            }
            _ => port["port"].as_i64(),
        }
    }

    /// The pod's host name, if the Service is the one that gives pods names.
    pub fn hostname<'p>(&self, pod: &'p Backend) -> Option<&'p str> {
        let named = !pod.hostname.is_empty() && pod.subdomain == self.name && pod.namespace == self.namespace;
        named.then_some(pod.hostname.as_str())
    }
}

/// The family of an address.
pub fn family(address: &str) -> &'static str {
    if address.contains(':') { "IPv6" } else { "IPv4" }
}

/// What names a pod in an endpoint.
pub fn target_ref(pod: &Backend) -> Value {
    json!({"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid})
}

/// The time to tell in an annotation: of the earliest change since the last one that was told, if there was any.
pub fn trigger_time(service: &Service, pods: &[Backend], told: Option<&str>) -> Option<String> {
    let since = told.and_then(world::microseconds);
    let times = pods.iter().map(|pod| pod.since).chain([service.created]);
    let earliest = times.filter(|time| *time > 0 && since.is_none_or(|since| *time > since)).min();
    earliest.map(world::rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Service {
        Service { name: "web".into(), namespace: "n".into(), spec, ..Service::default() }
    }

    #[test]
    fn ports_are_found_by_number_or_name() {
        let service = service(json!({}));
        let pod = Backend { ports: vec![("http".into(), "TCP".into(), 8080)], ..Backend::default() };
        for (port, expected) in [
            (json!({"port": 80, "targetPort": 81}), Some(81)),
            (json!({"port": 80, "targetPort": "http"}), Some(8080)),
            (json!({"port": 80, "targetPort": "http", "protocol": "UDP"}), None),
            (json!({"port": 80, "targetPort": "other"}), None),
            (json!({"port": 80}), Some(80)),
        ] {
            assert_eq!(service.target(&port, &pod), expected, "{port}");
        }
    }

    #[test]
    fn families_follow_the_fields_or_the_address() {
        assert_eq!(service(json!({"ipFamilies": ["IPv6", "IPv4"]})).families(), ["IPv6", "IPv4"]);
        assert_eq!(service(json!({"clusterIP": "10.0.0.1"})).families(), ["IPv4"]);
        assert_eq!(service(json!({"clusterIP": "fd00::1"})).families(), ["IPv6"]);
        assert_eq!(service(json!({"clusterIP": "None"})).families(), ["IPv4", "IPv6"]);
    }

    #[test]
    fn some_services_choose_no_pods() {
        assert!(service(json!({"selector": {"a": "b"}})).selector().is_some());
        assert!(service(json!({"selector": {}})).selector().is_none());
        assert!(service(json!({"selector": {"a": "b"}, "type": "ExternalName"})).selector().is_none());
    }

    #[test]
    fn the_earliest_news_are_told() {
        let pods =
            [Backend { since: 3_000_000, ..Backend::default() }, Backend { since: 5_000_000, ..Backend::default() }];
        let service = Service { created: 1_000_000, ..Service::default() };
        let told = |before: Option<&str>| trigger_time(&service, &pods, before);
        assert_eq!(told(None).as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(told(Some("1970-01-01T00:00:03Z")).as_deref(), Some("1970-01-01T00:00:05Z"));
        assert_eq!(told(Some("1970-01-01T00:00:05Z")), None);
    }
}
