//! What is put right before it is kept, in rows.

use serde_json::{Value, json};

use super::*;
use crate::kinds::{Gvk, Kinds};

fn kind(group: &'static str, version: &'static str, name: &'static str) -> Kind {
    (**Kinds::everything().by_gvk(&Gvk::fixed(group, version, name)).unwrap()).clone()
}

#[track_caller]
fn creates(group: &'static str, version: &'static str, name: &'static str, mut sent: Value, kept: Value) {
    let kind = kind(group, version, name);
    prepare_create(&kind, &mut sent);
    // A row that says nothing of the status means the one of which nothing is known yet.
    if kept.get("status").is_none() && sent.get("status") == crate::defaults::blank_status(&kind.gvk()).as_ref() {
        remove(&mut sent, "status");
    }
    assert_eq!(sent, kept);
}

#[track_caller]
fn updates(k: (&'static str, &'static str, &'static str), part: Part, mut sent: Value, old: Value, kept: Value) {
    prepare_update(&kind(k.0, k.1, k.2), part, &mut sent, &old);
    assert_eq!(sent, kept);
}

#[test]
fn status_is_not_taken_from_whoever_creates() {
    creates(
        "apps",
        "v1",
        "Deployment",
        json!({"metadata": {"name": "a", "deletionTimestamp": "x"}, "spec": {}, "status": {"replicas": 3}}),
        json!({"metadata": {"name": "a", "generation": 1}, "spec": {}, "status": {}}),
    );
    creates(
        "",
        "v1",
        "Node",
        json!({"metadata": {"name": "a"}, "status": {"phase": "x"}}),
        json!({"metadata": {"name": "a"}, "status": {"phase": "x"}}),
    );
}

#[test]
fn new_objects_get_their_first_state() {
    creates(
        "",
        "v1",
        "Pod",
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}}),
        json!({"metadata": {"name": "p", "generation": 1}, "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Pending", "qosClass": "BestEffort"}}),
    );
    creates(
        "",
        "v1",
        "Namespace",
        json!({"metadata": {"name": "n"}}),
        json!({"metadata": {"name": "n", "labels": {"kubernetes.io/metadata.name": "n"}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
    );
    creates(
        "",
        "v1",
        "Secret",
        json!({"metadata": {}, "data": {"a": "eA=="}, "stringData": {"b": "hi", "a": "y"}}),
        json!({"metadata": {}, "data": {"a": "eQ==", "b": "aGk="}}),
    );
    creates(
        "batch",
        "v1",
        "Job",
        json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {}}}),
        json!({"metadata": {"name": "j", "uid": "u", "generation": 1}, "spec": {
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "template": {"metadata": {"labels": {"job-name": "j", "batch.kubernetes.io/job-name": "j",
                "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u"}}}}, "status": {}}),
    );
}

const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

#[test]
fn an_update_keeps_the_status_and_counts_generations() {
    let old = json!({"metadata": {"name": "a", "uid": "u", "generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 1}});
    updates(
        DEPLOYMENT,
        Part::Main,
        json!({"metadata": {"name": "a", "generation": 9}, "spec": {"replicas": 2}, "status": {"replicas": 7}}),
        old.clone(),
        json!({"metadata": {"name": "a", "uid": "u", "generation": 5}, "spec": {"replicas": 2}, "status": {"replicas": 1}}),
    );
    updates(
        DEPLOYMENT,
        Part::Main,
        json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"replicas": 1}}),
        old.clone(),
        json!({"metadata": {"name": "a", "uid": "u", "generation": 4, "labels": {"x": "y"}}, "spec": {"replicas": 1},
            "status": {"replicas": 1}}),
    );
    updates(
        DEPLOYMENT,
        Part::Status,
        json!({"metadata": {"name": "a", "labels": {"x": "y"}}, "spec": {"replicas": 9}, "status": {"replicas": 2}}),
        old,
        json!({"metadata": {"name": "a", "uid": "u", "generation": 4}, "spec": {"replicas": 1}, "status": {"replicas": 2}}),
    );
}

