//! Rows: what a quota counts of an object.
//!
//! In: JSON. Out: asserts.

use super::*;
use crate::resources::{self, Amounts};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NOW: u64 = 1_700_000_000; // 2023-11-14T22:13:20Z

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

#[track_caller]
fn counts(group: &str, plural: &str, object: Value, expected: Value) {
    let seen: Amounts = usage(group, plural, &object, now());
    assert_eq!(resources::write(&seen), expected);
}

#[test]
fn pods_count_until_they_have_ended() {
    let asks = json!({"requests": {"cpu": "100m", "memory": "1Gi", "hugepages-2Mi": "4Mi", "example.com/x": "1", "pods": "3"},
        "limits": {"cpu": "1", "ephemeral-storage": "1Gi"}});
    let pod = json!({"spec": {"containers": [{"name": "a", "resources": asks}]}});
    counts(
        "",
        "pods",
        pod.clone(),
        json!({"count/pods": "1", "pods": "1", "cpu": "100m", "requests.cpu": "100m", "memory": "1Gi",
            "requests.memory": "1Gi", "hugepages-2Mi": "4Mi", "requests.hugepages-2Mi": "4Mi",
            "requests.example.com/x": "1", "limits.cpu": "1", "limits.ephemeral-storage": "1Gi"}),
    );
    let mut ended = pod.clone();
    ended["status"] = json!({"phase": "Succeeded"});
    counts("", "pods", ended, json!({"count/pods": "1"}));
    let mut stuck = pod.clone();
    stuck["metadata"] = json!({"deletionTimestamp": "2023-11-14T22:12:00Z", "deletionGracePeriodSeconds": 30});
    counts("", "pods", stuck.clone(), json!({"count/pods": "1"}));
    stuck["metadata"]["deletionTimestamp"] = json!("2023-11-14T22:13:10Z");
    assert!(usage("", "pods", &stuck, now()).contains_key("pods"));
}

#[test]
fn other_kinds_count_what_they_take() {
    counts("apps", "deployments", json!({}), json!({"count/deployments.apps": "1"}));
    counts("", "secrets", json!({}), json!({"count/secrets": "1", "secrets": "1"}));
    let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]}});
    let counted = |ports: &str, balancers: &str| json!({"count/services": "1", "services": "1", "services.nodeports": ports, "services.loadbalancers": balancers});
    counts("", "services", service("ClusterIP"), counted("0", "0"));
    counts("", "services", service("NodePort"), counted("2", "0"));
    counts("", "services", service("LoadBalancer"), counted("2", "1"));
    let mut without = service("LoadBalancer");
    without["spec"]["allocateLoadBalancerNodePorts"] = json!(false);
    counts("", "services", without, counted("1", "1"));
    counts(
        "",
        "persistentvolumeclaims",
        json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}}}),
        json!({"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1", "requests.storage": "2",
            "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
            "gold.storageclass.storage.k8s.io/requests.storage": "2"}),
    );
    counts(
        "resource.k8s.io",
        "resourceclaims",
        json!({"spec": {"devices": {"requests": [{"exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 2}},
            {"firstAvailable": [{"deviceClassName": "c", "allocationMode": "All"}, {"deviceClassName": "d", "count": 1}]}]}}}),
        json!({"count/resourceclaims.resource.k8s.io": "1", "c.deviceclass.resource.k8s.io/devices": "34",
            "d.deviceclass.resource.k8s.io/devices": "1",
            "requests.deviceclass.resource.kubernetes.io/c": "34", "requests.deviceclass.resource.kubernetes.io/d": "1"}),
    );
}

#[test]
fn names_belong_to_kinds() {
    let rows = [
        ("", "pods", "limits.memory", true),
        ("", "pods", "requests.example.com/x", true),
        ("", "pods", "requests.storage", false),
        ("", "pods", "hugepages-2Mi", true),
        ("", "persistentvolumeclaims", "gold.storageclass.storage.k8s.io/requests.storage", true),
        ("", "services", "services.nodeports", true),
        ("", "configmaps", "configmaps", true),
        ("", "configmaps", "secrets", false),
        ("apps", "replicasets", "count/replicasets.apps", true),
        ("apps", "replicasets", "count/replicasets", false),
    ];
    for (group, plural, name, expected) in rows {
        assert_eq!(is_tracked(group, plural, name), expected, "{plural} {name}");
    }
}

#[track_caller]
fn scoped(spec: Value, pod: Value, expected: bool) {
    assert_eq!(in_scope(&json!({"spec": spec}), "", "pods", &json!({"spec": pod})), expected, "{spec} {pod}");
}

