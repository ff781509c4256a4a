//! Rules of kinds of alpha and beta versions, row by row.

use serde_json::{Value, json};

use super::*;

const CA: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBcDCCARWgAwIBAgIUWkJsKEm2ePCyV2eyMkBYYFSXr3YwCgYIKoZIzj0EAwIw\n\
    DDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxODQ1NTBaGA8yMTI2MTEwNjE4NDU1MFow\n\
    DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABJO5rvnqelXq\n\
    Neqyij8ZqibNMV/AYwpAFCtaDaxCO7C3Xn8bQ32231nBUXFTD0W1QC9WgP4XrCiF\n\
    BmBtWne6enijUzBRMB0GA1UdDgQWBBQjfH+Gy1wu2bZJYoxjZ6N17ODWeDAfBgNV\n\
    HSMEGDAWgBQjfH+Gy1wu2bZJYoxjZ6N17ODWeDAPBgNVHRMBAf8EBTADAQH/MAoG\n\
    CCqGSM49BAMCA0kAMEYCIQCV3xu3B5gyqczIRfcxjvBSf6XErvF87njFzaz2ib2w\n\
    fwIhAJNSLmBB/jvIP+DbRsrAKEtCjyNDzzabik/y2BNZ2Fer\n\
    -----END CERTIFICATE-----\n";
const LEAF: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIBbTCCARKgAwIBAgIULcH4r4BLhRjcvr+j9D6kb4Q6m6cwCgYIKoZIzj0EAwIw\n\
    DDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxODQ1NTBaGA8yMTI2MTEwNjE4NDU1MFow\n\
    DDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOFU8I9s4FYr\n\
    aOrW3qsIJPmMUaP/D/WafMosIB64g4FTnY/iinib0R9hrLhJIJoTytHi14KcjTUK\n\
    oEVYIYBzZp6jUDBOMB0GA1UdDgQWBBRDz5tLdfFFxcso0CbOGNJzKP9LGjAfBgNV\n\
    HSMEGDAWgBRDz5tLdfFFxcso0CbOGNJzKP9LGjAMBgNVHRMBAf8EAjAAMAoGCCqG\n\
    SM49BAMCA0kAMEYCIQDh8CYYKp0sOeRM0PGaTfbtwdCmD4de+DTb2tJZ4dDvAwIh\n\
    AMDcOti5iboIi8LU5mFlo9tJcYH9QxyGzlfB6XKrANa+\n\
    -----END CERTIFICATE-----\n";

#[test]
fn trust_bundles() {
    #[track_caller]
    fn bundle(name: &str, signer: &str, text: &str, expected: &[&str]) {
        let spec = json!({"signerName": signer, "trustBundle": text});
        check(
            "certificates.k8s.io/v1beta1",
            "ClusterTrustBundle",
            json!({"metadata": {"name": name}, "spec": spec}),
            expected,
        );
    }
    bundle("x", "", CA, &[]);
    bundle("a.example:b:x", "a.example/b", CA, &[]);
    bundle(
        "a:x",
        "",
        CA,
        &[
            "metadata.name: Invalid value: \"a:x\": ClusterTrustBundle without signer name must not have \":\" in its name",
        ],
    );
    bundle(
        "x",
        "a.example/b",
        CA,
        &[
            "metadata.name: Invalid value: \"x\": ClusterTrustBundle for signerName a.example/b must be named with prefix a.example:b:",
        ],
    );
    bundle(
        "x",
        "",
        "",
        &["spec.trustBundle: Invalid value: \"<value omitted>\": at least one trust anchor must be provided"],
    );
    bundle(
        "x",
        "",
        LEAF,
        &["spec.trustBundle: Invalid value: \"<value omitted>\": entry 0 does not have the CA bit set"],
    );
    bundle(
        "x",
        "",
        &format!("{CA}{CA}"),
        &["spec.trustBundle: Invalid value: \"<value omitted>\": duplicate trust anchor (indices [0 1])"],
    );
    let other = CA.replace("CERTIFICATE", "PUBLIC KEY");
    bundle(
        "x",
        "",
        &other,
        &["spec.trustBundle: Invalid value: \"<value omitted>\": entry 0 has bad block type: PUBLIC KEY"],
    );
    let noise = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    bundle(
        "x",
        "",
        &format!("{CA}{noise}"),
        &["spec.trustBundle: Invalid value: \"<value omitted>\": entry 1 does not parse as X.509"],
    );
    check_update(
        "certificates.k8s.io/v1beta1",
        "ClusterTrustBundle",
        Part::Main,
        json!({"metadata": {"name": "a.example:b:x"}, "spec": {"signerName": "a.example/b", "trustBundle": LEAF}}),
        json!({"metadata": {"name": "a.example:b:x"}, "spec": {"signerName": "a.example/c", "trustBundle": LEAF}}),
        &["spec.signerName: Invalid value: \"a.example/b\": field is immutable"],
    );
}

