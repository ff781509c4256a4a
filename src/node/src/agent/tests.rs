//! The whole agent over ports in memory, with paused time: pods come, run, fail, go; the daemon and the power go too.

use std::sync::Arc;
use std::time::Duration;

use kedge_api::machine::ContainerState;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::fakes::{
    FakeApi, FakeClock, FakeDice, FakeImages, FakeMachine, FakeMounts, FakeNetwork, FakeRuntime, Script,
};
use crate::logs::LogOptions;
use crate::port::{ApiFault, PatchForm};

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
            machine: Arc::new(FakeMachine::default()),
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

#[tokio::test(start_paused = true)]
async fn a_bound_pod_runs_and_is_told_of() {
    let device = Device::on().await;
    device.pod("web", one());
    let pod = device.until("web", PHASE, "Running").await;
    let status = &pod["status"];
    assert_eq!(status["podIP"], "10.42.0.2");
    assert_eq!(status["hostIP"], "192.0.2.1");
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["observedGeneration"], 1);
    assert_eq!(status["startTime"], "2026-01-01T00:00:00Z");
    let container = &status["containerStatuses"][0];
    assert_eq!(container["ready"], true);
    assert_eq!(container["started"], true);
    assert_eq!(container["restartCount"], 0);
    assert_eq!(container["imageID"], "sha256:web:1");
    assert!(container["containerID"].as_str().unwrap().starts_with("kedge://"));
    assert_eq!(container["state"]["running"]["startedAt"], "2026-01-01T00:00:00Z");
    let conditions = status["conditions"].as_array().unwrap();
    let true_ones: Vec<&str> =
        conditions.iter().filter(|c| c["status"] == "True").map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(true_ones, ["PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]);
    device.event("web", "Started: Started container app").await;
    let events = device.api.events("web");
    assert_eq!(
        events,
        [
            "Pulled: Container image \"web:1\" already present on machine",
            "Created: Created container: app",
            "Started: Started container app",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_starts_at_once_costs_one_status_write() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let writes = device.api.writes();
    let patches = writes.iter().filter(|write| *write == "patch Pod/status default/web").count();
    assert_eq!(patches, 1, "{writes:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_asked_to_end_and_leaves_nothing() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let id = device.running().remove(0);
    device.api.delete_pod("default", "web", 30);
    device.gone("web").await;
    let calls = device.runtime.calls();
    assert!(calls.contains(&format!("signal {id} 15")), "{calls:#?}");
    assert!(!calls.contains(&format!("signal {id} 9")));
    device.event("web", "Killing: Stopping container app").await;
    assert!(device.runtime.all().is_empty());
    assert!(device.network.attached().is_empty());
    assert_eq!(device.folders(), [""; 0]);
    let handle = device.handle();
    let answer = handle.logs("default", "web", "app", LogOptions::default()).await;
    assert_eq!(answer.err().map(|fault| fault.code()), Some(404));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_heed_is_killed_after_its_grace() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { stubborn: true, ..Script::default() });
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let before = device.clock.mono();
    device.api.delete_pod("default", "web", 7);
    device.gone("web").await;
    assert_eq!((device.clock.mono() - before).as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn init_containers_run_first() {
    let device = Device::on().await;
    device.runtime.script("/init", Script { exits: Some((Duration::from_secs(3), 0)), ..Script::default() });
    let mut spec = one();
    spec["initContainers"] = json!([{"name": "init", "image": "init:1", "command": ["/init"]}]);
    device.pod("web", spec);
    let pod =
        device.until("web", "/status/initContainerStatuses/0/state/running/startedAt", "2026-01-01T00:00:00Z").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(pod.pointer(STATE).unwrap()["waiting"]["reason"], "PodInitializing");
    let pod = device.until("web", PHASE, "Running").await;
    let init = &pod["status"]["initContainerStatuses"][0];
    assert_eq!(init["state"]["terminated"]["reason"], "Completed");
    assert_eq!(init["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn a_job_like_pod_ends_and_stays_readable() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { exits: Some((Duration::from_secs(5), 3)), ..Script::default() });
    let mut spec = one();
    spec["restartPolicy"] = json!("Never");
    device.pod("job", spec);
    let pod = device.until("job", PHASE, "Failed").await;
    let ended = &pod.pointer(STATE).unwrap()["terminated"];
    assert_eq!(ended["exitCode"], 3);
    assert_eq!(ended["reason"], "Error");
    assert_eq!(ended["finishedAt"], "2026-01-01T00:00:05Z");
    assert_eq!(pod["status"]["podIP"], "10.42.0.2");
    device.api.until(|_| device.network.attached().is_empty().then_some(())).await;
    assert_eq!(device.folders().len(), 1, "its logs stay");
    device.api.delete_pod("default", "job", 30);
    device.gone("job").await;
    assert_eq!(device.folders().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_waits_longer_each_time() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { exits: Some((Duration::from_secs(1), 1)), ..Script::default() });
    device.pod("web", one());
    let pod = device.until("web", &format!("{STATE}/waiting/reason"), "CrashLoopBackOff").await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
    assert_eq!(
        container["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=app pod=web_default(uid-web)"
    );
    device.event("web", "BackOff: Back-off restarting failed container app in pod web_default(uid-web)").await;
    device.until("web", "/status/containerStatuses/0/restartCount", 5).await;
    let starts = device.clock.mono().as_secs();
    // Lives of 1 s, and waits of 0, 10, 20, 40 and 80 s.
    assert_eq!(starts, 5 + 150);
}

#[tokio::test(start_paused = true)]
async fn out_of_memory_is_told() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    device.runtime.end(&device.running()[0], 137, true);
    let pod = device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((&last["reason"], &last["exitCode"]), (&json!("OOMKilled"), &json!(137)));
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_is_tried_again() {
    let device = Device::on().await;
    device.pod("web", with(json!({"image": "late:1"})));
    let reason = format!("{STATE}/waiting/reason");
    device.until("web", &reason, "ErrImagePull").await;
    let pod = device.until("web", &reason, "ImagePullBackOff").await;
    assert_eq!(
        pod.pointer(STATE).unwrap()["waiting"]["message"],
        "Back-off pulling image \"late:1\": ErrImagePull: late:1: not found"
    );
    device.images.publish(crate::fakes::image("late:1"));
    device.until("web", PHASE, "Running").await;
    device.event("web", "Failed: Failed to pull image \"late:1\": late:1: not found").await;
    device.event("web", "Failed: Error: ImagePullBackOff").await;
    device.event("web", "BackOff: Back-off pulling image \"late:1\"").await;
}

#[tokio::test(start_paused = true)]
async fn images_that_cannot_be_are_told() {
    let device = Device::on().await;
    device.pod("never", with(json!({"image": "no:1", "imagePullPolicy": "Never"})));
    device.until("never", &format!("{STATE}/waiting/reason"), "ErrImageNeverPull").await;
    device.pod("bad", with(json!({"image": "BAD:1"})));
    device.until("bad", &format!("{STATE}/waiting/reason"), "InvalidImageName").await;
    device.api.delete_pod("default", "bad", 30);
    device.gone("bad").await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_cannot_start_is_told() {
    let device = Device::on().await;
    let fault = "exec: \"/bin/app\": no such file or directory";
    device.runtime.script("/bin/app", Script { start_fault: Some(fault.into()), ..Script::default() });
    device.pod("web", one());
    device.until("web", &format!("{STATE}/waiting/reason"), "CrashLoopBackOff").await;
    let pod = device.api.object(Kind::Pod, "default", "web").unwrap();
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(
        (&last["reason"], &last["exitCode"], &last["message"]),
        (&json!("StartError"), &json!(128), &json!(fault))
    );
    device.event("web", &format!("Failed: Error: {fault}")).await;
    assert!(device.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn missing_configuration_is_told_and_comes_later() {
    let device = Device::on().await;
    device.pod(
        "web",
        with(json!({"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "k"}}}]})),
    );
    let pod = device.until("web", &format!("{STATE}/waiting/reason"), "CreateContainerConfigError").await;
    assert_eq!(pod.pointer(STATE).unwrap()["waiting"]["message"], "configmap \"cm\" not found");
    device.event("web", "Failed: Error: configmap \"cm\" not found").await;
    device.api.put(Kind::ConfigMap, json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": "v"}}));
    device.until("web", PHASE, "Running").await;
    let (spec, _) = device.runtime.all().remove(0);
    assert!(spec.env.contains(&("X".into(), "v".into())));
}

#[tokio::test(start_paused = true)]
async fn volumes_show_config_maps_and_follow_them() {
    let device = Device::on().await;
    let mut spec = with(json!({"volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}]}));
    spec["volumes"] = json!([{"name": "cfg", "configMap": {"name": "cm"}}]);
    device.pod("web", spec);
    device.event("web", "FailedMount: MountVolume.SetUp failed for volume \"cfg\" : configmap \"cm\" not found").await;
    device.until("web", &format!("{STATE}/waiting/reason"), "ContainerCreating").await;
    let put = |text: &str| {
        let object = json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"k": text}});
        device.api.put(Kind::ConfigMap, object);
    };
    put("one");
    device.until("web", PHASE, "Running").await;
    let file = device.state.path().join("memory/uid-web/cfg/k");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
    put("two");
    // The file system says nothing to tokio; its clock goes on only while nothing else can.
    tokio::time::timeout(Duration::from_secs(3600), async {
        while std::fs::read_to_string(&file).unwrap() != "two" {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_fails_is_tried_again() {
    let device = Device::on().await;
    device.runtime.fail_sandbox("no namespace");
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    device.event("web", "FailedCreatePodSandBox: Failed to create pod sandbox: no namespace").await;
}

#[tokio::test(start_paused = true)]
async fn probes_decide_on_readiness_and_restart() {
    let device = Device::on().await;
    let mut script = Script::default();
    script.exec_codes.insert("ready".into(), 1);
    device.runtime.script("/bin/app", script.clone());
    device.pod("web", with(json!({"readinessProbe": {"exec": {"command": ["ready"]}, "periodSeconds": 5}})));
    device.until("web", PHASE, "Running").await;
    device.event("web", "Unhealthy: Readiness probe failed: ready\n").await;
    let pod = device.until("web", "/status/containerStatuses/0/ready", false).await;
    let ready = pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!(ready["message"], "containers with unready status: [app]");
    script.exec_codes.clear();
    device.runtime.script("/bin/app", script.clone());
    device.until("web", "/status/containerStatuses/0/ready", true).await;

    script.exec_codes.insert("alive".into(), 1);
    device.runtime.script("/bin/app", script);
    device.pod("sick", with(json!({"livenessProbe": {"exec": {"command": ["alive"]}, "periodSeconds": 1}})));
    device.until("sick", "/status/containerStatuses/0/restartCount", 1).await;
    device.event("sick", "Killing: Container app failed liveness probe, will be restarted").await;
}

#[tokio::test(start_paused = true)]
async fn hooks_run_after_the_start_and_before_the_end() {
    let device = Device::on().await;
    let lifecycle = json!({"lifecycle": {
        "postStart": {"exec": {"command": ["hello"]}},
        "preStop": {"sleep": {"seconds": 4}}}});
    device.pod("web", with(lifecycle));
    device.until("web", "/status/containerStatuses/0/started", true).await;
    let id = device.running().remove(0);
    assert!(device.runtime.calls().contains(&format!("exec {id} hello")));
    let before = device.clock.mono();
    device.api.delete_pod("default", "web", 30);
    device.gone("web").await;
    assert_eq!((device.clock.mono() - before).as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_fails_ends_the_container() {
    let device = Device::on().await;
    let mut script = Script::default();
    script.exec_codes.insert("hello".into(), 1);
    device.runtime.script("/bin/app", script);
    device.pod("web", with(json!({"lifecycle": {"postStart": {"exec": {"command": ["hello"]}}}})));
    device.event("web", "FailedPostStartHook: PostStartHook failed: hello\n").await;
    device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_active_deadline_fails_a_pod() {
    let device = Device::on().await;
    let mut spec = one();
    spec["activeDeadlineSeconds"] = json!(60);
    device.pod("web", spec);
    let pod = device.until("web", PHASE, "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
    assert_eq!(device.clock.mono().as_secs(), 60);
    assert!(device.running().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_refused() {
    let device = Device::on().await;
    device.pod("big", with(json!({"resources": {"requests": {"cpu": "64"}}})));
    let pod = device.until("big", PHASE, "Failed").await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert!(pod["status"].get("containerStatuses").is_none());
    device.api.delete_pod("default", "big", 30);
    device.gone("big").await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_restarts_no_container_and_loses_no_exit() {
    let mut device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let mut never = one();
    never["restartPolicy"] = json!("Never");
    device.pod("job", never);
    device.until("job", PHASE, "Running").await;
    device.pod("gone", one());
    device.until("gone", PHASE, "Running").await;
    let uid_of = |id: &str| device.runtime.all().iter().find(|(spec, _)| spec.id == id).unwrap().0.pod_uid.clone();
    let ids = device.running();
    let web = ids.iter().find(|id| uid_of(id) == "uid-web").unwrap().clone();
    let job = ids.iter().find(|id| uid_of(id) == "uid-job").unwrap().clone();
    device.stop().await;
    device.runtime.end_unheard(&job, 42);
    device.api.delete_pod("default", "gone", 0);
    device.start().await;
    let pod = device.until("job", PHASE, "Failed").await;
    assert_eq!(pod.pointer(STATE).unwrap()["terminated"]["exitCode"], 42);
    device.api.until(|_| (device.running() == [web.clone()]).then_some(())).await;
    device.pod("later", one());
    device.until("later", PHASE, "Running").await;
    let pod = device.until("web", PHASE, "Running").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(pod["status"]["containerStatuses"][0]["containerID"], format!("kedge://{web}"));
    device.until_folders(&["default_job_uid-job", "default_later_uid-later", "default_web_uid-web"]).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_power_cut_everything_starts_again() {
    let mut device = Device::on().await;
    device.runtime.script("/init", Script { exits: Some((Duration::from_secs(1), 0)), ..Script::default() });
    let mut spec = one();
    spec["initContainers"] = json!([{"name": "init", "image": "init:1", "command": ["/init"]}]);
    device.pod("web", spec);
    device.until("web", PHASE, "Running").await;
    device.stop().await;
    device.runtime.power_cut();
    device.start().await;
    let pod = device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 255);
    assert_eq!(pod["status"]["initContainerStatuses"][0]["restartCount"], 1);
    device.event("web", "SandboxChanged: Pod sandbox changed, it will be killed and re-created.").await;
    assert_eq!(device.running().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_is_not_taken_is_written_again() {
    let device = Device::on().await;
    device.pod("one", one());
    device.until("one", PHASE, "Running").await;
    device.api.fail_next_write(ApiFault::Unreachable("down".into()));
    device.runtime.end(&device.running()[0], 0, false);
    device.until("one", "/status/containerStatuses/0/restartCount", 1).await;
}

#[tokio::test(start_paused = true)]
async fn the_node_is_registered_and_its_lease_renewed_without_a_status_write() {
    let device = Device::on().await;
    let node = device.api.until(|api| {
        let node = api.object(Kind::Node, "", "gw")?;
        node["status"]["conditions"].is_array().then_some(node)
    });
    let node = node.await;
    let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("True"), &json!("KubeletReady")));
    let lease =
        |api: &FakeApi| api.object(Kind::Lease, "kube-node-lease", "gw").map(|l| l["spec"]["renewTime"].clone());
    let first = device.api.until(lease).await;
    device.api.until(|api| lease(api).filter(|now| *now != first)).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    let writes = device.api.writes();
    let statuses = writes.iter().filter(|write| *write == "patch Node/status /gw").count();
    assert_eq!(statuses, 1, "{writes:#?}");
    let renewals = writes.iter().filter(|write| *write == "patch Lease kube-node-lease/gw").count();
    assert!((19..=22).contains(&renewals), "{renewals}");
    tokio::time::sleep(Duration::from_secs(150)).await;
    let statuses = device.api.writes().iter().filter(|write| *write == "patch Node/status /gw").count();
    assert_eq!(statuses, 2);
}

#[tokio::test(start_paused = true)]
async fn logs_and_exec_find_their_container() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let handle = device.handle();
    let log = device.state.path().join("pods/default_web_uid-web/app/0.log");
    std::fs::write(&log, "2026-01-01T00:00:00Z stdout F hello\n").unwrap();
    let mut stream = handle.logs("default", "web", "app", LogOptions::default()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "hello\n");
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    let fault = handle.logs("default", "web", "app", previous).await.err().unwrap();
    assert_eq!(fault.to_string(), "previous terminated container \"app\" in pod \"web\" not found");
    let spec = kedge_api::machine::ExecSpec { args: vec!["ls".into()], ..Default::default() };
    let session = handle.exec("default", "web", "app", spec).await.unwrap();
    assert_eq!(session.exit.await, Ok(0));
    assert_eq!(handle.usage().await.len(), 1);
    assert!(handle.metrics().contains("kedge_node_pods 1"));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_writes_no_status_that_says_nothing_new() {
    let mut device = Device::on().await;
    device.pod("web", with(json!({"readinessProbe": {"exec": {"command": ["ready"]}}})));
    device.until("web", "/status/containerStatuses/0/ready", true).await;
    device.stop().await;
    let before = device.api.writes().len();
    device.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let writes = device.api.writes().split_off(before);
    assert!(!writes.iter().any(|write| write.starts_with("patch Pod")), "{writes:#?}");
    assert_eq!(device.runtime.calls().iter().filter(|call| call.starts_with("create")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exit_before_the_first_list_is_heard() {
    let mut device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    device.stop().await;
    device.start().await;
    // The agent has asked what lives, and none of its tasks has run yet.
    device.runtime.end(&device.running()[0], 5, false);
    let pod = device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 5);
}

#[tokio::test(start_paused = true)]
async fn without_a_registry_a_present_image_is_used() {
    let device = Device::on().await;
    device.images.go_offline();
    device.pod("web", with(json!({"imagePullPolicy": "Always"})));
    device.until("web", PHASE, "Running").await;
    device.pod("other", with(json!({"image": "absent:1"})));
    device.until("other", &format!("{STATE}/waiting/reason"), "RegistryUnavailable").await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_deletion_is_quick() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { stubborn: true, ..Script::default() });
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let before = device.clock.mono();
    device.api.delete_pod("default", "web", 0);
    device.runtime.until(|runtime| runtime.all().is_empty()).await;
    assert_eq!((device.clock.mono() - before).as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_pods_come_and_go_and_leave_nothing() {
    let device = Device::on().await;
    for number in 0..60 {
        device.pod(&format!("p{number}"), one());
    }
    for number in 0..60 {
        device.until(&format!("p{number}"), PHASE, "Running").await;
    }
    assert_eq!(device.network.attached().len(), 60);
    for number in 0..60 {
        device.api.delete_pod("default", &format!("p{number}"), 30);
    }
    for number in 0..60 {
        device.gone(&format!("p{number}")).await;
    }
    assert!(device.runtime.all().is_empty() && device.network.attached().is_empty());
    assert_eq!(device.folders(), [""; 0]);
    assert!(device.handle().metrics().contains("kedge_node_pods 0"));
}

#[tokio::test(start_paused = true)]
async fn pull_secrets_of_pod_and_account_are_used() {
    use base64::Engine as _;
    let device = Device::on().await;
    let secret = |name: &str, registry: &str| {
        let config = json!({"auths": {registry: {"username": name, "password": "p"}}}).to_string();
        let data = base64::engine::general_purpose::STANDARD.encode(config);
        device.api.put(
            Kind::Secret,
            json!({"metadata": {"name": name, "namespace": "default"}, "data": {".dockerconfigjson": data}}),
        );
    };
    secret("own", "a.example");
    secret("accounts", "b.example");
    let account =
        json!({"metadata": {"name": "sa", "namespace": "default"}, "imagePullSecrets": [{"name": "accounts"}]});
    device.api.put(Kind::ServiceAccount, account);
    device.images.publish(crate::fakes::image("a.example/x:1"));
    let mut spec = with(json!({"image": "a.example/x:1"}));
    spec["imagePullSecrets"] = json!([{"name": "own"}, {"name": "missing"}]);
    spec["serviceAccountName"] = json!("sa");
    device.pod("web", spec);
    device.until("web", PHASE, "Running").await;
    let (_, logins) = device.images.pulls().remove(0);
    let users: Vec<&str> = logins.iter().map(|login| login.username.as_str()).collect();
    assert_eq!(users, ["own", "accounts"]);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_fetched_and_renewed() {
    let device = Device::on().await;
    let mut spec = with(json!({"volumeMounts": [{"name": "token", "mountPath": "/token"}]}));
    spec["volumes"] = json!([{"name": "token", "projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]}}]);
    device.pod("web", spec);
    device.until("web", PHASE, "Running").await;
    let file = device.state.path().join("memory/uid-web/token/token");
    let first = std::fs::read_to_string(&file).unwrap();
    let requests = |api: &FakeApi| {
        let writes = api.writes();
        writes.iter().filter(|write| *write == "create ServiceAccount/token default/default").count()
    };
    assert_eq!(requests(&device.api), 1);
    tokio::time::sleep(Duration::from_secs(799)).await;
    assert_eq!(requests(&device.api), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(requests(&device.api), 2);
    tokio::time::timeout(Duration::from_secs(60), async {
        while std::fs::read_to_string(&file).unwrap() == first {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_node_cannot_give_is_said() {
    let device = Device::on().await;
    let mut users = one();
    users["hostUsers"] = json!(false);
    device.pod("users", users);
    let text = "FailedCreatePodSandBox: Failed to create pod sandbox: user namespaces (hostUsers: false) are not supported by this node";
    device.event("users", text).await;
    let mut nfs = one();
    nfs["volumes"] = json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]);
    device.pod("nfs", nfs);
    let text = "FailedMount: MountVolume.SetUp failed for volume \"v\" : nfs volumes are not supported by this node";
    device.event("nfs", text).await;
    for name in ["users", "nfs"] {
        device.api.delete_pod("default", name, 30);
        device.gone(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_image_is_started_anew() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let change = json!({"spec": {"containers": [{"name": "app", "image": "init:1"}]}});
    device.api.patch(Kind::Pod, Some("default"), "web", None, PatchForm::Merge, &change).await.unwrap();
    device.until("web", "/status/containerStatuses/0/imageID", "sha256:init:1").await;
    device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    device.event("web", "Killing: Container app definition changed, will be restarted").await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_daemon_goes_on_with_the_back_off() {
    let mut device = Device::on().await;
    device.runtime.script("/bin/app", Script { exits: Some((Duration::from_secs(1), 1)), ..Script::default() });
    device.pod("web", one());
    device.until("web", "/status/containerStatuses/0/restartCount", 4).await;
    device.until("web", &format!("{STATE}/waiting/reason"), "CrashLoopBackOff").await;
    // It waits 80 s from now on.
    let before = device.clock.mono();
    device.stop().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    device.start().await;
    device.until("web", "/status/containerStatuses/0/restartCount", 5).await;
    assert_eq!((device.clock.mono() - before).as_secs(), 80);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_missed_is_heard_after_all() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    device.runtime.end_in_silence(&device.running()[0], 4);
    let pod = device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 4);
}
