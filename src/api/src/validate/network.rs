//! Endpoints, EndpointSlices, Ingresses, IngressClasses, NetworkPolicies.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::service;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;

const ENDPOINTS_MOST: usize = 1000;
const ADDRESSES_MOST: usize = 100;
const PORTS_MOST: usize = 20_000;
const TOPOLOGY_MOST: usize = 16;
const HINTS_MOST: usize = 8;
/// The rules of a policy, and where each has its peers.
const PEERS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];
/// What names an Ingress's class where it has no field for it.
const CLASS_NOTE: &str = "kubernetes.io/ingress.class";
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
    slice_ports(&At::root(object, "ports"), out);
    // What was good once stays good.
    if old.is_none_or(|old| old.get("endpoints") != object.get("endpoints")) {
        slice_endpoints(&At::root(object, "endpoints"), kind.text(), servers_own(object), out);
    }
    if let Some(old) = old {
        out.immutable(&kind, old.get("addressType").unwrap_or(&Value::Null));
    }
}

fn slice_endpoints(endpoints: &At<'_, '_>, family: &str, own: bool, out: &mut Out) {
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
            slice_address(&address, &list, family, own, out);
        }
        let node = endpoint.get("nodeName");
        if node.is_set() {
            out.form(&node, name::check_subdomain);
        }
        let topology = endpoint.get("deprecatedTopology");
        if topology.len() > TOPOLOGY_MOST {
            out.push(FieldError::too_many(&topology.path, topology.len(), TOPOLOGY_MOST));
        }
        out.labels(&topology);
        let hostname = endpoint.get("hostname");
        if hostname.is_set() {
            out.form(&hostname, name::check_label);
        }
        hints(&endpoint.get("hints"), out);
    }
}

fn slice_address(at: &At<'_, '_>, list: &At<'_, '_>, family: &str, own: bool, out: &mut Out) {
    if family == "FQDN" {
        full_domain(at, out);
        return;
    }
    let faults = out.errors.len();
    out.form(at, name::check_ip);
    if out.errors.len() > faults || !matches!(family, "IPv4" | "IPv6") {
        return;
    }
    if name::parse_ip(at.text()).is_some_and(|ip| ip.is_ipv4() != (family == "IPv4")) {
        out.push(FieldError::invalid(&list.path, at.text(), format!("must be an {family} address")));
    }
    endpoint_ip(at, own, out);
}

/// A domain of at least two labels, perhaps with a last dot.
fn full_domain(at: &At<'_, '_>, out: &mut Out) {
    if !out.filled(at) {
        return;
    }
    let text = at.text().strip_suffix('.').unwrap_or(at.text());
    if let Err(faults) = name::check_subdomain(text) {
        out.push(FieldError::invalid(&at.path, text, faults.join(",")));
    } else if !text.contains('.') {
        let rule = "should be a domain with at least two segments separated by dots";
        out.push(FieldError::invalid(&at.path, text, rule));
    } else {
        for label in text.split('.') {
            if let Err(faults) = name::check_label(label) {
                out.push(FieldError::invalid(&at.path, label, faults.join(",")));
                return;
            }
        }
    }
}

fn hints(at: &At<'_, '_>, out: &mut Out) {
    for field in ["forZones", "forNodes"] {
        let check = if field == "forZones" { name::check_label_value } else { name::check_subdomain };
        let list = at.get(field);
        if list.len() > HINTS_MOST {
            out.push(FieldError::too_many(&list.path, list.len(), HINTS_MOST));
            return;
        }
        let mut seen = BTreeSet::new();
        for one in list.items() {
            let name_at = one.get("name");
            if !seen.insert(name_at.text()) {
                out.push(FieldError::duplicate(&name_at.path, name_at.text()));
            }
            out.form(&name_at, check);
        }
    }
}

fn slice_ports(ports: &At<'_, '_>, out: &mut Out) {
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
        out.one_of_required(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
        let app = port.get("appProtocol");
        if app.is_set() {
            out.form(&app, name::check_qualified);
        }
    }
}

