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

pub(super) fn create(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let kind = spec.text_of("type");
    out.one_of(&spec.get("type"), &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    let headless = spec.text_of("clusterIP") == "None";
    let ports_at = spec.get("ports");
    if ports_at.len() == 0 && !headless && kind != "ExternalName" {
        out.required(&ports_at, "");
    }
    of_kind(&spec, kind, out);
    ports(&ports_at, kind, out);
    out.labels(&spec.get("selector"));
    affinity(&spec, out);
    addresses(&spec, kind, out);
    traffic(&spec, kind, out);
}

fn of_kind(spec: &At<'_, '_>, kind: &str, out: &mut Out) {
    match kind {
        "LoadBalancer" | "NodePort" if spec.text_of("clusterIP") == "None" => {
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
    // The place is spelt as the Go field is.
    let ranges =
        At { value: spec.get("loadBalancerSourceRanges").value, path: spec.path.child("LoadBalancerSourceRanges") };
    if kind != "LoadBalancer" {
        if ranges.len() > 0 {
            out.forbidden(&ranges, "may only be used when `type` is 'LoadBalancer'");
        }
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if spec.get(field).is_set() {
                out.forbidden(&spec.get(field), "may only be used when `type` is 'LoadBalancer'");
            }
        }
    }
    for range in ranges.items() {
        out.form_of(&range, range.text().trim(), name::check_cidr);
    }
    out.optional_form(&spec.get("loadBalancerClass"), name::check_qualified);
}

fn ports(at: &At<'_, '_>, kind: &str, out: &mut Out) {
    let (mut names, mut pairs, mut nodes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
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
        let number = port.get("port");
        out.port_or_name(&number);
        let protocol = port.get("protocol");
        out.one_of(&protocol, &["SCTP", "TCP", "UDP"]);
        let target = port.get("targetPort");
        if target.is_set() && target.value != &Value::from(0) {
            out.port_or_name(&target);
        }
        out.optional_form(&port.get("appProtocol"), name::check_qualified);
        if !pairs.insert((protocol.text(), number.int())) {
            let pair = serde_json::json!({"port": number.value, "protocol": protocol.text()});
            out.push(FieldError::duplicate(&port.path, pair));
        }
        let node = port.get("nodePort");
        let Some(wanted) = node.int().filter(|n| *n != 0) else { continue };
        if matches!(kind, "ClusterIP" | "ExternalName" | "") {
            out.forbidden(
                &node,
                format!("may not be used when `type` is '{}'", if kind.is_empty() { "ClusterIP" } else { kind }),
            );
            continue;
        }
        out.port(&node);
        if !nodes.insert((protocol.text(), wanted)) {
            out.duplicate(&node);
        }
    }
}

fn affinity(spec: &At<'_, '_>, out: &mut Out) {
    let kind = spec.get("sessionAffinity");
    out.one_of(&kind, &["ClientIP", "None"]);
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
        _ if config.is_set() => {
            out.forbidden(&config, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn addresses(spec: &At<'_, '_>, kind: &str, out: &mut Out) {
    let list = spec.get("clusterIPs");
    let first = list.items().next().map_or("", |at| at.text());
    let own = spec.get("clusterIP");
    if kind != "ExternalName" {
        if own.text().is_empty() && list.len() > 0 {
            out.forbidden(&list, "must be empty when `clusterIP` is not specified");
        } else if list.len() > 0 && own.text() != first {
            out.invalid(&list, "first value must match `clusterIP`");
        }
        for ip in list.items() {
            if ip.text() != "None" {
                out.form(&ip, name::check_ip);
            }
        }
        if list.len() == 0 && !matches!(own.text(), "" | "None") {
            out.form(&own, name::check_ip);
        }
        if list.len() > 2 {
            out.invalid(&list, "may only hold up to 2 values");
        }
        if first == "None" && list.len() > 1 {
            out.invalid(&list, "'None' must be the first and only value");
        }
    }
    let mut families = BTreeSet::new();
    for family in spec.get("ipFamilies").items() {
        out.one_of(&family, &["IPv4", "IPv6"]);
        if !families.insert(family.text()) {
            out.duplicate(&family);
        }
    }
    out.one_of(&spec.get("ipFamilyPolicy"), &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    for ip in spec.get("externalIPs").items() {
        out.form(&ip, name::check_ip);
        reachable(&ip, out);
    }
}

/// Not an address that means the machine itself or a whole link.
fn reachable(at: &At<'_, '_>, out: &mut Out) {
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
    if ip.is_multicast() {
        out.invalid(at, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

fn traffic(spec: &At<'_, '_>, kind: &str, out: &mut Out) {
    let outside = spec.get("externalTrafficPolicy");
    let external = matches!(kind, "NodePort" | "LoadBalancer") || spec.get("externalIPs").len() > 0;
    if outside.is_set() && !outside.text().is_empty() {
        if external {
            out.one_of(&outside, &["Cluster", "Local"]);
        } else {
            out.invalid(&outside, "may only be set for externally-accessible services");
        }
    }
    out.one_of(&spec.get("internalTrafficPolicy"), &["Cluster", "Local"]);
    let health = spec.get("healthCheckNodePort");
    if health.int().is_some_and(|n| n != 0) {
        if kind == "LoadBalancer" && outside.text() == "Local" {
            out.port(&health);
        } else {
            let text = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            out.invalid(&health, text);
        }
    }
    out.one_of(&spec.get("trafficDistribution"), &["PreferClose", "PreferSameNode", "PreferSameZone"]);
}

pub(super) fn update(new: &Value, old: &Value, out: &mut Out) {
    create(new, out);
    let spec = At::root(new, "spec");
    let external = |object: &Value| meta::text_at(object, &["spec", "type"]) == "ExternalName";
    let before = meta::text_at(old, &["spec", "clusterIP"]);
    if !external(new) && !external(old) && !before.is_empty() && spec.text_of("clusterIP") != before {
        let list = spec.get("clusterIPs");
        let value = match list.items().next() {
            Some(first) => first.value.clone(),
            None => spec.get("clusterIP").value.clone(),
        };
        out.push(FieldError::invalid(&list.path.index(0), value, "may not change once set"));
    }
    let class = spec.get("loadBalancerClass");
    let kept = meta::at(old, &["spec", "loadBalancerClass"]);
    let balancer = |object: &Value| meta::text_at(object, &["spec", "type"]) == "LoadBalancer";
    if balancer(new) && balancer(old) && kept != meta::at(new, &["spec", "loadBalancerClass"]) {
        out.invalid(&class, "may not change once set");
    }
}

pub(super) fn status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let balancer = status.get("loadBalancer");
    let list = balancer.get("ingress");
    if meta::text_at(object, &["spec", "type"]) != "LoadBalancer" && list.len() > 0 {
        out.forbidden(&list, "may only be used when `spec.type` is \"LoadBalancer\"");
    }
    ingress_points(&list, out);
}

/// Addresses of a load balancer.
pub(super) fn ingress_points(list: &At<'_, '_>, out: &mut Out) {
    for point in list.items() {
        out.optional_form(&point.get("ip"), name::check_ip);
        let host = point.get("hostname");
        out.optional_form(&host, name::check_subdomain);
        if !host.text().is_empty() && name::parse_ip(host.text()).is_some() {
            out.invalid(&host, "must be a DNS name, not an IP address");
        }
    }
}
