//! Whole bodies of refusals, as Kubernetes sends them.

use axum::body::Body;
use kedge_apiserver::Identity;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, Reply, Server, config_map, deployment, server};

/// A refusal with everything that stands in its body.
#[track_caller]
fn is(reply: Reply, code: u16, reason: &str, message: &str, details: Value) {
    let mut expected = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code});
    if !details.is_null() {
        expected["details"] = details;
    }
    assert_eq!(reply.body, expected);
    assert_eq!(reply.code, code);
}

fn cause(reason: &str, field: &str, message: &str) -> Value {
    json!({"reason": reason, "message": message, "field": field})
}

async fn with_map() -> (Server, Value) {
    let server = server().await;
    let made = server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    (server, made)
}

#[tokio::test]
async fn what_is_invalid() {
    let server = server().await;
    let admin = &server.admin;
    let mut one = deployment("d");
    one["spec"]["replicas"] = json!(-1);
    let negative = "Invalid value: -1: must be greater than or equal to 0";
    is(
        admin.post(DEPLOYMENTS, one.clone()).await,
        422,
        "Invalid",
        &format!("Deployment.apps \"d\" is invalid: spec.replicas: {negative}"),
        json!({"name": "d", "group": "apps", "kind": "Deployment",
            "causes": [cause("FieldValueInvalid", "spec.replicas", negative)]}),
    );
    one["spec"]["template"]["spec"]["containers"] = json!([{"name": "c"}]);
    one["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    let (image, policy) = ("spec.template.spec.containers[0].image", "spec.template.spec.restartPolicy");
    let unsupported = "Unsupported value: \"Never\": supported values: \"Always\"";
    is(
        admin.post(DEPLOYMENTS, one).await,
        422,
        "Invalid",
        &format!(
            "Deployment.apps \"d\" is invalid: [spec.replicas: {negative}, {image}: Required value, {policy}: {unsupported}]"
        ),
        json!({"name": "d", "group": "apps", "kind": "Deployment", "causes": [
            cause("FieldValueInvalid", "spec.replicas", negative),
            cause("FieldValueRequired", image, "Required value"),
            cause("FieldValueNotSupported", policy, unsupported),
        ]}),
    );
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let path = "/api/v1/namespaces/default/persistentvolumeclaims";
    let mut kept = admin.post(path, claim).await.ok();
    kept["spec"]["accessModes"] = json!(["ReadWriteMany"]);
    let refused = admin.put(&format!("{path}/c"), kept).await;
    let body = refused.fails(422, "spec is immutable after creation except");
    let cause = &body["details"]["causes"][0];
    assert_eq!((&cause["reason"], &cause["field"]), (&json!("FieldValueForbidden"), &json!("spec")));
    assert_eq!((&body["details"]["name"], &body["details"]["kind"]), (&json!("c"), &json!("PersistentVolumeClaim")));
    assert_eq!(body["details"].get("group"), None);
}

#[tokio::test]
async fn what_is_there_or_not() {
    let (server, made) = with_map().await;
    let admin = &server.admin;
    let details = json!({"name": "a", "kind": "configmaps"});
    is(
        admin.get(&format!("{CONFIG_MAPS}/b")).await,
        404,
        "NotFound",
        "configmaps \"b\" not found",
        json!({"name": "b", "kind": "configmaps"}),
    );
    is(
        admin.post(CONFIG_MAPS, config_map("a")).await,
        409,
        "AlreadyExists",
        "configmaps \"a\" already exists",
        details.clone(),
    );
    let mut stale = made.clone();
    stale["metadata"]["resourceVersion"] = json!("1");
    is(
        admin.put(&format!("{CONFIG_MAPS}/a"), stale).await,
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to \
         the latest version and try again",
        details.clone(),
    );
    let uid = made["metadata"]["uid"].as_str().unwrap();
    is(
        admin.delete(&format!("{CONFIG_MAPS}/a"), json!({"preconditions": {"uid": "other"}})).await,
        409,
        "Conflict",
        &format!(
            "Operation cannot be fulfilled on configmaps \"a\": Precondition failed: UID in precondition: other, UID in \
             object meta: {uid}"
        ),
        details,
    );
    is(
        admin.post("/api/v1/namespaces/nope/configmaps", config_map("a")).await,
        404,
        "NotFound",
        "namespaces \"nope\" not found",
        json!({"name": "nope", "kind": "namespaces"}),
    );
    is(
        admin.get("/apis/nope/v1/things").await,
        404,
        "NotFound",
        "the server could not find the requested resource",
        json!({}),
    );
}

#[tokio::test]
async fn what_does_not_fit() {
    let (server, _) = with_map().await;
    let admin = &server.admin;
    let mut unknown = config_map("b");
    unknown["dta"] = json!({});
    is(
        admin.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), unknown).await,
        400,
        "BadRequest",
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dta\"",
        Value::Null,
    );
    let shown = "map[dta:map[]]";
    let why = format!("Invalid value: \"{shown}\": strict decoding error: unknown field \"dta\"");
    is(
        admin.patch("strategic-merge", &format!("{CONFIG_MAPS}/a?fieldValidation=Strict"), json!({"dta": {}})).await,
        422,
        "Invalid",
        &format!(" \"\" is invalid: patch: {why}"),
        json!({"causes": [cause("FieldValueInvalid", "patch", &why)]}),
    );
    is(
        admin
            .post("/api/v1/namespaces/other/configmaps", {
                let mut map = config_map("b");
                map["metadata"]["namespace"] = json!("default");
                map
            })
            .await,
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
        Value::Null,
    );
    is(
        admin.post(&format!("{CONFIG_MAPS}/a"), config_map("a")).await,
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        json!({}),
    );
    is(
        admin.send("POST", CONFIG_MAPS, &[("content-type", "text/plain")], Body::from("x")).await,
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml, application/vnd.kubernetes.protobuf",
        Value::Null,
    );
    let who = Identity::user("bob", [""; 0]);
    is(
        server.as_user(who).get(CONFIG_MAPS).await,
        403,
        "Forbidden",
        "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the namespace \
         \"default\"",
        json!({"kind": "configmaps"}),
    );
}
