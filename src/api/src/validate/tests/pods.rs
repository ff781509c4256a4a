//! Rules of pods.

use serde_json::{Value, json};

use super::*;

/// A pod that has one good container, with fields of the specification added.
fn with(spec: Value) -> Value {
    let mut pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

#[track_caller]
fn pod(spec: Value, expected: &[&str]) {
    check("v1", "Pod", with(spec), expected);
}

/// A pod whose container has these fields too.
#[track_caller]
fn container(fields: Value, expected: &[&str]) {
    let mut one = json!({"name": "c", "image": "i"});
    for (key, value) in fields.as_object().unwrap() {
        one[key] = value.clone();
    }
    pod(json!({"containers": [one], "volumes": [{"name": "v", "emptyDir": {}}]}), expected);
}

#[test]
fn names() {
    check(
        "v1",
        "Pod",
        json!({"metadata": {"name": "Bad_Name"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        &["metadata.name: Invalid value: \"Bad_Name\": a lowercase RFC 1123 subdomain must consist of..."],
    );
    pod(json!({"containers": []}), &["spec.containers: Required value"]);
    pod(
        json!({"containers": [{"name": "A", "image": ""}, {"image": "i"}, {"name": "c", "image": " i"}, {"name": "c", "image": "i"}]}),
        &[
            "spec.containers[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must...",
            "spec.containers[0].image: Required value",
            "spec.containers[1].name: Required value",
            "spec.containers[2].image: Invalid value: \" i\": must not have leading or trailing whitespace",
            "spec.containers[3].name: Duplicate value: \"c\"",
        ],
    );
    check(
        "v1",
        "Pod",
        json!({"metadata": {"labels": {"a b": "c"}, "annotations": {"/": ""}, "finalizers": ["x y"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}, "spec": {"containers": [{"name": "c", "image": "i"}]}}),
        &[
            "metadata.labels: Invalid value: \"a b\": name part must consist of...",
            "metadata.annotations: Invalid value: \"/\": prefix part must be non-empty",
            "metadata.annotations: Invalid value: \"/\": name part must be non-empty",
            "metadata.annotations: Invalid value: \"/\": name part must consist of...",
            "metadata.ownerReferences[0].uid: Required value: must not be empty",
            "metadata.finalizers: Invalid value: \"x y\": name part must consist of...",
        ],
    );
}

#[test]
fn ports() {
    container(json!({"ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 443, "hostPort": 443}]}), &[]);
    container(
        json!({"ports": [{"containerPort": 0}, {"containerPort": 70000}, {"containerPort": 1, "name": "HTTP"}, {"containerPort": 2, "protocol": "tcp"}]}),
        &[
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[0].ports[2].name: Invalid value: \"HTTP\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.containers[0].ports[2].name: Invalid value: \"HTTP\": must contain at least one letter (a-z)",
            "spec.containers[0].ports[3].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ],
    );
    container(
        json!({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}),
        &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\""],
    );
}

#[test]
fn environment() {
    container(
        json!({"env": [{"name": "A", "value": "b"}, {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}}]}),
        &[],
    );
    container(
        json!({"env": [{"value": "b"}, {"name": "a=b"}, {"name": "B", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}},
            {"name": "C", "valueFrom": {}}, {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "m"}}}]}),
        &[
            "spec.containers[0].env[0].name: Required value",
            "spec.containers[0].env[1].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            "spec.containers[0].env[2].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", ...",
            "spec.containers[0].env[2].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            "spec.containers[0].env[3].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, ...",
            "spec.containers[0].env[4].valueFrom.configMapKeyRef.key: Required value",
        ],
    );
    container(
        json!({"envFrom": [{"prefix": "A"}, {"secretRef": {"name": "S"}}]}),
        &[
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
            "spec.containers[0].envFrom[1].secretRef.name: Invalid value: \"S\": a lowercase RFC 1123 subdomain...",
        ],
    );
}

#[test]
fn probes_and_hooks() {
    container(
        json!({"livenessProbe": {"httpGet": {"path": "/", "port": 80}}, "readinessProbe": {"tcpSocket": {"port": "web"}, "successThreshold": 3},
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}),
        &[],
    );
    container(
        json!({"livenessProbe": {"successThreshold": 2, "exec": {"command": ["x"]}, "httpGet": {"path": "/", "port": 80}},
            "readinessProbe": {"terminationGracePeriodSeconds": 5, "grpc": {"port": 0}}, "startupProbe": {"periodSeconds": -1},
            "lifecycle": {"postStart": {"exec": {}}, "preStop": {"sleep": {"seconds": 31}}}}),
        &[
            "spec.containers[0].lifecycle.postStart.exec.command: Required value",
            "spec.containers[0].lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)",
            "spec.containers[0].livenessProbe.httpGet: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.containers[0].readinessProbe.grpc.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.containers[0].readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
            "spec.containers[0].startupProbe: Required value: must specify a handler type",
            "spec.containers[0].startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn resources() {
    container(json!({"resources": {"limits": {"cpu": "1", "example.com/gpu": 1}, "requests": {"cpu": "500m"}}}), &[]);
    container(
        json!({"resources": {"limits": {"cpu": "1", "foo": "1"}, "requests": {"cpu": "2", "memory": "-1", "example.com/gpu": "1"}}}),
        &[
            "spec.containers[0].resources.limits[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.limits[foo]: Invalid value: \"foo\": must be a standard resource for containers",
            "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource type or fully qualified",
            "spec.containers[0].resources.requests[foo]: Invalid value: \"foo\": must be a standard resource for containers",
            "spec.containers[0].resources.requests[memory]: Invalid value: \"-1\": must be greater than or equal to 0",
        ],
    );
}

#[test]
fn volumes() {
    pod(
        json!({"serviceAccountName": "default", "volumes": [{"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}, {"name": "b", "configMap": {"name": "m"}},
            {"name": "s", "secret": {"secretName": "s", "items": [{"key": "k", "path": "a/b", "mode": 256}]}},
            {"name": "h", "hostPath": {"path": "/x", "type": "Directory"}}, {"name": "p", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "j", "projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}}]}},
            {"name": "d", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}]}),
        &[],
    );
    pod(
        json!({"volumes": [{"name": "a"}, {"name": "b", "emptyDir": {}, "hostPath": {"path": "/"}}, {"name": "A_", "emptyDir": {}},
            {"name": "b", "emptyDir": {}}, {"name": "s", "secret": {"defaultMode": 512, "items": [{"key": "k", "path": "../b"}]}},
            {"name": "h", "hostPath": {"path": "/x/../y", "type": "Door"}}, {"name": "p", "persistentVolumeClaim": {}}, {"emptyDir": {}}]}),
        &[
            "spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[2].name: Invalid value: \"A_\": a lowercase RFC 1123 label must...",
            "spec.volumes[4].secret.secretName: Required value",
            "spec.volumes[4].secret.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            "spec.volumes[4].secret.items[0].path: Invalid value: \"../b\": must not contain '..'",
            "spec.volumes[5].hostPath.path: Invalid value: \"/x/../y\": must not contain '..'",
            "spec.volumes[5].hostPath.type: Unsupported value: \"Door\": supported values: \"\", \"BlockDevice\", ...",
            "spec.volumes[6].persistentVolumeClaim.claimName: Required value",
            "spec.volumes[7].name: Required value",
        ],
    );
}

#[test]
fn mounts() {
    container(
        json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "x"}, {"name": "v", "mountPath": "/b"}]}),
        &[],
    );
    container(
        json!({"volumeMounts": [{"name": "w", "mountPath": "/a"}, {"name": "v", "mountPath": "/a", "subPath": "/x", "subPathExpr": "y"},
            {"name": "v", "mountPropagation": "Bidirectional"}], "volumeDevices": [{"name": "v", "devicePath": "/d/../e"}]}),
        &[
            "spec.containers[0].volumeMounts[0].name: Not found: \"w\"",
            "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            "spec.containers[0].volumeMounts[1].name: Invalid value: \"v\": must not already exist in volumeDevices",
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"/x\": must be a relative path",
            "spec.containers[0].volumeMounts[1].subPathExpr: Invalid value: \"y\": subPathExpr and subPath are mutually exclusive",
            "spec.containers[0].volumeMounts[2].mountPath: Required value",
            "spec.containers[0].volumeMounts[2].name: Invalid value: \"v\": must not already exist in volumeDevices",
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
            "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            "spec.containers[0].volumeDevices[0].devicePath: Invalid value: \"/d/../e\": can not contain backsteps ('..')",
            "spec.containers[0].volumeDevices[0].name: Invalid value: \"v\": must not already exist in volumeMounts",
        ],
    );
}

#[test]
fn security() {
    pod(
        json!({"shareProcessNamespace": true, "hostPID": true, "securityContext": {"runAsUser": -1, "sysctls": [{"name": "a b"}],
            "seccompProfile": {"type": "Localhost"}, "fsGroupChangePolicy": "x"}}),
        &[
            "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            "spec.securityContext.sysctls[0].name: Invalid value: \"a b\": must have at most 253 characters and match regex ...",
            "spec.securityContext.fsGroupChangePolicy: Unsupported value: \"x\": supported values: \"Always\", \"OnRootMismatch\"",
            "spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ],
    );
    container(
        json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}}),
        &[
            "spec.containers[0].securityContext: Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ],
    );
}

#[test]
fn placement() {
    pod(
        json!({"tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute", "tolerationSeconds": 3}],
            "nodeSelector": {"a": "b"}, "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}},
              "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": {"topologyKey": "h"}}]}}}),
        &[],
    );
    pod(
        json!({"tolerations": [{"key": "", "operator": "Equal"}, {"key": "a", "operator": "Exists", "value": "b"}, {"key": "a", "tolerationSeconds": 3},
            {"key": "a", "operator": "Is", "effect": "Go"}]}),
        &[
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            "spec.tolerations[1].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
            "spec.tolerations[2].effect: Invalid value: \"\": effect must be 'NoExecute' when `tolerationSeconds` is set",
            "spec.tolerations[3].operator: Unsupported value: \"Is\": supported values: \"Equal\", \"Exists\"",
            "spec.tolerations[3].effect: Unsupported value: \"Go\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ],
    );
    pod(
        json!({"topologySpreadConstraints": [{"maxSkew": 0, "whenUnsatisfiable": "x"}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
              "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 101, "preference": {"matchExpressions": [{"key": "a", "operator": "In"}]}}]},
              "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchExpressions": [{"key": "a", "operator": "x"}]}}]}}}),
        &[
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100",
            "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].operator: Invalid value: \"x\": not a valid selector operator",
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must be non-empty",
            "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Invalid value: \"\": name part must consist...",
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
            "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: \"x\": supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
        ],
    );
}

