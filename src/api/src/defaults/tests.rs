//! Rows of kind, what a user wrote and what Kubernetes makes of it.

use super::*;
use crate::check::{self, FieldValidation};
use crate::decode::{self, Limits};
use crate::testdata;
use serde_json::json;

#[track_caller]
fn check(api_version: &str, kind: &str, written: &str, expected: Value) {
    let gvk = Gvk::from_api_version(api_version, kind);
    let own = schema::of(&gvk).expect("is built in");
    let decoded = decode::yaml(written.as_bytes(), &Limits::REQUEST).expect("decodes");
    let mut object = check::object(&gvk, own, decoded, FieldValidation::Strict).expect("fits").object;
    apply(&gvk, &mut object);
    assert_eq!(object, expected, "\n{object:#}");
    let once = object.clone();
    apply(&gvk, &mut object);
    assert_eq!(object, once, "a second time changes nothing");
    check::prune(own, &mut object).expect("still fits");
    assert_eq!(object, once, "defaults are canonical");
}

fn pod_spec(containers: Value) -> Value {
    json!({"containers": containers, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30})
}

fn container(image: &str, policy: &str) -> Value {
    json!({"name": "c", "image": image, "imagePullPolicy": policy, "resources": {},
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"})
}

#[test]
fn a_pod_gets_what_kubernetes_gives_it() {
    let mut spec = pod_spec(json!([container("nginx", "Always")]));
    spec["enableServiceLinks"] = json!(true);
    check(
        "v1",
        "Pod",
        "metadata: {name: a}\nspec: {containers: [{name: c, image: nginx}]}",
        json!({"metadata": {"name": "a"}, "spec": spec, "status": {}}),
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.2", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:0123", "IfNotPresent"),
        ("nginx:latest@sha256:0123", "Always"),
    ] {
        let mut fields = json!({"image": image});
        pods::container(fields.as_object_mut().expect("an object"));
        assert_eq!(fields["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn limits_become_requests_and_host_ports_follow_the_container() {
    let gvk = Gvk::fixed("", "v1", "Pod");
    let mut pod = json!({"spec": {"hostNetwork": true, "volumes": [{"name": "v"}, {"name": "h", "hostPath": {"path": "/x"}}],
        "containers": [{"name": "c", "image": "a:1", "ports": [{"containerPort": 80}], "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0},
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}}]}});
    apply(&gvk, &mut pod);
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"], json!({"cpu": "500m", "memory": "1Gi"}));
    assert_eq!(container["ports"], json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]));
    assert_eq!(
        container["livenessProbe"],
        json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(
        pod["spec"]["volumes"],
        json!([{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/x", "type": ""}}])
    );
}

#[test]
fn a_pod_with_limits_of_its_own_requests_what_its_containers_do() {
    let mut pod = json!({"spec": {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}, "containers": [
        {"name": "a", "resources": {"requests": {"cpu": "100m"}}}, {"name": "b", "resources": {"requests": {"cpu": "200m"}}}]}});
    apply(&Gvk::fixed("", "v1", "Pod"), &mut pod);
    assert_eq!(pod["spec"]["resources"]["requests"], json!({"cpu": "300m", "memory": "1Gi"}));
}

#[test]
fn workloads_get_their_strategies() {
    check(
        "apps/v1",
        "Deployment",
        "metadata: {name: a}\nspec: {selector: {matchLabels: {a: b}}, template: {spec: {containers: [{name: c, image: 'a:1'}]}}}",
        json!({"metadata": {"name": "a"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "replicas": 1, "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "template": {"metadata": {}, "spec": pod_spec(json!([container("a:1", "IfNotPresent")]))}}, "status": {}}),
    );
    let mut set = json!({"spec": {"template": {}, "volumeClaimTemplates": [{"spec": {}}]}});
    apply(&Gvk::fixed("apps", "v1", "StatefulSet"), &mut set);
    assert_eq!(set["spec"]["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(
        set["spec"]["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(
        set["spec"]["volumeClaimTemplates"],
        json!([{"metadata": {}, "spec": {"resources": {}, "volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}])
    );
    let mut recreate = json!({"spec": {"strategy": {"type": "Recreate"}}});
    apply(&Gvk::fixed("apps", "v1", "Deployment"), &mut recreate);
    assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    let mut set = json!({});
    apply(&Gvk::fixed("apps", "v1", "DaemonSet"), &mut set);
    assert_eq!(set["spec"]["updateStrategy"]["rollingUpdate"], json!({"maxSurge": 0, "maxUnavailable": 1}));
}

#[test]
fn jobs_count_themselves() {
    let run = |spec: Value| {
        let mut job = json!({"spec": spec});
        apply(&Gvk::fixed("batch", "v1", "Job"), &mut job);
        let mut spec = job["spec"].take();
        spec.as_object_mut().expect("an object").remove("template");
        spec
    };
    let common = json!({"backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false, "manualSelector": false,
        "podReplacementPolicy": "TerminatingOrFailed", "parallelism": 1});
    let mut neither = common.clone();
    neither["completions"] = json!(1);
    assert_eq!(run(json!({})), neither);
    let mut parallel = common;
    parallel["parallelism"] = json!(3);
    assert_eq!(run(json!({"parallelism": 3})), parallel);
    assert_eq!(run(json!({"backoffLimitPerIndex": 1}))["backoffLimit"], 2_147_483_647);
}

#[test]
fn services_get_types_ports_and_policies() {
    check(
        "v1",
        "Service",
        "metadata: {name: a}\nspec: {ports: [{port: 80}, {port: 81, targetPort: http, protocol: UDP}]}",
        json!({"metadata": {"name": "a"}, "spec": {"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "targetPort": 80, "protocol": "TCP"}, {"port": 81, "targetPort": "http", "protocol": "UDP"}]},
            "status": {"loadBalancer": {}}}),
    );
    let mut service = json!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}});
    apply(&Gvk::fixed("", "v1", "Service"), &mut service);
    assert_eq!(
        service["spec"],
        json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
            "externalTrafficPolicy": "Cluster", "internalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true})
    );
}

#[test]
fn small_kinds_get_theirs() {
    check("v1", "Secret", "metadata: {name: a}", json!({"metadata": {"name": "a"}, "type": "Opaque"}));
    check("v1", "ConfigMap", "metadata: {name: a}", json!({"metadata": {"name": "a"}}));
    check(
        "v1",
        "Namespace",
        "metadata: {name: a}",
        json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "spec": {}, "status": {"phase": "Active"}}),
    );
    check(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        "metadata: {name: a}\nroleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: u}, {kind: ServiceAccount, name: s, namespace: ns}]",
        json!({"metadata": {"name": "a"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "ns"}]}),
    );
    check(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        "metadata: {name: a}\nspec: {egress: [{ports: [{port: 1}]}]}",
        json!({"metadata": {"name": "a"}, "spec": {"podSelector": {}, "egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]}}),
    );
    check(
        "storage.k8s.io/v1",
        "StorageClass",
        "metadata: {name: a}\nprovisioner: p",
        json!({"metadata": {"name": "a"}, "provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    );
    check(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        "metadata: {name: a}\nvalue: 1",
        json!({"metadata": {"name": "a"}, "value": 1, "preemptionPolicy": "PreemptLowerPriority"}),
    );
}

#[test]
fn an_object_with_every_field_set_keeps_every_field() {
    let Some(folder) = testdata::folder("roundtrip") else { return };
    let mut faults = Vec::new();
    for (name, text) in testdata::files(&folder, ".json") {
        let before: Value = serde_json::from_str(&text).expect(&name);
        let gvk = Gvk::from_api_version(
            before["apiVersion"].as_str().unwrap_or_default(),
            before["kind"].as_str().unwrap_or_default(),
        );
        let mut after = before.clone();
        apply(&gvk, &mut after);
        lost(&before, &after, &name, &mut faults);
        if let Some(own) = schema::of(&gvk) {
            let unknown = check::prune(own, &mut after).expect("fits");
            faults.extend(unknown.into_iter().map(|path| format!("{name}: {path} is unknown")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is in `before` and not, or otherwise, in `after`.
fn lost(before: &Value, after: &Value, path: &str, faults: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, value) in a {
                lost(value, b.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"), faults);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().for_each(|(at, (a, b))| lost(a, b, &format!("{path}[{at}]"), faults));
        }
        _ if before == after => {}
        _ => faults.push(format!("{path}: {before} became {after}")),
    }
}
