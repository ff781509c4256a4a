//! API aggregation over real TLS: who answers, what goes along, what is told while nobody does.

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response};
use hyper_util::rt::TokioIo;
use kedge_apiserver::Identity;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::backend::{Backend, door, json_answer};
use crate::sockets::serve;
use crate::support::{Server, server};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";

/// A server of the group `wardle.example.com`.
async fn wardle() -> Backend {
    wardle_saying(swagger().to_string()).await
}

/// One that says something else in OpenAPI version 2.
async fn wardle_saying(swagger: String) -> Backend {
    Backend::start(move |mut request: Request<Bytes>| {
        let swagger = swagger.clone();
        async move {
        let path = request.uri().path().to_owned();
        let kind = json!({"group": "", "version": "", "kind": "Flunder"});
        match path.as_str() {
            "/apis" => {
                let resources = json!([{"resource": "flunders", "singularResource": "flunder", "scope": "Namespaced",
                    "responseKind": kind, "verbs": ["create", "get", "list"], "shortNames": ["fl"]}]);
                let items = json!([{"metadata": {"name": "wardle.example.com"},
                    "versions": [{"version": "v1alpha1", "resources": resources}]}]);
                let mut answer = json_answer(200, &json!({"kind": "APIGroupDiscoveryList", "items": items}));
                let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                answer.headers_mut().insert("content-type", kind.parse().unwrap());
                answer
            }
            "/apis/wardle.example.com/v1alpha1" => {
                json_answer(200, &json!({"kind": "APIResourceList", "resources": []}))
            }
            "/openapi/v2" => Response::new(Body::from(swagger)),
            "/openapi/v3" => json_answer(
                200,
                &json!({"paths": {"apis/wardle.example.com/v1alpha1":
                {"serverRelativeURL": "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1"}}}),
            ),
            _ if request.headers().contains_key("upgrade") => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut io = TokioIo::new(upgrade.await.unwrap());
                    let mut word = [0; 4];
                    io.read_exact(&mut word).await.unwrap();
                    word.reverse();
                    io.write_all(&word).await.unwrap();
                });
                Response::builder()
                    .status(101)
                    .header("connection", "upgrade")
                    .header("upgrade", "echo")
                    .body(Body::empty())
                    .unwrap()
            }
            FLUNDERS if request.uri().query().is_some_and(|q| q.contains("watch")) => {
                // One event, then nothing more until the caller goes.
                let first =
                    futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"type\":\"ADDED\"}\n"))]);
                Response::new(Body::from_stream(first.chain(futures::stream::pending())))
            }
            FLUNDERS => json_answer(201, &json!({"kind": "Flunder", "echo": String::from_utf8_lossy(request.body())})),
            _ => json_answer(
                404,
                &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "gone", "code": 404}),
            ),
        }
        }
    })
    .await
}

/// What it publishes in OpenAPI version 2: a kind of its own, one of everybody's, one name of ours with another meaning.
fn swagger() -> Value {
    let reference = |name: &str| json!({"$ref": format!("#/definitions/{name}")});
    let post = json!({"parameters": [{"$ref": "#/parameters/body-1"}],
        "responses": {"201": {"description": "Created", "schema": reference("com.example.wardle.v1alpha1.Flunder")}}});
    let flunder = json!({"type": "object", "description": "Flunder is an example.",
        "x-kubernetes-group-version-kind": [{"group": "wardle.example.com", "version": "v1alpha1", "kind": "Flunder"}],
        "properties": {"metadata": reference("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            "spec": {"type": "object", "description": "What it is to be."}}});
    json!({"swagger": "2.0", "info": {"title": "Wardle", "version": "v0"},
        "parameters": {"body-1": {"name": "body", "in": "body", "required": true,
            "schema": reference("com.example.wardle.v1alpha1.Flunder")}},
        "paths": {"/apis/wardle.example.com/v1alpha1/namespaces/{namespace}/flunders": {"post": post},
            "/api/v1/namespaces/{namespace}/pods": {"get": {"responses": {}}}},
        "definitions": {"com.example.wardle.v1alpha1.Flunder": flunder,
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "description": "An older one."}}})
}

fn api_service(backend: &Backend) -> Value {
    json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1alpha1.wardle.example.com"},
        "spec": {"group": "wardle.example.com", "version": "v1alpha1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "caBundle": backend.ca, "service": {"namespace": "default", "name": "hook", "port": 7443}}})
}

/// Out: whether there is an address to reach it under.
async fn service(server: &Server, backend: &Backend) -> bool {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 7443}]}});
    server.admin.post("/api/v1/namespaces/default/services", service).await.ok();
    slice(server, backend).await
}

