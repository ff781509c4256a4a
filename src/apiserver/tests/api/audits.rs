//! The audit log: what is written to a file and sent to a receiver, by policy.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kedge_apiserver::{AuditLog, AuditSettings, Identity};
use serde_json::{Value, json};

use crate::backend::{Backend, json_answer};
use crate::support::{CONFIG_MAPS, Server, config_map, server_with};

const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:apiserver"]}
- {level: RequestResponse, resources: [{group: "", resources: [configmaps]}]}
- {level: Metadata, resources: [{group: "", resources: [secrets, endpoints]}, {group: batch, resources: [cronjobs]}]}
"#;

async fn audited(webhook: Option<String>) -> Server {
    server_with(move |config, _| {
        let policy = config.data_dir.join("policy.yaml");
        std::fs::write(&policy, POLICY).unwrap();
        let webhook = webhook.map(|text| {
            let path = config.data_dir.join("receiver.yaml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let log = AuditLog {
            path: config.data_dir.join("audit/audit.log"),
            max_bytes: 1 << 20,
            max_files: 2,
            max_age: Duration::ZERO,
            delay: Duration::from_millis(10),
        };
        config.audit = Some(AuditSettings { policy, log: Some(log), webhook });
    })
    .await
}

/// The Events of the log, once the server has ended.
async fn events(server: &Server) -> Vec<Value> {
    server.api.close().await;
    read(&server.dir.path().join("audit/audit.log"))
}

fn read(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn requests_are_written_down_as_the_policy_says() {
    let server = audited(None).await;
    let made = server.admin.post(CONFIG_MAPS, config_map("a")).await;
    let id = made.headers["audit-id"].to_str().unwrap().to_owned();
    made.ok();
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    let headers = [("audit-id", "mine"), ("x-forwarded-for", "192.0.2.7"), ("user-agent", "agent/1")];
    jane.send("GET", "/api/v1/namespaces/default/secrets/s?x=y", &headers, axum::body::Body::empty())
        .await
        .fails(403, "forbidden");
    let unwatched = server.admin.get("/api/v1/nodes").await;
    assert!(unwatched.headers.get("audit-id").is_none());

    let events = events(&server).await;
    assert_eq!(events.len(), 2, "{events:#?}");
    let first = &events[0];
    assert_eq!(
        (&first["auditID"], &first["stage"], &first["verb"]),
        (&json!(id), &json!("ResponseComplete"), &json!("create"))
    );
    assert_eq!(
        first["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"})
    );
    assert_eq!((&first["requestObject"]["data"]["k"], &first["responseStatus"]["code"]), (&json!("v"), &json!(201)));
    assert_eq!(
        (&first["responseObject"]["metadata"]["name"], first["responseObject"]["metadata"].get("managedFields")),
        (&json!("a"), None)
    );
    assert_eq!(first["annotations"]["authorization.k8s.io/decision"], "allow");
    let second = &events[1];
    assert_eq!(
        (&second["auditID"], &second["level"], &second["userAgent"]),
        (&json!("mine"), &json!("Metadata"), &json!("agent/1"))
    );
    assert_eq!((&second["sourceIPs"], &second["user"]["username"]), (&json!(["192.0.2.7"]), &json!("jane")));
    assert_eq!(second["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(
        (&second["responseStatus"]["code"], &second["responseStatus"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    assert_eq!(second.get("requestObject"), None);
}

#[tokio::test]
async fn a_time_that_cannot_be_read_is_refused_and_written_down() {
    let server = audited(None).await;
    let target = format!("{CONFIG_MAPS}?timeout=soon");
    server.admin.get(&target).await.fails(400, "invalid timeout specified in the request URL");
    let events = events(&server).await;
    assert_eq!(events.len(), 1, "{events:#?}");
    let event = &events[0];
    assert_eq!((&event["stage"], &event["user"]), (&json!("ResponseStarted"), &json!({"username": ""})));
    assert_eq!(event["requestURI"], json!(target));
    let status = &event["responseStatus"];
    assert_eq!((&status["code"], &status["reason"]), (&json!(400), &json!("BadRequest")));
}

#[tokio::test]
async fn watches_are_written_down_when_they_begin_and_end() {
    let server = audited(None).await;
    let watch = server.admin.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    drop(watch);
    let stages: Vec<String> = events(&server).await.iter().map(|e| e["stage"].as_str().unwrap().to_owned()).collect();
    assert_eq!(stages, ["ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn events_are_sent_to_a_receiver() {
    let backend = Backend::start(|_: Request<Bytes>| async { json_answer(200, &json!({})) }).await;
    let kubeconfig = json!({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "r", "user": "u"}}],
        "clusters": [{"name": "r", "cluster": {"server": format!("https://localhost:{}/events", backend.address.port()),
            "certificate-authority-data": backend.ca}}],
        "users": [{"name": "u", "user": {"token": "t0ken"}}]});
    let server = audited(Some(kubeconfig.to_string())).await;
    server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    server.api.close().await;
    let sent = backend.take().remove(0);
    assert_eq!((sent.path(), sent.header("authorization")), ("/events", vec!["Bearer t0ken".to_owned()]));
    assert_eq!((&sent.body["kind"], &sent.body["items"][0]["objectRef"]["name"]), (&json!("EventList"), &json!("a")));
}

#[tokio::test]
async fn webhooks_leave_their_annotations() {
    let backend = Backend::start(|request: Request<Bytes>| async move {
        let review: Value = serde_json::from_slice(request.body()).unwrap();
        json_answer(
            200,
            &json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
            "response": {"uid": review["request"]["uid"], "allowed": true, "auditAnnotations": {"seen": "yes"}}}),
        )
    })
    .await;
    let server = audited(None).await;
    let hooks = json!([{"name": "a.example.com", "clientConfig": backend.client_config("/"), "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"], "operations": ["CREATE"]}]}]);
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "c"}, "webhooks": hooks});
    server.admin.post("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", configuration).await.ok();
    server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let annotations = events(&server).await[0]["annotations"].clone();
    assert_eq!(annotations["a.example.com/seen"], "yes");
    assert_eq!(
        annotations["mutation.webhook.admission.k8s.io/round_0_index_0"],
        "{\"configuration\":\"c\",\"mutated\":false,\"webhook\":\"a.example.com\"}"
    );
}

#[tokio::test]
async fn old_versions_are_marked() {
    let server = audited(None).await;
    server.admin.get("/api/v1/namespaces/default/endpoints").await.ok();
    server.admin.get("/apis/batch/v1beta1/namespaces/default/cronjobs").await.ok();
    server.admin.get("/apis/batch/v1/namespaces/default/cronjobs").await.ok();
    let marks: Vec<Value> = events(&server)
        .await
        .iter()
        .map(|event| json!(["k8s.io/deprecated", "k8s.io/removed-release"].map(|key| &event["annotations"][key])))
        .collect();
    assert_eq!(json!(marks), json!([["true", null], ["true", "1.25"], [null, null]]));
}
