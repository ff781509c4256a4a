//! The node's own objects, and what it answers.

use super::*;
use crate::fakes::Script;
use crate::logs::LogOptions;

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
async fn a_machine_that_moves_tells_its_new_address() {
    let device = Device::on().await;
    device.pod("web", one());
    let mut spec = one();
    spec["hostNetwork"] = json!(true);
    device.pod("host", spec);
    device.until("web", "/status/hostIP", "192.0.2.1").await;
    device.until("host", "/status/podIP", "192.0.2.1").await;
    device.runtime.script("/done", Script { exits: Some((Duration::from_secs(1), 0)), ..Script::default() });
    let mut spec = with(json!({"command": ["/done"]}));
    spec["restartPolicy"] = json!("Never");
    device.pod("done", spec);
    device.until("done", PHASE, "Succeeded").await;
    device.network.move_to([198, 51, 100, 7]);
    device.until("web", "/status/hostIP", "198.51.100.7").await;
    device.until("web", "/status/hostIPs/0/ip", "198.51.100.7").await;
    device.until("host", "/status/podIP", "198.51.100.7").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let done = device.api.object(Kind::Pod, "default", "done").unwrap();
    assert_eq!(done["status"]["hostIP"], "192.0.2.1", "what has ended ended there");
    let told = |api: &FakeApi| {
        let node = api.object(Kind::Node, "", "gw")?;
        let addresses = node["status"]["addresses"].as_array()?.clone();
        (addresses[0]["address"] == "198.51.100.7").then_some(addresses)
    };
    assert_eq!(device.api.until(told).await.len(), 2, "the old address is gone");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_can_run_nothing_is_not_ready() {
    let device = Device::on().await;
    let ready = |api: &FakeApi| {
        let node = api.object(Kind::Node, "", "gw")?;
        node["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == "Ready").cloned()
    };
    device.event("gw", "NodeReady: Node gw status is now: NodeReady").await;
    device.runtime.break_down(Some("fork: no memory"));
    let unready = device.api.until(|api| ready(api).filter(|ready| ready["status"] == "False")).await;
    assert_eq!(unready["reason"], "KubeletNotReady");
    let message = unready["message"].as_str().unwrap();
    assert!(message.starts_with("container runtime not ready: ") && message.ends_with("fork: no memory"), "{message}");
    device.event("gw", "NodeNotReady: Node gw status is now: NodeNotReady").await;
    device.runtime.break_down(None);
    device.network.break_down(Some("nft"));
    let network = |ready: &Value| ready["message"].as_str().unwrap().starts_with("container runtime network not ready");
    device.api.until(|api| ready(api).filter(network)).await;
    device.network.break_down(None);
    device.api.until(|api| ready(api).filter(|ready| ready["status"] == "True")).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_tells_only_what_changed_and_a_new_boot() {
    let mut device = Device::off();
    let since = json!("2025-01-01T00:00:00Z");
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": since});
    device.api.put(
        Kind::Node,
        json!({"metadata": {"name": "gw"}, "status": {
            "nodeInfo": {"bootID": "earlier"},
            "conditions": [condition("MemoryPressure", "False"), condition("DiskPressure", "True"),
                condition("PIDPressure", "False"), condition("Ready", "True")]}}),
    );
    device.start().await;
    device.event("gw", "NodeHasNoDiskPressure: Node gw status is now: NodeHasNoDiskPressure").await;
    let mut events = device.api.events("gw");
    events.sort();
    assert_eq!(
        events,
        [
            "NodeHasNoDiskPressure: Node gw status is now: NodeHasNoDiskPressure",
            "Rebooted: Node gw has been rebooted, boot id: boot",
            "Starting: Starting kubelet.",
        ]
    );
    let node = device.api.object(Kind::Node, "", "gw").unwrap();
    let ready = node["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap().clone();
    assert_eq!(ready["lastTransitionTime"], since);
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
    let session = handle.exec("default", "web", "app", spec.clone()).await.unwrap();
    assert_eq!(session.exit.await, Ok(0));
    // What cannot be run is told at the session's end; what is not there, instead of a session.
    let fault = Script { exec_fault: Some("exec: \"ls\": not found".into()), ..Script::default() };
    device.runtime.script("/bin/app", fault);
    let session = handle.exec("default", "web", "app", spec.clone()).await.unwrap();
    assert_eq!(session.exit.await.unwrap_err().to_string(), "exec: \"ls\": not found");
    assert!(handle.exec("default", "web", "other", spec).await.is_err());
    assert_eq!(handle.usage().await.len(), 1);
    assert!(handle.metrics().contains("kedge_node_pods 1"));
}

#[tokio::test(start_paused = true)]
async fn images_that_nobody_uses_go_when_the_disk_is_full() {
    let mut device = Device::off();
    device.free = 1 << 30;
    device.start().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let here = async || -> Vec<String> {
        use crate::port::Images as _;
        device.images.list().await.unwrap().into_iter().flat_map(|image| image.tags).collect()
    };
    tokio::time::sleep(Duration::from_secs(280)).await;
    assert_eq!(here().await.len(), 2, "not before it is known what is in use");
    device
        .event(
            "gw",
            "FreeDiskSpaceFailed: Failed to garbage collect required amount of images. Attempted to free \
        644245094 bytes, but only found 1 bytes eligible to free.",
        )
        .await;
    assert_eq!(here().await, ["web:1"]);
}
