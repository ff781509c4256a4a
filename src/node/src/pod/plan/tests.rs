//! Rows: a pod, what is observed in a few letters, the time; and the steps that follow.

use super::*;
use crate::pod::observed::{Ended, MemberState, Over, Run, Running, SandboxFacts, Stopping};
use kedge_api::machine::Sandbox;
use serde_json::{Value, json};
use std::time::SystemTime;

const NOW: Mono = Duration::from_secs(1000);

fn words(spec: Value, deleted: bool) -> Pod {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec});
    if deleted {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    }
    serde_json::from_value(pod).unwrap()
}

fn a_run(pod: &Pod, name: &str) -> Run {
    Run {
        id: format!("id-{name}"),
        attempt: 0,
        fingerprint: super::super::member(pod, name).map_or(0, |m| fingerprint(&m.container)),
        image_id: String::new(),
        stop_signal: 15,
    }
}

/// `-` never, `p` pulling, `s` starting, `r` running, `h` running with its hook pending, `t` stopping with 3 s left,
/// `k` stopping and overdue, `w` waiting until 7 s later, a digit: ended with that code, `x` digit 1 in back-off.
fn life(pod: &Pod, name: &str, letter: char) -> MemberState {
    let mut state = MemberState::default();
    let running = |hook, stopping| {
        Life::Running(Running {
            run: a_run(pod, name),
            started: SystemTime::UNIX_EPOCH,
            since: Duration::ZERO,
            hook,
            stopping,
        })
    };
    let stopping = |kill_at| Some(Stopping { kill_at, reason: None });
    let ended = |code| {
        Life::Ended(Ended {
            run: a_run(pod, name),
            code,
            signal: None,
            reason: "Error".into(),
            message: None,
            started: None,
            finished: SystemTime::UNIX_EPOCH,
            seen: Duration::ZERO,
        })
    };
    state.life = match letter {
        '-' => Life::Never,
        'w' => {
            state.retry = Some(NOW + Duration::from_secs(7));
            state.waiting = Some(Reason::new("ErrImagePull", "no"));
            Life::Never
        }
        'p' => Life::Pulling,
        's' => Life::Starting,
        'r' => running(Hook::Done, None),
        'h' => running(Hook::Pending, None),
        't' => running(Hook::Done, stopping(NOW + Duration::from_secs(3))),
        'k' => running(Hook::Done, stopping(NOW)),
        'x' => {
            state.retry = Some(NOW + Duration::from_secs(7));
            ended(1)
        }
        digit => ended(digit.to_digit(10).unwrap() as i32),
    };
    state
}

/// `lives`: `name=letter`, blank separated. With a sandbox and volumes.
fn seen(pod: &Pod, lives: &str) -> Observed {
    let mut seen = Observed {
        volumes: Prep::Done,
        sandbox: SandboxState::Ready(SandboxFacts {
            sandbox: Sandbox { pod_uid: "u".into(), network: None, ipc: None, uts: None },
            ips: Vec::new(),
        }),
        ..Observed::default()
    };
    for word in lives.split_whitespace() {
        let (name, letter) = word.split_once('=').unwrap();
        let letter = letter.chars().next().unwrap();
        seen.members.insert(name.into(), life(pod, name, letter));
    }
    seen
}

fn say(step: &Step) -> String {
    match step {
        Step::PrepareVolumes => "volumes".into(),
        Step::MakeSandbox => "sandbox".into(),
        Step::Start(name) => format!("start {name}"),
        Step::Stop(stop) => format!("stop {} {}", stop.name, stop.grace.as_secs()),
        Step::Kill(name) => format!("kill {name}"),
        Step::Abandon(name) => format!("abandon {name}"),
        Step::RemoveSandbox => "unsandbox".into(),
        Step::Clear => "clear".into(),
        Step::Delete => "delete".into(),
        Step::Forget => "forget".into(),
        Step::WakeAt(at) => format!("wake {}", (*at - NOW).as_secs()),
    }
}

#[track_caller]
fn check_seen(pod: &Pod, seen: &Observed, want: &[&str]) {
    let steps: Vec<String> = plan(pod, seen, NOW).iter().map(say).collect();
    assert_eq!(steps, want);
}

