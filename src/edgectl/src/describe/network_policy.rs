//! The page of a network policy.
//!
//! In: an object. Out: lines. Never tells what a policy means beside others.

use kedge_api::clock;
use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{items, joined, or_none, selector, words};

/// A NetworkPolicy.
pub fn network_policy(object: &Value, page: &mut Page) {
    let spec = &object["spec"];
    page.line(0, "Created on", created(&object["metadata"]["creationTimestamp"]));
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
    page.raw(1, format!("Policy Types: {}", or_none(types.join(", "))));
}

fn ports(list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return page.raw(2, "To Port: <any> (traffic allowed to all ports)");
    }
    for port in items(list) {
        // kubectl has no word for a rule that takes every port of a protocol.
        let first = if port["port"].is_null() { "<nil>".to_owned() } else { words(&port["port"]) };
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        page.raw(
            2,
            match port["endPort"].as_i64() {
                Some(last) => format!("To Port Range: {first}-{last}/{protocol}"),
                None => format!("To Port: {first}/{protocol}"),
            },
        );
    }
}

fn peers(list: &Value, ends: &str, page: &mut Page) {
    if items(list).next().is_none() {
        let end = if ends == "From" { "source" } else { "destination" };
        return page.raw(2, format!("{ends}: <any> (traffic not restricted by {end})"));
    }
    for peer in items(list) {
        page.raw(2, format!("{ends}:"));
        let (block, chosen) =
            (&peer["ipBlock"], !peer["podSelector"].is_null() || !peer["namespaceSelector"].is_null());
        if !block.is_null() && !chosen {
            page.raw(3, "IPBlock:");
            page.raw(4, format!("CIDR: {}", words(&block["cidr"])));
            page.raw(4, format!("Except: {}", joined(&block["except"], ", ")));
        }
        for (name, field) in [("NamespaceSelector", "namespaceSelector"), ("PodSelector", "podSelector")] {
            if !peer[field].is_null() {
                page.raw(3, format!("{name}: {}", or_none(selector(&peer[field]))));
            }
        }
    }
}

/// A time as Go prints it when it is not told how: `2026-11-30 10:00:00 +0000 UTC`.
fn created(value: &Value) -> String {
    let text = words(value);
    let shown = clock::parse(if value.is_null() { "0001-01-01T00:00:00Z" } else { &text }).map(clock::rfc3339);
    shown.map_or(text, |time| time.replace('T', " ").replace('Z', " +0000 UTC"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    #[test]
    fn a_policy_says_what_it_lets_through() {
        let object = json!({"metadata": {"creationTimestamp": "2026-11-30T10:00:00Z"}, "spec": {
        "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
            {"ports": [{"port": 80, "protocol": "TCP"}, {"port": 1, "endPort": 9}, {}],
                "from": [{"podSelector": {"matchLabels": {"a": "b"}}},
                {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]},
            {},
        ]}});
        check(
            |page| network_policy(&object, page),
            "Created on:   2026-11-30 10:00:00 +0000 UTC\nLabels:       <none>\nAnnotations:  <none>\nSpec:\n  PodSelector:     <none> (Allowing the specific traffic to all pods in this namespace)\n  Allowing ingress traffic:\n    To Port: 80/TCP\n    To Port Range: 1-9/TCP\n    To Port: <nil>/TCP\n    From:\n      PodSelector: a=b\n    From:\n      IPBlock:\n        CIDR: 10.0.0.0/8\n        Except: 10.1.0.0/16\n    ----------\n    To Port: <any> (traffic allowed to all ports)\n    From: <any> (traffic not restricted by source)\n  Not affecting egress traffic\n  Policy Types: Ingress\n",
        );
    }
}
