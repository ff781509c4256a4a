//! How real containers end and begin again: the signal, the grace, the kill; init containers that fail at first.
//!
//! In: scripts that write down what happens to them in a folder of the test. Out: the order and the times.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use kedge::{Device, until};

use crate::words::{phase, script};

const SOON: Duration = Duration::from_secs(60);

/// Adds the folder in which a script writes down what it sees, as `/seen` of the first container.
fn seen_by(device: &Device, pod: &str) -> (String, PathBuf) {
    let folder = device.setup.folder().join("seen");
    let volume = format!(
        "    volumeMounts: [{{name: seen, mountPath: /seen}}]\n  volumes:\n  - {{name: seen, hostPath: {{path: {}, type: DirectoryOrCreate}}}}\n",
        folder.display()
    );
    (format!("{pod}{volume}"), folder)
}

#[test]
fn who_does_not_heed_is_asked_and_killed_after_the_grace() {
    let Some(device) = Device::with_images("grace") else { return };
    let words = "trap 'echo asked >>/seen/asked' TERM; echo up >/seen/up; while :; do sleep 1 & wait $!; done";
    let pod =
        script("deaf", "Always", words).replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 4");
    let (pod, seen) = seen_by(&device, &pod);
    device.apply(&pod).ok();
    until("a script that has begun", SOON, || std::fs::read_to_string(seen.join("up")));
    let begun = Instant::now();
    // It waits until the pod is gone.
    device.edgectl(&["delete", "pod", "deaf"]).ok();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(4), "killed after {took:?}, before its grace was over");
    assert!(took < Duration::from_secs(20), "gone only after {took:?}");
    assert_eq!(std::fs::read_to_string(seen.join("asked")).unwrap(), "asked\n", "asked once, and first");
    device.edgectl(&["get", "pod", "deaf"]).fails(&["NotFound"]);
    let marks = device.setup.marks().clone();
    until("the end of its processes", SOON, || {
        let left = marks.container_processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    let events = device.edgectl(&["get", "events"]).ok();
    assert!(events.contains("Stopping container main"), "{events}");

    // One that heeds is gone long before its grace is over.
    let heeds = script("heeds", "Always", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
        .replace("terminationGracePeriodSeconds: 1", "terminationGracePeriodSeconds: 300");
    device.apply(&heeds).ok();
    device.wait_for(&["pod", "heeds"], SOON, phase("Running"));
    let begun = Instant::now();
    device.edgectl(&["delete", "pod", "heeds"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

/// A pod whose init container succeeds at its third try.
fn stumbling(name: &str, restart: &str) -> String {
    script(name, restart, "wc -l </seen/tries; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")
}

/// The container that goes before the others.
const INIT: &str = "  initContainers:
  - name: prepare
    image: kedge.dev/demo/web:1
    command: [sh, -c, 'echo try >>/seen/tries; test $(wc -l </seen/tries) -ge 3']
    volumeMounts: [{name: seen, mountPath: /seen}]
";

#[test]
fn an_init_container_that_fails_is_tried_again_before_anything_else_begins() {
    let Some(device) = Device::with_images("init") else { return };
    let (pod, seen) = seen_by(&device, &stumbling("third", "Always"));
    device.apply(&format!("{pod}{INIT}")).ok();
    let pod = device.wait_for(&["pod", "third"], SOON, phase("Running"));
    let init = &pod["status"]["initContainerStatuses"][0];
    assert_eq!((&init["restartCount"], &init["ready"]), (&2.into(), &true.into()), "{init}");
    assert_eq!(init["state"]["terminated"]["exitCode"], 0, "{init}");
    assert_eq!(std::fs::read_to_string(seen.join("tries")).unwrap().lines().count(), 3);
    let first = until("the first line", SOON, || {
        let said = device.edgectl(&["logs", "third", "-c", "main"]).seen()?;
        if said.is_empty() { Err(said) } else { Ok(said) }
    });
    assert_eq!(first.trim(), "3", "the container began after the third try");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0, "{}", pod["status"]);
    device.edgectl(&["delete", "pod", "third"]).ok();

    // Who is not to be started again fails with his init container.
    std::fs::remove_file(seen.join("tries")).unwrap();
    let (pod, seen) = seen_by(&device, &stumbling("once", "Never"));
    device.apply(&format!("{pod}{INIT}")).ok();
    let pod = device.wait_for(&["pod", "once"], SOON, phase("Failed"));
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 1, "{}", pod["status"]);
    assert!(pod["status"]["containerStatuses"][0]["state"]["waiting"].is_object(), "{}", pod["status"]);
    assert_eq!(std::fs::read_to_string(seen.join("tries")).unwrap(), "try\n");
}

/// What follows a script that fills a place, with a limit on that place.
const LIMITS: [(&str, &str, &str, &str); 2] = [
    (
        "volume",
        "/v/x",
        "    volumeMounts: [{name: v, mountPath: /v}]\n  volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]\n",
        "Usage of EmptyDir volume \"v\" exceeds the limit \"1Mi\". ",
    ),
    (
        "own",
        "/x",
        "    resources: {limits: {ephemeral-storage: 1Mi}}\n",
        "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ",
    ),
];

#[test]
fn who_keeps_more_on_disk_than_allowed_is_evicted() {
    let Some(device) = Device::with_images("evicted") else { return };
    for (name, file, limit, _) in LIMITS {
        let words = format!("yes | head -c 4194304 >{file}; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done");
        device.apply(&format!("{}{limit}", script(name, "Always", &words))).ok();
    }
    for (name, _, _, message) in LIMITS {
        // Looked at every ten seconds.
        let pod = device.wait_for(&["pod", name], SOON, phase("Failed"));
        assert_eq!((&pod["status"]["reason"], &pod["status"]["message"]), (&"Evicted".into(), &message.into()));
        let events = device.edgectl(&["get", "events"]).ok();
        assert!(events.contains("Evicted") && events.contains(message.trim()), "{events}");
    }
    let marks = device.setup.marks().clone();
    until("the end of their processes", SOON, || {
        let left = marks.container_processes();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
}
