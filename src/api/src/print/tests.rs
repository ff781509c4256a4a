//! Golden rows: what people see of each kind.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};

use super::*;
use crate::kinds::Kinds;

/// 2026-11-21T07:00:00Z.
const NOW: u64 = 1_795_244_400;

#[track_caller]
fn check(api_version: &str, kind: &str, mut object: Value, expected: &str) {
    let gvk = Gvk::from_api_version(api_version, kind);
    meta::set_name(&mut object, "x");
    meta::set_creation_timestamp(&mut object, "2026-11-21T06:56:40Z");
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let cells = cells(&gvk, false, &object, now);
    let shown: Vec<String> = cells.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_string)).collect();
    assert_eq!(shown.join(" | "), expected);
    assert_eq!(cells.len(), columns(&gvk, false).len());
}

fn pod(spec: Value, status: Value) -> Value {
    json!({"spec": spec, "status": status})
}

#[track_caller]
fn pod_shows(object: Value, ready: &str, reason: &str, restarts: &str) {
    check(
        "v1",
        "Pod",
        object,
        &format!("x | {ready} | {reason} | {restarts} | 3m20s | <none> | <none> | <none> | <none>"),
    );
}

#[test]
fn pods() {
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let running = json!({"name": "a", "ready": true, "state": {"running": {}}});
    pod_shows(pod(two.clone(), json!({"phase": "Pending"})), "0/2", "Pending", "0");
    pod_shows(pod(two.clone(), json!({"phase": "Running", "containerStatuses": [running]})), "1/2", "Running", "0");
    pod_shows(
        pod(
            two.clone(),
            json!({"phase": "Running", "containerStatuses": [{"restartCount": 3,
                "lastState": {"terminated": {"finishedAt": "2026-11-21T06:55:00Z"}},
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
        ),
        "0/2",
        "CrashLoopBackOff",
        "3 (5m ago)",
    );
    pod_shows(
        pod(
            json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}, {"name": "j"}]}),
            json!({"phase": "Pending", "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}, {"state": {"running": {}}}]}),
        ),
        "0/1",
        "Init:1/2",
        "0",
    );
    let init = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]});
    let failed = |end: Value| json!({"phase": "Pending", "initContainerStatuses": [{"state": end}]});
    pod_shows(pod(init.clone(), failed(json!({"terminated": {"exitCode": 2}}))), "0/1", "Init:ExitCode:2", "0");
    pod_shows(
        pod(init.clone(), failed(json!({"terminated": {"exitCode": 2, "reason": "Error"}}))),
        "0/1",
        "Init:Error",
        "0",
    );
    pod_shows(
        pod(init, failed(json!({"waiting": {"reason": "ImagePullBackOff"}}))),
        "0/1",
        "Init:ImagePullBackOff",
        "0",
    );
    pod_shows(
        pod(
            json!({"containers": [{"name": "a"}]}),
            json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"reason": "Completed"}}}]}),
        ),
        "0/1",
        "Completed",
        "0",
    );
    pod_shows(
        pod(
            json!({"containers": [{"name": "a"}]}),
            json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"signal": 9, "exitCode": 137}}}]}),
        ),
        "0/1",
        "Signal:9",
        "0",
    );
    pod_shows(pod(two.clone(), json!({"phase": "Failed", "reason": "Evicted"})), "0/2", "Evicted", "0");
    let mut leaving = pod(two.clone(), json!({"phase": "Running", "containerStatuses": [running]}));
    meta::set_deletion(&mut leaving, "2026-11-21T07:00:00Z", 30);
    pod_shows(leaving, "1/2", "Terminating", "0");
    pod_shows(
        pod(
            json!({"containers": [{"name": "a"}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}),
            json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 2, "state": {"running": {}}}],
                "containerStatuses": [running]}),
        ),
        "2/2",
        "Running",
        "2",
    );
    check(
        "v1",
        "Pod",
        json!({"spec": {"containers": [{}], "nodeName": "n", "readinessGates": [{"conditionType": "g"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "g", "status": "True"}]}}),
        "x | 0/1 | Running | 0 | 3m20s | 10.0.0.1 | n | <none> | 1/1",
    );
}

