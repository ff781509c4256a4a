//! Flow control through the whole server: the objects that say who goes first, and the headers that say who was.

use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::sockets::serve;
use crate::support::{CONFIG_MAPS, server, server_with, until};

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
async fn what_flow_control_does_is_told_to_whom_a_role_lets() {
    let server = server().await;
    let jane = server.as_user(Identity::user("jane", ["dev"]));
    for (name, column) in
        [("dump_priority_levels", "ActiveQueues"), ("dump_queues", "Index"), ("dump_requests", "FlowSchemaName")]
    {
        let path = format!("/debug/api_priority_and_fairness/{name}");
        let seen = server.admin.get(&path).await;
        assert!(
            seen.code == 200 && seen.text.starts_with("PriorityLevelName,") && seen.text.contains(column),
            "{}",
            seen.text
        );
        jane.get(&path).await.fails(403, "forbidden");
    }
    server.admin.get("/debug/api_priority_and_fairness/dump").await.fails(404, "");
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

#[tokio::test]
async fn a_long_list_takes_more_seats_than_one() {
    let served = serve(server_with(|config, _| config.limits.seats = 1000).await.with_account().await).await;
    let admin = &served.server.admin;
    let large = "x".repeat(100_000);
    for name in ["a", "b", "c"] {
        admin.post(CONFIG_MAPS, json!({"metadata": {"name": name}, "data": {"k": large}})).await.ok();
    }
    // How much there is is known once it was listed.
    admin.get(CONFIG_MAPS).await.ok();
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let token = admin.post(path, json!({"spec": {}})).await.ok()["status"]["token"].as_str().unwrap().to_owned();
    let header = format!("Authorization: Bearer {token}\r\n");
    let seats = async || -> u64 {
        let figure = "apiserver_flowcontrol_work_estimated_seats_sum{";
        let text = admin.get("/metrics").await.text;
        let level = |line: &&str| line.starts_with(figure) && line.contains("priority_level=\"workload-low\"");
        text.lines().filter(level).map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    let events = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    for (method, query, expected) in [
        ("GET", "", 4),
        ("GET", "?limit=1", 2),
        ("GET", "?fieldSelector=metadata.name%3Da", 1),
        ("GET", "?resourceVersion=0", 4),
        ("GET", &format!("?{events}"), 4),
        ("GET", "?watch=true&resourceVersion=1", 1),
        ("PUT", "/a", 1),
    ] {
        let before = seats().await;
        served.ask(method, &format!("{CONFIG_MAPS}{query}"), None, &header).await;
        assert_eq!(seats().await - before, expected, "{method} {query}");
    }
    // Whoever writes what many watch takes the seats that it takes to tell them.
    let mut watches = Vec::new();
    for _ in 0..15 {
        watches.push(admin.watch(&format!("{CONFIG_MAPS}?watch=true")).await);
    }
    for (method, path, expected) in [("PUT", "/a", 2), ("DELETE", "/a", 2), ("DELETE", "", 1), ("GET", "/a", 1)] {
        let before = seats().await;
        served.ask(method, &format!("{CONFIG_MAPS}{path}"), None, &header).await;
        assert_eq!(seats().await - before, expected, "{method} {path}");
    }
    drop(watches);
    let before = seats().await;
    served.ask("PUT", &format!("{CONFIG_MAPS}/a"), None, &header).await;
    assert_eq!(seats().await - before, 1, "nobody watches any more");
    served.end().await;
}
