//! Proxies of pods and services, with a backend on this machine's own address: methods, paths, links, upgrades, refusals.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use bytes::Bytes;
use futures::stream::BoxStream;
use kedge_api::status::Status;
use kedge_apiserver::Identity;
use kedge_apiserver::streams::{Channel, ContainerRef, ExecOptions, LogOptions, NodeStreams, Session};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::sockets::serve;
use crate::support::{Client, PODS, pod, server, server_with, until};

const SERVICES: &str = "/api/v1/namespaces/default/services";

/// An address of this machine that is not its loopback; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// Says what it was asked, unless the path wants something else.
async fn backend() -> Option<SocketAddr> {
    let Some(address) = own_address() else {
        eprintln!("skipped: this machine has no address but its loopback");
        return None;
    };
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let first = head.lines().next().unwrap_or_default().to_owned();
                if first.contains("/upgrade") {
                    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    return;
                }
                let (code, more, body) = if first.contains("/page") {
                    ("200 OK", "Content-Type: text/html; charset=utf-8\r\n", "<a href=\"/x\">x</a>".to_owned())
                } else if first.contains("/moved") {
                    ("302 Found", "Location: /elsewhere?q=1\r\n", String::new())
                } else {
                    ("200 OK", "Content-Type: text/plain\r\nAccess-Control-Allow-Origin: *\r\n", head.clone())
                };
                let length = body.len();
                let answer = format!("HTTP/1.1 {code}\r\n{more}Content-Length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    Some(address)
}

async fn ready_pod(admin: &Client, name: &str, address: SocketAddr) {
    let mut object = pod(name);
    object["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": address.port()}]);
    admin.post(PODS, object).await.ok();
    admin.post(&format!("{PODS}/{name}/binding"), json!({"target": {"name": "n"}})).await.ok();
    let status = json!({"status": {"phase": "Running", "podIP": address.ip(), "podIPs": [{"ip": address.ip()}],
        "conditions": [{"type": "Ready", "status": "True"}]}});
    admin.patch("merge", &format!("{PODS}/{name}/status"), status).await.ok();
}

#[tokio::test]
async fn a_pod_answers_through_its_proxy() {
    let Some(address) = backend().await else { return };
    let server = server().await.with_account().await;
    let admin = &server.admin;
    ready_pod(admin, "a", address).await;
    let proxy = format!("{PODS}/a/proxy");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let reply = admin.send(method, &format!("{proxy}/x%20y/?a=b&a=c"), &[("authorization", "Bearer x")], "").await;
        assert_eq!(reply.code, 200, "{method}: {}", reply.text);
        assert!(reply.text.starts_with(&format!("{method} /x%20y/?a=b&a=c HTTP/1.1\r\n")), "{}", reply.text);
        let lower = reply.text.to_lowercase();
        assert!(lower.contains(&format!("x-forwarded-uri: {proxy}/x%20y/\r\n").to_lowercase()), "{lower}");
        assert!(!lower.contains("bearer") && !reply.headers.contains_key("access-control-allow-origin"));
    }
    // Links lead through the proxy again.
    let reply = admin.get(&format!("{proxy}/page")).await;
    assert_eq!(reply.text, format!("<a href=\"{proxy}/x\">x</a>"));
    let reply = admin.get(&format!("{proxy}/moved")).await;
    assert_eq!((reply.code, reply.headers["location"].to_str().unwrap()), (302, &*format!("{proxy}/elsewhere?q=1")));
    // Without a slash links would lead astray.
    let reply = admin.get(&format!("{proxy}?a=b")).await;
    assert_eq!((reply.code, reply.headers["location"].to_str().unwrap()), (301, &*format!("{proxy}/?a=b")));
    assert_eq!(admin.send("POST", &proxy, &[], "").await.code, 200);
    // Named ports of pods are not looked up, and a number may be any.
    let port = address.port();
    assert_eq!(admin.get(&format!("{PODS}/http:a:{port}/proxy/")).await.code, 200);
    let refused = admin.get(&format!("{PODS}/a:1/proxy/")).await;
    refused.fails(503, "error trying to reach service: dial tcp ");
    admin.get(&format!("{PODS}/ftp:a:1/proxy/")).await.fails(400, "invalid pod request \\\"ftp:a:1\\\"");
    admin.get(&format!("{PODS}/nobody/proxy/")).await.fails(404, "pods \\\"nobody\\\" not found");
    let local = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    admin.patch("merge", &format!("{PODS}/a/status"), local).await.ok();
    admin.get(&format!("{proxy}/")).await.fails(400, "address not allowed");
}

