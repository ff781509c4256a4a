//! What a worker must not forget when the daemon is killed: a small file in the pod's folder.
//!
//! In: the observed state. Out: a checkpoint, written by rename, and back. The runtime is the truth about what lives;
//! the checkpoint only says which container is which run of what. Lost or torn, it counts as absent.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use kedge_api::machine::{ContainerState, ContainerStatus, Sandbox};
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::observed::{
    Ended, Hook, Life, MemberState, Observed, Over, Prep, Reason, Run, Running, SandboxFacts, SandboxState,
};
use super::phase::wall;
use super::plan::completed;
use super::status::container_id;
use super::{Role, everyone, members, restarts};
use crate::port::Mono;
use crate::probe::{Before, Probes};

/// The checkpoint of one pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was first taken up.
    pub taken: Option<SystemTime>,
    /// It ended for good.
    pub over: Option<Over>,
    /// Why it failed as a whole.
    pub verdict: Option<Reason>,
    /// Its sandbox.
    pub sandbox: Option<SandboxFacts>,
    /// Its containers.
    pub members: BTreeMap<String, MemberRecord>,
}

/// The checkpoint of one container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MemberRecord {
    restarts: u32,
    next_attempt: u32,
    /// A run that was about to be made, was made or runs.
    run: Option<Run>,
    /// It was seen to run.
    ran: bool,
    ended: Option<Ended>,
    last: Option<Ended>,
    delay: Option<Duration>,
    image_id: String,
}

impl Record {
    /// The checkpoint of an observation.
    pub fn of(seen: &Observed) -> Self {
        Self {
            taken: seen.taken,
            over: seen.over,
            verdict: seen.verdict.clone(),
            sandbox: match &seen.sandbox {
                SandboxState::Ready(facts) => Some(facts.clone()),
                _ => None,
            },
            members: seen.members.iter().map(|(name, state)| (name.clone(), MemberRecord::of(state))).collect(),
        }
    }

    /// The checkpoint in a pod's folder, if it is whole.
    pub fn load(file: &Path) -> Option<Self> {
        let bytes = std::fs::read(file).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(|error| tracing::warn!(?file, %error, "checkpoint is torn; taken as absent"))
            .ok()
    }

    /// Writes it, by rename.
    pub fn save(&self, file: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        let beside = file.with_extension("new");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, file)
    }
}

impl MemberRecord {
    fn of(state: &MemberState) -> Self {
        let running = state.running();
        Self {
            restarts: state.restarts,
            next_attempt: state.next_attempt,
            run: running.map(|running| running.run.clone()).or_else(|| state.intent.clone()),
            ran: running.is_some(),
            ended: state.ended().map(Ended::timeless),
            last: state.last.as_ref().map(Ended::timeless),
            delay: state.backoff.delay(),
            image_id: state.image_id.clone(),
        }
    }
}

/// What is known of a pod when its worker begins, and what it must clean up first.
pub struct Adopted {
    /// The state to go on from.
    pub seen: Observed,
    /// Containers of this pod that belong to no run of it: to be removed.
    pub strays: Vec<String>,
    /// Containers that ended while nobody looked: their last words are to be read, then they are removed.
    pub ended: Vec<String>,
    /// The sandbox is lost while containers had run in it: everything starts again.
    pub sandbox_lost: bool,
}

/// Puts together the checkpoint, the runtime's report and the pod's status in the API.
pub fn adopt(
    pod: &Pod,
    record: Option<Record>,
    containers: &[ContainerStatus],
    sandboxes: &[Sandbox],
    (wall_now, now): (SystemTime, Mono),
) -> Adopted {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let mine: Vec<&ContainerStatus> = containers.iter().filter(|c| c.pod_uid == uid).collect();
    let Some(record) = record else {
        return Adopted {
            seen: from_status(pod, wall_now),
            strays: mine.iter().map(|container| container.id.clone()).collect(),
            ended: Vec::new(),
            sandbox_lost: false,
        };
    };
    let mut seen = Observed {
        taken: record.taken.or(Some(wall_now)),
        over: record.over.or_else(|| over_in_status(pod)),
        verdict: record.verdict,
        ..Observed::default()
    };
    let mut known = Vec::new();
    let mut ended = Vec::new();
    for found in everyone(pod) {
        let member = found.member();
        let name = &member.container.name;
        let Some(kept) = record.members.get(name) else {
            continue;
        };
        let mut state = MemberState {
            restarts: kept.restarts,
            next_attempt: kept.next_attempt,
            last: kept.last.clone(),
            backoff: Backoff::grown(kept.delay, now),
            image_id: kept.image_id.clone(),
            ..MemberState::default()
        };
        if let Some(run) = &kept.run {
            let found = mine.iter().find(|container| container.id == run.id);
            known.push(run.id.clone());
            match found.map(|container| &container.state) {
                Some(ContainerState::Running { started, .. }) => {
                    state.restarts = run.attempt;
                    state.next_attempt = run.attempt + 1;
                    state.probes = Probes::resume(member.container, now, before(pod, name, &run.id));
                    state.life = Life::Running(Running {
                        run: run.clone(),
                        started: *started,
                        since: now,
                        hook: Hook::Done,
                        stopping: None,
                    });
                }
                Some(ContainerState::Exited(exit)) => {
                    state.restarts = run.attempt;
                    state.end(Ended::of(run.clone(), exit, now));
                    ended.push(name.clone());
                }
                // Made but never started: as if it had not been.
                Some(ContainerState::Created) => known.retain(|id| *id != run.id),
                None if !kept.ran => {}
                Some(ContainerState::Lost) | None => {
                    state.restarts = run.attempt;
                    state.end(Ended::lost(run.clone(), wall_now, now));
                    ended.push(name.clone());
                }
            }
        } else if let Some(end) = &kept.ended {
            state.life = Life::Ended(Ended { seen: now, ..end.clone() });
        }
        seen.members.insert(name.clone(), state);
    }
    let mut sandbox_lost = false;
    if let Some(facts) = record.sandbox {
        if sandboxes.iter().any(|sandbox| sandbox.pod_uid == uid) {
            seen.sandbox = SandboxState::Ready(facts);
        } else if seen.over.is_none() && !completed(pod, &seen) {
            sandbox_lost = true;
            for (name, state) in &mut seen.members {
                // A process that lives on without its namespaces is of no use.
                if let Life::Running(running) = &state.life {
                    let run = running.run.clone();
                    state.end(Ended::lost(run, wall_now, now));
                    ended.push(name.clone());
                }
            }
            begin_again(pod, &mut seen);
        }
    }
    if seen.over.is_some() {
        seen.volumes = Prep::Done;
    }
    let strays = mine.iter().map(|container| container.id.clone()).filter(|id| !known.contains(id)).collect();
    Adopted { seen, strays, ended, sandbox_lost }
}