fn request(change: impl FnOnce(&mut Value)) -> Value {
    let mut spec = json!({"signerName": "a.example/b", "podName": "p", "podUID": "1", "serviceAccountName": "s",
        "serviceAccountUID": "2", "nodeName": "n", "nodeUID": "3", "maxExpirationSeconds": 86400,
        "stubPKCS10Request": "MAA="});
    change(&mut spec);
    json!({"spec": spec})
}

#[test]
fn certificates_of_pods() {
    #[track_caller]
    fn row(change: impl FnOnce(&mut Value), expected: &[&str]) {
        check("certificates.k8s.io/v1beta1", "PodCertificateRequest", request(change), expected);
    }
    row(|_| (), &[]);
    row(|spec| spec["podUID"] = json!(""), &["spec.podUID: Invalid value: \"\": must not be empty"]);
    row(|spec| spec["nodeUID"] = json!("x".repeat(129)), &["spec.nodeUID: Too long: may not be more than 128 bytes"]);
    row(
        |spec| spec["maxExpirationSeconds"] = json!(60),
        &["spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]"],
    );
    row(
        |spec| {
            spec["signerName"] = json!("kubernetes.io/kube-apiserver-client-pod");
            spec["maxExpirationSeconds"] = json!(86401);
        },
        &["spec.maxExpirationSeconds: Invalid value: 86401: must be in the range [3600, 86400]"],
    );
    row(
        |spec| spec["stubPKCS10Request"] = json!("AAAA"),
        &["spec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR"],
    );
    row(
        |spec| spec["pkixPublicKey"] = json!("MAA="),
        &["spec: Invalid value: exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"],
    );
    row(
        |spec| spec["unverifiedUserAnnotations"] = json!({"a": "b", "c.d/e": "f"}),
        &[
            "spec.unverifiedUserAnnotations: Invalid value: \"a\": must be a domain-prefixed key (such as \"acme.io/foo\")",
        ],
    );
}

#[test]
fn a_certificate_of_a_pod_ends_once() {
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Because", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    #[track_caller]
    fn row(new: Value, old: Value, expected: &[&str]) {
        let with = |status| {
            let mut object = request(|_| ());
            object["status"] = status;
            object
        };
        check_update(
            "certificates.k8s.io/v1beta1",
            "PodCertificateRequest",
            Part::Status,
            with(new),
            with(old),
            expected,
        );
    }
    let ended = |kind| json!({"conditions": [condition(kind)]});
    row(ended("Denied"), json!({}), &[]);
    row(
        ended("Failed"),
        ended("Denied"),
        &["status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"],
    );
    row(
        json!({"conditions": [condition("Denied")], "certificateChain": CA}),
        json!({}),
        &[
            "status: Invalid value: non-condition status fields must be empty when denying or failing the PodCertificateRequest",
        ],
    );
    row(
        json!({"notAfter": "2026-01-01T00:00:00Z"}),
        json!({}),
        &["status: Invalid value: status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\""],
    );
    row(
        json!({"conditions": [condition("Odd")]}),
        json!({}),
        &["status.conditions[0].type: Unsupported value: \"Odd\"..."],
    );
    row(
        ended("Issued"),
        json!({}),
        &[
            "status.certificateChain: Invalid value: \"\": issued certificate chain must contain at least one certificate",
        ],
    );
    let times = json!({"conditions": [condition("Issued")], "certificateChain": LEAF, "notBefore": "2026-01-01T00:00:00Z",
        "notAfter": "2026-01-02T00:00:00Z", "beginRefreshAt": "2026-01-01T12:00:00Z"});
    row(times, json!({}), &[]);
}

#[test]
fn candidates_and_versions() {
    let candidate = |spec: Value, expected: &[&str]| {
        check("coordination.k8s.io/v1beta1", "LeaseCandidate", json!({"spec": spec}), expected)
    };
    candidate(
        json!({"leaseName": "l", "binaryVersion": "1.36.0", "emulationVersion": "1.35.0", "strategy": "OldestEmulationVersion"}),
        &[],
    );
    candidate(json!({"leaseName": "l", "binaryVersion": "1.36.0", "strategy": "a.example/b"}), &[]);
    candidate(
        json!({"binaryVersion": "1", "strategy": "Odd"}),
        &[
            "spec.leaseName: Required value",
            "spec.binaryVersion: Invalid value: \"1\": must be a valid semantic version",
            "spec.strategy.strategy: Unsupported value: \"Odd\": supported values: \"OldestEmulationVersion\"",
        ],
    );
    candidate(
        json!({"leaseName": "l", "binaryVersion": "1.35.0", "emulationVersion": "1.36.0", "strategy": "OldestEmulationVersion"}),
        &["spec.binaryVersion: Invalid value: \"1.35.0\": must be greater than or equal to `emulationVersion`"],
    );

    let (version, migrations) = ("storagemigration.k8s.io/v1beta1", "StorageVersionMigration");
    let spec = json!({"resource": {"group": "apps", "resource": "deployments"}});
    check(version, migrations, json!({"spec": spec}), &[]);
    check(
        version,
        migrations,
        json!({"spec": {"resource": {}}}),
        &["spec.resource.resource: Required value: resource is required to be set"],
    );
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    check_update(
        version,
        migrations,
        Part::Status,
        json!({"spec": spec, "status": {"resourceVersion": "07", "conditions": [condition("Failed")]}}),
        json!({"spec": spec, "status": {"resourceVersion": "6", "conditions": [condition("Succeeded")]}}),
        &[
            "status.resourceVersion: Invalid value: \"07\": resource version is not well formed: 07",
            "status.resourceVersion: Invalid value: \"07\": field is immutable",
            "status.conditions: Invalid value: [...",
        ],
    );

    let (version, versions) = ("internal.apiserver.k8s.io/v1alpha1", "StorageVersion");
    check(version, versions, json!({"metadata": {"name": "apps.deployments"}, "spec": {}}), &[]);
    check(
        version,
        versions,
        json!({"metadata": {"name": "deployments"}, "spec": {}}),
        &["metadata.name: Invalid value: \"deployments\": name must be in the form of <group>.<resource>"],
    );
    let status = json!({"commonEncodingVersion": "apps/v2", "storageVersions": [{"apiServerID": "a", "encodingVersion": "apps/v1",
        "decodableVersions": ["apps/v1"], "servedVersions": ["v3"]}]});
    check_update(
        version,
        versions,
        Part::Status,
        json!({"metadata": {"name": "apps.deployments"}, "spec": {}, "status": status}),
        json!({"metadata": {"name": "apps.deployments"}, "spec": {}}),
        &[
            "status.storageVersions[0].servedVersions[0]: Invalid value: \"v3\": individual served version : v3 must be included in decodableVersions : [apps/v1]",
            "status.commonEncodingVersion: Invalid value: \"apps/v2\": the actual common encoding version is apps/v1",
        ],
    );
}

