//! Rows of an old object and what it is today; each goes there and back.

use serde_json::{Value, json};

use crate::convert::to;
use crate::kinds::{Gvk, Removed};

/// The old object is today's, and today's is `back` (the old one, unless the old form had two ways to say it).
#[track_caller]
fn check_back(version: &str, kind: &str, old: &Value, today: &Value, back: &Value) {
    let from = Gvk::from_api_version(version, kind);
    let into = Removed::of(&from).and_then(Removed::modern).expect("has a form today");
    let name = |gvk: &Gvk, object: &Value| {
        let mut object = object.clone();
        object["apiVersion"] = json!(gvk.api_version());
        object
    };
    let renewed = to(&from, &into, name(&from, old)).expect("converts");
    assert_eq!(renewed, name(&into, today), "as of today");
    assert_eq!(to(&into, &from, renewed).expect("converts back"), name(&from, back), "and back");
}

#[track_caller]
fn check(version: &str, kind: &str, old: Value, today: Value) {
    check_back(version, kind, &old, &today, &old);
}

#[test]
fn workloads_keep_what_only_they_say_in_annotations() {
    check(
        "extensions/v1beta1",
        "Deployment",
        json!({"metadata": {"name": "a"}, "spec": {"replicas": 2, "rollbackTo": {"revision": 3}}}),
        json!({"metadata": {"name": "a", "annotations": {"deprecated.deployment.rollback.to": "3"}}, "spec": {"replicas": 2}}),
    );
    check(
        "extensions/v1beta1",
        "DaemonSet",
        json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"templateGeneration": 7}}),
        json!({"metadata": {"annotations": {"a": "b", "deprecated.daemonset.template.generation": "7"}}, "spec": {}}),
    );
    check("apps/v1beta2", "StatefulSet", json!({"spec": {"replicas": 1}}), json!({"spec": {"replicas": 1}}));
    check("apps/v1beta1", "Deployment", json!({"spec": {"replicas": 1}}), json!({"spec": {"replicas": 1}}));
}

#[test]
fn ingresses_name_their_services_in_another_way() {
    for version in ["extensions/v1beta1", "networking.k8s.io/v1beta1"] {
        check(
            version,
            "Ingress",
            json!({"spec": {"backend": {"serviceName": "d", "servicePort": "http"}, "rules": [{"host": "h", "http": {"paths": [
                {"path": "/", "backend": {"serviceName": "s", "servicePort": 80}},
                {"path": "/r", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}]}}]}}),
            json!({"spec": {"defaultBackend": {"service": {"name": "d", "port": {"name": "http"}}}, "rules": [{"host": "h", "http": {"paths": [
                {"path": "/", "backend": {"service": {"name": "s", "port": {"number": 80}}}},
                {"path": "/r", "backend": {"resource": {"kind": "Bucket", "name": "b"}}}]}}]}}),
        );
    }
}

#[test]
fn endpoints_had_a_map_of_places() {
    check(
        "discovery.k8s.io/v1beta1",
        "EndpointSlice",
        json!({"endpoints": [{"nodeName": "n", "topology": {"kubernetes.io/hostname": "n", "topology.kubernetes.io/zone": "z", "x": "y"}}]}),
        json!({"endpoints": [{"nodeName": "n", "zone": "z", "deprecatedTopology": {"x": "y"}}]}),
    );
    check(
        "discovery.k8s.io/v1beta1",
        "EndpointSlice",
        json!({"endpoints": [{"topology": {"kubernetes.io/hostname": "n"}}]}),
        json!({"endpoints": [{"deprecatedTopology": {"kubernetes.io/hostname": "n"}}]}),
    );
}

#[test]
fn a_budget_without_a_selector_guards_nothing() {
    check(
        "policy/v1beta1",
        "PodDisruptionBudget",
        json!({"spec": {"selector": {}}}),
        json!({"spec": {"selector": {"matchExpressions":
            [{"key": "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match", "operator": "Exists"}]}}}),
    );
}

