//! From a Service to the addresses behind it.
//!
//! In: a place, the store. Out: backends. EndpointSlices say where; where nobody made any, the
//! Endpoints do, and where nobody made those either, the ready pods that the Service selects: a
//! webhook on the device is reached before, and without, the machinery of Services.

use std::fmt;
use std::net::SocketAddr;

use kedge_api::fields::Index;
use kedge_api::selector::{LabelSelector, Lookup as _};
use kedge_api::{Object, meta};
use serde_json::Value;

use super::fault::Fault;
use super::target::Place;
use crate::registry::{body, keys};
use crate::vault::Vault;

/// The label by which an EndpointSlice names its Service.
const SERVICE: &str = "kubernetes.io/service-name";

/// One thing that may answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// An address.
    Address(SocketAddr),
    /// A name and a port.
    Name(String, u16),
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backend::Address(address) => write!(f, "{address}"),
            Backend::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// What stands behind a place: at least one backend, or why none.
pub async fn backends(store: &Vault, place: &Place) -> Result<Vec<Backend>, Fault> {
    let (namespace, name, port) = match place {
        Place::Host { host, port } => {
            return Ok(vec![match host.parse() {
                Ok(ip) => Backend::Address(SocketAddr::new(ip, *port)),
                Err(_) => Backend::Name(host.clone(), *port),
            }]);
        }
        Place::Service { namespace, name, port } => (namespace, name, *port),
    };
    let service = read(store, &keys::fixed("", "services", namespace, name)).await?;
    let service = service.ok_or_else(|| Fault::NoService(format!("service {name:?} not found")))?;
    if meta::text_at(&service, &["spec", "type"]) == "ExternalName" {
        return Ok(vec![Backend::Name(meta::text_at(&service, &["spec", "externalName"]).to_owned(), port)]);
    }
    let found = behind(store, namespace, name, &service, port).await?.unwrap_or_default();
    if found.is_empty() { Err(Fault::NoBackend(name.clone())) } else { Ok(found) }
}

/// What stands behind a port of a Service; `None` if nobody said yet.
pub async fn behind(
    store: &Vault,
    namespace: &str,
    name: &str,
    service: &Object,
    port: u16,
) -> Result<Option<Vec<Backend>>, Fault> {
    let ports = meta::list_at(service, &["spec", "ports"]);
    let Some(wanted) = ports.iter().find(|p| meta::int_at(p, &["port"]) == Some(i64::from(port))) else {
        return Err(Fault::NoService(format!("no service port {port} found for service {name:?}")));
    };
    if let Some(found) = slices(store, namespace, name, wanted).await? {
        return Ok(Some(found));
    }
    if let Some(found) = endpoints(store, namespace, name, wanted).await? {
        return Ok(Some(found));
    }
    let found = pods(store, namespace, service, wanted).await?;
    Ok((!found.is_empty()).then_some(found))
}

async fn read(store: &Vault, key: &str) -> Result<Option<Object>, Fault> {
    let entry = store.get(key).await.map_err(|e| Fault::Broken(e.to_string()))?;
    entry.map(|e| body::decode(&e.bytes).map_err(|f| Fault::Broken(f.to_string()))).transpose()
}

/// The addresses of the Service's slices; none at all if it has no slice.
async fn slices(store: &Vault, namespace: &str, name: &str, port: &Value) -> Result<Option<Vec<Backend>>, Fault> {
    let prefix = keys::fixed("discovery.k8s.io", "endpointslices", namespace, "");
    let page = store.list(&prefix, None, None, 0).await.map_err(|e| Fault::Broken(e.to_string()))?;
    let mut found = None;
    for entry in page.entries {
        if Index::read(&entry.index).labels().value(SERVICE) != Some(name) {
            continue;
        }
        let slice = body::decode(&entry.bytes).map_err(|e| Fault::Broken(e.to_string()))?;
        found.get_or_insert_with(Vec::new).extend(of_slice(&slice, meta::text(port, "name")));
    }
    Ok(found)
}

/// The ready addresses of a slice, at the port of that name.
fn of_slice(slice: &Object, port_name: &str) -> Vec<Backend> {
    let ports = meta::list_at(slice, &["ports"]);
    let port = ports.iter().find(|p| meta::text(p, "name") == port_name).and_then(|p| meta::int_at(p, &["port"]));
    let Some(port) = port.and_then(|p| u16::try_from(p).ok()) else { return Vec::new() };
    meta::list_at(slice, &["endpoints"])
        .iter()
        .filter(|e| e.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true))
        .flat_map(|e| meta::list_at(e, &["addresses"]).iter().take(1))
        .filter_map(Value::as_str)
        .map(|text| match text.parse() {
            Ok(ip) => Backend::Address(SocketAddr::new(ip, port)),
            Err(_) => Backend::Name(text.to_owned(), port),
        })
        .collect()
}

