//! Webhooks of authentication and authorization: whom a token names, and what they may do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use kedge_apiserver::{AccessWebhookSettings, Identity, TokenWebhookSettings};
use serde_json::{Value, json};

use crate::backend::{Backend, json_answer};
use crate::sockets::{code, serve};
use crate::support::{CONFIG_MAPS, Server, config_map, server_with};

/// Knows one token, lets jane do anything with config maps and roles and be somebody else, and forbids joe everything.
async fn backend() -> Backend {
    Backend::start(|request: Request<Bytes>| async move {
        let mut review: Value = serde_json::from_slice(request.body()).unwrap();
        let spec = review["spec"].clone();
        review["status"] = match request.uri().path() {
            "/tokens" if spec["token"] == "jane's" => {
                json!({"authenticated": true, "user": {"username": "jane", "uid": "7", "groups": ["ops"]}})
            }
            "/tokens" => json!({"authenticated": false}),
            _ if spec["user"] == "joe" => json!({"allowed": false, "denied": true, "reason": "never"}),
            _ => {
                let text = |key: &str| spec["resourceAttributes"][key].as_str().unwrap_or_default().to_owned();
                let may = ["configmaps", "clusterroles"].contains(&&*text("resource")) || text("verb") == "impersonate";
                json!({"allowed": may && spec["user"] == "jane", "reason": "because"})
            }
        };
        json_answer(200, &review)
    })
    .await
}

fn kubeconfig(dir: &Path, backend: &Backend, path: &str) -> PathBuf {
    let text = json!({"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "r", "user": ""}}],
        "clusters": [{"name": "r", "cluster": {"server": format!("https://localhost:{}{path}", backend.address.port()),
            "certificate-authority-data": backend.ca}}]});
    let file = dir.join(path.trim_start_matches('/'));
    std::fs::write(&file, text.to_string()).unwrap();
    file
}

async fn asking(backend: &Backend) -> Server {
    server_with(|config, _| {
        let dir = config.data_dir.clone();
        let believed = Duration::from_secs(60);
        config.token_webhook =
            Some(TokenWebhookSettings { kubeconfig: kubeconfig(&dir, backend, "/tokens"), believed });
        config.access_webhook = Some(AccessWebhookSettings {
            kubeconfig: kubeconfig(&dir, backend, "/access"),
            authorized: believed,
            unauthorized: Duration::ZERO,
        });
    })
    .await
}

#[tokio::test]
async fn a_token_that_nobody_here_knows_is_asked_about_once() {
    let backend = backend().await;
    let served = serve(asking(&backend).await).await;
    let get = |token: &str| format!("Authorization: Bearer {token}\r\n");
    assert_eq!(code(&served.get(CONFIG_MAPS, None, &get("nobody's")).await), 401);
    assert_eq!(code(&served.get(CONFIG_MAPS, None, &get("jane's")).await), 200);
    assert_eq!(code(&served.get(CONFIG_MAPS, None, &get("jane's")).await), 200);
    assert_eq!(code(&served.get("/api/v1/nodes", None, &get("jane's")).await), 403);
    let paths: Vec<String> = backend.take().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, ["/tokens", "/tokens", "/access", "/access"]);
    served.end().await;
}

#[tokio::test]
async fn what_no_role_grants_may_be_granted_elsewhere() {
    let backend = backend().await;
    let server = asking(&backend).await;
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    jane.get(CONFIG_MAPS).await.ok();
    jane.get("/version").await.ok();
    let asked = backend.take();
    assert_eq!(asked.len(), 1, "a role grants the version");
    assert_eq!(
        asked[0].body["spec"]["resourceAttributes"],
        json!({"verb": "list", "resource": "configmaps", "version": "v1", "namespace": "default"})
    );
    jane.get(&format!("{CONFIG_MAPS}?labelSelector=a%3Db&fieldSelector=metadata.name%3Dc")).await.ok();
    let attributes = &backend.take()[0].body["spec"]["resourceAttributes"];
    assert_eq!(
        (&attributes["labelSelector"], &attributes["fieldSelector"]),
        (
            &json!({"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}),
            &json!({"requirements": [{"key": "metadata.name", "operator": "In", "values": ["c"]}]})
        )
    );
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "resource": "configmaps", "namespace": "default"}}});
    let answer = jane.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review).await.ok();
    assert_eq!(answer["status"], json!({"allowed": true, "reason": "because"}));
    let rules = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": "default"}});
    let answer = jane.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", rules).await.ok();
    assert_eq!(answer["status"]["incomplete"], true);
    let of_joe = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "joe", "resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer = server.admin.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", of_joe).await.ok();
    assert_eq!(answer["status"], json!({"allowed": false, "denied": true, "reason": "never"}));
    drop(backend);
    server.as_user(Identity::user("joe", [""; 0])).get(CONFIG_MAPS).await.fails(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_needs_besides_may_be_granted_elsewhere_too() {
    let backend = backend().await;
    let server = asking(&backend).await;
    let jane = server.as_user(Identity::user("jane", [""; 0]));
    // Nobody gave her what the role grants, and she may act as somebody who may do nothing of this.
    let role =
        json!({"metadata": {"name": "wide"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    jane.post(roles, role.clone()).await.ok();
    let verbs: Vec<String> = backend
        .take()
        .iter()
        .map(|seen| seen.body["spec"]["resourceAttributes"]["verb"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(verbs, ["create", "escalate"]);
    let as_pete = [("impersonate-user", "pete")];
    jane.send("GET", CONFIG_MAPS, &as_pete, "").await.fails(403, "User \\\"pete\\\" cannot list");
    server.as_user(Identity::user("ann", [""; 0])).send("GET", "/version", &as_pete, "").await.fails(403, "ann");

    // Expressions ask as well.
    let group = "/apis/admissionregistration.k8s.io/v1";
    let asks = "authorizer.group('').resource('configmaps').namespace('default').check('delete').allowed()";
    let spec = json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
        "operations": ["CREATE"], "resources": ["configmaps"]}]}, "validations": [{"expression": asks}]});
    let policy = json!({"metadata": {"name": "asks"}, "spec": spec});
    server.admin.post(&format!("{group}/validatingadmissionpolicies"), policy).await.ok();
    let binding = json!({"metadata": {"name": "asks"}, "spec": {"policyName": "asks", "validationActions": ["Deny"]}});
    server.admin.post(&format!("{group}/validatingadmissionpolicybindings"), binding).await.ok();
    jane.post(CONFIG_MAPS, config_map("jane-s")).await.ok();
    assert!(backend.take().iter().any(|seen| seen.body["spec"]["resourceAttributes"]["verb"] == "delete"));
}
