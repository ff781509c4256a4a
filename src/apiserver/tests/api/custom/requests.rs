//! Requests for custom objects: pruning, defaults, validation, patches, apply, status, scale, tables, selectors.

use serde_json::{Value, json};

use super::{DEFINITIONS, WIDGETS, definition, established, open, widget, with_spec};
use crate::support::server;

fn named(name: &str) -> String {
    format!("{WIDGETS}/{name}")
}

#[tokio::test]
async fn unknown_fields_are_dropped_told_or_refused() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, definition(with_spec(json!({"type": "object", "properties": {"a": {"type": "string"},
        "template": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}})))).await;
    let mut odd = widget(
        "odd",
        json!({"a": "x", "b": 1, "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "t", "sub": 1}, "more": 1}}),
    );
    odd["metadata"]["unknownMeta"] = json!(1);
    odd["other"] = json!(1);
    let told = "unknown field \"metadata.unknownMeta\", unknown field \"other\", unknown field \"spec.b\", unknown field \"spec.template.metadata.sub\"";
    let refused = admin.post(&format!("{WIDGETS}?fieldValidation=Strict"), odd.clone()).await;
    let refused =
        refused.fails(400, "Widget in version \\\"v1\\\" cannot be handled as a Widget: strict decoding error: ");
    assert!(refused["message"].as_str().unwrap().ends_with(told), "{refused}");
    let warned = admin.post(&format!("{WIDGETS}?fieldValidation=Warn"), odd.clone()).await;
    assert_eq!(warned.warnings().len(), 4, "{:?}", warned.warnings());
    let made = warned.ok();
    assert_eq!(
        made["spec"],
        json!({"a": "x", "template": {"apiVersion": "v1", "kind": "X", "metadata": {"name": "t"}, "more": 1}})
    );
    assert!(made["other"].is_null() && made["metadata"]["unknownMeta"].is_null());
    let silent = admin
        .put(&format!("{}?fieldValidation=Ignore", named("odd")), {
            odd["metadata"] = made["metadata"].clone();
            odd
        })
        .await;
    assert!(silent.warnings().is_empty());
    silent.ok();
    let body =
        r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"twice"},"spec":{"a":"x","a":"y"}}"#;
    let twice = admin
        .send("POST", &format!("{WIDGETS}?fieldValidation=Strict"), &[("content-type", "application/json")], body)
        .await;
    twice.fails(400, "strict decoding error: duplicate field \\\"spec.a\\\"");
}

