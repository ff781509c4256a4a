//! Rules of everything that is neither a pod nor makes pods.

use serde_json::{Value, json};

use super::*;

#[test]
fn configuration() {
    check("v1", "ConfigMap", json!({"data": {"a": "b"}, "binaryData": {"c": "aGk="}}), &[]);
    check(
        "v1",
        "ConfigMap",
        json!({"data": {"a/b": "", "c": ""}, "binaryData": {"c": ""}}),
        &[
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
            "data[c]: Invalid value: \"c\": duplicate of key present in binaryData",
        ],
    );
    check(
        "v1",
        "ConfigMap",
        json!({"data": {"a": "x".repeat(1024 * 1024 + 1)}}),
        &[": Too long: may not be more than 1048576 bytes"],
    );
    check_update(
        "v1",
        "ConfigMap",
        Part::Main,
        json!({"data": {"a": "c"}}),
        json!({"immutable": true, "data": {"a": "b"}}),
        &[
            "immutable: Forbidden: field is immutable when `immutable` is set",
            "data: Forbidden: field is immutable when `immutable` is set",
        ],
    );
    check(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
        &["data[tls.key]: Required value"],
    );
    check(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/service-account-token"}),
        &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
    );
    check(
        "v1",
        "Secret",
        json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}),
        &[],
    );
    check_update(
        "v1",
        "Secret",
        Part::Main,
        json!({"type": "b"}),
        json!({"type": "a"}),
        &["type: Invalid value: \"b\": field is immutable"],
    );
}

