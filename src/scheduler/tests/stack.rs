//! The scheduler with the real API server, store and Wasm plugins, as the identity that it has on a device.
//!
//! Needs the guests: without `cargo xtask guests` these tests say so and do nothing.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kedge_apiserver::{ApiServer, Config, Identity, Parts as ApiParts};
use kedge_client::{Client, Informer, PatchKind, PatchOptions, ResourcePath, Step, WatchOptions, WriteOptions};
use kedge_plugin_host::{BundleError, Environment, Options, PluginConfig, PluginHost, Source, builtin};
use kedge_scheduler::{Parts, Scheduler, Settings};
use kedge_store::Store;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

struct Stack {
    client: Client,
    host: PluginHost,
    api: ApiServer,
    _stop: DropGuard,
    folder: tempfile::TempDir,
}

fn target() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(beside, PathBuf::from)
}

impl Stack {
    async fn start() -> Option<Self> {
        if let Err(BundleError::Absent) = builtin() {
            eprintln!("SKIPPED: no built-in plugins in this build; run `cargo xtask guests` first");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(kedge_store::Options::new(folder.path().join("store"))).unwrap();
        let config = Config { data_dir: folder.path().into(), ..Config::default() };
        let api = ApiServer::open(config, store, ApiParts::default()).await.unwrap();
        let client = Client::from_service(api.loopback(Identity::master("test")), "default");
        let environment =
            Environment { now: Arc::new(SystemTime::now), random: Arc::new(|| 4), log: Arc::new(|_, _, _| {}) };
        let compiler = target().join("debug/kedge-plugin-compiler");
        let host = PluginHost::open(Options { cache: folder.path().join("cache"), compiler, environment }).unwrap();
        assert_eq!(host.apply(&[PluginConfig::builtin("scheduling")]), []);
        let who = Identity::user("system:kube-scheduler", ["system:authenticated"]);
        let parts = Parts {
            client: Client::from_service(api.loopback(who), "default"),
            plugins: host.scheduling(),
            clock: SystemTime::now,
            random: Box::new(|| 0),
            metrics: Arc::default(),
        };
        let stop = CancellationToken::new();
        tokio::spawn(Scheduler::run(parts, Settings::default(), stop.clone()));
        let stack = Self { client, host, api, _stop: stop.drop_guard(), folder };
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
        let _ = stack.client.create(&path("serviceaccounts"), &account, &WriteOptions::default()).await;
        Some(stack)
    }

    async fn node(&self, name: &str, cpu: &str, spec: Value) {
        let allocatable = json!({"cpu": cpu, "memory": "1Gi", "pods": "10"});
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec,
            "status": {"capacity": allocatable, "allocatable": allocatable}});
        self.client.create(&ResourcePath::core("nodes"), &node, &WriteOptions::default()).await.unwrap();
    }

    async fn pod(&self, name: &str, cpu: &str, spec: Value) {
        let container = json!({"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}});
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        pod["spec"]["containers"] = json!([container]);
        pod["spec"]["automountServiceAccountToken"] = false.into();
        self.client.create(&path("pods"), &pod, &WriteOptions::default()).await.unwrap();
    }

    async fn patch(&self, path: &ResourcePath, patch: Value) {
        self.client.patch(path, PatchKind::Merge, &patch, &PatchOptions::default()).await.unwrap();
    }

    /// Waits until an object of a collection is as wanted.
    async fn until(&self, plural: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut informer = Informer::<Value>::new(self.client.clone(), path(plural), WatchOptions::default());
        let find = async {
            loop {
                if let Step::Apply(object) = informer.next().await
                    && wanted(&object)
                {
                    return object;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), find).await.expect("as wanted within 30 s")
    }

    async fn until_bound(&self, pod: &str, node: &str) -> Value {
        self.until("pods", |found| found["metadata"]["name"] == pod && found["spec"]["nodeName"] == node).await
    }
}

fn path(plural: &str) -> ResourcePath {
    ResourcePath::core(plural).namespace("default")
}

fn condition(pod: &Value) -> &Value {
    let all = pod["status"]["conditions"].as_array();
    all.and_then(|all| all.iter().find(|one| one["type"] == "PodScheduled")).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_is_placed_or_told_why_not() {
    let Some(stack) = Stack::start().await else { return };
    stack.node("small", "500m", json!({})).await;
    stack.node("kept", "4", json!({"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]})).await;
    stack.node("closed", "4", json!({"unschedulable": true})).await;
    stack.pod("fits", "100m", json!({})).await;
    let bound = stack.until_bound("fits", "small").await;
    assert_eq!(condition(&bound)["status"], "True");
    let said = |event: &Value| event["reason"] == "Scheduled" && event["involvedObject"]["name"] == "fits";
    let event = stack.until("events", said).await;
    assert_eq!(event["message"], "Successfully assigned default/fits to small");

    stack.pod("large", "2", json!({})).await;
    let message = "0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s), \
                   1 node(s) were unschedulable. preemption: 0/3 nodes are available: \
                   3 Preemption is not helpful for scheduling.";
    let refused = stack.until("pods", |pod| condition(pod)["message"] == message).await;
    assert_eq!(
        (&condition(&refused)["status"], &condition(&refused)["reason"]),
        (&json!("False"), &json!("Unschedulable"))
    );
    let said = |event: &Value| event["reason"] == "FailedScheduling" && event["message"] == message;
    assert_eq!(stack.until("events", said).await["type"], "Warning");

    // What helps is noticed: the node is opened.
    stack.patch(&ResourcePath::core("nodes").name("closed"), json!({"spec": {"unschedulable": null}})).await;
    let bound = stack.until_bound("large", "closed").await;
    assert_eq!(condition(&bound)["status"], "True");
    stack.api.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gated_pod_and_anothers_pod_are_left_alone() {
    let Some(stack) = Stack::start().await else { return };
    stack.node("a", "4", json!({})).await;
    stack.pod("gated", "100m", json!({"schedulingGates": [{"name": "example.com/wait"}]})).await;
    stack.pod("foreign", "100m", json!({"schedulerName": "mine"})).await;
    stack.pod("ours", "100m", json!({})).await;
    stack.until_bound("ours", "a").await;
    for name in ["gated", "foreign"] {
        let pod = stack.client.get(&path("pods").name(name)).await.unwrap();
        assert_eq!(pod["spec"]["nodeName"], Value::Null, "{name}");
    }
    stack.patch(&path("pods").name("gated"), json!({"spec": {"schedulingGates": null}})).await;
    stack.until_bound("gated", "a").await;
    stack.api.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_of_somebody_elses_is_heard_and_a_label_changes_its_mind() {
    let Some(stack) = Stack::start().await else { return };
    let battery = target().join("plugins/cargo/wasm32-unknown-unknown/release/battery.wasm");
    if !battery.is_file() {
        return eprintln!("SKIPPED: there is no example plugin; run `cargo xtask guests` first");
    }
    let list = [PluginConfig::builtin("scheduling"), PluginConfig::new("battery", Source::File(battery))];
    let host = stack.host.clone();
    assert_eq!(tokio::task::spawn_blocking(move || host.apply(&list)).await.unwrap(), []);
    stack.node("a", "4", json!({})).await;
    let node = ResourcePath::core("nodes").name("a");
    stack.patch(&node, json!({"metadata": {"labels": {"example.com/battery": "5"}}})).await;
    stack.pod("web", "100m", json!({})).await;
    let message = "0/1 nodes are available: 1 node(s) had too little battery.";
    let tells = |pod: &Value| condition(pod)["message"].as_str().is_some_and(|text| text.starts_with(message));
    stack.until("pods", tells).await;
    stack.patch(&node, json!({"metadata": {"labels": {"example.com/battery": "80"}}})).await;
    stack.until_bound("web", "a").await;
    assert!(stack.folder.path().join("cache").is_dir());
    stack.api.close().await;
}
