//! A server for tests.
//!
//! In: a function that answers requests. Out: a session with it, and what it was asked. Never opens a socket.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use kedge_client::{Client, kube};
use serde_json::{Value, json};

use crate::session::Session;

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET /api/v1/pods?watch=true`.
    pub line: String,
    /// What it accepts.
    pub accept: String,
    /// Its body; null for none.
    pub body: Value,
}

/// What a server was asked, but for what it serves.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    /// All requests.
    pub fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// All requests since the last time.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Their first lines.
    pub fn lines(&self) -> Vec<String> {
        self.all().into_iter().map(|asked| asked.line).collect()
    }
}

/// A session with a server that answers so; a string is a body as it is. What it serves is answered here.
pub fn session(answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> (Session, Log) {
    let log = Log::default();
    let (kept, answer) = (log.clone(), Arc::new(answer));
    let service = tower::service_fn(move |request: http::Request<Full<Bytes>>| {
        let (kept, answer) = (kept.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let accept = head.headers.get("accept").map_or("", |value| value.to_str().unwrap());
            let asked = Asked {
                line: format!("{} {}", head.method, head.uri),
                accept: accept.to_owned(),
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            };
            let (code, value) = match head.uri.path() {
                "/api" => (200, served("", CORE)),
                "/apis" => (200, groups()),
                _ => {
                    kept.0.lock().unwrap().push(asked.clone());
                    answer(&asked)
                }
            };
            let text = if let Value::String(text) = value { text } else { value.to_string() };
            Ok::<_, Infallible>(http::Response::builder().status(code).body(Full::new(Bytes::from(text))).unwrap())
        }
    });
    let url = "http://127.0.0.1:1";
    let config = kube::Config::new(url.parse().unwrap());
    let session = Session {
        client: Client::from_service(service, "default"),
        kube: kube::Client::try_from(config).unwrap(),
        url: url.to_owned(),
        namespace: "default".to_owned(),
        namespace_given: false,
    };
    (session, log)
}

/// Another session with the same server.
pub fn again(session: &Session) -> Session {
    Session {
        client: session.client.clone(),
        kube: session.kube.clone(),
        url: session.url.clone(),
        namespace: session.namespace.clone(),
        namespace_given: session.namespace_given,
    }
}

/// The server's no.
pub fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let message = format!("it is {reason}");
    (code, json!({"kind": "Status", "code": code, "reason": reason, "message": message}))
}

/// Plural, kind, short name; what lives in no namespace ends with a star.
const CORE: &[(&str, &str, &str)] = &[
    ("pods", "Pod", "po"),
    ("services", "Service", "svc"),
    ("secrets", "Secret", ""),
    ("configmaps", "ConfigMap", "cm"),
    ("events", "Event", "ev"),
    ("serviceaccounts", "ServiceAccount", "sa"),
    ("resourcequotas", "ResourceQuota", "quota"),
    ("namespaces*", "Namespace", "ns"),
    ("nodes*", "Node", "no"),
];

fn groups() -> Value {
    let apps: &[_] = &[
        ("deployments", "Deployment", "deploy"),
        ("replicasets", "ReplicaSet", "rs"),
        ("statefulsets", "StatefulSet", "sts"),
        ("daemonsets", "DaemonSet", "ds"),
    ];
    let rbac: &[_] = &[
        ("roles", "Role", ""),
        ("rolebindings", "RoleBinding", ""),
        ("clusterroles*", "ClusterRole", ""),
        ("clusterrolebindings*", "ClusterRoleBinding", ""),
    ];
    let mut all = served("apps", apps);
    for (group, resources) in [
        ("batch", &[("jobs", "Job", ""), ("cronjobs", "CronJob", "cj")][..]),
        ("certificates.k8s.io", &[("certificatesigningrequests*", "CertificateSigningRequest", "csr")]),
        ("networking.k8s.io", &[("ingresses", "Ingress", "ing")]),
        ("policy", &[("poddisruptionbudgets", "PodDisruptionBudget", "pdb")]),
        ("rbac.authorization.k8s.io", rbac),
        ("scheduling.k8s.io", &[("priorityclasses*", "PriorityClass", "pc")]),
        ("example.com", &[("services", "Service", ""), ("nodes*", "Node", "")]),
    ] {
        all["items"].as_array_mut().unwrap().push(served(group, resources)["items"][0].clone());
    }
    all
}

/// One group with its version `v1`: plural (with `*` if of the cluster), kind and short name of each resource.
fn served(group: &str, resources: &[(&str, &str, &str)]) -> Value {
    let resource = |(plural, kind, short): &(&str, &str, &str)| {
        let scope = if plural.ends_with('*') { "Cluster" } else { "Namespaced" };
        json!({"resource": plural.trim_end_matches('*'), "singularResource": kind.to_lowercase(), "scope": scope,
            "responseKind": {"kind": kind}, "shortNames": [short], "verbs": ["get", "list", "watch", "delete"]})
    };
    let resources: Vec<Value> = resources.iter().map(resource).collect();
    json!({"items": [{"metadata": {"name": group}, "versions": [{"version": "v1", "resources": resources}]}]})
}
