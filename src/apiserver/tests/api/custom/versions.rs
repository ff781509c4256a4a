//! Several versions of a custom kind: by name only, and by somebody who converts.

use std::sync::Arc;

use kedge_api::Object;
use kedge_api::custom::Definition;
use kedge_apiserver::Converter;
use serde_json::{Value, json};

use super::{DEFINITIONS, WIDGETS, definition, established, open, widget, with_spec};
use crate::support::{server, server_with};

const NEWER: &str = "/apis/example.com/v2/namespaces/default/widgets";

/// Two served versions, the first one kept.
fn two() -> Value {
    let mut two = definition(open());
    let mut second = two["spec"]["versions"][0].clone();
    (second["name"], second["storage"]) = (json!("v2"), json!(false));
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    two
}

#[tokio::test]
async fn versions_share_their_objects() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, two()).await;
    admin.post(WIDGETS, widget("a", json!({"x": 1}))).await.ok();
    let seen = admin.get(&format!("{NEWER}/a")).await.ok();
    assert_eq!((&seen["apiVersion"], &seen["spec"]), (&json!("example.com/v2"), &json!({"x": 1})));
    let mut watch = admin.watch(&format!("{NEWER}?watch=true")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], "example.com/v2");
    let mut changed = seen.clone();
    changed["spec"]["x"] = json!(2);
    assert_eq!(admin.put(&format!("{NEWER}/a"), changed).await.ok()["apiVersion"], "example.com/v2");
    assert_eq!(watch.next().await.unwrap()["object"]["apiVersion"], "example.com/v2");
    assert_eq!(admin.get(&format!("{WIDGETS}/a")).await.ok()["apiVersion"], "example.com/v1");
    admin.post(NEWER, widget("b", json!({}))).await.fails(400, "does not match the expected API version");

    // The other version is kept from now on; what is kept already stays readable.
    admin
        .patch(
            "json",
            &format!("{DEFINITIONS}/widgets.example.com"),
            json!([
        {"op": "replace", "path": "/spec/versions/0/storage", "value": false},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": true}]),
        )
        .await
        .ok();
    let after = admin.get(&format!("{DEFINITIONS}/widgets.example.com")).await.ok();
    assert_eq!(after["status"]["storedVersions"], json!(["v1", "v2"]));
    let list = admin.get(NEWER).await.ok();
    assert_eq!(
        (&list["items"][0]["apiVersion"], &list["items"][0]["spec"]["x"]),
        (&json!("example.com/v2"), &json!(2))
    );
    assert_eq!(admin.get(WIDGETS).await.ok()["items"][0]["apiVersion"], "example.com/v1");
    admin
        .patch(
            "json",
            &format!("{DEFINITIONS}/widgets.example.com"),
            json!([{"op": "remove", "path": "/spec/versions/0"}]),
        )
        .await
        .fails(422, "missing from spec.versions; v1 was previously a storage version");
}

/// Version 1 says `host` and `port` apart, version 2 together.
struct HostPort;

#[async_trait::async_trait]
impl Converter for HostPort {
    async fn convert(
        &self,
        definition: &Definition,
        objects: Vec<Object>,
        version: &str,
    ) -> Result<Vec<Object>, String> {
        assert_eq!(definition.webhook.as_ref().unwrap()["conversionReviewVersions"], json!(["v1"]));
        objects.into_iter().map(|mut object| {
            object["apiVersion"] = json!(version);
            if object["spec"]["host"] == "broken" {
                return Err("conversion webhook for example.com/v1, Kind=Widget failed: no".to_owned());
            }
            object["spec"] = match version {
                "example.com/v2" => json!({"address": format!("{}:{}", object["spec"]["host"].as_str().unwrap(), object["spec"]["port"])}),
                _ => {
                    let (host, port) = object["spec"]["address"].as_str().unwrap().split_once(':').unwrap();
                    json!({"host": host, "port": port.parse::<i64>().unwrap()})
                }
            };
            Ok(object)
        }).collect()
    }
}

#[tokio::test]
async fn a_webhook_converts_what_is_read_and_written() {
    let server = server_with(|_, parts| parts.converter = Some(Arc::new(HostPort))).await;
    let admin = &server.admin;
    let mut two = two();
    two["spec"]["versions"][0]["schema"] = json!({"openAPIV3Schema": with_spec(json!({"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "integer"}}}))});
    two["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.host"}]);
    two["spec"]["versions"][1]["schema"] =
        json!({"openAPIV3Schema": with_spec(json!({"type": "object", "properties": {"address": {"type": "string"}}}))});
    two["spec"]["versions"][1]["selectableFields"] = json!([{"jsonPath": ".spec.address"}]);
    two["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com/convert"}}});
    established(admin, two).await;
    let mut newer = widget("a", json!({"address": "h:80"}));
    newer["apiVersion"] = json!("example.com/v2");
    assert_eq!(admin.post(NEWER, newer).await.ok()["spec"], json!({"address": "h:80"}));
    assert_eq!(admin.get(&format!("{WIDGETS}/a")).await.ok()["spec"], json!({"host": "h", "port": 80}));
    assert_eq!(admin.get(NEWER).await.ok()["items"][0]["spec"], json!({"address": "h:80"}));
    // Each version is selected by its own fields.
    let count = async |path: &str| admin.get(path).await.ok()["items"].as_array().unwrap().len();
    assert_eq!(count(&format!("{NEWER}?fieldSelector=spec.address%3Dh:80")).await, 1);
    assert_eq!(count(&format!("{NEWER}?fieldSelector=spec.address%3Dh:81")).await, 0);
    assert_eq!(count(&format!("{WIDGETS}?fieldSelector=spec.host%3Dh")).await, 1);
    admin
        .get(&format!("{WIDGETS}?fieldSelector=spec.address%3Dh"))
        .await
        .fails(400, "field label not supported: spec.address");
    let mut chosen = admin.watch(&format!("{NEWER}?watch=true&fieldSelector=spec.address%3Dh:81")).await;
    let mut watch = admin.watch(&format!("{NEWER}?watch=true")).await;
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], json!({"address": "h:80"}));
    admin.patch("merge", &format!("{WIDGETS}/a"), json!({"spec": {"port": 81}})).await.ok();
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], json!({"address": "h:81"}));
    assert_eq!(chosen.line().await, "ADDED a");
    let patched = admin.patch("merge", &format!("{NEWER}/a"), json!({"spec": {"address": "i:82"}})).await.ok();
    assert_eq!(patched["spec"], json!({"address": "i:82"}));
    let deleted = admin.delete(&format!("{NEWER}/a"), Value::Null).await.ok();
    assert_eq!(deleted["status"], "Success");
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], json!({"address": "i:82"}));
    let last = watch.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["spec"]), (&json!("DELETED"), &json!({"address": "i:82"})));

    admin.post(WIDGETS, widget("b", json!({"host": "broken", "port": 1}))).await.ok();
    admin.get(&format!("{NEWER}/b")).await.fails(500, "conversion webhook for example.com/v1, Kind=Widget failed: no");
    admin.get(&format!("{WIDGETS}/b")).await.ok();
}
