//! More rows, kind by kind: Services, volumes, claims, nodes, quotas, resizes.

use super::*;
use serde_json::json;

fn pod_with(spec: Value) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    pod
}

#[track_caller]
fn pod(spec: Value, expected: &[&str]) {
    check("v1", "Pod", pod_with(spec), expected);
}

#[test]
fn services_on_update() {
    let service = |more: Value| {
        let mut spec = json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack", "ports": [{"port": 1}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "spec": spec })
    };
    let update = |new: Value, old: Value, expected: &[&str]| {
        check_update("v1", "Service", Part::Main, service(new), service(old), expected);
    };
    update(
        json!({"clusterIPs": [], "clusterIP": ""}),
        json!({}),
        &[
            "spec.clusterIPs[0]: Invalid value: []: primary clusterIP can not be unset",
            "spec.ipFamilyPolicy: Invalid value: \"SingleStack\"...",
        ][..1],
    );
    update(
        json!({"ipFamilies": ["IPv6"]}),
        json!({}),
        &[
            "spec.ipFamilies[0]: Invalid value: [\"IPv6\"]: may not change once set",
            "spec.clusterIPs[0]: Invalid value: \"10.0.0.1\": expected an IPv6 value as indicated by `ipFamilies[0]`",
        ],
    );
    let balancer = |class: &str| json!({"type": "LoadBalancer", "loadBalancerClass": class});
    update(
        balancer("a.b/c"),
        balancer("a.b/d"),
        &["spec.loadBalancerClass: Invalid value: \"a.b/c\": may not change once set"],
    );
    update(
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 2}),
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 3}),
        &["spec.healthCheckNodePort: Forbidden: field is immutable"],
    );
    update(json!({"externalIPs": ["010.0.0.1"]}), json!({"externalIPs": ["010.0.0.1"]}), &[]);
    update(
        json!({"externalIPs": ["010.0.0.1", "127.0.0.1"], "loadBalancerSourceRanges": ["10.0.0.0/8 "]}),
        json!({}),
        &[
            "spec.externalIPs[0]: Invalid value: \"010.0.0.1\": must not have leading 0s",
            "spec.externalIPs[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ],
    );
}

#[test]
fn the_status_of_a_service() {
    let service = |kind: &str, point: Value| json!({"spec": {"type": kind, "ports": [{"port": 1}]}, "status": {"loadBalancer": {"ingress": [point]}}});
    let status = |kind: &str, point: Value, expected: &[&str]| {
        let old = service(kind, json!({}));
        check_update("v1", "Service", Part::Status, service(kind, point), old, expected);
    };
    status("LoadBalancer", json!({"ip": "1.2.3.4", "ipMode": "VIP"}), &[]);
    // The mode has a default.
    status("LoadBalancer", json!({"ip": "1.2.3.4"}), &[]);
    status(
        "LoadBalancer",
        json!({"hostname": "1.2.3.4"}),
        &["status.loadBalancer.ingress[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"],
    );
    status(
        "ClusterIP",
        json!({"ip": "1.2.3.4"}),
        &["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"],
    );
}

#[test]
fn volumes_over_a_network() {
    pod(
        json!({"volumes": [
            {"name": "a", "nfs": {"server": "s", "path": "x"}},
            {"name": "b", "iscsi": {"targetPortal": "p", "iqn": "iqn.2026-01.com.example:disk", "lun": 256}},
            {"name": "c", "iscsi": {"targetPortal": "p", "iqn": "foo", "lun": 1}},
            {"name": "d", "fc": {"targetWWNs": ["x"]}},
            {"name": "e", "flexVolume": {"driver": "d", "options": {"kubernetes.io/x": "y"}}},
            {"name": "f", "azureDisk": {"diskName": "d", "diskURI": "u", "kind": "Managed"}},
            {"name": "g", "csi": {"driver": "UP.example"}, "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/a/../b", "type": "x"}}]}),
        &[
            "spec.volumes[0].nfs.path: Invalid value: \"x\": must be an absolute path",
            "spec.volumes[1].iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
            "spec.volumes[2].iscsi.iqn: Invalid value: \"foo\": must be valid format starting with iqn, eui, or naa",
            "spec.volumes[3].fc.lun: Required value: lun is required if targetWWNs is specified",
            "spec.volumes[4].flexVolume.options[kubernetes.io/x]: Invalid value: \"kubernetes.io/x\": kubernetes.io and k8s.io namespaces are reserved",
            "spec.volumes[5].azureDisk.diskURI: Unsupported value: \"u\": supported values: \"/subscriptions...",
            "spec.volumes[6].csi: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[7].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
            "spec.volumes[7].hostPath.type: Unsupported value: \"x\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ],
    );
}

