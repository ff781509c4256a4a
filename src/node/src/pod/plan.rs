//! Decides what a pod needs next.
//!
//! In: the pod's words, what is observed, the monotonic time. Out: steps, in order; none means settled. No I/O, no clock,
//! no memory: the same state gives the same steps. An act that is on its way shows in the state, so it is not asked for
//! twice.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::observed::{Clearing, Hook, Life, Observed, Prep, Reason, SandboxState};
use super::{Member, Role, ephemeral, fingerprint, grace, members, restarts, spec};
use crate::disk::EVICTED;
use crate::port::Mono;

/// One act, or a wait.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make the volumes.
    PrepareVolumes,
    /// Make the namespaces and join the network.
    MakeSandbox,
    /// Start this container.
    Start(String),
    /// Ask this container to end.
    Stop(Stop),
    /// Kill this container: its grace is over.
    Kill(String),
    /// Give up getting this container's image.
    Abandon(String),
    /// Leave the network and remove the namespaces.
    RemoveSandbox,
    /// Remove volumes, files and logs.
    Clear,
    /// Remove the object from the API: everything else is done.
    Delete,
    /// Forget the pod: its object is gone and so is everything here.
    Forget,
    /// Look again then.
    WakeAt(Mono),
}

/// A container to be stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// Which.
    pub name: String,
    /// What the Killing event says.
    pub message: String,
    /// What the ended state says, if more than the exit code.
    pub reason: Option<Reason>,
    /// How long it may take.
    pub grace: Duration,
    /// Whether its preStop hook runs.
    pub hook: bool,
}

/// The steps that bring the machine nearer to the pod's words.
pub fn plan(pod: &Pod, seen: &Observed, now: Mono) -> Vec<Step> {
    let mut steps = Vec::new();
    overdue(seen, now, &mut steps);
    match course(pod, seen, now) {
        Course::Leave => leave(pod, seen, now, &mut steps),
        Course::End => end(pod, seen, now, &mut steps),
        Course::Run => run(pod, seen, now, &mut steps),
    }
    steps
}

/// Where the pod is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Everything is to be made and kept running.
    Run,
    /// It ended for good; its object and logs stay.
    End,
    /// It is deleted: nothing stays.
    Leave,
}

fn course(pod: &Pod, seen: &Observed, now: Mono) -> Course {
    if seen.removed || pod.metadata.deletion_timestamp.is_some() {
        Course::Leave
    } else if seen.verdict.is_some() || past_deadline(seen, now) || completed(pod, seen) {
        Course::End
    } else {
        Course::Run
    }
}

/// Whether the active deadline is over.
pub fn past_deadline(seen: &Observed, now: Mono) -> bool {
    seen.deadline.is_some_and(|deadline| deadline <= now)
}

/// Whether every container has ended and none is to be started again.
pub fn completed(pod: &Pod, seen: &Observed) -> bool {
    if seen.over.is_some() {
        return true;
    }
    let over = |member: &Member<'_>| {
        seen.member(&member.container.name).ended().is_some_and(|ended| !restarts(pod, *member, ended.code))
    };
    let members = members(pod);
    let init_failed = members
        .iter()
        .filter(|member| member.role == Role::Init)
        .any(|member| over(member) && seen.member(&member.container.name).ended().is_some_and(|ended| ended.code != 0));
    let mut apps = members.iter().filter(|member| member.role == Role::App);
    init_failed || (members.iter().any(|m| m.role == Role::App) && apps.all(over))
}

/// Containers whose grace is over are killed; others are looked at again when theirs is.
fn overdue(seen: &Observed, now: Mono, steps: &mut Vec<Step>) {
    for (name, member) in &seen.members {
        let Some(stopping) = member.running().and_then(|r| r.stopping.as_ref()) else {
            continue;
        };
        if stopping.kill_at <= now {
            steps.push(Step::Kill(name.clone()));
        } else {
            steps.push(Step::WakeAt(stopping.kill_at));
        }
    }
}