#[tokio::test]
async fn defaults_are_filled_in_when_written_and_when_read() {
    let server = server().await;
    let admin = &server.admin;
    established(
        admin,
        definition(with_spec(
            json!({"type": "object", "default": {}, "properties": {"a": {"type": "string", "default": "A"}}}),
        )),
    )
    .await;
    let made = admin.post(WIDGETS, json!({"metadata": {"name": "d"}})).await.ok();
    assert_eq!(made["spec"], json!({"a": "A"}));
    let mut watch = admin
        .watch(&format!(
            "{WIDGETS}?watch=true&resourceVersion={}",
            made["metadata"]["resourceVersion"].as_str().unwrap()
        ))
        .await;
    admin.patch("json", &format!("{DEFINITIONS}/widgets.example.com"), json!([
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/b", "value": {"type": "integer", "default": 5}}])).await.ok();
    while admin.get(&named("d")).await.ok()["spec"]["b"].is_null() {
        tokio::task::yield_now().await;
    }
    let list = admin.get(WIDGETS).await.ok();
    assert_eq!(list["items"][0]["spec"], json!({"a": "A", "b": 5}));
    admin.patch("merge", &named("d"), json!({"spec": {"a": "Z"}})).await.ok();
    assert_eq!(watch.next().await.unwrap()["object"]["spec"], json!({"a": "Z", "b": 5}));
}

#[tokio::test]
async fn values_are_held_against_the_schema() {
    let server = server().await;
    let admin = &server.admin;
    established(
        admin,
        definition(with_spec(json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
        "count": {"type": "integer", "minimum": 1, "default": 1},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}))),
    )
    .await;
    let check = async |spec: Value, message: &str| {
        admin.post(WIDGETS, widget("bad", spec)).await.fails(422, message);
    };
    check(json!({}), "spec.name: Required value").await;
    check(json!({"name": "A"}), "spec.name: Invalid value: \\\"A\\\": spec.name in body should match '^[a-z]+$'").await;
    check(
        json!({"name": "a", "count": "x"}),
        "spec.count: Invalid value: \\\"string\\\": spec.count in body must be of type integer: \\\"string\\\"",
    )
    .await;
    check(json!({"name": "a", "count": 0}), "spec.count in body should be greater than or equal to 1").await;
    check(json!({"name": "a", "tags": ["x", "x"]}), "spec.tags[1]: Duplicate value: \\\"x\\\"").await;
    let mut bad = widget("Bad_Name", json!({"name": "a"}));
    admin.post(WIDGETS, bad.clone()).await.fails(422, "metadata.name: Invalid value: \\\"Bad_Name\\\"");
    bad["metadata"] = json!({"name": "ok", "labels": 3});
    admin.post(WIDGETS, bad).await.fails(400, "json: cannot unmarshal number into Go struct field");
    admin.post(WIDGETS, widget("ok", json!({"name": "a"}))).await.ok();
    admin
        .patch("merge", &named("ok"), json!({"spec": {"count": -1}}))
        .await
        .fails(422, "should be greater than or equal to 1");
    admin
        .put(&named("ok"), widget("ok", json!({"name": "a"})))
        .await
        .fails(422, "metadata.resourceVersion: Invalid value: 0: must be specified for an update");
}

#[tokio::test]
async fn patches_and_apply_merge_by_the_schema() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, definition(with_spec(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
        "whole": {"type": "array", "items": {"type": "string"}}}})))).await;
    admin
        .patch("strategic-merge", &named("a"), json!({}))
        .await
        .fails(415, "the body of the request was in an unknown format");
    let apply = |manager: &str| format!("{}?fieldManager={manager}", named("a"));
    let first = admin
        .patch(
            "apply",
            &apply("one"),
            widget("a", json!({"ports": [{"name": "x", "port": 1}], "whole": ["a"], "free": {"k": 1}})),
        )
        .await;
    assert_eq!(first.code, 201, "{}", first.text);
    let second = admin
        .patch("apply", &apply("two"), widget("a", json!({"ports": [{"name": "y", "port": 2}], "free": {"l": 2}})))
        .await
        .ok();
    assert_eq!(
        second["spec"],
        json!({"ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}], "whole": ["a"], "free": {"k": 1, "l": 2}})
    );
    assert_eq!(second["metadata"]["managedFields"].as_array().unwrap().len(), 2);
    let conflict = admin.patch("apply", &apply("two"), widget("a", json!({"whole": ["b"]}))).await;
    conflict.fails(409, "conflict with \\\"one\\\": .spec.whole");
    let third = admin.patch("apply", &apply("one"), widget("a", json!({"whole": ["a"]}))).await.ok();
    assert_eq!(third["spec"], json!({"ports": [{"name": "y", "port": 2}], "whole": ["a"], "free": {"l": 2}}));
    let patched =
        admin.patch("json", &named("a"), json!([{"op": "add", "path": "/spec/whole/-", "value": "c"}])).await.ok();
    assert_eq!((&patched["spec"]["whole"], &patched["metadata"]["generation"]), (&json!(["a", "c"]), &json!(4)));
    let merged = admin.patch("merge", &named("a"), json!({"spec": {"free": null}})).await.ok();
    assert!(merged["spec"]["free"].is_null());
}

#[tokio::test]
async fn status_and_scale_are_their_own() {
    let server = server().await;
    let admin = &server.admin;
    let mut scaled = definition(with_spec(json!({"type": "object", "properties": {"replicas": {"type": "integer"}}})));
    scaled["spec"]["versions"][0]["subresources"] = json!({"status": {}, "scale": {
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}});
    established(admin, scaled).await;
    let mut one = widget("a", json!({"replicas": 2}));
    one["status"] = json!({"replicas": 9});
    let made = admin.post(WIDGETS, one).await.ok();
    assert!(made["status"].is_null());
    let status = admin
        .patch(
            "merge",
            &format!("{}/status", named("a")),
            json!({"spec": {"replicas": 7}, "status": {"replicas": 1, "selector": "a=b"}}),
        )
        .await
        .ok();
    assert_eq!(
        (&status["spec"]["replicas"], &status["status"]["replicas"], &status["metadata"]["generation"]),
        (&json!(2), &json!(1), &json!(1))
    );
    let scale = admin.get(&format!("{}/scale", named("a"))).await.ok();
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 2}), &json!({"replicas": 1, "selector": "a=b"}))
    );
    let patched = admin.patch("merge", &format!("{}/scale", named("a")), json!({"spec": {"replicas": 5}})).await.ok();
    assert_eq!(patched["spec"]["replicas"], 5);
    let after = admin.get(&named("a")).await.ok();
    assert_eq!(
        (&after["spec"]["replicas"], &after["metadata"]["generation"], &after["status"]["replicas"]),
        (&json!(5), &json!(2), &json!(1))
    );
    let mut put = patched;
    put["spec"]["replicas"] = json!(6);
    put["metadata"]["resourceVersion"] = after["metadata"]["resourceVersion"].clone();
    assert_eq!(admin.put(&format!("{}/scale", named("a")), put).await.ok()["spec"]["replicas"], 6);
    admin
        .patch("merge", &named("a"), json!({"spec": {"replicas": -1}}))
        .await
        .fails(422, ".spec.replicas: Invalid value: -1: should be a non-negative integer");
    admin.get(&format!("{}/log", named("a"))).await.fails(404, "could not find the requested resource");
}

