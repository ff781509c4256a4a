//! Rows of kind, object and what it is in the other version.

use super::*;
use serde_json::json;

#[track_caller]
fn check(from: &Gvk, to_gvk: &Gvk, object: Value, expected: Value) {
    let converted = to(from, to_gvk, object.clone()).expect("converts");
    assert_eq!(converted, expected);
    assert_eq!(to(to_gvk, from, converted).expect("converts back"), object);
}

const HPA_1: Gvk = Gvk::fixed("autoscaling", "v1", "HorizontalPodAutoscaler");
const HPA_2: Gvk = Gvk::fixed("autoscaling", "v2", "HorizontalPodAutoscaler");
const EVENT: Gvk = Gvk::fixed("", "v1", "Event");
const NEW_EVENT: Gvk = Gvk::fixed("events.k8s.io", "v1", "Event");

#[test]
fn events_are_one_kind_under_two_names() {
    check(
        &EVENT,
        &NEW_EVENT,
        json!({"apiVersion": "v1", "kind": "Event", "message": "m", "involvedObject": {"name": "p"}, "reason": "r",
            "reportingComponent": "c", "reportingInstance": "i", "source": {"component": "c"}, "count": 2,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z", "type": "Normal"}),
        json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "m", "regarding": {"name": "p"}, "reason": "r",
            "reportingController": "c", "reportingInstance": "i", "deprecatedSource": {"component": "c"},
            "deprecatedCount": 2, "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
            "deprecatedLastTimestamp": "2026-01-01T00:00:01Z", "type": "Normal"}),
    );
}

#[test]
fn a_cpu_target_moves_between_field_and_metric() {
    check(
        &HPA_1,
        &HPA_2,
        json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}, "status": {}}),
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]}, "status": {}}),
    );
}

#[test]
fn other_metrics_live_in_annotations_of_the_old_version() {
    let metrics = json!([
        {"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
        {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "q",
            "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "7"}}},
        {"type": "External", "external": {"metric": {"name": "q", "selector": {}}, "target": {"type": "AverageValue", "averageValue": "1"}}},
    ]);
    let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}}},
        "status": {"conditions": [{"type": "AbleToScale", "status": "True"}]}});
    let old = to(&HPA_2, &HPA_1, object.clone()).expect("converts");
    assert!(old["spec"].get("metrics").is_none());
    assert_eq!(old["metadata"]["annotations"].as_object().map(serde_json::Map::len), Some(3));
    assert_eq!(to(&HPA_1, &HPA_2, old).expect("converts back"), object);
}

#[test]
fn equal_schemas_differ_in_version_only_and_strangers_do_not_convert() {
    let from = Gvk::fixed("networking.k8s.io", "v1beta1", "IPAddress");
    let into = Gvk::fixed("networking.k8s.io", "v1", "IPAddress");
    check(
        &from,
        &into,
        json!({"apiVersion": "networking.k8s.io/v1beta1", "spec": {}}),
        json!({"apiVersion": "networking.k8s.io/v1", "spec": {}}),
    );
    assert!(to(&EVENT, &HPA_1, json!({})).is_err());
}
