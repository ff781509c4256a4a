//! The whole agent over ports in memory, with paused time: pods come, run, fail, go; the daemon and the power go too.

mod ephemeral;
mod faults;
mod given;
mod life;
mod node;
mod restarts;

use std::sync::Arc;
use std::time::Duration;

use kedge_api::machine::ContainerState;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fakes::{FakeApi, FakeClock, FakeDice, FakeImages, FakeMachine, FakeMounts, FakeNetwork, FakeRuntime};

/// Ports in memory and an agent on them that can be killed and started again.
pub(super) struct Device {
    pub api: Arc<FakeApi>,
    pub runtime: Arc<FakeRuntime>,
    pub images: Arc<FakeImages>,
    pub network: Arc<FakeNetwork>,
    mounts: Arc<FakeMounts>,
    pub clock: FakeClock,
    state: tempfile::TempDir,
    lives: u64,
    /// Bytes that are free on its disk.
    pub free: u64,
    running: Option<(NodeHandle, CancellationToken)>,
}

impl Device {
    pub async fn on() -> Self {
        let mut device = Self::off();
        device.start().await;
        device
    }

    fn off() -> Self {
        let clock = FakeClock::new();
        Self {
            api: Arc::default(),
            runtime: Arc::new(FakeRuntime::new(clock)),
            images: Arc::new(FakeImages::with(&["web:1", "init:1"])),
            network: Arc::default(),
            mounts: Arc::default(),
            clock,
            state: tempfile::tempdir().unwrap(),
            lives: 0,
            free: 8 << 30,
            running: None,
        }
    }

    pub async fn start(&mut self) {
        self.lives += 1;
        let ports = Ports {
            api: self.api.clone(),
            runtime: self.runtime.clone(),
            images: self.images.clone(),
            network: self.network.clone(),
            mounts: self.mounts.clone(),
            clock: Arc::new(self.clock),
            dice: Arc::new(FakeDice::after(self.lives * 1000)),
            machine: Arc::new(FakeMachine(FakeMachine::default().0, self.free)),
        };
        let stop = CancellationToken::new();
        let config = NodeConfig::new("gw", self.state.path());
        let handle = start(config, ports, stop.clone()).await.unwrap();
        self.running = Some((handle, stop));
    }

    /// The daemon goes; containers go on.
    pub async fn stop(&mut self) {
        let (handle, stop) = self.running.take().unwrap();
        stop.cancel();
        handle.join().await;
        self.api.forget_watchers();
    }

    fn handle(&self) -> &NodeHandle {
        &self.running.as_ref().unwrap().0
    }

    pub fn pod(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("gw");
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "generation": 1},
            "spec": spec,
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
        });
        self.api.put(Kind::Pod, pod);
    }

    async fn until(&self, name: &str, pointer: &str, want: impl Into<Value>) -> Value {
        let want = want.into();
        let wait = self.api.until_pod("default", name, |pod| {
            pod.is_some_and(|pod| pod.pointer(pointer).cloned().unwrap_or_default() == want)
        });
        match tokio::time::timeout(Duration::from_secs(3600), wait).await {
            Ok(pod) => pod.unwrap(),
            Err(_) => panic!(
                "{pointer} of {name} never was {want}: {:#}\n{:#?}",
                self.api.object(Kind::Pod, "default", name).unwrap_or_default()["status"],
                self.api.events(name)
            ),
        }
    }

    pub async fn gone(&self, name: &str) {
        let wait = self.api.until_pod("default", name, |pod| pod.is_none());
        tokio::time::timeout(Duration::from_secs(3600), wait).await.expect("the pod goes");
    }

    async fn event(&self, name: &str, want: &str) {
        let wait = self.api.until(|api| api.events(name).iter().any(|event| event == want).then_some(()));
        if tokio::time::timeout(Duration::from_secs(3600), wait).await.is_err() {
            panic!("no event {want:?} in {:#?}", self.api.events(name));
        }
    }

    /// Waits for the Event that says that a container started.
    async fn started(&self, pod: &str, container: &str) {
        let about = format!("{{{container}}}");
        let wait = self.api.until(|api| {
            let mine = |event: &Value| {
                let involved = &event["involvedObject"];
                event["reason"] == "Started"
                    && involved["name"] == pod
                    && involved["fieldPath"].as_str().is_some_and(|path| path.ends_with(&about))
            };
            api.all(Kind::Event).iter().any(mine).then_some(())
        });
        if tokio::time::timeout(Duration::from_secs(3600), wait).await.is_err() {
            panic!("{container} of {pod} never started: {:#?}", self.api.events(pod));
        }
    }

    pub fn running(&self) -> Vec<String> {
        let all = self.runtime.all().into_iter();
        all.filter(|(_, state)| matches!(state, ContainerState::Running { .. })).map(|(spec, _)| spec.id).collect()
    }

    pub fn state_path(&self) -> &std::path::Path {
        self.state.path()
    }

    pub fn metrics(&self) -> String {
        self.handle().metrics()
    }

    pub fn mounts_left(&self) -> Vec<std::path::PathBuf> {
        self.mounts.points().into_iter().map(|(point, _)| point).collect()
    }

    /// Waits until every one of these pods runs and is ready.
    pub async fn until_settled(&self, pods: &[String]) {
        for name in pods {
            let wait = self.api.until_pod("default", name, |pod| {
                pod.and_then(|pod| pod.pointer("/status/containerStatuses/0/ready")) == Some(&json!(true))
            });
            if tokio::time::timeout(Duration::from_secs(3600), wait).await.is_err() {
                let pod = self.api.object(Kind::Pod, "default", name).unwrap_or_default();
                panic!("{name} never was ready: {:#}\n{:#?}", pod["status"], self.api.events(name));
            }
        }
    }

    /// Waits until exactly these folders of pods are left. The file system says nothing to tokio, so this looks again
    /// and again; its clock stands still meanwhile.
    pub async fn until_folders(&self, want: &[&str]) {
        let wait = async {
            loop {
                let mut folders = self.folders();
                folders.sort();
                if folders == want {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(Duration::from_secs(3600), wait).await.is_err() {
            panic!("{:?} are not {want:?}", self.folders());
        }
    }

    /// The files below the state folder's pods.
    pub fn folders(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.state.path().join("pods")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }
}

pub(super) fn one() -> Value {
    json!({"containers": [{"name": "app", "image": "web:1"}]})
}

pub(super) fn with(container: Value) -> Value {
    let mut spec = one();
    for (key, value) in container.as_object().unwrap() {
        spec["containers"][0][key] = value.clone();
    }
    spec
}

const PHASE: &str = "/status/phase";
const STATE: &str = "/status/containerStatuses/0/state";
