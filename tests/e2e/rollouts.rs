//! Updates while clients ask: not one request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kedge::{Device, http, until};

use crate::words::deployment;

/// Keeps a request loop aimed at the pods that are ready, as a load balancer would.
struct Balancer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<http::Tally>>,
}

impl Balancer {
    fn start(device: &Arc<Device>) -> Balancer {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (device, stop) = (device.clone(), stop.clone());
            move || {
                let requests = http::Loop::start(device.ready_addresses("app=web"));
                while !stop.load(Ordering::Relaxed) {
                    let ready = device.ready_addresses("app=web");
                    requests.aim(ready);
                    std::thread::sleep(Duration::from_millis(100));
                }
                requests.stop()
            }
        });
        Balancer { stop, thread: Some(thread) }
    }

    fn stop(mut self) -> http::Tally {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[track_caller]
fn only_version(device: &Device, version: u32) {
    let addresses = device.ready_addresses("app=web");
    assert!(!addresses.is_empty());
    for address in addresses {
        let (_, body) = http::get(&address, "/").unwrap();
        assert!(body.contains(&format!("version {version}")), "{address}: {body}");
    }
}

#[test]
fn an_update_and_its_rollback_fail_no_request() {
    let Some(device) = Device::with_images("rollout") else { return };
    let device = Arc::new(device);
    device.apply(&deployment("web", 1, 3)).ok();
    device.rolled_out("web");
    let clients = Balancer::start(&device);

    device.apply(&deployment("web", 2, 3)).ok();
    device.rolled_out("web");
    until("only version 2", Duration::from_secs(20), || {
        let pods = device.get(&["pods", "-l", "app=web"]);
        let count = pods["items"].as_array().map_or(0, Vec::len);
        if count == 3 { Ok(()) } else { Err(format!("{count} pods")) }
    });
    only_version(&device, 2);

    let history = device.edgectl(&["rollout", "history", "deployment/web"]).ok();
    assert!(history.contains('1') && history.contains('2'), "{history}");
    device.edgectl(&["rollout", "undo", "deployment/web"]).ok();
    device.rolled_out("web");
    only_version(&device, 1);

    let seen = clients.stop();
    assert!(seen.bad.is_empty(), "{} of {} requests failed: {:#?}", seen.bad.len(), seen.good, seen.bad);
    assert!(seen.good > 200, "{seen:?}");
    for version in [1, 2] {
        assert!(seen.bodies.iter().any(|body| body.contains(&format!("version {version}"))), "{seen:?}");
    }
}

#[test]
fn a_broken_update_leaves_the_old_pods_serving_and_can_be_undone() {
    let Some(device) = Device::with_images("broken") else { return };
    device.apply(&deployment("web", 1, 2)).ok();
    device.rolled_out("web");
    // An image that nobody has, from nowhere.
    let broken = deployment("web", 1, 2).replace("demo/web:1", "demo/web:999");
    device.apply(&broken.replace("image:", "imagePullPolicy: Never\n        image:")).ok();
    device.wait_for(&["pods", "-l", "app=web"], Duration::from_secs(30), |pods| {
        let text = pods.to_string();
        if text.contains("ErrImageNeverPull") { Ok(()) } else { Err(text) }
    });
    assert_eq!(device.ready_addresses("app=web").len(), 2);
    only_version(&device, 1);
    device.edgectl(&["rollout", "status", "deployment/web", "--timeout", "1s"]).fails(&[]);
    device.edgectl(&["rollout", "undo", "deployment/web"]).ok();
    device.rolled_out("web");
    only_version(&device, 1);
}

#[test]
fn scaling_pausing_and_restarting() {
    let Some(device) = Device::with_images("scale") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    device.edgectl(&["scale", "deployment/web", "--replicas=4"]).ok();
    device.rolled_out("web");
    assert_eq!(device.ready_addresses("app=web").len(), 4);
    device.edgectl(&["scale", "deployment/web", "--replicas=1"]).ok();
    device.wait_for(&["pods", "-l", "app=web"], Duration::from_secs(30), |pods| {
        let count = pods["items"].as_array().map_or(0, Vec::len);
        if count == 1 { Ok(()) } else { Err(format!("{count} pods")) }
    });

    device.edgectl(&["rollout", "pause", "deployment/web"]).ok();
    device.apply(&deployment("web", 2, 1)).ok();
    kedge::holds_for("a paused deployment's version", Duration::from_secs(2), || {
        let pods = device.get(&["pods", "-l", "app=web"]).to_string();
        if pods.contains("web:2") { Err(pods) } else { Ok(()) }
    });
    device.edgectl(&["rollout", "resume", "deployment/web"]).ok();
    device.rolled_out("web");
    only_version(&device, 2);

    let before = device.get(&["pods", "-l", "app=web"])["items"][0]["metadata"]["uid"].clone();
    device.edgectl(&["rollout", "restart", "deployment/web"]).ok();
    device.rolled_out("web");
    device.wait_for(&["pods", "-l", "app=web"], Duration::from_secs(30), |pods| {
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        if items.len() == 1 && items[0]["metadata"]["uid"] != before { Ok(()) } else { Err(format!("{items:?}")) }
    });
}
