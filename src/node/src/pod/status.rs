//! Writes a pod's status as Kubernetes' node agent does.
//!
//! In: the pod's words, what is observed, the status before. Out: the status, and the patch that brings it to the API.
//! Pure: the worker sends it.

use std::net::IpAddr;
use std::time::SystemTime;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP,
    Pod, PodIP, PodStatus,
};
use serde_json::{Value, json};

use super::observed::{Ended, Life, MemberState, Observed, Reason, SandboxState};
use super::phase::{Phase, conditions, phase, reason, time, will_restart};
use super::{Member, PodId, Qos, Role, everyone, spec};
use crate::port::Mono;

/// What a status depends on beside the pod and its observation.
pub struct Surroundings<'a> {
    /// The machine's addresses, primary first.
    pub host_ips: &'a [IpAddr],
    /// The status that was written before, or the one in the API.
    pub before: &'a PodStatus,
    /// Wall time.
    pub wall: SystemTime,
    /// Monotonic time.
    pub now: Mono,
}

/// The pod's status.
pub fn status(pod: &Pod, seen: &Observed, around: &Surroundings<'_>) -> PodStatus {
    let phase = phase(pod, seen, around.now);
    let before = around.before;
    let reason = reason(seen, around.now).filter(|_| phase.terminal());
    // It is not ready any more from the moment at which its end is decided.
    let coming = if seen.verdict.is_some() && !phase.terminal() { Phase::Failed } else { phase };
    let conditions = conditions(pod, seen, coming, before.conditions.as_deref().unwrap_or_default(), around.wall);
    let refused = seen.verdict.is_some() && seen.members.is_empty();
    let all = everyone(pod);
    let statuses = |roles: &[Role]| {
        let list: Vec<_> = all
            .iter()
            .filter(|found| roles.contains(&found.role))
            .map(|found| container_status(pod, found.member(), seen))
            .collect();
        (!list.is_empty() && !refused).then_some(list)
    };
    let host_network = spec(pod).host_network == Some(true);
    let ips: Vec<IpAddr> = match &seen.sandbox {
        SandboxState::Ready(_) if host_network => around.host_ips.to_vec(),
        SandboxState::Ready(facts) => facts.ips.clone(),
        // What it had stays readable after its end, as long as the object does.
        _ if phase.terminal() => before_ips(before),
        _ => Vec::new(),
    };
    // What has ended stays where it was, also when the machine moves.
    let host_ips = match &before.host_ips {
        Some(then) if phase.terminal() => then.clone(),
        _ => around.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect::<Vec<_>>(),
    };
    PodStatus {
        phase: Some(phase.name().into()),
        reason: reason.as_ref().map(|reason| reason.reason.clone()),
        message: reason.map(|reason| reason.message),
        conditions: Some(conditions),
        container_statuses: statuses(&[Role::App]),
        init_container_statuses: statuses(&[Role::Init, Role::Sidecar]),
        ephemeral_container_statuses: statuses(&[Role::Ephemeral]),
        host_ip: host_ips.first().map(|host| host.ip.clone()),
        host_ips: (!host_ips.is_empty()).then_some(host_ips),
        pod_ip: ips.first().map(IpAddr::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        qos_class: Some(Qos::of(pod).name().into()),
        start_time: before.start_time.clone().or_else(|| seen.taken.map(time)),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn before_ips(before: &PodStatus) -> Vec<IpAddr> {
    let ips = before.pod_ips.iter().flatten();
    ips.filter_map(|ip| ip.ip.parse().ok()).collect()
}

fn container_status(pod: &Pod, member: Member<'_>, seen: &Observed) -> ContainerStatus {
    let container = member.container;
    let state = seen.member(&container.name);
    let (current, last) = states(pod, member, seen, state);
    let run_id = match &state.life {
        Life::Running(running) => Some(&running.run.id),
        Life::Ended(ended) => Some(&ended.run.id),
        Life::Never | Life::Pulling | Life::Starting => state.last.as_ref().map(|l| &l.run.id),
    };
    let done_init = member.role == Role::Init && state.ended().is_some_and(|e| e.code == 0);
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: state.image_id.clone(),
        container_id: run_id.map(|id| container_id(id)),
        ready: match member.role {
            Role::Init => done_init,
            Role::Sidecar | Role::App => state.ready(),
            // Nothing waits for it.
            Role::Ephemeral => false,
        },
        started: (member.role != Role::Ephemeral).then(|| state.started()),
        restart_count: i32::try_from(state.restarts).unwrap_or(i32::MAX),
        state: Some(current),
        last_state: Some(last.unwrap_or_default()),
        ..ContainerStatus::default()
    }
}

/// `kedge://<id>`.
pub fn container_id(id: &str) -> String {
    format!("kedge://{id}")
}

fn states(
    pod: &Pod,
    member: Member<'_>,
    seen: &Observed,
    state: &MemberState,
) -> (ContainerState, Option<ContainerState>) {
    let last = state.last.as_ref().map(terminated);
    match &state.life {
        Life::Running(running) => {
            let running = ContainerState {
                running: Some(ContainerStateRunning { started_at: Some(time(running.started)) }),
                ..ContainerState::default()
            };
            (running, last)
        }
        Life::Ended(ended) => {
            let waits = state.waiting.as_ref();
            match waits.filter(|_| will_restart(pod, member, seen)) {
                Some(reason) => (waiting(reason), Some(terminated(ended))),
                None => (terminated(ended), last),
            }
        }
        Life::Never | Life::Pulling | Life::Starting => {
            let default = default_waiting(pod);
            let reason = state.waiting.as_ref().unwrap_or(&default);
            (waiting(reason), last)
        }
    }
}

fn default_waiting(pod: &Pod) -> Reason {
    let inits = spec(pod).init_containers.as_ref();
    match inits.is_some_and(|list| !list.is_empty()) {
        true => Reason::new("PodInitializing", ""),
        false => Reason::new("ContainerCreating", ""),
    }
}

fn waiting(reason: &Reason) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.reason.clone()),
            message: Some(reason.message.clone()).filter(|message| !message.is_empty()),
        }),
        ..ContainerState::default()
    }
}

