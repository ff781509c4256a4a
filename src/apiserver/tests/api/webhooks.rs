//! Admission webhooks over real TLS: what they are shown, what they may change and refuse.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::backend::{Backend, door, json_answer};
use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, server};

const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// A webhook that answers by its path.
async fn backend() -> Backend {
    Backend::start(|request: Request<Bytes>| async move {
        let review: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
        let uid = &review["request"]["uid"];
        let patch = |operations: Value| {
            json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
        };
        let data = &review["request"]["object"]["data"];
        let response = match request.uri().path() {
            "/allow" => json!({"uid": uid, "allowed": true, "warnings": ["mind the gap"]}),
            "/deny" => json!({"uid": uid, "allowed": false, "status": {"message": "not today", "code": 403, "reason": "Forbidden"}}),
            "/first" => patch(json!([{"op": "add", "path": "/data/first", "value": "1"}])),
            // Adds something only once the first one has.
            "/second" if data.get("first").is_some() && data.get("second").is_none() => {
                patch(json!([{"op": "add", "path": "/data/second", "value": "2"}]))
            }
            "/init" => patch(json!([{"op": "add", "path": "/spec/initContainers", "value": [{"name": "i", "image": "x"}]}])),
            "/other-uid" => json!({"uid": "x", "allowed": true}),
            "/broken" => return http::Response::builder().status(500).body("boom".into()).unwrap(),
            "/slow" => {
                tokio::time::sleep(Duration::from_secs(20)).await;
                Value::Null
            }
            _ => json!({"uid": uid, "allowed": true}),
        };
        let version = review["apiVersion"].clone();
        json_answer(200, &json!({"kind": "AdmissionReview", "apiVersion": version, "response": response}))
    })
    .await
}

fn rule(group: &str, resources: &[&str], operations: &[&str]) -> Value {
    json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": resources, "operations": operations})
}

fn hook(name: &str, client: Value, rule: Value) -> Value {
    json!({"name": name, "clientConfig": client, "rules": [rule], "sideEffects": "None",
        "admissionReviewVersions": ["v1", "v1beta1"], "timeoutSeconds": 5})
}

fn configuration(kind: &str, name: &str, hooks: Value) -> Value {
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": hooks})
}