#[track_caller]
fn check(spec: Value, lives: &str, want: &[&str]) {
    let pod = words(spec, false);
    check_seen(&pod, &seen(&pod, lives), want);
}

#[track_caller]
fn check_deleted(spec: Value, lives: &str, want: &[&str]) {
    let pod = words(spec, true);
    check_seen(&pod, &seen(&pod, lives), want);
}

fn two() -> Value {
    json!({"containers": [{"name": "a"}, {"name": "b"}]})
}

fn never(spec: Value) -> Value {
    let mut spec = spec;
    spec["restartPolicy"] = json!("Never");
    spec
}

fn with_init() -> Value {
    json!({"initContainers": [{"name": "i"}, {"name": "j"}], "containers": [{"name": "a"}]})
}

fn with_sidecar() -> Value {
    json!({"initContainers": [{"name": "s", "restartPolicy": "Always"}, {"name": "i"}], "containers": [{"name": "a"}]})
}

#[test]
fn volumes_and_sandbox_come_first_and_together() {
    let pod = words(two(), false);
    check_seen(&pod, &Observed::default(), &["volumes", "sandbox"]);
    let seen = Observed {
        volumes: Prep::Failed { retry: NOW },
        sandbox: SandboxState::Failed { retry: NOW + Duration::from_secs(2) },
        ..Observed::default()
    };
    check_seen(&pod, &seen, &["volumes", "wake 2"]);
}

#[test]
fn containers_start_one_after_the_other() {
    check(two(), "", &["start a"]);
    check(two(), "a=p", &[]);
    check(two(), "a=s", &[]);
    check(two(), "a=h", &[]);
    check(two(), "a=r", &["start b"]);
    check(two(), "a=r b=r", &[]);
}

#[test]
fn one_that_cannot_start_does_not_hold_the_others() {
    check(two(), "a=w", &["wake 7", "start b"]);
}

#[test]
fn init_containers_run_to_their_end_in_order() {
    check(with_init(), "", &["start i"]);
    check(with_init(), "i=r", &[]);
    check(with_init(), "i=0", &["start j"]);
    check(with_init(), "i=0 j=1", &["start j"]);
    check(with_init(), "i=0 j=x", &["wake 7"]);
    check(with_init(), "i=0 j=0", &["start a"]);
    check(with_init(), "i=0 j=0 a=r", &[]);
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    check(never(with_init()), "i=1", &["unsandbox"]);
}

#[test]
fn what_ended_starts_again_by_its_policy() {
    check(two(), "a=0 b=r", &["start a"]);
    check(two(), "a=x b=r", &["wake 7"]);
    check(never(two()), "a=1 b=r", &[]);
    check(never(two()), "a=1 b=0", &["unsandbox"]);
    let mut on_failure = two();
    on_failure["restartPolicy"] = json!("OnFailure");
    check(on_failure.clone(), "a=0 b=1", &["start b"]);
    check(on_failure, "a=0 b=0", &["unsandbox"]);
}

#[test]
fn sidecars_start_first_stay_and_stop_last() {
    check(with_sidecar(), "", &["start s"]);
    check(with_sidecar(), "s=h", &[]);
    check(with_sidecar(), "s=r", &["start i"]);
    check(with_sidecar(), "s=r i=0", &["start a"]);
    check(with_sidecar(), "s=0 i=0 a=r", &["start s"]);
    check(never(with_sidecar()), "s=r i=0 a=0", &["stop s 30"]);
    check_deleted(with_sidecar(), "s=r i=0 a=r", &["stop a 5"]);
    check_deleted(with_sidecar(), "s=r i=0 a=0", &["stop s 5"]);
}

#[test]
fn a_deleted_pod_is_stopped_then_removed_then_cleared_then_told() {
    check_deleted(two(), "a=r b=r", &["stop a 5", "stop b 5"]);
    check_deleted(two(), "a=t b=0", &["wake 3"]);
    check_deleted(two(), "a=k b=0", &["kill a"]);
    check_deleted(two(), "a=s b=-", &[]);
    check_deleted(two(), "a=p b=-", &["abandon a"]);
    check_deleted(two(), "a=0 b=0", &["unsandbox"]);
    let pod = words(two(), true);
    let mut seen = seen(&pod, "a=0 b=0");
    seen.sandbox = SandboxState::Gone;
    check_seen(&pod, &seen, &["clear"]);
    seen.cleared = Clearing::Done;
    check_seen(&pod, &seen, &[]);
    seen.told = true;
    check_seen(&pod, &seen, &["delete"]);
    seen.removed = true;
    check_seen(&pod, &seen, &["forget"]);
}

