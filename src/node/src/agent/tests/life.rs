//! One pod from its start to its end: status, Events, grace, probes, hooks, restarts.

use super::*;
use crate::fakes::Script;
use crate::logs::LogOptions;
use crate::port::PatchForm;

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
    assert_eq!(container["imageID"], "example.test/web@sha256:0");
    assert!(container["containerID"].as_str().unwrap().starts_with("kedge://"));
    assert_eq!(container["state"]["running"]["startedAt"], "2026-01-01T00:00:00Z");
    let conditions = status["conditions"].as_array().unwrap();
    let true_ones: Vec<&str> =
        conditions.iter().filter(|c| c["status"] == "True").map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(true_ones, ["PodScheduled", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]);
    device.event("web", "Started: Container started").await;
    let events = device.api.events("web");
    assert_eq!(
        events,
        [
            "Pulled: Container image \"web:1\" already present on machine and can be accessed by the pod",
            "Created: Container created",
            "Started: Container started",
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
    device.event("web", "FailedPostStartHook: PostStartHook failed").await;
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
async fn a_pod_is_gone_only_when_the_runtime_has_forgotten_its_containers() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { removal: Duration::from_secs(5), ..Script::default() });
    for (name, grace) in [("told", 30), ("forced", 0)] {
        device.pod(name, one());
        device.until(name, PHASE, "Running").await;
        device.api.delete_pod("default", name, grace);
        let unsandboxed = format!("unsandbox uid-{name}");
        device.runtime.until(|runtime| runtime.calls().contains(&unsandboxed)).await;
        assert!(device.runtime.all().is_empty(), "{name}: {:?}", device.runtime.all());
    }
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
async fn a_changed_image_is_started_anew() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let change = json!({"spec": {"containers": [{"name": "app", "image": "init:1"}]}});
    device.api.patch(Kind::Pod, Some("default"), "web", None, PatchForm::Merge, &change).await.unwrap();
    device.until("web", "/status/containerStatuses/0/imageID", "example.test/init@sha256:0").await;
    device.until("web", "/status/containerStatuses/0/restartCount", 1).await;
    device.event("web", "Killing: Container app definition changed, will be restarted").await;
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
