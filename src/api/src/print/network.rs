//! Services, endpoints, ingresses and network policies in tables.

use std::net::IpAddr;
use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name, selector};
use super::text::{self, NONE, UNSET, cut, int, label_pairs, or, scalar, selector_text};
use crate::Object;
use crate::meta::{self, at, int_at, list_at, text_at};

/// Elements of a list that a cell shows.
const SHOWN: usize = 3;

const SERVICE: &[Column] = &[
    name(),
    Column::text("Type", "How the service is exposed."),
    Column::text("Cluster-IP", "Its address inside the cluster."),
    Column::text("External-IP", "Its addresses outside the cluster."),
    Column::text("Port(s)", "The ports that it exposes."),
    age(),
    selector(),
];
const ENDPOINTS: &[Column] = &[name(), Column::text("Endpoints", "Addresses and ports behind the service."), age()];
const SLICE: &[Column] = &[
    name(),
    Column::text("AddressType", "IPv4, IPv6 or FQDN."),
    Column::text("Ports", "Ports of every endpoint."),
    Column::text("Endpoints", "Addresses of the endpoints."),
    age(),
];
const INGRESS: &[Column] = &[
    name(),
    Column::text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
    Column::text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
    Column::text("Address", "Address is a list containing ingress points for the load-balancer"),
    Column::text("Ports", "Ports of TLS configurations that open"),
    age(),
];
const CLASS: &[Column] = &[
    name(),
    Column::text("Controller", "Controller that is responsible for handling this class"),
    Column::text("Parameters", "A reference to a resource with additional parameters"),
    age(),
];
const POLICY: &[Column] = &[name(), Column::text("Pod-Selector", "The pods that the policy is about."), age()];
const CIDR: &[Column] = &[name(), Column::text("CIDRs", "The ranges of addresses."), age()];
const ADDRESS: &[Column] = &[name(), Column::text("ParentRef", "The object that uses the address."), age()];

