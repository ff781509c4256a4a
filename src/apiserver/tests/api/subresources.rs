//! Status, scale, binding, eviction, logs.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use kedge_api::status::Status;
use kedge_apiserver::streams::{Channel, ContainerRef, ExecOptions, LogOptions, NodeStreams, Session};
use serde_json::{Value, json};

use crate::support::{DEPLOYMENTS, PODS, deployment, pod, server, server_with};

#[tokio::test]
async fn the_status_has_a_door_of_its_own() {
    let server = server().await;
    let admin = &server.admin;
    let mut made = admin.post(DEPLOYMENTS, deployment("d")).await.ok();
    let path = format!("{DEPLOYMENTS}/d");
    made["status"]["replicas"] = json!(7);
    let main = admin.put(&path, made.clone()).await.ok();
    assert_ne!(main["status"]["replicas"], 7);
    let status = admin
        .patch(
            "merge",
            &format!("{path}/status"),
            json!({"spec": {"replicas": 9}, "status": {"replicas": 7, "observedGeneration": 1}}),
        )
        .await
        .ok();
    assert_eq!((&status["status"]["replicas"], &status["spec"]["replicas"]), (&json!(7), &json!(2)));
    assert_eq!(status["metadata"]["generation"], 1);
    assert_eq!(admin.get(&format!("{path}/status")).await.ok()["status"]["replicas"], 7);
    admin.get("/api/v1/namespaces/default/configmaps/a/status").await.fails(404, "");
}

