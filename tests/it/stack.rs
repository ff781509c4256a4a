//! One device on fakes.
//!
//! In: nothing. Out: a running stack with its fakes at hand. Everything listens on port 0 and lives in a temporary
//! folder. Waits are on states, each with a bound.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kedge_apiserver::{ApiServer, Config, Identity, Parts};
use kedge_client::{Client, ListOptions, ResourcePath, WriteOptions};
use kedge_controllers::{Engine, PluginSeat};
use kedge_node::fakes::{FakeClock, FakeDice, FakeImages, FakeMachine, FakeMounts, FakeNetwork, FakeRuntime};
use kedge_node::{ClientApi, NodeConfig, NodeHandle, Ports};
use kedge_plugin_host::{Environment, Options, PluginConfig, PluginHost};
use kedge_scheduler::{Scheduler, Settings};
use kedge_store::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Longest wait for a state: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// The node's name.
pub const NODE: &str = "gateway";

/// A running stack.
pub struct Stack {
    /// The API as its administrator.
    pub admin: Client,
    /// Containers.
    pub runtime: Arc<FakeRuntime>,
    /// Images.
    pub images: Arc<FakeImages>,
    /// Where the API listens.
    pub address: std::net::SocketAddr,
    network: Arc<FakeNetwork>,
    mounts: Arc<FakeMounts>,
    clock: FakeClock,
    folder: tempfile::TempDir,
    api: ApiServer,
    store: Store,
    stop: CancellationToken,
    node: Option<(NodeHandle, CancellationToken)>,
    lives: u64,
}

impl Stack {
    /// Starts one with these images on it.
    pub async fn start(images: &[&str]) -> Stack {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(kedge_store::Options::new(folder.path().join("store"))).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config {
            data_dir: folder.path().to_owned(),
            node_name: NODE.to_owned(),
            port: address.port(),
            advertise: address.ip(),
            ..Config::default()
        };
        let api = ApiServer::open(config, store.clone(), Parts::default()).await.unwrap();
        let stop = CancellationToken::new();
        tokio::spawn({
            let (api, stop) = (api.clone(), stop.clone());
            async move { api.serve(listener, stop).await.unwrap() }
        });
        let admin = client(&api, Identity::master("test"));
        let clock = FakeClock::new();
        let mut stack = Stack {
            admin,
            runtime: Arc::new(FakeRuntime::new(clock)),
            images: Arc::new(FakeImages::with(images)),
            address,
            network: Arc::default(),
            mounts: Arc::default(),
            clock,
            folder,
            api,
            store,
            stop,
            node: None,
            lives: 0,
        };
        stack.start_plugins().await;
        stack.start_node().await;
        stack
    }

    async fn start_plugins(&self) {
        let host = PluginHost::open(Options {
            cache: self.folder.path().join("plugins"),
            compiler: "kedge-plugin-compiler".into(),
            environment: Environment {
                now: Arc::new(SystemTime::now),
                random: Arc::new(|| 4),
                log: Arc::new(|_, _, _| {}),
            },
        })
        .unwrap();
        let mut controllers = PluginConfig::builtin("controllers");
        controllers.arguments = json!({"rootCa": self.api.ca_certificate()});
        let wanted = [PluginConfig::builtin("scheduling"), controllers];
        let problems = tokio::task::spawn_blocking({
            let host = host.clone();
            move || host.apply(&wanted)
        });
        let problems = problems.await.unwrap();
        assert!(problems.is_empty(), "the built-in plugins run: {problems:?}");
        let engine = Engine::new(SystemTime::now);
        for (plugin, _) in host.controllers() {
            let client = client(&self.api, Identity::master("controllers"));
            let (engine, stop) = (engine.clone(), self.stop.clone());
            tokio::spawn(async move { engine.run(PluginSeat { plugin, client }, stop).await });
        }
        let parts = kedge_scheduler::Parts {
            client: client(&self.api, Identity::user("system:kube-scheduler", ["system:authenticated"])),
            plugins: host.scheduling(),
            clock: SystemTime::now,
            random: Box::new(|| 4),
            metrics: Arc::default(),
        };
        let stop = self.stop.clone();
        tokio::spawn(async move { Scheduler::run(parts, Settings::default(), stop).await.unwrap() });
    }

