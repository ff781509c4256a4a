//! What cannot be is said in Kubernetes' words, and tried again where it may come.

use super::*;
use crate::fakes::Script;
use crate::port::ApiFault;

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
async fn a_sandbox_that_fails_is_tried_again() {
    let device = Device::on().await;
    device.runtime.fail_sandbox("no namespace");
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    device.event("web", "FailedCreatePodSandBox: Failed to create pod sandbox: no namespace").await;
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
async fn a_status_that_is_not_taken_is_written_again() {
    let device = Device::on().await;
    device.pod("one", one());
    device.until("one", PHASE, "Running").await;
    device.api.fail_next_write(ApiFault::Unreachable("down".into()));
    device.runtime.end(&device.running()[0], 0, false);
    device.until("one", "/status/containerStatuses/0/restartCount", 1).await;
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
