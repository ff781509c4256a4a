//! The APIServices of what this server answers itself.
//!
//! In: the served kinds. Out: one object for each group version, with upstream's priorities, which
//! also order discovery. Pure.

use kedge_api::Object;
use kedge_api::kinds::Kinds;
use serde_json::json;

use super::AUTOMANAGED;

/// Priorities of the built-in group versions: group, version, place of the group, place of the version.
const PRIORITIES: &[(&str, &str, i64, i64)] = &[
    ("", "v1", 18000, 1),
    ("apps", "v1", 17800, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("events.k8s.io", "v1beta1", 17750, 5),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authentication.k8s.io", "v1beta1", 17700, 9),
    ("authentication.k8s.io", "v1alpha1", 17700, 1),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("batch", "v1beta1", 17400, 9),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("networking.k8s.io", "v1", 17200, 15),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("policy", "v1", 17100, 15),
    ("policy", "v1beta1", 17100, 9),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("storage.k8s.io", "v1", 16800, 15),
    ("storage.k8s.io", "v1beta1", 16800, 9),
    ("storage.k8s.io", "v1alpha1", 16800, 1),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("scheduling.k8s.io", "v1alpha2", 16600, 2),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("node.k8s.io", "v1", 16300, 15),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("resource.k8s.io", "v1", 16200, 21),
    ("resource.k8s.io", "v1beta2", 16200, 15),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1alpha3", 16200, 1),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("storagemigration.k8s.io", "v1beta1", 15800, 9),
    ("metrics.k8s.io", "v1beta1", 100, 100),
];

/// Where custom groups stand, and their versions.
pub const CUSTOM: (i64, i64) = (1000, 100);
/// Built-in groups that upstream has no place for stand behind those that it has.
const OTHER: i64 = 15000;

/// Where a group of this server stands.
pub fn group_priority(group: &str) -> i64 {
    PRIORITIES.iter().find(|row| row.0 == group).map_or(OTHER, |row| row.2)
}

/// The APIServices of the built-in group versions that are served.
pub fn wanted(kinds: &Kinds) -> Vec<Object> {
    PRIORITIES
        .iter()
        .filter(|(group, version, ..)| {
            kinds.of_version(group, version).iter().any(|kind| !kind.custom || kind.is_measured())
        })
        .map(|(group, version, place, version_place)| object(group, version, (*place, *version_place), "onstart"))
        .collect()
}

/// An APIService of this server's own.
pub fn object(group: &str, version: &str, (place, version_place): (i64, i64), managed: &str) -> Object {
    let mut object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": format!("{version}.{group}"), "labels": {AUTOMANAGED: managed}},
        "spec": {"version": version, "groupPriorityMinimum": place, "versionPriority": version_place},
    });
    if !group.is_empty() {
        object["spec"]["group"] = json!(group);
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::meta;

    #[test]
    fn every_served_group_version_but_the_registration_itself_has_an_object() {
        let kinds = Kinds::builtin();
        let names: Vec<String> = wanted(&kinds).iter().map(|o| meta::name(o).to_owned()).collect();
        assert!(names.iter().any(|n| n == "v1.") && names.iter().any(|n| n == "v2.autoscaling"));
        assert!(!names.iter().any(|n| n.contains("alpha") || n.ends_with("apiregistration.k8s.io")));
        for kind in kinds.iter().filter(|k| k.group.ends_with("k8s.io") && k.group != "apiregistration.k8s.io") {
            let name = format!("{}.{}", kind.version, kind.group);
            assert!(names.contains(&name), "{name}");
        }
    }
}
