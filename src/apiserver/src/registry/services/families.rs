//! The IP families of a Service: how many it asks for, and which.
//!
//! In: a Service that is no `ExternalName`, on update the kept one, and of which families the server gives addresses.
//! Out: the same with `ipFamilyPolicy` and `ipFamilies`, without the address that it gives up, or what this server cannot
//! give. A Service that prefers two families gets the second when it is made or asks for it, and not because a range has
//! come. Pure.

use kedge_api::field::{FieldError, Path};
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use super::ranges::Family;

/// The family of those who ask for none: the configured range's.
const OWN: Family = Family::V4;

const SINGLE: &str = "SingleStack";
const PREFER: &str = "PreferDualStack";
const REQUIRE: &str = "RequireDualStack";

/// Fills in policy and families.
pub fn fill(service: &mut Object, old: Option<&Object>, gives: impl Fn(Family) -> bool) -> Result<(), Vec<FieldError>> {
    if old.is_some_and(|old| stays(service, old)) {
        return Ok(());
    }
    // Whoever has addresses of a family keeps them after its last range went.
    let gives = |family| gives(family) || old.is_some_and(|old| has(old, family));
    let selects = meta::at(service, &["spec", "selector"]).and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    // Whoever writes the endpoints decides of which families they are.
    let free = meta::text_at(service, &["spec", "clusterIP"]) == "None" && !selects;
    let before = old.map_or("", |old| meta::text_at(old, &["spec", "ipFamilyPolicy"]));
    let policy = match meta::text_at(service, &["spec", "ipFamilyPolicy"]) {
        "" if !before.is_empty() => before,
        "" if free => REQUIRE,
        "" => SINGLE,
        said => said,
    }
    .to_owned();
    let (mut families, mut ips) = (texts(service, "ipFamilies"), texts(service, "clusterIPs"));
    let mut faults = Vec::new();
    let spec = Path::root("spec");
    let policy_path = spec.child("ipFamilyPolicy");
    let of_policy = |text: &str| FieldError::invalid(&policy_path, policy.as_str(), text);
    if let Some(old) = old {
        for (field, list, what) in [("clusterIPs", &mut ips, "cluster IP"), ("ipFamilies", &mut families, "IP family")]
        {
            if policy != SINGLE && !list.is_empty() && list.len() < meta::list_at(old, &["spec", field]).len() {
                faults.push(of_policy(&format!("must be 'SingleStack' to release the secondary {what}")));
            }
            // Who changes nothing else gives the second up.
            if policy == SINGLE && same(service, old, field) {
                list.truncate(1);
            }
        }
    }
    for (list, what) in [(&ips, "cluster IPs"), (&families, "IP families")] {
        if policy == SINGLE && list.len() == 2 {
            let text = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            faults.push(of_policy(&text));
        }
    }
    for (i, ip) in ips.iter().enumerate().skip(families.len()).take_while(|(_, ip)| *ip != "None") {
        let family = if ip.contains(':') { Family::V6 } else { Family::V4 };
        if gives(family) {
            families.push(family.name().to_owned());
        } else {
            let text = format!("{} is not configured on this cluster", family.name());
            faults.push(FieldError::invalid(&spec.child("clusterIPs").index(i), json!(ips), text));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    if !free {
        if policy == REQUIRE && !(gives(Family::V4) && gives(Family::V6)) {
            faults.push(of_policy("this cluster is not configured for dual-stack services"));
        }
        for (i, family) in families.iter().enumerate().filter(|(_, family)| !Family::parse(family).is_some_and(&gives))
        {
            let text = "not configured on this cluster";
            faults.push(FieldError::invalid(&spec.child("ipFamilies").index(i), family.as_str(), text));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
    }
    if families.is_empty() {
        families.push(OWN.name().to_owned());
    }
    if let [only] = families.as_slice()
        && policy != SINGLE
    {
        let other = Family::parse(only).unwrap_or(OWN).other();
        if free || gives(other) {
            families.push(other.name().to_owned());
        }
    }
    if ips.len() < meta::list_at(service, &["spec", "clusterIPs"]).len() {
        service["spec"]["clusterIPs"] = json!(ips);
    }
    service["spec"]["ipFamilyPolicy"] = json!(policy);
    service["spec"]["ipFamilies"] = json!(families);
    Ok(())
}

/// Whether a Service that prefers two families asks for nothing new: then it stays as it is, whatever ranges there are.
fn stays(service: &Object, old: &Object) -> bool {
    let policy = |service| meta::text_at(service, &["spec", "ipFamilyPolicy"]);
    policy(service) == PREFER
        && matches!(policy(old), "" | PREFER)
        && ["type", "clusterIPs", "ipFamilies"].iter().all(|field| same(service, old, field))
}

fn has(service: &Object, family: Family) -> bool {
    texts(service, "clusterIPs").iter().filter_map(|ip| ip.parse().ok()).any(|ip| Family::of(ip) == family)
}

/// The texts of a list of the spec; what is no text is passed over.
pub(super) fn texts(service: &Object, field: &str) -> Vec<String> {
    let list = meta::list_at(service, &["spec", field]).iter();
    list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

fn same(service: &Object, old: &Object, field: &str) -> bool {
    meta::at(old, &["spec", field]) == meta::at(service, &["spec", field])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `policy families addresses`, or the faults.
    fn filled(spec: Value, old: Option<Value>, dual: bool) -> String {
        let mut service = json!({ "spec": spec });
        let old = old.map(|spec| json!({ "spec": spec }));
        match fill(&mut service, old.as_ref(), |family| dual || family == Family::V4) {
            Ok(()) => {
                let list = |field| texts(&service, field).join(",");
                let policy = meta::text_at(&service, &["spec", "ipFamilyPolicy"]);
                format!("{policy} {} {}", list("ipFamilies"), list("clusterIPs")).trim_end().to_owned()
            }
            Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    }

    #[track_caller]
    fn single(spec: Value, expected: &str) {
        assert_eq!(filled(spec, None, false), expected);
    }

    #[track_caller]
    fn dual(spec: Value, expected: &str) {
        assert_eq!(filled(spec, None, true), expected);
    }

    #[track_caller]
    fn changed(old: Value, change: Value, dual: bool, expected: &str) {
        let mut spec = old.clone();
        kedge_api::patch::merge(&mut spec, change).unwrap();
        assert_eq!(filled(spec, Some(old), dual), expected);
    }

    #[test]
    fn a_service_has_the_family_of_the_network() {
        single(json!({"selector": {"a": "b"}}), "SingleStack IPv4");
        single(json!({"selector": {"a": "b"}, "clusterIP": "None", "clusterIPs": ["None"]}), "SingleStack IPv4 None");
        single(json!({"clusterIP": "None"}), "RequireDualStack IPv4,IPv6");
        single(json!({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}), "SingleStack IPv4");
        single(json!({"ipFamilyPolicy": "PreferDualStack"}), "PreferDualStack IPv4");
    }

    #[test]
    fn what_the_network_does_not_have_is_refused() {
        single(
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
        );
        single(
            json!({"ipFamilies": ["IPv6"]}),
            "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
        );
        single(
            json!({"clusterIPs": ["fd00::1"], "clusterIP": "fd00::1"}),
            "spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster",
        );
        for spec in [json!({"ipFamilies": ["IPv4", "IPv6"]}), json!({"ipFamilies": ["IPv6", "IPv4"]})] {
            let text = "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified";
            single(spec.clone(), text);
            dual(spec, text);
        }
    }

    #[test]
    fn two_families_are_had_when_both_are_given() {
        dual(json!({}), "SingleStack IPv4");
        dual(json!({"ipFamilies": ["IPv6"]}), "SingleStack IPv6");
        dual(json!({"clusterIPs": ["fd00::1"]}), "SingleStack IPv6 fd00::1");
        for policy in [PREFER, REQUIRE] {
            dual(json!({"ipFamilyPolicy": policy}), &format!("{policy} IPv4,IPv6"));
            dual(json!({"ipFamilyPolicy": policy, "ipFamilies": ["IPv6"]}), &format!("{policy} IPv6,IPv4"));
            dual(json!({"ipFamilyPolicy": policy, "ipFamilies": ["IPv6", "IPv4"]}), &format!("{policy} IPv6,IPv4"));
            dual(json!({"ipFamilyPolicy": policy, "clusterIPs": ["fd00::1"]}), &format!("{policy} IPv6,IPv4 fd00::1"));
        }
        dual(
            json!({"ipFamilyPolicy": REQUIRE, "clusterIPs": ["fd00::1", "10.0.0.1"]}),
            "RequireDualStack IPv6,IPv4 fd00::1,10.0.0.1",
        );
        dual(
            json!({"clusterIPs": ["fd00::1", "10.0.0.1"]}),
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified",
        );
        let headless = json!({"selector": {"a": "b"}, "clusterIP": "None", "ipFamilyPolicy": "PreferDualStack"});
        dual(headless, "PreferDualStack IPv4,IPv6");
    }

    #[test]
    fn the_second_family_comes_and_goes_when_it_is_asked_for() {
        let one = |policy: &str| {
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": policy})
        };
        let two = |policy: &str| {
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"],
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": policy})
        };
        changed(one(SINGLE), json!({"ipFamilyPolicy": PREFER}), true, "PreferDualStack IPv4,IPv6 10.0.0.1");
        changed(one(SINGLE), json!({"ipFamilyPolicy": REQUIRE}), true, "RequireDualStack IPv4,IPv6 10.0.0.1");
        changed(one(SINGLE), json!({"ipFamilyPolicy": PREFER}), false, "PreferDualStack IPv4 10.0.0.1");
        changed(two(PREFER), json!({"ipFamilyPolicy": SINGLE}), true, "SingleStack IPv4 10.0.0.1");
        changed(two(REQUIRE), json!({"ipFamilyPolicy": SINGLE}), false, "SingleStack IPv4 10.0.0.1");
        // A family that comes or goes changes nobody who does not ask.
        changed(one(PREFER), json!({"externalName": "x"}), true, "PreferDualStack IPv4 10.0.0.1");
        changed(two(PREFER), json!({"externalName": "x"}), false, "PreferDualStack IPv4,IPv6 10.0.0.1,fd00::1");
        changed(two(REQUIRE), json!({"externalName": "x"}), false, "RequireDualStack IPv4,IPv6 10.0.0.1,fd00::1");
        changed(one(PREFER), json!({"ipFamilies": ["IPv4", "IPv6"]}), true, "PreferDualStack IPv4,IPv6 10.0.0.1");
        // Who sends a manifest again, without what was filled in.
        let plain = json!({"ipFamilies": null, "ipFamilyPolicy": null});
        changed(two(REQUIRE), plain.clone(), true, "RequireDualStack IPv4,IPv6 10.0.0.1,fd00::1");
        changed(one(SINGLE), plain, true, "SingleStack IPv4 10.0.0.1");
        changed(
            two(PREFER),
            json!({"clusterIPs": ["10.0.0.1"]}),
            true,
            "spec.ipFamilyPolicy: Invalid value: \"PreferDualStack\": must be 'SingleStack' to release the secondary cluster IP",
        );
        changed(
            two(REQUIRE),
            json!({"ipFamilies": ["IPv4"]}),
            true,
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release the secondary IP family",
        );
    }
}