fn run(pod: &Pod, seen: &Observed, now: Mono, steps: &mut Vec<Step>) {
    if let Some(deadline) = seen.deadline {
        steps.push(Step::WakeAt(deadline));
    }
    let volumes = prepare(&seen.volumes, Step::PrepareVolumes, now, steps);
    let sandbox = match &seen.sandbox {
        SandboxState::Absent => prepare(&Prep::Wanted, Step::MakeSandbox, now, steps),
        SandboxState::Failed { retry } => prepare(&Prep::Failed { retry: *retry }, Step::MakeSandbox, now, steps),
        SandboxState::Ready(_) => true,
        SandboxState::Making | SandboxState::Removing | SandboxState::Stuck { .. } | SandboxState::Gone => false,
    };
    stop_changed(pod, seen, steps);
    if !(volumes && sandbox) {
        return;
    }
    // One container starts at a time, and the next one only after its postStart hook.
    let busy = seen.members.values().any(|member| match &member.life {
        Life::Pulling | Life::Starting => true,
        Life::Running(running) => running.hook == Hook::Pending && running.stopping.is_none(),
        Life::Never | Life::Ended(_) => false,
    });
    let mut starter = Starter { seen, now, busy, steps };
    // Ephemeral ones first: they are there to see why the others are not, so they wait for nobody.
    for one in ephemeral(pod) {
        if seen.member(&one.name).life == Life::Never {
            starter.start(&one.name);
        }
    }
    for member in members(pod) {
        let state = seen.member(&member.container.name);
        let passed = match (member.role, &state.life) {
            (Role::Init, Life::Ended(ended)) => {
                ended.code == 0 || {
                    starter.start(&member.container.name);
                    false
                }
            }
            (Role::Init, Life::Never) => {
                starter.start(&member.container.name);
                false
            }
            (Role::Init, Life::Pulling | Life::Starting | Life::Running(_)) => false,
            (Role::Sidecar, Life::Never) => {
                starter.start(&member.container.name);
                false
            }
            (Role::Sidecar, Life::Ended(_)) => {
                starter.start(&member.container.name);
                // Once the apps have been started they do not wait for a sidecar that comes again.
                apps_begun(pod, seen)
            }
            (Role::Sidecar, Life::Pulling | Life::Starting | Life::Running(_)) => {
                state.started() || apps_begun(pod, seen)
            }
            (Role::App, Life::Never) => {
                starter.start(&member.container.name);
                true
            }
            (Role::App, Life::Ended(ended)) => {
                if restarts(pod, member, ended.code) {
                    starter.start(&member.container.name);
                }
                true
            }
            (Role::App, Life::Pulling | Life::Starting | Life::Running(_)) => true,
            // They are none of `members`.
            (Role::Ephemeral, _) => true,
        };
        if !passed {
            return;
        }
    }
}

struct Starter<'a> {
    seen: &'a Observed,
    now: Mono,
    busy: bool,
    steps: &'a mut Vec<Step>,
}

impl Starter<'_> {
    fn start(&mut self, name: &str) {
        match self.seen.member(name).retry {
            Some(retry) if retry > self.now => self.steps.push(Step::WakeAt(retry)),
            _ if self.busy => {}
            _ => {
                self.busy = true;
                self.steps.push(Step::Start(name.to_owned()));
            }
        }
    }
}

fn apps_begun(pod: &Pod, seen: &Observed) -> bool {
    members(pod).iter().any(|member| {
        let state = seen.member(&member.container.name);
        member.role == Role::App && (state.life != Life::Never || state.waiting.is_some())
    })
}

fn prepare(state: &Prep, step: Step, now: Mono, steps: &mut Vec<Step>) -> bool {
    match state {
        Prep::Done => return true,
        Prep::Wanted => steps.push(step),
        Prep::Failed { retry } if *retry <= now => steps.push(step),
        Prep::Failed { retry } => steps.push(Step::WakeAt(*retry)),
        Prep::Working => {}
    }
    false
}

/// A running container whose words have changed is stopped, to be started anew by its restart policy.
fn stop_changed(pod: &Pod, seen: &Observed, steps: &mut Vec<Step>) {
    for member in members(pod) {
        let name = &member.container.name;
        let Some(running) = seen.member(name).running() else {
            continue;
        };
        if running.stopping.is_none() && running.run.fingerprint != fingerprint(member.container) {
            steps.push(Step::Stop(Stop {
                name: name.clone(),
                message: format!("Container {name} definition changed, will be restarted"),
                reason: None,
                grace: grace(pod),
                hook: true,
            }));
        }
    }
}

/// Ended for good: what still runs is stopped, then the sandbox goes.
fn end(pod: &Pod, seen: &Observed, now: Mono, steps: &mut Vec<Step>) {
    let evicted = seen.verdict.as_ref().is_some_and(|reason| reason.reason == EVICTED);
    let grace = if evicted { grace(pod).min(LEAST_GRACE) } else { grace(pod) };
    if stop_all(pod, seen, grace, now, steps) {
        return;
    }
    remove_sandbox(seen, now, steps);
}