#[test]
fn subresources_change_their_part_only() {
    let pod = ("", "v1", "Pod");
    let old = json!({"metadata": {"name": "p", "generation": 1}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    updates(
        pod,
        Part::EphemeralContainers,
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "x", "ephemeralContainers": [{"name": "d"}]}}),
        old.clone(),
        json!({"metadata": {"name": "p", "generation": 2}, "spec": {"nodeName": "n",
            "containers": [{"name": "c", "image": "i"}], "ephemeralContainers": [{"name": "d"}]}}),
    );
    updates(
        pod,
        Part::Resize,
        json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "j", "resources": {"limits": {"cpu": "1"}}}]}}),
        old,
        json!({"metadata": {"name": "p", "generation": 2}, "spec": {"nodeName": "n",
            "containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}]}}),
    );
    updates(
        ("", "v1", "Namespace"),
        Part::Finalize,
        json!({"metadata": {"name": "n"}, "spec": {}, "status": {"phase": "Active"}}),
        json!({"metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Terminating"}}),
        json!({"metadata": {"name": "n"}, "spec": {}, "status": {"phase": "Terminating"}}),
    );
}

#[test]
fn a_service_sent_again_keeps_what_was_allocated() {
    let service = ("", "v1", "Service");
    let old = json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
        "ports": [{"protocol": "TCP", "port": 80, "nodePort": 30080}]}});
    updates(
        service,
        Part::Main,
        json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"protocol": "TCP", "port": 80}]}}),
        old.clone(),
        old.clone(),
    );
    updates(
        service,
        Part::Main,
        json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "ports": [{"protocol": "TCP", "port": 80, "nodePort": 30080}]}}),
        old,
        json!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "ports": [{"protocol": "TCP", "port": 80}]}}),
    );
}