#[test]
fn a_finished_pod_says_so_to_clients() {
    let gvk = Gvk::fixed("", "v1", "Pod");
    let row = row(&gvk, false, &json!({"status": {"phase": "Failed"}}), UNIX_EPOCH);
    assert_eq!(row["conditions"][0]["type"], "Completed");
}

#[test]
fn workloads() {
    let template = json!({"spec": {"nodeSelector": {"a": "b"}, "containers": [{"name": "c", "image": "i:1"}, {"name": "d", "image": "j"}]}});
    let selector = json!({"matchLabels": {"app": "web"}});
    check(
        "apps/v1",
        "Deployment",
        json!({"spec": {"replicas": 3, "selector": selector, "template": template},
            "status": {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}}),
        "x | 1/3 | 2 | 1 | 3m20s | c,d | i:1,j | app=web",
    );
    check(
        "apps/v1",
        "ReplicaSet",
        json!({"spec": {"replicas": 3, "selector": selector, "template": template}, "status": {"replicas": 2}}),
        "x | 3 | 2 | 0 | 3m20s | c,d | i:1,j | app=web",
    );
    check(
        "apps/v1",
        "StatefulSet",
        json!({"spec": {"replicas": 2, "template": template}}),
        "x | 0/2 | 3m20s | c,d | i:1,j",
    );
    check(
        "apps/v1",
        "DaemonSet",
        json!({"spec": {"selector": selector, "template": template}, "status": {"desiredNumberScheduled": 1}}),
        "x | 1 | 0 | 0 | 0 | 0 | a=b | 3m20s | c,d | i:1,j | app=web",
    );
    check(
        "batch/v1",
        "Job",
        json!({"spec": {"completions": 5, "template": template}, "status": {"succeeded": 2, "startTime": "2026-11-21T06:59:00Z"}}),
        "x | Running | 2/5 | 60s | 3m20s | c,d | i:1,j | <none>",
    );
    check(
        "batch/v1",
        "CronJob",
        json!({"spec": {"schedule": "* * * * *", "suspend": false, "jobTemplate": {"spec": {"template": template}}},
            "status": {"lastScheduleTime": "2026-11-21T06:59:00Z", "active": [{}]}}),
        "x | * * * * * | <none> | False | 1 | 60s | 3m20s | c,d | i:1,j | <none>",
    );
}

#[test]
fn the_network() {
    check(
        "v1",
        "Service",
        json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "selector": {"a": "b"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}}),
        "x | NodePort | 10.0.0.1 | <none> | 80:30080/TCP,53/UDP | 3m20s | a=b",
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.0.0.1"}}),
        "x | LoadBalancer | 10.0.0.1 | <pending> | <none> | 3m20s | <none>",
    );
    check(
        "v1",
        "Service",
        json!({"spec": {"type": "ExternalName", "externalName": "a.b"}}),
        "x | ExternalName | <none> | a.b | <none> | 3m20s | <none>",
    );
    check(
        "v1",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "1.1.1.1"}, {"ip": "::1"}], "ports": [{"port": 80}, {"port": 81}]}]}),
        "x | 1.1.1.1:80,[::1]:80,1.1.1.1:81 + 1 more... | 3m20s",
    );
    check(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"addressType": "IPv4", "ports": [{"port": 80}, {"name": "n"}], "endpoints": [{"addresses": ["1.1.1.1"]}]}),
        "x | IPv4 | 80,n | 1.1.1.1 | 3m20s",
    );
    check(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"spec": {"ingressClassName": "c", "tls": [{}], "rules": [{"host": "h"}]}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        "x | c | h | 1.2.3.4 | 80, 443 | 3m20s",
    );
    check("networking.k8s.io/v1", "NetworkPolicy", json!({"spec": {"podSelector": {}}}), "x | <none> | 3m20s");
}

