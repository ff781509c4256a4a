//! Rows: a checkpoint and what lives, and the state that a worker goes on from.

use super::*;
use crate::pod::observed::Stopping;
use k8s_openapi::api::core::v1::Container;
use kedge_api::machine::Exit;
use serde_json::{Value, json};

const NOW: Mono = Duration::from_secs(100);

fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(5000)
}

fn pod(policy: &str, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u"},
        "spec": {"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]},
        "status": status,
    }))
    .unwrap()
}

fn run(id: &str, attempt: u32) -> Run {
    Run { id: id.into(), attempt, fingerprint: 0, image_id: "img".into(), stop_signal: 15 }
}

fn sandbox() -> Sandbox {
    Sandbox { pod_uid: "u".into(), network: None, ipc: None, uts: None }
}

/// A checkpoint with a finished init container and an app in its third run.
fn record() -> Record {
    let mut seen = Observed {
        taken: Some(wall()),
        sandbox: SandboxState::Ready(SandboxFacts { sandbox: sandbox(), ips: Vec::new() }),
        ..Observed::default()
    };
    let exit = Exit { code: 0, signal: None, oom_killed: false, started: wall(), finished: wall() };
    seen.member_mut("i").end(Ended::of(run("i0", 0), &exit, NOW));
    let app = seen.member_mut("a");
    app.restarts = 2;
    app.next_attempt = 3;
    app.life = Life::Running(Running {
        run: run("a2", 2),
        started: wall(),
        since: NOW,
        hook: Hook::Done,
        stopping: Some(Stopping { kill_at: NOW, reason: None }),
    });
    Record::of(&seen)
}

fn found(id: &str, state: ContainerState) -> ContainerStatus {
    ContainerStatus { id: id.into(), pod_uid: "u".into(), state }
}

fn running() -> ContainerState {
    ContainerState::Running { pid: 7, started: wall() }
}

fn exited(code: i32) -> ContainerState {
    ContainerState::Exited(Exit { code, signal: None, oom_killed: false, started: wall(), finished: wall() })
}

/// `life restarts next last`, then what is to be cleaned up.
fn say(adopted: &Adopted) -> String {
    let mut text = Vec::new();
    for (name, state) in &adopted.seen.members {
        let life = match &state.life {
            Life::Running(running) => format!("runs {}", running.run.id),
            Life::Ended(ended) => format!("ended {}", ended.code),
            other => format!("{other:?}").to_lowercase(),
        };
        let last = state.last.as_ref().map_or("-".into(), |ended| ended.code.to_string());
        text.push(format!("{name}: {life}, {} restarts, next {}, last {last}", state.restarts, state.next_attempt));
    }
    if adopted.sandbox_lost {
        text.push("sandbox lost".into());
    }
    for (what, list) in [("stray", &adopted.strays), ("bury", &adopted.ended)] {
        text.extend(list.iter().map(|id| format!("{what} {id}")));
    }
    text.join("; ")
}

#[track_caller]
fn check(policy: &str, containers: &[ContainerStatus], has_sandbox: bool, want: &str) {
    let sandboxes: Vec<Sandbox> = has_sandbox.then(sandbox).into_iter().collect();
    let adopted = adopt(&pod(policy, json!({})), Some(record()), containers, &sandboxes, (wall(), NOW));
    assert_eq!(say(&adopted), want);
}

#[test]
fn what_runs_goes_on() {
    let want = "a: runs a2, 2 restarts, next 3, last -; i: ended 0, 0 restarts, next 1, last -";
    check("Always", &[found("a2", running())], true, want);
}

#[test]
fn what_ended_meanwhile_keeps_its_code() {
    let want = "a: ended 9, 2 restarts, next 3, last -; i: ended 0, 0 restarts, next 1, last -; bury a";
    check("Always", &[found("a2", exited(9))], true, want);
}

#[test]
fn what_nobody_knows_is_removed() {
    let want = "a: runs a2, 2 restarts, next 3, last -; i: ended 0, 0 restarts, next 1, last -; stray x";
    check("Always", &[found("a2", running()), found("x", running())], true, want);
}

#[test]
fn a_lost_container_ended_badly() {
    let want = "a: ended 255, 2 restarts, next 3, last -; i: ended 0, 0 restarts, next 1, last -; bury a";
    check("Always", &[found("a2", ContainerState::Lost)], true, want);
    check("Always", &[], true, want);
}

#[test]
fn after_a_power_cut_init_containers_run_again() {
    let want = "a: never, 2 restarts, next 3, last 255; i: never, 0 restarts, next 1, last 0; sandbox lost; bury a";
    check("Always", &[found("a2", ContainerState::Lost)], false, want);
    check("Always", &[found("a2", running())], false, want);
}

#[test]
fn after_a_power_cut_a_pod_that_never_restarts_has_failed() {
    let want = "a: ended 255, 2 restarts, next 3, last -; i: ended 0, 0 restarts, next 1, last -; bury a";
    check("Never", &[found("a2", ContainerState::Lost)], false, want);
}

#[test]
fn a_run_that_was_only_meant_leaves_no_trace() {
    let mut seen = Observed::default();
    let state = seen.member_mut("a");
    state.life = Life::Starting;
    state.intent = Some(run("a0", 0));
    let record = Record::of(&seen);
    let adopted = |containers: &[ContainerStatus]| {
        say(&adopt(&pod("Always", json!({})), Some(record.clone()), containers, &[], (wall(), NOW)))
    };
    assert_eq!(adopted(&[]), "a: never, 0 restarts, next 0, last -");
    let made = adopted(&[found("a0", ContainerState::Created)]);
    assert_eq!(made, "a: never, 0 restarts, next 0, last -; stray a0");
    let ran = adopted(&[found("a0", running())]);
    assert_eq!(ran, "a: runs a0, 0 restarts, next 1, last -");
}

#[test]
fn without_a_checkpoint_the_status_counts() {
    let status = json!({"phase": "Running", "containerStatuses": [
        {"name": "a", "image": "x", "imageID": "img", "ready": true, "restartCount": 4, "containerID": "kedge://old"}]});
    let adopted = adopt(&pod("Always", status), None, &[found("old", running())], &[], (wall(), NOW));
    assert_eq!(say(&adopted), "a: never, 4 restarts, next 5, last -; stray old");
    let done = adopt(&pod("Never", json!({"phase": "Succeeded"})), None, &[], &[], (wall(), NOW));
    assert_eq!(done.seen.over, Some(Over::Succeeded));
}

#[test]
fn readiness_survives_for_the_very_same_run() {
    let ready = |id: &str| {
        let status = json!({"containerStatuses": [{"name": "a", "image": "x", "imageID": "i", "ready": true,
            "started": true, "restartCount": 2, "containerID": id}]});
        let mut pod = pod("Always", status);
        let container: &mut Container = &mut pod.spec.as_mut().unwrap().containers[0];
        container.readiness_probe = Some(Default::default());
        let adopted = adopt(&pod, Some(record()), &[found("a2", running())], &[sandbox()], (wall(), NOW));
        adopted.seen.member("a").ready()
    };
    assert!(ready("kedge://a2"));
    assert!(!ready("kedge://a1"));
}

#[test]
fn a_checkpoint_survives_and_a_torn_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("record.json");
    let record = record();
    record.save(&file).unwrap();
    assert_eq!(Record::load(&file), Some(record));
    std::fs::write(&file, "{\"taken\":").unwrap();
    assert_eq!(Record::load(&file), None);
}
