//! A server in a temporary directory, and requests to it.
//!
//! In: method, path, body. Out: code and body as JSON. No sockets.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use kedge_apiserver::{ApiServer, Config, Identity, Limits, Loopback, Parts};
use kedge_store::{Options, Store};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// A server that ends with the test.
pub struct Server {
    pub api: ApiServer,
    pub admin: Client,
    pub dir: Arc<tempfile::TempDir>,
}

/// Somebody's requests.
#[derive(Clone)]
pub struct Client(pub Loopback);

/// A server with everything as it is on a device.
pub async fn server() -> Server {
    server_with(|_, _| ()).await
}

/// A server with other settings.
pub async fn server_with(change: impl FnOnce(&mut Config, &mut Parts)) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        limits: Limits { bookmarks: std::time::Duration::from_millis(50), ..Limits::default() },
        ..Config::default()
    };
    let mut parts = Parts::default();
    change(&mut config, &mut parts);
    let store = Store::open(Options::new(dir.path().join("store"))).unwrap();
    let api = ApiServer::open(config, store, parts).await.unwrap();
    let admin = Client(api.loopback(Identity::master("admin")));
    Server { api, admin, dir: Arc::new(dir) }
}

impl Server {
    pub fn as_user(&self, who: Identity) -> Client {
        Client(self.api.loopback(who))
    }

    /// An account that pods can run as.
    pub async fn with_account(self) -> Self {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        self.admin.post("/api/v1/namespaces/default/serviceaccounts", account).await.ok();
        self
    }
}

/// Looks again and again until a state has come: upkeep follows the store in tasks of its own.
pub async fn until(mut check: impl AsyncFnMut() -> bool) {
    let state = async {
        while !check().await {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), state).await.expect("the state comes");
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Reply {
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.code), "{} {}", self.code, self.text);
        self.body
    }

    #[track_caller]
    pub fn fails(self, code: u16, message: &str) -> Value {
        assert_eq!(self.code, code, "{}", self.text);
        assert!(self.text.contains(message), "{:?} does not say {message:?}", self.text);
        if self.body["kind"] == "Status" {
            assert_eq!((&self.body["status"], &self.body["code"]), (&json!("Failure"), &json!(code)));
        }
        self.body
    }

    pub fn warnings(&self) -> Vec<String> {
        self.headers.get_all(header::WARNING).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }
}

impl Client {
    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.0.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.raw(request.body(body.into()).unwrap()).await;
        let (head, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { code: head.status.as_u16(), headers: head.headers, body, text }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send("PUT", path, &[("content-type", "application/json")], body.to_string()).await
    }

    pub async fn patch(&self, kind: &str, path: &str, body: Value) -> Reply {
        let kind = match kind {
            "apply" => "application/apply-patch+yaml".to_owned(),
            kind => format!("application/{kind}-patch+json"),
        };
        self.send("PATCH", path, &[("content-type", &kind)], body.to_string()).await
    }

    pub async fn delete(&self, path: &str, options: Value) -> Reply {
        let body = if options.is_null() { Body::empty() } else { Body::from(options.to_string()) };
        self.send("DELETE", path, &[("content-type", "application/json")], body).await
    }

    /// Opens a watch; it must be accepted.
    pub async fn watch(&self, path: &str) -> Watch {
        self.watch_as(path, "application/json").await
    }

    pub async fn watch_as(&self, path: &str, accept: &str) -> Watch {
        let request = Request::builder().uri(path).header("accept", accept).body(Body::empty()).unwrap();
        let answer = self.raw(request).await;
        assert_eq!(answer.status(), 200);
        Watch { body: answer.into_body().into_data_stream(), rest: Vec::new() }
    }
}

/// A watch's events.
pub struct Watch {
    body: axum::body::BodyDataStream,
    rest: Vec<u8>,
}

impl Watch {
    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let piece: Bytes = tokio::time::timeout(std::time::Duration::from_secs(30), self.body.next())
                .await
                .expect("an event within half a minute")?
                .unwrap();
            self.rest.extend_from_slice(&piece);
        }
    }

    /// "TYPE name" of the next event.
    pub async fn line(&mut self) -> String {
        let event = self.next().await.expect("an event");
        format!("{} {}", event["type"].as_str().unwrap(), event["object"]["metadata"]["name"].as_str().unwrap_or("-"))
    }
}

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

pub fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]}})
}

pub fn deployment(name: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}}})
}

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
