//! Pages of ingresses and network policies, and what stands behind a service.
//!
//! In: an object, the services and EndpointSlices of its namespace. Out: lines. Never asks the server itself.

use serde_json::Value;

use super::kinds::{annotations, both};
use super::page::{Page, items, joined, moment, selector, words};

/// Endpoints that are named; the others are counted.
const NAMED: usize = 3;

/// An Ingress.
pub fn ingress(object: &Value, related: &Value, page: &mut Page) {
    let spec = &object["spec"];
    let addresses: Vec<String> = items(&object["status"]["loadBalancer"]["ingress"])
        .map(|at| at["ip"].as_str().or(at["hostname"].as_str()).unwrap_or("").to_owned())
        .collect();
    page.raw(0, format!("Address:          {}", addresses.join(",")).trim_end());
    page.line(0, "Ingress Class", words(&spec["ingressClassName"]));
    let default = &spec["defaultBackend"];
    page.line(0, "Default backend", if default.is_null() { "<default>".to_owned() } else { backend(default, related) });
    if items(&spec["tls"]).next().is_some() {
        page.head(0, "TLS");
        for tls in items(&spec["tls"]) {
            let hosts = joined(&tls["hosts"], ",");
            page.raw(
                1,
                match tls["secretName"].as_str().filter(|name| !name.is_empty()) {
                    Some(secret) => format!("{secret} terminates {hosts}"),
                    None => format!("SNI routes {hosts}"),
                },
            );
        }
    }
    let mut rows = Vec::new();
    for rule in items(&spec["rules"]).filter(|rule| !rule["http"].is_null()) {
        let host = rule["host"].as_str().filter(|host| !host.is_empty()).unwrap_or("*").to_owned();
        rows.push(vec![host]);
        for path in items(&rule["http"]["paths"]) {
            rows.push(vec![String::new(), words(&path["path"]), backend(&path["backend"], related)]);
        }
    }
    page.head(0, "Rules");
    if rows.is_empty() {
        rows.push(vec!["*".to_owned(), "*".to_owned(), "<default>".to_owned()]);
    }
    page.table(1, &["Host", "Path", "Backends"], &rows);
    page.pairs(0, "Annotations", &annotations(object), ": ");
}

/// `web:80 (10.0.0.2:8080)`.
fn backend(backend: &Value, related: &Value) -> String {
    let Some(service) = backend.get("service").filter(|service| !service.is_null()) else {
        let resource = &backend["resource"];
        return format!(
            "APIGroup: {}, Kind: {}, Name: {}",
            words(&resource["apiGroup"]),
            words(&resource["kind"]),
            words(&resource["name"])
        );
    };
    let (name, number) = (&service["name"], &service["port"]["number"]);
    let port = if number.is_null() { &service["port"]["name"] } else { number };
    let shown = format!("{}:{}", words(name), words(port));
    let Some(found) = items(&related["services"]).find(|s| s["metadata"]["name"] == *name) else {
        return format!("{shown} (<error: services \"{}\" not found>)", words(name));
    };
    let mut ports = items(&found["spec"]["ports"]);
    match ports.find(|p| if number.is_null() { p["name"] == *port } else { p["port"] == *number }) {
        Some(port) => format!("{shown} ({})", endpoints(&related["slices"], name, &port["name"])),
        None => format!("{shown} (<none>)"),
    }
}

/// The addresses behind one port of a service: `10.0.0.2:8080,10.0.0.3:8080`; empty for none.
pub fn endpoints(slices: &Value, service: &Value, port: &Value) -> String {
    let port = port.as_str().unwrap_or("");
    let mut found = Vec::new();
    for slice in items(slices).filter(|s| s["metadata"]["labels"]["kubernetes.io/service-name"] == *service) {
        let numbers = items(&slice["ports"]).filter(|p| p["name"].as_str().unwrap_or("") == port);
        for number in numbers.map(|p| words(&p["port"])) {
            for endpoint in items(&slice["endpoints"]).filter(|e| e["conditions"]["ready"] != false) {
                for address in items(&endpoint["addresses"]).map(words) {
                    let address = if address.contains(':') { format!("[{address}]") } else { address };
                    found.push(format!("{address}:{number}"));
                }
            }
        }
    }
    let more = found.len().saturating_sub(NAMED);
    found.truncate(NAMED);
    let named = found.join(",");
    if more > 0 { format!("{named} + {more} more...") } else { named }
}

/// A NetworkPolicy.
pub fn network_policy(object: &Value, page: &mut Page) {
    let spec = &object["spec"];
    page.line(0, "Created on", moment(&object["metadata"]["creationTimestamp"]));
    both(object, page);
    page.head(0, "Spec");
    let chosen = selector(&spec["podSelector"]);
    let everything = "<none> (Allowing the specific traffic to all pods in this namespace)";
    page.raw(1, format!("PodSelector:     {}", if chosen.is_empty() { everything } else { &chosen }));
    let types: Vec<String> = items(&spec["policyTypes"]).map(words).collect();
    for (of, way, ends) in [("Ingress", "ingress", "From"), ("Egress", "egress", "To")] {
        if !types.iter().any(|named| named == of) {
            page.raw(1, format!("Not affecting {way} traffic"));
            continue;
        }
        page.raw(1, format!("Allowing {way} traffic:"));
        let rules: Vec<&Value> = items(&spec[way]).collect();
        if rules.is_empty() {
            page.raw(2, format!("<none> (Selected pods are isolated for {way} connectivity)"));
        }
        for (i, rule) in rules.iter().enumerate() {
            if i > 0 {
                page.raw(2, "----------");
            }
            ports(&rule["ports"], page);
            peers(&rule[ends.to_lowercase()], ends, page);
        }
    }
    page.raw(1, format!("Policy Types: {}", types.join(", ")));
}

