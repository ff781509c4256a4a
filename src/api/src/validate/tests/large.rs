//! Bodies as large as a request may be, made of nothing but faults: they are judged in time and in little memory.

use serde_json::{Value, json};

use super::*;
use crate::warn;

/// So many of the same kind take about 2 MiB.
const MANY: usize = 100_000;
/// What is looked for in all others for each of so many takes minutes.
const IN_TIME: std::time::Duration = std::time::Duration::from_secs(20);

fn names() -> Vec<Value> {
    (0..MANY).map(|n| json!({"name": format!("A{n}")})).collect()
}

#[track_caller]
fn judged(kind: &Kind, object: &Value) -> usize {
    let begun = std::time::Instant::now();
    let faults = create(kind, object);
    let _ = warn::object(kind, object);
    assert!(begun.elapsed() < IN_TIME, "it took {:?}", begun.elapsed());
    assert!(faults.len() <= 1000, "{} faults are told", faults.len());
    faults.iter().map(|fault| fault.detail.len() + fault.value.to_string().len()).sum()
}

#[test]
fn a_pod_of_nothing_but_names() {
    let pod = kind("v1", "Pod");
    let lists = json!({"containers": [{"name": "a", "image": "b", "env": names(), "resources": {"claims": names()}}],
        "imagePullSecrets": names(), "resourceClaims": (0..MANY).map(|n| json!({"name": format!("b{n}")})).collect::<Vec<_>>()});
    let shown = judged(&pod, &json!({"metadata": {"name": "a", "namespace": "b"}, "spec": lists}));
    assert!(shown < 8 << 20, "{shown} bytes are shown");
}

#[test]
fn a_definition_of_nothing_but_keys() {
    let keys: Vec<String> = (0..MANY).map(|n| format!("k{n}")).collect();
    let list = json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": {"type": "object", "required": keys}});
    let definition = json!({"metadata": {"name": "foos.example.com"}, "spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema":
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": list}}}}}}]}});
    let shown = judged(&kind("apiextensions.k8s.io/v1", "CustomResourceDefinition"), &definition);
    assert!(shown < 64 << 20, "{shown} bytes are shown");
}
