//! The documents by which clients find out what is served.
//!
//! In: the served kinds. Out: the JSON of `/api`, `/apis` and what is below, plain and aggregated.

use crate::kinds::{Gvk, Kind, Kinds, REMOVED_GROUPS, Sub, Verbs, Word, join_api_version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// The order in which Kubernetes lists its groups; custom ones follow by name.
const GROUPS: [&str; 22] = [
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// `/api`: `address` is where clients reach the server, as `host:port`.
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `/apis`.
pub fn groups(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = group_names(kinds).iter().map(|name| group_row(kinds, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`; `None` if nothing of it is served.
pub fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    if name.is_empty() || kinds.versions(name).is_empty() {
        return None;
    }
    let mut document = group_row(kinds, name);
    document["kind"] = json!("APIGroup");
    document["apiVersion"] = json!("v1");
    Some(document)
}

/// `/api/v1` and `/apis/<group>/<version>`; `None` if it is not served.
pub fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let rows = kinds.of_version(group, version);
    if rows.is_empty() {
        return None;
    }
    let resources: Vec<Value> = rows.iter().flat_map(resource_rows).collect();
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": join_api_version(group, version),
        "resources": resources,
    });
    // Kubernetes leaves it out for the core group, whose clients are older than the field.
    if !group.is_empty() {
        document["apiVersion"] = json!("v1");
    }
    Some(document)
}

/// The aggregated form (`apidiscovery.k8s.io/v2`) of `/api` if `core`, else of `/apis`.
pub fn aggregated(kinds: &Kinds, core: bool) -> Value {
    let names = if core { vec![Word::Borrowed("")] } else { group_names(kinds) };
    let items: Vec<Value> = names.iter().map(|name| aggregated_group(kinds, name)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

/// The groups that are served, in the order of discovery, without the core group.
pub fn group_names(kinds: &Kinds) -> Vec<Word> {
    let mut names: Vec<Word> = kinds.iter().map(|kind| kind.group.clone()).filter(|name| !name.is_empty()).collect();
    names.dedup();
    // Groups of old versions come after custom ones: a word is looked for in this order.
    let rank = |name: &Word| match GROUPS.iter().position(|known| known == name) {
        Some(at) => at,
        None => GROUPS.len() + usize::from(REMOVED_GROUPS.contains(&&**name)),
    };
    names.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    names
}

/// An opaque mark of the kind in which a resource is kept, as Kubernetes computes it.
pub fn storage_version_hash(stored: &Gvk) -> String {
    let digest = Sha256::digest(format!("{}/{}/{}", stored.group, stored.version, stored.kind));
    STANDARD.encode(&digest[..8])
}

fn group_row(kinds: &Kinds, name: &str) -> Value {
    let row = |version: &Word| json!({"groupVersion": join_api_version(name, version), "version": version});
    let versions: Vec<Value> = kinds.versions(name).iter().map(row).collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

fn names(verbs: Verbs) -> Vec<&'static str> {
    verbs.names().collect()
}

fn resource_rows(kind: &Arc<Kind>) -> impl Iterator<Item = Value> {
    let mut own = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": names(kind.verbs),
    });
    lists(kind, &mut own);
    if kind.is_kept() {
        own["storageVersionHash"] = json!(storage_version_hash(&kind.stored_gvk()));
    }
    std::iter::once(own).chain(kind.subresources.clone().into_iter().map(|sub| {
        let gvk = sub.gvk(kind);
        let mut row = json!({
            "name": format!("{}/{}", kind.plural, sub.name()),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": gvk.kind,
            "verbs": names(sub.verbs()),
        });
        if (&gvk.group, &gvk.version) != (&kind.group, &kind.version) {
            row["group"] = json!(gvk.group);
            row["version"] = json!(gvk.version);
        }
        row
    }))
}

fn lists(kind: &Kind, row: &mut Value) {
    if !kind.short_names.is_empty() {
        row["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
}

fn aggregated_group(kinds: &Kinds, name: &str) -> Value {
    let versions: Vec<Value> = kinds
        .versions(name)
        .iter()
        .map(|version| {
            let resources: Vec<Value> =
                kinds.of_version(name, version).iter().map(|kind| aggregated_row(kind)).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        })
        .collect();
    let mut metadata = Map::new();
    if !name.is_empty() {
        metadata.insert("name".to_owned(), json!(name));
    }
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_row(kind: &Kind) -> Value {
    let mut row = json!({
        "resource": kind.plural,
        "responseKind": response_kind(kind, &kind.gvk()),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": names(kind.verbs),
    });
    lists(kind, &mut row);
    let sub_row = |sub: &Sub| {
        json!({
            "subresource": sub.name(),
            "responseKind": response_kind(kind, &sub.gvk(kind)),
            "verbs": names(sub.verbs()),
        })
    };
    if !kind.subresources.is_empty() {
        row["subresources"] = kind.subresources.iter().map(sub_row).collect();
    }
    row
}

/// A built-in kind of the same group and version is named by its kind alone.
fn response_kind(parent: &Kind, gvk: &Gvk) -> Value {
    if (&gvk.group, &gvk.version) == (&parent.group, &parent.version) && !parent.custom {
        json!({"group": "", "version": "", "kind": gvk.kind})
    } else {
        json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata;

    /// Kinds that upstream keeps in an older version than it serves first; we keep them in the one we serve.
    const KEPT_OTHERWISE: [&str; 3] =
        ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "customresourcedefinitions"];

    fn comparable(mut document: Value) -> Value {
        if let Some(rows) = document["resources"].as_array_mut() {
            for row in rows.iter_mut() {
                if KEPT_OTHERWISE.iter().any(|name| row["name"] == *name) {
                    row["storageVersionHash"] = Value::Null;
                }
            }
            rows.sort_by_key(|row| row["name"].to_string());
        }
        document
    }

    #[test]
    fn documents_are_those_that_kubernetes_publishes() {
        let Some(folder) = testdata::folder("discovery") else { return };
        let kinds = Kinds::everything();
        for (name, text) in testdata::files(&folder, ".json") {
            let published: Value = serde_json::from_str(&text).expect(&name);
            let parts: Vec<&str> = name.trim_end_matches(".json").split("__").collect();
            let own = match parts[..] {
                ["api"] => core_versions("10.10.10.10:8050"),
                ["api", version] => resources(&kinds, "", version).expect(&name),
                ["apis"] => groups(&kinds),
                ["apis", name] => group(&kinds, name).expect(name),
                ["apis", group, version] => resources(&kinds, group, version).expect(&name),
                _ => aggregated(&kinds, false),
            };
            assert_eq!(comparable(own), comparable(published), "{name}");
        }
    }

    #[test]
    fn old_versions_are_listed_last_and_never_preferred() {
        let kinds = Kinds::builtin().with_removed();
        let document = groups(&kinds);
        let rows = document["groups"].as_array().expect("a list");
        let names: Vec<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
        assert_eq!(names[names.len() - 2..], REMOVED_GROUPS);
        let before = groups(&Kinds::builtin());
        for (row, before) in rows.iter().zip(before["groups"].as_array().expect("a list")) {
            assert_eq!((&row["name"], &row["preferredVersion"]), (&before["name"], &before["preferredVersion"]));
            let (now, then) =
                (row["versions"].as_array().expect("a list"), before["versions"].as_array().expect("a list"));
            assert!(now.starts_with(then), "{}", row["name"]);
        }
        let words = resources(&kinds, "extensions", "v1beta1").expect("served");
        assert!(words["resources"].as_array().expect("a list").iter().all(|row| row.get("shortNames").is_none()));
    }

    #[test]
    fn what_is_not_served_has_no_document() {
        let kinds = Kinds::builtin();
        assert_eq!(group(&kinds, "internal.apiserver.k8s.io"), None);
        assert_eq!(group(&kinds, ""), None);
        assert_eq!(resources(&kinds, "apps", "v1beta1"), None);
        assert_eq!(aggregated(&kinds, true)["items"][0]["metadata"], json!({}));
        assert!(groups(&kinds)["groups"].as_array().is_some_and(|groups| groups.len() == 20));
    }
}
