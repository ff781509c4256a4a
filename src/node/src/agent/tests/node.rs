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
