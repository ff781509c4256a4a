//! Endpoints, EndpointSlices, Ingresses, IngressClasses, NetworkPolicies.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::service;
use crate::field::FieldError;
use crate::meta;
use crate::name;

const ENDPOINTS_MOST: usize = 1000;
const ADDRESSES_MOST: usize = 100;
const PORTS_MOST: usize = 20_000;
/// Longest controller name of an IngressClass.
const CONTROLLER_MOST: usize = 250;

pub(super) fn endpoints(object: &Value, old: Option<&Value>, out: &mut Out) {
    // What was good once stays good.
    if old.is_some_and(|old| old.get("subsets") == object.get("subsets")) {
        return;
    }
    let own = servers_own(object);
    for subset in At::root(object, "subsets").items() {
        if subset.get("addresses").len() + subset.get("notReadyAddresses").len() == 0 {
            out.required(&subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for list in ["addresses", "notReadyAddresses"] {
            for address in subset.get(list).items() {
                let (ip, node) = (address.get("ip"), address.get("nodeName"));
                out.form_of(&ip, ip.text(), name::check_ip);
                out.optional_form(&address.get("hostname"), name::check_label);
                if node.is_set() {
                    out.form(&node, name::check_subdomain);
                }
                endpoint_ip(&ip, own, out);
            }
        }
        let ports = subset.get("ports");
        for port in ports.items() {
            if ports.len() > 1 && port.text_of("name").is_empty() {
                out.required(&port.get("name"), "");
            }
            out.optional_form(&port.get("name"), name::check_label);
            out.port_or_name(&port.get("port"));
            out.one_of_required(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
            if port.get("appProtocol").is_set() {
                out.form(&port.get("appProtocol"), name::check_qualified);
            }
        }
    }
}

/// The endpoints of the Service `kubernetes` are the server's own, which may listen on the loopback device alone.
fn servers_own(object: &Value) -> bool {
    meta::name(object) == "kubernetes" && meta::namespace(object) == "default"
}

/// An address that something can be reached at.
fn endpoint_ip(at: &At<'_, '_>, own: bool, out: &mut Out) {
    let ip = name::parse_ip(at.text());
    if ip.is_none() {
        out.push(FieldError::invalid(&at.path, at.text(), "must be a valid IP address"));
    }
    if !(own && ip.is_some_and(|ip| ip.is_loopback())) {
        service::reachable(at, out);
    }
}

pub(super) fn slice(object: &Value, old: Option<&Value>, out: &mut Out) {
    let kind = At::root(object, "addressType");
    out.one_of_required(&kind, &["FQDN", "IPv4", "IPv6"]);
    if let Some(old) = old {
        out.immutable(&kind, old.get("addressType").unwrap_or(&Value::Null));
    }
    let endpoints = At::root(object, "endpoints");
    if endpoints.len() > ENDPOINTS_MOST {
        out.push(FieldError::too_many(&endpoints.path, endpoints.len(), ENDPOINTS_MOST));
        return;
    }
    for endpoint in endpoints.items() {
        let list = endpoint.get("addresses");
        if list.len() == 0 {
            out.required(&list, "must contain at least 1 address");
        } else if list.len() > ADDRESSES_MOST {
            out.push(FieldError::too_many(&list.path, list.len(), ADDRESSES_MOST));
        }
        for address in list.items() {
            match kind.text() {
                "FQDN" => out.form(&address, name::check_subdomain),
                family => {
                    out.form(&address, name::check_ip);
                    let right = name::parse_ip(address.text()).is_none_or(|ip| ip.is_ipv4() == (family == "IPv4"));
                    if !right {
                        out.invalid(&address, format!("must be an {family} address"));
                    }
                }
            }
        }
        out.optional_form(&endpoint.get("hostname"), name::check_label);
        out.optional_form(&endpoint.get("nodeName"), name::check_subdomain);
    }
    let ports = At::root(object, "ports");
    if ports.len() > PORTS_MOST {
        out.push(FieldError::too_many(&ports.path, ports.len(), PORTS_MOST));
        return;
    }
    let mut names = BTreeSet::new();
    for port in ports.items() {
        let name_at = port.get("name");
        out.optional_form(&name_at, name::check_label);
        if !names.insert(name_at.text()) {
            out.push(FieldError::duplicate(&name_at.path, name_at.text()));
        }
        out.one_of(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
        out.optional_form(&port.get("appProtocol"), name::check_qualified);
    }
}

pub(super) fn ingress(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (backend, rules) = (spec.get("defaultBackend"), spec.get("rules"));
    if !backend.is_set() && rules.len() == 0 {
        out.push(FieldError::invalid(
            &spec.path,
            rules.value.clone(),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if backend.is_set() {
        ingress_backend(&backend, out);
    }
    for rule in rules.items() {
        host(&rule.get("host"), out);
        let http = rule.get("http");
        let paths = http.get("paths");
        if http.is_set() && paths.len() == 0 {
            out.required(&paths, "");
        }
        for path in paths.items() {
            ingress_path(&path, out);
            ingress_backend(&path.get("backend"), out);
        }
    }
    for tls in spec.get("tls").items() {
        for one in tls.get("hosts").items() {
            host(&one, out);
        }
        out.optional_form(&tls.get("secretName"), name::check_subdomain);
    }
    out.optional_form(&spec.get("ingressClassName"), name::check_subdomain);
}

pub(super) fn ingress_status(object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let balancer = status.get("loadBalancer");
    let before = meta::list_at(old, &["status", "loadBalancer", "ingress"]);
    for point in balancer.get("ingress").items() {
        service::ingress_point(&point, before, out);
    }
}

fn host(at: &At<'_, '_>, out: &mut Out) {
    if at.text().is_empty() {
        return;
    }
    if name::parse_ip(at.text()).is_some() {
        out.invalid(at, "must be a DNS name, not an IP address");
    } else if at.text().contains('*') {
        out.form(at, name::check_wildcard_subdomain);
    } else {
        out.form(at, name::check_subdomain);
    }
}

fn ingress_path(at: &At<'_, '_>, out: &mut Out) {
    let (path, kind) = (at.get("path"), at.get("pathType"));
    match kind.text() {
        "" => out.required(&kind, "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !path.text().starts_with('/') {
                out.invalid(&path, "must be an absolute path");
            }
            for bad in ["//", "/./", "/../", "%2f", "%2F"] {
                if path.text().contains(bad) {
                    out.invalid(&path, format!("must not contain '{bad}'"));
                }
            }
            for bad in ["/..", "/."] {
                if path.text().ends_with(bad) {
                    out.invalid(&path, format!("cannot end with '{bad}'"));
                }
            }
        }
        "ImplementationSpecific" => {
            if !path.text().is_empty() && !path.text().starts_with('/') {
                out.invalid(&path, "must be an absolute path");
            }
        }
        _ => out.one_of(&kind, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
}

fn ingress_backend(at: &At<'_, '_>, out: &mut Out) {
    let (service, resource) = (at.get("service"), at.get("resource"));
    match (service.is_set(), resource.is_set()) {
        (true, true) => out.invalid(at, "cannot set both resource and service backends"),
        (false, false) => out.required(at, "resource or service backend is required"),
        (true, false) => {
            out.filled_form(&service.get("name"), name::check_label_1035);
            let port = service.get("port");
            let (number, named) = (port.get("number"), port.get("name"));
            match (number.int().unwrap_or(0) != 0, !named.text().is_empty()) {
                (true, true) => out.invalid(&port, "cannot set both port name & port number"),
                (false, false) => out.required(&port, "port name or number is required"),
                (true, false) => out.port(&number),
                (false, true) => out.form(&named, name::check_port_name),
            }
        }
        (false, true) => {
            out.filled(&resource.get("kind"));
            out.filled(&resource.get("name"));
        }
    }
}

pub(super) fn class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let controller = spec.get("controller");
    if controller.text().len() > CONTROLLER_MOST {
        out.push(FieldError::too_long(&controller.path, CONTROLLER_MOST));
    }
    if out.filled(&controller) {
        match controller.text().split_once('/') {
            Some((domain, path)) if !domain.is_empty() && !path.is_empty() => {
                out.form_of(&controller, domain, name::check_subdomain);
            }
            _ => out.invalid(&controller, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
        }
    }
    if let Some(old) = old {
        let before = meta::at(old, &["spec", "controller"]).unwrap_or(&Value::Null);
        out.immutable(&controller, before);
    }
    let parameters = spec.get("parameters");
    if parameters.is_set() {
        out.filled(&parameters.get("kind"));
        out.filled(&parameters.get("name"));
        let scope = parameters.get("scope");
        out.one_of(&scope, &["Cluster", "Namespace"]);
        match scope.text() {
            "Namespace" => out.filled_form(&parameters.get("namespace"), name::check_label),
            _ if parameters.get("namespace").is_set() => {
                out.forbidden(&parameters.get("namespace"), "`parameters.scope` is set to 'Cluster'");
            }
            _ => {}
        }
    }
}

pub(super) fn policy(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.selector(&spec.get("podSelector"));
    for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.get(rules).items() {
            for port in rule.get("ports").items() {
                policy_port(&port, out);
            }
            for peer in rule.get(peers).items() {
                policy_peer(&peer, out);
            }
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        out.invalid(&types, "may not specify more than two policyTypes");
        return;
    }
    for kind in types.items() {
        out.one_of(&kind, &["Egress", "Ingress"]);
    }
}

fn policy_port(at: &At<'_, '_>, out: &mut Out) {
    out.one_of(&at.get("protocol"), &["SCTP", "TCP", "UDP"]);
    let (port, end) = (at.get("port"), at.get("endPort"));
    if port.is_set() {
        out.port_or_name(&port);
    }
    if end.is_set() {
        match port.int() {
            None if port.is_set() => {
                out.invalid(&end, "may not be specified when `port` is non-numeric");
            }
            None => out.required(&port, "must be specified when `endPort` is specified"),
            Some(start) if end.int().is_some_and(|n| n < start) => {
                out.invalid(&end, "must be greater than or equal to `port`");
            }
            Some(_) => out.port(&end),
        }
    }
}

fn policy_peer(at: &At<'_, '_>, out: &mut Out) {
    let (pods, namespaces, block) = (at.get("podSelector"), at.get("namespaceSelector"), at.get("ipBlock"));
    out.selector(&pods);
    out.selector(&namespaces);
    if block.is_set() {
        let cidr = block.get("cidr");
        if cidr.text().is_empty() {
            out.required(&cidr, "");
        } else {
            out.form(&cidr, name::check_cidr);
        }
        for except in block.get("except").items() {
            out.form(&except, name::check_cidr);
            if !inside(except.text(), cidr.text()) {
                out.invalid(&except, "must be a strict subset of `cidr`");
            }
        }
    }
    let selects = pods.is_set() || namespaces.is_set();
    if selects && block.is_set() {
        out.forbidden(at, "may not specify both ipBlock and another peer");
    } else if !selects && !block.is_set() {
        out.required(at, "must specify a peer");
    }
}

/// One block lies strictly within another; true when either is no block.
fn inside(inner: &str, outer: &str) -> bool {
    let read = |text: &str| -> Option<(u128, u32, u32)> {
        let (address, prefix) = text.split_once('/')?;
        let address = name::parse_ip(address)?;
        let (bits, width) = match address {
            std::net::IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            std::net::IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        Some((bits, prefix.parse().ok().filter(|p| *p <= width)?, width))
    };
    let (Some((a, p, w)), Some((b, q, v))) = (read(inner), read(outer)) else { return true };
    let top = |bits: u128| if q == 0 { 0 } else { bits >> (v - q) };
    w == v && p > q && top(a) == top(b)
}

pub(super) fn cidr(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let list = spec.get("cidrs");
    if list.len() == 0 {
        out.required(&list, "at least one CIDR required");
    }
    if list.len() > 2 {
        out.invalid(&list, "may only hold up to 2 values");
    }
    let families: BTreeSet<bool> = list.items().map(|c| c.text().contains(':')).collect();
    if list.len() == 2 && families.len() == 1 {
        out.invalid(&list, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
    }
    for one in list.items() {
        out.form(&one, name::check_cidr);
    }
    if let Some(old) = old {
        let before = meta::list_at(old, &["spec", "cidrs"]);
        if list.value.as_array().is_none_or(|now| !now.starts_with(before)) {
            out.invalid(&list, super::at::IMMUTABLE);
        }
    }
}

pub(super) fn address(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let parent = spec.get("parentRef");
    if !parent.is_set() {
        out.required(&parent, "");
        return;
    }
    for field in ["resource", "name"] {
        let at = parent.get(field);
        if out.filled(&at) {
            out.form(&at, name::check_path_segment);
        }
    }
    out.optional_form(&parent.get("group"), name::check_subdomain);
    out.optional_form(&parent.get("namespace"), name::check_path_segment);
    if let Some(old) = old {
        out.immutable(&parent, meta::at(old, &["spec", "parentRef"]).unwrap_or(&Value::Null));
    }
}
