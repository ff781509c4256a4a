//! Rules of sets of pods, jobs, scaling, the network's kinds, flow control and admission, in Kubernetes' own words.

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

fn job(spec: Value) -> Value {
    let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (key, value) in spec.as_object().unwrap() {
        job["spec"][key] = value.clone();
    }
    crate::strategy::prepare_create(&kind("batch/v1", "Job"), &mut job);
    job
}

#[track_caller]
fn jobs(spec: Value, expected: &[&str]) {
    check("batch/v1", "Job", job(spec), expected);
}

#[test]
fn what_jobs_say() {
    jobs(
        json!({"maxFailedIndexes": 1, "managedBy": "me"}),
        &[
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        ],
    );
    jobs(
        json!({"completionMode": "Indexed", "completions": 200_000, "parallelism": 20_000, "backoffLimitPerIndex": 1}),
        &[
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
        ],
    );
    jobs(
        json!({"podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "containerName": "z", "values": [3, 0, 0]}}, {"action": "x"}]}}),
        &[
            "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"z\": must be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 0",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,0]: must be ordered",
            "spec.podFailurePolicy.rules[1].action: Unsupported value: \"x\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    );
    jobs(
        json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}, {"succeededIndexes": "2,1"}, {}]}}),
        &[
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
            "spec.successPolicy.rules[1].succeededIndexes: Invalid value: \"2,1\": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1",
            "spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        ],
    );
    let mut long = job(json!({"completionMode": "Indexed", "completions": 11, "manualSelector": true,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}));
    meta::set_name(&mut long, "not.a.label");
    check(
        "batch/v1",
        "Job",
        long,
        &[
            "metadata.name: Invalid value: \"not.a.label\": will not able to create pod with invalid DNS label: not.a.label-10",
        ],
    );
    let mut foreign = job(json!({}));
    foreign["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("other");
    check("batch/v1", "Job", foreign, &["spec.template.metadata.labels[job-name]: Invalid value: {..."]);
}

#[test]
fn what_of_jobs_changes() {
    let change = |old: Value, new: Value, expected: &[&str]| {
        check_update("batch/v1", "Job", Part::Main, job(new), job(old), expected);
    };
    let pods = |more: Value| {
        let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"spec": spec})
    };
    let indexed = |completions: i64, parallelism: i64| json!({"completionMode": "Indexed", "completions": completions, "parallelism": parallelism});
    change(indexed(3, 3), indexed(4, 4), &[]);
    change(
        indexed(3, 3),
        indexed(4, 3),
        &["spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"],
    );
    let needs = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]);
    change(
        json!({"suspend": true}),
        json!({"suspend": true, "template": pods(json!({"nodeSelector": {"a": "b"}, "containers": needs, "affinity": {"nodeAffinity": {}}}))}),
        &[],
    );
    change(
        json!({}),
        json!({"template": pods(json!({"nodeSelector": {"a": "b"}}))}),
        &["spec.template: Invalid value: {..."],
    );
    change(
        json!({"suspend": true}),
        json!({"suspend": true, "template": pods(json!({"hostNetwork": true}))}),
        &["spec.template.spec: Invalid value: {..."],
    );
}

#[track_caller]
fn job_status(old: Value, new: Value, expected: &[&str]) {
    let of = |status: Value| {
        let mut job = job(json!({}));
        job["status"] = status;
        job
    };
    check_update("batch/v1", "Job", Part::Status, of(new), of(old), expected);
}

#[test]
fn how_jobs_end() {
    let when = "2024-01-02T03:04:05Z";
    let is = |kind: &str| json!({"type": kind, "status": "True"});
    job_status(
        json!({"active": 1, "startTime": when}),
        json!({"startTime": when, "completionTime": when, "succeeded": 1, "conditions": [is("SuccessCriteriaMet"), is("Complete")]}),
        &[],
    );
    job_status(
        json!({}),
        json!({"active": 1, "conditions": [is("Complete")]}),
        &[
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
        ],
    );
    job_status(
        json!({"failed": 2, "startTime": when, "conditions": [is("FailureTarget"), is("Failed")]}),
        json!({"failed": 1, "startTime": when, "ready": 1}),
        &[
            "status.ready: Invalid value: 1: cannot set more ready pods than active",
            "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
            "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
        ],
    );
    job_status(
        json!({}),
        json!({"completedIndexes": "0", "failedIndexes": "1", "uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a", ""]}}),
        &[
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            "status.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty",
            "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
            "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ],
    );
}

