//! A Deployment's pods answer, speak, and can be entered.

use std::time::Duration;

use kedge::{Device, http, until};

use crate::words::{deployment, phase, script};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_pod_of_a_deployment_answers_at_its_own_address() {
    let Some(device) = Device::with_images("answers") else { return };
    device.apply(&deployment("web", 1, 3)).ok();
    device.rolled_out("web");
    let addresses = device.ready_addresses("app=web");
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    let mut names = std::collections::BTreeSet::new();
    for address in &addresses {
        let (status, body) = http::get(address, "/").unwrap_or_else(|e| panic!("{address}: {e}"));
        assert_eq!(status, 200);
        let host = body.trim().strip_prefix("web version 1 on web-").unwrap_or_else(|| panic!("{body:?}"));
        names.insert(host.to_owned());
    }
    assert_eq!(names.len(), 3, "each pod answers with its own name: {names:?}");
    let table = device.edgectl(&["get", "deployment,replicaset,pods", "-o", "wide"]).ok();
    assert!(table.contains("3/3"), "{table}");

    // Made by a Deployment's controller, owned by a ReplicaSet, placed by the scheduler: each says so.
    let pods = device.get(&["pods", "-l", "app=web"]);
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet", "{pod}");
        assert_eq!(pod["spec"]["nodeName"], device.setup.name(), "{pod}");
    }
    let events = device.edgectl(&["get", "events"]).ok();
    for reason in ["ScalingReplicaSet", "SuccessfulCreate", "Scheduled", "Pulled", "Created", "Started"] {
        assert!(events.contains(reason), "no event {reason}:\n{events}");
    }

    // A pod that goes is replaced, and deleting the Deployment takes everything along.
    let first = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    device.edgectl(&["delete", "pod", first]).ok();
    until("three ready pods again", SOON, || {
        let now = device.ready_addresses("app=web");
        if now.len() == 3 { Ok(()) } else { Err(format!("{now:?}")) }
    });
    device.edgectl(&["delete", "deployment", "web"]).ok();
    device.wait_for(&["pods,replicasets"], SOON, |list| {
        let left = list["items"].as_array().map_or(0, Vec::len);
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    });
}

#[test]
fn logs_are_whole_and_in_order() {
    let Some(device) = Device::with_images("logs") else { return };
    let talk = "for i in 1 2 3; do echo out $i; echo err $i >&2; done; trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";
    device.apply(&script("talk", "Always", talk)).ok();
    device.wait_for(&["pod", "talk"], SOON, phase("Running"));
    let lines = until("six lines", SOON, || {
        let text = device.edgectl(&["logs", "talk"]).seen()?;
        if text.lines().count() == 6 { Ok(text) } else { Err(text) }
    });
    let of = |stream: &str| lines.lines().filter(|l| l.starts_with(stream)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(of("out"), ["out 1", "out 2", "out 3"]);
    assert_eq!(of("err"), ["err 1", "err 2", "err 3"]);
    assert_eq!(device.edgectl(&["logs", "talk", "--tail=1"]).ok().lines().count(), 1);
    let stamped = device.edgectl(&["logs", "talk", "--timestamps"]).ok();
    assert!(stamped.lines().all(|line| line.starts_with("20") && line.contains('T')), "{stamped}");
    device.edgectl(&["logs", "talk", "-c", "nobody"]).fails(&["nobody"]);
    device.edgectl(&["logs", "nobody"]).fails(&["NotFound"]);

    // What a container said before it was restarted.
    device.apply(&script("again", "Always", "echo life; exit 3")).ok();
    device.wait_for(&["pod", "again"], SOON, |pod| {
        let restarts = pod["status"]["containerStatuses"][0]["restartCount"].as_u64().unwrap_or(0);
        if restarts > 0 { Ok(()) } else { Err(pod["status"].to_string()) }
    });
    assert_eq!(device.edgectl(&["logs", "again", "--previous"]).ok(), "life\n");
}

#[test]
fn a_log_is_followed_until_its_container_ends() {
    let Some(device) = Device::with_images("follow") else { return };
    device.apply(&script("count", "Never", "for i in 1 2 3 4 5; do echo $i; sleep 0.3; done")).ok();
    device.wait_for(&["pod", "count"], SOON, |pod| {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if phase == "Running" || phase == "Succeeded" { Ok(()) } else { Err(phase.to_owned()) }
    });
    assert_eq!(device.edgectl(&["logs", "-f", "count"]).ok(), "1\n2\n3\n4\n5\n");
    device.wait_for(&["pod", "count"], SOON, phase("Succeeded"));
}

#[test]
fn a_command_runs_inside_with_its_streams_and_exit_code() {
    let Some(device) = Device::with_images("exec") else { return };
    device.apply(&script("box", "Always", "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done")).ok();
    device.wait_for(&["pod", "box"], SOON, phase("Running"));
    let run = |words: &[&str]| {
        let mut all = vec!["exec", "box", "--"];
        all.extend(words);
        device.edgectl(&all)
    };
    assert_eq!(run(&["hostname"]).ok(), "box\n");
    let both = run(&["sh", "-c", "echo to out; echo to err >&2"]);
    assert_eq!(both.stdout, "to out\n", "{both}");
    assert!(both.stderr.contains("to err"), "{both}");
    let failed = run(&["sh", "-c", "exit 7"]);
    assert_eq!(failed.code, 7, "{failed}");
    run(&["no-such-program"]).fails(&["no-such-program"]);

    let mut cat = device.edgectl_command();
    cat.args(["exec", "-i", "box", "--", "wc", "-c"]).stdin(std::process::Stdio::piped());
    cat.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = cat.spawn().unwrap();
    let text = vec![b'x'; 1 << 20];
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &text).unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "1048576", "{done:?}");
}

#[test]
fn ends_are_told_as_kubernetes_tells_them() {
    let Some(device) = Device::with_images("ends") else { return };
    device.apply(&script("good", "Never", "echo done >/dev/termination-log")).ok();
    device.apply(&script("bad", "OnFailure", "exit 42")).ok();
    let greedy = script("greedy", "Never", "x=a; while :; do x=$x$x; done");
    device.apply(&format!("{greedy}    resources: {{limits: {{memory: 16Mi}}}}\n")).ok();

    let good = device.wait_for(&["pod", "good"], SOON, phase("Succeeded"));
    let end = &good["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&0.into(), &"Completed".into()), "{end}");
    assert_eq!(end["message"], "done\n", "{end}");

    let bad = device.wait_for(&["pod", "bad"], SOON, |pod| {
        let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
        if last["exitCode"] == 42 { Ok(()) } else { Err(pod["status"].to_string()) }
    });
    assert_eq!(bad["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"], "Error", "{bad}");

    let greedy = device.wait_for(&["pod", "greedy"], SOON, phase("Failed"));
    let end = &greedy["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&end["exitCode"], &end["reason"]), (&137.into(), &"OOMKilled".into()), "{end}");
}