#[test]
fn quality_of_service() {
    let check = |containers: Value, class: &str| {
        assert_eq!(qos_class(&json!({"spec": {"containers": containers}})), class);
    };
    check(json!([{}]), "BestEffort");
    check(json!([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}]), "Guaranteed");
    check(
        json!([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}}]),
        "Guaranteed",
    );
    check(json!([{"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}, {}]), "Burstable");
    check(json!([{"resources": {"requests": {"cpu": "1"}}}]), "Burstable");
}

#[test]
fn a_claim_says_its_source_in_both_fields() {
    let claim = |spec: Value| json!({"metadata": {"name": "c"}, "spec": spec, "status": {"phase": "Pending"}});
    let made = |sent: Value, kept: Value| creates("", "v1", "PersistentVolumeClaim", claim(sent), claim(kept));
    let other = json!({"kind": "PersistentVolumeClaim", "name": "o"});
    made(json!({"dataSource": other}), json!({"dataSource": other, "dataSourceRef": other}));
    made(json!({"dataSourceRef": other}), json!({"dataSource": other, "dataSourceRef": other}));
    made(json!({"dataSource": {"apiGroup": "a", "kind": "B", "name": "o"}}), json!({}));
    let far = json!({"apiGroup": "a", "kind": "B", "name": "o", "namespace": "n"});
    made(json!({"dataSourceRef": far}), json!({"dataSourceRef": far}));
    updates(
        ("", "v1", "PersistentVolumeClaim"),
        Part::Main,
        claim(json!({"dataSource": other})),
        claim(json!({"dataSource": other})),
        claim(json!({"dataSource": other})),
    );
}

#[test]
fn a_daemon_set_counts_its_templates() {
    let set = |generation: i64, count: Option<&str>, image: &str| {
        let mut set = json!({"metadata": {"name": "d", "generation": generation}, "spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        if let Some(count) = count {
            meta::set_annotation(&mut set, "deprecated.daemonset.template.generation", count);
        }
        set
    };
    creates("apps", "v1", "DaemonSet", set(9, None, "a"), set(1, Some("1"), "a"));
    creates("apps", "v1", "DaemonSet", set(9, Some("4"), "a"), set(1, Some("4"), "a"));
    let daemon = ("apps", "v1", "DaemonSet");
    updates(daemon, Part::Main, set(9, Some("9"), "b"), set(1, Some("4"), "a"), set(2, Some("5"), "b"));
    updates(daemon, Part::Main, set(1, None, "a"), set(1, Some("4"), "a"), set(1, Some("4"), "a"));
}

#[test]
fn what_is_off_is_dropped() {
    let set = |down: Option<i64>| {
        let mut rolling = json!({"partition": 0});
        if let Some(down) = down {
            rolling["maxUnavailable"] = json!(down);
        }
        json!({"metadata": {"name": "s", "generation": 1}, "spec": {"updateStrategy": {"rollingUpdate": rolling}}})
    };
    creates("apps", "v1", "StatefulSet", set(Some(2)), set(None));
    updates(("apps", "v1", "StatefulSet"), Part::Main, set(Some(2)), set(Some(2)), set(Some(2)));
    creates(
        "",
        "v1",
        "ServiceAccount",
        json!({"metadata": {"name": "a"}, "secrets": [{"name": "s", "kind": "Secret", "namespace": "n"}]}),
        json!({"metadata": {"name": "a"}, "secrets": [{"name": "s"}]}),
    );
}

#[test]
fn a_status_leaves_metadata_alone_where_kubernetes_does() {
    updates(
        ("storage.k8s.io", "v1", "VolumeAttachment"),
        Part::Status,
        json!({"metadata": {"name": "v", "labels": {"a": "b"}}, "spec": {}, "status": {"attached": true}}),
        json!({"metadata": {"name": "v"}, "spec": {"nodeName": "n"}, "status": {"attached": false}}),
        json!({"metadata": {"name": "v"}, "spec": {"nodeName": "n"}, "status": {"attached": true}}),
    );
    let pod = |status: Value| json!({"metadata": {"name": "p"}, "spec": {}, "status": status});
    updates(
        ("", "v1", "Pod"),
        Part::Status,
        pod(json!({"conditions": [{"type": "Ready"}]})),
        pod(json!({"observedGeneration": 3, "conditions": [{"type": "Ready", "observedGeneration": 2}]})),
        pod(json!({"observedGeneration": 3, "conditions": [{"type": "Ready", "observedGeneration": 2}]})),
    );
    updates(
        ("", "v1", "PersistentVolume"),
        Part::Status,
        json!({"metadata": {"name": "v"}, "spec": {}, "status": {"phase": "Bound"}}),
        json!({"metadata": {"name": "v"}, "spec": {}, "status": {"phase": "Bound", "lastPhaseTransitionTime": "t"}}),
        json!({"metadata": {"name": "v"}, "spec": {}, "status": {"phase": "Bound", "lastPhaseTransitionTime": "t"}}),
    );
}

#[test]
fn generations_grow_where_kubernetes_counts_them() {
    let grows = |group: &'static str, name: &'static str, first: Option<i64>, then: Option<i64>| {
        let kind = kind(group, "v1", name);
        let mut new = json!({"metadata": {"name": "x"}, "spec": {"a": 1}});
        prepare_create(&kind, &mut new);
        assert_eq!(new["metadata"].get("generation").and_then(Value::as_i64), first, "{name}");
        let mut changed = new.clone();
        changed["spec"]["a"] = json!(2);
        prepare_update(&kind, Part::Main, &mut changed, &new);
        assert_eq!(changed["metadata"].get("generation").and_then(Value::as_i64), then, "{name}");
    };
    grows("networking.k8s.io", "Ingress", Some(1), Some(2));
    grows("networking.k8s.io", "ServiceCIDR", None, None);
    grows("scheduling.k8s.io", "PriorityClass", Some(1), Some(1));
    grows("storage.k8s.io", "CSIDriver", None, Some(1));
    grows("", "PodTemplate", Some(1), Some(2));
}

#[test]
fn topology_of_old_goes_with_the_first_change() {
    let slice = |endpoint: Value| json!({"metadata": {"name": "a"}, "endpoints": [endpoint]});
    let old = slice(json!({"addresses": ["1.1.1.1"], "deprecatedTopology": {"kubernetes.io/hostname": "n", "x": "y"}}));
    let kind = ("discovery.k8s.io", "v1", "EndpointSlice");
    let mut made = slice(json!({"addresses": ["1.1.1.1"]}));
    made["metadata"]["generation"] = json!(1);
    creates(kind.0, kind.1, kind.2, old.clone(), made);
    updates(kind, Part::Main, old.clone(), old.clone(), old.clone());
    let other = |host: &str| json!({"addresses": ["2.2.2.2"], "deprecatedTopology": {"kubernetes.io/hostname": host}});
    for (host, kept) in
        [("n", json!({"addresses": ["2.2.2.2"], "nodeName": "n"})), ("m", json!({"addresses": ["2.2.2.2"]}))]
    {
        let mut kept = slice(kept);
        kept["metadata"]["generation"] = json!(1);
        updates(kind, Part::Main, slice(other(host)), old.clone(), kept);
    }
}