#[test]
fn the_cluster() {
    check(
        "v1",
        "Node",
        json!({"metadata": {"labels": {"node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/control-plane": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
                "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6", "containerRuntimeVersion": "kedge://0.1"}}}),
        "x | Ready,SchedulingDisabled | control-plane,worker | 3m20s | v1.36.0 | 10.0.0.9 | <none> | Debian | 6 | kedge://0.1",
    );
    check(
        "v1",
        "Event",
        json!({"type": "Normal", "reason": "Pulled", "message": " m \n", "count": 2, "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "f"},
            "source": {"component": "kubelet", "host": "n"}, "firstTimestamp": "2026-11-21T06:50:00Z", "lastTimestamp": "2026-11-21T06:59:50Z"}),
        "10s | Normal | Pulled | pod/p | f | kubelet, n | m | 10m | 2 | x",
    );
    check(
        "v1",
        "Event",
        json!({"eventTime": "2026-11-21T06:59:50.000000Z", "reportingComponent": "c", "involvedObject": {"kind": "Node"}}),
        "10s |  |  | node |  | c |  | 10s | 1 | x",
    );
    check("v1", "Namespace", json!({"status": {"phase": "Active"}}), "x | Active | 3m20s");
    check("v1", "Secret", json!({"type": "Opaque", "data": {"a": ""}}), "x | Opaque | 1 | 3m20s");
    check("v1", "ConfigMap", json!({"data": {"a": ""}, "binaryData": {"b": ""}}), "x | 2 | 3m20s");
    check("v1", "ServiceAccount", json!({}), "x | 0 | 3m20s");
    check("v1", "LimitRange", json!({}), "x | 2026-11-21T06:56:40Z");
    check("rbac.authorization.k8s.io/v1", "ClusterRole", json!({}), "x | 2026-11-21T06:56:40Z");
    check(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "User", "name": "v"},
            {"kind": "ServiceAccount", "namespace": "n", "name": "s"}]}),
        "x | Role/r | 3m20s | u, v |  | n/s",
    );
    check(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        json!({"spec": {"signerName": "s/t", "username": "u", "expirationSeconds": 3600}, "status": {"conditions": [{"type": "Approved"}], "certificate": "eA=="}}),
        "x | 3m20s | s/t | u | 60m | Approved,Issued",
    );
    check("coordination.k8s.io/v1", "Lease", json!({"spec": {"holderIdentity": "h"}}), "x | h | 3m20s");
}

#[test]
fn storage_and_policy() {
    check(
        "v1",
        "PersistentVolume",
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s", "volumeMode": "Filesystem"}, "status": {"phase": "Bound"}}),
        "x | 1Gi | RWO | Retain | Bound | n/c | s | <unset> |  | 3m20s | Filesystem",
    );
    check(
        "v1",
        "PersistentVolumeClaim",
        json!({"status": {"phase": "Pending"}}),
        "x | Pending |  |  |  |  | <unset> | 3m20s | <unset>",
    );
    check(
        "storage.k8s.io/v1",
        "StorageClass",
        json!({"provisioner": "p", "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}),
        "x (default) | p | Delete | Immediate | false | 3m20s",
    );
    check("policy/v1", "PodDisruptionBudget", json!({"spec": {"minAvailable": "50%"}}), "x | 50% | N/A | 0 | 3m20s");
    check(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 5,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 80}}}]}}),
        "x | Deployment/d | cpu: <unknown>/80% | 1 | 5 | 0 | 3m20s",
    );
    check(
        "v1",
        "ResourceQuota",
        json!({"status": {"hard": {"pods": "4", "limits.cpu": "2"}, "used": {"pods": "1"}}}),
        "x | pods: 1/4 | limits.cpu: 0/2 | 3m20s",
    );
    check("scheduling.k8s.io/v1", "PriorityClass", json!({"value": 7}), "x | 7 | false | 3m20s | <none>");
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        json!({"status": {"conditions": [{"type": "Available", "status": "False", "reason": "R"}]}}),
        "x | Local | False (R) | 3m20s",
    );
}

#[test]
fn every_kind_has_as_many_cells_as_columns() {
    for kind in Kinds::everything().iter() {
        let gvk = kind.gvk();
        let cells = cells(&gvk, false, &json!({"spec": 1, "status": []}), UNIX_EPOCH);
        assert_eq!(cells.len(), columns(&gvk, false).len(), "{gvk}");
    }
    let custom = Gvk::fixed("x.io", "v1", "Thing");
    assert_eq!(columns(&custom, true)[1].name, "Age");
}
