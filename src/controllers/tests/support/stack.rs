//! A whole control plane for tests: API server, store, the built-in controllers as Wasm, and a node that is played.
//!
//! In: objects. Out: what becomes of them. No sockets, no containers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kedge_apiserver::{ApiServer, Config, Identity, Parts};
use kedge_client::{
    Client, DeleteOptions, Informer, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions, WriteOptions,
};
use kedge_controllers::{Engine, PluginSeat};
use kedge_plugin_host::{BundleError, Environment, Options, PluginConfig, PluginHost, builtin};
use kedge_store::Store;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// It ends with the test.
pub struct Stack {
    pub client: Client,
    pub engine: Engine,
    api: ApiServer,
    _host: PluginHost,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
}

fn target() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(beside, PathBuf::from)
}

/// The collection of a kind in the default namespace.
pub fn at(group: &str, version: &str, plural: &str) -> ResourcePath {
    ResourcePath::new(group, version, plural).namespace("default")
}

/// The same for the core group.
pub fn core(plural: &str) -> ResourcePath {
    ResourcePath::core(plural).namespace("default")
}

impl Stack {
    /// Everything but the node; `None` without guests.
    pub async fn start() -> Option<Self> {
        if let Err(BundleError::Absent) = builtin() {
            eprintln!("SKIPPED: no built-in plugins in this build; run `cargo xtask guests` first");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(kedge_store::Options::new(folder.path().join("store"))).unwrap();
        let config = Config { data_dir: folder.path().into(), ..Config::default() };
        let api = ApiServer::open(config, store, Parts::default()).await.unwrap();
        let client = Client::from_service(api.loopback(Identity::master("test")), "default");
        let log = Arc::new(|plugin: &str, _, line: &str| eprintln!("{plugin}: {line}"));
        let environment = Environment { now: Arc::new(SystemTime::now), random: Arc::new(|| 4), log };
        let compiler = target().join("debug/kedge-plugin-compiler");
        let host = PluginHost::open(Options { cache: folder.path().join("cache"), compiler, environment }).unwrap();
        assert_eq!(host.apply(&[PluginConfig::builtin("controllers")]), []);
        let (plugin, _) = host.controllers().remove(0);
        let stop = CancellationToken::new();
        let engine = Engine::new(SystemTime::now);
        let (seat, token, runs) = (PluginSeat { plugin, client: client.clone() }, stop.clone(), engine.clone());
        tokio::spawn(async move { runs.run(seat, token).await });
        Some(Self { client, engine, api, _host: host, _stop: stop.drop_guard(), _folder: folder })
    }

    /// With a node that runs every pod at once: ready, or, where the pod belongs to a Job, to a good end.
    pub async fn with_node() -> Option<Self> {
        let stack = Self::start().await?;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "edge", "labels": {"topology.kubernetes.io/zone": "z"}}});
        stack.create(&ResourcePath::core("nodes"), node).await;
        tokio::spawn(play(stack.client.clone()));
        Some(stack)
    }

    pub async fn create(&self, path: &ResourcePath, object: Value) -> Value {
        self.client.create(path, &object, &WriteOptions::default()).await.unwrap()
    }

    pub async fn patch(&self, path: &ResourcePath, patch: Value) -> Value {
        self.client.patch(path, PatchKind::Merge, &patch, &PatchOptions::default()).await.unwrap()
    }

    pub async fn delete(&self, path: &ResourcePath) {
        self.client.delete(path, &DeleteOptions::default()).await.unwrap();
    }

    /// Waits until an object of a collection is as wanted.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        path: &ResourcePath,
        what: &'a str,
        wanted: impl Fn(&Value) -> bool + 'a,
    ) -> impl Future<Output = Value> + 'a {
        let path = path.clone();
        async move {
            let mut informer = Informer::<Value>::new(self.client.clone(), path, WatchOptions::default());
            let mut last = Value::Null;
            let find = async {
                loop {
                    if let Step::Apply(object) = informer.next().await {
                        if wanted(&object) {
                            return object;
                        }
                        last = object;
                    }
                }
            };
            match tokio::time::timeout(PATIENCE, find).await {
                Ok(object) => object,
                Err(_) => panic!("{what} did not come; last seen: {last:#}"),
            }
        }
    }

    /// Waits until an object is gone.
    pub async fn until_gone(&self, path: &ResourcePath) {
        let mut last = Value::Null;
        let gone = async {
            while let Some(there) = self.client.get_opt(path).await.unwrap() {
                last = there;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, gone).await;
        assert!(ended.is_ok(), "{path} is still there: {last:#}");
    }

    pub async fn end(self) {
        let (all, failed, took) = self.engine.metrics().reconciles();
        eprintln!("{all} reconciles, {failed} of them failed, in {took:?}");
        self.api.close().await;
    }
}

/// The node and the scheduler.
async fn play(client: Client) {
    let mut informer = Informer::<Value>::new(client.clone(), ResourcePath::core("pods"), WatchOptions::default());
    let mut number = 0;
    loop {
        let Step::Apply(pod) = informer.next().await else { continue };
        let (meta, spec) = (&pod["metadata"], &pod["spec"]);
        let namespace = meta["namespace"].as_str().unwrap_or_default();
        let path = ResourcePath::core("pods").namespace(namespace).name(meta["name"].as_str().unwrap_or_default());
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if !meta["deletionTimestamp"].is_null() {
            let _ = client
                .delete(&path, &DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() })
                .await;
        } else if spec["nodeName"].is_null() {
            let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                "target": {"kind": "Node", "name": "edge"}});
            let _ = client.create(&path.subresource("binding"), &binding, &WriteOptions::default()).await;
        } else if spec["nodeName"] == "edge" && pod["status"]["podIP"].is_null() && !ended {
            number += 1;
            let ip = format!("10.42.0.{number}");
            let fails = meta["labels"]["test"] == "fails";
            let status = if meta["labels"]["batch.kubernetes.io/job-name"].is_null() {
                json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
            } else {
                json!({"phase": if fails { "Failed" } else { "Succeeded" }, "podIP": ip, "podIPs": [{"ip": ip}]})
            };
            let patch = json!({"status": status});
            let status = path.subresource("status");
            let _ = client.patch(&status, PatchKind::Merge, &patch, &PatchOptions::default()).await;
        }
    }
}
