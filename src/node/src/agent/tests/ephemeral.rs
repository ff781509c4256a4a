//! Ephemeral containers: put in while a pod runs, started once, of no account for the pod.

use super::*;
use crate::fakes::Script;

/// Puts an ephemeral container into a pod, as the API server does for its subresource.
fn put_in(device: &Device, pod: &str, container: Value) {
    let mut object = device.api.object(Kind::Pod, "default", pod).unwrap();
    let spec = object["spec"].as_object_mut().unwrap();
    let list = spec.entry("ephemeralContainers").or_insert_with(|| json!([]));
    list.as_array_mut().unwrap().push(container);
    device.api.put(Kind::Pod, object);
}

const EPHEMERAL: &str = "/status/ephemeralContainerStatuses/0/state";

fn told(place: &str) -> String {
    format!("{EPHEMERAL}/{place}")
}

#[tokio::test(start_paused = true)]
async fn one_is_started_beside_its_target_and_reached() {
    let device = Device::on().await;
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    let app = device.running().remove(0);
    put_in(
        &device,
        "web",
        json!({"name": "debug", "image": "web:1", "command": ["/debug"], "stdin": true, "tty": true,
        "targetContainerName": "app"}),
    );
    let pod = device.until("web", &told("running/startedAt"), "2026-01-01T00:00:00Z").await;
    let status = &pod["status"]["ephemeralContainerStatuses"][0];
    assert_eq!(
        (&status["name"], &status["ready"], &status["restartCount"]),
        (&json!("debug"), &json!(false), &json!(0))
    );
    let ready = pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!(ready["status"], "True", "it does not count");
    device.started("web", "debug").await;
    let all = device.runtime.all();
    let (spec, _) = all.iter().find(|(spec, _)| spec.args == ["/debug"]).unwrap();
    assert_eq!(spec.pid_of.as_deref(), Some(app.as_str()));
    assert!(spec.stdin && spec.tty);
    assert!(device.handle().attach("default", "web", "debug", true).await.is_ok());
    let logs = device.handle().logs("default", "web", "debug", crate::logs::LogOptions::default()).await;
    assert!(logs.is_ok());
    device.api.delete_pod("default", "web", 30);
    device.gone("web").await;
    assert!(device.runtime.all().is_empty(), "it goes with its pod");
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_is_not_started_again_and_fails_no_pod() {
    let mut device = Device::on().await;
    device.runtime.script("/debug", Script { exits: Some((Duration::from_secs(1), 3)), ..Script::default() });
    device.pod("web", one());
    device.until("web", PHASE, "Running").await;
    put_in(&device, "web", json!({"name": "debug", "image": "web:1", "command": ["/debug"]}));
    let pod = device.until("web", &told("terminated/exitCode"), 3).await;
    assert_eq!(pod.pointer(PHASE).unwrap(), "Running");
    let ended = pod.pointer(EPHEMERAL).unwrap().clone();
    device.stop().await;
    device.start().await;
    device.pod("later", one());
    device.until("later", PHASE, "Running").await;
    let pod = device.api.object(Kind::Pod, "default", "web").unwrap();
    assert_eq!(pod.pointer(EPHEMERAL), Some(&ended), "nor by a later daemon");
    let starts = device.runtime.all().iter().filter(|(spec, _)| spec.args == ["/debug"]).count();
    assert_eq!(starts, 0);
}

#[tokio::test(start_paused = true)]
async fn one_without_its_target_waits_and_says_why() {
    let device = Device::on().await;
    device.runtime.script("/init", Script { exits: Some((Duration::from_secs(60), 0)), ..Script::default() });
    let mut spec = one();
    spec["initContainers"] = json!([{"name": "init", "image": "init:1", "command": ["/init"]}]);
    device.pod("web", spec);
    device.until("web", "/status/initContainerStatuses/0/state/running/startedAt", "2026-01-01T00:00:00Z").await;
    put_in(
        &device,
        "web",
        json!({"name": "debug", "image": "web:1", "command": ["/debug"], "targetContainerName": "app"}),
    );
    let pod = device.until("web", &told("waiting/reason"), "CreateContainerConfigError").await;
    assert_eq!(pod.pointer(&told("waiting/message")).unwrap(), "unable to find target container \"app\"");
    // One without a target does not wait for the init containers either.
    put_in(&device, "web", json!({"name": "look", "image": "web:1", "command": ["/look"]}));
    device.started("web", "look").await;
    let pod = device.until("web", PHASE, "Running").await;
    assert!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"].is_object());
    device.started("web", "debug").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_done_takes_it_along() {
    let device = Device::on().await;
    device.runtime.script("/bin/app", Script { exits: Some((Duration::from_secs(20), 0)), ..Script::default() });
    let mut spec = one();
    spec["restartPolicy"] = json!("Never");
    device.pod("job", spec);
    device.until("job", PHASE, "Running").await;
    put_in(&device, "job", json!({"name": "debug", "image": "web:1", "command": ["/debug"]}));
    device.started("job", "debug").await;
    let pod = device.until("job", PHASE, "Succeeded").await;
    assert!(pod.pointer(EPHEMERAL).unwrap()["terminated"].is_object());
}