#[tokio::test]
async fn a_service_answers_by_one_of_its_pods() {
    let Some(address) = backend().await else { return };
    let server = server().await.with_account().await;
    let admin = &server.admin;
    let service = |selector: Value| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": selector,
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}})
    };
    admin.post(SERVICES, service(json!({"app": "a"}))).await.ok();
    let get = |name: &str| {
        let path = format!("{SERVICES}/{name}/proxy/");
        async move { admin.get(&path).await }
    };
    get("s:80").await.fails(503, "no endpoints available for service \\\"s\\\"");
    ready_pod(admin, "a", address).await;
    for name in ["s:80", "s:web", "http:s:web"] {
        assert_eq!(get(name).await.code, 200, "{name}");
    }
    get("s:81").await.fails(503, "no service port 81 found for service \\\"s\\\"");
    get("nobody").await.fails(404, "services \\\"nobody\\\" not found");
    // What its slices say counts once there are any.
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}}, "endpoints": [],
        "ports": [{"name": "web", "port": address.port()}]});
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    admin.post(slices, slice).await.ok();
    get("s:80").await.fails(503, "no endpoints available for service \\\"s\\\"");
    let endpoints = json!({"endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}]});
    admin.patch("merge", &format!("{slices}/s-1"), endpoints).await.ok();
    assert_eq!(get("s:80").await.code, 200);
}

#[tokio::test]
async fn another_protocol_passes_through() {
    let Some(address) = backend().await else { return };
    let server = server().await.with_account().await;
    ready_pod(&server.admin, "a", address).await;
    let served = serve(server).await;
    served.server.api.add_static_token("secret", kedge_apiserver::Identity::master("token"));
    let mut stream = served.connect(None, &[b"http/1.1"]).await;
    let head = format!(
        "GET {PODS}/a/proxy/upgrade HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret\r\n\
         Connection: Upgrade\r\nUpgrade: echo\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = [0; 5];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello");
    drop(stream);
    served.end().await;
}

/// A node that says which of its documents was asked for.
struct Node;

#[async_trait]
impl NodeStreams for Node {
    async fn logs(&self, _: ContainerRef, _: LogOptions) -> Result<BoxStream<'static, std::io::Result<Bytes>>, Status> {
        Err(Status::unavailable("no logs"))
    }

    async fn exec(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(Status::unavailable("no exec"))
    }

    async fn attach(&self, _: ContainerRef, _: ExecOptions) -> Result<Session, Status> {
        Err(Status::unavailable("no attach"))
    }

    async fn connect(&self, _: ContainerRef, _: u16) -> Result<Box<dyn Channel>, Status> {
        Err(Status::unavailable("no ports"))
    }

    async fn node_proxy(&self, node: &str, request: http::Request<Bytes>) -> Result<http::Response<Body>, Status> {
        Ok(http::Response::new(Body::from(format!("{node} {} {}", request.method(), request.uri()))))
    }
}

#[tokio::test]
async fn a_node_is_read_by_whoever_may_read_that_of_it() {
    let server = server_with(|_, parts| parts.streams = Arc::new(Node)).await;
    let admin = &server.admin;
    admin.post("/api/v1/nodes", json!({"metadata": {"name": "n"}})).await.ok();
    let proxy = "/api/v1/nodes/n/proxy";
    for path in ["/pods", "/stats/summary", "/configz", "/logs/a%20b/", "/metrics/cadvisor", "/healthz"] {
        assert_eq!(admin.get(&format!("{proxy}{path}")).await.text, format!("n GET {path}"));
    }
    // Each document has a right of its own, as at a kubelet's port.
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let rule = json!({"apiGroups": [""], "resources": ["nodes/metrics", "nodes/log"], "verbs": ["get"]});
    admin.post(&format!("{roles}/clusterroles"), json!({"metadata": {"name": "scrape"}, "rules": [rule]})).await.ok();
    let binding = json!({"metadata": {"name": "scrape"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrape"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "prometheus"}]});
    admin.post(&format!("{roles}/clusterrolebindings"), binding).await.ok();
    let scraper = server.as_user(Identity::user("prometheus", [""; 0]));
    until(async || scraper.get(&format!("{proxy}/metrics/cadvisor")).await.code == 200).await;
    assert_eq!(scraper.get("/api/v1/nodes/n:10250/proxy/logs/").await.text, "n GET /logs/");
    for refused in ["/pods", "/stats/summary", "/configz", "/kedge/v1/images", "/"] {
        scraper.get(&format!("{proxy}{refused}")).await.fails(403, "nodes/proxy");
    }
    scraper.send("POST", &format!("{proxy}/metrics"), &[], "").await.fails(403, "nodes/proxy");
    scraper.get("/api/v1/nodes/n:9100/proxy/metrics").await.fails(403, "nodes/proxy");
}
