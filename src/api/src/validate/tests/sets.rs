//! Rules of sets of pods and of what scales them, in Kubernetes' own words.

use serde_json::{Value, json};

use super::*;

fn with(kind: &str, spec: Value) -> Value {
    let restart = if kind == "Job" { "Never" } else { "Always" };
    let mut object = json!({"metadata": {"name": "x", "uid": "u"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"restartPolicy": restart, "containers": [{"name": "c", "image": "i"}]}}}});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

#[track_caller]
fn apps(kind: &str, spec: Value, expected: &[&str]) {
    check("apps/v1", kind, with(kind, spec), expected);
}

#[test]
fn stateful_sets() {
    apps(
        "StatefulSet",
        json!({"serviceName": "a.b", "podManagementPolicy": "x", "ordinals": {"start": -1},
            "updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}, "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "x", "whenScaled": "Retain"}}),
        &[
            "spec.podManagementPolicy: Invalid value: \"x\": must be 'OrderedReady' or 'Parallel'",
            "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'",
            "spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: \"x\": supported values: \"Retain\", \"Delete\"",
            "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
            "spec.serviceName: Invalid value: \"a.b\": must not contain dots",
        ],
    );
    // Claims of the set are volumes of its pods.
    let claims = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostname": "not.a.label", "containers": [
        {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}]}});
    apps("StatefulSet", json!({"volumeClaimTemplates": claims, "template": template}), &[]);
    apps(
        "StatefulSet",
        json!({"template": template}),
        &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""],
    );
    // What was let in once hinders nobody.
    check_update(
        "apps/v1",
        "StatefulSet",
        Part::Main,
        with("StatefulSet", json!({"serviceName": "a.b", "replicas": 2, "template": template})),
        with("StatefulSet", json!({"serviceName": "a.b", "replicas": 1, "template": template})),
        &[],
    );
    check_update(
        "apps/v1",
        "StatefulSet",
        Part::Status,
        json!({"status": {"replicas": 1, "currentReplicas": 2, "readyReplicas": 0, "availableReplicas": 1}}),
        json!({"status": {"replicas": 1, "collisionCount": 2}}),
        &[
            "status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 1: cannot be greater than status.readyReplicas",
            "status.collisionCount: Invalid value: 0: cannot be decremented",
        ],
    );
}

#[test]
fn daemon_sets() {
    let rolling = |down: Value, up: Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": down, "maxSurge": up}}});
    apps("DaemonSet", rolling(json!(0), json!("10%")), &[]);
    apps(
        "DaemonSet",
        rolling(json!(1), json!(1)),
        &[
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ],
    );
    apps(
        "DaemonSet",
        rolling(json!(0), json!(0)),
        &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
    );
    apps(
        "DaemonSet",
        json!({"updateStrategy": {"type": "x"}}),
        &[
            "spec.updateStrategy: Unsupported value: {\"type\":\"x\"}: supported values: \"RollingUpdate\", \"OnDelete\"",
        ],
    );
    apps(
        "DaemonSet",
        json!({"selector": {}}),
        &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
    );
    check(
        "apps/v1",
        "ControllerRevision",
        json!({"revision": -1, "data": [1]}),
        &[
            "revision: Invalid value: -1: must be greater than or equal to 0",
            "data: Required value: data must be a valid JSON object",
        ],
    );
    check(
        "apps/v1",
        "Deployment",
        with("Deployment", json!({"strategy": {"type": "x"}})),
        &["spec.strategy: Unsupported value: {\"type\":\"x\"}: supported values: \"Recreate\", \"RollingUpdate\""],
    );
}

#[test]
fn names_that_become_hosts() {
    let mut set = with("StatefulSet", json!({}));
    meta::set_name(&mut set, "a.b");
    check("apps/v1", "StatefulSet", set, &["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
}

#[test]
fn scaling() {
    let scaler = |more: Value| {
        let mut spec =
            json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"spec": spec})
    };
    let checked = |more: Value, expected: &[&str]| {
        check("autoscaling/v2", "HorizontalPodAutoscaler", scaler(more), expected);
    };
    checked(json!({}), &[]);
    checked(
        json!({"minReplicas": 0, "maxReplicas": 0}),
        &[
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
            "spec.maxReplicas: Required value: must be set and greater than 0",
            "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
        ],
    );
    checked(
        json!({"metrics": [
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}},
            {"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "x", "averageValue": "0"}}, "resource": {"name": "cpu", "target": {"type": "Value"}}},
            {"type": "External"},
        ]}),
        &[
            "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            "spec.metrics[1].pods.target.type: Invalid value: \"x\": must be either Utilization, Value, or AverageValue",
            "spec.metrics[1].pods.target.averageValue: Invalid value: \"0\": must be positive",
            "spec.metrics[1].resource: Forbidden: must populate the given metric source only",
            "spec.metrics[2].external: Required value: must populate information for the given metric source",
        ],
    );
    checked(
        json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601, "tolerance": "-1", "policies": [{"type": "x", "value": 0, "periodSeconds": 1801}]}}}),
        &[
            "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            "spec.behavior.scaleDown.policies[0].type: Unsupported value: \"x\": supported values: \"Percent\", \"Pods\"",
            "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
            "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
            "spec.behavior.scaleDown.tolerance: Invalid value: \"-1\": must be greater than or equal to 0",
        ],
    );
}
