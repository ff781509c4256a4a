//! The daemon or the power goes and comes back: no exit is lost, nothing runs twice.

use super::*;
use crate::fakes::Script;

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
