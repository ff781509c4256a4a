//! Conversion over real TLS: a ConversionReview goes out, and its answer is held against the rules.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use super::{DEFINITIONS, WIDGETS, definition, established, open, widget};
use crate::backend::{Backend, json_answer};
use crate::support::server;

const NEWER: &str = "/apis/example.com/v2/namespaces/default/widgets";

/// Notes the version in the object; what it may not change it changes for objects of certain names.
async fn backend() -> Backend {
    Backend::start(|request: Request<Bytes>| async move {
        let review: Value = serde_json::from_slice(request.body()).unwrap();
        let wanted = &review["request"]["desiredAPIVersion"];
        let mut objects = review["request"]["objects"].as_array().unwrap().clone();
        for object in &mut objects {
            object["spec"][wanted.as_str().unwrap().rsplit('/').next().unwrap()] = json!(true);
            object["apiVersion"] = wanted.clone();
            if object["metadata"]["name"] == "renamed" {
                object["metadata"]["name"] = json!("other");
            }
        }
        let lost = objects.iter().any(|o| o["metadata"]["name"] == "lost");
        let refused = objects.iter().any(|o| o["metadata"]["name"] == "refused");
        let result =
            if refused { json!({"status": "Failed", "message": "not this one"}) } else { json!({"status": "Success"}) };
        let objects = if lost { json!([]) } else { Value::Array(objects) };
        json_answer(
            200,
            &json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
            "response": {"uid": review["request"]["uid"], "result": result, "convertedObjects": objects}}),
        )
    })
    .await
}

#[tokio::test]
async fn a_conversion_review_is_asked_and_its_answer_checked() {
    let (server, backend) = (server().await, backend().await);
    let admin = &server.admin;
    let mut two = definition(open());
    let mut second = two["spec"]["versions"][0].clone();
    (second["name"], second["storage"]) = (json!("v2"), json!(false));
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    two["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": backend.client_config("/convert")}});
    established(admin, two).await;
    for name in ["a", "renamed", "lost", "refused"] {
        admin.post(WIDGETS, widget(name, json!({"x": 1}))).await.ok();
    }
    assert!(backend.take().is_empty(), "nobody is asked where nothing changes");
    let seen = admin.get(&format!("{NEWER}/a")).await.ok();
    assert_eq!((&seen["apiVersion"], &seen["spec"]), (&json!("example.com/v2"), &json!({"x": 1, "v2": true})));
    let asked = backend.take().remove(0);
    assert_eq!((asked.path(), &asked.body["apiVersion"]), ("/convert", &json!("apiextensions.k8s.io/v1")));
    assert_eq!(asked.body["request"]["objects"][0]["apiVersion"], "example.com/v1");
    let kind = "conversion webhook for example.com/v1, Kind=Widget";
    for (name, expected) in [
        (
            "renamed",
            format!("{kind} returned invalid converted object at index 0: must have the same name: renamed != other"),
        ),
        ("lost", format!("{kind} returned 0 objects, expected 1")),
        ("refused", format!("{kind} failed: not this one")),
    ] {
        admin.get(&format!("{NEWER}/{name}")).await.fails(500, &expected);
    }
    let gone = json!([{"op": "replace", "path": "/spec/conversion/webhook/clientConfig/url", "value": "https://127.0.0.1:1/"}]);
    admin.patch("json", &format!("{DEFINITIONS}/widgets.example.com"), gone).await.ok();
    // The table of kinds follows the definition by an event.
    let mut answer = admin.get(&format!("{NEWER}/a")).await;
    while answer.code == 200 {
        tokio::task::yield_now().await;
        answer = admin.get(&format!("{NEWER}/a")).await;
    }
    answer.fails(
        500,
        &format!("{kind} failed: Post \\\"https://127.0.0.1:1/?timeout=30s\\\": dial tcp 127.0.0.1:1: connect: connection refused"),
    );
    let metrics = admin.get("/metrics").await.text;
    assert!(
        metrics.contains("apiserver_crd_conversion_webhook_request_total{failure_type=\"\",result=\"success\"}"),
        "{metrics}"
    );
}