#[test]
fn volumes_put_together() {
    pod(
        json!({"serviceAccountName": "a", "volumes": [{"name": "v", "projected": {"sources": [
            {"configMap": {"name": "m", "items": [{"key": "k", "path": "x"}]}},
            {"secret": {"name": "s", "items": [{"key": "k", "path": "x"}]}},
            {"serviceAccountToken": {"path": "/t", "expirationSeconds": 1}},
            {"secret": {"name": "s"}, "configMap": {"name": "m"}}]}}]}),
        &[
            "spec.volumes[0].projected: Invalid value: \"s\": conflicting duplicate paths",
            "spec.volumes[0].projected.sources[2].serviceAccountToken.expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.volumes[0].projected.path: Invalid value: \"/t\": must be a relative path",
            "spec.volumes[0].projected.sources[3]: Forbidden: may not specify more than 1 volume type per source",
        ],
    );
    pod(
        json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}}]}),
        &[
            "spec.volumes[0].ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
            "spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: \"x-v\": must not reference a PVC that gets created for an ephemeral volume",
        ],
    );
}

#[test]
fn persistent_volumes() {
    let volume = |more: Value| {
        let mut spec = json!({"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "spec": spec })
    };
    let csi = json!({"csi": {"driver": "d.example", "volumeHandle": "h"}});
    check("v1", "PersistentVolume", volume(csi.clone()), &[]);
    check(
        "v1",
        "PersistentVolume",
        volume(json!({"local": {"path": "/x"}, "volumeAttributesClassName": ""})),
        &[
            "spec.nodeAffinity: Required value: Local volume requires node affinity",
            "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ],
    );
    let mut grows = csi.clone();
    grows["csi"]["controllerExpandSecretRef"] = json!({"name": "s", "namespace": "n"});
    check_update("v1", "PersistentVolume", Part::Main, volume(grows), volume(csi.clone()), &[]);
    check_update(
        "v1",
        "PersistentVolume",
        Part::Main,
        volume(json!({"nfs": {"server": "s", "path": "/"}, "volumeMode": "Block"})),
        volume(csi),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation...",
            "volumeMode: Invalid value: \"Block\": field is immutable",
        ],
    );
}

#[test]
fn claims_on_update() {
    let claim = |size: &str, more: Value, phase: &str| {
        let mut spec = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": spec, "status": {"phase": phase, "capacity": {"storage": "2Gi"}}})
    };
    let update = |new: Value, old: Value, expected: &[&str]| {
        check_update("v1", "PersistentVolumeClaim", Part::Main, new, old, expected);
    };
    update(claim("3Gi", json!({}), "Bound"), claim("2Gi", json!({}), "Bound"), &[]);
    update(
        claim("3Gi", json!({}), "Pending"),
        claim("2Gi", json!({}), "Pending"),
        &[
            "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims...",
        ],
    );
    update(
        claim("1Gi", json!({}), "Bound"),
        claim("2Gi", json!({}), "Bound"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    update(claim("2Gi", json!({"storageClassName": "a"}), "Bound"), claim("2Gi", json!({}), "Bound"), &[]);
    update(claim("2Gi", json!({"volumeName": "v"}), "Pending"), claim("2Gi", json!({}), "Pending"), &[]);
    check(
        "v1",
        "PersistentVolumeClaim",
        claim(
            "1",
            json!({"dataSource": {"kind": "X", "name": "n"}, "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "n"}}),
            "",
        ),
        &[
            "spec.dataSource: Invalid value: \"X\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            "spec: Invalid value: \"spec.dataSource\": must match dataSourceRef",
        ],
    );
}

#[test]
fn storage_classes_and_drivers() {
    let class = |provisioner: &str| json!({"provisioner": provisioner});
    check_update(
        "storage.k8s.io/v1",
        "StorageClass",
        Part::Main,
        class("b"),
        class("a"),
        &["provisioner: Invalid value: \"b\": field is immutable"],
    );
    let changed = |field: &str, value: Value| {
        let mut class = json!({"provisioner": "a", "parameters": {"a": "b"}, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
        class[field] = value;
        class
    };
    for (field, value, faults) in [
        ("parameters", json!({"a": "c"}), vec!["parameters: Invalid value: {\"a\":\"c\"}: field is immutable"]),
        ("reclaimPolicy", json!("Retain"), vec!["reclaimPolicy: Invalid value: \"Retain\": field is immutable"]),
        (
            "volumeBindingMode",
            json!("X"),
            vec![
                "volumeBindingMode: Unsupported value: \"X\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                "volumeBindingMode: Invalid value: \"X\": field is immutable",
            ],
        ),
        ("allowVolumeExpansion", json!(true), vec![]),
        (
            "allowedTopologies",
            json!([{"matchLabelExpressions": [{"key": "a", "values": []}]}]),
            vec!["allowedTopologies[0].matchLabelExpressions[0].values: Required value"],
        ),
    ] {
        let old = changed("x", Value::Null);
        check_update("storage.k8s.io/v1", "StorageClass", Part::Main, changed(field, value), old, &faults);
    }
    let capacity = |class: &str, size: &str| json!({"storageClassName": class, "capacity": size});
    check_update(
        "storage.k8s.io/v1",
        "CSIStorageCapacity",
        Part::Main,
        capacity("b", "-1"),
        capacity("a", "1"),
        &[
            "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
            "storageClassName: Invalid value: \"b\": field is immutable",
        ],
    );
    check(
        "storage.k8s.io/v1",
        "CSIDriver",
        json!({"spec": {"tokenRequests": [{"audience": "a"}, {"audience": "a"}], "nodeAllocatableUpdatePeriodSeconds": 5,
            "volumeLifecycleModes": ["x"]}}),
        &[
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            "spec.volumeLifecycleModes: Unsupported value: \"x\": supported values: \"Persistent\", \"Ephemeral\"",
            "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 5: must be greater than or equal to 10 seconds",
        ],
    );
    check(
        "storage.k8s.io/v1",
        "VolumeAttachment",
        json!({"spec": {"attacher": "a", "nodeName": "n", "source": {"inlineVolumeSpec": {"accessModes": ["ReadWriteOnce"],
            "nfs": {"server": "s", "path": "/"}, "storageClassName": "c"}}}}),
        &[
            "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec.storageClassName: Forbidden: may not be specified in the context of inline volumes",
        ],
    );
}

#[test]
fn resizes() {
    let pod = |cpu: &str, more: Value| {
        let mut container =
            json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu, "memory": "1Mi"}}});
        container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": {"containers": [container]}, "status": {"qosClass": "Burstable"}})
    };
    let resize = |new: Value, expected: &[&str]| {
        check_update("v1", "Pod", Part::Resize, new, pod("1", json!({})), expected);
    };
    resize(pod("2", json!({})), &[]);
    resize(pod("2", json!({"image": "j"})), &["spec: Forbidden: only cpu and memory resources are mutable"]);
    resize(
        pod("2", json!({"resources": {"requests": {"cpu": "1"}}})),
        &["spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"],
    );
    resize(
        pod("2", json!({"name": "d"})),
        &["spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize"],
    );
    resize(
        pod(
            "1",
            json!({"resources": {"requests": {"cpu": "1", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}}}),
        ),
        &["spec: Invalid value: \"Guaranteed\": Pod QOS Class may not change as a result of resizing"],
    );
}

#[test]
fn pods_and_what_surrounds_them() {
    pod(
        json!({"os": {"name": "windows"}, "hostPID": true, "securityContext": {"runAsUser": 1, "windowsOptions": {"runAsUserName": "a\\b\\c"}}}),
        &[
            "spec.securityContext.windowsOptions.runAsUserName: Invalid value: \"a\\\\b\\\\c\": runAsUserName cannot contain more than one backslash",
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
        ],
    );
    pod(
        json!({"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}, "containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "3"}}}]}),
        &[
            "spec.resources.requests[cpu]: Invalid value: \"1\": must be greater than or equal to aggregate container requests of 2",
            "spec.resources.containers[0][cpu].limits: Invalid value: \"3\": must be less than or equal to pod limits of 2",
        ],
    );
    pod(
        json!({"hostUsers": false, "hostNetwork": true, "hostnameOverride": "a"}),
        &[
            "spec.hostNetwork: Forbidden: when `hostUsers` is false",
            "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
        ],
    );
    let mut noted = pod_with(json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}));
    noted["metadata"]["annotations"] = json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        "container.apparmor.security.beta.kubernetes.io/x": "foo", "kubernetes.io/config.mirror": "m"});
    check(
        "v1",
        "Pod",
        noted,
        &[
            "metadata.annotations[kubernetes.io/config.mirror]: Invalid value: \"m\": must set spec.nodeName if mirror pod annotation is set",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"x\": container not found",
            "metadata.annotations[container.apparmor.security.beta.kubernetes.io/x]: Invalid value: \"foo\": invalid AppArmor profile name: \"foo\"",
            "spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match",
        ],
    );
}