/// Registers webhooks; they are asked once that is acknowledged.
async fn register(server: &Server, path: &str, name: &str, hooks: Value) {
    let kind = if path == MUTATING { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" };
    server.admin.post(path, configuration(kind, name, hooks)).await.ok();
}

#[tokio::test]
async fn a_validating_webhook_sees_the_request_and_may_refuse_it() {
    let (server, backend) = (server().await, backend().await);
    let hooks = json!([
        hook(
            "allow.example.com",
            backend.client_config("/allow"),
            rule("", &["configmaps"], &["CREATE", "UPDATE", "DELETE"])
        ),
        hook("deny.example.com", backend.client_config("/deny"), rule("", &["secrets"], &["*"])),
    ]);
    register(&server, VALIDATING, "hooks", hooks).await;
    let made = server.admin.post(CONFIG_MAPS, config_map("a")).await;
    assert!(made.warnings().iter().any(|w| w.contains("mind the gap")), "{:?}", made.warnings());
    made.ok();
    let seen = backend.take();
    assert_eq!((seen.len(), seen[0].path(), seen[0].head.uri.query()), (1, "/allow", Some("timeout=5s")));
    assert!(seen[0].client.is_empty(), "no certificate is shown to a webhook");
    let request = &seen[0].body["request"];
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(request["resource"], json!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!((&request["operation"], &request["name"]), (&json!("CREATE"), &json!("a")));
    assert_eq!((&request["namespace"], &request["dryRun"]), (&json!("default"), &json!(false)));
    assert_eq!(request["userInfo"]["username"], "admin");
    assert_eq!((&request["object"]["data"]["k"], &request["oldObject"]), (&json!("v"), &Value::Null));
    assert_eq!(request["options"], json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}));

    let path = format!("{CONFIG_MAPS}/a?fieldManager=me&fieldValidation=Strict");
    server.admin.patch("merge", &path, json!({"data": {"k": "w"}})).await.ok();
    let request = backend.take().remove(0).body["request"].take();
    assert_eq!((&request["operation"], &request["oldObject"]["data"]["k"]), (&json!("UPDATE"), &json!("v")));
    let options = json!({"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me",
        "fieldValidation": "Strict"});
    assert_eq!(request["options"], options);
    server.admin.delete(&format!("{CONFIG_MAPS}/a"), json!({"propagationPolicy": "Background"})).await.ok();
    let request = backend.take().remove(0).body["request"].take();
    assert_eq!((&request["operation"], &request["object"]), (&json!("DELETE"), &Value::Null));
    assert_eq!(request["oldObject"]["data"]["k"], "w");
    let options = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"});
    assert_eq!(request["options"], options);
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::Relaxed), 1, "the connection is used again");

    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    let refused = server.admin.post("/api/v1/namespaces/default/secrets", secret).await;
    let status = refused.fails(403, "admission webhook \\\"deny.example.com\\\" denied the request: not today");
    assert_eq!(status["reason"], "Forbidden");
    server.admin.get("/api/v1/namespaces/default/secrets/s").await.fails(404, "not found");
    let metrics = server.admin.get("/metrics").await.text;
    assert!(
        metrics.contains("apiserver_admission_webhook_rejection_count{error_type=\"no_error\",name=\"deny.example.com\",operation=\"CREATE\",type=\"validating\",rejection_code=\"403\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn mutating_webhooks_are_asked_in_order_and_again_after_a_change() {
    let (server, backend) = (server().await, backend().await);
    let mut second =
        hook("second.example.com", backend.client_config("/second"), rule("", &["configmaps"], &["CREATE"]));
    second["reinvocationPolicy"] = json!("IfNeeded");
    let first = hook("first.example.com", backend.client_config("/first"), rule("", &["configmaps"], &["CREATE"]));
    // The second is asked before the first, and again once the first changed something.
    register(&server, MUTATING, "hooks", json!([second, first])).await;
    let made = server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    assert_eq!(made["data"], json!({"k": "v", "first": "1", "second": "2"}));
    let paths: Vec<String> = backend.take().iter().map(|s| s.path().to_owned()).collect();
    assert_eq!(paths, ["/second", "/first", "/second"]);
}

#[tokio::test]
async fn what_a_webhook_adds_gets_defaults() {
    let (server, backend) = (server().await.with_account().await, backend().await);
    let init = hook("init.example.com", backend.client_config("/init"), rule("", &["pods"], &["CREATE"]));
    register(&server, MUTATING, "hooks", json!([init])).await;
    let made = server.admin.post(PODS, pod("a")).await.ok();
    assert_eq!(made["spec"]["initContainers"][0]["terminationMessagePolicy"], "File");
}

#[tokio::test]
async fn selectors_rules_and_versions_decide_who_is_asked() {
    let (server, backend) = (server().await, backend().await);
    let mut one = hook("one.example.com", backend.client_config("/one"), rule("", &["configmaps"], &["CREATE"]));
    one["objectSelector"] = json!({"matchLabels": {"watched": "yes"}});
    let mut two = hook("two.example.com", backend.client_config("/two"), rule("", &["configmaps"], &["CREATE"]));
    two["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": "kube-public"}});
    let mut three = hook("three.example.com", backend.client_config("/three"), rule("", &["nothing"], &["*"]));
    three["rules"] = json!([{"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"], "operations": ["CREATE"]}]);
    register(&server, VALIDATING, "hooks", json!([one, two, three])).await;
    server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    assert_eq!(backend.take().len(), 0);
    let mut labelled = config_map("b");
    labelled["metadata"]["labels"] = json!({"watched": "yes"});
    server.admin.post(CONFIG_MAPS, labelled).await.ok();
    assert_eq!(backend.take()[0].path(), "/one");
    server.admin.post("/api/v1/namespaces/kube-public/configmaps", config_map("c")).await.ok();
    assert_eq!(backend.take()[0].path(), "/two");
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a", "apiVersion": "apps/v1"}}});
    server.admin.post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", scaler).await.ok();
    let request = backend.take().remove(0).body["request"].take();
    assert_eq!((&request["kind"]["version"], &request["requestKind"]["version"]), (&json!("v1"), &json!("v2")));
    assert_eq!(request["object"]["apiVersion"], "autoscaling/v1");
}