#[tokio::test]
async fn tables_and_selectors_are_those_of_the_definition() {
    let server = server().await;
    let admin = &server.admin;
    let mut one = definition(with_spec(
        json!({"type": "object", "properties": {"color": {"type": "string"}, "size": {"type": "integer"}}}),
    ));
    one["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"}, {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1}]);
    one["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.color"}]);
    established(admin, one).await;
    for (name, color, size) in [("a", "red", 1), ("b", "blue", 2), ("c", "red", 3)] {
        admin.post(WIDGETS, widget(name, json!({"color": color, "size": size}))).await.ok();
    }
    let accept = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = admin.send("GET", &format!("{WIDGETS}?fieldSelector=spec.color%3Dred"), &accept, "").await.ok();
    let columns: Vec<(&Value, &Value)> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| (&c["name"], &c["priority"])).collect();
    assert_eq!(columns, [(&json!("Name"), &json!(0)), (&json!("Color"), &json!(0)), (&json!("Size"), &json!(1))]);
    let rows: Vec<&Value> = table["rows"].as_array().unwrap().iter().map(|r| &r["cells"]).collect();
    assert_eq!(rows, [&json!(["a", "red", 1]), &json!(["c", "red", 3])]);
    admin
        .get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1"))
        .await
        .fails(400, "field label not supported: spec.size");
    let mut watch = admin.watch(&format!("{WIDGETS}?watch=true&fieldSelector=spec.color%3Dred")).await;
    assert_eq!((watch.line().await, watch.line().await), ("ADDED a".to_owned(), "ADDED c".to_owned()));
    admin.patch("merge", &named("a"), json!({"spec": {"color": "blue"}})).await.ok();
    assert_eq!(watch.line().await, "DELETED a");
    // A field that may be named only now is read from what was kept before.
    admin
        .patch(
            "json",
            &format!("{DEFINITIONS}/widgets.example.com"),
            json!([{"op": "add", "path": "/spec/versions/0/selectableFields/-", "value": {"jsonPath": ".spec.size"}}]),
        )
        .await
        .ok();
    while admin.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D3")).await.code != 200 {
        tokio::task::yield_now().await;
    }
    let found = admin.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D3")).await.ok();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    let page = admin.get(&format!("{WIDGETS}?limit=2")).await.ok();
    assert_eq!(
        (page["items"].as_array().unwrap().len(), page["metadata"]["remainingItemCount"].clone()),
        (2, json!(1))
    );
    let gone = admin.send("DELETE", &format!("{WIDGETS}?fieldSelector=spec.color%3Dblue"), &[], "").await.ok();
    assert_eq!(gone["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn cluster_wide_kinds_have_no_namespace() {
    let server = server().await;
    let admin = &server.admin;
    let mut wide = definition(open());
    wide["spec"]["scope"] = json!("Cluster");
    established(admin, wide).await;
    let path = "/apis/example.com/v1/widgets";
    admin.post(path, widget("a", json!({}))).await.ok();
    assert!(admin.get(&format!("{path}/a")).await.ok()["metadata"]["namespace"].is_null());
    admin.get(&named("a")).await.fails(404, "could not find the requested resource");
    admin.delete(&format!("{path}/a"), Value::Null).await.ok();
    admin.get(&format!("{path}/a")).await.fails(404, "widgets.example.com \\\"a\\\" not found");
}

#[tokio::test]
async fn applied_configurations_are_strict() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, definition(with_spec(json!({"type": "object", "properties": {"a": {"type": "string"}}})))).await;
    let path = format!("{}?fieldManager=m&fieldValidation=Strict", named("a"));
    let headers = [("content-type", "application/apply-patch+yaml")];
    let apply = async |body: &str, message: &str| {
        admin
            .send(
                "PATCH",
                &path,
                &headers,
                format!("apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: a\n{body}"),
            )
            .await
            .fails(500, message);
    };
    apply("unknownField: x\n", ".unknownField: field not declared in schema").await;
    apply("spec:\n  b: 1\n", ".spec.b: field not declared in schema").await;
    let twice = "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: a\nspec:\n  a: x\n  a: z\n";
    admin.send("PATCH", &path, &headers, twice).await.fails(400, "line 7: key \\\"a\\\" already set in map");
}