    /// Starts the node agent, for the first time or again.
    pub async fn start_node(&mut self) {
        self.lives += 1;
        let ports = Ports {
            api: Arc::new(ClientApi::loopback(client(&self.api, Identity::node(NODE)))),
            runtime: self.runtime.clone(),
            images: self.images.clone(),
            network: self.network.clone(),
            mounts: self.mounts.clone(),
            clock: Arc::new(self.clock),
            dice: Arc::new(FakeDice::after(self.lives * 1000)),
            machine: Arc::new(FakeMachine::default()),
        };
        let stop = self.stop.child_token();
        let config = NodeConfig::new(NODE, self.folder.path().join("node"));
        let handle = kedge_node::start(config, ports, stop.clone()).await.unwrap();
        self.node = Some((handle, stop));
    }

    /// The node agent goes; containers go on.
    pub async fn stop_node(&mut self) {
        let (handle, stop) = self.node.take().unwrap();
        stop.cancel();
        handle.join().await;
    }

    /// Makes an object in the namespace `default`.
    pub async fn create(&self, group: &str, plural: &str, object: Value) -> Value {
        let path = ResourcePath::new(group, "v1", plural).namespace("default");
        self.admin.create(&path, &object, &WriteOptions::default()).await.unwrap()
    }

    /// An object of the namespace `default`, if it is there.
    pub async fn get(&self, group: &str, plural: &str, name: &str) -> Option<Value> {
        let path = ResourcePath::new(group, "v1", plural).namespace("default").name(name);
        self.admin.get_opt(&path).await.unwrap()
    }

    /// All objects of a kind in the namespace `default`.
    pub async fn list(&self, group: &str, plural: &str) -> Vec<Value> {
        let path = ResourcePath::new(group, "v1", plural).namespace("default");
        let list = self.admin.list(&path, &ListOptions::default()).await.unwrap();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until a look at all objects of a kind is as wanted; looks again when something of the kind changes.
    pub async fn until(&self, group: &str, plural: &str, what: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let path = ResourcePath::new(group, "v1", plural).namespace("default");
        let options = kedge_client::WatchOptions::default();
        let mut informer: kedge_client::Informer<Value> =
            kedge_client::Informer::new(self.admin.clone(), path, options);
        let looked = async {
            loop {
                let all = self.list(group, plural).await;
                if wanted(&all) {
                    return all;
                }
                informer.next().await;
            }
        };
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(all) => all,
            Err(_) => panic!("{plural}: never {what}: {:#}", Value::from(self.list(group, plural).await)),
        }
    }

    /// Waits until there are so many objects of a core kind in all namespaces and each is as wanted.
    pub async fn until_everywhere(&self, plural: &str, count: usize, wanted: impl Fn(&Value) -> bool) {
        let path = ResourcePath::core(plural);
        let options = kedge_client::WatchOptions::default();
        let mut informer: kedge_client::Informer<Value> =
            kedge_client::Informer::new(self.admin.clone(), path.clone(), options);
        let all = async || {
            let list = self.admin.list(&path, &ListOptions::default()).await.unwrap();
            list["items"].as_array().cloned().unwrap_or_default()
        };
        let looked = async {
            loop {
                let all = all().await;
                if all.len() == count && all.iter().all(&wanted) {
                    return;
                }
                informer.next().await;
            }
        };
        if tokio::time::timeout(PATIENCE, looked).await.is_err() {
            let others: Vec<_> = all().await.into_iter().filter(|object| !wanted(object)).collect();
            panic!("{plural}: {} are never as wanted: {:#}", others.len(), Value::from(others));
        }
    }

    /// Waits until so many pods run.
    pub async fn until_running(&self, count: usize) -> Vec<Value> {
        let running =
            |pod: &&Value| pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null();
        self.until("", "pods", &format!("{count} running"), |pods| {
            pods.len() == count && pods.iter().filter(running).count() == count
        })
        .await
    }

    /// Waits until the runtime has no container left.
    pub async fn until_no_container(&self) {
        let gone = self.runtime.until(|runtime| runtime.all().is_empty());
        if tokio::time::timeout(PATIENCE, gone).await.is_err() {
            panic!("containers are left: {:?}", self.runtime.all());
        }
    }

    /// Stops everything and waits for it.
    pub async fn end(mut self) {
        if self.node.is_some() {
            self.stop_node().await;
        }
        self.stop.cancel();
        self.api.close().await;
        self.store.close().await;
    }
}

fn client(api: &ApiServer, who: Identity) -> Client {
    Client::from_service(api.loopback(who), "default")
}

/// A Deployment of one container.
pub fn deployment(name: &str, replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "main", "image": image, "imagePullPolicy": "IfNotPresent"}]},
            },
        },
    })
}