#[test]
fn services() {
    let service = |spec: Value| json!({"spec": spec});
    check("v1", "Service", service(json!({"ports": [{"port": 80, "targetPort": "web"}], "selector": {"a": "b"}})), &[]);
    check("v1", "Service", service(json!({"clusterIP": "None", "clusterIPs": ["None"]})), &[]);
    check("v1", "Service", service(json!({})), &["spec.ports: Required value"]);
    check(
        "v1",
        "Service",
        service(
            json!({"ports": [{"port": 80}, {"port": 80, "name": "A"}, {"port": 0, "name": "c", "nodePort": 30000}], "type": "ClusterIP"}),
        ),
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[1].name: Invalid value: \"A\": a lowercase RFC 1123 label must...",
            "spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[2].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[2].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            "spec.ports[1]: Duplicate value: ...",
        ],
    );
    check(
        "v1",
        "Service",
        service(json!({"type": "ExternalName", "externalName": ""})),
        &["spec.externalName: Required value"],
    );
    check(
        "v1",
        "Service",
        service(json!({"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 1}]})),
        &["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
    );
    check(
        "v1",
        "Service",
        json!({"metadata": {"name": "a.b"}, "spec": {"ports": [{"port": 1}]}}),
        &["metadata.name: Invalid value: \"a.b\": must not contain dots"],
    );
    let with_ip = |ip: &str| service(json!({"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 1}]}));
    check_update(
        "v1",
        "Service",
        Part::Main,
        with_ip("10.0.0.2"),
        with_ip("10.0.0.1"),
        &["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"],
    );
}

#[test]
fn the_cluster() {
    check(
        "v1",
        "Namespace",
        json!({"metadata": {"name": "a.b"}}),
        &["metadata.name: Invalid value: \"a.b\": must not contain dots"],
    );
    check(
        "v1",
        "Namespace",
        json!({"spec": {"finalizers": ["mine"]}}),
        &[
            "spec.finalizers: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
        ],
    );
    check(
        "v1",
        "Node",
        json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}, {"effect": "x"}]}}),
        &[
            "metadata.taints[1]: Duplicate value: {\"effect\":\"NoSchedule\",\"key\":\"a\"}: taints must be unique by key and effect pair",
            "metadata.taints[2].key: Invalid value: \"\": name part must be non-empty",
            "metadata.taints[2].key: Invalid value: \"\": name part must consist of...",
            "metadata.taints[2].effect: Unsupported value: \"x\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    check("v1", "ServiceAccount", json!({}), &[]);
    check(
        "v1",
        "Event",
        json!({"involvedObject": {"kind": "Pod", "namespace": "other"}}),
        &["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"],
    );
    check(
        "coordination.k8s.io/v1",
        "Lease",
        json!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}),
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    check(
        "v1",
        "LimitRange",
        json!({"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}),
        &[
            "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
            "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
            "spec.limits[0].default[cpu]: Invalid value: \"1\": min value 2 is greater than default value 1",
        ],
    );
    check(
        "v1",
        "ResourceQuota",
        json!({"spec": {"hard": {"pods": "1500m", "cpu": "-1"}, "scopes": ["BestEffort", "NotBestEffort"]}}),
        &[
            "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: unsupported scope applied to resource",
            "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes",
        ],
    );
}

/// An event in the form in which it is kept.
fn event(more: Value) -> Value {
    let mut event = json!({"involvedObject": {"kind": "Pod", "namespace": "default"}, "reason": "r", "action": "a",
        "reportingComponent": "c", "reportingInstance": "i", "type": "Normal", "eventTime": "2026-01-02T03:04:05.000000Z"});
    for (key, value) in more.as_object().unwrap() {
        event[key] = value.clone();
    }
    event
}

#[test]
fn events() {
    let bare = json!({"reportingComponent": "", "reportingInstance": "", "action": "", "reason": ""});
    for (group, controller) in [("v1", "reportingComponent"), ("events.k8s.io/v1", "reportingController")] {
        check(group, "Event", event(json!({})), &[]);
        check(
            group,
            "Event",
            event(bare.clone()),
            &[
                &format!("{controller}: Required value"),
                &format!("{controller}: Invalid value: \"\": name part must be non-empty"),
                &format!("{controller}: Invalid value: \"\": name part must consist of..."),
                "reportingInstance: Required value",
                "action: Required value",
                "reason: Required value",
            ],
        );
        let long = |n: usize| "x".repeat(n);
        check(
            group,
            "Event",
            event(
                json!({"reportingInstance": long(129), "action": long(129), "reason": long(129), "message": long(1025)}),
            ),
            &[
                "reportingInstance: Invalid value: \"\": can have at most 128 characters",
                "action: Invalid value: \"\": can have at most 128 characters",
                "reason: Invalid value: \"\": can have at most 128 characters",
                "message: Invalid value: \"\": can have at most 1024 characters",
            ],
        );
    }
    // An event with a time may be about what is elsewhere, but not about nowhere.
    check("v1", "Event", event(json!({"involvedObject": {"namespace": "other"}})), &[]);
    let nowhere = json!({"involvedObject": {}, "metadata": {"namespace": "n"}});
    check(
        "v1",
        "Event",
        event(nowhere),
        &["involvedObject.namespace: Invalid value: \"\": does not match event.namespace"],
    );
    let old = json!({"involvedObject": {"namespace": "default"}, "firstTimestamp": "t", "count": 1, "series": {}});
    check("v1", "Event", old.clone(), &[]);
    check(
        "events.k8s.io/v1",
        "Event",
        json!({"involvedObject": {"namespace": "default"}, "firstTimestamp": "t", "lastTimestamp": "t", "count": 1,
            "source": {"component": "c"}, "series": {"count": 1}}),
        &[
            "series.count: Invalid value: \"\": should be at least 2",
            "series.lastObservedTime: Required value",
            "eventTime: Required value",
            "type: Invalid value: \"\": has invalid value: ",
            "firstTimestamp: Invalid value: \"\": needs to be unset",
            "lastTimestamp: Invalid value: \"\": needs to be unset",
            "count: Invalid value: \"\": needs to be unset",
            "source: Invalid value: \"\": needs to be unset",
        ],
    );
}

#[test]
fn events_change_in_their_series_only() {
    let series = json!({"series": {"count": 2, "lastObservedTime": "t"}, "source": {}});
    let group = "events.k8s.io/v1";
    check_update(group, "Event", Part::Main, event(series.clone()), event(json!({})), &[]);
    check_update("v1", "Event", Part::Main, event(json!({"reason": "s"})), event(json!({})), &[]);
    check_update(
        group,
        "Event",
        Part::Main,
        event(json!({"reason": "s", "count": 2, "reportingComponent": "d", "series": {"count": 1}})),
        event(series),
        &[
            "series.count: Invalid value: \"\": should be at least 2",
            "series.lastObservedTime: Required value",
            "reason: Invalid value: \"s\": field is immutable",
            "count: Invalid value: 2: field is immutable",
            "reportingController: Invalid value: \"d\": field is immutable",
        ],
    );
}

#[test]
fn what_metadata_never_changes() {
    let old = json!({"metadata": {"uid": "u", "deletionTimestamp": "t", "finalizers": ["a.b/c"]}});
    let new = json!({"metadata": {"uid": "v", "deletionTimestamp": "t", "finalizers": ["a.b/c", "a.b/d"]}});
    check_update(
        "v1",
        "ConfigMap",
        Part::Main,
        new,
        old,
        &[
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"a.b/d\"}",
            "metadata.uid: Invalid value: \"v\": field is immutable",
        ],
    );
}

#[test]
fn storage() {
    let claim = |size: &str| {
        json!({"spec": {"accessModes": ["ReadWriteOnce"], "volumeName": "v", "resources": {"requests": {"storage": size}}},
        "status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}})
    };
    check("v1", "PersistentVolumeClaim", claim("1Gi"), &[]);
    check(
        "v1",
        "PersistentVolumeClaim",
        json!({"spec": {"resources": {"requests": {"storage": "0"}}}}),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Invalid value: \"0\": must be greater than zero",
        ],
    );
    check_update("v1", "PersistentVolumeClaim", Part::Main, claim("2Gi"), claim("1Gi"), &[]);
    check_update(
        "v1",
        "PersistentVolumeClaim",
        Part::Main,
        claim("1Gi"),
        claim("2Gi"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    let volume = |path: &str| json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": path}}});
    check("v1", "PersistentVolume", volume("/a"), &[]);
    check_update(
        "v1",
        "PersistentVolume",
        Part::Main,
        volume("/b"),
        volume("/a"),
        &["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation..."],
    );
    check("storage.k8s.io/v1", "StorageClass", json!({}), &["provisioner: Required value"]);
}

#[test]
fn access() {
    check(
        "rbac.authorization.k8s.io/v1",
        "Role",
        json!({"metadata": {"name": "a:b"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
        &[],
    );
    check(
        "rbac.authorization.k8s.io/v1",
        "Role",
        json!({"rules": [{"nonResourceURLs": ["/x"], "verbs": []}, {"verbs": ["get"]}]}),
        &[
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
            "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[1].resources: Required value: resource rules must supply at least one resource",
        ],
    );
    let binding = |role: &str| {
        json!({"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "u"}]})
    };
    check("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", binding("r"), &[]);
    check_update(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        Part::Main,
        binding("s"),
        binding("r"),
        &["roleRef: Invalid value: {..."],
    );
}

#[test]
fn the_network() {
    check(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        json!({"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}, {}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]}}),
        &[
            "spec.ingress[0].from[1]: Required value: must specify a peer",
            "spec.ingress[0].from[2].ipBlock.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`",
        ],
    );
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    check(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"spec": {"rules": [{"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
        &[],
    );
    check(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"spec": {"rules": [{"host": "1.2.3.4", "http": {"paths": [{"path": "x", "pathType": "Exact", "backend": {}}]}}]}}),
        &[
            "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
            "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
            "spec.rules[0].http.paths[0].backend: Invalid value: \"\": resource or service backend is required",
        ],
    );
    check(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["::1"]}]}),
        &[
            "endpoints[1].addresses: Invalid value: \"::1\": must be an IPv4 address",
            "endpoints[1].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
        ],
    );
}

#[test]
fn policies() {
    check(
        "policy/v1",
        "PodDisruptionBudget",
        json!({"spec": {"minAvailable": 1, "maxUnavailable": "120%"}}),
        &["spec: Invalid value: {...", "spec.maxUnavailable: Invalid value: \"120%\": must not be greater than 100%"],
    );
    check(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        json!({"spec": {"minReplicas": 3, "maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment"}}}),
        &[
            "spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`",
            "spec.scaleTargetRef.name: Required value",
            "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group",
        ],
    );
    check(
        "scheduling.k8s.io/v1",
        "PriorityClass",
        json!({"value": 2_000_000_000}),
        &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
    );
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        json!({"metadata": {"name": "x"}, "spec": {"group": "g.io", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}}),
        &["metadata.name: Invalid value: \"x\": must be `spec.version+\".\"+spec.group`: \"v1.g.io\""],
    );
    check(
        "admissionregistration.k8s.io/v1",
        "ValidatingWebhookConfiguration",
        json!({"webhooks": [{"name": "a.b.c", "clientConfig": {"url": "http://x"}, "timeoutSeconds": 31}]}),
        &[
            "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
            "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
        ],
    );
    check(
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
        json!({"metadata": {"name": "x"}, "spec": {"group": "g.io", "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
            "status": {"storedVersions": ["v1"]}}),
        &["metadata.name: Invalid value: \"x\": must be spec.names.plural+\".\"+spec.group"],
    );
}

#[test]
fn what_is_only_asked() {
    let check = |api_version: &str, kind: &str, object: Value, expected: &[&str]| {
        compare(&texts(&request(&Gvk::from_api_version(api_version, kind), &object)), expected);
    };
    check(
        "v1",
        "Binding",
        json!({"target": {"kind": "Pod"}}),
        &[
            "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
            "target.name: Required value",
        ],
    );
    check(
        "autoscaling/v1",
        "Scale",
        json!({"spec": {"replicas": -1}}),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        "authentication.k8s.io/v1",
        "TokenRequest",
        json!({"spec": {"expirationSeconds": 5}}),
        &["spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"],
    );
    check(
        "authorization.k8s.io/v1",
        "SubjectAccessReview",
        json!({"spec": {"resourceAttributes": {}}}),
        &["spec.user: Invalid value: \"\": at least one of user or group must be specified"],
    );
    check("authorization.k8s.io/v1", "SelfSubjectAccessReview", json!({"spec": {"nonResourceAttributes": {}}}), &[]);
}

#[test]
fn devices_and_addresses() {
    check(
        "resource.k8s.io/v1",
        "ResourceClaim",
        json!({"spec": {"devices": {"requests": [
        {"name": "a", "exactly": {"deviceClassName": "c"}}, {"name": "a"}], "constraints": [{"requests": ["b"], "matchAttribute": "x/y"}]}}}),
        &[
            "spec.devices.requests[1]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            "spec.devices.requests[1]: Duplicate value: \"a\"",
            "spec.devices.constraints[0].requests[0]: Invalid value: \"b\": must be the name of a request...",
        ],
    );
    check(
        "resource.k8s.io/v1",
        "ResourceSlice",
        json!({"spec": {"driver": "d.io", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}}}),
        &[],
    );
    check("resource.k8s.io/v1", "DeviceClass", json!({"spec": {"selectors": [{"cel": {"expression": "true"}}]}}), &[]);
    check(
        "networking.k8s.io/v1",
        "IPAddress",
        json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "name": "s"}}}),
        &[],
    );
    check(
        "networking.k8s.io/v1",
        "ServiceCIDR",
        json!({"spec": {"cidrs": ["10.0.0.0/24", "10.1.0.0/24"]}}),
        &[
            "spec.cidrs: Invalid value: [\"10.0.0.0/24\",\"10.1.0.0/24\"]: may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ],
    );
    check(
        "storage.k8s.io/v1",
        "CSIStorageCapacity",
        json!({"storageClassName": "s", "capacity": "-1"}),
        &["capacity: Invalid value: \"-1\": must be greater than or equal to 0"],
    );
}

#[test]
fn admission_policies() {
    let rules =
        json!([{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}]);
    check(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        json!({"spec": {"validations": [{"expression": "true"}],
        "matchConstraints": {"resourceRules": rules}}}),
        &[],
    );
    check(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
        json!({"spec": {"variables": [{"name": "a"}]}}),
        &[
            "spec.matchConstraints: Required value",
            "spec.variables[0].expression: Required value: expression is not specified",
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    check(
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
        json!({"spec": {"policyName": "p", "validationActions": ["Deny"]}}),
        &[],
    );
}
