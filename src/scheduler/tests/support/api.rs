//! An API that knows Nodes, Pods, bindings and Events, in memory: enough for a scheduler.
#![allow(dead_code, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use kedge_client::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

type Frames = futures::stream::BoxStream<'static, Result<http_body::Frame<Bytes>, Infallible>>;

/// The API. A handle.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    world: Mutex<World>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct World {
    version: u64,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    watchers: BTreeMap<String, Vec<mpsc::UnboundedSender<Bytes>>>,
    events: Vec<Value>,
    /// Bindings that are refused before one is taken.
    refusals: usize,
}

impl Default for Api {
    fn default() -> Self {
        Self(Arc::new(Inner { world: Mutex::default(), changes: watch::Sender::new(0) }))
    }
}

impl Api {
    pub fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::from_service(service, "default")
    }

    pub fn put_node(&self, name: &str, cpu: &str) {
        let allocatable = json!({"cpu": cpu, "memory": "16Gi", "pods": "110"});
        self.put("nodes", name, json!({"metadata": {"name": name}, "status": {"allocatable": allocatable}}));
    }

    pub fn put_pod(&self, name: &str, cpu: &str) {
        let container = json!({"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}});
        let meta = json!({"name": name, "namespace": "ns", "uid": format!("uid-{name}")});
        let status = json!({"phase": "Pending"});
        self.put("pods", name, json!({"metadata": meta, "spec": {"containers": [container]}, "status": status}));
    }

    pub fn put(&self, plural: &str, name: &str, object: Value) {
        self.change(|world| world.put(plural, name, object));
    }

    pub fn delete(&self, plural: &str, name: &str) {
        self.change(|world| {
            let gone = world.objects.entry(plural.into()).or_default().remove(name);
            world.tell(plural, "DELETED", gone.unwrap_or_default());
        });
    }

    pub fn refuse_bindings(&self, count: usize) {
        self.change(|world| world.refusals = count);
    }

    /// The node of a pod; empty when it has none.
    pub fn node_of(&self, pod: &str) -> String {
        self.read(|world| world.objects["pods"][pod]["spec"]["nodeName"].as_str().unwrap_or_default().to_string())
    }

    pub fn condition_of(&self, pod: &str) -> Value {
        self.read(|world| world.objects["pods"][pod]["status"]["conditions"][0].clone())
    }

    /// How many pods have a node.
    pub fn assigned(&self) -> usize {
        self.read(|world| {
            let pods = world.objects.get("pods").into_iter().flat_map(BTreeMap::values);
            pods.filter(|pod| pod["spec"]["nodeName"].is_string()).count()
        })
    }

    /// Reason and message of each Event about a pod.
    pub fn events_of(&self, pod: &str) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        self.read(|world| {
            let about = world.events.iter().filter(|event| event["involvedObject"]["name"] == pod);
            about.map(|event| (text(&event["reason"]), text(&event["message"]))).collect()
        })
    }

    /// Waits for a state; it is looked at after every change.
    pub async fn until(&self, mut reached: impl FnMut(&Self) -> bool) {
        let mut changes = self.0.changes.subscribe();
        let wait = async {
            while !reached(self) {
                changes.changed().await.expect("the sender is in self");
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), wait).await.expect("reached within 20 s");
    }

    fn read<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.0.world.lock().expect("not poisoned"))
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let answer = change(&mut self.0.world.lock().expect("not poisoned"));
        self.0.changes.send_modify(|count| *count += 1);
        answer
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Response<StreamBody<Frames>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let words: Vec<&str> = parts.uri.path().trim_start_matches("/api/v1/").split('/').collect();
        let watches = parts.uri.query().is_some_and(|query| query.contains("watch=true"));
        match (parts.method, words.as_slice()) {
            (Method::GET, [plural]) if watches => self.watch(plural),
            (Method::GET, [plural]) => self.read(|world| {
                let items: Vec<Value> =
                    world.objects.get(*plural).into_iter().flat_map(|all| all.values().cloned()).collect();
                whole(200, json!({"metadata": {"resourceVersion": world.version.to_string()}, "items": items}))
            }),
            (Method::POST, ["namespaces", _, "pods", name, "binding"]) => self.change(|world| world.bind(name, &body)),
            (Method::PATCH, ["namespaces", _, "pods", name, "status"]) => self.change(|world| {
                let mut pod = world.objects["pods"][*name].clone();
                pod["status"]["conditions"] = body["status"]["conditions"].clone();
                world.put("pods", name, pod.clone());
                whole(200, pod)
            }),
            (Method::POST, ["namespaces", _, "events"]) => self.change(|world| {
                world.events.push(body.clone());
                whole(201, body)
            }),
            (Method::PATCH, ["namespaces", _, "events", _]) => whole(200, body),
            (method, words) => whole(405, json!({"message": format!("{method} {words:?}")})),
        }
    }

    fn watch(&self, plural: &str) -> Response<StreamBody<Frames>> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        self.read(|_| ());
        let mut world = self.0.world.lock().expect("not poisoned");
        // A watch begins with everything there is: a scheduler cannot tell it from changes since its list.
        for object in world.objects.get(plural).into_iter().flat_map(BTreeMap::values) {
            let _ = sender.send(line("MODIFIED", object));
        }
        world.watchers.entry(plural.into()).or_default().push(sender);
        let frames = stream::poll_fn(move |context| lines.poll_recv(context));
        answer(200, frames.map(|bytes| Ok(http_body::Frame::data(bytes))).boxed())
    }
}

impl World {
    fn put(&mut self, plural: &str, name: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.entry(plural.into()).or_default().insert(name.into(), object.clone());
        self.tell(plural, "MODIFIED", object);
    }

    fn tell(&mut self, plural: &str, kind: &str, object: Value) {
        let line = line(kind, &object);
        self.watchers.entry(plural.into()).or_default().retain(|watcher| watcher.send(line.clone()).is_ok());
    }

    fn bind(&mut self, name: &str, binding: &Value) -> Response<StreamBody<Frames>> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return whole(500, json!({"message": "not now"}));
        }
        let Some(mut pod) = self.objects.get("pods").and_then(|pods| pods.get(name)).cloned() else {
            return whole(404, json!({"reason": "NotFound", "message": "pod not found"}));
        };
        assert!(pod["spec"]["nodeName"].is_null(), "{name} is bound twice");
        assert_eq!(binding["metadata"]["uid"], pod["metadata"]["uid"]);
        pod["spec"]["nodeName"] = binding["target"]["name"].clone();
        self.put("pods", name, pod);
        whole(201, json!({"kind": "Status", "status": "Success"}))
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut bytes = serde_json::to_vec(&json!({"type": kind, "object": object})).expect("JSON");
    bytes.push(b'\n');
    bytes.into()
}

fn whole(code: u16, body: Value) -> Response<StreamBody<Frames>> {
    let bytes = Bytes::from(serde_json::to_vec(&body).expect("JSON"));
    answer(code, stream::iter([Ok(http_body::Frame::data(bytes))]).boxed())
}

fn answer(code: u16, frames: Frames) -> Response<StreamBody<Frames>> {
    let mut answer = Response::new(StreamBody::new(frames));
    *answer.status_mut() = StatusCode::from_u16(code).expect("a code");
    answer
}
