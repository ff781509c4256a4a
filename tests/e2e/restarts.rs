//! The daemon, its zygote and the whole machine may end at any time: nothing that runs is lost, nothing that was said.

use std::time::Duration;

use kedge::{Device, http, leftovers, until};
use serde_json::Value;

use crate::words::{deployment, identities, phase, script};

const SOON: Duration = Duration::from_secs(30);

/// A daemon is away this long: clients ask about 200 times meanwhile.
const AWAY: Duration = Duration::from_secs(1);

#[test]
fn a_killed_daemon_fails_no_request_and_restarts_nothing() {
    let Some(mut device) = Device::with_images("killed") else { return };
    device.apply(&deployment("web", 1, 3)).ok();
    device.rolled_out("web");
    let before = identities(&device.get(&["pods"]));
    let processes = device.setup.marks().container_processes();
    let addresses = device.ready_addresses("app=web");
    let requests = http::Loop::start(addresses);

    device.kill();
    std::thread::sleep(AWAY);
    device.start();
    until("a ready node", SOON, || device.edgectl(&["get", "nodes"]).seen().and_then(has(" Ready")));
    kedge::holds_for("the pods as they were", Duration::from_secs(3), || {
        let now = identities(&device.get(&["pods"]));
        if now == before { Ok(()) } else { Err(format!("{now:?} instead of {before:?}")) }
    });

    let seen = requests.stop();
    assert!(seen.bad.is_empty(), "{} of {} requests failed: {:#?}", seen.bad.len(), seen.good, seen.bad);
    assert!(seen.good > 100, "{seen:?}");
    assert_eq!(device.setup.marks().container_processes(), processes, "the same processes");
    assert_eq!(device.ready_addresses("app=web").len(), 3);

    // And it is in command again.
    device.edgectl(&["scale", "deployment/web", "--replicas=4"]).ok();
    device.rolled_out("web");
    assert_eq!(device.edgectl(&["exec", "deployment/web", "--", "echo", "in"]).ok(), "in\n");
}

#[test]
fn an_end_while_the_daemon_was_away_is_told_afterwards() {
    let Some(mut device) = Device::with_images("away") else { return };
    device
        .apply(&script("ends", "Never", "echo before; while ! test -e /go; do sleep 0.05; done; echo after; exit 42"))
        .ok();
    device.apply(&script("good", "Never", "while ! test -e /go; do sleep 0.05; done; exit 0")).ok();
    for name in ["ends", "good"] {
        device.wait_for(&["pod", name], SOON, phase("Running"));
    }
    let processes = device.setup.marks().container_processes();
    device.kill();
    for pid in &processes {
        // Not every process has a root of its own that we may write to: one container each does.
        let _ = std::fs::write(format!("/proc/{pid}/root/go"), "");
    }
    let marks = device.setup.marks().clone();
    until("the end of the containers", SOON, || {
        let left = marks.container_processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    device.start();
    let ends = device.wait_for(&["pod", "ends"], SOON, phase("Failed"));
    let end = &ends["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(end["exitCode"], 42, "{end}");
    assert_eq!(device.edgectl(&["logs", "ends"]).ok(), "before\nafter\n");
    device.wait_for(&["pod", "good"], SOON, phase("Succeeded"));
}

#[test]
fn a_killed_zygote_loses_nothing_and_pods_start_again() {
    let Some(device) = Device::with_images("zygote") else { return };
    device.apply(&deployment("web", 1, 2)).ok();
    device.rolled_out("web");
    let before = identities(&device.get(&["pods"]));
    let requests = http::Loop::start(device.ready_addresses("app=web"));
    let zygote = device.zygote();
    leftovers::kill(zygote, libc::SIGKILL);

    device.apply(&deployment("more", 1, 2)).ok();
    device.rolled_out("more");
    assert_ne!(device.zygote(), zygote);
    let now = identities(&device.get(&["pods", "-l", "app=web"]));
    assert_eq!(now, before);
    assert_eq!(device.edgectl(&["exec", "deployment/web", "--", "echo", "in"]).ok(), "in\n");
    let seen = requests.stop();
    assert!(seen.bad.is_empty(), "{:#?}", seen.bad);
}

#[test]
fn everything_comes_back_from_the_local_store_after_a_power_cut() {
    let Some(mut device) = Device::with_images("power") else { return };
    device.apply(&deployment("web", 1, 3)).ok();
    device.edgectl(&["create", "configmap", "kept", "--from-literal=a=b"]).ok();
    device.apply(&script("once", "Never", "echo done")).ok();
    device.rolled_out("web");
    device.wait_for(&["pod", "once"], SOON, phase("Succeeded"));
    let names = |pods: &Value| identities(pods).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    let before = names(&device.get(&["pods", "-l", "app=web"]));

    device.cut_power();
    // No registry is named and none is there: what starts now comes from this device alone.
    device.start();
    device.rolled_out("web");
    until("three pods that answer", SOON, || {
        let addresses = device.ready_addresses("app=web");
        if addresses.len() != 3 {
            return Err(format!("{addresses:?}"));
        }
        addresses.iter().try_for_each(|address| http::get(address, "/").map(drop).map_err(|e| e.to_string()))
    });
    let pods = device.get(&["pods", "-l", "app=web"]);
    assert_eq!(names(&pods), before, "the same pods, not new ones");
    let restarts = identities(&pods);
    assert!(restarts.iter().all(|(.., count)| *count == 1), "{restarts:?}");
    assert_eq!(device.get(&["configmap", "kept"])["data"]["a"], "b");
    assert_eq!(device.get(&["pod", "once"])["status"]["phase"], "Succeeded", "what is done is not done again");
    device.goes_on();
}

#[test]
fn a_stopped_daemon_leaves_containers_and_cleanup_leaves_nothing() {
    let Some(mut device) = Device::with_images("cleanup") else { return };
    device.apply(&deployment("web", 1, 2)).ok();
    device.rolled_out("web");
    let addresses = device.ready_addresses("app=web");
    device.stop();
    for address in &addresses {
        assert_eq!(http::get(address, "/").unwrap().0, 200, "containers go on after SIGTERM");
    }
    assert!(!device.setup.marks().all().is_empty());
    device.remove().unwrap();
    assert_eq!(device.setup.marks().all(), Vec::<String>::new());
    // A second cleanup finds nothing to do, and the device can begin again with its data.
    device.remove().unwrap();
    device.start();
    // The Deployment may still say what was true before the cleanup.
    until("two pods that answer", SOON, || {
        let addresses = device.ready_addresses("app=web");
        if addresses.len() != 2 {
            return Err(format!("{addresses:?}"));
        }
        addresses.iter().try_for_each(|address| http::get(address, "/").map(drop).map_err(|e| e.to_string()))
    });
}

#[test]
fn two_devices_stand_side_by_side() {
    let Some(one) = Device::with_images("one") else { return };
    let Some(two) = Device::with_images("two") else { return };
    for device in [&one, &two] {
        device.apply(&deployment("web", 1, 1)).ok();
        device.rolled_out("web");
    }
    drop(one);
    let addresses = two.ready_addresses("app=web");
    assert_eq!(http::get(&addresses[0], "/").unwrap().0, 200, "the other device's cleanup touches nothing of ours");
}

fn has(word: &'static str) -> impl Fn(String) -> Result<(), String> {
    move |text| if text.contains(word) { Ok(()) } else { Err(text) }
}