/// Deleted: stop, remove, clear, and then say so.
fn leave(pod: &Pod, seen: &Observed, now: Mono, steps: &mut Vec<Step>) {
    if stop_all(pod, seen, leave_grace(pod, seen), now, steps) {
        return;
    }
    if !remove_sandbox(seen, now, steps) {
        return;
    }
    match &seen.cleared {
        Clearing::No if seen.volumes == Prep::Working => {}
        Clearing::No => steps.push(Step::Clear),
        Clearing::Working => {}
        Clearing::Failed { retry } if *retry <= now => steps.push(Step::Clear),
        Clearing::Failed { retry } => steps.push(Step::WakeAt(*retry)),
        Clearing::Done if seen.removed => steps.push(Step::Forget),
        Clearing::Done if seen.told => steps.push(Step::Delete),
        Clearing::Done => {}
    }
}

/// Who deletes a pod's object by force does not want to wait: its containers have a moment and no more.
fn leave_grace(pod: &Pod, seen: &Observed) -> Duration {
    match (seen.removed, &pod.metadata.deletion_timestamp) {
        (true, None) => grace(pod).min(LEAST_GRACE),
        _ => grace(pod),
    }
}

/// What a sidecar has at least, and what is left after a forced deletion and to the evicted, as in Kubernetes.
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Stops what lives; sidecars go after all others, last started first. True while something lives.
fn stop_all(pod: &Pod, seen: &Observed, grace: Duration, now: Mono, steps: &mut Vec<Step>) -> bool {
    let own = members(pod).into_iter().map(|member| (member.role, &member.container.name));
    let all: Vec<(Role, &String)> = own.chain(ephemeral(pod).iter().map(|one| (Role::Ephemeral, &one.name))).collect();
    let alive = |(_, name): &&(Role, &String)| seen.member(name).alive();
    let others: Vec<_> = all.iter().filter(|(role, _)| *role != Role::Sidecar).filter(alive).collect();
    let last_sidecar = all.iter().rev().filter(|(role, _)| *role == Role::Sidecar).find(alive);
    let now_stopping = if others.is_empty() { last_sidecar.into_iter().collect() } else { others };
    for (role, name) in now_stopping {
        let grace = match (role, seen.leaving_since) {
            // Sidecars have what the others have left of the pod's grace.
            (Role::Sidecar, Some(since)) => grace.saturating_sub(now.saturating_sub(since)).max(LEAST_GRACE),
            _ => grace,
        };
        let running = match &seen.member(name).life {
            Life::Running(running) => running,
            Life::Pulling => {
                steps.push(Step::Abandon((*name).clone()));
                continue;
            }
            // Its start is on its way; it is stopped when it is through.
            Life::Never | Life::Starting | Life::Ended(_) => continue,
        };
        match &running.stopping {
            None => steps.push(Step::Stop(Stop {
                name: (*name).clone(),
                message: format!("Stopping container {name}"),
                reason: None,
                grace,
                hook: true,
            })),
            // A shorter grace than the one under way takes its place.
            Some(stopping) if pod.metadata.deletion_timestamp.is_some() => {
                if stopping.kill_at > now + grace {
                    steps.push(Step::Stop(Stop {
                        name: (*name).clone(),
                        message: format!("Stopping container {name}"),
                        reason: stopping.reason.clone(),
                        grace,
                        hook: false,
                    }));
                }
            }
            Some(_) => {}
        }
    }
    // A container that is no longer in the words of the pod cannot be: its list never changes.
    seen.any_alive()
}

/// True once it is gone.
fn remove_sandbox(seen: &Observed, now: Mono, steps: &mut Vec<Step>) -> bool {
    match &seen.sandbox {
        _ if !seen.burying.is_empty() => {}
        SandboxState::Gone => return true,
        SandboxState::Making | SandboxState::Removing => {}
        SandboxState::Stuck { retry } if *retry > now => steps.push(Step::WakeAt(*retry)),
        SandboxState::Absent | SandboxState::Ready(_) | SandboxState::Failed { .. } | SandboxState::Stuck { .. } => {
            steps.push(Step::RemoveSandbox)
        }
    }
    false
}

/// The deadline of a pod taken up at `taken_ago` before `now`.
pub fn deadline(pod: &Pod, taken_ago: Duration, now: Mono) -> Option<Mono> {
    let seconds = spec(pod).active_deadline_seconds?;
    let all = Duration::from_secs(seconds.max(0) as u64);
    Some(now + all.saturating_sub(taken_ago))
}

#[cfg(test)]
mod tests;
