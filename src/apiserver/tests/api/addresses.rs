//! What the server writes of what it decides: an IPAddress for each address of a Service, the rules that roles gather.

use serde_json::{Value, json};

use crate::support::{server, until};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

#[tokio::test]
async fn each_address_of_a_service_is_an_object() {
    let server = server().await;
    let admin = &server.admin;
    let own = admin.get(&format!("{SERVICES}/kubernetes")).await.ok()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    until(async || admin.get(&format!("{ADDRESSES}/{own}")).await.code == 200).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}});
    let ip = admin.post(SERVICES, service).await.ok()["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let path = format!("{ADDRESSES}/{ip}");
    until(async || admin.get(&path).await.code == 200).await;
    let kept = admin.get(&path).await.ok();
    let parent = json!({"group": "", "resource": "services", "namespace": "default", "name": "web"});
    assert_eq!(kept["spec"]["parentRef"], parent);
    let labels = json!({"ipaddress.kubernetes.io/ip-family": "IPv4",
        "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"});
    assert_eq!(kept["metadata"]["labels"], labels);
    // It comes back while the Service is there, and goes with it.
    admin.delete(&path, Value::Null).await.ok();
    until(async || {
        admin.get(&path).await.body["metadata"]["uid"].as_str().is_some_and(|uid| kept["metadata"]["uid"] != uid)
    })
    .await;
    admin.post(SERVICES, json!({"metadata": {"name": "headless"}, "spec": {"clusterIP": "None"}})).await.ok();
    admin.delete(&format!("{SERVICES}/web"), Value::Null).await.ok();
    until(async || admin.get(&path).await.code == 404).await;
    let left = admin.get(ADDRESSES).await.ok();
    let names: Vec<_> = left["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].clone()).collect();
    assert_eq!(names, [own]);
    let range = admin.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.ok();
    assert_eq!(range["metadata"]["finalizers"], json!(["networking.k8s.io/service-cidr-finalizer"]));
}

#[tokio::test]
async fn what_roles_gather_is_written_into_them() {
    let server = server().await;
    let admin = &server.admin;
    let rules = async |name: &str| admin.get(&format!("{ROLES}/{name}")).await.ok()["rules"].take();
    assert!(rules("admin").await.as_array().is_some_and(|rules| rules.len() > 5), "from the start");
    let widgets = json!({"verbs": ["get", "list"], "apiGroups": ["example.com"], "resources": ["widgets"]});
    let part = json!({"metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
        "rules": [widgets]});
    admin.post(ROLES, part).await.ok();
    let has = async |name: &str| rules(name).await.as_array().unwrap().contains(&widgets);
    until(async || has("view").await && has("edit").await && has("admin").await).await;
    let kept = admin.get(&format!("{ROLES}/view")).await.ok();
    let managers = kept["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers.iter().any(|m| m["manager"] == "clusterrole-aggregation-controller" && m["operation"] == "Apply"),
        "{managers:?}"
    );
    // Who writes into it is overruled, and what is gathered no more goes.
    admin.patch("merge", &format!("{ROLES}/view"), json!({"rules": []})).await.ok();
    until(async || has("view").await).await;
    admin.delete(&format!("{ROLES}/widgets"), Value::Null).await.ok();
    until(async || !has("view").await && !has("edit").await && !has("admin").await).await;
    let own = json!({"metadata": {"name": "own"}, "rules": [],
        "aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": [{"key": "mine", "operator": "Exists"}]}]}});
    admin.post(ROLES, own).await.ok();
    admin.post(ROLES, json!({"metadata": {"name": "mine", "labels": {"mine": ""}}, "rules": [widgets]})).await.ok();
    until(async || has("own").await).await;
}