#[test]
fn the_rest_of_the_specification() {
    pod(
        json!({"dnsPolicy": "None", "restartPolicy": "Sometimes", "activeDeadlineSeconds": 0, "hostAliases": [{"ip": "x", "hostnames": ["A"]}],
            "hostname": "a.b", "schedulingGates": [{"name": "g"}], "nodeName": "n"}),
        &[
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            "spec.hostname: Invalid value: \"a.b\": must not contain dots",
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            "spec.hostAliases[0].hostnames[0]: Invalid value: \"A\": a lowercase RFC 1123 subdomain...",
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
        ],
    );
    pod(
        json!({"ephemeralContainers": [{"name": "e", "image": "i"}]}),
        &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
    );
    pod(
        json!({"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}},
            {"name": "s", "image": "i", "restartPolicy": "Always", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
        &[
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ],
    );
}

#[test]
fn updates() {
    let old = with(json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
    let changed = |path: &str, value: Value| {
        let mut new = old.clone();
        *new.pointer_mut(path).unwrap() = value;
        new
    };
    let update = |new: Value, expected: &[&str]| check_update("v1", "Pod", Part::Main, new, old.clone(), expected);
    update(changed("/spec/containers/0/image", json!("j")), &[]);
    let words = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                 `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                 `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n";
    update(
        changed("/spec/containers/0/name", json!("d")),
        &[&format!("spec: Forbidden: {words}- \"containers\": ...")],
    );
    update(
        changed("/spec/containers", json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}])),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
    update(
        changed("/spec/tolerations", json!([{"key": "b", "operator": "Exists"}])),
        &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
    );
    update(
        changed("/spec/tolerations", json!([{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}])),
        &[],
    );
    let ephemeral = |list: Value| with(json!({"ephemeralContainers": list}));
    check_update(
        "v1",
        "Pod",
        Part::EphemeralContainers,
        ephemeral(
            json!([{"name": "c", "image": "i", "targetContainerName": "x", "resources": {"limits": {"cpu": "1"}}}]),
        ),
        ephemeral(json!([{"name": "e", "image": "i"}])),
        &[
            "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
            "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n",
        ],
    );
}