pub(super) fn ingress(object: &Value, old: Option<&Value>, out: &mut Out) {
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
    // Rules of a wildcard and names of secrets were not judged once.
    let before = old.map(|old| At::root(old, "spec"));
    let free_wildcards = before.is_some_and(|b| b.get("rules").items().any(|rule| broken_wildcard(&rule)));
    let free_secrets = before.is_some_and(|b| b.get("tls").items().any(|tls| !good_secret(tls.text_of("secretName"))));
    for rule in rules.items() {
        let at = rule.get("host");
        if name::parse_ip(at.text()).is_some() {
            out.invalid(&at, "must be a DNS name, not an IP address");
        }
        host(&at, out);
        if !(at.text().contains('*') && free_wildcards) {
            rule_value(&rule, out);
        }
    }
    for tls in spec.get("tls").items() {
        for one in tls.get("hosts").items() {
            host_form(&one, out);
        }
        if !free_secrets {
            out.optional_form(&tls.get("secretName"), name::check_subdomain);
        }
    }
    let class = spec.get("ingressClassName");
    if class.is_set() {
        out.form(&class, name::check_subdomain);
    }
    let note = meta::at(object, &["metadata", "annotations", CLASS_NOTE]).and_then(Value::as_str);
    if let Some(note) = note.filter(|note| old.is_none() && class.is_set() && *note != class.text()) {
        let notes = Path::root("annotations");
        let text = "must match `ingressClassName` when both are specified";
        out.push(FieldError::invalid(&notes.child(CLASS_NOTE), note, text));
    }
}

fn good_secret(text: &str) -> bool {
    text.is_empty() || name::check_subdomain(text).is_ok()
}

fn broken_wildcard(rule: &At<'_, '_>) -> bool {
    let mut faults = Out::default();
    rule_value(rule, &mut faults);
    rule.text_of("host").contains('*') && !faults.errors.is_empty()
}

fn rule_value(rule: &At<'_, '_>, out: &mut Out) {
    let http = rule.get("http");
    let paths = http.get("paths");
    if http.is_set() && paths.len() == 0 {
        out.required(&paths, "");
    }
    for path in paths.items() {
        ingress_path(&path, out);
    }
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
    if !at.text().is_empty() {
        host_form(at, out);
    }
}

fn host_form(at: &At<'_, '_>, out: &mut Out) {
    match at.text().contains('*') {
        true => out.form(at, name::check_wildcard_subdomain),
        false => out.form(at, name::check_subdomain),
    }
}

