//! Rules of workloads and jobs.

use serde_json::{Value, json};

use super::*;

fn workload(spec: Value) -> Value {
    let mut object = json!({"spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

#[test]
fn deployments() {
    check("apps/v1", "Deployment", workload(json!({"replicas": 3})), &[]);
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"replicas": -1})),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"selector": {"matchLabels": {"a": "c"}}})),
        &["spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"selector": {}})),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"selector": null})),
        &[
            "spec.selector: Required value",
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
        ],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"strategy": {"type": "Recreate", "rollingUpdate": {}}})),
        &["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 5, "minReadySeconds": 5})),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
        ],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "x%", "maxSurge": "200%"}}}),
        ),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"x%\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ],
    );
    check(
        "apps/v1",
        "Deployment",
        workload(
            json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 3, "containers": [{"name": "c"}]}}}),
        ),
        &[
            "spec.template.spec.containers[0].image: Required value",
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
        ],
    );
    let other = workload(
        json!({"selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]}}),
    );
    check_update(
        "apps/v1",
        "Deployment",
        Part::Main,
        other,
        workload(json!({})),
        &["spec.selector: Invalid value: {..."],
    );
}

#[test]
fn other_sets() {
    check("apps/v1", "ReplicaSet", workload(json!({})), &[]);
    check("apps/v1", "DaemonSet", workload(json!({})), &[]);
    check("apps/v1", "StatefulSet", workload(json!({"serviceName": "s"})), &[]);
    check_update(
        "apps/v1",
        "StatefulSet",
        Part::Main,
        workload(json!({"serviceName": "t"})),
        workload(json!({"serviceName": "s", "replicas": 7})),
        &[
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ],
    );
    check(
        "v1",
        "ReplicationController",
        json!({"spec": {"selector": {"a": "b"}, "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
        &["spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`"],
    );
    check_update(
        "apps/v1",
        "ReplicaSet",
        Part::Status,
        json!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": -1}}),
        json!({}),
        &[
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ],
    );
}

#[test]
fn jobs() {
    let job = |spec: Value| {
        let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
        for (key, value) in spec.as_object().unwrap() {
            job["spec"][key] = value.clone();
        }
        crate::strategy::prepare_create(&kind("batch/v1", "Job"), &mut job);
        job
    };
    check("batch/v1", "Job", job(json!({})), &[]);
    check(
        "batch/v1",
        "Job",
        job(json!({"parallelism": -1, "completionMode": "Indexed"})),
        &[
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            "spec.completions: Required value: when completion mode is Indexed",
        ],
    );
    check(
        "batch/v1",
        "Job",
        job(json!({"template": {"spec": {"restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]}}})),
        &["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""],
    );
    check_update(
        "batch/v1",
        "Job",
        Part::Main,
        job(json!({"completions": 2, "parallelism": 3})),
        job(json!({"completions": 1, "parallelism": 1})),
        &["spec.completions: Invalid value: 2: field is immutable"],
    );
    let cron = |schedule: &str| json!({"spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}});
    check("batch/v1", "CronJob", cron("*/5 * * * *"), &[]);
    check(
        "batch/v1",
        "CronJob",
        cron("x"),
        &["spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"],
    );
    check("batch/v1", "CronJob", cron(""), &["spec.schedule: Required value"]);
}