fn terminated(ended: &Ended) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            container_id: Some(container_id(&ended.run.id)),
            exit_code: ended.code,
            signal: None,
            reason: Some(ended.reason.clone()),
            message: ended.message.clone(),
            started_at: Some(time(ended.started.unwrap_or(SystemTime::UNIX_EPOCH))),
            finished_at: Some(time(ended.finished)),
        }),
        ..ContainerState::default()
    }
}

/// The message of a container that waits out its crash back-off.
pub fn crash_loop(id: &PodId, container: &str, delay: std::time::Duration) -> Reason {
    Reason::new(
        "CrashLoopBackOff",
        format!("back-off {} restarting failed container={container} pod={}", go_duration(delay), id.long()),
    )
}

/// A duration as Go writes it, whole seconds: `10s`, `1m20s`, `5m0s`.
pub fn go_duration(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// The strategic-merge patch that makes `after` of `before`, for exactly this pod and no later one of its name.
pub fn patch(uid: &str, before: &PodStatus, after: &PodStatus) -> Value {
    let as_value = |status| serde_json::to_value(status).unwrap_or(Value::Null);
    let (old, mut new) = (as_value(before), as_value(after));
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object_mut()) {
        for key in old.keys() {
            if OWNED.contains(&key.as_str()) && !new.contains_key(key) {
                new.insert(key.clone(), Value::Null);
            }
        }
        // Conditions merge by type; a reason that is over must go.
        for condition in new.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            for key in ["reason", "message"] {
                if let Value::Object(condition) = condition {
                    condition.entry(key).or_insert(Value::Null);
                }
            }
        }
        for key in ["podIPs", "hostIPs"] {
            // These lists merge by address; an address that is gone must go.
            let (Some(was), Some(Value::Array(is))) = (old.get(key), new.get_mut(key)) else {
                continue;
            };
            if *was != Value::Array(is.clone()) {
                is.insert(0, json!({"$patch": "replace"}));
            }
        }
    }
    json!({"metadata": {"uid": uid}, "status": new})
}

/// The part of a status that is the node agent's own, in the form in which it writes it: what it compares with.
pub fn own(status: &PodStatus) -> PodStatus {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let conditions: Vec<_> = OWN_CONDITIONS
        .iter()
        .filter_map(|kind| conditions.iter().find(|condition| condition.type_ == *kind).cloned())
        .collect();
    let mut init = status.init_container_statuses.clone();
    let mut apps = status.container_statuses.clone();
    let mut ephemeral = status.ephemeral_container_statuses.clone();
    for old in [&mut init, &mut apps, &mut ephemeral].into_iter().flatten().flatten() {
        // The API keeps an empty last state as absent.
        old.last_state.get_or_insert_default();
    }
    PodStatus {
        phase: status.phase.clone(),
        reason: status.reason.clone(),
        message: status.message.clone(),
        conditions: (!conditions.is_empty()).then_some(conditions),
        container_statuses: apps,
        init_container_statuses: init,
        ephemeral_container_statuses: ephemeral,
        host_ip: status.host_ip.clone(),
        host_ips: status.host_ips.clone(),
        pod_ip: status.pod_ip.clone(),
        pod_ips: status.pod_ips.clone(),
        qos_class: status.qos_class.clone(),
        start_time: status.start_time.clone(),
        observed_generation: status.observed_generation,
        ..PodStatus::default()
    }
}

/// Conditions whose times are the node agent's own, in its order.
pub const OWN_CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

/// Top-level status fields that nobody but the node agent writes.
const OWNED: [&str; 12] = [
    "phase",
    "reason",
    "message",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
    "hostIP",
    "hostIPs",
    "podIP",
    "podIPs",
    "qosClass",
    "observedGeneration",
];

#[cfg(test)]
mod tests;