/// Endpoints are never on the loopback device; a machine without a network has no other, and out is false.
async fn slice(server: &Server, backend: &Backend) -> bool {
    let Some(door) = door(backend.address).await else { return false };
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [door.ip().to_string()]}], "ports": [{"name": "", "port": door.port()}]});
    server.admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice).await.ok();
    true
}

/// Waits until the condition has that reason; out: its message.
async fn until(server: &Server, reason: &str) -> String {
    let path = format!("{SERVICES}?watch=true&fieldSelector=metadata.name=v1alpha1.wardle.example.com");
    let mut watch = server.admin.watch(&path).await;
    loop {
        let event = watch.next().await.expect("an event");
        let condition = &event["object"]["status"]["conditions"][0];
        if condition["reason"] == reason {
            return condition["message"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn every_built_in_group_version_has_a_local_service() {
    let server = server().await;
    let apps = server.admin.get(&format!("{SERVICES}/v1.apps")).await.ok();
    assert_eq!(apps["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "onstart");
    assert_eq!((&apps["spec"]["groupPriorityMinimum"], &apps["spec"]["versionPriority"]), (&json!(17800), &json!(15)));
    let condition = &apps["status"]["conditions"][0];
    assert_eq!(
        (&condition["type"], &condition["status"], &condition["reason"]),
        (&json!("Available"), &json!("True"), &json!("Local"))
    );
    server.admin.get(&format!("{SERVICES}/v1.")).await.ok();
    let trust =
        server.admin.get("/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication").await.ok();
    assert_eq!(trust["data"]["requestheader-allowed-names"], "[\"front-proxy-client\"]");
    assert_ne!(trust["data"]["requestheader-client-ca-file"], trust["data"]["client-ca-file"]);
}

#[tokio::test]
async fn requests_are_handed_on_in_the_callers_name() {
    let (server, backend) = (server().await, wardle().await);
    if !service(&server, &backend).await {
        return;
    }
    server.admin.post(SERVICES, api_service(&backend)).await.ok();
    assert_eq!(until(&server, "Passed").await, "all checks passed");
    backend.take();

    let mut jane = Identity::user("jane", ["system:masters"]);
    jane.extra.insert("team".to_owned(), vec!["a".to_owned()]);
    let made = server.as_user(jane).post(&format!("{FLUNDERS}?dryRun=All"), json!({"kind": "Flunder"})).await;
    assert_eq!((made.code, &made.body["echo"]), (201, &json!("{\"kind\":\"Flunder\"}")));
    let seen = backend.take().remove(0);
    assert_eq!(seen.head.uri.to_string(), format!("{FLUNDERS}?dryRun=All"));
    assert_eq!(seen.header("x-remote-user"), ["jane"]);
    assert_eq!(seen.header("x-remote-group"), ["system:masters", "system:authenticated"]);
    assert_eq!(seen.header("x-remote-extra-team"), ["a"]);
    assert_eq!(seen.client.len(), 1, "the front proxy's certificate is shown");
    let (_, certificate) = x509_parser::parse_x509_certificate(&seen.client[0]).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=front-proxy-client");

    // The other's refusals are the answer, and ours come first.
    server.admin.get("/apis/wardle.example.com/v1alpha1/nothing").await.fails(404, "gone");
    server
        .as_user(Identity::user("joe", [""; 0]))
        .get(FLUNDERS)
        .await
        .fails(403, "flunders.wardle.example.com is forbidden");

    let mut watch = server.admin.watch(&format!("{FLUNDERS}?watch=true")).await;
    assert_eq!(watch.next().await.unwrap()["type"], "ADDED");
}

#[tokio::test]
async fn documents_name_what_others_serve() {
    let (server, backend) = (server().await, wardle().await);
    if !service(&server, &backend).await {
        return;
    }
    server.admin.post(SERVICES, api_service(&backend)).await.ok();
    until(&server, "Passed").await;
    let groups = server.admin.get("/apis").await.ok();
    let last = groups["groups"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["name"], &last["preferredVersion"]["version"]),
        (&json!("wardle.example.com"), &json!("v1alpha1"))
    );
    server.admin.get("/apis/wardle.example.com").await.ok();
    server.admin.get("/apis/wardle.example.com/v1alpha1").await.ok();
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let aggregated = server.admin.send("GET", "/apis", &accept, Body::empty()).await.ok();
    let last = aggregated["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["versions"][0]["freshness"], &last["versions"][0]["resources"][0]["resource"]),
        (&json!("Current"), &json!("flunders"))
    );
    let index = server.admin.get("/openapi/v3").await.ok();
    let url = &index["paths"]["apis/wardle.example.com/v1alpha1"]["serverRelativeURL"];
    assert_eq!(url, "/openapi/v3/apis/wardle.example.com/v1alpha1?hash=1");
    server.admin.get(url.as_str().unwrap()).await.fails(404, "gone");
}

#[tokio::test]
async fn the_document_of_version_2_says_what_others_serve() {
    let (server, backend) = (server().await, wardle().await);
    if !service(&server, &backend).await {
        return;
    }
    server.admin.post(SERVICES, api_service(&backend)).await.ok();
    until(&server, "Passed").await;
    const FLUNDER: &str = "com.example.wardle.v1alpha1.Flunder";
    const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let document = server.admin.get("/openapi/v2").await.ok();
    let definitions = &document["definitions"];
    let to = &definitions[FLUNDER]["properties"]["metadata"]["$ref"];
    assert_eq!(to, &format!("#/definitions/{OBJECT_META}_v2"), "the name was taken");
    assert_eq!(definitions[&format!("{OBJECT_META}_v2")]["description"], "An older one.");
    assert_ne!(definitions[OBJECT_META]["description"], "An older one.");
    let post = &document["paths"]["/apis/wardle.example.com/v1alpha1/namespaces/{namespace}/flunders"]["post"];
    assert_eq!(post["parameters"][0]["name"], "body");
    let pods = &document["paths"]["/api/v1/namespaces/{namespace}/pods"]["get"];
    assert_ne!(pods["responses"], json!({}), "ours stay");
    let accept = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let protobuf = server.admin.send("GET", "/openapi/v2", &accept, Body::empty()).await;
    assert!(protobuf.text.contains("Flunder is an example."), "and to clients that want protobuf");
    // It goes with its APIService.
    server.admin.delete(&format!("{SERVICES}/v1alpha1.wardle.example.com"), Value::Null).await.ok();
    crate::support::until(async || server.admin.get("/openapi/v2").await.ok()["definitions"][FLUNDER].is_null()).await;
}

#[tokio::test]
async fn a_document_that_clients_could_not_read_is_left_out() {
    let mut dangling = swagger();
    dangling["definitions"]["com.example.wardle.v1alpha1.Flunder"]["properties"]["spec"] =
        json!({"$ref": "#/definitions/nowhere"});
    let mut large = swagger();
    large["definitions"]["com.example.wardle.v1alpha1.Flunder"]["description"] = json!("x".repeat(5 << 20));
    for said in ["<html>".to_owned(), "[".repeat(100_000), dangling.to_string(), large.to_string()] {
        let (server, backend) = (server().await, wardle_saying(said).await);
        if !service(&server, &backend).await {
            return;
        }
        server.admin.post(SERVICES, api_service(&backend)).await.ok();
        until(&server, "Passed").await;
        let document = server.admin.get("/openapi/v2").await.ok();
        assert!(document["definitions"]["com.example.wardle.v1alpha1.Flunder"].is_null());
        assert!(document["definitions"]["io.k8s.api.core.v1.Pod"].is_object(), "ours is there");
        let groups = server.admin.get("/apis").await.ok();
        assert_eq!(groups["groups"].as_array().unwrap().last().unwrap()["name"], "wardle.example.com");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_unavailable_and_says_why() {
    let (server, backend) = (server().await, wardle().await);
    server.admin.post(SERVICES, api_service(&backend)).await.ok();
    assert_eq!(until(&server, "ServiceNotFound").await, "service/hook in \"default\" is not present");
    server.admin.get(FLUNDERS).await.fails(503, "service unavailable");
    let other =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": [{"port": 80}]}});
    server.admin.post("/api/v1/namespaces/default/services", other).await.ok();
    until(&server, "ServicePortError").await;
    let ports = json!({"spec": {"ports": [{"port": 7443}]}});
    server.admin.patch("merge", "/api/v1/namespaces/default/services/hook", ports).await.ok();
    until(&server, "EndpointsNotFound").await;
    if !slice(&server, &backend).await {
        return;
    }
    until(&server, "Passed").await;
    server.admin.get("/apis/wardle.example.com/v1alpha1").await.ok();
    // Another certificate than the one that was promised.
    let bundle = json!({"spec": {"caBundle": wardle().await.ca}});
    server.admin.patch("merge", &format!("{SERVICES}/v1alpha1.wardle.example.com"), bundle).await.ok();
    let message = until(&server, "FailedDiscoveryCheck").await;
    assert!(message.contains("certificate signed by unknown authority"), "{message}");
    let metrics = server.admin.get("/metrics").await.text;
    assert!(metrics.contains("aggregator_unavailable_apiservice{name=\"v1alpha1.wardle.example.com\"} 1"), "{metrics}");
    server.admin.delete(&format!("{SERVICES}/v1alpha1.wardle.example.com"), Value::Null).await.ok();
}

#[tokio::test]
async fn upgraded_connections_are_joined() {
    let (server, backend) = (server().await, wardle().await);
    if !service(&server, &backend).await {
        return;
    }
    server.admin.post(SERVICES, api_service(&backend)).await.ok();
    until(&server, "Passed").await;
    let served = serve(server).await;
    let admin = served.server.api.issue_client_certificate(
        "root",
        Some("system:masters"),
        std::time::Duration::from_secs(86400),
    );
    let mut stream = served.connect(Some(admin.unwrap()), &[]).await;
    let head =
        format!("GET {FLUNDERS}/a/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"abcd").await.unwrap();
    let mut word = [0; 4];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"dcba");
    served.end().await;
}

#[tokio::test]
async fn custom_group_versions_get_a_service_and_lose_it() {
    let server = server().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let mut watch =
        server.admin.watch(&format!("{SERVICES}?watch=true&fieldSelector=metadata.name=v1.example.com")).await;
    server.admin.post(path, definition).await.ok();
    let made = watch.next().await.unwrap();
    assert_eq!(made["object"]["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"], "true");
    assert_eq!(made["object"]["spec"]["groupPriorityMinimum"], 1000);
    server.admin.delete(&format!("{path}/things.example.com"), Value::Null).await.ok();
    assert_eq!(watch.next().await.unwrap()["type"], "DELETED");
}

#[tokio::test]
async fn the_examples_of_those_who_are_called_are_accepted_and_harm_nobody() {
    let server = server().await;
    let paths = [
        ("Service", "/api/v1/namespaces/default/services"),
        ("APIService", SERVICES),
        ("ValidatingWebhookConfiguration", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
    ];
    for text in [
        include_str!("../../../../configs/examples/webhook.yaml"),
        include_str!("../../../../configs/examples/aggregated.yaml"),
    ] {
        for part in text.split("\n---\n") {
            let kind = part.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap();
            let (_, path) = paths.iter().find(|(name, _)| *name == kind).unwrap();
            server.admin.send("POST", path, &[("content-type", "application/yaml")], part).await.ok();
        }
    }
    let label = json!({"metadata": {"labels": {"inspected": "yes"}}});
    server.admin.patch("merge", "/api/v1/namespaces/default", label).await.ok();
    let map = crate::support::config_map("seen");
    server.admin.post(crate::support::CONFIG_MAPS, map).await.ok();
    crate::support::until(async || {
        let api = server.admin.get(&format!("{SERVICES}/v1.sensors.example.com")).await.ok();
        let condition = &api["status"]["conditions"][0];
        (condition["type"] == "Available") && (condition["status"] == "False")
    })
    .await;
}
