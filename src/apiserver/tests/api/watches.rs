//! Watches: where they begin, what they tell, how they end.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, config_map, pod, server};

fn labelled(name: &str, value: &str) -> Value {
    let mut map = config_map(name);
    map["metadata"]["labels"] = json!({"on": value});
    map
}

#[tokio::test]
async fn everything_first_then_changes() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let mut watch = admin.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(watch.line().await, "ADDED a");
    admin.post(CONFIG_MAPS, config_map("b")).await.ok();
    admin.patch("merge", &format!("{CONFIG_MAPS}/b"), json!({"data": {"k": "w"}})).await.ok();
    admin.delete(&format!("{CONFIG_MAPS}/a"), Value::Null).await.ok();
    let lines = [watch.line().await, watch.line().await, watch.line().await];
    assert_eq!(lines, ["ADDED b", "MODIFIED b", "DELETED a"]);
}

#[tokio::test]
async fn a_watch_goes_on_from_a_list() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let list = admin.get(CONFIG_MAPS).await.ok();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    admin.post(CONFIG_MAPS, config_map("b")).await.ok();
    let mut watch = admin.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion={version}")).await;
    assert_eq!(watch.line().await, "ADDED b");
}

#[tokio::test]
async fn what_leaves_a_selection_is_deleted_from_it() {
    let server = server().await;
    let admin = &server.admin;
    let mut watch = admin.watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=on%3Dyes")).await;
    let path = format!("{CONFIG_MAPS}/a");
    admin.post(CONFIG_MAPS, labelled("a", "no")).await.ok();
    admin.post(CONFIG_MAPS, labelled("b", "yes")).await.ok();
    admin.patch("merge", &path, json!({"metadata": {"labels": {"on": "yes"}}})).await.ok();
    admin.patch("merge", &path, json!({"data": {"x": "y"}})).await.ok();
    let left = admin.patch("merge", &path, json!({"metadata": {"labels": {"on": "no"}}})).await.ok();
    admin.delete(&path, Value::Null).await.ok();
    admin.delete(&format!("{CONFIG_MAPS}/b"), Value::Null).await.ok();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(watch.line().await);
    }
    assert_eq!(
        seen,
        ["ADDED b", "ADDED a", "MODIFIED a", "MODIFIED a"][..3]
            .iter()
            .map(|s| (*s).to_owned())
            .chain(["DELETED a".to_owned()])
            .collect::<Vec<_>>()
    );
    let last = watch.next().await.unwrap();
    assert_eq!((&last["type"], &last["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("b")));
    // The DELETED of a selection carries the object as it matched, at the revision it left.
    let mut again = admin
        .watch(&format!("{CONFIG_MAPS}?watch=true&labelSelector=on%3Dyes&resourceVersion=1&allowWatchBookmarks=true"))
        .await;
    let mut event = again.next().await.unwrap();
    while event["type"] != "DELETED" {
        event = again.next().await.unwrap();
    }
    assert_eq!(event["object"]["metadata"]["labels"]["on"], "yes");
    assert_eq!(event["object"]["metadata"]["resourceVersion"], left["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_and_bookmarks_follow() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = admin.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(watch.line().await, "ADDED a");
    let end = watch.next().await.unwrap();
    assert_eq!(end["type"], "BOOKMARK");
    assert_eq!(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!((&end["object"]["kind"], &end["object"]["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    // Something else changes; the watch hears how far the server has come.
    let made = admin.post("/api/v1/namespaces", json!({"metadata": {"name": "elsewhere"}})).await.ok();
    let mark = watch.next().await.unwrap();
    assert_eq!(mark["type"], "BOOKMARK");
    let number = |v: &Value| v["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(number(&mark["object"]) >= number(&made));
    server
        .admin
        .get(&format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true"))
        .await
        .fails(422, "resourceVersionMatch");
}

#[tokio::test]
async fn a_watch_ends_in_time() {
    let server = server().await;
    let mut watch = server.admin.watch(&format!("{CONFIG_MAPS}?watch=true&timeoutSeconds=1")).await;
    assert!(watch.next().await.is_none());
}

#[tokio::test]
async fn tables_and_metadata_are_watched() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    let mut tables =
        admin.watch_as(&format!("{PODS}?watch=true"), "application/json;as=Table;v=v1;g=meta.k8s.io").await;
    let mut metadata = admin
        .watch_as(&format!("{PODS}?watch=true"), "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
        .await;
    admin.post(PODS, pod("a")).await.ok();
    admin.post(PODS, pod("b")).await.ok();
    let (first, second) = (tables.next().await.unwrap(), tables.next().await.unwrap());
    assert!(first["object"]["columnDefinitions"].is_array() && second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
    let event = metadata.next().await.unwrap();
    assert_eq!((&event["object"]["kind"], event["object"].get("spec")), (&json!("PartialObjectMetadata"), None));
}

#[tokio::test]
async fn metadata_is_had_as_protobuf_and_no_watch_as_yaml() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    admin.post(PODS, pod("a")).await.ok();
    let ask = async |path: &str, kind: &str| -> Value {
        let accept = format!("application/vnd.kubernetes.protobuf;as={kind};g=meta.k8s.io;v=v1,application/json");
        let request = http::Request::get(path).header("accept", accept).body(axum::body::Body::empty()).unwrap();
        let answer = admin.raw(request).await;
        assert_eq!(answer.headers()["content-type"], "application/vnd.kubernetes.protobuf");
        let bytes = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        kedge_api::protobuf::decode(&bytes, None).unwrap()
    };
    let one = ask(&format!("{PODS}/a"), "PartialObjectMetadata").await;
    assert_eq!((&one["kind"], &one["metadata"]["name"]), (&json!("PartialObjectMetadata"), &json!("a")));
    assert!(one.get("spec").is_none() && one["metadata"]["uid"].is_string(), "{one}");
    let list = ask(PODS, "PartialObjectMetadataList").await;
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("a"))
    );
    assert!(list["metadata"]["resourceVersion"].is_string());

    let accept = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let request = http::Request::get(format!("{PODS}?watch=true")).header("accept", accept);
    let answer = admin.raw(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.headers()["content-type"], "application/vnd.kubernetes.protobuf;stream=watch");
    let mut body = answer.into_body();
    let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap().into_data().unwrap();
    // The event holds the object in its envelope.
    let at = frame.windows(4).position(|window| window == b"k8s\0").unwrap();
    let envelope = kedge_api::protobuf::open(&frame[at..]).unwrap();
    assert_eq!((envelope.api_version, envelope.kind), ("meta.k8s.io/v1", "PartialObjectMetadata"));

    let yaml = [("accept", "application/yaml")];
    let refused = admin.send("GET", &format!("{PODS}?watch=true"), &yaml, "").await;
    // In YAML, which goes on in the next line.
    let words = "only the following media types are accepted: application/json;stream=watch,\n  \
                 application/vnd.kubernetes.protobuf;stream=watch";
    refused.fails(406, words);
}

#[tokio::test]
async fn one_name_is_watched_by_field() {
    let server = server().await;
    let admin = &server.admin;
    let mut watch = admin.watch(&format!("{CONFIG_MAPS}?watch=true&fieldSelector=metadata.name%3Dab")).await;
    for name in ["a", "abc", "ab"] {
        admin.post(CONFIG_MAPS, config_map(name)).await.ok();
    }
    assert_eq!(watch.line().await, "ADDED ab");
}
