//! Encryption at rest: what is on the disk, what clients see, keys that are exchanged or lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use kedge_apiserver::{ApiServer, Config, Encryption, Identity, Parts};
use kedge_store::{Options, Store};
use serde_json::{Value, json};

use crate::support::{Client, until};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";

struct Started {
    api: ApiServer,
    store: Store,
    admin: Client,
}

async fn start(dir: &std::path::Path, encryption: Encryption) -> Started {
    let config = Config { data_dir: dir.to_owned(), encryption, ..Config::default() };
    let store = Store::open(Options::new(dir.join("store"))).unwrap();
    let api = ApiServer::open(config, store.clone(), Parts::default()).await.unwrap();
    let admin = Client(api.loopback(Identity::master("admin")));
    Started { api, store, admin }
}

impl Started {
    async fn kept(&self, name: &str) -> String {
        let entry = self.store.get(&format!("/core/secrets/default/{name}")).await.unwrap().unwrap();
        String::from_utf8_lossy(&entry.bytes).into_owned()
    }

    async fn end(self) {
        self.api.close().await;
        drop(self.admin);
        drop(self.api);
        self.store.close().await;
    }
}

fn secret(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"a": "b"}}, "stringData": {"password": "hunter2"}})
}

fn file(dir: &std::path::Path, name: &str, keys: &[(&str, u8)]) -> Encryption {
    use std::os::unix::fs::PermissionsExt as _;
    let keys: Vec<Value> =
        keys.iter().map(|(name, byte)| json!({"name": name, "secret": STANDARD.encode([*byte; 32])})).collect();
    let settings = json!({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
        {"resources": ["secrets"], "providers": [{"aesgcm": {"keys": keys}}, {"identity": {}}]}]});
    let path = dir.join(name);
    std::fs::write(&path, settings.to_string()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    Encryption { secrets: false, config: Some(path) }
}

#[tokio::test]
async fn secrets_are_sealed_on_disk_and_plain_to_clients() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), Encryption { secrets: true, config: None }).await;
    let admin = &server.admin;
    let mut watch = admin.watch(&format!("{SECRETS}?watch=true")).await;
    let made = admin.post(SECRETS, secret("a")).await.ok();
    let kept = server.kept("a").await;
    assert!(kept.starts_with("k8s:enc:aesgcm:v1:own:") && !kept.contains("password"), "{kept:.80}");
    let read = admin.get(&format!("{SECRETS}/a")).await.ok();
    assert_eq!(read, made);
    assert_eq!(read["data"]["password"], STANDARD.encode("hunter2"));
    assert_eq!(watch.next().await.unwrap()["object"], made);
    let list = admin.get(&format!("{SECRETS}?labelSelector=a%3Db")).await.ok();
    assert_eq!(list["items"][0]["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let changed = admin.patch("merge", &format!("{SECRETS}/a"), json!({"metadata": {"labels": {"a": "c"}}})).await.ok();
    assert_ne!(changed["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(watch.line().await, "MODIFIED a");
    let stale = json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {}});
    admin.patch("merge", &format!("{SECRETS}/a"), stale).await.fails(409, "modified");
    admin.delete(&format!("{SECRETS}/a"), Value::Null).await.ok();
    assert_eq!(watch.line().await, "DELETED a");
    // Kinds without a rule are as they were.
    admin.post("/api/v1/namespaces/default/configmaps", json!({"metadata": {"name": "c"}})).await.ok();
    let entry = server.store.get("/core/configmaps/default/c").await.unwrap().unwrap();
    assert!(entry.bytes.starts_with(b"{"));
    server.end().await;
}

#[tokio::test]
async fn keys_are_exchanged_and_sealing_ends_at_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), Encryption::default()).await;
    let made = first.admin.post(SECRETS, secret("a")).await.ok();
    assert!(first.kept("a").await.starts_with('{'));
    first.end().await;
    let mut before = "{".to_owned();
    for (encryption, expected) in [
        (file(dir.path(), "one", &[("k1", 1)]), "k8s:enc:aesgcm:v1:k1:"),
        (file(dir.path(), "two", &[("k2", 2), ("k1", 1)]), "k8s:enc:aesgcm:v1:k2:"),
        (file(dir.path(), "three", &[("k3", 3), ("k2", 2)]), "k8s:enc:aesgcm:v1:k3:"),
    ] {
        let server = start(dir.path(), encryption).await;
        until(async || server.kept("a").await.starts_with(expected)).await;
        let read = server.admin.get(&format!("{SECRETS}/a")).await.ok();
        assert_eq!((&read["data"], &read["metadata"]["uid"]), (&made["data"], &made["metadata"]["uid"]));
        before = expected.to_owned();
        server.end().await;
    }
    assert!(before.contains("k3"));
    // Identity first opens them for good.
    let Encryption { config: Some(path), .. } = file(dir.path(), "four", &[("k3", 3)]) else { unreachable!() };
    let mut settings: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    settings["resources"][0]["providers"].as_array_mut().unwrap().reverse();
    std::fs::write(&path, settings.to_string()).unwrap();
    let server = start(dir.path(), Encryption { secrets: false, config: Some(path) }).await;
    until(async || server.kept("a").await.starts_with('{')).await;
    server.end().await;
}