#[test]
fn groups_of_pods() {
    let (version, policy) = ("scheduling.k8s.io/v1alpha2", json!({"gang": {"minCount": 2}}));
    let template = json!({"name": "t", "schedulingPolicy": policy});
    check(version, "Workload", json!({"spec": {"podGroupTemplates": [template]}}), &[]);
    check(
        version,
        "Workload",
        json!({"spec": {"controllerRef": {"kind": "a/b"}, "podGroupTemplates": []}}),
        &[
            "spec.controllerRef.kind: Invalid value: \"a/b\": may not contain '/'",
            "spec.controllerRef.name: Required value",
            "spec.podGroupTemplates: Required value",
        ],
    );
    check(
        version,
        "PodGroup",
        json!({"spec": {"schedulingPolicy": {"gang": {"minCount": -1}}, "priority": 1_000_000_001, "resourceClaims": [{"name": "c"}]}}),
        &[
            "spec.schedulingPolicy.gang.minCount: Invalid value: -1: must be greater than or equal to 1",
            "spec.resourceClaims[0]: Invalid value: \"\": must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            "spec.priority: Invalid value: 1000000001: must be less than or equal to 1000000000",
        ],
    );
    check(
        version,
        "PodGroup",
        json!({"spec": {"schedulingPolicy": {"basic": {}, "gang": {"minCount": 1}}}}),
        &["spec.schedulingPolicy: Invalid value: \"{`basic`, `gang`}\": must specify exactly one of: `basic`, `gang`"],
    );
    check_update(
        version,
        "PodGroup",
        Part::Main,
        json!({"spec": {"schedulingPolicy": {"basic": {}}}}),
        json!({"spec": {"schedulingPolicy": policy}}),
        &["spec.schedulingPolicy: Invalid value: null: field is immutable"],
    );
    check_update(
        version,
        "PodGroup",
        Part::Status,
        json!({"spec": {"schedulingPolicy": policy}, "status": {"resourceClaimStatuses": [{"name": "c"}]}}),
        json!({"spec": {"schedulingPolicy": policy}}),
        &[
            "status.resourceClaimStatuses[0].name: Invalid value: \"c\": must match the name of an entry in `spec.resourceClaims`",
        ],
    );
}

#[test]
fn questions_about_pools() {
    let (version, kind) = ("resource.k8s.io/v1alpha3", "ResourcePoolStatusRequest");
    check(version, kind, json!({"spec": {"driver": "A.example", "poolName": "a/b"}}), &[]);
    check(
        version,
        kind,
        json!({"spec": {"poolName": "a//b", "limit": 0}}),
        &[
            "spec.driver: Required value",
            "spec.poolName: Invalid value: \"a//b\": segment 1: must not be empty",
            "spec.limit: Invalid value: 0: must be greater than or equal to 1",
        ],
    );
    let spec = json!({"driver": "a.example"});
    check_update(
        version,
        kind,
        Part::Status,
        json!({"spec": spec, "status": {"poolCount": 2}}),
        json!({"spec": spec, "status": {"poolCount": 1}}),
        &["status: Invalid value: {\"poolCount\":2}: field is immutable"],
    );
    check_update(
        version,
        kind,
        Part::Status,
        json!({"spec": spec, "status": {"pools": [{"driver": "a.example", "generation": -1}]}}),
        json!({"spec": spec}),
        &[
            "status.poolCount: Required value",
            "status.pools[0].poolName: Required value",
            "status.pools[0].generation: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}