#[tokio::test]
async fn custom_kinds_are_published() {
    let server = server().await;
    let admin = &server.admin;
    let index = admin.get("/openapi/v3").await.ok();
    assert!(index["paths"]["apis/example.com/v1"].is_null());
    let mut one = definition(with_spec(json!({"type": "object", "description": "what is wanted", "properties": {
        "a": {"type": "string", "description": "a letter"}, "any": {"x-kubernetes-preserve-unknown-fields": true}}})));
    one["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    established(admin, one).await;
    let index = admin.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/example.com/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = admin.get(url).await.ok();
    let own = &document["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(own["properties"]["spec"]["properties"]["a"]["description"], "a letter");
    assert_eq!(
        own["x-kubernetes-group-version-kind"],
        json!([{"group": "example.com", "version": "v1", "kind": "Widget"}])
    );
    assert!(document["components"]["schemas"]["com.example.v1.WidgetList"].is_object());
    assert!(document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"].is_object());
    let patch = &document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["requestBody"]["content"].as_object().unwrap().len(), 3);
    assert!(document["paths"]["/apis/example.com/v1/namespaces/{namespace}/widgets/{name}/status"]["get"].is_object());
    let swagger = admin.get("/openapi/v2").await.ok();
    assert_eq!(
        swagger["definitions"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]["any"],
        json!({"x-kubernetes-preserve-unknown-fields": true})
    );
    admin.delete(&format!("{DEFINITIONS}/widgets.example.com"), Value::Null).await.ok();
    while admin.get("/openapi/v3").await.ok()["paths"]["apis/example.com/v1"].is_object() {
        tokio::task::yield_now().await;
    }
    assert!(admin.get("/openapi/v2").await.ok()["definitions"]["com.example.v1.Widget"].is_null());
}
