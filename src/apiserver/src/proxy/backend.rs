//! Where a proxied request goes.
//!
//! In: `[scheme:]name[:port]` and the objects that are kept. Out: an address and a port, or why there is none. A service
//! is resolved by its EndpointSlices, else its Endpoints, else the ready pods that its selector names.

use std::net::{IpAddr, SocketAddr};

use kedge_api::selector::LabelSelector;
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::Value;

use crate::registry::Act;

/// The kubelet's port: naming it means the node agent.
const AGENT_PORT: &str = "10250";

/// `[scheme:]name[:port]`, in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// `https:` was given.
    pub tls: bool,
    /// The object.
    pub name: &'a str,
    /// A number or a name; empty for the first.
    pub port: &'a str,
}

impl<'a> Named<'a> {
    /// Reads it.
    pub fn parse(text: &'a str) -> Option<Named<'a>> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        if name.is_empty() || !matches!(scheme, "" | "http" | "https") {
            return None;
        }
        Some(Named { tls: scheme == "https", name, port })
    }
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// By TLS; whom the certificate names is not looked at, as in Kubernetes.
    pub tls: bool,
    /// The address.
    pub address: SocketAddr,
}

/// What answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// A port of somebody.
    At(Backend),
    /// The node agent.
    Agent,
}

/// Finds where the pod, service or node answers.
pub async fn find(act: &Act<'_>, named: &Named<'_>, object: &Object) -> Result<Place, Status> {
    let address = match act.kind.plural.as_ref() {
        "pods" => pod(object, named)?,
        "services" => service(act, named, object).await?,
        _ => {
            if matches!(named.port, "" | AGENT_PORT) {
                return Ok(Place::Agent);
            }
            let addresses = meta::list_at(object, &["status", "addresses"]);
            let internal = addresses.iter().find(|a| meta::text(a, "type") == "InternalIP");
            allowed(internal.map_or("", |a| meta::text(a, "address")), number(named.port)?)?
        }
    };
    Ok(Place::At(Backend { tls: named.tls, address }))
}

/// A pod's own address; the port is the given one, or the first that a container declares.
fn pod(pod: &Object, named: &Named<'_>) -> Result<SocketAddr, Status> {
    let declared = || {
        let containers = meta::list_at(pod, &["spec", "containers"]).iter();
        containers
            .filter_map(|c| meta::list_at(c, &["ports"]).first())
            .find_map(|p| meta::int_at(p, &["containerPort"]))
    };
    let port = match named.port {
        "" => match declared() {
            Some(port) => u16::try_from(port).map_err(|_| Status::bad_request("a port of the pod is no port"))?,
            None if named.tls => 443,
            None => 80,
        },
        text => number(text)?,
    };
    allowed(meta::text_at(pod, &["status", "podIP"]), port)
}

fn number(text: &str) -> Result<u16, Status> {
    let unknown =
        || Status::unavailable(format!("error trying to reach service: dial tcp: lookup tcp/{text}: unknown port"));
    text.parse().map_err(|_| unknown())
}

/// Addresses that lead back to this machine alone, or to many, are nobody's.
fn allowed(address: &str, port: u16) -> Result<SocketAddr, Status> {
    let refused = || Status::bad_request("address not allowed");
    let ip: IpAddr = address.parse().map_err(|_| refused())?;
    let local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || local {
        return Err(refused());
    }
    Ok(SocketAddr::new(ip, port))
}

async fn service(act: &Act<'_>, named: &Named<'_>, service: &Object) -> Result<SocketAddr, Status> {
    let port = port_of(service, named)?;
    let reader = act.core.reader();
    let slices = reader.list("discovery.k8s.io", "endpointslices", act.namespace).await?;
    let mine: Vec<&Object> =
        slices.iter().filter(|s| meta::label(s, "kubernetes.io/service-name") == Some(named.name)).collect();
    let name = meta::text(&port, "name");
    let found = if !mine.is_empty() {
        mine.iter().flat_map(|slice| in_slice(slice, name)).collect()
    } else if let Some(endpoints) = reader.get("", "endpoints", act.namespace, named.name).await? {
        meta::list_at(&endpoints, &["subsets"]).iter().flat_map(|subset| in_subset(subset, name)).collect()
    } else {
        let selector = LabelSelector::equal(meta::pairs_at(service, &["spec", "selector"]));
        let pods = match meta::pairs_at(service, &["spec", "selector"]).next() {
            Some(_) => reader.list("", "pods", act.namespace).await?,
            // Without a selector it is somebody else who tells the addresses.
            None => Vec::new(),
        };
        pods.iter().filter_map(|pod| in_pod(pod, &selector, &port)).collect()
    };
    pick(act, found, named.name)
}

fn pick(act: &Act<'_>, found: Vec<(String, u16)>, name: &str) -> Result<SocketAddr, Status> {
    let none = || Status::unavailable(format!("no endpoints available for service {name:?}"));
    let mut left = found;
    while !left.is_empty() {
        let at = act.core.random.below(left.len() as u64) as usize;
        let (address, port) = left.swap_remove(at);
        if let Ok(address) = allowed(&address, port) {
            return Ok(address);
        }
    }
    Err(none())
}

/// The port of a service: by number, or by name; without either the one that has no name.
fn port_of(service: &Object, named: &Named<'_>) -> Result<Value, Status> {
    let ports = meta::list_at(service, &["spec", "ports"]);
    if let Ok(number) = named.port.parse::<i64>() {
        let found = ports.iter().find(|p| meta::int_at(p, &["port"]) == Some(number));
        return found.cloned().ok_or_else(|| {
            Status::unavailable(format!("no service port {number} found for service {:?}", named.name))
        });
    }
    let found = ports.iter().find(|p| meta::text(p, "name") == named.port);
    let none = || Status::unavailable(format!("no endpoints available for service {:?}", named.name));
    found.cloned().ok_or_else(none)
}