#[test]
fn gated_pods_may_be_narrowed() {
    let gated = |more: Value| {
        let mut spec = json!({"schedulingGates": [{"name": "g"}], "nodeSelector": {"a": "b"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        pod_with(spec)
    };
    let update = |new: Value, expected: &[&str]| {
        check_update("v1", "Pod", Part::Main, gated(new), gated(json!({})), expected);
    };
    update(json!({"nodeSelector": {"a": "b", "c": "d"}}), &[]);
    update(
        json!({"nodeSelector": {"c": "d"}}),
        &[
            "spec.nodeSelector: Invalid value: {\"c\":\"d\"}: only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ],
    );
    let terms = json!([{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]);
    let affinity =
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    update(json!({ "affinity": affinity }), &[]);
    update(
        json!({"schedulingGates": [{"name": "h"}]}),
        &["spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'h'"],
    );
}

#[test]
fn nodes_namespaces_and_endpoints() {
    check_update(
        "v1",
        "Namespace",
        Part::Status,
        json!({"status": {"phase": "x"}}),
        json!({}),
        &["status.Phase: Invalid value: \"x\": may only be 'Active' if `deletionTimestamp` is empty"],
    );
    check(
        "v1",
        "Node",
        json!({"spec": {"podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"]}, "status": {"declaredFeatures": ["B", "A", "a"], "capacity": {"pods": "1.5"}}}),
        &[
            "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one CIDR for each IP family",
            "status.capacity.pods: Invalid value: \"1.5\": must be an integer",
            "status.allocatable.pods: Invalid value: \"1.5\": must be an integer",
            "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically",
            "status.declaredFeatures[2]: Invalid value: \"a\": invalid feature name \"a\": must start...",
        ],
    );
    check(
        "v1",
        "Endpoints",
        json!({"subsets": [{"addresses": [{"ip": "169.254.0.1"}], "ports": [{"port": 0}]}]}),
        &[
            "subsets[0].addresses[0].ip: Invalid value: \"169.254.0.1\": may not be in the link-local range (169.254.0.0/16, fe80::/10)",
            "subsets[0].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
}
