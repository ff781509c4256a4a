//! The phase and the conditions of a pod.
//!
//! In: the pod's words, what is observed. Out: Kubernetes' phase, conditions and their reasons. Pure.

use std::time::SystemTime;

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::observed::{Life, Observed, Over, Reason, SandboxState};
use super::plan::{completed, past_deadline};
use super::{Role, members, restarts, spec};
use crate::port::Mono;

/// A pod's phase, by Kubernetes' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not every container has been started.
    Pending,
    /// Something runs or will run again.
    Running,
    /// Every container ended with code 0, for good.
    Succeeded,
    /// Every container ended, for good, and one badly.
    Failed,
}

impl Phase {
    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Running => "Running",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
        }
    }

    /// Nothing comes after it.
    pub fn terminal(self) -> bool {
        matches!(self, Phase::Succeeded | Phase::Failed)
    }
}

/// A pod's phase.
pub fn phase(pod: &Pod, seen: &Observed, now: Mono) -> Phase {
    if let Some(over) = seen.over {
        return match over {
            Over::Succeeded => Phase::Succeeded,
            Over::Failed => Phase::Failed,
        };
    }
    let alive = seen.any_alive();
    // What still runs may hold what the next one needs: the pod has not failed before it is over.
    if !alive && (seen.verdict.is_some() || past_deadline(seen, now)) {
        return Phase::Failed;
    }
    let leaving = seen.removed || pod.metadata.deletion_timestamp.is_some();
    if !alive && (leaving || completed(pod, seen)) {
        let well = members(pod).iter().filter(|member| member.role != Role::Sidecar).all(|member| {
            let state = seen.member(&member.container.name);
            state.ended().is_some_and(|ended| ended.code == 0)
        });
        return if well { Phase::Succeeded } else { Phase::Failed };
    }
    let begun = |role: Role| {
        members(pod)
            .into_iter()
            .filter(move |member| member.role == role)
            .map(|member| seen.member(&member.container.name))
    };
    let initialized = begun(Role::Init).all(|s| s.ended().is_some_and(|ended| ended.code == 0));
    let all_begun = begun(Role::App).all(|state| match &state.life {
        Life::Running(_) | Life::Ended(_) => true,
        Life::Never | Life::Pulling | Life::Starting => state.last.is_some(),
    });
    if initialized && all_begun { Phase::Running } else { Phase::Pending }
}

/// Why the pod as a whole is as it is, if there is more to say than the phase.
pub fn reason(seen: &Observed, now: Mono) -> Option<Reason> {
    seen.verdict.clone().or_else(|| {
        past_deadline(seen, now)
            .then(|| Reason::new("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"))
    })
}

/// The conditions that the node agent owns; those of others stay as they are in the API. Times stay where the status
/// stays.
pub fn conditions(
    pod: &Pod,
    seen: &Observed,
    phase: Phase,
    before: &[PodCondition],
    wall: SystemTime,
) -> Vec<PodCondition> {
    let generation = pod.metadata.generation;
    let containers_ready = containers_ready(pod, seen, phase);
    let own = [
        (
            "PodReadyToStartContainers",
            match seen.sandbox {
                SandboxState::Ready(_) => Ok(()),
                _ => Err(None),
            },
        ),
        ("Initialized", initialized(pod, seen, phase)),
        ("Ready", ready(pod, before, containers_ready.clone())),
        ("ContainersReady", containers_ready),
    ];
    let mut all = Vec::with_capacity(own.len() + 1);
    for (kind, verdict) in own {
        let status = if verdict.is_ok() { "True" } else { "False" };
        let reason = verdict.err().flatten();
        let old = before.iter().find(|condition| condition.type_ == kind);
        let since = old
            .filter(|condition| condition.status == status)
            .and_then(|condition| condition.last_transition_time.clone());
        all.push(PodCondition {
            type_: kind.into(),
            status: status.into(),
            last_transition_time: Some(since.unwrap_or_else(|| time(wall))),
            last_probe_time: None,
            reason: reason.as_ref().map(|reason| reason.reason.clone()),
            message: reason.map(|reason| reason.message),
            observed_generation: generation,
        });
    }
    all
}

type Verdict = Result<(), Option<Reason>>;

fn completed_reason() -> Option<Reason> {
    Some(Reason::new("PodCompleted", ""))
}

fn initialized(pod: &Pod, seen: &Observed, phase: Phase) -> Verdict {
    let apps_begun = members(pod).iter().any(|member| {
        let state = seen.member(&member.container.name);
        member.role == Role::App && (state.life != Life::Never || state.last.is_some())
    });
    let missing: Vec<&str> = members(pod)
        .iter()
        .filter(|member| {
            let state = seen.member(&member.container.name);
            match member.role {
                Role::App | Role::Ephemeral => false,
                Role::Init => state.ended().is_none_or(|ended| ended.code != 0),
                Role::Sidecar => !(state.started() || apps_begun),
            }
        })
        .map(|member| member.container.name.as_str())
        .collect();
    if missing.is_empty() || phase == Phase::Succeeded {
        return Ok(());
    }
    Err(Some(Reason::new(
        "ContainersNotInitialized",
        format!("containers with incomplete status: [{}]", missing.join(" ")),
    )))
}

fn containers_ready(pod: &Pod, seen: &Observed, phase: Phase) -> Verdict {
    match phase {
        Phase::Succeeded => return Err(completed_reason()),
        Phase::Failed => return Err(Some(Reason::new("PodFailed", ""))),
        Phase::Pending | Phase::Running => {}
    }
    let unready: Vec<&str> = members(pod)
        .iter()
        .filter(|member| member.role != Role::Init)
        .filter(|member| !seen.member(&member.container.name).ready())
        .map(|member| member.container.name.as_str())
        .collect();
    if unready.is_empty() {
        return Ok(());
    }
    Err(Some(Reason::new("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))))
}

fn ready(pod: &Pod, before: &[PodCondition], containers: Verdict) -> Verdict {
    containers?;
    let missing: Vec<String> = spec(pod)
        .readiness_gates
        .iter()
        .flatten()
        .filter_map(|gate| {
            let name = &gate.condition_type;
            match before.iter().find(|condition| condition.type_ == *name) {
                None => Some(format!("corresponding condition of pod readiness gate \"{name}\" does not exist.")),
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{name}\" is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Some(Reason::new("ReadinessGatesNotReady", missing.join(", "))))
}

/// Wall time in Kubernetes' form: whole seconds, UTC.
pub fn time(wall: SystemTime) -> Time {
    let seconds = wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// Kubernetes' time as wall time; before 1970 is 1970.
pub fn wall(time: &Time) -> SystemTime {
    let seconds = u64::try_from(time.0.as_second()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds)
}

/// How a pod that has ended for good ended; `None` while it has not.
pub fn over(pod: &Pod, seen: &Observed, now: Mono) -> Option<Over> {
    match phase(pod, seen, now) {
        Phase::Succeeded => Some(Over::Succeeded),
        Phase::Failed => Some(Over::Failed),
        Phase::Pending | Phase::Running => None,
    }
}

/// Whether a member that ended waits to be started again.
pub fn will_restart(pod: &Pod, member: super::Member<'_>, seen: &Observed) -> bool {
    seen.over.is_none()
        && seen.verdict.is_none()
        && !seen.removed
        && pod.metadata.deletion_timestamp.is_none()
        && seen.member(&member.container.name).ended().is_some_and(|ended| restarts(pod, member, ended.code))
}
