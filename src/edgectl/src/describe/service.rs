//! Pages of services and of what stands behind them.
//!
//! In: an object, the EndpointSlices of its namespace. Out: lines. Never asks the server.

use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{flag, in_line, items, joined, number, or_none, or_unset, words};

/// Endpoints that are named; the others are counted.
const NAMED: usize = 3;
/// The label of an EndpointSlice that names its service.
const SERVICE: &str = "kubernetes.io/service-name";

/// A Service; `related` has the EndpointSlices of its namespace.
pub fn service(object: &Value, related: &Value, page: &mut Page) {
    let spec = &object["spec"];
    both(object, page);
    page.line(0, "Selector", in_line(&spec["selector"]));
    page.line(0, "Type", words(&spec["type"]));
    page.some(0, "IP Family Policy", &spec["ipFamilyPolicy"]);
    page.line(0, "IP Families", or_none(joined(&spec["ipFamilies"], ",")));
    page.line(0, "IP", words(&spec["clusterIP"]));
    page.line(0, "IPs", or_none(joined(&spec["clusterIPs"], ",")));
    let has = |list: &Value| items(list).next().is_some();
    if has(&spec["externalIPs"]) {
        page.joined(0, "External IPs", &spec["externalIPs"]);
    }
    page.some(0, "Desired LoadBalancer IP", &spec["loadBalancerIP"]);
    page.some(0, "External Name", &spec["externalName"]);
    let ingress = &object["status"]["loadBalancer"]["ingress"];
    if has(ingress) {
        page.line(0, "LoadBalancer Ingress", items(ingress).map(balancer).collect::<Vec<_>>().join(", "));
    }
    for port in items(&spec["ports"]) {
        let (named, protocol) = (words(&port["name"]), words(&port["protocol"]));
        let name = if named.is_empty() { "<unset>" } else { &named };
        page.line(0, "Port", format!("{name}\t{}/{protocol}", number(&port["port"])));
        let target = if port["targetPort"].is_null() { "0".to_owned() } else { words(&port["targetPort"]) };
        page.line(0, "TargetPort", format!("{target}/{protocol}"));
        page.some(0, "AppProtocol", &port["appProtocol"]);
        if number(&port["nodePort"]) != 0 {
            page.line(0, "NodePort", format!("{name}\t{}/{protocol}", number(&port["nodePort"])));
        }
        page.line(0, "Endpoints", endpoints(&related["slices"], &object["metadata"]["name"], &named));
    }
    page.line(0, "Session Affinity", words(&spec["sessionAffinity"]));
    page.some(0, "External Traffic Policy", &spec["externalTrafficPolicy"]);
    page.some(0, "Internal Traffic Policy", &spec["internalTrafficPolicy"]);
    if number(&spec["healthCheckNodePort"]) != 0 {
        page.line(0, "HealthCheck NodePort", words(&spec["healthCheckNodePort"]));
    }
    if has(&spec["loadBalancerSourceRanges"]) {
        page.joined(0, "LoadBalancer Source Ranges", &spec["loadBalancerSourceRanges"]);
    }
    page.some(0, "Traffic Distribution", &spec["trafficDistribution"]);
}

/// Where a load balancer is: `10.0.0.1 (VIP)`.
fn balancer(ingress: &Value) -> String {
    let ip = words(&ingress["ip"]);
    match ingress["ipMode"].as_str() {
        _ if ip.is_empty() => words(&ingress["hostname"]),
        Some(mode) => format!("{ip} ({mode})"),
        None => ip,
    }
}

/// The addresses behind one port of a service, by the port's name: `10.0.0.2:8080,10.0.0.3:8080`.
pub fn endpoints(slices: &Value, service: &Value, port: &str) -> String {
    let own: Vec<&Value> = items(slices).filter(|s| s["metadata"]["labels"][SERVICE] == *service).collect();
    if own.is_empty() {
        return "<none>".to_owned();
    }
    let (mut found, mut is_full): (Vec<String>, bool) = (Vec::new(), false);
    let mut add = |slice: &Value, port: Option<i64>| {
        for endpoint in items(&slice["endpoints"]) {
            // Any further one tells of more, as in kubectl, though it be none that is ready.
            is_full |= found.len() >= NAMED;
            let address = words(&endpoint["addresses"][0]);
            if endpoint["conditions"]["ready"] != false {
                found.push(match port {
                    Some(port) if address.contains(':') => format!("[{address}]:{port}"),
                    Some(port) => format!("{address}:{port}"),
                    None => address,
                });
            }
        }
    };
    for slice in own {
        if items(&slice["ports"]).next().is_none() {
            add(slice, None);
        }
        items(&slice["ports"]).filter(|p| words(&p["name"]) == port).for_each(|p| add(slice, Some(number(&p["port"]))));
    }
    let named = found.get(..NAMED).unwrap_or(&found).join(",");
    if is_full { format!("{named} + {} more...", found.len().saturating_sub(NAMED)) } else { named }
}

