//! Alpha and beta versions: served where they are asked for, judged as Kubernetes judges them.

use kedge_api::kinds::{Chosen, Verb};
use serde_json::{Value, json};

use crate::support::{Server, server, server_with};

async fn chosen(said: &[(&str, bool)]) -> Server {
    let chosen = Chosen::parse(said.iter().map(|(key, on)| (key.to_string(), *on)).collect()).unwrap();
    server_with(|config, _| config.versions = chosen).await
}

const MIGRATIONS: &str = "/apis/storagemigration.k8s.io/v1beta1/storageversionmigrations";

fn migration(resource: &str) -> Value {
    json!({"apiVersion": "storagemigration.k8s.io/v1beta1", "kind": "StorageVersionMigration",
        "metadata": {"name": "m"}, "spec": {"resource": {"group": "apps", "resource": resource}}})
}

#[tokio::test]
async fn alpha_and_beta_versions_are_served_where_they_are_asked_for() {
    let without = server().await;
    without.admin.get(MIGRATIONS).await.fails(404, "could not find the requested resource");
    let server = chosen(&[("api/alpha", false), ("storagemigration.k8s.io/v1beta1", true)]).await;
    let admin = &server.admin;
    assert_eq!(admin.post(MIGRATIONS, migration("deployments")).await.ok()["spec"]["resource"]["group"], "apps");
    admin.post(MIGRATIONS, migration("Deployments")).await.fails(422, "spec.resource.resource: Invalid value");
    let path = format!("{MIGRATIONS}/m");
    let changed = json!({"spec": {"resource": {"group": "apps", "resource": "replicasets"}}});
    admin.patch("merge", &path, changed).await.fails(422, "spec: Invalid value");
    let groups = admin.get("/apis").await.ok()["groups"].clone();
    let found = groups.as_array().unwrap().iter().find(|group| group["name"] == "storagemigration.k8s.io").unwrap();
    assert_eq!(found["preferredVersion"]["version"], "v1beta1");
    let local = admin.get("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.storagemigration.k8s.io").await.ok();
    assert!(local["spec"]["service"].is_null());
    admin.get("/apis/resource.k8s.io/v1alpha3").await.fails(404, "could not find the requested resource");
}

#[tokio::test]
async fn every_version_that_there_is_can_be_served() {
    let server = chosen(&[("api/all", true)]).await;
    let admin = &server.admin;
    for kind in server.api.kinds().iter().filter(|kind| kind.verbs.has(Verb::List) && !kind.served_by_default()) {
        let path = format!("/apis/{}/{}", kind.group, kind.version);
        assert_eq!(admin.get(&format!("{path}/{}", kind.plural)).await.ok()["kind"], *kind.list_kind, "{path}");
        admin.get(&format!("/openapi/v3{path}")).await.ok();
    }
    // What is kept in one version is read in another.
    let class = |version: &str| {
        json!({"apiVersion": format!("resource.k8s.io/{version}"), "kind": "DeviceClass", "metadata": {"name": version},
            "spec": {}})
    };
    let claim = json!({"apiVersion": "resource.k8s.io/v1beta1", "kind": "ResourceClaim", "metadata": {"name": "c"},
        "spec": {"devices": {"requests": [{"name": "r", "deviceClassName": "v1beta1", "adminAccess": false}]}}});
    for version in ["v1beta1", "v1beta2"] {
        admin.post(&format!("/apis/resource.k8s.io/{version}/deviceclasses"), class(version)).await.ok();
        admin.get(&format!("/apis/resource.k8s.io/v1/deviceclasses/{version}")).await.ok();
    }
    admin.post("/apis/resource.k8s.io/v1beta1/namespaces/default/resourceclaims", claim).await.ok();
    let read = admin.get("/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/c").await.ok();
    assert_eq!(read["spec"]["devices"]["requests"][0]["exactly"]["deviceClassName"], "v1beta1");
    let rule = json!({"apiVersion": "resource.k8s.io/v1beta2", "kind": "DeviceTaintRule", "metadata": {"name": "t"},
        "spec": {"deviceSelector": {"driver": "a.example"}, "taint": {"key": "a", "effect": "NoSchedule"}}});
    admin.post("/apis/resource.k8s.io/v1beta2/devicetaintrules", rule).await.ok();
    let read = admin.get("/apis/resource.k8s.io/v1alpha3/devicetaintrules/t").await.ok();
    assert_eq!(read["spec"]["taint"]["key"], "a");
}

