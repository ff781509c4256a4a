//! Discovery, OpenAPI, version, health, metrics, and what is there from the start.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, config_map, server};

#[tokio::test]
async fn discovery_is_had_in_both_forms() {
    let server = server().await;
    let admin = &server.admin;
    assert_eq!(admin.get("/api").await.ok()["kind"], "APIVersions");
    let groups = admin.get("/apis").await.ok();
    assert!(groups["groups"].as_array().unwrap().iter().any(|g| g["name"] == "apps"));
    let resources = admin.get("/apis/apps/v1").await.ok();
    assert!(resources["resources"].as_array().unwrap().iter().any(|r| r["name"] == "deployments/scale"));
    assert_eq!(admin.get("/apis/apps").await.ok()["kind"], "APIGroup");
    admin.get("/apis/none.example.com/v1").await.fails(404, "could not find the requested resource");
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json")];
    let reply = admin.send("GET", "/apis", &accept, "").await;
    assert!(reply.headers["content-type"].to_str().unwrap().contains("as=APIGroupDiscoveryList"));
    let tag = reply.headers["etag"].to_str().unwrap().to_owned();
    let again = admin.send("GET", "/apis", &[accept[0], ("if-none-match", &tag)], "").await;
    assert_eq!((again.code, again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn openapi_describes_the_kinds() {
    let server = server().await;
    let v2 = server.admin.get("/openapi/v2").await.ok();
    assert!(v2["definitions"]["io.k8s.api.core.v1.Pod"].is_object());
    let index = server.admin.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let marked = server.admin.get(url).await;
    assert_eq!(marked.headers["cache-control"], "public, immutable");
    assert!(marked.ok()["components"]["schemas"].is_object());
    // Whoever has an old mark is told the new one.
    let moved = server.admin.get("/openapi/v3/apis/apps/v1?hash=OLD").await;
    assert_eq!((moved.code, moved.headers["location"].to_str().unwrap()), (301, url));
    server.admin.get("/openapi/v3/apis/nobody/v1?hash=OLD").await.fails(404, "not find");
    let accept = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let old = server.admin.send("GET", "/openapi/v2", &accept, "").await;
    assert!(old.headers["content-type"].to_str().unwrap().ends_with("+protobuf"));
}

#[tokio::test]
async fn figures_have_kubernetes_names() {
    let server = server().await;
    server.admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let trial = format!("{CONFIG_MAPS}?dryRun=All");
    server.admin.post(&trial, config_map("b")).await.ok();
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    server.admin.patch("apply", &format!("{CONFIG_MAPS}/c?fieldManager=me"), applied).await.ok();
    let mut watch = server.admin.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    // What was there, and what is there since.
    for _ in 0..2 {
        watch.next().await.unwrap();
    }
    server.admin.post(CONFIG_MAPS, config_map("d")).await.ok();
    while watch.line().await != "ADDED d" {}
    let text = server.admin.get("/metrics").await.text;
    let of = |verb: &str, scope: &str| {
        format!(
            "component=\"apiserver\",group=\"\",resource=\"configmaps\",scope=\"{scope}\",subresource=\"\",verb=\"{verb}\",version=\"v1\""
        )
    };
    for line in [
        format!("apiserver_request_total{{code=\"201\",{},dry_run=\"All\"}} 1", of("POST", "resource")),
        format!("apiserver_request_total{{code=\"201\",{},dry_run=\"\"}} 1", of("APPLY", "resource")),
        format!("apiserver_longrunning_requests{{{}}} 1", of("WATCH", "namespace")),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
    for line in [
        "apiserver_request_total{code=\"201\"",
        "apiserver_request_duration_seconds_bucket{",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"}",
        "apiserver_storage_size_bytes{storage_cluster_id=\"local\"} ",
        "apiserver_storage_objects{resource=\"configmaps\"} 4",
        "apiserver_watch_events_total{group=\"\",resource=\"configmaps\",version=\"v1\"} 3",
        "apiserver_watch_events_sizes_count{group=\"\",resource=\"configmaps\",version=\"v1\"} 3",
    ] {
        assert!(text.contains(line), "{line}");
    }
}

#[tokio::test]
async fn the_start_makes_what_must_be_there() {
    let server = server().await;
    let admin = &server.admin;
    let rows = [
        "/api/v1/namespaces/default",
        "/api/v1/namespaces/kube-system",
        "/api/v1/namespaces/kube-public",
        "/api/v1/namespaces/kube-node-lease",
        "/api/v1/namespaces/default/services/kubernetes",
        "/api/v1/namespaces/default/endpoints/kubernetes",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
        "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/cluster-admin",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/system::leader-locking-kube-scheduler",
    ];
    for path in rows {
        admin.get(path).await.ok();
    }
    let admin_role = admin.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/admin").await.ok();
    assert!(!admin_role["rules"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_service_kubernetes_comes_back() {
    let server = server().await;
    let path = "/api/v1/namespaces/default/services/kubernetes";
    let mut watch = server.admin.watch("/api/v1/namespaces/default/services?watch=true").await;
    let first = watch.next().await.unwrap();
    server.admin.delete(path, Value::Null).await.ok();
    assert_eq!(watch.line().await, "DELETED kubernetes");
    let again = watch.next().await.unwrap();
    assert_eq!(again["type"], "ADDED");
    assert_eq!(again["object"]["spec"]["clusterIP"], first["object"]["spec"]["clusterIP"]);
}

#[tokio::test]
async fn events_end_and_their_number_is_bounded() {
    let limits = std::time::Duration::from_secs(3600);
    let server = crate::support::server_with(|config, _| config.limits.events = (3, limits)).await;
    let events = "/api/v1/namespaces/default/events";
    let mut watch = server.admin.watch(&format!("{events}?watch=true")).await;
    for at in 0..5 {
        let event = json!({"metadata": {"name": format!("e{at}")}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "R", "type": "Normal"});
        server.admin.post(events, event).await.ok();
    }
    let mut gone = Vec::new();
    while gone.len() < 2 {
        let line = watch.line().await;
        gone.extend(line.strip_prefix("DELETED ").map(str::to_owned));
    }
    assert_eq!(gone, ["e0", "e1"]);
    let group = server.admin.get("/apis/events.k8s.io/v1/namespaces/default/events").await.ok();
    assert_eq!(group["items"][0]["regarding"]["name"], "p");
}

#[tokio::test]
async fn every_kind_is_served_by_the_same_path() {
    let server = server().await;
    for kind in server.api.kinds().iter().filter(|k| k.is_kept()) {
        let prefix = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let path = format!("{prefix}/{}/{}", kind.version, kind.plural);
        let list = server.admin.get(&path).await.ok();
        assert_eq!(list["kind"], *kind.list_kind, "{path}");
        let table = server
            .admin
            .send("GET", &path, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], "")
            .await
            .ok();
        assert_eq!(table["kind"], "Table", "{path}");
    }
    // The parts of this process are not kept anywhere, and yet shown as everything else is.
    let parts = "/api/v1/componentstatuses";
    assert_eq!(server.admin.get(parts).await.ok()["kind"], "ComponentStatusList");
    let as_table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    for path in [parts.to_owned(), format!("{parts}/controller-manager")] {
        let table = server.admin.send("GET", &path, &as_table, "").await.ok();
        assert_eq!(table["rows"][0]["cells"], serde_json::json!(["controller-manager", "Healthy", "ok", ""]), "{path}");
        assert_eq!(table["columnDefinitions"][1]["name"], "Status", "{path}");
    }
}

#[tokio::test]
async fn cbor_is_refused_as_what_it_is_not_served_as() {
    let server = server().await;
    let admin = &server.admin;
    let path = format!("{CONFIG_MAPS}/a");
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let refused = admin.send("GET", &path, &[("accept", "application/cbor")], "").await;
    let status = refused.fails(406, "only the following media types are accepted: application/json");
    assert_eq!(status["reason"], "NotAcceptable");
    admin.send("GET", CONFIG_MAPS, &[("accept", "application/cbor-seq")], "").await.fails(406, "");
    admin
        .send("GET", &format!("{CONFIG_MAPS}?watch=true"), &[("accept", "application/cbor-seq")], "")
        .await
        .fails(406, "");
    let other = admin.send("GET", &path, &[("accept", "application/cbor;q=1,application/json;q=0.5")], "").await;
    assert_eq!(other.headers["content-type"], "application/json");
    assert_eq!(other.ok()["kind"], "ConfigMap");
    // An empty map, as CBOR.
    let map = [0xd9, 0xd9, 0xf7, 0xa0].as_slice();
    let sent = admin.send("POST", CONFIG_MAPS, &[("content-type", "application/cbor")], map).await;
    let status = sent.fails(415, "accepted media types include: application/json");
    assert_eq!(status["reason"], "UnsupportedMediaType");
    admin.send("PUT", &path, &[("content-type", "application/cbor")], map).await.fails(415, "");
    let apply = format!("{path}?fieldManager=me");
    let patched = admin.send("PATCH", &apply, &[("content-type", "application/apply-patch+cbor")], map).await;
    patched.fails(415, "application/apply-patch+yaml");
}