#[test]
fn autoscalers_of_the_second_versions() {
    check(
        "autoscaling/v2beta1",
        "HorizontalPodAutoscaler",
        json!({"metadata": {}, "spec": {"metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "targetAverageUtilization": 60}},
            {"type": "Object", "object": {"target": {"kind": "Service", "name": "s"}, "metricName": "m", "targetValue": "5"}}]},
            "status": {"currentMetrics": [{"type": "Pods", "pods": {"metricName": "q", "currentAverageValue": "1"}}]}}),
        json!({"metadata": {}, "spec": {"metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}},
            {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "m"},
                "target": {"type": "Value", "value": "5"}}}]},
            "status": {"currentMetrics": [{"type": "Pods", "pods": {"metric": {"name": "q"}, "current": {"averageValue": "1"}}}]}}),
    );
    let same = json!({"spec": {"metrics": [{"type": "Pods", "pods": {"metric": {"name": "q"}}}], "behavior": {}}});
    check("autoscaling/v2beta2", "HorizontalPodAutoscaler", same.clone(), same);
}

#[test]
fn smaller_differences() {
    check(
        "flowcontrol.apiserver.k8s.io/v1beta2",
        "PriorityLevelConfiguration",
        json!({"spec": {"limited": {"assuredConcurrencyShares": 5}}}),
        json!({"spec": {"limited": {"nominalConcurrencyShares": 5}}}),
    );
    check(
        "node.k8s.io/v1alpha1",
        "RuntimeClass",
        json!({"spec": {"runtimeHandler": "h", "overhead": {"podFixed": {"cpu": "1"}}}}),
        json!({"handler": "h", "overhead": {"podFixed": {"cpu": "1"}}}),
    );
    check(
        "rbac.authorization.k8s.io/v1alpha1",
        "RoleBinding",
        json!({"subjects": [{"kind": "User", "name": "u", "apiVersion": "rbac.authorization.k8s.io/v1alpha1"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n", "apiVersion": "v1"}]}),
        json!({"subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"},
            {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]}),
    );
}

#[test]
fn an_event_passes_through_two_versions() {
    let old = Gvk::fixed("events.k8s.io", "v1beta1", "Event");
    let core = Gvk::fixed("", "v1", "Event");
    let object = json!({"apiVersion": "events.k8s.io/v1beta1", "note": "n", "regarding": {"name": "p"}});
    let kept = to(&old, &core, object.clone()).expect("converts");
    assert_eq!(kept, json!({"apiVersion": "v1", "message": "n", "involvedObject": {"name": "p"}}));
    assert_eq!(to(&core, &old, kept).expect("converts back"), object);
}

#[test]
fn a_definition_has_one_schema_for_all_versions() {
    let spec = json!({"group": "x.io", "names": {"plural": "things"}, "scope": "Cluster"});
    let with = |more: Value| {
        let mut object = json!({ "spec": spec });
        let map = object["spec"].as_object_mut().expect("a spec");
        map.extend(more.as_object().expect("fields").clone());
        object
    };
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}});
    check(
        "apiextensions.k8s.io/v1beta1",
        "CustomResourceDefinition",
        with(
            json!({"version": "v1", "versions": [{"name": "v1", "served": true, "storage": true}], "preserveUnknownFields": false,
            "validation": schema, "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".spec.a"}],
            "conversion": {"strategy": "Webhook", "webhookClientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]}}),
        ),
        with(
            json!({"versions": [{"name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]}],
            "conversion": {"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a"}, "conversionReviewVersions": ["v1"]}}}),
        ),
    );
}

#[test]
fn a_definition_that_keeps_what_it_does_not_know_is_marked_at_every_place() {
    let keeps = "x-kubernetes-preserve-unknown-fields";
    let from = Gvk::fixed("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition");
    let into = Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let schema = |validation: Value| {
        let object = to(&from, &into, json!({"spec": {"version": "v1", "validation": validation}})).expect("converts");
        object["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    };
    assert_eq!(schema(json!({})), json!({"type": "object", keeps: true}));
    assert_eq!(
        schema(json!({"openAPIV3Schema": {"properties": {
            "metadata": {"type": "object"}, "a": {"properties": {"b": {"description": "x"}}},
            "c": {"items": {"type": "string"}}, "d": {"type": "object", "additionalProperties": {"type": "string"}}}}})),
        json!({"type": "object", keeps: true, "properties": {
            "metadata": {"type": "object"}, "a": {"type": "object", keeps: true, "properties": {"b": {"description": "x", keeps: true}}},
            "c": {"type": "array", "items": {"type": "string"}}, "d": {"type": "object", "additionalProperties": {"type": "string"}}}})
    );
}