fn ports(list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return page.raw(2, "To Port: <any> (traffic allowed to all ports)");
    }
    for port in items(list) {
        let last = port["endPort"].as_i64().map(|last| format!("-{last}")).unwrap_or_default();
        let number = if port["port"].is_null() { "<any>".to_owned() } else { words(&port["port"]) };
        page.raw(2, format!("To Port: {number}{last}/{}", port["protocol"].as_str().unwrap_or("TCP")));
    }
}

fn peers(list: &Value, ends: &str, page: &mut Page) {
    if items(list).next().is_none() {
        let end = if ends == "From" { "source" } else { "destination" };
        return page.raw(2, format!("{ends}: <any> (traffic not restricted by {end})"));
    }
    for peer in items(list) {
        page.raw(2, format!("{ends}:"));
        if let Some(block) = peer.get("ipBlock").filter(|block| !block.is_null()) {
            page.raw(3, "IPBlock:");
            page.raw(4, format!("CIDR: {}", words(&block["cidr"])));
            page.raw(4, format!("Except: {}", joined(&block["except"], ", ")).trim_end());
            continue;
        }
        for (name, field) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
            if !peer[field].is_null() {
                let chosen = selector(&peer[field]);
                page.raw(3, format!("{name}: {}", if chosen.is_empty() { "<none>" } else { &chosen }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    fn related() -> Value {
        let endpoint = |address: &str| json!({"addresses": [address], "conditions": {"ready": true}});
        let slice = json!({"metadata": {"labels": {"kubernetes.io/service-name": "web"}},
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [endpoint("10.0.0.2"), endpoint("fd00::2"), {"addresses": ["10.0.0.9"], "conditions": {"ready": false}}]});
        json!({"services": [{"metadata": {"name": "web"}, "spec": {"ports": [{"name": "http", "port": 80}]}}], "slices": [slice]})
    }

    #[test]
    fn endpoints_are_those_that_are_ready() {
        let all = related();
        assert_eq!(endpoints(&all["slices"], &json!("web"), &json!("http")), "10.0.0.2:8080,[fd00::2]:8080");
        assert_eq!(endpoints(&all["slices"], &json!("web"), &json!("other")), "");
        assert_eq!(endpoints(&all["slices"], &json!("other"), &json!("http")), "");
        let many: Vec<Value> = (1..=5).map(|i| json!({"addresses": [format!("10.0.0.{i}")]})).collect();
        let slice = json!([{"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "ports": [{"port": 1}], "endpoints": many}]);
        assert_eq!(endpoints(&slice, &json!("web"), &Value::Null), "10.0.0.1:1,10.0.0.2:1,10.0.0.3:1 + 2 more...");
    }

    #[test]
    fn an_ingress_shows_what_is_behind_each_path() {
        let to = |service: &str| json!({"service": {"name": service, "port": {"number": 80}}});
        let object = json!({"metadata": {}, "spec": {"tls": [{"secretName": "t", "hosts": ["a", "b"]}], "rules": [
            {"host": "a", "http": {"paths": [{"path": "/", "backend": to("web")}, {"path": "/x", "backend": to("nobody")}]}},
        ]}});
        page::check(
            |page| ingress(&object, &related(), page),
            "Address:\nIngress Class:    <none>\nDefault backend:  <default>\nTLS:\n  t terminates a,b\nRules:\n  Host  Path  Backends\n  ----  ----  --------\n  a\n        /     web:80 (10.0.0.2:8080,[fd00::2]:8080)\n        /x    nobody:80 (<error: services \"nobody\" not found>)\nAnnotations:      <none>\n",
        );
    }

    #[test]
    fn a_policy_says_what_it_lets_through() {
        let object = json!({"metadata": {"creationTimestamp": "2026-11-30T10:00:00Z"}, "spec": {
        "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
            {"ports": [{"port": 80, "protocol": "TCP"}], "from": [{"podSelector": {"matchLabels": {"a": "b"}}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]},
            {},
        ]}});
        page::check(
            |page| network_policy(&object, page),
            "Created on:   Mon, 30 Nov 2026 10:00:00 +0000\nLabels:       <none>\nAnnotations:  <none>\nSpec:\n  PodSelector:     <none> (Allowing the specific traffic to all pods in this namespace)\n  Allowing ingress traffic:\n    To Port: 80/TCP\n    From:\n      PodSelector: a=b\n    From:\n      IPBlock:\n        CIDR: 10.0.0.0/8\n        Except: 10.1.0.0/16\n    ----------\n    To Port: <any> (traffic allowed to all ports)\n    From: <any> (traffic not restricted by source)\n  Not affecting egress traffic\n  Policy Types: Ingress\n",
        );
    }
}