#[test]
fn a_shorter_grace_takes_the_place_of_a_longer_one() {
    let pod = words(two(), true);
    let mut seen = seen(&pod, "a=t b=0");
    if let Life::Running(running) = &mut seen.member_mut("a").life {
        running.stopping = Some(Stopping { kill_at: NOW + Duration::from_secs(20), reason: None });
    }
    check_seen(&pod, &seen, &["wake 20", "stop a 5"]);
}

#[test]
fn sidecars_have_what_is_left_of_the_grace() {
    let mut spec = with_sidecar();
    spec["terminationGracePeriodSeconds"] = json!(30);
    let pod = words(spec, true);
    let mut seen = seen(&pod, "s=r i=0 a=0");
    for (ago, want) in [(1, "stop s 4"), (100, "stop s 2")] {
        seen.leaving_since = Some(NOW - Duration::from_secs(ago));
        check_seen(&pod, &seen, &[want]);
    }
}

#[test]
fn the_active_deadline_ends_a_pod() {
    let pod = words(two(), false);
    let mut seen = seen(&pod, "a=r b=r");
    seen.deadline = Some(NOW + Duration::from_secs(4));
    check_seen(&pod, &seen, &["wake 4"]);
    seen.deadline = Some(NOW);
    check_seen(&pod, &seen, &["stop a 30", "stop b 30"]);
}

#[test]
fn a_pod_that_is_over_is_never_started_again() {
    let pod = words(two(), false);
    let seen = Observed { over: Some(Over::Succeeded), sandbox: SandboxState::Gone, ..Observed::default() };
    check_seen(&pod, &seen, &[]);
}

#[test]
fn a_changed_image_restarts_its_container() {
    let pod = words(two(), false);
    let seen = seen(&pod, "a=r b=r");
    let mut new = pod.clone();
    new.spec.as_mut().unwrap().containers[0].image = Some("other".into());
    check_seen(&new, &seen, &["stop a 30"]);
}

#[test]
fn the_same_state_twice_gives_the_same_steps() {
    let pod = words(with_sidecar(), false);
    for lives in ["", "s=r", "s=r i=0 a=x"] {
        let seen = seen(&pod, lives);
        assert_eq!(plan(&pod, &seen, NOW), plan(&pod, &seen, NOW));
    }
}

fn with_ephemeral(spec: Value) -> Value {
    let mut spec = spec;
    spec["ephemeralContainers"] = json!([{"name": "e", "targetContainerName": "a"}]);
    spec
}

#[test]
fn ephemeral_ones_start_once_and_wait_for_nobody() {
    check(with_ephemeral(two()), "a=r b=r", &["start e"]);
    check(with_ephemeral(two()), "a=r b=r e=p", &[]);
    check(with_ephemeral(two()), "a=r b=r e=w", &["wake 7"]);
    check(with_ephemeral(two()), "a=r b=r e=r", &[]);
    check(with_ephemeral(two()), "a=r b=r e=0", &[]);
    check(with_ephemeral(two()), "a=r b=r e=1", &[]);
    check(with_ephemeral(with_init()), "i=r", &["start e"]);
    check(with_ephemeral(with_init()), "i=w", &["start e", "wake 7"]);
}

#[test]
fn ephemeral_ones_keep_no_pod_alive() {
    check(with_ephemeral(never(two())), "a=0 b=0 e=r", &["stop e 30"]);
    check(with_ephemeral(never(two())), "a=0 b=0 e=-", &["unsandbox"]);
    check(with_ephemeral(never(two())), "a=0 b=0 e=1", &["unsandbox"]);
    check_deleted(with_ephemeral(two()), "a=r b=0 e=r", &["stop a 5", "stop e 5"]);
    check_deleted(with_ephemeral(with_sidecar()), "s=r i=0 a=0 e=r", &["stop e 5"]);
}