#[tokio::test]
async fn a_lost_key_is_an_error_of_its_objects_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), file(dir.path(), "one", &[("k1", 1)])).await;
    first.admin.post(SECRETS, secret("a")).await.ok();
    first.end().await;
    for (name, keys, why) in [
        ("other", vec![("k2", 2)], "it is sealed with the key \\\"k1\\\", which is not configured"),
        ("wrong", vec![("k1", 9)], "the key \\\"k1\\\" does not open it"),
    ] {
        let server = start(dir.path(), file(dir.path(), name, &keys)).await;
        server.admin.get(&format!("{SECRETS}/a")).await.fails(500, why);
        let status = server.admin.get(SECRETS).await.fails(500, why);
        assert_eq!(status["reason"], "StorageReadError");
        let cause = &status["details"]["causes"][0];
        assert_eq!(cause["field"], "/core/secrets/default/a");
        // The server goes on: other Secrets can be made and read.
        server.admin.post(SECRETS, secret(name)).await.ok();
        server.admin.get(&format!("{SECRETS}/{name}")).await.ok();
        server.admin.get("/readyz").await.ok();
        server.admin.delete(&format!("{SECRETS}/{name}"), Value::Null).await.ok();
        server.end().await;
    }
    let again = start(dir.path(), file(dir.path(), "back", &[("k1", 1)])).await;
    assert_eq!(again.admin.get(&format!("{SECRETS}/a")).await.ok()["data"]["password"], STANDARD.encode("hunter2"));
    again.end().await;
}

#[tokio::test]
async fn what_no_key_opens_can_be_removed_by_who_may() {
    let dir = tempfile::tempdir().unwrap();
    let first = start(dir.path(), file(dir.path(), "one", &[("k1", 1)])).await;
    first.admin.post(SECRETS, secret("a")).await.ok();
    let uid = first.admin.post(SECRETS, secret("b")).await.ok()["metadata"]["uid"].take();
    first.end().await;

    let server = start(dir.path(), file(dir.path(), "two", &[("k2", 2)])).await;
    let admin = &server.admin;
    let option = "ignoreStoreReadErrorWithClusterBreakingPotential";
    let path = |name: &str| format!("{SECRETS}/{name}?{option}=true");
    let status = admin.get(SECRETS).await.fails(500, "failed to read one or more secrets from the storage");
    assert_eq!(status["details"]["causes"].as_array().map(Vec::len), Some(2));
    admin.delete(&format!("{SECRETS}/a"), Value::Null).await.fails(500, "not configured");
    let editor = Client(server.api.loopback(Identity::user("jane", ["editors"])));
    let rights = |verbs: &[&str]| json!({"metadata": {"name": "deleters"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    admin.post(&format!("{roles}/roles"), rights(&["delete"])).await.ok();
    let binding = json!({"metadata": {"name": "deleters"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "deleters"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "editors"}]});
    admin.post(&format!("{roles}/rolebindings"), binding).await.ok();
    until(async || editor.delete(&format!("{SECRETS}/none"), Value::Null).await.code == 404).await;
    let refused = editor.delete(&path("a"), Value::Null).await;
    refused.fails(403, "secrets \\\"a\\\" is forbidden: not permitted to do \\\"unsafe-delete-ignore-read-errors\\\"");
    admin
        .delete(&format!("{SECRETS}?{option}=true"), Value::Null)
        .await
        .fails(422, "not allowed with DELETECOLLECTION");
    let both = json!({option: true, "gracePeriodSeconds": 0});
    admin.delete(&format!("{SECRETS}/a"), both).await.fails(422, "cannot be set together with .gracePeriodSeconds");
    admin.post(SECRETS, secret("c")).await.ok();
    for name in ["c", "missing"] {
        let refused = admin.delete(&path(name), Value::Null).await;
        let refused =
            refused.fails(422, "is exclusively used to delete corrupt object(s), try again by removing this option");
        assert_eq!((&refused["reason"], &refused["details"]["kind"]), (&json!("Invalid"), &json!("secrets")), "{name}");
        assert_eq!(refused["details"]["causes"][0]["field"], option);
    }

    let version = server.store.revision();
    let mut watch = admin.watch(&format!("{SECRETS}?watch=true&resourceVersion={version}&labelSelector=a%3Db")).await;
    admin.put(&format!("{roles}/roles/deleters"), rights(&["delete", "unsafe-delete-ignore-read-errors"])).await.ok();
    until(async || editor.delete(&path("a"), Value::Null).await.code == 200).await;
    let done = admin.delete(&format!("{SECRETS}/b"), json!({option: true})).await.ok();
    assert_eq!((&done["kind"], &done["status"]), (&json!("Status"), &json!("Success")));
    // Who knew them hears that they are gone.
    assert_eq!(watch.line().await, "DELETED a");
    let event = watch.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["uid"]), (&json!("DELETED"), &uid));
    let left = admin.get(SECRETS).await.ok();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    server.end().await;
}