/// Endpoints.
pub fn plain_endpoints(object: &Value, page: &mut Page) {
    both(object, page);
    page.head(0, "Subsets");
    for subset in items(&object["subsets"]) {
        for (name, field) in [("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")] {
            let all: Vec<String> = items(&subset[field]).map(|address| words(&address["ip"])).collect();
            page.line(1, name, or_none(all.join(",")));
        }
        let port = |port: &Value| {
            let name = words(&port["name"]);
            let name = if name.is_empty() { "<unset>".to_owned() } else { name };
            vec![name, number(&port["port"]).to_string(), words(&port["protocol"])]
        };
        let rows: Vec<Vec<String>> = items(&subset["ports"]).map(port).collect();
        if !rows.is_empty() {
            page.head(1, "Ports");
            page.table(2, &["Name", "Port", "Protocol"], &rows);
        }
        page.raw(0, "");
    }
}

/// An EndpointSlice.
pub fn slice(object: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "AddressType", words(&object["addressType"]));
    let port = |port: &Value| {
        let name = words(&port["name"]);
        let name = if name.is_empty() { "<unset>".to_owned() } else { name };
        vec![name, or_unset(&port["port"]), words(&port["protocol"])]
    };
    let rows: Vec<Vec<String>> = items(&object["ports"]).map(port).collect();
    if rows.is_empty() {
        page.raw(0, "Ports: <unset>");
    } else {
        page.head(0, "Ports");
        page.table(1, &["Name", "Port", "Protocol"], &rows);
    }
    if items(&object["endpoints"]).next().is_none() {
        return page.raw(0, "Endpoints: <none>");
    }
    page.head(0, "Endpoints");
    for endpoint in items(&object["endpoints"]) {
        page.line(1, "- Addresses", or_none(joined(&endpoint["addresses"], ", ")));
        page.head(2, "Conditions");
        let ready = &endpoint["conditions"]["ready"];
        page.line(3, "Ready", if ready.is_null() { "<unset>" } else { flag(ready) });
        page.line(2, "Hostname", or_unset(&endpoint["hostname"]));
        let target = &endpoint["targetRef"];
        if !target.is_null() {
            page.line(2, "TargetRef", format!("{}/{}", words(&target["kind"]), words(&target["name"])));
        }
        page.line(2, "NodeName", or_unset(&endpoint["nodeName"]));
        page.line(2, "Zone", or_unset(&endpoint["zone"]));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_service_says_where_it_is_reached() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"externalIPs": ["10.0.0.1", "10.0.0.2"],
            "externalName": "b.lan", "internalTrafficPolicy": "Local", "ports": [
                {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web", "nodePort": 30000}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.3", "ipMode": "VIP"}, {"hostname": "c.lan"}]}}});
        check(
            |page| service(&object, &Value::Null, page),
            "Labels:                   <none>\nAnnotations:              <none>\nSelector:                 <none>\nType:                     \nIP Families:              <none>\nIP:                       \nIPs:                      <none>\nExternal IPs:             10.0.0.1,10.0.0.2\nExternal Name:            b.lan\nLoadBalancer Ingress:     10.0.0.3 (VIP), c.lan\nPort:                     http  80/TCP\nTargetPort:               web/TCP\nNodePort:                 http  30000/TCP\nEndpoints:                <none>\nSession Affinity:         \nInternal Traffic Policy:  Local\n",
        );
    }

    #[test]
    fn endpoints_are_those_that_are_ready() {
        let endpoint = |address: &str| json!({"addresses": [address], "conditions": {"ready": true}});
        let ports = json!([{"name": "http", "port": 8080}]);
        let slice = |ports: &Value, endpoints: Value| json!([{"metadata": {"labels": {SERVICE: "web"}}, "ports": ports, "endpoints": endpoints}]);
        let away = json!({"addresses": ["10.0.0.9"], "conditions": {"ready": false}});
        let some = slice(&ports, json!([endpoint("10.0.0.2"), endpoint("fd00::2"), away]));
        let many: Vec<Value> = (1..=5).map(|i| endpoint(&format!("10.0.0.{i}"))).collect();
        for (slices, service, port, expected) in [
            (&some, "web", "http", "10.0.0.2:8080,[fd00::2]:8080"),
            (&some, "web", "other", ""),
            (&some, "other", "http", "<none>"),
            (&slice(&ports, json!(many)), "web", "http", "10.0.0.1:8080,10.0.0.2:8080,10.0.0.3:8080 + 2 more..."),
            (&slice(&json!([]), json!([endpoint("10.0.0.2")])), "web", "", "10.0.0.2"),
        ] {
            assert_eq!(endpoints(slices, &json!(service), port), expected);
        }
    }

    #[test]
    fn a_slice_tells_of_each_endpoint() {
        let object = json!({"metadata": {}, "addressType": "IPv4", "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "p"}}]});
        check(
            |page| slice(&object, page),
            "Labels:       <none>\nAnnotations:  <none>\nAddressType:  IPv4\nPorts:\n  Name     Port  Protocol\n  ----     ----  --------\n  <unset>  80    TCP\nEndpoints:\n  - Addresses:  10.0.0.1\n    Conditions:\n      Ready:    true\n    Hostname:   <unset>\n    TargetRef:  Pod/p\n    NodeName:   <unset>\n    Zone:       <unset>\n",
        );
        check(
            |page| slice(&json!({"addressType": "IPv6"}), page),
            "Labels:       <none>\nAnnotations:  <none>\nAddressType:  IPv6\nPorts: <unset>\nEndpoints: <none>\n",
        );
    }
}
