//! Every manifest in `configs/examples` does what its comment says.

use std::collections::BTreeSet;
use std::time::Duration;

use kedge::{Device, programs, until};
use serde_json::json;

use crate::words::phase;

const SOON: Duration = Duration::from_secs(30);

/// The examples; a new one needs a test here.
const KNOWN: [&str; 9] = [
    "addresses.yaml",
    "brew.yaml",
    "once.yaml",
    "pod.yaml",
    "reader.yaml",
    "web.yaml",
    "policy.yaml",
    "webhook.yaml",
    "aggregated.yaml",
];

/// Examples that edged reads itself and nobody applies; the crate that reads one tests it.
const SETTINGS: [&str; 1] = ["audit-policy.yaml"];

#[test]
fn every_example_has_a_test() {
    let folder = programs::root().join("configs/examples");
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let known = KNOWN.iter().chain(&SETTINGS).map(|name| (*name).to_owned());
    assert_eq!(names.collect::<BTreeSet<_>>(), known.collect());
}

#[test]
fn the_examples_work_as_they_are() {
    let Some(device) = Device::with_images("examples") else { return };
    for name in KNOWN {
        let applied = device.edgectl(&["apply", "-f", &programs::example(name)]);
        assert_eq!((applied.code, applied.stderr.as_str()), (0, ""), "{name}: {applied}");
    }
    device.rolled_out("web");
    assert_eq!(device.ready_addresses("app=web").len(), 3);

    let once = device.wait_for(&["pod", "once"], SOON, phase("Succeeded"));
    assert_eq!(once["status"]["containerStatuses"][0]["state"]["terminated"]["message"], "all done\n");

    kettle(&device);
    reader(&device);
    brew(&device);

    // Applied again, nothing changes.
    for name in KNOWN {
        let again = device.edgectl(&["apply", "-f", &programs::example(name)]).ok();
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{name}: {again}");
    }
    // The last first: while an API that nobody serves is registered, no namespace can go.
    for name in KNOWN.into_iter().rev() {
        // A namespace that goes first may take what is in it along before its turn comes.
        device.edgectl(&["delete", "--ignore-not-found", "-f", &programs::example(name)]).ok();
    }
}

fn kettle(device: &Device) {
    device.wait_for(&["pod", "kettle"], SOON, phase("Running"));
    let inside = |container: &str, script: &str| {
        device.edgectl(&["exec", "kettle", "-c", container, "--", "sh", "-c", script]).ok()
    };
    assert_eq!(inside("web", "echo $GREETING $PASSWORD"), "hello steam\n");
    assert_eq!(inside("web", "cat /etc/kettle/settings.ini"), "[kettle]\ndegrees = 96\n");
    assert_eq!(inside("talk", "cat /water/level"), "filled\n");
    assert_eq!(inside("web", "cat /water/level"), "filled\n", "one folder for both");
    inside("talk", "touch /water/x 2>/dev/null && exit 1; exit 0");
    let pod = device.get(&["pod", "kettle"]);
    assert_eq!(inside("web", "echo $POD_IP").trim(), pod["status"]["podIP"]);
    // One network: the other container reaches the server on the loopback address.
    assert!(inside("talk", "wget -qO- http://127.0.0.1:8080/").contains("web version 1 on kettle"));
    until("a line of the talker", SOON, || {
        let log = device.edgectl(&["logs", "kettle", "-c", "talk"]).ok();
        if log.contains("line 1\n") { Ok(()) } else { Err(log) }
    });

    // A changed ConfigMap reaches the files of the running pod.
    let changed = "{\"data\":{\"settings.ini\":\"degrees = 80\\n\"}}";
    let patched = device.edgectl(&["get", "configmap", "kettle", "-o", "json"]).ok();
    let mut map: serde_json::Value = serde_json::from_str(&patched).unwrap();
    let change: serde_json::Value = serde_json::from_str(changed).unwrap();
    map["data"]["settings.ini"] = change["data"]["settings.ini"].clone();
    device.apply(&map.to_string()).ok();
    until("the new settings in the container", Duration::from_secs(100), || {
        let text = inside("web", "cat /etc/kettle/settings.ini");
        if text == "degrees = 80\n" { Ok(()) } else { Err(text) }
    });
    device.edgectl(&["apply", "-f", &programs::example("pod.yaml")]).ok();
}

fn brew(device: &Device) {
    let morning = |tea: &str| {
        json!({"apiVersion": "kitchen.example.com/v1", "kind": "Brew", "metadata": {"name": "morning"}, "spec": {"tea": tea}})
            .to_string()
    };
    device.apply(&morning("coffee")).fails(&["spec.tea: Unsupported value: \"coffee\""]);
    device.apply(&morning("assam")).ok();
    assert_eq!(device.get(&["brews", "morning"])["spec"]["cups"], 2);
    device.edgectl(&["scale", "brew", "morning", "--replicas=3"]).ok();
    let table = device.edgectl(&["get", "br", "--field-selector", "spec.tea=assam", "--no-headers"]).ok();
    assert_eq!(table.split_whitespace().take(3).collect::<Vec<_>>(), ["morning", "assam", "3"]);
}

fn reader(device: &Device) {
    let token = device.edgectl(&["-n", "kitchen", "create", "token", "reader"]).ok();
    let server = format!("https://127.0.0.1:{}", device.setup.port());
    let as_reader = |words: &[&str]| {
        let mut edgectl = std::process::Command::new(device.setup.edgectl_program());
        edgectl.env("KUBECONFIG", "/dev/null").args(["--server", &server, "--insecure-skip-tls-verify"]);
        kedge::Output::of(edgectl.args(["--token", token.trim()]).args(words))
    };
    as_reader(&["-n", "kitchen", "get", "configmaps"]).ok();
    as_reader(&["-n", "kitchen", "create", "configmap", "a"])
        .fails(&["Forbidden", "system:serviceaccount:kitchen:reader"]);
    as_reader(&["-n", "default", "get", "pods"]).fails(&["Forbidden"]);
}
