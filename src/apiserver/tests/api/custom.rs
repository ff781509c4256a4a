//! CustomResourceDefinitions and their objects: from the definition's acceptance to its end.

mod converted;
mod requests;
mod rules;
mod versions;

use serde_json::{Value, json};

use crate::support::{Client, server};

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// A definition of `widgets.example.com` in version `v1` with that schema.
pub fn definition(schema: Value) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
                "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}})
}

/// A schema of objects with that `spec`.
pub fn with_spec(spec: Value) -> Value {
    json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}})
}

/// A schema that keeps everything.
pub fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

pub fn widget(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// Waits until a condition of a definition has that status; out: the definition.
pub async fn until(admin: &Client, name: &str, condition: &str, status: &str) -> Value {
    let path = format!("{DEFINITIONS}?watch=true&fieldSelector=metadata.name%3D{name}");
    let mut watch = admin.watch(&path).await;
    loop {
        let event = watch.next().await.expect("an event");
        let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == condition && one["status"] == status) {
            return event["object"].clone();
        }
    }
}

/// Makes a definition and waits until it is served.
pub async fn established(admin: &Client, definition: Value) -> Value {
    let made = admin.post(DEFINITIONS, definition).await.ok();
    until(admin, made["metadata"]["name"].as_str().unwrap(), "Established", "True").await
}

#[tokio::test]
async fn a_definition_is_established_served_and_ended() {
    let server = server().await;
    let admin = &server.admin;
    admin.get("/apis/example.com/v1").await.fails(404, "could not find the requested resource");
    let settled = established(admin, definition(open())).await;
    assert_eq!(settled["status"]["acceptedNames"], settled["spec"]["names"]);
    assert_eq!(settled["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(settled["metadata"]["generation"], 1);
    assert_eq!(settled["spec"]["conversion"], json!({"strategy": "None"}));

    let made = admin.post(WIDGETS, widget("a", json!({"x": {"y": [1]}}))).await;
    assert_eq!(made.code, 201);
    let made = made.ok();
    assert_eq!((&made["spec"], &made["metadata"]["generation"]), (&json!({"x": {"y": [1]}}), &json!(1)));
    assert_eq!(admin.get(&format!("{WIDGETS}/a")).await.ok(), made);
    let list = admin.get("/apis/example.com/v1/widgets").await.ok();
    assert_eq!((&list["kind"], &list["items"][0]), (&json!("WidgetList"), &made));

    let mut watch = admin.watch(&format!("{WIDGETS}?watch=true")).await;
    assert_eq!(watch.line().await, "ADDED a");
    let ending = admin.delete(&format!("{DEFINITIONS}/widgets.example.com"), Value::Null).await.ok();
    assert_eq!(ending["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    assert_eq!(watch.line().await, "DELETED a");
    let mut definitions = admin
        .watch(&format!(
            "{DEFINITIONS}?watch=true&resourceVersion={}",
            ending["metadata"]["resourceVersion"].as_str().unwrap()
        ))
        .await;
    while definitions.next().await.unwrap()["type"] != "DELETED" {}
    // The rows go when the server has heard of it too.
    while admin.get(WIDGETS).await.code != 404 {
        tokio::task::yield_now().await;
    }
    established(admin, definition(open())).await;
    assert_eq!(admin.get(WIDGETS).await.ok()["items"], json!([]));
}

#[tokio::test]
async fn instances_with_finalizers_hold_their_definition() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, definition(open())).await;
    let mut held = widget("a", json!({}));
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    admin.post(WIDGETS, held).await.ok();
    admin.delete(&format!("{DEFINITIONS}/widgets.example.com"), Value::Null).await.ok();
    until(admin, "widgets.example.com", "Terminating", "True").await;
    while admin.get(&format!("{WIDGETS}/a")).await.ok()["metadata"]["deletionTimestamp"].is_null() {
        tokio::task::yield_now().await;
    }
    admin
        .post(WIDGETS, widget("b", json!({})))
        .await
        .fails(403, "create not allowed while custom resource definition is terminating");
    let mut watch = admin.watch(&format!("{DEFINITIONS}?watch=true")).await;
    admin.patch("merge", &format!("{WIDGETS}/a"), json!({"metadata": {"finalizers": []}})).await.ok();
    while watch.next().await.unwrap()["type"] != "DELETED" {}
}

#[tokio::test]
async fn names_belong_to_one_definition() {
    let server = server().await;
    let admin = &server.admin;
    established(admin, definition(open())).await;
    let mut rival = definition(open());
    rival["metadata"]["name"] = json!("gadgets.example.com");
    rival["spec"]["names"] = json!({"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList", "shortNames": ["wd"]});
    admin.post(DEFINITIONS, rival).await.ok();
    let refused = until(admin, "gadgets.example.com", "NamesAccepted", "False").await;
    let condition = &refused["status"]["conditions"][0];
    assert_eq!(
        (&condition["reason"], &condition["message"]),
        (&json!("ShortNamesConflict"), &json!("\"wd\" is already in use"))
    );
    admin.get("/apis/example.com/v1/gadgets").await.fails(404, "could not find the requested resource");
    admin.delete(&format!("{DEFINITIONS}/widgets.example.com"), Value::Null).await.ok();
    until(admin, "gadgets.example.com", "Established", "True").await;
    assert_eq!(admin.get("/apis/example.com/v1/gadgets").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn discovery_follows_definitions() {
    let server = server().await;
    let admin = &server.admin;
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let before = admin.send("GET", "/apis", &accept, "").await;
    let mut two = definition(open());
    two["spec"]["versions"][0]["subresources"] = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}});
    let mut other = two["spec"]["versions"][0].clone();
    (other["name"], other["storage"]) = (json!("v1beta1"), json!(false));
    two["spec"]["versions"].as_array_mut().unwrap().push(other);
    established(admin, two).await;
    let after = admin.send("GET", "/apis", &accept, "").await;
    assert_ne!(before.headers["etag"], after.headers["etag"]);
    let group = after.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|g| g["metadata"]["name"] == "example.com")
        .unwrap()
        .clone();
    let versions: Vec<&Value> = group["versions"].as_array().unwrap().iter().map(|v| &v["version"]).collect();
    assert_eq!(versions, ["v1", "v1beta1"]);
    let row = &group["versions"][0]["resources"][0];
    assert_eq!(
        (&row["resource"], &row["shortNames"], &row["categories"]),
        (&json!("widgets"), &json!(["wd"]), &json!(["all"]))
    );
    let subs: Vec<&Value> = row["subresources"].as_array().unwrap().iter().map(|s| &s["subresource"]).collect();
    assert_eq!(subs, ["status", "scale"]);
    let legacy = admin.get("/apis/example.com/v1").await.ok();
    let names: Vec<&Value> = legacy["resources"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    assert_eq!(admin.get("/apis/example.com").await.ok()["preferredVersion"]["version"], "v1");

    admin
        .patch(
            "json",
            &format!("{DEFINITIONS}/widgets.example.com"),
            json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]),
        )
        .await
        .ok();
    while admin.get("/apis/example.com/v1beta1").await.code != 404 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn broken_definitions_are_refused() {
    let server = server().await;
    let admin = &server.admin;
    admin
        .post(DEFINITIONS, definition(json!({"type": "object", "properties": {"spec": {}}})))
        .await
        .fails(422, "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields");
    let mut protected = definition(open());
    protected["metadata"]["name"] = json!("widgets.x.k8s.io");
    protected["spec"]["group"] = json!("x.k8s.io");
    admin.post(DEFINITIONS, protected.clone()).await.fails(422, "protected groups must have approval annotation");
    protected["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, experimental-only"});
    admin.post(DEFINITIONS, protected).await.ok();
    let made = until(admin, "widgets.x.k8s.io", "Established", "True").await;
    assert_eq!(made["status"]["conditions"][0]["reason"], "UnapprovedAnnotation");
}