/// An empty request with a key of Ed25519 that is nobody's.
const REQUEST: &str = "MH8wMwIBADAAMCowBQYDK2VwAyEAD3yBrp+ZvkT0Pq5RmlBaPcb09hKgsTUooZe24fDOXM6gADAFBgMrZXADQQA1c02WCbkpWNtExwO00gkgX/xKnPhgFjMBFT75kGmstKcb1dzVdU+ZMDNdIi4pIelnHrEgOPOXdFjyIlznIAcG";

#[tokio::test]
async fn only_who_signs_for_its_signer_ends_the_request_of_a_pod() {
    let server = chosen(&[("certificates.k8s.io/v1beta1", true)]).await;
    let path = "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests";
    let request = json!({"apiVersion": "certificates.k8s.io/v1beta1", "kind": "PodCertificateRequest",
        "metadata": {"name": "p"}, "spec": {"signerName": "a.example/b", "podName": "p", "podUID": "1",
            "serviceAccountName": "s", "serviceAccountUID": "2", "nodeName": "localhost", "nodeUID": "3",
            "maxExpirationSeconds": 86400, "stubPKCS10Request": REQUEST}});
    let mut forged = request.clone();
    forged["spec"]["stubPKCS10Request"] = json!(REQUEST.replace("IAcG", "IAcH"));
    server.admin.post(path, forged).await.fails(422, "could not verify the signature of the certificate request");
    server.admin.post(path, request).await.ok();
    let rules = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "ends"},
        "rules": [{"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"],
            "verbs": ["patch"]}]});
    server.admin.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", rules).await.ok();
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "ends"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "ends"}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]});
    server.admin.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding).await.ok();
    let denied = json!({"status": {"conditions": [{"type": "Denied", "status": "True", "reason": "No",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let jane = server.as_user(kedge_apiserver::Identity::user("jane", ["system:authenticated"]));
    let status = format!("{path}/p/status");
    let why = "User \\\"jane\\\" is not permitted to \\\"sign\\\" for signer \\\"a.example/b\\\"";
    crate::support::until(async || {
        // Roles are followed a moment later.
        jane.patch("merge", &status, denied.clone()).await.code == 422
    })
    .await;
    jane.patch("merge", &status, denied.clone()).await.fails(422, why);
    server.admin.patch("merge", &status, denied).await.ok();
}

#[tokio::test]
async fn only_marked_namespaces_get_access_of_administrators_to_devices() {
    let server = server().await;
    let claim = |name: &str, selector: &str| {
        json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name},
            "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "c", "adminAccess": true,
                "allocationMode": "ExactCount", "count": 1, "selectors": [{"cel": {"expression": selector}}]}}]}}})
    };
    let path = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims";
    let fields = "spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value";
    server.admin.post(path, claim("c", "device.nothing")).await.fails(422, fields);
    let why = "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the \
               `resource.kubernetes.io/admin-access: true` label on the containing namespace";
    server.admin.post(path, claim("c", "device.driver == 'a'")).await.fails(422, why);
    let template = json!({"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "t"},
        "spec": {"spec": claim("c", "true")["spec"]}});
    let templates = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaimtemplates";
    server.admin.post(templates, template.clone()).await.fails(422, why);
    let labels = json!({"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}});
    server.admin.patch("merge", "/api/v1/namespaces/default", labels).await.ok();
    server.admin.post(path, claim("c", "device.driver == 'a'")).await.ok();
    server.admin.post(templates, template).await.ok();
}
