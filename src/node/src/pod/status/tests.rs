//! Rows: what is observed, and the status that comes of it.

use super::*;
use crate::pod::observed::{Hook, Over, Run, Running, SandboxFacts};
use kedge_api::machine::Sandbox;
use std::time::Duration;

fn wall(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + second)
}

fn pod(policy: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3},
        "spec": {"restartPolicy": policy, "initContainers": [{"name": "i"}], "containers": [{"name": "a"}, {"name": "b"}]},
    }))
    .unwrap()
}

fn ended(code: i32) -> Ended {
    Ended {
        run: Run { id: "x".into(), attempt: 0, fingerprint: 0, image_id: String::new(), stop_signal: 15 },
        code,
        signal: None,
        reason: if code == 0 { "Completed" } else { "Error" }.into(),
        message: None,
        started: Some(wall(1)),
        finished: wall(2),
        seen: Duration::ZERO,
    }
}

/// `name=letter`: `-` never, `r` running, a digit: ended with that code.
fn seen(lives: &str) -> Observed {
    let sandbox = Sandbox { pod_uid: "u".into(), network: None, ipc: None, uts: None };
    let facts = SandboxFacts { sandbox, ips: vec!["10.0.0.5".parse().unwrap()] };
    let mut seen = Observed { taken: Some(wall(0)), sandbox: SandboxState::Ready(facts), ..Observed::default() };
    for word in lives.split_whitespace() {
        let (name, letter) = word.split_once('=').unwrap();
        seen.member_mut(name).life = match letter {
            "-" => Life::Never,
            "r" => Life::Running(Running {
                run: ended(0).run,
                started: wall(1),
                since: Duration::ZERO,
                hook: Hook::Done,
                stopping: None,
            }),
            code => Life::Ended(ended(code.parse().unwrap())),
        };
    }
    seen
}

fn of(pod: &Pod, seen: &Observed, before: &PodStatus, second: u64) -> PodStatus {
    let host_ips = ["192.0.2.1".parse().unwrap()];
    let around = Surroundings { host_ips: &host_ips, before, wall: wall(second), now: Duration::ZERO };
    status(pod, seen, &around)
}

#[track_caller]
fn phases(policy: &str, lives: &str, want: &str) {
    let status = of(&pod(policy), &seen(lives), &PodStatus::default(), 0);
    assert_eq!(status.phase.as_deref(), Some(want), "{policy} {lives}");
}

#[test]
fn phases_follow_the_containers() {
    phases("Always", "", "Pending");
    phases("Always", "i=r", "Pending");
    phases("Always", "i=0 a=r b=-", "Pending");
    phases("Always", "i=0 a=r b=r", "Running");
    phases("Always", "i=0 a=0 b=1", "Running");
    phases("OnFailure", "i=0 a=0 b=1", "Running");
    phases("OnFailure", "i=0 a=0 b=0", "Succeeded");
    phases("Never", "i=0 a=0 b=1", "Failed");
    phases("Never", "i=0 a=0 b=r", "Running");
    phases("Never", "i=1 a=- b=-", "Failed");
}

#[test]
fn a_deleted_pod_ends_by_its_codes() {
    let mut pod = pod("Always");
    pod.metadata.deletion_timestamp = Some(time(wall(9)));
    let phase = |lives| of(&pod, &seen(lives), &PodStatus::default(), 0).phase.unwrap();
    assert_eq!(phase("i=0 a=r b=0"), "Running");
    assert_eq!(phase("i=0 a=0 b=0"), "Succeeded");
    assert_eq!(phase("i=0 a=143 b=0"), "Failed");
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> &'a k8s_openapi::api::core::v1::PodCondition {
    status.conditions.iter().flatten().find(|condition| condition.type_ == kind).unwrap()
}

#[test]
fn conditions_say_what_is_missing_and_since_when() {
    let pod = pod("Always");
    let first = of(&pod, &seen("i=r"), &PodStatus::default(), 0);
    let initialized = condition(&first, "Initialized");
    assert_eq!(initialized.message.as_deref(), Some("containers with incomplete status: [i]"));
    assert_eq!(initialized.reason.as_deref(), Some("ContainersNotInitialized"));
    assert_eq!(condition(&first, "ContainersReady").message.as_deref(), Some("containers with unready status: [a b]"));
    let second = of(&pod, &seen("i=0 a=r b=-"), &first, 5);
    assert_eq!(condition(&second, "Initialized").last_transition_time, Some(time(wall(5))));
    assert_eq!(condition(&second, "Ready").last_transition_time, Some(time(wall(0))));
    assert_eq!(condition(&second, "Ready").observed_generation, Some(3));
}

