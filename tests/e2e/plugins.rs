//! Plugins from files: good ones decide along, bad ones are stopped and everything else goes on.

use std::path::PathBuf;
use std::time::Duration;

use kedge::{Device, Setup, http, programs, until};

use crate::words::{deployment, phase, script};

const SOON: Duration = Duration::from_secs(30);

/// A component that `cargo xtask guests` builds along.
pub fn component(name: &str) -> Option<PathBuf> {
    let folder = programs::target().join("plugins/cargo");
    let targets = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let found = targets.map(|e| e.path().join(format!("release/{name}.wasm"))).find(|path| path.is_file());
    if found.is_none() {
        programs::skip(&format!("the component {name} is not built: cargo xtask guests"));
    }
    found
}

/// A device with the demo images and one more scheduling plugin.
#[track_caller]
fn device(name: &str, component: &std::path::Path, arguments: &str) -> Option<Device> {
    let setup = Setup::new(name)?;
    setup.configure(&format!(
        "plugins:\n  list:\n  - name: extra\n    file: {}\n    arguments: {arguments}\n",
        component.display()
    ));
    let device = setup.start();
    device.load_images();
    Some(device)
}

#[test]
fn a_predicate_from_a_file_decides_along() {
    let Some(battery) = component("battery") else { return };
    let Some(device) = device("battery", &battery, "50") else { return };
    let node = device.setup.name().to_owned();
    device.edgectl(&["label", "node", &node, "example.com/battery=20"]).ok();
    device.apply(&script("waits", "Never", "true")).ok();
    until("an event that names the reason", SOON, || {
        let events = device.edgectl(&["get", "events"]).seen()?;
        if events.contains("too little battery") { Ok(()) } else { Err(events) }
    });
    assert_eq!(device.get(&["pod", "waits"])["status"]["phase"], "Pending");
    device.edgectl(&["label", "node", &node, "example.com/battery=90", "--overwrite"]).ok();
    device.wait_for(&["pod", "waits"], SOON, phase("Succeeded"));
    let list = device.edgectl(&["plugin", "list"]).ok();
    for name in ["extra", "scheduling", "controllers"] {
        assert!(list.contains(name), "{list}");
    }
}

#[test]
fn plugins_that_misbehave_stop_nothing_else() {
    let Some(component) = component("misbehaving") else { return };
    for misdeed in ["trap", "loop", "grow", "long bitmap"] {
        let Some(device) = device("misdeed", &component, &format!("{misdeed:?}")) else { return };
        device.apply(&deployment("web", 1, 1)).ok();
        // Whatever becomes of the pod, it is told, and the device works.
        until("a word about the plugin", SOON, || {
            let events = device.edgectl(&["get", "events"]).seen()?;
            let text = format!("{events}{}", device.log());
            if text.contains("extra") { Ok(()) } else { Err(text) }
        });
        device.goes_on();
        let list = device.edgectl(&["plugin", "list"]).ok();
        assert!(list.contains("extra"), "{misdeed}: {list}");
        let metrics = device.edgectl(&["get", "--raw", "/metrics"]).ok();
        assert!(metrics.contains("extra"), "{misdeed}: the plugin has no metrics");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_told_and_left_out() {
    let Some(setup) = Setup::new("no-plugin") else { return };
    let file = setup.folder().join("noise.wasm");
    std::fs::write(&file, b"\0asm not really").unwrap();
    setup.configure(&format!(
        "plugins:\n  list:\n  - name: noise\n    file: {}\n  - name: gone\n    file: /nonexistent.wasm\n",
        file.display()
    ));
    let device = setup.start();
    device.load_images();
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    assert_eq!(http::get(&device.ready_addresses("app=web")[0], "/").unwrap().0, 200);
    let log = device.log();
    for word in ["noise", "gone", "/nonexistent.wasm"] {
        assert!(log.contains(word), "the log does not name {word}: {log}");
    }
}