#[tokio::test]
async fn definitions_outlive_the_server() {
    let first = server().await;
    established(&first.admin, definition(open())).await;
    first.admin.post(WIDGETS, widget("a", json!({"x": 1}))).await.ok();
    let dir = first.dir.clone();
    first.api.close().await;
    drop(first);
    let store = kedge_store::Store::open(kedge_store::Options::new(dir.path().join("store"))).unwrap();
    let config = kedge_apiserver::Config { data_dir: dir.path().to_owned(), ..kedge_apiserver::Config::default() };
    let api = kedge_apiserver::ApiServer::open(config, store, kedge_apiserver::Parts::default()).await.unwrap();
    let admin = Client(api.loopback(kedge_apiserver::Identity::master("admin")));
    assert_eq!(admin.get(&format!("{WIDGETS}/a")).await.ok()["spec"], json!({"x": 1}));
}

#[tokio::test]
async fn the_example_is_accepted() {
    let server = server().await;
    let admin = &server.admin;
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/examples/brew.yaml")).unwrap();
    established(admin, serde_yaml::from_str(&text).unwrap()).await;
    let brews = "/apis/kitchen.example.com/v1/namespaces/default/brews";
    let brew = |tea: &str| json!({"metadata": {"name": "morning"}, "spec": {"tea": tea}});
    admin.post(brews, brew("coffee")).await.fails(422, "spec.tea: Unsupported value: \\\"coffee\\\"");
    assert_eq!(admin.post(brews, brew("assam")).await.ok()["spec"], json!({"tea": "assam", "cups": 2}));
}
