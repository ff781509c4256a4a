//! Names people type, rows that come and go, and the published discovery documents.

use super::*;
use crate::testdata;
use serde_json::Value;

#[track_caller]
fn check(word: &str, expected: &str) {
    let kinds = Kinds::everything();
    let found = kinds.by_word(word).map(|kind| kind.gvk().to_string()).unwrap_or_default();
    assert_eq!(found, expected, "{word}");
}

#[test]
fn people_may_name_a_kind_in_many_ways() {
    check("po", "v1, Kind=Pod");
    check("Pods", "v1, Kind=Pod");
    check("deploy", "apps/v1, Kind=Deployment");
    check("deployments.apps", "apps/v1, Kind=Deployment");
    check("deployment.v1.apps", "apps/v1, Kind=Deployment");
    check("hpa", "autoscaling/v2, Kind=HorizontalPodAutoscaler");
    check("hpa.v1.autoscaling", "autoscaling/v1, Kind=HorizontalPodAutoscaler");
    check("ev", "v1, Kind=Event");
    check("events.events.k8s.io", "events.k8s.io/v1, Kind=Event");
    check("pods.v1.", "v1, Kind=Pod");
    check("nonsense", "");
}

#[test]
fn versions_are_ranked_as_kubernetes_does() {
    let mut versions = ["v1alpha1", "foo", "v1beta2", "v10", "v1beta10", "v2", "v11beta2", "v1"];
    versions.sort_by_key(|version| version_rank(version));
    assert_eq!(versions, ["v10", "v2", "v1", "v11beta2", "v1beta10", "v1beta2", "v1alpha1", "foo"]);
}

#[test]
fn a_row_can_come_and_go() {
    let mut kinds = Kinds::builtin();
    let count = kinds.iter().count();
    let mut kind = Kind::clone(kinds.by_word("deploy").expect("is built in"));
    kind.group = Cow::Borrowed("example.com");
    let gvr = kind.gvr();
    kinds.insert(kind.clone());
    kinds.insert(kind);
    assert_eq!(kinds.iter().count(), count + 1);
    assert!(kinds.by_gvr(&gvr).is_some());
    assert!(kinds.by_gvk(&Gvk::new("example.com", "v1", "Deployment")).is_some());
    assert!(kinds.remove(&gvr).is_some());
    assert!(kinds.by_gvr(&gvr).is_none());
}

#[test]
fn the_table_is_what_discovery_publishes() {
    let Some(folder) = testdata::folder("discovery") else { return };
    let kinds = Kinds::everything();
    let mut seen = 0;
    for (name, text) in testdata::files(&folder, ".json") {
        let document: Value = serde_json::from_str(&text).expect(&name);
        if document["kind"] != "APIResourceList" {
            continue;
        }
        let (group, version) = split_api_version(document["groupVersion"].as_str().expect("text"));
        for row in document["resources"].as_array().expect("a list") {
            let full = row["name"].as_str().expect("text");
            let (plural, sub) = full.split_once('/').unwrap_or((full, ""));
            let kind = kinds.resource(group, version, plural).unwrap_or_else(|| panic!("{group}/{version} {full}"));
            let verbs: Vec<_> = match sub {
                "" => kind.verbs.names().collect(),
                sub => {
                    let sub = Sub::parse(sub).expect(sub);
                    assert!(kind.has_sub(sub), "{full}");
                    assert_eq!(row["kind"], *sub.gvk(kind).kind, "{full}");
                    sub.verbs().names().collect()
                }
            };
            assert_eq!(row["verbs"], serde_json::json!(verbs), "{full}");
            assert_eq!(row["namespaced"], kind.namespaced, "{full}");
            if sub.is_empty() {
                seen += 1;
                assert_eq!(row["kind"], *kind.kind, "{full}");
                assert_eq!(row["singularName"], *kind.singular, "{full}");
                let list = |words: &[Word]| if words.is_empty() { Value::Null } else { serde_json::json!(words) };
                assert_eq!(row["shortNames"], list(&kind.short_names), "{full}");
                assert_eq!(row["categories"], list(&kind.categories), "{full}");
            }
        }
    }
    assert_eq!(seen, kinds.iter().count(), "rows that discovery does not publish");
}
