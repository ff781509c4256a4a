//! Input that means harm: each is answered, and the server goes on.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use kedge_api::Object;
use kedge_api::status::Status;
use kedge_apiserver::Identity;
use kedge_apiserver::admission::{Admission, Attributes, Reader};
use serde_json::json;

use crate::support::{CONFIG_MAPS, config_map, server, server_with};

#[tokio::test]
async fn bodies_are_bounded() {
    let server = server_with(|config, _| config.limits.body = 10_000).await;
    let admin = &server.admin;
    let mut large = config_map("a");
    large["data"]["k"] = json!("x".repeat(20_000));
    admin.post(CONFIG_MAPS, large.clone()).await.fails(413, "");
    // Without a declared length it is counted as it comes.
    let stream = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from(vec![b' '; 1000]))));
    let headers = [("content-type", "application/json")];
    admin.send("POST", CONFIG_MAPS, &headers, Body::from_stream(stream)).await.fails(413, "");
    admin.get(CONFIG_MAPS).await.ok();
}

#[tokio::test]
async fn nonsense_is_refused_with_a_reason() {
    let server = server().await;
    let admin = &server.admin;
    let json = "application/json";
    let deep = "[".repeat(5000);
    let rows: [(&str, &str, &str, u16); 9] = [
        ("POST", json, "", 400),
        ("POST", json, "{", 400),
        ("POST", json, "null", 400),
        ("POST", json, "[]", 400),
        ("POST", json, "\u{0}\u{1}", 400),
        ("POST", json, &deep, 400),
        ("POST", json, r#"{"metadata": "x"}"#, 400),
        ("POST", "application/vnd.example", "{}", 415),
        ("BREW", json, "{}", 403),
    ];
    for (method, content_type, body, code) in rows {
        let reply = admin.send(method, CONFIG_MAPS, &[("content-type", content_type)], body.to_owned()).await;
        if method == "BREW" {
            assert!(matches!(reply.code, 403 | 405), "{}", reply.code);
        } else {
            assert_eq!(reply.code, code, "{method} {body:.20} {}", reply.text);
        }
        assert_eq!(reply.body["kind"], "Status");
    }
    for path in [
        "/api/v1//namespaces",
        "/api/v1/namespaces//pods",
        "/apis//v1/x",
        "/api/v1/namespaces/a%00b/pods",
        "/api/v1/namespaces/../../secrets",
        "/%2e%2e/x",
    ] {
        let reply = admin.get(path).await;
        assert!(reply.code < 500, "{path} {}", reply.code);
    }
    admin.get(&format!("{CONFIG_MAPS}?limit=-1")).await.ok();
    admin.get(&format!("{CONFIG_MAPS}?limit=many")).await.fails(400, "limit");
    admin.get(&format!("{CONFIG_MAPS}/{}", "x".repeat(60_000))).await.fails(404, "");
    admin.get(CONFIG_MAPS).await.ok();
}

#[tokio::test]
async fn too_many_requests_are_told_to_come_again() {
    let server = server_with(|config, _| {
        config.limits.longrunning = 1;
        config.limits.reads = 0;
    })
    .await;
    // The loopback is exempt: the daemon must not starve itself.
    server.as_user(Identity::master("m")).get(CONFIG_MAPS).await.ok();
    let router = server.api.router();
    let request = http::Request::builder().uri(CONFIG_MAPS).body(Body::empty()).unwrap();
    let answer = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "1"));
}

struct Panics;

#[async_trait]
impl Admission for Panics {
    fn name(&self) -> &'static str {
        "Panics"
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        _: &mut Object,
        _: Option<&Object>,
        _: Reader<'_>,
    ) -> Result<(), Status> {
        assert!(attributes.name != "boom", "as the test wants");
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_is_answered_and_ends_nothing_else() {
    let server = server_with(|_, parts| parts.admission = vec![Arc::new(Panics)]).await;
    server.admin.post(CONFIG_MAPS, config_map("boom")).await.fails(500, "caused apiserver to panic");
    server.admin.post(CONFIG_MAPS, config_map("calm")).await.ok();
    assert!(server.admin.get("/metrics").await.text.contains("apiserver_panics_total 1"));
}
