//! What pods have of the machine: its ports, its folders, its memory, and images that came with it.
//!
//! In: pods that ask for such things. Out: that they get them, and what is said when they cannot.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use kedge::{Device, Setup, http, until};

use crate::words::{phase, script};

const SOON: Duration = Duration::from_secs(60);

/// A pod of the demo web server that takes a port of the machine.
fn on_port(name: &str, port: u16, more: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 5
{more}  containers:
  - name: web
    image: kedge.dev/demo/web:1
    ports: [{{containerPort: 8080, hostPort: {port}}}]
    readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

/// A pod that runs a script once, with one volume at `/data`.
fn with_volume(name: &str, volume: &str, words: &str) -> String {
    let pod = script(name, "Never", words);
    format!("{pod}    volumeMounts: [{{name: data, mountPath: /data}}]\n  volumes:\n  - {{name: data, {volume}}}\n")
}

fn host_path(path: &Path, kind: &str) -> String {
    format!("hostPath: {{path: {}, type: {kind}}}", path.display())
}

#[track_caller]
fn says(device: &Device, word: &str) {
    until(&format!("an event that says {word:?}"), SOON, || {
        let events = device.edgectl(&["get", "events"]).seen()?;
        if events.contains(word) { Ok(()) } else { Err(events) }
    });
}

#[test]
fn a_port_of_the_machine_is_one_pods_until_it_goes() {
    let Some(device) = Device::with_images("host-port") else { return };
    // Free a moment ago; nobody else on this machine wants it now.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    device.apply(&on_port("first", port, "")).ok();
    let address = format!("127.0.0.1:{port}");
    let body = until("an answer on the machine's port", SOON, || match http::get(&address, "/") {
        Ok((200, body)) => Ok(body),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(body.trim(), "web version 1 on first");

    // Whom the scheduler places waits; who comes past it is refused by the node.
    device.apply(&on_port("second", port, "")).ok();
    says(&device, "didn't have free ports for the requested pod ports");
    device.apply(&on_port("forced", port, &format!("  nodeName: {}\n", device.setup.name()))).ok();
    let forced = device.wait_for(&["pod", "forced"], SOON, phase("Failed"));
    assert_eq!(forced["status"]["reason"], "NodePorts", "{}", forced["status"]);
    device.edgectl(&["delete", "pod", "first"]).ok();
    until("an answer of the second pod", SOON, || match http::get(&address, "/") {
        Ok((200, body)) if body.trim() == "web version 1 on second" => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_folder_of_the_machine_is_shared_and_checked() {
    let Some(device) = Device::with_images("host-path") else { return };
    let shared = device.setup.folder().join("shared");
    let writes = with_volume("writes", &host_path(&shared, "DirectoryOrCreate"), "echo from a pod >/data/file");
    device.apply(&writes).ok();
    device.wait_for(&["pod", "writes"], SOON, phase("Succeeded"));
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "from a pod\n");

    let late = device.setup.folder().join("late");
    device.apply(&with_volume("reads", &host_path(&late, "File"), "cat /data")).ok();
    says(&device, "hostPath type check failed");
    assert_eq!(device.get(&["pod", "reads"])["status"]["phase"], "Pending");
    std::fs::write(&late, "at last\n").unwrap();
    device.wait_for(&["pod", "reads"], SOON, phase("Succeeded"));
    assert_eq!(device.edgectl(&["logs", "reads"]).ok(), "at last\n");
}

#[test]
fn a_folder_in_memory_has_its_limit() {
    let Some(device) = Device::with_images("memory") else { return };
    let words = "grep ' /data ' /proc/mounts; echo small >/data/a && cat /data/a; \
                 if head -c 2000000 /dev/zero >/data/b; then echo fits; else echo full; fi";
    device.apply(&with_volume("small", "emptyDir: {medium: Memory, sizeLimit: 1Mi}", words)).ok();
    device.wait_for(&["pod", "small"], SOON, phase("Succeeded"));
    let said = device.edgectl(&["logs", "small"]).ok();
    assert!(said.starts_with("tmpfs /data tmpfs "), "{said}");
    assert!(said.contains("\nsmall\n") && said.contains("full") && !said.contains("fits"), "{said}");
}

#[test]
fn images_that_came_with_the_machine_are_there_at_the_first_start() {
    let Some(setup) = Setup::new("preload") else { return };
    let folder = setup.folder().join("archives");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(setup.image(1), folder.join("web.tar")).unwrap();
    std::fs::write(folder.join("noise.tar"), "this is no archive").unwrap();
    setup.configure(&format!("images:\n  preload: {}\n", folder.display()));
    let mut device = setup.start();
    device.apply(&script("first", "Never", "echo here")).ok();
    device.wait_for(&["pod", "first"], SOON, phase("Succeeded"));
    assert_eq!(device.edgectl(&["logs", "first"]).ok(), "here\n");
    assert!(device.log().contains("noise.tar"), "an archive that is none is told: {}", device.log());

    // What is in the store by now needs no archive any more.
    device.stop();
    std::fs::remove_file(folder.join("web.tar")).unwrap();
    device.start();
    device.apply(&script("second", "Never", "echo here")).ok();
    device.wait_for(&["pod", "second"], SOON, phase("Succeeded"));
}
