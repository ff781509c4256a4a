//! Objects that hold anything, for tests.
//!
//! In: every page, objects of which one part is something else. Out: pages. Never asks whether a page makes sense: only
//! that there is one.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::kinds::{LAYOUTS, describe};
use super::page::Page;
use super::{events, node};

/// Something of each kind that has a page, and of each kind of volume.
fn everything() -> Value {
    let claim = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"dataSource": {"kind": "K"}, "accessModes": ["ReadWriteOnce"]}});
    let container = json!({"name": "c", "image": "i", "command": ["a\nb"], "ports": [{"containerPort": 80, "name": "n"}],
        "env": [{"name": "A", "value": "b"}, {"name": "B", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"secretRef": {"name": "s"}}], "livenessProbe": {"httpGet": {"path": "/", "port": 80}},
        "resources": {"limits": {"cpu": "1"}}, "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "p"}]});
    let volumes = json!([{"name": "v", "csi": {"volumeAttributes": {"a": "b"}}}, {"name": "w", "ephemeral": {"volumeClaimTemplate": claim}},
        {"name": "x", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "f"}}]}},
        {"name": "y", "projected": {"sources": [{"secret": {"name": "s"}}]}}, {"name": "z", "emptyDir": {"sizeLimit": "1Gi"}}]);
    let condition = json!({"type": "T", "status": "True", "lastTransitionTime": "2026-11-30T10:00:00Z"});
    let terms = json!([{"matchExpressions": [{"key": "k", "operator": "In", "values": ["a"]}]}]);
    let pod = json!({"containers": [container], "initContainers": [container], "volumes": volumes, "tolerations": [{"key": "a"}],
        "topologySpreadConstraints": [{"topologyKey": "k", "labelSelector": {"matchLabels": {"a": "b"}}}]});
    let mut object = json!({"metadata": {"name": "o", "namespace": "n", "labels": {"a": "b"}, "annotations": {"a": "b\nc"},
            "deletionTimestamp": "2026-11-30T10:00:00Z", "ownerReferences": [{"controller": true, "kind": "K"}]},
        "spec": pod, "data": {"a": "Yg=="}, "binaryData": {"a": "Yg=="}, "type": "t", "value": 1,
        "rules": [{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"], "resourceNames": ["a"], "nonResourceURLs": ["/a"]}],
        "roleRef": {"kind": "Role"}, "subjects": [{"kind": "User"}], "imagePullSecrets": [{"name": "s"}],
        "subsets": [{"addresses": [{"ip": "i"}], "ports": [{"port": 80}]}], "ports": [{"port": 80}],
        "endpoints": [{"addresses": ["a"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod"}}],
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "k", "values": ["a"]}]}], "mountOptions": ["o"],
        "status": {"conditions": [condition], "podIPs": [{"ip": "i"}], "startTime": "2026-11-30T10:00:00Z",
            "completionTime": "2026-11-30T10:00:00Z", "completedIndexes": "1", "hard": {"pods": "1"}, "used": {"pods": "1"},
            "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1}}}], "addresses": [{"type": "T"}],
            "capacity": {"cpu": "1"}, "currentMetrics": [{"resource": {"current": {"averageUtilization": 1}}}],
            "loadBalancer": {"ingress": [{"ip": "i"}]}, "active": [{"name": "a"}]}});
    let more = json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": pod}, "selector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}]},
        "jobTemplate": {"spec": {"template": {"spec": pod}}}, "volumeClaimTemplates": [claim], "drivers": [{"name": "d", "topologyKeys": ["k"]}],
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 5}}}],
        "behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1}]}}, "limits": [{"type": "Pod", "max": {"cpu": "1"}}],
        "hard": {"pods": "1"}, "scopes": ["BestEffort"], "taints": [{"key": "k", "effect": "e"}], "iscsi": {"portals": ["a"]},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}, "ports": [{"port": 80, "targetPort": "a"}],
        "rules": [{"host": "h", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}],
        "tls": [{"hosts": ["h"]}], "policyTypes": ["Ingress"], "cidrs": ["c"], "parentRef": {"name": "p"},
        "ingress": [{"ports": [{"port": 1, "endPort": 2}], "from": [{"ipBlock": {"except": ["e"]}}, {"podSelector": {}}]}]});
    if let (Some(spec), Some(more)) = (object["spec"].as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    object
}

#[test]
fn no_object_ends_the_program() {
    let kinds: Vec<&str> = LAYOUTS.iter().flat_map(|(_, kinds)| kinds.iter().copied()).chain([""]).collect();
    for (at, object) in crate::hostile::mangled(&everything()).into_iter().enumerate().step_by(4) {
        let related = json!({"pods": [object], "sets": [object], "slices": [object], "services": [object], "quotas": [object],
            "limits": [object], "lease": object});
        // Each meets a few kinds, others than its neighbours do, and of four one is enough.
        for kind in kinds.iter().skip(at % 11).step_by(11) {
            let mut page = Page::default();
            describe(kind, &object, &related, SystemTime::UNIX_EPOCH, &mut page);
            node::pods(&object, Some(&json!({"items": [object]})), SystemTime::UNIX_EPOCH, &mut page);
            events::events(vec![object.clone()], SystemTime::UNIX_EPOCH, &mut page);
            assert!(page.text().starts_with("Name:"));
        }
    }
}