#[test]
fn scopes_hold_or_not() {
    let burstable = json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
    scoped(json!({"scopes": ["BestEffort"]}), json!({"containers": [{"name": "a"}]}), true);
    scoped(json!({"scopes": ["BestEffort"]}), burstable.clone(), false);
    scoped(json!({"scopes": ["NotBestEffort", "NotTerminating"]}), burstable, true);
    scoped(json!({"scopes": ["Terminating"]}), json!({"activeDeadlineSeconds": 0}), true);
    scoped(json!({"scopes": ["NotTerminating"]}), json!({"activeDeadlineSeconds": 5}), false);
    let priority = |operator: &str, values: Value| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}});
    let class = json!({"priorityClassName": "high"});
    scoped(priority("In", json!(["high"])), class.clone(), true);
    scoped(priority("NotIn", json!(["high"])), class.clone(), false);
    scoped(priority("NotIn", json!(["high"])), json!({}), true);
    scoped(priority("Exists", json!([])), class.clone(), true);
    scoped(priority("DoesNotExist", json!([])), class, false);
    let term = json!({"topologyKey": "x", "namespaces": ["other"]});
    let affinity = json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}}});
    scoped(json!({"scopes": ["CrossNamespacePodAffinity"]}), affinity, true);
    let claim = json!({"spec": {"volumeAttributesClassName": "gold"}});
    let quota = json!({"spec": {"scopeSelector": {"matchExpressions": [{"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]}}});
    assert!(in_scope(&quota, "", "persistentvolumeclaims", &claim));
    assert!(!in_scope(&quota, "", "services", &claim));
}

fn quota(hard: Value, used: Value) -> Value {
    json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
}

#[track_caller]
fn judged(quota: Value, plural: &str, new: Value, old: Option<Value>, expected: Result<Option<Value>, &str>) {
    let write = Write { group: "", plural, object: &new, old: old.as_ref(), status: false, now: now() };
    let seen = judge(std::slice::from_ref(&quota), &write);
    let used = seen.map(|charges| charges.first().map(|charge| resources::write(&charge.used)));
    assert_eq!(used, expected.map_err(str::to_owned));
}

#[test]
fn what_fits_is_charged_and_what_does_not_is_refused() {
    let pod =
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
    let hard = json!({"pods": "2", "requests.cpu": "2", "services": "1"});
    judged(
        quota(hard.clone(), json!({"pods": "0", "requests.cpu": "0", "services": "1"})),
        "pods",
        pod.clone(),
        None,
        Ok(Some(json!({"pods": "1", "requests.cpu": "1", "services": "1"}))),
    );
    judged(
        quota(hard.clone(), json!({"pods": "2", "requests.cpu": "1500m"})),
        "pods",
        pod.clone(),
        None,
        Err(
            "exceeded quota: q, requested: pods=1,requests.cpu=1, used: pods=2,requests.cpu=1500m, limited: pods=2,requests.cpu=2",
        ),
    );
    judged(
        quota(hard.clone(), json!({"pods": "0"})),
        "pods",
        pod.clone(),
        None,
        Err("status unknown for quota: q, resources: pods,requests.cpu"),
    );
    let demanding =
        quota(json!({"limits.cpu": "1", "limits.memory": "1"}), json!({"limits.cpu": "0", "limits.memory": "0"}));
    judged(
        demanding,
        "pods",
        pod.clone(),
        None,
        Err("failed quota: q: must specify limits.cpu for: c; limits.memory for: c"),
    );
    judged(quota(hard, json!({"pods": "0", "requests.cpu": "0"})), "secrets", json!({}), None, Ok(None));
    judged(quota(json!({}), json!({})), "pods", pod, None, Ok(None));
}

#[test]
fn an_update_is_charged_for_what_it_adds() {
    let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 1}]}});
    let quota =
        quota(json!({"services": "1", "services.nodeports": "1"}), json!({"services": "1", "services.nodeports": "0"}));
    judged(
        quota.clone(),
        "services",
        service("NodePort"),
        Some(service("ClusterIP")),
        Ok(Some(json!({"services": "1", "services.nodeports": "1"}))),
    );
    judged(quota.clone(), "services", service("ClusterIP"), Some(service("NodePort")), Ok(None));
    let mut more = service("NodePort");
    more["spec"]["ports"] = json!([{"port": 1}, {"port": 2}]);
    judged(
        quota,
        "services",
        more,
        Some(service("ClusterIP")),
        Err(
            "exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1",
        ),
    );
}