/// The addresses of the Endpoints of the Service's name; none at all if there are no such Endpoints.
async fn endpoints(store: &Vault, namespace: &str, name: &str, port: &Value) -> Result<Option<Vec<Backend>>, Fault> {
    let object = read(store, &keys::fixed("", "endpoints", namespace, name)).await?;
    Ok(object.map(|object| {
        let mut found = Vec::new();
        for subset in meta::list_at(&object, &["subsets"]) {
            let ports = meta::list_at(subset, &["ports"]);
            let at = ports.iter().find(|p| meta::text(p, "name") == meta::text(port, "name"));
            let Some(number) = at.and_then(|p| u16::try_from(meta::int_at(p, &["port"])?).ok()) else { continue };
            let addresses = meta::list_at(subset, &["addresses"]).iter();
            found.extend(
                addresses
                    .filter_map(|a| meta::text(a, "ip").parse().ok())
                    .map(|ip| Backend::Address(SocketAddr::new(ip, number))),
            );
        }
        found
    }))
}

/// The ready pods that the Service selects.
async fn pods(store: &Vault, namespace: &str, service: &Object, port: &Value) -> Result<Vec<Backend>, Fault> {
    let selector: Vec<_> = meta::pairs_at(service, &["spec", "selector"]).collect();
    if selector.is_empty() {
        return Ok(Vec::new());
    }
    let selector = LabelSelector::equal(selector.into_iter());
    let prefix = keys::fixed("", "pods", namespace, "");
    let page = store.list(&prefix, None, None, 0).await.map_err(|e| Fault::Broken(e.to_string()))?;
    let mut found = Vec::new();
    for entry in page.entries {
        if selector.matches(&Index::read(&entry.index).labels()) {
            let pod = body::decode(&entry.bytes).map_err(|e| Fault::Broken(e.to_string()))?;
            found.extend(of_pod(&pod, port));
        }
    }
    Ok(found)
}

fn of_pod(pod: &Object, port: &Value) -> Option<Backend> {
    let is_ready = |c: &Value| meta::text(c, "type") == "Ready" && meta::text(c, "status") == "True";
    if !meta::list_at(pod, &["status", "conditions"]).iter().any(is_ready) || meta::deletion_timestamp(pod).is_some() {
        return None;
    }
    let ip = meta::text_at(pod, &["status", "podIP"]).parse().ok()?;
    let number = match port.get("targetPort") {
        Some(Value::Number(number)) if number.as_i64() != Some(0) => number.as_i64(),
        Some(Value::String(name)) => meta::list_at(pod, &["spec", "containers"])
            .iter()
            .flat_map(|c| meta::list_at(c, &["ports"]))
            .find(|p| meta::text(p, "name") == name)
            .and_then(|p| meta::int_at(p, &["containerPort"])),
        _ => meta::int_at(port, &["port"]),
    };
    Some(Backend::Address(SocketAddr::new(ip, u16::try_from(number?).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(seen: impl IntoIterator<Item = Backend>, expected: &str) {
        let seen: Vec<String> = seen.into_iter().map(|b| b.to_string()).collect();
        assert_eq!(seen.join(" "), expected);
    }

    #[test]
    fn a_slice_gives_its_ready_addresses_at_the_named_port() {
        let slice = json!({
            "ports": [{"name": "https", "port": 8443}, {"name": "", "port": 80}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["fd00::1"]},
            ],
        });
        check(of_slice(&slice, "https"), "10.0.0.1:8443 [fd00::1]:8443");
        check(of_slice(&slice, ""), "10.0.0.1:80 [fd00::1]:80");
        check(of_slice(&slice, "other"), "");
    }

    #[test]
    fn a_pod_is_reached_at_its_own_port_once_it_is_ready() {
        let pod = |ready: &str| {
            json!({"spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}]},
                "status": {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": ready}]}})
        };
        check(of_pod(&pod("True"), &json!({"port": 443, "targetPort": "web"})), "10.0.0.9:8080");
        check(of_pod(&pod("True"), &json!({"port": 443, "targetPort": 9443})), "10.0.0.9:9443");
        check(of_pod(&pod("True"), &json!({"port": 443})), "10.0.0.9:443");
        check(of_pod(&pod("True"), &json!({"port": 443, "targetPort": "none"})), "");
        check(of_pod(&pod("False"), &json!({"port": 443})), "");
    }
}
