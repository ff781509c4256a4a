//! The IP families of a Service: how many it asks for, and which.
//!
//! In: a Service that is no `ExternalName`, and on update the kept one. Out: the same with `ipFamilyPolicy` and
//! `ipFamilies`, or what this server cannot give. The service network has one family. Pure.

use kedge_api::field::{FieldError, Path};
use kedge_api::{Object, meta};
use serde_json::{Value, json};

/// The family of the service network.
const OWN: &str = "IPv4";
const OTHER: &str = "IPv6";

/// Fills in policy and families.
pub fn fill(service: &mut Object, old: Option<&Object>) -> Result<(), FieldError> {
    let selects = meta::at(service, &["spec", "selector"]).and_then(Value::as_object).is_some_and(|s| !s.is_empty());
    let headless = meta::text_at(service, &["spec", "clusterIP"]) == "None";
    let policy = match (meta::text_at(service, &["spec", "ipFamilyPolicy"]), old) {
        ("", Some(old)) if !meta::text_at(old, &["spec", "ipFamilyPolicy"]).is_empty() => {
            meta::text_at(old, &["spec", "ipFamilyPolicy"]).to_owned()
        }
        // Whoever writes the endpoints decides of which families they are.
        ("", _) if headless && !selects => "RequireDualStack".to_owned(),
        ("", _) => "SingleStack".to_owned(),
        (said, _) => said.to_owned(),
    };
    let mut families: Vec<String> = meta::list_at(service, &["spec", "ipFamilies"])
        .iter()
        .filter_map(|family| family.as_str().map(str::to_owned))
        .collect();
    let ips = meta::list_at(service, &["spec", "clusterIPs"]).len();
    if policy == "SingleStack" && old.is_some() && same(service, old, "ipFamilies") {
        families.truncate(1);
    }
    let spec = Path::root("spec");
    let policy_path = spec.child("ipFamilyPolicy");
    let several = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
    if policy == "SingleStack" && ips == 2 && !(old.is_some() && same(service, old, "clusterIPs")) {
        let text = format!("{several} cluster IPs are specified");
        return Err(FieldError::invalid(&policy_path, policy, text));
    }
    if policy == "SingleStack" && families.len() == 2 {
        let text = format!("{several} IP families are specified");
        return Err(FieldError::invalid(&policy_path, policy, text));
    }
    for (i, ip) in meta::list_at(service, &["spec", "clusterIPs"]).iter().enumerate().skip(families.len()) {
        match ip.as_str().unwrap_or_default() {
            "None" => break,
            text if text.contains(':') => {
                let list = spec.child("clusterIPs");
                let shown = meta::at(service, &["spec", "clusterIPs"]).cloned().unwrap_or_default();
                let text = format!("{OTHER} is not configured on this cluster");
                return Err(FieldError::invalid(&list.index(i), shown, text));
            }
            _ => families.push(OWN.to_owned()),
        }
    }
    if families.is_empty() {
        families.push(OWN.to_owned());
    }
    if headless && !selects {
        if families.len() < 2 && policy != "SingleStack" {
            families.push(if families[0] == OWN { OTHER } else { OWN }.to_owned());
        }
    } else {
        if policy == "RequireDualStack" {
            let text = "this cluster is not configured for dual-stack services";
            return Err(FieldError::invalid(&policy_path, policy, text));
        }
        if let Some(i) = families.iter().position(|family| family == OTHER) {
            let list = spec.child("ipFamilies");
            return Err(FieldError::invalid(&list.index(i), OTHER, "not configured on this cluster"));
        }
    }
    service["spec"]["ipFamilyPolicy"] = json!(policy);
    service["spec"]["ipFamilies"] = json!(families);
    Ok(())
}

fn same(service: &Object, old: Option<&Object>, field: &str) -> bool {
    old.is_some_and(|old| meta::at(old, &["spec", field]) == meta::at(service, &["spec", field]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expected: Result<(&str, Value), &str>) {
        let mut service = json!({ "spec": spec });
        let outcome = fill(&mut service, None).map_err(|fault| fault.to_string());
        match expected {
            Ok((policy, families)) => {
                assert_eq!(outcome, Ok(()));
                assert_eq!(
                    (&service["spec"]["ipFamilyPolicy"], &service["spec"]["ipFamilies"]),
                    (&json!(policy), &families)
                );
            }
            Err(text) => assert_eq!(outcome, Err(text.to_owned())),
        }
    }

    #[test]
    fn a_service_has_the_family_of_the_network() {
        check(json!({"selector": {"a": "b"}}), Ok(("SingleStack", json!(["IPv4"]))));
        check(json!({"selector": {"a": "b"}, "clusterIP": "None"}), Ok(("SingleStack", json!(["IPv4"]))));
        check(json!({"clusterIP": "None"}), Ok(("RequireDualStack", json!(["IPv4", "IPv6"]))));
        check(json!({"ipFamilyPolicy": "PreferDualStack"}), Ok(("PreferDualStack", json!(["IPv4"]))));
    }

    #[test]
    fn what_the_network_does_not_have_is_refused() {
        check(
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            Err(
                "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for dual-stack services",
            ),
        );
        check(
            json!({"ipFamilies": ["IPv6"]}),
            Err("spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"),
        );
        check(
            json!({"clusterIPs": ["fd00::1"], "clusterIP": "fd00::1"}),
            Err("spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is not configured on this cluster"),
        );
        check(
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            Err(
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified",
            ),
        );
    }
}
