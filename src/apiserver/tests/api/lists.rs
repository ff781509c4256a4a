//! Lists: selectors, pages, revisions, forms.

use std::io::Read as _;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::{CONFIG_MAPS, PODS, Server, config_map, pod, server};

async fn with_maps(count: usize) -> Server {
    let server = server().await;
    for at in 0..count {
        let mut map = config_map(&format!("m{at:02}"));
        map["metadata"]["labels"] = json!({"even": (at % 2 == 0).to_string(), "at": at.to_string()});
        server.admin.post(CONFIG_MAPS, map).await.ok();
    }
    server
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn selectors_choose() {
    let server = with_maps(6).await;
    let rows: [(&str, &[&str]); 7] = [
        ("", &["m00", "m01", "m02", "m03", "m04", "m05"]),
        ("labelSelector=even%3Dtrue", &["m00", "m02", "m04"]),
        ("labelSelector=even=true,at%20notin%20(0,2)", &["m04"]),
        ("labelSelector=!even", &[]),
        ("fieldSelector=metadata.name%3Dm03", &["m03"]),
        ("fieldSelector=metadata.name!=m03&labelSelector=even=false", &["m01", "m05"]),
        ("fieldSelector=metadata.namespace=other", &[]),
    ];
    for (query, expected) in rows {
        let list = server.admin.get(&format!("{CONFIG_MAPS}?{query}")).await.ok();
        assert_eq!(names(&list), expected, "{query}");
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    }
    server
        .admin
        .get(&format!("{CONFIG_MAPS}?labelSelector=a%20in%20("))
        .await
        .fails(400, "unable to parse requirement");
    server.admin.get(&format!("{CONFIG_MAPS}?fieldSelector=data.k=v")).await.fails(400, "field");
    let all = server.admin.get("/api/v1/configmaps").await.ok();
    // One more is there from the start.
    assert_eq!(names(&all).len(), 7);
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = with_maps(5).await;
    let admin = &server.admin;
    let first = admin.get(&format!("{CONFIG_MAPS}?limit=2")).await.ok();
    assert_eq!((names(&first), &first["metadata"]["remainingItemCount"]), (vec!["m00", "m01"], &json!(3)));
    let token = first["metadata"]["continue"].as_str().unwrap();
    // What happens between two pages is not in the list.
    admin.delete(&format!("{CONFIG_MAPS}/m02"), Value::Null).await.ok();
    admin.post(CONFIG_MAPS, config_map("m09")).await.ok();
    let second = admin.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!(names(&second), ["m02", "m03"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    assert_eq!(second["metadata"]["remainingItemCount"], 1, "of those that there were then");
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = admin.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.ok();
    assert_eq!((names(&third), third["metadata"].get("continue")), (vec!["m04"], None));
    let selected = admin.get(&format!("{CONFIG_MAPS}?limit=1&labelSelector=even=true")).await.ok();
    assert!(selected["metadata"]["continue"].is_string() && selected["metadata"].get("remainingItemCount").is_none());
    admin.get(&format!("{CONFIG_MAPS}?continue=nonsense")).await.fails(400, "continue key is not valid");
}

#[tokio::test]
async fn every_page_says_how_many_are_left() {
    let server = with_maps(9).await;
    let admin = &server.admin;
    let version = admin.get(CONFIG_MAPS).await.ok()["metadata"]["resourceVersion"].clone();
    for at in 0..4 {
        admin.post(CONFIG_MAPS, config_map(&format!("n{at}"))).await.ok();
    }
    // A list of what there is now, and one of what there was then.
    let then = format!("resourceVersion={}&resourceVersionMatch=Exact&", version.as_str().unwrap());
    for (from, all) in [(String::new(), 13), (then, 9)] {
        let (mut seen, mut query) = (0, from);
        loop {
            let page = admin.get(&format!("{CONFIG_MAPS}?{query}limit=4")).await.ok();
            seen += names(&page).len();
            let Some(token) = page["metadata"]["continue"].as_str() else { break };
            assert_eq!(page["metadata"]["remainingItemCount"], json!(all - seen), "{query}");
            query = format!("continue={token}&");
        }
        assert_eq!(seen, all);
    }
    let everywhere = admin.get("/api/v1/configmaps?limit=1").await.ok();
    let total = names(&admin.get("/api/v1/configmaps").await.ok()).len();
    assert_eq!(everywhere["metadata"]["remainingItemCount"], json!(total - 1));
}

#[tokio::test]
async fn revisions_are_exact_or_not_older() {
    let server = with_maps(2).await;
    let admin = &server.admin;
    let before = admin.get(CONFIG_MAPS).await.ok();
    let version = before["metadata"]["resourceVersion"].as_str().unwrap();
    admin.post(CONFIG_MAPS, config_map("new")).await.ok();
    let then = admin.get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.ok();
    assert_eq!((names(&then), &then["metadata"]["resourceVersion"]), (vec!["m00", "m01"], &json!(version)));
    let now =
        admin.get(&format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await.ok();
    assert_eq!(names(&now).len(), 3);
    let future = admin.get(&format!("{CONFIG_MAPS}?resourceVersion=999999999")).await;
    let body = future.fails(504, "Too large resource version");
    assert_eq!(body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test]
async fn tables_and_metadata_are_made_on_request() {
    let server = server().await.with_account().await;
    let admin = &server.admin;
    admin.post(PODS, pod("web")).await.ok();
    let ask =
        |path: String, accept: &'static str| async move { admin.send("GET", &path, &[("accept", accept)], "").await };
    let table = ask(PODS.to_owned(), "application/json;as=Table;v=v1;g=meta.k8s.io,application/json").await.ok();
    assert_eq!(table["kind"], "Table");
    let row = &table["rows"][0];
    assert_eq!(row["cells"].as_array().unwrap()[..3], [json!("web"), json!("0/1"), json!("Pending")]);
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    let bare = ask(format!("{PODS}?includeObject=None"), "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    assert!(bare["rows"][0].get("object").is_none());
    let one = ask(format!("{PODS}/web"), "application/json;as=Table;v=v1;g=meta.k8s.io").await.ok();
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    let list = ask(PODS.to_owned(), "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("spec").is_none() && list["items"][0]["metadata"]["uid"].is_string());
    ask(PODS.to_owned(), "text/html").await.fails(406, "");
}

#[tokio::test]
async fn a_page_is_filled_from_far_behind_what_does_not_match() {
    let server = with_maps(4).await;
    // More than are looked at together.
    for at in 0..520 {
        server.admin.post(CONFIG_MAPS, config_map(&format!("b{at:04}"))).await.ok();
    }
    let page = server.admin.get(&format!("{CONFIG_MAPS}?limit=3&labelSelector=at")).await.ok();
    assert_eq!(names(&page), ["m00", "m01", "m02"]);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = server.admin.get(&format!("{CONFIG_MAPS}?limit=3&labelSelector=at&continue={token}")).await.ok();
    assert_eq!(names(&rest), ["m03"]);
    let none = server.admin.get(&format!("{CONFIG_MAPS}?limit=3&labelSelector=absent")).await.ok();
    assert!(names(&none).is_empty());
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let server = with_maps(4).await;
    let admin = &server.admin;
    let gone = admin.delete(&format!("{CONFIG_MAPS}?labelSelector=even=true"), Value::Null).await.ok();
    assert_eq!((&gone["kind"], names(&gone)), (&json!("ConfigMapList"), vec!["m00", "m02"]));
    assert_eq!(names(&admin.get(CONFIG_MAPS).await.ok()), ["m01", "m03"]);
    admin.delete("/api/v1/namespaces", Value::Null).await.fails(405, "");
}

#[tokio::test]
async fn a_long_list_comes_in_pieces_and_is_whole() {
    let server = with_maps(90).await;
    let list = server.admin.get(CONFIG_MAPS).await.ok();
    assert_eq!(names(&list).len(), 90);
}

#[tokio::test]
async fn people_get_what_they_can_read_and_wait_no_longer_than_they_say() {
    let server = server().await;
    let admin = &server.admin;
    admin.post(CONFIG_MAPS, config_map("a")).await.ok();
    let path = format!("{CONFIG_MAPS}/a");
    let plain = admin.get(&path).await;
    for (query, agent, pretty) in [
        ("", "kubectl/v1", false),
        ("?pretty=true", "kubectl/v1", true),
        ("", "curl/8", true),
        ("?pretty=0", "curl/8", false),
    ] {
        let seen = admin.send("GET", &format!("{path}{query}"), &[("user-agent", agent)], "").await;
        assert_eq!(
            (&seen.body, seen.text.contains("\n  \"data\": {\n    \"k\": ")),
            (&plain.body, pretty),
            "{}",
            seen.text
        );
    }
    admin
        .get(&format!("{path}?timeout=1"))
        .await
        .fails(400, "invalid timeout specified in the request URL - time: missing unit");
    admin.get(&format!("{path}?timeout=1m")).await.ok();
    // A body that never ends.
    let body = axum::body::Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let seen =
        admin.send("POST", &format!("{CONFIG_MAPS}?timeout=20ms"), &[("content-type", "application/json")], body).await;
    seen.fails(504, "request did not complete within the allotted timeout");
}

#[tokio::test]
async fn what_people_read_is_compressed_like_everything_that_is_large() {
    let server = server().await;
    for at in 0..8 {
        let mut map = config_map(&format!("m{at}"));
        map["data"]["k"] = json!("v".repeat(20_000));
        server.admin.post(CONFIG_MAPS, map).await.ok();
    }
    server.api.add_static_token("secret", kedge_apiserver::Identity::master("root"));
    let ask = async |query: &str| {
        let request = http::Request::get(format!("{CONFIG_MAPS}{query}"))
            .header("authorization", "Bearer secret")
            .header("accept-encoding", "gzip")
            .body(axum::body::Body::empty())
            .unwrap();
        let answer = server.api.router().oneshot(request).await.unwrap();
        let is_compressed = answer.headers().get("content-encoding").is_some_and(|how| how == "gzip");
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let mut text = String::new();
        match is_compressed {
            true => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap(),
            false => (&bytes[..]).read_to_string(&mut text).unwrap(),
        };
        (is_compressed, serde_json::from_str::<Value>(&text).unwrap(), text)
    };
    let (plain_compressed, plain, text) = ask("").await;
    assert!(plain_compressed && !text.contains('\n'));
    let (compressed, object, text) = ask("?pretty=true").await;
    assert!(compressed && text.starts_with("{\n  \"kind\": ") && object == plain, "{}", &text[..200]);
    let (compressed, _, text) = ask("?pretty=true&limit=1").await;
    assert!(!compressed && text.starts_with("{\n  \"kind\": "));
}