#[tokio::test]
async fn what_was_plain_before_is_not_found_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let plain = |dir: &std::path::Path| {
        let password = STANDARD.encode("hunter2");
        let files = std::fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
        let holds = |path: &std::path::PathBuf| {
            path.is_file()
                && std::fs::read(path).unwrap().windows(password.len()).any(|part| part == password.as_bytes())
        };
        files.filter(holds).count()
    };
    let first = start(dir.path(), Encryption::default()).await;
    first.admin.post(SECRETS, secret("a")).await.ok();
    first.end().await;
    assert!(plain(dir.path()) > 0);
    let sealing = start(dir.path(), Encryption { secrets: true, config: None }).await;
    until(async || sealing.kept("a").await.starts_with("k8s:enc:") && !sealing.store.owes_scrub()).await;
    assert_eq!(plain(dir.path()), 0);
    assert_eq!(sealing.admin.get(&format!("{SECRETS}/a")).await.ok()["data"]["password"], STANDARD.encode("hunter2"));
    sealing.end().await;
}

#[tokio::test]
async fn a_lost_key_of_what_the_server_keeps_for_itself_does_not_keep_it_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let sealing = |name: &str, byte: u8| {
        let Encryption { config: Some(path), .. } = file(dir.path(), name, &[(name, byte)]) else { unreachable!() };
        let text = std::fs::read_to_string(&path).unwrap().replace("\"secrets\"", "\"secrets\",\"configmaps\"");
        std::fs::write(&path, text).unwrap();
        Encryption { secrets: false, config: Some(path) }
    };
    let maps = "/api/v1/namespaces/kube-system/configmaps";
    let first = start(dir.path(), sealing("one", 1)).await;
    first.admin.get(&format!("{maps}/extension-apiserver-authentication")).await.ok();
    first.end().await;
    let server = start(dir.path(), sealing("two", 2)).await;
    server.admin.get(&format!("{maps}/extension-apiserver-authentication")).await.fails(500, "not configured");
    server.admin.post(maps, json!({"metadata": {"name": "new"}})).await.ok();
    server.admin.get("/readyz").await.ok();
    server.end().await;
}

#[tokio::test]
async fn what_a_plain_backup_puts_back_is_sealed() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plain = start(from.path(), Encryption::default()).await;
    plain.admin.post(SECRETS, secret("a")).await.ok();
    let request = http::Request::builder().uri("/kedge/v1/backup").body(axum::body::Body::empty()).unwrap();
    let archive = plain.admin.raw(request).await.into_body().collect().await.unwrap().to_bytes();
    plain.end().await;
    let sealing = start(to.path(), Encryption { secrets: true, config: None }).await;
    sealing.admin.send("POST", "/kedge/v1/restore", &[], archive).await.ok();
    until(async || sealing.kept("a").await.starts_with("k8s:enc:") && !sealing.store.owes_scrub()).await;
    assert_eq!(sealing.admin.get(&format!("{SECRETS}/a")).await.ok()["data"]["password"], STANDARD.encode("hunter2"));
    sealing.end().await;
}
