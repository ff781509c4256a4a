//! Starting again: what is kept, what is repaired, and a clock that forgot the time.

use std::time::{Duration, UNIX_EPOCH};

use kedge_apiserver::{ApiServer, Clock, Config, Identity, Parts};
use kedge_store::{Options, Store};
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Client, config_map};

struct Start {
    api: ApiServer,
    admin: Client,
}

async fn start(dir: &std::path::Path, clock: Clock) -> Start {
    let store = Store::open(Options::new(dir.join("store"))).unwrap();
    let config = Config { data_dir: dir.to_owned(), ..Config::default() };
    let api = ApiServer::open(config, store, Parts { clock, ..Parts::default() }).await.unwrap();
    let admin = Client(api.loopback(Identity::master("admin")));
    Start { api, admin }
}

#[tokio::test]
async fn what_was_written_is_there_and_what_was_broken_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), Clock::system()).await;
    let made = first.admin.post(CONFIG_MAPS, config_map("kept")).await.ok();
    let services = "/api/v1/namespaces/default/services";
    let web =
        first.admin.post(services, json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})).await.ok();
    let view = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user";
    first.admin.patch("merge", view, json!({"rules": []})).await.ok();
    first.admin.delete("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", Value::Null).await.ok();
    let lease = json!({"metadata": {"name": "l"}, "spec": {}});
    first.admin.post("/apis/coordination.k8s.io/v1/namespaces/default/leases", lease).await.ok();
    let before = first.admin.get(CONFIG_MAPS).await.ok();
    first.api.close().await;
    drop(first);

    let second = start(dir.path(), Clock::system()).await;
    assert_eq!(second.admin.get(&format!("{CONFIG_MAPS}/kept")).await.ok(), made);
    assert!(!second.admin.get(view).await.ok()["rules"].as_array().unwrap().is_empty());
    second.admin.get("/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical").await.ok();
    second.admin.get("/apis/coordination.k8s.io/v1/namespaces/default/leases/l").await.fails(404, "not found");
    let same = json!({"metadata": {"name": "thief"}, "spec": {"clusterIP": web["spec"]["clusterIP"], "ports": [{"port": 80}]}});
    second.admin.post(services, same).await.fails(422, "already allocated");
    // A watch of kinds that live in memory cannot go on from before the start.
    let version = before["metadata"]["resourceVersion"].as_str().unwrap();
    let path = format!("/apis/coordination.k8s.io/v1/leases?watch=true&resourceVersion={version}");
    let event = second.admin.watch(&path).await.next().await.unwrap();
    assert_eq!(
        (&event["type"], &event["object"]["code"], &event["object"]["reason"]),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    let mut watch = second.admin.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}")).await;
    second.admin.post(CONFIG_MAPS, config_map("new")).await.ok();
    assert_eq!(watch.line().await, "ADDED new");
}

#[tokio::test]
async fn a_clock_at_1970_works_and_time_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), Clock::new(|| UNIX_EPOCH)).await;
    let made = first.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    assert!(made["metadata"]["creationTimestamp"].as_str().unwrap().starts_with("1970-01-01"));
    first.api.close().await;
    drop(first);
    let later = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let second = start(dir.path(), Clock::new(move || later)).await;
    second.api.close().await;
    drop(second);
    let third = start(dir.path(), Clock::new(|| UNIX_EPOCH)).await;
    let made = third.admin.post(CONFIG_MAPS, config_map("b")).await.ok();
    assert!(made["metadata"]["creationTimestamp"].as_str().unwrap().starts_with("2027-01-15"), "{made}");
    // Tokens and certificates follow that clock.
    third.admin.post("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "bot"}})).await.ok();
    let token =
        third.admin.post("/api/v1/namespaces/default/serviceaccounts/bot/token", json!({"spec": {}})).await.ok();
    let review = json!({"spec": {"token": token["status"]["token"]}});
    let seen = third.admin.post("/apis/authentication.k8s.io/v1/tokenreviews", review).await.ok();
    assert_eq!(seen["status"]["authenticated"], true);
}