#[tokio::test]
async fn failing_to_ask_is_a_refusal_or_nothing() {
    let (server, backend) = (server().await, backend().await);
    let rows: [(&str, Value, &str); 6] = [
        (
            "/broken",
            backend.client_config("/broken"),
            "failed to call webhook: an error on the server (\\\"boom\\\") has prevented the request from succeeding",
        ),
        (
            "/other-uid",
            backend.client_config("/other-uid"),
            "received invalid webhook response: expected response.uid=",
        ),
        (
            "untrusted",
            json!({"url": format!("https://localhost:{}/x", backend.address.port())}),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        (
            "nobody",
            json!({"url": "https://127.0.0.1:1/x", "caBundle": backend.ca}),
            "dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (
            "no service",
            json!({"service": {"namespace": "default", "name": "gone"}, "caBundle": backend.ca}),
            "service \\\"gone\\\" not found",
        ),
        ("/slow", backend.client_config("/slow"), "context deadline exceeded"),
    ];
    for (name, client, expected) in rows {
        let mut fails = hook("fails.example.com", client, rule("", &["configmaps"], &["CREATE"]));
        fails["timeoutSeconds"] = json!(1);
        register(&server, VALIDATING, "hooks", json!([fails.clone()])).await;
        let refused = server.admin.post(CONFIG_MAPS, config_map("a")).await;
        assert!(
            refused.text.contains("failed calling webhook \\\"fails.example.com\\\": "),
            "{name}: {}",
            refused.text
        );
        let status = refused.fails(500, expected);
        assert_eq!(status["reason"], "InternalError", "{name}");
        server.admin.delete(&format!("{VALIDATING}/hooks"), Value::Null).await.ok();

        fails["failurePolicy"] = json!("Ignore");
        register(&server, VALIDATING, "open", json!([fails])).await;
        server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
        server.admin.delete(&format!("{VALIDATING}/open"), Value::Null).await.ok();
        server.admin.delete(&format!("{CONFIG_MAPS}/a"), Value::Null).await.ok();
    }
    assert!(
        server
            .admin
            .get("/metrics")
            .await
            .text
            .contains("apiserver_admission_webhook_fail_open_count{name=\"fails.example.com\",type=\"validating\"} 6")
    );
}

#[tokio::test]
async fn a_service_is_reached_by_its_endpoints() {
    let (server, backend) = (server().await, backend().await);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"},
        "spec": {"ports": [{"port": 8443, "targetPort": 9}]}});
    server.admin.post("/api/v1/namespaces/default/services", service).await.ok();
    let client = json!({"service": {"namespace": "default", "name": "hook", "port": 8443, "path": "/allow"}, "caBundle": backend.ca});
    let any = hook("any.example.com", client, rule("", &["configmaps"], &["CREATE"]));
    register(&server, VALIDATING, "hooks", json!([any])).await;
    server.admin.post(CONFIG_MAPS, config_map("a")).await.fails(500, "no endpoints available for service \\\"hook\\\"");
    // Endpoints are never on the loopback device; a machine without a network has no other.
    let Some(door) = door(backend.address).await else { return };
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [door.ip().to_string()]}], "ports": [{"name": "", "port": door.port()}]});
    server.admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.ok();
    server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    assert_eq!(backend.take()[0].header("host"), ["hook.default.svc:8443"]);
}

#[tokio::test]
async fn dry_runs_scales_and_own_configurations_have_their_rules() {
    let (server, backend) = (server().await, backend().await);
    let mut some = hook("some.example.com", backend.client_config("/allow"), rule("", &["configmaps"], &["*"]));
    some["sideEffects"] = json!("NoneOnDryRun");
    let scale =
        hook("scale.example.com", backend.client_config("/scale"), rule("apps", &["deployments/scale"], &["UPDATE"]));
    let all = hook(
        "all.example.com",
        backend.client_config("/deny"),
        json!({"apiGroups": ["admissionregistration.k8s.io"],
        "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}),
    );
    register(&server, VALIDATING, "hooks", json!([some, scale, all])).await;
    server.admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), config_map("a")).await.ok();
    assert_eq!(backend.take()[0].body["request"]["dryRun"], true);
    server.admin.get(&format!("{CONFIG_MAPS}/a")).await.fails(404, "");

    server.admin.post(DEPLOYMENTS, deployment("d")).await.ok();
    server.admin.patch("merge", &format!("{DEPLOYMENTS}/d/scale"), json!({"spec": {"replicas": 7}})).await.ok();
    let request = backend.take().remove(0).body["request"].take();
    assert_eq!(request["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((&request["subResource"], &request["object"]["spec"]["replicas"]), (&json!("scale"), &json!(7)));
    assert_eq!(request["oldObject"]["spec"]["replicas"], 2);

    server.admin.delete(&format!("{VALIDATING}/hooks"), Value::Null).await.ok();
    assert_eq!(backend.take().len(), 0, "nobody is asked about the configurations themselves");
}

#[tokio::test]
async fn opening_a_stream_is_shown_as_connect() {
    let (server, backend) = (server().await.with_account().await, backend().await);
    let attach = hook(
        "attach.example.com",
        backend.client_config("/deny"),
        rule("", &["pods/attach", "pods/exec"], &["CONNECT"]),
    );
    register(&server, VALIDATING, "hooks", json!([attach])).await;
    let mut bound = pod("a");
    bound["spec"]["nodeName"] = json!("n");
    server.admin.post(PODS, bound).await.ok();
    let refused = server.admin.get(&format!("{PODS}/a/exec?command=ls&command=-l&stdout=true&container=c")).await;
    refused.fails(403, "not today");
    let request = backend.take().remove(0).body["request"].take();
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "PodExecOptions"}));
    assert_eq!((&request["operation"], &request["subResource"]), (&json!("CONNECT"), &json!("exec")));
    assert_eq!(request["object"]["command"], json!(["ls", "-l"]));
    assert_eq!((&request["object"]["stdout"], &request["oldObject"]), (&json!(true), &Value::Null));
}
