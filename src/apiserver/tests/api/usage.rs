//! `metrics.k8s.io`: what is measured when somebody asks, in every form that clients ask for.

use std::sync::Arc;

use async_trait::async_trait;
use kedge_api::status::Status;
use kedge_apiserver::{Identity, Usage};
use serde_json::{Value, json};

use crate::support::{Server, server, server_with, until};

const NODES: &str = "/apis/metrics.k8s.io/v1beta1/nodes";
const PODS: &str = "/apis/metrics.k8s.io/v1beta1/pods";
const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// Two pods on one node; or nothing, while the node starts.
struct Measured(bool);

fn object(kind: &str, namespace: &str, name: &str, more: Value) -> Value {
    let mut object = json!({"kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "timestamp": "2026-01-01T00:00:00Z",
        "window": "1s", "metadata": {"name": name, "labels": {"app": name}}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

#[async_trait]
impl Usage for Measured {
    async fn nodes(&self) -> Result<Vec<Value>, Status> {
        if !self.0 {
            return Err(Status::unavailable("the node agent is starting"));
        }
        Ok(vec![object("NodeMetrics", "", "n", json!({"usage": {"cpu": "250m", "memory": "1Gi"}}))])
    }

    async fn pods(&self) -> Result<Vec<Value>, Status> {
        let used = json!({"containers": [
            {"name": "c", "usage": {"cpu": "1m", "memory": "2Mi"}}, {"name": "d", "usage": {"cpu": "2m", "memory": "2Mi"}}]});
        Ok(vec![object("PodMetrics", "default", "p", used.clone()), object("PodMetrics", "other", "q", used)])
    }
}

async fn measuring() -> Server {
    server_with(|_, parts| parts.usage = Some(Arc::new(Measured(true)))).await
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_used_is_read_as_other_kinds_are() {
    let server = measuring().await;
    let admin = &server.admin;
    let list = admin.get(PODS).await.ok();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodMetricsList"), &json!("metrics.k8s.io/v1beta1")));
    assert_eq!(names(&list), ["p", "q"]);
    for (query, expected) in [
        ("/apis/metrics.k8s.io/v1beta1/namespaces/other/pods", &["q"][..]),
        ("/apis/metrics.k8s.io/v1beta1/namespaces/none/pods", &[]),
        ("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app%3Dp", &["p"]),
        ("/apis/metrics.k8s.io/v1beta1/pods?labelSelector=app!%3Dp", &["q"]),
        ("/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=metadata.name%3Dq", &["q"]),
        ("/apis/metrics.k8s.io/v1beta1/pods?fieldSelector=metadata.namespace%3Ddefault&limit=1", &["p"]),
        ("/apis/metrics.k8s.io/v1beta1/nodes?labelSelector=app", &["n"]),
    ] {
        assert_eq!(names(&admin.get(query).await.ok()), expected, "{query}");
    }
    let one = admin.get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/p").await.ok();
    assert_eq!((&one["kind"], &one["containers"][1]["usage"]["memory"]), (&json!("PodMetrics"), &json!("2Mi")));
    assert_eq!(admin.get(&format!("{NODES}/n")).await.ok()["usage"]["cpu"], "250m");
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let shown = admin.send("GET", PODS, &table, "").await.ok();
    assert_eq!(shown["rows"][0]["cells"], json!(["p", "3m", "4Mi", "1s"]));
    assert_eq!(shown["columnDefinitions"][1]["name"], "CPU");
    let protobuf = [("accept", "application/vnd.kubernetes.protobuf,application/json")];
    assert_eq!(admin.send("GET", NODES, &protobuf, "").await.ok()["kind"], "NodeMetricsList", "JSON is what there is");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = measuring().await;
    let admin = &server.admin;
    admin
        .get("/apis/metrics.k8s.io/v1beta1/namespaces/default/pods/none")
        .await
        .fails(404, r#"pods.metrics.k8s.io \"none\" not found"#);
    admin.get("/apis/metrics.k8s.io/v1beta1/namespaces/other/pods/p").await.fails(404, "not found");
    admin.get(&format!("{PODS}?labelSelector=%3D%3D")).await.fails(400, "");
    admin.get(&format!("{PODS}?fieldSelector=spec.nodeName%3Dn")).await.fails(400, "field label not supported");
    admin.get(&format!("{PODS}?watch=true")).await.fails(405, "watch");
    let made = object("NodeMetrics", "", "m", json!({}));
    admin.post(NODES, made.clone()).await.fails(405, "create");
    admin.put(&format!("{NODES}/n"), made).await.fails(405, "update");
    admin.send("DELETE", &format!("{NODES}/n"), &[], "").await.fails(405, "delete");
    let nobody = server.as_user(Identity::user("jane", ["system:authenticated"]));
    nobody.get(NODES).await.fails(403, r#"cannot list resource \"nodes\" in API group \"metrics.k8s.io\""#);
    let starting = server_with(|_, parts| parts.usage = Some(Arc::new(Measured(false)))).await;
    starting.admin.get(NODES).await.fails(503, "the node agent is starting");
    // Where nobody measures there is no such group.
    let plain = self::server().await;
    plain.admin.get(NODES).await.fails(404, "could not find the requested resource");
    plain.admin.get(&format!("{SERVICES}/v1beta1.metrics.k8s.io")).await.fails(404, "not found");
}

#[tokio::test]
async fn it_is_published_like_other_groups() {
    let server = measuring().await;
    let admin = &server.admin;
    let resources = admin.get("/apis/metrics.k8s.io/v1beta1").await.ok();
    let row = |kind: &str, name: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    assert_eq!(resources["resources"], json!([row("NodeMetrics", "nodes", false), row("PodMetrics", "pods", true)]));
    let groups = admin.get("/apis").await.ok();
    let there = |group: &&Value| group["name"] == "metrics.k8s.io";
    assert_eq!(groups["groups"].as_array().unwrap().iter().filter(there).count(), 1);
    let index = admin.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/metrics.k8s.io/v1beta1"]["serverRelativeURL"].as_str().unwrap();
    let document = admin.get(url).await.ok();
    let fields = &document["components"]["schemas"]["io.k8s.metrics.v1beta1.PodMetrics"]["properties"];
    assert_eq!(fields["containers"]["items"]["properties"]["name"]["type"], "string");
    let paths = document["paths"].as_object().unwrap();
    let methods: Vec<&String> = paths["/apis/metrics.k8s.io/v1beta1/nodes"].as_object().unwrap().keys().collect();
    assert_eq!(methods, ["get", "parameters"]);
    let old = admin.get("/openapi/v2").await.ok();
    assert!(old["definitions"]["io.k8s.metrics.v1beta1.NodeMetrics"]["properties"]["usage"].is_object());
    let service = admin.get(&format!("{SERVICES}/v1beta1.metrics.k8s.io")).await.ok();
    assert_eq!(service["spec"]["service"], Value::Null);
}

#[tokio::test]
async fn a_metrics_server_that_is_installed_takes_over() {
    let server = measuring().await;
    let admin = &server.admin;
    let path = format!("{SERVICES}/v1beta1.metrics.k8s.io");
    let service = json!({"spec": {"service": {"namespace": "kube-system", "name": "metrics-server"}, "insecureSkipTLSVerify": true}});
    admin.patch("merge", &path, service).await.ok();
    // Nobody is behind that Service: it is the one that does not answer.
    until(async || admin.get(NODES).await.code == 503).await;
    admin.send("DELETE", &path, &[], "").await.ok();
    until(async || admin.get(NODES).await.code == 200).await;
}

#[tokio::test]
async fn a_definition_of_the_same_name_gets_none_of_it() {
    let server = measuring().await;
    let admin = &server.admin;
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "pods.metrics.k8s.io", "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}},
        "spec": {"group": "metrics.k8s.io", "scope": "Namespaced", "names": {"plural": "pods", "singular": "pod", "kind": "Pod"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "schema": schema}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    admin.post(definitions, definition).await.ok();
    let path = format!("{definitions}/pods.metrics.k8s.io");
    let is_refused = |found: &Value| {
        let conditions = found["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "NamesAccepted" && c["status"] == "False"))
    };
    until(async || is_refused(&admin.get(&path).await.ok())).await;
    assert_eq!(names(&admin.get(PODS).await.ok()), ["p", "q"]);
    admin.send("DELETE", &path, &[], "").await.ok();
    until(async || admin.get(&path).await.code == 404).await;
    assert_eq!(names(&admin.get(PODS).await.ok()), ["p", "q"]);
}
