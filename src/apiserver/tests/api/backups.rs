//! Backup and restore of a running server; archives that mean harm.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, Client, Server, config_map, server, until};

const BACKUP: &str = "/kedge/v1/backup";
const RESTORE: &str = "/kedge/v1/restore";

async fn backup(client: &Client, path: &str) -> Bytes {
    let request = http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
    let answer = client.raw(request).await;
    assert_eq!(answer.status(), 200);
    let length: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(bytes.len(), length);
    bytes
}

fn transfers(server: &Server) -> usize {
    std::fs::read_dir(server.dir.path().join("transfer")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_backup_comes_back_while_the_server_runs() {
    let server = server().await;
    let admin = &server.admin;
    let services = "/api/v1/namespaces/default/services";
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let kept = admin.post(CONFIG_MAPS, config_map("kept")).await.ok();
    let web = admin.post(services, json!({"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}]}})).await.ok();
    let archive = backup(admin, BACKUP).await;
    until(async || transfers(&server) == 0).await;

    admin.delete(&format!("{CONFIG_MAPS}/kept"), Value::Null).await.ok();
    admin.delete(&format!("{services}/web"), Value::Null).await.ok();
    admin.post(CONFIG_MAPS, config_map("later")).await.ok();
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    admin.post(roles, binding).await.ok();
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    until(async || jane.get(CONFIG_MAPS).await.code == 200).await;
    let version = admin.get(CONFIG_MAPS).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}");
    let mut watch = admin.watch(&path).await;

    let answer = admin.send("POST", RESTORE, &[], archive.clone()).await.ok();
    assert_eq!(answer["status"], "Success");
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}/kept")).await.ok(), kept);
    admin.get(&format!("{CONFIG_MAPS}/later")).await.fails(404, "");
    let after: u64 =
        admin.get(CONFIG_MAPS).await.ok()["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    assert!(after > version.parse().unwrap());
    // What was granted after the backup is gone, and addresses are taken as they were.
    until(async || jane.get(CONFIG_MAPS).await.code == 403).await;
    let same = json!({"metadata": {"name": "thief"}, "spec": {"clusterIP": web["spec"]["clusterIP"], "ports": [{"port": 80}]}});
    admin.post(services, same).await.fails(422, "already allocated");
    admin.post(CONFIG_MAPS, config_map("next")).await.ok();
    until(async || transfers(&server) == 0).await;
}

#[tokio::test]
async fn only_whoever_may_takes_or_puts_back_a_backup() {
    let server = server().await;
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    jane.get(BACKUP).await.fails(403, "cannot get path");
    jane.get("/kedge/v1/backup/keys").await.fails(403, "cannot get path");
    jane.send("POST", RESTORE, &[], "x").await.fails(403, "cannot post path");
    let role = json!({"metadata": {"name": "backups"}, "rules": [{"verbs": ["get"], "nonResourceURLs": [BACKUP]}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    server.admin.post(&format!("{rbac}/clusterroles"), role).await.ok();
    let binding = json!({"metadata": {"name": "backups"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "backups"},
        "subjects": [{"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}]});
    server.admin.post(&format!("{rbac}/clusterrolebindings"), binding).await.ok();
    until(async || jane.get(BACKUP).await.code == 200).await;
    jane.get("/kedge/v1/backup/keys").await.fails(403, "");
    server.admin.send("POST", BACKUP, &[], "x").await.fails(405, "");
}

#[tokio::test]
async fn an_archive_that_is_no_good_changes_nothing() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("kept")).await.ok();
    let good = backup(admin, BACKUP).await;
    admin.post(CONFIG_MAPS, config_map("later")).await.ok();
    let mut changed = good.to_vec();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    for (bytes, why) in [
        (Vec::new(), "it is no backup of Kedge"),
        (b"nonsense".to_vec(), "it is no backup of Kedge"),
        (good[..good.len() - 1].to_vec(), "incomplete or damaged"),
        (changed, "its checksum does not fit"),
        (b"kedge-backup\n{\"format\":2,\"release\":\"9.9\"}\n".to_vec(), "made by a newer release (9.9)"),
    ] {
        admin.send("POST", RESTORE, &[], bytes).await.fails(400, why);
        admin.get(&format!("{CONFIG_MAPS}/later")).await.ok();
    }
    admin.send("POST", "/kedge/v1/restore/keys", &[], good).await.fails(400, "holds no keys");
    admin.get(&format!("{CONFIG_MAPS}/later")).await.ok();
    until(async || transfers(&server) == 0).await;
}

#[tokio::test]
async fn keys_come_along_only_when_asked_for() {
    let (old, new) = (server().await, server().await);
    let plain = backup(&old.admin, BACKUP).await;
    assert!(!String::from_utf8_lossy(&plain).contains("PRIVATE KEY"));
    let archive = backup(&old.admin, "/kedge/v1/backup/keys").await;
    new.admin.send("POST", "/kedge/v1/restore/keys", &[], archive).await.ok();
    let file = |server: &Server, name: &str| std::fs::read_to_string(server.dir.path().join("pki").join(name)).unwrap();
    for name in ["ca.crt", "ca.key", "sa.key"] {
        assert_eq!(file(&old, name), file(&new, name), "{name}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(new.dir.path().join("pki/ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
