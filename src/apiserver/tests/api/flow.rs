//! Flow control through the whole server: the objects that say who goes first, and the headers that say who was.

use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{server, until};

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

fn dangling(schema: &Value) -> Option<String> {
    let conditions = schema["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == "Dangling")?;
    Some(found["status"].as_str()?.to_owned())
}

#[tokio::test]
async fn answers_name_the_schema_and_level_they_were_served_under() {
    let server = server().await;
    let schema = server.admin.get(&format!("{SCHEMAS}/exempt")).await.ok();
    let level = server.admin.get(&format!("{LEVELS}/exempt")).await.ok();
    let reply = server.admin.get("/api/v1/namespaces").await;
    assert_eq!(reply.headers["x-kubernetes-pf-flowschema-uid"], schema["metadata"]["uid"].as_str().unwrap());
    assert_eq!(reply.headers["x-kubernetes-pf-prioritylevel-uid"], level["metadata"]["uid"].as_str().unwrap());
    assert_eq!(dangling(&schema).as_deref(), Some("False"));

    // A schema of one's own takes what it says, as soon as it is there.
    let own = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "own"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}},
    });
    let own = server.admin.post(LEVELS, own).await.ok();
    let jane = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "jane"},
        "spec": {"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "own"}, "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "jane"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }]},
    });
    server.admin.post(SCHEMAS, jane).await.ok();
    let jane = server.as_user(Identity::user("jane", ["dev"]));
    let level = own["metadata"]["uid"].as_str().unwrap();
    until(async || {
        jane.get("/version").await.headers.get("x-kubernetes-pf-prioritylevel-uid").is_some_and(|uid| uid == level)
    })
    .await;
}

#[tokio::test]
async fn a_schema_without_a_level_says_so_until_it_comes() {
    let server = server().await;
    let lost = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "lost"},
        "spec": {"matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "later"}, "rules": []},
    });
    server.admin.post(SCHEMAS, lost).await.ok();
    let path = format!("{SCHEMAS}/lost");
    until(async || dangling(&server.admin.get(&path).await.ok()).as_deref() == Some("True")).await;
    let later = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": {"name": "later"},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}},
    });
    server.admin.post(LEVELS, later).await.ok();
    until(async || dangling(&server.admin.get(&path).await.ok()).as_deref() == Some("False")).await;
    let figure = "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"later\"}";
    until(async || server.admin.get("/metrics").await.text.contains(figure)).await;
}