/// Ready addresses of a slice, with the port of that name.
fn in_slice(slice: &Object, name: &str) -> Vec<(String, u16)> {
    let port = meta::list_at(slice, &["ports"]).iter().find(|p| meta::text(p, "name") == name).and_then(port_number);
    let Some(port) = port else { return Vec::new() };
    let ready = |e: &&Value| meta::at(e, &["conditions", "ready"]).and_then(Value::as_bool) != Some(false);
    let endpoints = meta::list_at(slice, &["endpoints"]).iter().filter(ready);
    endpoints.filter_map(|e| Some((meta::list_at(e, &["addresses"]).first()?.as_str()?.to_owned(), port))).collect()
}

/// Ready addresses of a subset of Endpoints, with the port of that name.
fn in_subset(subset: &Value, name: &str) -> Vec<(String, u16)> {
    let port = meta::list_at(subset, &["ports"]).iter().find(|p| meta::text(p, "name") == name).and_then(port_number);
    let Some(port) = port else { return Vec::new() };
    meta::list_at(subset, &["addresses"]).iter().map(|a| (meta::text(a, "ip").to_owned(), port)).collect()
}

fn port_number(port: &Value) -> Option<u16> {
    u16::try_from(meta::int_at(port, &["port"])?).ok()
}

/// A ready pod that the selector names, with the port that the service's port leads to.
fn in_pod(pod: &Object, selector: &LabelSelector, port: &Value) -> Option<(String, u16)> {
    let labels = pod.get("metadata")?.get("labels")?;
    let conditions = meta::list_at(pod, &["status", "conditions"]);
    let ready = conditions.iter().any(|c| meta::text(c, "type") == "Ready" && meta::text(c, "status") == "True");
    if !ready || !selector.matches(labels) || meta::deletion_timestamp(pod).is_some() {
        return None;
    }
    let number = match port.get("targetPort") {
        Some(Value::String(name)) => {
            let containers = meta::list_at(pod, &["spec", "containers"]).iter();
            let mut ports = containers.flat_map(|c| meta::list_at(c, &["ports"]));
            meta::int_at(ports.find(|p| meta::text(p, "name") == name)?, &["containerPort"])?
        }
        Some(Value::Number(number)) if number.as_i64() != Some(0) => number.as_i64()?,
        _ => meta::int_at(port, &["port"])?,
    };
    Some((meta::text_at(pod, &["status", "podIP"]).to_owned(), u16::try_from(number).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_up_to_three_parts() {
        let named = |tls, name, port| Some(Named { tls, name, port });
        for (text, expected) in [
            ("a", named(false, "a", "")),
            ("a:80", named(false, "a", "80")),
            ("https:a:web", named(true, "a", "web")),
            ("https:a:", named(true, "a", "")),
            ("ftp:a:80", None),
            (":80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(Named::parse(text), expected, "{text}");
        }
    }

    #[track_caller]
    fn check(name: &str, expected: Result<&str, &str>) {
        let object = json!({"spec": {"containers": [{"name": "a"}, {"name": "b", "ports": [{"containerPort": 8080}]}]},
            "status": {"podIP": "10.1.2.3"}});
        let found = pod(&object, &Named::parse(name).unwrap()).map(|a| a.to_string()).map_err(|s| s.message);
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_pod_is_reached_at_the_given_or_its_first_port() {
        check("p", Ok("10.1.2.3:8080"));
        check("p:9", Ok("10.1.2.3:9"));
        check("p:web", Err("error trying to reach service: dial tcp: lookup tcp/web: unknown port"));
        for address in ["127.0.0.1", "169.254.1.1", "", "0.0.0.0", "224.0.0.1", "fe80::1", "::1"] {
            assert_eq!(allowed(address, 1).unwrap_err().message, "address not allowed", "{address}");
        }
    }

    #[test]
    fn a_services_port_leads_to_addresses() {
        let service = json!({"spec": {"ports": [
            {"name": "web", "port": 80, "targetPort": "http"}, {"name": "raw", "port": 81, "targetPort": 9000}]}});
        let port = |text: &str| port_of(&service, &Named::parse(text).unwrap());
        assert_eq!(port("s:80").unwrap()["name"], "web");
        assert_eq!(port("s:raw").unwrap()["port"], 81);
        assert_eq!(port("s:9").unwrap_err().message, "no service port 9 found for service \"s\"");
        assert_eq!(port("s").unwrap_err().message, "no endpoints available for service \"s\"");
        let slice = json!({"ports": [{"name": "web", "port": 8080}], "endpoints": [
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}, {"addresses": ["10.0.0.3"]}]});
        let found = |ip: &str| (ip.to_owned(), 8080);
        assert_eq!(in_slice(&slice, "web"), [found("10.0.0.1"), found("10.0.0.3")]);
        assert_eq!(in_slice(&slice, "raw"), []);
        let subset = json!({"ports": [{"port": 8080}], "addresses": [{"ip": "10.0.0.1"}]});
        assert_eq!(in_subset(&subset, ""), [found("10.0.0.1")]);
        let ready = json!({"metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}});
        let selector = LabelSelector::equal([("app", "a")].into_iter());
        assert_eq!(in_pod(&ready, &selector, &port("s:80").unwrap()), Some(found("10.0.0.1")));
        assert_eq!(in_pod(&ready, &selector, &port("s:81").unwrap()).map(|(_, port)| port), Some(9000));
        let other = LabelSelector::equal([("app", "b")].into_iter());
        assert_eq!(in_pod(&ready, &other, &port("s:80").unwrap()), None);
    }
}