#[test]
fn readiness_gates_are_asked() {
    let mut pod = pod("Always");
    let gates = json!([{"conditionType": "example.com/gate"}]);
    pod.spec.as_mut().unwrap().readiness_gates = serde_json::from_value(gates).unwrap();
    let seen = seen("i=0 a=r b=r");
    let none = of(&pod, &seen, &PodStatus::default(), 0);
    let ready = condition(&none, "Ready");
    assert_eq!(ready.reason.as_deref(), Some("ReadinessGatesNotReady"));
    assert_eq!(
        ready.message.as_deref(),
        Some("corresponding condition of pod readiness gate \"example.com/gate\" does not exist.")
    );
    let before = json!({"conditions": [{"type": "example.com/gate", "status": "True"}]});
    let open = of(&pod, &seen, &serde_json::from_value(before).unwrap(), 0);
    assert_eq!(condition(&open, "Ready").status, "True");
    assert_eq!(condition(&none, "ContainersReady").status, "True");
}

#[test]
fn what_is_over_says_so() {
    let mut seen = seen("i=0 a=0 b=0");
    seen.over = Some(Over::Succeeded);
    seen.sandbox = SandboxState::Gone;
    let before = json!({"podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}]});
    let status = of(&pod("Never"), &seen, &serde_json::from_value(before).unwrap(), 0);
    assert_eq!(condition(&status, "Ready").reason.as_deref(), Some("PodCompleted"));
    assert_eq!(status.pod_ip.as_deref(), Some("10.0.0.5"));
}

#[test]
fn a_patch_takes_away_what_is_gone() {
    let before = PodStatus {
        reason: Some("Old".into()),
        pod_ips: Some(vec![PodIP { ip: "10.0.0.5".into() }]),
        nominated_node_name: Some("other's".into()),
        ..PodStatus::default()
    };
    let after = PodStatus { pod_ips: Some(vec![PodIP { ip: "10.0.0.6".into() }]), ..PodStatus::default() };
    let want = json!({"metadata": {"uid": "u"}, "status": {
        "reason": null,
        "podIPs": [{"$patch": "replace"}, {"ip": "10.0.0.6"}]}});
    assert_eq!(patch("u", &before, &after), want);
}

#[test]
fn a_condition_loses_its_reason_with_its_cause() {
    let after = of(&pod("Always"), &seen("i=0 a=r b=r"), &PodStatus::default(), 0);
    let patch = patch("u", &PodStatus::default(), &after);
    let ready = patch["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
    assert_eq!((ready.get("reason"), ready.get("message")), (Some(&Value::Null), Some(&Value::Null)));
}

#[test]
fn durations_are_written_as_go_does() {
    for (seconds, want) in [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (3600, "1h0m0s")] {
        assert_eq!(go_duration(Duration::from_secs(seconds)), want);
    }
}

#[test]
fn ephemeral_containers_are_told_of_and_count_for_nothing() {
    let mut pod = pod("Never");
    let words = json!([{"name": "e", "image": "x"}, {"name": "f"}]);
    pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(words).unwrap();
    let status = of(&pod, &seen("i=0 a=r b=r e=1"), &PodStatus::default(), 0);
    assert_eq!(status.phase.as_deref(), Some("Running"));
    assert_eq!(condition(&status, "Ready").status, "True");
    let told = status.ephemeral_container_statuses.clone().unwrap();
    assert_eq!(told[0].state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
    assert_eq!((told[0].ready, told[0].started, told[0].restart_count), (false, None, 0));
    assert!(told[1].state.as_ref().unwrap().waiting.is_some());
    assert_eq!(own(&status).ephemeral_container_statuses, status.ephemeral_container_statuses);
    let ended = of(&pod, &seen("i=0 a=0 b=0 e=1"), &PodStatus::default(), 0);
    assert_eq!(ended.phase.as_deref(), Some("Succeeded"));
}
