//! Services.
//!
//! In: a Service, on update also the old one. Out: faults. Ranges of addresses and ports are the allocator's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::at::{At, Out};
use crate::field::FieldError;
use crate::meta;
use crate::name;

/// Longest session affinity: a day, in seconds.
const AFFINITY_MOST: i64 = 86_400;
const BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
const KEPT: &str = "may not change once set";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

pub(super) fn create(object: &Value, out: &mut Out) {
    service(object, None, out);
}

/// `old` may have what was allowed before.
fn service(object: &Value, old: Option<&Value>, out: &mut Out) {
    topology(object, out);
    let spec = At::root(object, "spec");
    let kind = spec.text_of("type");
    let ports_at = spec.get("ports");
    if ports_at.len() == 0 && !headless(spec.value) && kind != "ExternalName" {
        out.required(&ports_at, "");
    }
    of_kind(&spec, kind, out);
    ports(&ports_at, out);
    out.labels(&spec.get("selector"));
    affinity(&spec, out);
    if kind != "ExternalName" {
        addresses(&spec, old, out);
    }
    for ip in spec.get("externalIPs").items() {
        external_ip(&ip, old, out);
    }
    out.one_of_required(&spec.get("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    port_pairs(&ports_at, kind, out);
    source_ranges(object, &spec, old, kind, out);
    let (allocates, class) = (spec.get("allocateLoadBalancerNodePorts"), spec.get("loadBalancerClass"));
    match kind {
        "LoadBalancer" => {
            if class.is_set() {
                out.form(&class, name::check_qualified);
            }
        }
        _ => [allocates, class].iter().filter(|at| at.is_set()).for_each(|at| out.forbidden(at, BALANCER_ONLY)),
    }
    traffic(&spec, kind, out);
}

fn headless(spec: &Value) -> bool {
    match meta::list_at(spec, &["clusterIPs"]) {
        [only] => only == "None",
        [] => meta::text(spec, "clusterIP") == "None",
        _ => false,
    }
}

/// Two annotations of one meaning agree.
fn topology(object: &Value, out: &mut Out) {
    let (hints, mode) = (meta::annotation(object, HINTS), meta::annotation(object, MODE));
    if let (Some(hints), Some(mode)) = (hints, mode)
        && hints != mode
    {
        let metadata = At::root(object, "metadata");
        let text = format!("must match annotations[{HINTS}] when both are specified");
        out.invalid(&metadata.get("annotations").key(MODE), text);
    }
}

fn of_kind(spec: &At<'_, '_>, kind: &str, out: &mut Out) {
    match kind {
        "LoadBalancer" | "NodePort" if headless(spec.value) => {
            let list = spec.get("clusterIPs");
            let text = format!("may not be set to 'None' for {kind} services");
            out.push(FieldError::invalid(&list.path.index(0), "None", text));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if spec.get(field).is_set() && spec.get(field).value != &Value::Array(Vec::new()) {
                    out.forbidden(&spec.get(field), "may not be set for ExternalName services");
                }
            }
            let at = spec.get("externalName");
            let host = at.text().strip_suffix('.').unwrap_or(at.text());
            if host.is_empty() {
                out.required(&at, "");
            } else {
                out.form_of(&at, host, name::check_subdomain);
            }
        }
        _ => {}
    }
}

/// Which sources a load balancer takes: a field, or an annotation of old.
fn source_ranges(object: &Value, spec: &At<'_, '_>, old: Option<&Value>, kind: &str, out: &mut Out) {
    let value = spec.get("loadBalancerSourceRanges").value;
    // The place is spelt as the Go field is.
    let ranges = At { value, path: spec.path.child("LoadBalancerSourceRanges") };
    if ranges.len() > 0 {
        if kind != "LoadBalancer" {
            out.forbidden(&ranges, BALANCER_ONLY);
        }
        let before = old.map_or(&[][..], |old| meta::list_at(old, &["spec", "loadBalancerSourceRanges"]));
        for range in ranges.items() {
            let known = before.iter().any(|kept| kept.as_str().map(str::trim) == Some(range.text().trim()));
            if !known {
                out.form_of(&range, range.text().trim(), name::check_cidr);
            }
        }
    } else if let Some(text) = meta::annotation(object, SOURCE_RANGES) {
        let metadata = At::root(object, "metadata");
        let annotations = metadata.get("annotations");
        let at = annotations.key(SOURCE_RANGES);
        if kind != "LoadBalancer" {
            out.forbidden(&at, BALANCER_ONLY);
        }
        let kept = old.and_then(|old| meta::annotation(old, SOURCE_RANGES));
        if kept != Some(text) && !text.trim().is_empty() {
            text.split(',').for_each(|range| out.form_of(&at, range.trim(), name::check_cidr));
        }
    }
}

fn ports(at: &At<'_, '_>, out: &mut Out) {
    let mut names = BTreeSet::new();
    for port in at.items() {
        let name_at = port.get("name");
        if name_at.text().is_empty() {
            if at.len() > 1 {
                out.required(&name_at, "");
            }
        } else {
            out.form(&name_at, name::check_label);
            if !names.insert(name_at.text()) {
                out.duplicate(&name_at);
            }
        }
        out.port_or_name(&port.get("port"));
        out.one_of_required(&port.get("protocol"), &["SCTP", "TCP", "UDP"]);
        out.port_or_name(&port.get("targetPort"));
        let protocol = port.get("appProtocol");
        if protocol.is_set() {
            out.form(&protocol, name::check_qualified);
        }
    }
}

/// No two ports of a Service are the same, neither inside nor on the nodes.
fn port_pairs(at: &At<'_, '_>, kind: &str, out: &mut Out) {
    let node_port = |port: &At<'_, '_>| port.value.get("nodePort").and_then(Value::as_i64).filter(|n| *n != 0);
    if kind == "ClusterIP" {
        for port in at.items().filter(|port| node_port(port).is_some()) {
            out.forbidden(&port.get("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = BTreeSet::new();
    for port in at.items() {
        if let Some(number) = node_port(&port)
            && !seen.insert((port.text_of("protocol"), number))
        {
            out.duplicate(&port.get("nodePort"));
        }
    }
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let number = port.get("port");
        if !seen.insert((port.text_of("protocol"), number.int())) {
            let pair = serde_json::json!({"port": number.value, "protocol": port.text_of("protocol")});
            out.push(FieldError::duplicate(&port.path, pair));
        }
    }
}

fn affinity(spec: &At<'_, '_>, out: &mut Out) {
    let kind = spec.get("sessionAffinity");
    out.one_of_required(&kind, &["ClientIP", "None"]);
    let config = spec.get("sessionAffinityConfig");
    match kind.text() {
        "ClientIP" => {
            let client = config.get("clientIP");
            let seconds = client.get("timeoutSeconds");
            for at in [&config, &client, &seconds] {
                if !at.is_set() {
                    out.required(at, "when session affinity type is ClientIP");
                    return;
                }
            }
            if seconds.int().is_some_and(|n| n <= 0 || n > AFFINITY_MOST) {
                out.invalid(&seconds, format!("must be greater than 0 and less than {AFFINITY_MOST}"));
            }
        }
        "None" if config.is_set() => {
            out.forbidden(&config, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

/// Addresses and the families they are of.
fn addresses(spec: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let (list, own) = (spec.get("clusterIPs"), spec.get("clusterIP"));
    let first = list.items().next().map_or("", |at| at.text());
    match (own.text().is_empty(), list.len() == 0) {
        (true, false) => out.invalid(&list, "must be empty when `clusterIP` is not specified"),
        (false, true) => out.required(&list, ""),
        (false, false) if own.text() != first => out.invalid(&list, "first value must match `clusterIP`"),
        _ => {}
    }
    let families = spec.get("ipFamilies");
    let mut seen = BTreeSet::new();
    for family in families.items() {
        if !matches!(family.text(), "IPv4" | "IPv6") {
            out.push(FieldError::not_supported(&family.path, family.text(), &["IPv4", "IPv6"]));
        }
        if !seen.insert(family.text()) {
            out.duplicate(&family);
        }
    }
    let policy = spec.get("ipFamilyPolicy");
    if policy.is_set() && !matches!(policy.text(), "PreferDualStack" | "RequireDualStack" | "SingleStack") {
        let allowed = ["PreferDualStack", "RequireDualStack", "SingleStack"];
        out.push(FieldError::not_supported(&policy.path, policy.text(), &allowed));
    }
    let faults = out.errors.len();
    let before = old.map_or(&[][..], |old| meta::list_at(old, &["spec", "clusterIPs"]));
    for (i, ip) in list.items().enumerate() {
        if i == 0 && ip.text() == "None" {
            if list.len() > 1 {
                out.invalid(&list, "'None' must be the first and only value");
            }
        } else if !before.contains(ip.value) {
            out.form(&ip, name::check_ip);
        }
    }
    let broken = out.errors.len() > faults;
    if list.len() > 2 {
        out.invalid(&list, "may only hold up to 2 values");
    }
    if broken {
        return;
    }
    let parsed: Vec<Option<IpAddr>> = list.items().map(|ip| name::parse_ip(ip.text())).collect();
    let of = |v6: bool| parsed.iter().flatten().filter(|ip| ip.is_ipv6() == v6).count();
    if list.len() > 1 && !(list.len() == 2 && of(false) == 1 && of(true) == 1) {
        out.invalid(&list, "may specify no more than one IP for each IP family");
    }
    if headless(spec.value) {
        return;
    }
    for (i, (ip, family)) in list.items().zip(families.items()).enumerate() {
        let is_v6 = name::parse_ip(ip.text()).is_some_and(|ip| ip.is_ipv6());
        if matches!((family.text(), is_v6), ("IPv4", true) | ("IPv6", false)) {
            let text = format!("expected an {} value as indicated by `ipFamilies[{i}]`", family.text());
            out.invalid(&ip, text);
        }
    }
}

fn external_ip(ip: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let before = old.map_or(&[][..], |old| meta::list_at(old, &["spec", "externalIPs"]));
    let faults = out.errors.len();
    if !before.contains(ip.value) {
        out.form(ip, name::check_ip);
    }
    if out.errors.len() == faults {
        reachable(ip, out);
    }
}

/// Not an address that means the machine itself or a whole link.
pub(super) fn reachable(at: &At<'_, '_>, out: &mut Out) {
    let Some(ip) = name::parse_ip(at.text()) else { return };
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0) == 0xfe80,
    };
    if ip.is_unspecified() {
        out.invalid(at, format!("may not be unspecified ({})", at.text()));
    }
    if ip.is_loopback() {
        out.invalid(at, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        out.invalid(at, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    let link_multicast = match ip {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => (v6.segments()[0] & 0xff0f) == 0xff02,
    };
    if link_multicast {
        out.invalid(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn traffic(spec: &At<'_, '_>, kind: &str, out: &mut Out) {
    let outside = spec.get("externalTrafficPolicy");
    let external =
        matches!(kind, "NodePort" | "LoadBalancer") || kind == "ClusterIP" && spec.get("externalIPs").len() > 0;
    if external {
        out.one_of_required(&outside, &["Cluster", "Local"]);
    } else if !outside.text().is_empty() {
        out.invalid(&outside, "may only be set for externally-accessible services");
    }
    let health = spec.get("healthCheckNodePort");
    let given = health.int().filter(|n| *n != 0);
    if kind == "LoadBalancer" && outside.text() == "Local" {
        match given {
            Some(_) => out.port(&health),
            None => out.required(&health, ""),
        }
    } else if given.is_some() {
        let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        out.invalid(&health, text);
    }
    let inside = spec.get("internalTrafficPolicy");
    match (inside.is_set(), kind) {
        (false, "ClusterIP" | "NodePort" | "LoadBalancer") => out.required(&inside, ""),
        (true, _) if !matches!(inside.text(), "Cluster" | "Local") => {
            out.push(FieldError::not_supported(&inside.path, inside.text(), &["Cluster", "Local"]));
        }
        _ => {}
    }
    let spread = spec.get("trafficDistribution");
    let allowed = ["PreferClose", "PreferSameZone", "PreferSameNode"];
    if spread.is_set() && !allowed.contains(&spread.text()) {
        out.push(FieldError::not_supported(&spread.path, spread.text(), &allowed));
    }
}

pub(super) fn update(new: &Value, old: &Value, out: &mut Out) {
    let (spec, before) = (At::root(new, "spec"), At::root(old, "spec"));
    let external = |spec: &At<'_, '_>| spec.text_of("type") == "ExternalName";
    if !external(&spec) && !external(&before) {
        cluster_ips_update(&spec, &before, out);
        families_update(&spec, &before, out);
    }
    let balancer = |spec: &At<'_, '_>| spec.text_of("type") == "LoadBalancer";
    let class = spec.get("loadBalancerClass");
    if balancer(&spec) && balancer(&before) && class.value != before.get("loadBalancerClass").value {
        out.invalid(&class, KEPT);
    }
    let checked = |spec: &At<'_, '_>| balancer(spec) && spec.text_of("externalTrafficPolicy") == "Local";
    let health = spec.get("healthCheckNodePort");
    if checked(&spec) && checked(&before) && health.int() != before.get("healthCheckNodePort").int() {
        out.forbidden(&health, super::at::IMMUTABLE);
    }
    service(new, Some(old), out);
}

/// A second address may come and go; the first stays.
fn cluster_ips_update(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    if headless(spec.value) && headless(before.value) {
        return;
    }
    let (now, then) = (spec.get("clusterIPs"), before.get("clusterIPs"));
    let fault = |i: usize, text: &str, out: &mut Out| {
        let value = if now.is_set() { now.value.clone() } else { Value::Array(Vec::new()) };
        out.push(FieldError::invalid(&now.path.index(i), value, text));
    };
    if now.len() == then.len() {
        for (i, (a, b)) in now.items().zip(then.items()).enumerate() {
            if a.value != b.value {
                fault(i, KEPT, out);
            }
        }
        return;
    }
    let (first, kept) = (now.value.get(0), then.value.get(0));
    if now.len() < then.len() {
        if now.len() == 0 {
            fault(0, "primary clusterIP can not be unset", out);
        } else if first != kept {
            fault(0, KEPT, out);
        }
        released(spec, now.len(), "clusterIP", out);
    } else if kept.is_some() && first != kept {
        fault(0, KEPT, out);
    }
}

fn families_update(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    if headless(spec.value) || headless(before.value) {
        return;
    }
    let (now, then) = (spec.get("ipFamilies"), before.get("ipFamilies"));
    let fault = |value: &At<'_, '_>, text: &str, out: &mut Out| {
        out.push(FieldError::invalid(&now.path.index(0), value.value.clone(), text));
    };
    if now.len() == then.len() {
        let changed = now.items().zip(then.items()).filter(|(a, b)| a.value != b.value).count();
        (0..changed).for_each(|_| fault(&now, KEPT, out));
        return;
    }
    let ips = spec.get("clusterIPs");
    if now.len() < then.len() && ips.len() == 0 {
        fault(&now, "primary ipFamily can not be unset", out);
    }
    if now.len() > 0 && then.len() > 0 && now.value.get(0) != then.value.get(0) {
        fault(&ips, KEPT, out);
    }
    if now.len() < then.len() {
        released(spec, now.len(), "ipFamily", out);
    }
}

/// Whoever gives up the second of two says so.
fn released(spec: &At<'_, '_>, left: usize, what: &str, out: &mut Out) {
    let policy = spec.get("ipFamilyPolicy");
    if left == 1 && policy.text() != "SingleStack" {
        out.invalid(&policy, format!("must be set to 'SingleStack' when releasing the secondary {what}"));
    }
}

pub(super) fn status(object: &Value, old: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let balancer = status.get("loadBalancer");
    let list = balancer.get("ingress");
    if meta::text_at(object, &["spec", "type"]) != "LoadBalancer" && list.len() > 0 {
        out.forbidden(&list, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let before = meta::list_at(old, &["status", "loadBalancer", "ingress"]);
    for point in list.items() {
        let mode = point.get("ipMode");
        let has_ip = !point.text_of("ip").is_empty();
        ingress_point(&point, before, out);
        match (mode.is_set(), has_ip) {
            (false, true) => out.required(&mode, "must be specified when `ip` is set"),
            (true, false) => out.forbidden(&mode, "may not be specified when `ip` is not set"),
            (true, true) if !matches!(mode.text(), "Proxy" | "VIP") => {
                out.push(FieldError::not_supported(&mode.path, mode.text(), &["Proxy", "VIP"]));
            }
            _ => {}
        }
    }
}

/// An address of a load balancer; one that was there before may be of an older form.
pub(super) fn ingress_point(point: &At<'_, '_>, before: &[Value], out: &mut Out) {
    let ip = point.get("ip");
    let known = before.iter().any(|kept| kept.get("ip") == Some(ip.value));
    if !ip.text().is_empty() && !known {
        out.form(&ip, name::check_ip);
    }
    let host = point.get("hostname");
    out.optional_form(&host, name::check_subdomain);
    if !host.text().is_empty() && name::parse_ip(host.text()).is_some() {
        out.invalid(&host, "must be a DNS name, not an IP address");
    }
}