#[test]
fn schedules() {
    let cron = |more: Value| {
        let mut spec = json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"spec": spec})
    };
    check("batch/v1", "CronJob", cron(json!({"timeZone": "America/Argentina/Buenos_Aires"})), &[]);
    check(
        "batch/v1",
        "CronJob",
        cron(json!({"timeZone": "a//b", "schedule": "TZ=UTC * * * * *"})),
        &[
            "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            "spec.timeZone: Invalid value: \"a//b\": unknown time zone a//b",
        ],
    );
    check_update(
        "batch/v1",
        "CronJob",
        Part::Main,
        cron(json!({"schedule": "TZ=UTC 1 * * * *"})),
        cron(json!({"schedule": "TZ=UTC * * * * *"})),
        &[],
    );
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

#[test]
fn the_network() {
    let ingress =
        |spec: Value| json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "a"}}, "spec": spec});
    let backend = json!({"service": {"name": "1s", "port": {"number": 80}}});
    check("networking.k8s.io/v1", "Ingress", ingress(json!({"ingressClassName": "a", "defaultBackend": backend})), &[]);
    check(
        "networking.k8s.io/v1",
        "Ingress",
        ingress(
            json!({"ingressClassName": "b", "defaultBackend": {"service": {"name": "s", "port": {}}}, "rules": [{"host": "*.a", "http": {"paths": [{"backend": backend}]}}]}),
        ),
        &[
            "spec.defaultBackend: Required value: port name or number is required",
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            "annotations.kubernetes.io/ingress.class: Invalid value: \"a\": must match `ingressClassName` when both are specified",
        ],
    );
    check(
        "networking.k8s.io/v1",
        "IngressClass",
        json!({"spec": {"controller": "x", "parameters": {"kind": "K", "name": "n", "scope": "Namespace"}}}),
        &[
            "spec.controller: Invalid value: \"x\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ],
    );
    check(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        json!({"spec": {"podSelector": {}, "policyTypes": ["x"], "egress": [{"ports": [{"endPort": 3}, {"port": 5, "endPort": 4}]}]}}),
        &[
            "spec.egress[0].ports[0].endPort: Invalid value: 3: may not be specified when `port` is not specified",
            "spec.egress[0].ports[1].endPort: Invalid value: 5: must be greater than or equal to `port`",
            "spec.policyTypes[0]: Unsupported value: \"x\": supported values: \"Ingress\", \"Egress\"",
        ],
    );
    check(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        json!({"addressType": "IPv4", "ports": [{"name": "A"}], "endpoints": [{"addresses": ["127.0.0.1", "::1"], "hints": {"forZones": [{"name": "a"}, {"name": "a"}]}}]}),
        &[
            "ports[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist...",
            "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "endpoints[0].addresses: Invalid value: \"::1\": must be an IPv4 address",
            "endpoints[0].addresses[1]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
            "endpoints[0].hints.forZones[1].name: Duplicate value: \"a\"",
        ],
    );
    let cidr = |list: Value| json!({"spec": {"cidrs": list}});
    check_update(
        "networking.k8s.io/v1",
        "ServiceCIDR",
        Part::Main,
        cidr(json!(["10.0.0.0/8", "fd00::/64"])),
        cidr(json!(["10.0.0.0/8"])),
        &[],
    );
    check_update(
        "networking.k8s.io/v1",
        "ServiceCIDR",
        Part::Main,
        cidr(json!(["11.0.0.0/8"])),
        cidr(json!(["10.0.0.0/8"])),
        &["spec.cidrs[0]: Invalid value: \"11.0.0.0/8\": field is immutable"],
    );
}