pub(super) fn core(kind: &str) -> Option<Printer> {
    match kind {
        "Service" => Some(Printer { columns: SERVICE, cells: service }),
        "Endpoints" => Some(Printer {
            columns: ENDPOINTS,
            cells: |object, now| vec![meta::name(object).into(), endpoints(object).into(), text::age(object, now)],
        }),
        _ => None,
    }
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "EndpointSlice" => Printer { columns: SLICE, cells: slice },
        "Ingress" => Printer { columns: INGRESS, cells: ingress },
        "IngressClass" => Printer { columns: CLASS, cells: class },
        "NetworkPolicy" => Printer {
            columns: POLICY,
            cells: |object, now| {
                let pods = selector_text(at(object, &["spec", "podSelector"]));
                vec![meta::name(object).into(), pods.into(), text::age(object, now)]
            },
        },
        "ServiceCIDR" => Printer {
            columns: CIDR,
            cells: |object, now| {
                let list: Vec<&str> = list_at(object, &["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
                vec![meta::name(object).into(), list.join(",").into(), text::age(object, now)]
            },
        },
        "IPAddress" => Printer {
            columns: ADDRESS,
            cells: |object, now| {
                let part = |field: &str| text_at(object, &["spec", "parentRef", field]);
                let resource = crate::kinds::group_resource(part("resource"), part("group"));
                let parts = [&resource, part("namespace"), part("name")];
                let parent: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
                vec![meta::name(object).into(), parent.join("/").into(), text::age(object, now)]
            },
        },
        _ => return None,
    };
    Some(printer)
}

fn service(object: &Object, now: SystemTime) -> Vec<Value> {
    let kind = text_at(object, &["spec", "type"]);
    let first = list_at(object, &["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or("");
    let internal = or(or(first, text_at(object, &["spec", "clusterIP"])), NONE);
    let ports: Vec<String> = list_at(object, &["spec", "ports"])
        .iter()
        .map(|port| match int(port, &["nodePort"]) {
            0 => format!("{}/{}", int(port, &["port"]), meta::text(port, "protocol")),
            node => format!("{}:{node}/{}", int(port, &["port"]), meta::text(port, "protocol")),
        })
        .collect();
    vec![
        meta::name(object).into(),
        kind.into(),
        internal.into(),
        external(object, kind).into(),
        or(&ports.join(","), NONE).into(),
        text::age(object, now),
        label_pairs(at(object, &["spec", "selector"])).into(),
    ]
}

fn external(object: &Object, kind: &str) -> String {
    let own: Vec<&str> = list_at(object, &["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match kind {
        "ClusterIP" | "NodePort" => or(&own.join(","), NONE).to_string(),
        "LoadBalancer" => {
            let mut all = balancer(object);
            all.extend(own);
            or(&all.join(","), "<pending>").to_string()
        }
        "ExternalName" => text_at(object, &["spec", "externalName"]).to_string(),
        _ => "<unknown>".to_string(),
    }
}

/// Addresses of `status.loadBalancer.ingress`.
fn balancer(object: &Object) -> Vec<&str> {
    let points = list_at(object, &["status", "loadBalancer", "ingress"]);
    points.iter().map(|p| or(meta::text(p, "ip"), meta::text(p, "hostname"))).filter(|a| !a.is_empty()).collect()
}

fn endpoints(object: &Object) -> String {
    let mut list = Vec::new();
    for subset in list_at(object, &["subsets"]) {
        let ports = list_at(subset, &["ports"]);
        let addresses = list_at(subset, &["addresses"]).iter().map(|a| meta::text(a, "ip"));
        if ports.is_empty() {
            list.extend(addresses.map(str::to_string));
            continue;
        }
        for port in ports {
            let number = int(port, &["port"]);
            list.extend(addresses.clone().map(|ip| match ip.parse() {
                Ok(IpAddr::V6(_)) => format!("[{ip}]:{number}"),
                _ => format!("{ip}:{number}"),
            }));
        }
    }
    cut(&list, SHOWN, NONE)
}

fn slice(object: &Object, now: SystemTime) -> Vec<Value> {
    let ports: Vec<String> = list_at(object, &["ports"])
        .iter()
        .map(|port| match int_at(port, &["port"]) {
            Some(number) => number.to_string(),
            None => or(meta::text(port, "name"), "*").to_string(),
        })
        .collect();
    let addresses: Vec<String> = list_at(object, &["endpoints"])
        .iter()
        .flat_map(|endpoint| list_at(endpoint, &["addresses"]))
        .map(|address| scalar(Some(address), ""))
        .collect();
    vec![
        meta::name(object).into(),
        meta::text(object, "addressType").into(),
        cut(&ports, SHOWN, UNSET).into(),
        cut(&addresses, SHOWN, UNSET).into(),
        text::age(object, now),
    ]
}

fn ingress(object: &Object, now: SystemTime) -> Vec<Value> {
    let hosts: Vec<String> = list_at(object, &["spec", "rules"])
        .iter()
        .map(|rule| meta::text(rule, "host").to_string())
        .filter(|host| !host.is_empty())
        .collect();
    let ports = if list_at(object, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        meta::name(object).into(),
        or(text_at(object, &["spec", "ingressClassName"]), NONE).into(),
        cut(&hosts, SHOWN, "*").into(),
        balancer(object).join(",").into(),
        ports.into(),
        text::age(object, now),
    ]
}

fn class(object: &Object, now: SystemTime) -> Vec<Value> {
    let parameters = at(object, &["spec", "parameters"]).map_or_else(
        || NONE.to_string(),
        |p| {
            let kind = crate::kinds::group_resource(meta::text(p, "kind"), meta::text(p, "apiGroup"));
            format!("{kind}/{}", meta::text(p, "name"))
        },
    );
    vec![
        meta::name(object).into(),
        text_at(object, &["spec", "controller"]).into(),
        parameters.into(),
        text::age(object, now),
    ]
}