/// Whether the API's status had this very run started and ready.
fn before(pod: &Pod, name: &str, run: &str) -> Before {
    let status = pod.status.as_ref();
    let lists = [
        status.and_then(|status| status.container_statuses.as_ref()),
        status.and_then(|status| status.init_container_statuses.as_ref()),
    ];
    let id = container_id(run);
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|old| old.name == name && old.container_id.as_ref() == Some(&id))
        .map_or_else(Before::default, |old| Before { started: old.started == Some(true), ready: old.ready })
}

/// After the loss of the sandbox: init containers run again, and every other that is to run starts anew.
pub fn begin_again(pod: &Pod, seen: &mut Observed) {
    for member in members(pod) {
        let Some(state) = seen.members.get_mut(&member.container.name) else {
            continue;
        };
        let stays = |ended: &Ended| member.role == Role::App && !restarts(pod, member, ended.code);
        if let Life::Ended(ended) = &state.life
            && !stays(ended)
        {
            state.last = Some(ended.clone());
            state.life = Life::Never;
            state.retry = None;
        }
    }
}

/// Without a checkpoint, the API's status tells how far the pod had come.
fn from_status(pod: &Pod, wall_now: SystemTime) -> Observed {
    let mut seen = Observed { over: over_in_status(pod), ..Observed::default() };
    let Some(status) = &pod.status else {
        seen.taken = Some(wall_now);
        return seen;
    };
    seen.taken = Some(status.start_time.as_ref().map_or(wall_now, wall));
    let lists = [&status.container_statuses, &status.init_container_statuses];
    for old in lists.into_iter().flatten().flatten() {
        let restarts = u32::try_from(old.restart_count).unwrap_or(0);
        let ran = old.container_id.as_ref().is_some_and(|id| !id.is_empty());
        let state = seen.member_mut(&old.name);
        state.restarts = restarts;
        state.next_attempt = if ran { restarts + 1 } else { restarts };
        state.image_id = old.image_id.clone();
    }
    for old in status.ephemeral_container_statuses.iter().flatten() {
        // Started once is started for good.
        if let Some(ended) = ended_in_status(old, wall_now) {
            seen.member_mut(&old.name).end(ended);
        }
    }
    if seen.over.is_some() {
        // Nothing of it is here; what its status says of its containers must stay.
        seen.told = true;
    }
    seen
}

/// How a container ended that the API's status knows and nobody here does.
fn ended_in_status(old: &k8s_openapi::api::core::v1::ContainerStatus, wall_now: SystemTime) -> Option<Ended> {
    let id = old.container_id.as_deref().filter(|id| !id.is_empty())?;
    let id = id.split_once("://").map_or(id, |(_, id)| id).to_owned();
    let run = Run { id, attempt: 0, fingerprint: 0, image_id: old.image_id.clone(), stop_signal: 15 };
    let mut ended = Ended::lost(run, wall_now, Mono::ZERO);
    if let Some(told) = old.state.as_ref().and_then(|state| state.terminated.as_ref()) {
        ended.code = told.exit_code;
        ended.reason = told.reason.clone().unwrap_or_default();
        ended.message = told.message.clone();
        ended.started = told.started_at.as_ref().map(wall);
        ended.finished = told.finished_at.as_ref().map_or(wall_now, wall);
    }
    Some(ended)
}

fn over_in_status(pod: &Pod) -> Option<Over> {
    match pod.status.as_ref()?.phase.as_deref()? {
        "Succeeded" => Some(Over::Succeeded),
        "Failed" => Some(Over::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