#[test]
fn flow_control() {
    check(
        "flowcontrol.apiserver.k8s.io/v1",
        "FlowSchema",
        json!({"spec": {"matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "l"}, "rules": [{
            "subjects": [{"kind": "User", "group": {"name": "g"}}, {"kind": "x"}],
            "resourceRules": [{"verbs": ["x"], "apiGroups": ["*", "a"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["a", "/a*"]}]}]}}),
        &[
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
            "spec.rules[0].subjects[1].kind: Unsupported value: \"x\": supported values: \"Group\", \"ServiceAccount\", \"User\"",
            "spec.rules[0].resourceRules[0].verbs: Unsupported value: [\"x\"]: supported values: \"create\", \"delete\", \"deletecollection\", \"get\", \"list\", \"patch\", \"proxy\", \"update\", \"watch\"",
            "spec.rules[0].resourceRules[0].apiGroups: Invalid value: [\"*\",\"a\"]: if '*' is present, must not specify other api groups",
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[0]: Invalid value: \"a\": must start with slash",
            "spec.rules[0].nonResourceRules[0].nonResourceURLs[1]: Invalid value: \"/a*\": wildcard can only do suffix matching",
        ],
    );
    check(
        "flowcontrol.apiserver.k8s.io/v1",
        "PriorityLevelConfiguration",
        json!({"spec": {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {"type": "Queue", "queuing": {"queues": 1024, "handSize": 8, "queueLengthLimit": 1}}}}}),
        &[
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize 1024 and handSize 8 should not be greater than 60",
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ],
    );
}

#[test]
fn admission() {
    let hooks = |more: Value| {
        let mut hook = json!({"name": "a.b.c", "clientConfig": {"url": "https://a/b"}, "sideEffects": "None", "admissionReviewVersions": ["v1"]});
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        json!({"webhooks": [hook]})
    };
    let group = "admissionregistration.k8s.io/v1";
    check(
        group,
        "ValidatingWebhookConfiguration",
        hooks(
            json!({"admissionReviewVersions": ["v2", "v2"], "sideEffects": "Some", "clientConfig": {"service": {"namespace": "n", "name": "s", "path": "a//b", "port": 0}},
            "rules": [{"operations": ["*", "CREATE"], "apiGroups": [""], "apiVersions": [""], "resources": ["pods", "*", "pods/*", "pods/status"]}]}),
        ),
        &[
            "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations",
            "webhooks[0].rules[0].apiVersions[0]: Required value",
            "webhooks[0].rules[0].resources[3]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status",
            "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
            "webhooks[0].clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive",
            "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": must start with a '/'",
            "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[0] may not be empty",
            "webhooks[0].clientConfig.service.path: Invalid value: \"a//b\": segment[1] may not be empty",
            "webhooks[0].admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
            "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
        ],
    );
    let lax = hooks(json!({"sideEffects": "Unknown", "admissionReviewVersions": ["v2"]}));
    let mut more = lax.clone();
    more["webhooks"][0]["timeoutSeconds"] = json!(5);
    check_update(group, "MutatingWebhookConfiguration", Part::Main, more, lax, &[]);
    check(
        group,
        "ValidatingAdmissionPolicy",
        json!({"spec": {"matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "resourceNames": ["a", "a"]}]},
            "paramKind": {"apiVersion": "a/b/c", "kind": "K_"}, "variables": [{"name": "for", "expression": "1"}],
            "validations": [{"expression": "true", "message": "a\nb", "reason": "x"}]}}),
        &[
            "spec.paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "spec.paramKind.kind: Invalid value: \"K_\": may have mixed case, but should otherwise match: a DNS-1035 label must consist...",
            "spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: \"a\"",
            "spec.variables[0].name: Invalid value: \"for\": must be a valid CEL identifier",
            "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
            "spec.validations[0].reason: Unsupported value: \"x\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
        ],
    );
}

#[test]
fn names_that_become_hosts() {
    let mut set = with("StatefulSet", json!({}));
    meta::set_name(&mut set, "a.b");
    check("apps/v1", "StatefulSet", set, &["metadata.name: Invalid value: \"a.b\": must not contain dots"]);
}

