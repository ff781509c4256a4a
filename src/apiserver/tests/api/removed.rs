//! Manifests of versions that Kubernetes no longer serves: they apply, mean what they meant, and come back as they were.

use serde_json::{Value, json};

use crate::support::{Server, server, server_with};

const OLD: &str = "/apis/extensions/v1beta1/namespaces/default";

fn old_deployment() -> Value {
    json!({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
}

async fn get(server: &Server, path: &str) -> Value {
    server.admin.get(path).await.ok()
}

#[tokio::test]
async fn an_old_deployment_is_one_of_today_with_the_defaults_it_had() {
    let server = server().await;
    let reply = server.admin.post(&format!("{OLD}/deployments"), old_deployment()).await;
    assert_eq!(
        reply.warnings(),
        [
            "299 - \"extensions/v1beta1 Deployment is deprecated in v1.8+, unavailable in v1.16+; use apps/v1 Deployment\""
        ]
    );
    let made = reply.ok();
    assert_eq!(made["apiVersion"], "extensions/v1beta1");
    let spec = &made["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"app": "web"}}));
    assert_eq!((&spec["replicas"], &spec["progressDeadlineSeconds"]), (&json!(1), &json!(i32::MAX)));
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 1}));

    let mut today = get(&server, "/apis/apps/v1/namespaces/default/deployments/web").await;
    assert_eq!(today["apiVersion"], "apps/v1");
    let middle = get(&server, "/apis/apps/v1beta2/namespaces/default/deployments/web").await;
    today["apiVersion"] = json!("apps/v1beta2");
    assert_eq!(today, middle);
    let list = get(&server, &format!("{OLD}/deployments")).await;
    assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("extensions/v1beta1"), &json!("DeploymentList")));
    assert_eq!(list["items"][0]["apiVersion"], "extensions/v1beta1");

    let again = server.admin.post("/apis/apps/v1/namespaces/default/deployments", {
        let mut same = today.clone();
        same["apiVersion"] = json!("apps/v1");
        same["metadata"] = json!({"name": "web"});
        same
    });
    again.await.fails(409, "deployments.apps \\\"web\\\" already exists");
    // Dependents of what is deleted in an old version stay, unless the deletion says otherwise.
    let gone = server.admin.delete(&format!("{OLD}/deployments/web"), Value::Null).await.ok();
    assert_eq!(gone["metadata"]["finalizers"], json!(["orphan"]));
    let background = json!({"propagationPolicy": "Background"});
    server.admin.delete(&format!("{OLD}/deployments/web"), background).await.ok();
    server.admin.get("/apis/apps/v1/namespaces/default/deployments/web").await.fails(404, "not found");
}

#[tokio::test]
async fn an_old_ingress_is_patched_in_its_own_words() {
    let server = server().await;
    let backend = json!({"serviceName": "s", "servicePort": 80});
    let ingress = json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i"}, "spec": {
        "rules": [{"host": "h.example", "http": {"paths": [{"path": "/", "backend": backend}]}}]}});
    let made = server.admin.post(&format!("{OLD}/ingresses"), ingress).await.ok();
    assert_eq!(made["spec"]["rules"][0]["http"]["paths"][0]["backend"], backend);
    assert_eq!(made["spec"]["rules"][0]["http"]["paths"][0]["pathType"], "ImplementationSpecific");

    let patch = json!([{"op": "replace", "path": "/spec/rules/0/http/paths/0/backend/servicePort", "value": "http"}]);
    server.admin.patch("json", &format!("{OLD}/ingresses/i"), patch).await.ok();
    let today = get(&server, "/apis/networking.k8s.io/v1/namespaces/default/ingresses/i").await;
    let service = json!({"name": "s", "port": {"name": "http"}});
    assert_eq!(today["spec"]["rules"][0]["http"]["paths"][0]["backend"], json!({ "service": service }));

    let table = server
        .admin
        .send("GET", &format!("{OLD}/ingresses"), &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], "")
        .await
        .ok();
    assert_eq!(table["rows"][0]["cells"][2], "h.example", "{table}");
}

#[tokio::test]
async fn an_applied_old_manifest_is_owned_as_what_it_means_today() {
    let server = server().await;
    let path = "/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets/b?fieldManager=me";
    let budget = |field: &str| {
        json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": {field: 1, "selector": {"matchLabels": {"a": "b"}}}})
    };
    server.admin.patch("apply", path, budget("minAvailable")).await.ok();
    let changed = server.admin.patch("apply", path, budget("maxUnavailable")).await.ok();
    assert_eq!(changed["apiVersion"], "policy/v1beta1");
    assert_eq!((&changed["spec"]["minAvailable"], &changed["spec"]["maxUnavailable"]), (&Value::Null, &json!(1)));
    assert_eq!(changed["metadata"]["managedFields"][0]["apiVersion"], "policy/v1");
    let odd = json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {"odd": 1}});
    let reply = server.admin.patch("apply", path, odd).await;
    assert!(reply.warnings().iter().any(|text| text.contains("spec.odd")), "{:?}", reply.warnings());
}

