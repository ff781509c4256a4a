//! Rules of the network's kinds, flow control, admission, devices, approvals and volumes, in Kubernetes' own words.

use serde_json::{Value, json};

use super::*;

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
fn what_flow_control_cannot_do_without() {
    let group = "flowcontrol.apiserver.k8s.io/v1";
    let level = |name: &str, spec: Value| json!({"metadata": {"name": name}, "spec": spec});
    let exempt = |lendable: u64| json!({"type": "Exempt", "exempt": {"lendablePercent": lendable}});
    let limited = |shares: u64| json!({"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}}});
    let kind = "PriorityLevelConfiguration";
    check(group, kind, level("exempt", exempt(50)), &[]);
    check(group, kind, level("catch-all", limited(5)), &[]);
    check(
        group,
        kind,
        level("catch-all", limited(6)),
        &[
            "spec: Invalid value: {\"limited\":{\"lendablePercent\":0,\"limitResponse\":{\"type\":\"Reject\"},\"nominalConcurrencyShares\":6},\"type\":\"Limited\"}: spec of 'catch-all' must equal the fixed value",
        ],
    );
    let fault = create(&self::kind(group, kind), &complete(&self::kind(group, kind), level("exempt", limited(5))));
    assert_eq!(
        fault.last().unwrap().detail,
        "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
    );
    let schema = |precedence: u64| {
        json!({"metadata": {"name": "exempt"}, "spec": {"matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": "exempt"},
            "rules": [{"subjects": [{"kind": "Group", "group": {"name": "system:masters"}}],
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}})
    };
    check(group, "FlowSchema", schema(1), &[]);
    let faults = create(&self::kind(group, "FlowSchema"), &schema(2));
    assert_eq!(faults.last().unwrap().detail, "spec of 'exempt' must equal the fixed value");
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