#[test]
fn devices() {
    let claim = |devices: Value| json!({"spec": {"devices": devices}});
    let group = "resource.k8s.io/v1";
    check(
        group,
        "ResourceClaim",
        claim(json!({"requests": [
            {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "All", "count": 2,
                "tolerations": [{"operator": "Exists", "value": "v"}, {"key": "k", "effect": "x"}]}},
            {"name": "b", "firstAvailable": [{"name": "s", "deviceClassName": "c"}, {"name": "s", "deviceClassName": ""}]},
        ], "constraints": [{"requests": ["b/s", "b/t"], "matchAttribute": "x"}], "config": [{"opaque": {"driver": "d", "parameters": 1}}]})),
        &[
            "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
            "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`",
            "spec.devices.requests[0].exactly.tolerations[1].effect: Unsupported value: \"x\": supported values: \"NoExecute\", \"NoSchedule\", \"None\"",
            "spec.devices.requests[1].firstAvailable[1].deviceClassName: Required value",
            "spec.devices.requests[1].firstAvailable[1]: Duplicate value: \"s\"",
            "spec.devices.constraints[0].requests[1]: Invalid value: \"b/t\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
            "spec.devices.constraints[0].matchAttribute: Invalid value: \"x\": a fully qualified name must be a domain and a name separated by a slash",
            "spec.devices.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid JSON object",
        ],
    );
    let request = json!({"requests": [{"name": "a", "exactly": {"deviceClassName": "c"}}]});
    check_update(
        group,
        "ResourceClaim",
        Part::Main,
        claim(json!({})),
        claim(request.clone()),
        &["spec: Invalid value: {..."],
    );
    let with_status = |status: Value| json!({"spec": {"devices": request}, "status": status});
    check_update(
        group,
        "ResourceClaim",
        Part::Status,
        with_status(
            json!({"reservedFor": [{"resource": "pods", "name": "p"}], "devices": [{"driver": "d", "pool": "p", "device": "x"}]}),
        ),
        with_status(json!({})),
        &[
            "status.reservedFor[0].uid: Required value",
            "status.devices[0]: Invalid value: \"d/p/x\": must be an allocated device in the claim",
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set",
        ],
    );
    check(
        group,
        "ResourceSlice",
        json!({"spec": {"driver": "d", "nodeName": "n", "allNodes": true, "pool": {"name": "p", "generation": -1, "resourceSliceCount": 0},
            "devices": [{"name": "A", "attributes": {"a": {}, "x/": {"bool": true}, "v": {"version": "1.2"}}, "bindingConditions": ["c"]}]}}),
        &[
            "spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero",
            "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
            "spec: Invalid value: \"{`nodeName`, `allNodes`}\": exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set",
            "spec.devices[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist...",
            "spec.devices[0].attributes[a]: Invalid value: \"\": exactly one value must be specified",
            "spec.devices[0].attributes[v].version: Invalid value: \"1.2\": must be a string compatible with semver.org spec 2.0.0",
            "spec.devices[0].attributes: Invalid value: \"\": the name must not be empty",
            "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use bindingConditions",
        ],
    );
}

#[test]
fn approvals() {
    let request =
        |conditions: Value| json!({"metadata": {"name": "r"}, "spec": {}, "status": {"conditions": conditions}});
    let approved = json!({"type": "Approved", "status": "True"});
    check_update(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        Part::Approval,
        request(json!([approved, {"type": "Denied", "status": "False"}, {"type": ""}])),
        request(json!([])),
        &[
            "status.conditions[1].status: Unsupported value: \"False\": supported values: \"True\"",
            "status.conditions: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
            "status.conditions[2].type: Required value",
            "status.conditions[2].status: Required value",
        ],
    );
    check_update(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        Part::Status,
        request(json!([])),
        request(json!([approved])),
        &["status.conditions: Forbidden: updates may not remove a condition of type \"Approved\""],
    );
    check_update(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        Part::Status,
        request(json!([{"type": "Denied", "status": "True"}])),
        request(json!([])),
        &["status.conditions: Forbidden: updates may not add a condition of type \"Denied\""],
    );
    check(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        json!({"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]}),
        &[],
    );
}

#[test]
fn a_volume_stays_where_it_is() {
    let volume = |key: &str, value: &str| {
        let term = json!({"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]});
        json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/v"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}})
    };
    let (beta, now) = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    check_update("v1", "PersistentVolume", Part::Main, volume(now, "a"), volume(beta, "a"), &[]);
    check_update(
        "v1",
        "PersistentVolume",
        Part::Main,
        volume(now, "b"),
        volume(beta, "a"),
        &["nodeAffinity: Invalid value: {..."],
    );
}
