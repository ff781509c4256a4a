//! The list of plugins follows its file while the daemon runs, and no plugin takes a running pod along.
//!
//! In: a configuration that is written anew, and SIGHUP. Out: what is scheduled, what goes on.

use std::path::Path;
use std::time::Duration;

use kedge::{Device, http, leftovers, until};

use crate::plugins::component;
use crate::words::{deployment, identities, phase, script};

const SOON: Duration = Duration::from_secs(60);

/// The list with one plugin beside the built-in ones.
fn list(file: &Path, arguments: &str) -> String {
    format!(
        "plugins:\n  list:\n  - name: extra\n    file: {}\n    arguments: {arguments}\n    deadlineMs: 500\n    memoryMib: 32\n",
        file.display()
    )
}

/// Writes the configuration anew and has it read; comes back when it was.
#[track_caller]
fn reread(device: &Device, more: &str) {
    let log = device.setup.folder().join("edged.log");
    let read = || std::fs::read_to_string(&log).unwrap().matches("the list of plugins was read again").count();
    let before = read();
    device.setup.configure(more);
    leftovers::kill(device.pid(), libc::SIGHUP);
    until("the list of plugins, read again", SOON, || if read() > before { Ok(()) } else { Err(device.log()) });
}

fn names(device: &Device) -> String {
    device.edgectl(&["plugin", "list"]).ok()
}

#[test]
fn plugins_come_change_and_go_while_the_daemon_runs() {
    let Some(battery) = component("battery") else { return };
    let Some(device) = Device::with_images("lists") else { return };
    device.apply(&deployment("web", 1, 1)).ok();
    device.rolled_out("web");
    let before = identities(&device.get(&["pods"]));
    let node = device.setup.name().to_owned();
    device.edgectl(&["label", "node", &node, "example.com/battery=20"]).ok();
    assert!(!names(&device).contains("extra"));

    reread(&device, &list(&battery, "50"));
    assert!(names(&device).contains("extra"), "{}", names(&device));
    device.apply(&script("waits", "Never", "true")).ok();
    until("an event that names the reason", SOON, || {
        let events = device.edgectl(&["get", "events"]).seen()?;
        if events.contains("too little battery") { Ok(()) } else { Err(events) }
    });

    reread(&device, &list(&battery, "10"));
    device.apply(&script("enough", "Never", "true")).ok();
    device.wait_for(&["pod", "enough"], SOON, phase("Succeeded"));

    // A file that makes no sense changes nothing.
    std::fs::write(device.setup.config(), "plugins: [").unwrap();
    leftovers::kill(device.pid(), libc::SIGHUP);
    until("a word about the file", SOON, || {
        let log = device.log();
        if log.contains("the configuration was not accepted; nothing changed") { Ok(()) } else { Err(log) }
    });
    assert!(names(&device).contains("extra"));

    device.edgectl(&["label", "node", &node, "example.com/battery=1", "--overwrite"]).ok();
    reread(&device, "");
    assert!(!names(&device).contains("extra"), "{}", names(&device));
    device.apply(&script("free", "Never", "true")).ok();
    device.wait_for(&["pod", "free"], SOON, phase("Succeeded"));
    let now: Vec<_> = identities(&device.get(&["pods", "-l", "app=web"])).into_iter().collect();
    assert_eq!(now, before, "nothing was restarted");
}

#[test]
fn a_plugin_that_misbehaves_takes_no_running_pod_along() {
    let (Some(scheduling), Some(controllers)) = (component("misbehaving"), component("misruling")) else { return };
    let Some(device) = Device::with_images("misrule") else { return };
    device.apply(&deployment("web", 1, 2)).ok();
    device.rolled_out("web");
    let before = identities(&device.get(&["pods", "-l", "app=web"]));
    let requests = http::Loop::start(device.ready_addresses("app=web"));
    let told = |word: &str| {
        until(&format!("a word about {word}"), SOON, || {
            let events = device.edgectl(&["get", "events"]).seen()?;
            let text = format!("{events}{}", device.log());
            if text.contains(word) { Ok(()) } else { Err(text) }
        });
    };
    for (misdeed, words) in [
        ("trap", "I meant to do that"),
        ("loop", "deadline of 500 ms"),
        ("grow", "more memory than its 32 MiB"),
        ("long bitmap", "1000 words"),
    ] {
        reread(&device, &list(&scheduling, &format!("{misdeed:?}")));
        let name = format!("asks-{}", misdeed.replace(' ', "-"));
        device.apply(&script(&name, "Never", "true")).ok();
        told(words);
        device.goes_on();
    }

    // A controller needs rights of its own before it can do anything about a key.
    device
        .apply(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: extra}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: extra, namespace: kube-system}]
",
        )
        .ok();
    reread(&device, &list(&controllers, "behave"));
    for misdeed in ["later", "overflow", "grow", "loop", "trap"] {
        device.edgectl(&["create", "configmap", misdeed, "--from-literal=a=b"]).ok();
    }
    told("call stack exhausted");
    // Keys that end it are tried less and less often; a key that comes later does not wait for them.
    device.edgectl(&["create", "configmap", "fault", "--from-literal=a=b"]).ok();
    told("I will not");
    device.goes_on();

    reread(&device, "");
    device.apply(&script("afterwards", "Never", "true")).ok();
    device.wait_for(&["pod", "afterwards"], SOON, phase("Succeeded"));
    let seen = requests.stop();
    assert!(seen.bad.is_empty(), "{:#?}", seen.bad);
    assert_eq!(identities(&device.get(&["pods", "-l", "app=web"])), before, "nothing was restarted");
}