#[tokio::test]
async fn the_scale_changes_replicas_only() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(DEPLOYMENTS, deployment("d")).await.ok();
    let path = format!("{DEPLOYMENTS}/d/scale");
    let scale = admin.get(&path).await.ok();
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!(2), &json!("app=d"))
    );
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")];
    let table = admin.send("GET", &path, &accept, "").await.ok();
    let headings: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(headings, ["Name", "Desired", "Available", "Age"]);
    assert_eq!(table["rows"][0]["cells"].as_array().unwrap()[..3], [json!("d"), json!(2), json!(0)]);
    let mut more = scale.clone();
    more["spec"]["replicas"] = json!(5);
    assert_eq!(admin.put(&path, more.clone()).await.ok()["spec"]["replicas"], 5);
    admin.put(&path, more).await.fails(409, "modified");
    assert_eq!(admin.patch("merge", &path, json!({"spec": {"replicas": 1}})).await.ok()["spec"]["replicas"], 1);
    admin.patch("merge", &path, json!({"spec": {"replicas": -1}})).await.fails(422, "spec.replicas");
    let object = admin.get(&format!("{DEPLOYMENTS}/d")).await.ok();
    assert_eq!((&object["spec"]["replicas"], &object["metadata"]["generation"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn a_scale_is_applied_and_owned() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(DEPLOYMENTS, deployment("d")).await.ok();
    let scale = |replicas: i64| {
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"},
            "spec": {"replicas": replicas}})
    };
    let path = |manager: &str| format!("{DEPLOYMENTS}/d/scale?fieldManager={manager}");
    let refused = admin.patch("apply", &path("one"), scale(3)).await.fails(409, "conflict");
    assert_eq!(refused["details"]["causes"][0]["field"], ".spec.replicas");
    let forced = admin.patch("apply", &format!("{}&force=true", path("one")), scale(3)).await.ok();
    assert_eq!((&forced["kind"], &forced["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    admin.patch("apply", &path("one"), scale(4)).await.ok();
    admin.patch("apply", &path("two"), scale(5)).await.fails(409, "\\\"one\\\"");
    admin.patch("apply", &path("one"), scale(-1)).await.fails(422, "spec.replicas");
    let unnamed = json!({"kind": "Deployment", "spec": {"replicas": 1}});
    admin.patch("apply", &path("one"), unnamed).await.fails(400, "apiVersion");
    let object = admin.get(&format!("{DEPLOYMENTS}/d")).await.ok();
    assert_eq!(object["spec"]["replicas"], 4);
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let own = entries.iter().find(|entry| entry["manager"] == "one").unwrap();
    assert_eq!((&own["operation"], &own["subresource"]), (&json!("Apply"), &json!("scale")));
    assert_eq!(own["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    admin.post(PODS, pod("a")).await.ok();
    let binding = |node: &str| json!({"metadata": {"name": "a"}, "target": {"kind": "Node", "name": node}});
    let done = admin.post(&format!("{PODS}/a/binding"), binding("n1")).await;
    assert_eq!((done.code, &done.body["status"]), (201, &json!("Success")));
    let bound = admin.get(&format!("{PODS}/a")).await.ok();
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
    admin.post(&format!("{PODS}/a/binding"), binding("n2")).await.fails(409, "already assigned to node");
    admin.post(PODS, pod("b")).await.ok();
    admin
        .post("/api/v1/namespaces/default/bindings", json!({"metadata": {"name": "b"}, "target": {"name": "n1"}}))
        .await
        .ok();
    admin.post(&format!("{PODS}/b/binding"), json!({"target": {}})).await.fails(422, "target.name");
    let on_node = admin.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").await.ok();
    assert_eq!(on_node["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_eviction_respects_budgets() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    admin.post(PODS, pod("a")).await.ok();
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    admin.patch("merge", &format!("{PODS}/a/status"), ready).await.ok();
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget =
        json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    admin.post(budgets, budget).await.ok();
    let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    let path = format!("{PODS}/a/eviction");
    admin.patch("merge", &format!("{budgets}/b/status"), json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}})).await.ok();
    // Old clients say beta.
    let mut beta = evict.clone();
    beta["apiVersion"] = json!("policy/v1beta1");
    let refused = admin.post(&path, beta).await.fails(429, "violate the pod's disruption budget");
    assert_eq!(refused["details"]["causes"][0]["reason"], "DisruptionBudget");
    admin.patch("merge", &format!("{budgets}/b/status"), json!({"status": {"disruptionsAllowed": 1}})).await.ok();
    assert_eq!(admin.post(&path, evict).await.code, 201);
    admin.get(&format!("{PODS}/a")).await.fails(404, "not found");
    assert_eq!(admin.get(&format!("{budgets}/b")).await.ok()["status"]["disruptionsAllowed"], 0);
}

#[tokio::test]
async fn a_pod_that_is_not_ready_is_evicted_at_no_cost_and_told_why() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    let mut kept = pod("a");
    kept["metadata"]["finalizers"] = json!(["example.com/kept"]);
    admin.post(PODS, kept).await.ok();
    admin.patch("merge", &format!("{PODS}/a/status"), json!({"status": {"phase": "Running"}})).await.ok();
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let spec = json!({"minAvailable": 1, "selector": {}, "unhealthyPodEvictionPolicy": "AlwaysAllow"});
    admin.post(budgets, json!({"metadata": {"name": "b"}, "spec": spec})).await.ok();
    let status = json!({"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 1, "expectedPods": 1});
    admin.patch("merge", &format!("{budgets}/b/status"), json!({"status": status})).await.ok();
    let evict = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}});
    assert_eq!(admin.post(&format!("{PODS}/a/eviction"), evict).await.code, 201);
    let pod = admin.get(&format!("{PODS}/a")).await.ok();
    assert!(!pod["metadata"]["deletionTimestamp"].is_null());
    let told =
        pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "DisruptionTarget").unwrap();
    assert_eq!(
        (&told["reason"], &told["message"]),
        (&json!("EvictionByEvictionAPI"), &json!("Eviction API: evicting"))
    );
    assert_eq!(admin.get(&format!("{budgets}/b")).await.ok()["status"], status);
}

struct Says;

#[async_trait]
impl NodeStreams for Says {
    async fn logs(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        let text = format!(
            "{}/{}/{} tail={:?}\n",
            container.namespace, container.pod, container.container, options.tail_lines
        );
        Ok(futures::stream::iter([Ok(Bytes::from(text))]).boxed())
    }

    async fn exec(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(Status::unavailable("not here"))
    }

    async fn attach(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(Status::unavailable("not here"))
    }

    async fn connect(&self, _: ContainerRef, _: u16) -> Result<Box<dyn Channel>, Status> {
        Err(Status::unavailable("not here"))
    }
}

#[tokio::test]
async fn logs_come_from_the_node() {
    let server = server_with(|_, parts| parts.streams = Arc::new(Says)).await.with_account().await;
    let admin = &server.admin;
    let mut two = pod("a");
    two["spec"]["containers"] = json!([{"name": "c", "image": "x"}, {"name": "d", "image": "x"}]);
    admin.post(PODS, two).await.ok();
    let path = format!("{PODS}/a/log");
    admin.get(&path).await.fails(400, "a container name must be specified for pod a, choose one of: [c d]");
    // What does not run anywhere yet has said nothing.
    let nothing = admin.get(&format!("{path}?container=c")).await;
    assert_eq!((nothing.code, nothing.text.as_str()), (204, ""));
    admin.post(&format!("{PODS}/a/binding"), json!({"target": {"name": "n"}})).await.ok();
    let log = admin.get(&format!("{path}?container=d&tailLines=3")).await;
    assert_eq!((log.code, log.text.as_str()), (200, "default/a/d tail=Some(3)\n"));
    admin.get(&format!("{path}?container=none")).await.fails(400, "container none is not valid for pod a");
    admin
        .post(&format!("{PODS}/a/exec?container=c&command=ls&stdout=true"), Value::Null)
        .await
        .fails(400, "Upgrade request required");
}