fn ingress_path(at: &At<'_, '_>, out: &mut Out) {
    let (path, kind) = (at.get("path"), at.get("pathType"));
    match kind.text() {
        "" => {
            out.required(&kind, "pathType must be specified");
            return;
        }
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
    ingress_backend(&at.get("backend"), out);
}

fn ingress_backend(at: &At<'_, '_>, out: &mut Out) {
    let (service, resource) = (at.get("service"), at.get("resource"));
    let mut wrong = |text: &str| out.push(FieldError::invalid(&at.path, "", text));
    match (service.is_set(), resource.is_set()) {
        (true, true) => wrong("cannot set both resource and service backends"),
        (false, false) => wrong("resource or service backend is required"),
        (true, false) => {
            out.filled_form(&service.get("name"), name::check_label);
            let port = service.get("port");
            let (number, named) = (port.get("number"), port.get("name"));
            match (number.int().unwrap_or(0) != 0, !named.text().is_empty()) {
                (true, true) => {
                    out.push(FieldError::invalid(&at.path, "", "cannot set both port name & port number"));
                }
                (false, false) => out.required(at, "port name or number is required"),
                (true, false) => out.port(&number),
                (false, true) => out.form(&named, name::check_port_name),
            }
        }
        (false, true) => reference(&resource, out),
    }
}

/// A kind, a name and perhaps a group.
fn reference(at: &At<'_, '_>, out: &mut Out) {
    let group = at.get("apiGroup");
    if group.is_set() {
        out.form(&group, name::check_subdomain);
    }
    for field in ["kind", "name"] {
        out.filled_form(&at.get(field), name::check_path_segment);
    }
}

/// `acme.io/foo`: a domain and a path.
pub(super) fn domain_path(at: &At<'_, '_>, out: &mut Out) {
    if !out.filled(at) {
        return;
    }
    let Some((domain, path)) = at.text().split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty()) else {
        out.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    };
    out.form_of(at, domain, name::check_subdomain);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !path.bytes().all(allowed) {
        let text = name::form("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        out.push(FieldError::invalid(&at.path, path, text));
    }
}

pub(super) fn class(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let controller = spec.get("controller");
    if controller.text().len() > CONTROLLER_MOST {
        out.push(FieldError::too_long(&controller.path, CONTROLLER_MOST));
    }
    domain_path(&controller, out);
    let parameters = spec.get("parameters");
    if parameters.is_set() {
        reference(&parameters, out);
        let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
        out.one_of_required(&scope, &["Cluster", "Namespace"]);
        match scope.text() {
            "Namespace" if !namespace.is_set() => {
                out.required(&namespace, "`parameters.scope` is set to 'Namespace'");
            }
            "Namespace" => out.form(&namespace, name::check_label),
            "Cluster" if namespace.is_set() => {
                out.forbidden(&namespace, "`parameters.scope` is set to 'Cluster'");
            }
            _ => {}
        }
    }
    if let Some(old) = old {
        let before = meta::at(old, &["spec", "controller"]).unwrap_or(&Value::Null);
        out.immutable(&controller, before);
    }
}

pub(super) fn policy(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let mut known = BTreeSet::new();
    if let Some(old) = old {
        blocks(&At::root(old, "spec"), &mut known);
    }
    out.selector(&spec.get("podSelector"));
    for (rules, peers) in PEERS {
        for rule in spec.get(rules).items() {
            for port in rule.get("ports").items() {
                policy_port(&port, out);
            }
            for peer in rule.get(peers).items() {
                policy_peer(&peer, &known, out);
            }
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        out.invalid(&types, "may not specify more than two policyTypes");
        return;
    }
    for kind in types.items() {
        if !matches!(kind.text(), "Ingress" | "Egress") {
            out.push(FieldError::not_supported(&kind.path, kind.text(), &["Ingress", "Egress"]));
        }
    }
}

/// The blocks that a policy has already: they are not judged again.
fn blocks<'v>(spec: &At<'v, '_>, known: &mut BTreeSet<&'v str>) {
    for (rules, peers) in PEERS {
        for rule in spec.get(rules).items() {
            for peer in rule.get(peers).items() {
                let block = peer.get("ipBlock");
                known.insert(block.text_of("cidr"));
                known.extend(meta::list_at(block.value, &["except"]).iter().filter_map(Value::as_str));
            }
        }
    }
}

fn policy_port(at: &At<'_, '_>, out: &mut Out) {
    out.one_of(&at.get("protocol"), &["TCP", "UDP", "SCTP"]);
    let (port, end) = (at.get("port"), at.get("endPort"));
    if !port.is_set() {
        if end.is_set() {
            out.invalid(&end, "may not be specified when `port` is not specified");
        }
    } else if let Some(first) = port.int() {
        out.port(&port);
        if end.int().is_some_and(|last| last < first) {
            out.push(FieldError::invalid(&end.path, first, "must be greater than or equal to `port`"));
        }
        out.port(&end);
    } else {
        if end.is_set() {
            out.invalid(&end, "may not be specified when `port` is non-numeric");
        }
        out.form(&port, name::check_port_name);
    }
}

fn policy_peer(at: &At<'_, '_>, known: &BTreeSet<&str>, out: &mut Out) {
    let (pods, namespaces, block) = (at.get("podSelector"), at.get("namespaceSelector"), at.get("ipBlock"));
    out.selector(&pods);
    out.selector(&namespaces);
    if block.is_set() && out.filled(&block.get("cidr")) {
        let cidr = block.get("cidr");
        let judge = |at: &At<'_, '_>, out: &mut Out| {
            if !known.contains(at.text()) {
                out.form(at, name::check_cidr);
            }
        };
        judge(&cidr, out);
        for except in block.get("except").items() {
            judge(&except, out);
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
    let Some(old) = old else {
        cidrs(&list, out);
        return;
    };
    // A second family may come later; nothing else changes.
    let before = meta::list_at(old, &["spec", "cidrs"]);
    if list.len() != before.len() && (before.len(), list.len()) != (1, 2) {
        out.invalid(&list, super::at::IMMUTABLE);
        return;
    }
    for (now, before) in list.items().zip(before) {
        out.immutable(&now, before);
    }
    if list.len() > before.len() {
        cidrs(&list, out);
    }
}

fn cidrs(list: &At<'_, '_>, out: &mut Out) {
    if list.len() == 0 {
        out.required(list, "at least one CIDR required");
        return;
    }
    if list.len() > 2 {
        out.invalid(list, "may only hold up to 2 values");
        return;
    }
    for one in list.items() {
        out.form(&one, name::check_cidr);
    }
    let families: BTreeSet<bool> = list.items().map(|c| c.text().contains(':')).collect();
    if list.len() == 2 && families.len() == 1 {
        out.invalid(list, "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64");
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