#[tokio::test]
async fn an_applied_old_manifest_has_the_defaults_it_had() {
    let server = server().await;
    let ingress = |port: u16| {
        let backend = json!({"serviceName": "s", "servicePort": port});
        json!({"apiVersion": "extensions/v1beta1", "kind": "Ingress", "metadata": {"name": "i"},
            "spec": {"rules": [{"host": "h.example", "http": {"paths": [{"path": "/", "backend": backend}]}}]}})
    };
    let path = format!("{OLD}/ingresses/i?fieldManager=me");
    for port in [80, 81] {
        let applied = server.admin.patch("apply", &path, ingress(port)).await.ok();
        let way = &applied["spec"]["rules"][0]["http"]["paths"][0];
        assert_eq!(
            (&way["pathType"], &way["backend"]["servicePort"]),
            (&json!("ImplementationSpecific"), &json!(port))
        );
    }
    // What another has set stays as it is.
    let workload = json!({"apiVersion": "extensions/v1beta1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let path = format!("{OLD}/deployments/d?fieldManager=me");
    let made = server.admin.patch("apply", &path, workload.clone()).await.ok();
    assert_eq!(
        (&made["spec"]["replicas"], &made["spec"]["selector"]),
        (&json!(1), &json!({"matchLabels": {"a": "b"}}))
    );
    let scale = json!({"spec": {"replicas": 4}});
    server.admin.patch("merge", &format!("{OLD}/deployments/d"), scale).await.ok();
    assert_eq!(server.admin.patch("apply", &path, workload).await.ok()["spec"]["replicas"], 4);
}

#[tokio::test]
async fn old_definitions_and_webhooks_apply_though_todays_rules_are_stricter() {
    let server = server().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1beta1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.example"}, "spec": {"group": "x.example", "version": "v1",
            "names": {"plural": "things", "kind": "Thing"}, "scope": "Namespaced"}});
    let path = "/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions";
    let made = server.admin.post(path, definition).await.ok();
    assert_eq!((&made["spec"]["version"], &made["spec"]["versions"][0]["storage"]), (&json!("v1"), &json!(true)));
    let today = get(&server, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.x.example").await;
    let schema = &today["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    assert_eq!(*schema, json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));

    let hook = |version: &str| {
        json!({"apiVersion": format!("admissionregistration.k8s.io/{version}"), "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": format!("hooks-{version}")}, "webhooks": [{"name": "a.x.example", "sideEffects": "Unknown",
                "admissionReviewVersions": ["v1beta1"], "clientConfig": {"url": "https://x.example"}}]})
    };
    let path = |version: &str| format!("/apis/admissionregistration.k8s.io/{version}/validatingwebhookconfigurations");
    let made = server.admin.post(&path("v1beta1"), hook("v1beta1")).await.ok();
    assert_eq!(
        (&made["webhooks"][0]["failurePolicy"], &made["webhooks"][0]["timeoutSeconds"]),
        (&json!("Ignore"), &json!(30))
    );
    server.admin.post(&path("v1"), hook("v1")).await.fails(422, "webhooks[0].sideEffects: Unsupported value");
}

#[tokio::test]
async fn every_old_kind_is_found_and_listed_and_none_if_so_configured() {
    let server = server().await;
    let groups = get(&server, "/apis").await;
    let last = groups["groups"].as_array().unwrap().last().unwrap()["name"].clone();
    assert_eq!(last, "settings.k8s.io");
    for kind in server.api.kinds().iter().filter(|kind| kind.is_removed()) {
        let path = format!("/apis/{}/{}/{}", kind.group, kind.version, kind.plural);
        assert_eq!(get(&server, &path).await["kind"], *kind.list_kind, "{path}");
        get(&server, &format!("/openapi/v3/apis/{}/{}", kind.group, kind.version)).await;
    }
    let preset = json!({"apiVersion": "settings.k8s.io/v1alpha1", "kind": "PodPreset", "metadata": {"name": "p"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "env": [{"name": "A", "value": "b"}]}});
    let path = "/apis/settings.k8s.io/v1alpha1/namespaces/default/podpresets";
    server.admin.post(path, preset).await.ok();
    assert_eq!(get(&server, &format!("{path}/p")).await["spec"]["env"][0]["name"], "A");

    let without = server_with(|config, _| config.removed_versions = false).await;
    without.admin.get(&format!("{OLD}/deployments")).await.fails(404, "could not find the requested resource");
}

#[tokio::test]
async fn what_has_no_successor_is_answered_with_what_is_used_instead() {
    let server = server().await;
    let old = json!({"apiVersion": "policy/v1beta1", "kind": "PodSecurityPolicy", "metadata": {"name": "p"},
        "spec": {"privileged": false}});
    for path in ["/apis/policy/v1beta1/podsecuritypolicies", "/apis/extensions/v1beta1/podsecuritypolicies"] {
        let status = server.admin.post(path, old.clone()).await.fails(404, "PodSecurity admission");
        assert_eq!(status["reason"], "NotFound");
    }
    server.admin.get("/apis/apps/v1/podsecuritypolicies").await.fails(404, "could not find the requested resource");
}
