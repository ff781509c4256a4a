//! What the outcomes of acts and events mean for a pod's state.

use std::time::Duration;

use kedge_api::machine::Exit;

use super::{Done, Worker, pause, stuck};
use crate::acts::{self, Launched, Prepared};
use crate::disk::{Used, exceeded};
use crate::events::Level;
use crate::metrics::Metrics;
use crate::pod::observed::{Clearing, Ended, Hook, Life, Prep, Reason, Running, SandboxState};
use crate::pod::plan::Stop;
use crate::pod::status::crash_loop;
use crate::pod::{grace, member};
use crate::port::{ApiFault, Mono};
use crate::probe::{Outcome, ProbeKind, Probes};
use crate::volume::effects::VolumeFault;

/// A pull's failure shows as itself for so long, and then as a back-off.
const SOFTEN: Duration = Duration::from_secs(2);
/// A container that could not be configured is tried again after this long, as in Kubernetes.
const CONFIG_RETRY: Duration = Duration::from_secs(10);
/// What a container has left after its preStop hook has used up the grace, as in Kubernetes.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// Measuring what a pod keeps on disk takes at most a twentieth of the time.
const REST: u32 = 19;
/// Exits that are kept for starts that have not answered: one for each container of a pod, and more.
const EARLY: usize = 64;

impl Worker {
    /// After a restart of the daemon, or at first sight.
    pub(super) fn after_adoption(&mut self, strays: Vec<String>, ended: &[String], sandbox_lost: bool, known: bool) {
        if let Some(verdict) = self.seen.verdict.clone() {
            self.tell(Level::Warning, &verdict.reason, verdict.message);
        }
        if sandbox_lost {
            self.tell(Level::Normal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
        }
        for name in ended {
            // What the runtime still has of them goes; their words are read first.
            let Some(last) = self.ended_of(name) else {
                continue;
            };
            let (run_id, exit) = (last.run.id.clone(), exit_of(&last));
            self.bury(name.clone(), run_id, exit);
        }
        for id in strays {
            self.seen.burying.insert(id.clone());
            self.forget_run(id);
        }
        self.resume_back_offs();
        if known && self.seen.over.is_none() {
            tracing::debug!(pod = self.id.long(), "taken up again from its checkpoint");
        }
        self.announced = self.seen.members.values().any(|state| state.running().is_some());
    }

    /// A container that waited out a back-off when the daemon went waits for the rest of it.
    fn resume_back_offs(&mut self) {
        let (wall, now) = (self.shared.clock.wall(), self.shared.clock.mono());
        let waiting: Vec<(String, Duration, Duration)> = crate::pod::members(&self.pod)
            .into_iter()
            .filter(|member| crate::pod::phase::will_restart(&self.pod, *member, &self.seen))
            .filter_map(|member| {
                let name = &member.container.name;
                let state = self.seen.member(name);
                let (ended, delay) = (state.ended()?, state.backoff.delay()?);
                let elapsed = wall.duration_since(ended.finished).unwrap_or_default();
                let left = delay.saturating_sub(elapsed);
                (!left.is_zero()).then(|| (name.clone(), delay, left))
            })
            .collect();
        for (name, delay, left) in waiting {
            let reason = crash_loop(&self.id, &name, delay);
            let state = self.seen.member_mut(&name);
            state.retry = Some(now + left);
            state.waiting = Some(reason);
        }
    }

    fn ended_of(&self, name: &str) -> Option<Ended> {
        let state = self.seen.member(name);
        state.ended().or(state.last.as_ref()).cloned()
    }

    /// A container ended, says the runtime.
    pub(super) fn exited(&mut self, id: String, exit: Exit) {
        let owner = self
            .seen
            .members
            .iter()
            .find(|(_, state)| state.running().is_some_and(|running| running.run.id == id))
            .map(|(name, _)| name.clone());
        match owner {
            Some(name) => self.bury(name, id, exit),
            None if self.early.len() < EARLY => {
                self.early.insert(id, exit);
            }
            None => tracing::warn!(container = id, "an exit of an unknown container"),
        }
    }

    /// Reads a container's last words and lets the runtime forget it.
    fn bury(&mut self, name: String, id: String, exit: Exit) {
        let container = member(&self.pod, &name).map(|found| found.container.into_owned());
        let attempt = match &self.seen.member(&name).life {
            Life::Running(running) => running.run.attempt,
            _ => self.ended_of(&name).map_or(0, |ended| ended.run.attempt),
        };
        self.seen.burying.insert(id.clone());
        let (shared, pod_id) = (self.shared.clone(), self.id.clone());
        self.start(async move {
            let words = match container {
                Some(container) => {
                    let dirs = shared.dirs.clone();
                    acts::last_words(dirs, pod_id, container, attempt, exit.code != 0).await
                }
                None => None,
            };
            Done::Ended(name, id, exit, words)
        });
    }

    /// An act is through.
    pub(super) fn done(&mut self, done: Done) {
        let now = self.shared.clock.mono();
        match done {
            Done::Quiet | Done::Abandoned => {}
            Done::Volumes(Ok(prepared)) => {
                self.failures.volumes = 0;
                self.seen.volumes = Prep::Done;
                self.prepared(prepared);
            }
            Done::Volumes(Err(fault)) => {
                let retry = now + pause(self.failures.volumes);
                self.failures.volumes += 1;
                self.seen.volumes = Prep::Failed { retry };
                self.mount_failed(&fault);
            }
            Done::Refreshed(result) => {
                self.refreshing = false;
                match result {
                    Ok(prepared) => self.prepared(prepared),
                    Err(fault) => {
                        self.refresh_at = Some(now + pause(6));
                        self.mount_failed(&fault);
                    }
                }
            }
            Done::SourceChanged(reference, receiver) => {
                self.stale = true;
                self.follow(reference, receiver);
            }
            Done::Sandbox(Ok(facts)) => {
                self.failures.sandbox = 0;
                self.seen.sandbox = SandboxState::Ready(facts);
            }
            Done::Sandbox(Err(message)) => {
                let retry = now + pause(self.failures.sandbox);
                self.failures.sandbox += 1;
                self.seen.sandbox = SandboxState::Failed { retry };
                self.tell(Level::Warning, "FailedCreatePodSandBox", message);
            }
            Done::Unsandboxed(Ok(())) => {
                self.failures.sandbox = 0;
                self.seen.sandbox = SandboxState::Gone;
            }
            Done::Unsandboxed(Err(message)) => {
                self.seen.sandbox = stuck(now, self.failures.sandbox);
                self.failures.sandbox += 1;
                self.tell(Level::Warning, "FailedKillPod", format!("error killing pod: {message}"));
            }
            Done::Cleared(Ok(())) => self.seen.cleared = Clearing::Done,
            Done::Cleared(Err(message)) => {
                let retry = now + pause(self.failures.clear);
                self.failures.clear += 1;
                self.seen.cleared = Clearing::Failed { retry };
                self.tell(Level::Warning, "FailedUnMount", message);
            }
            Done::Image(name, result) => self.image(name, result, now),
            Done::Launched(name, launched) => self.launched(&name, launched, now),
            Done::Hooked(name, run_id, result) => self.hooked(&name, &run_id, result, now),
            Done::Signalled(name, run_id, known) => self.signalled(&name, &run_id, known, now),
            Done::Ended(name, run_id, exit, words) => self.ended(&name, &run_id, &exit, words, now),
            Done::Buried(run_id) => {
                self.seen.burying.remove(&run_id);
            }
            Done::Probed(name, run_id, kind, outcome) => {
                self.probed(&name, &run_id, kind, &outcome, now);
            }
            Done::Measured(used, took) => self.measured(&used, took, now),
            Done::Written(status, result) => self.status_written(*status, result, now),
            Done::Deleted(result) => self.deleted(result, now),
        }
    }

    fn prepared(&mut self, prepared: Prepared) {
        self.refresh_at = prepared.refresh_at;
        for reference in prepared.follow {
            if !self.followed.contains(&reference) {
                self.followed.push(reference.clone());
                let receiver = self.shared.sources.follow(&self.id.namespace, &reference);
                self.follow(reference, receiver);
            }
        }
    }

    fn follow(&mut self, reference: crate::container::env::SourceRef, mut receiver: tokio::sync::watch::Receiver<u64>) {
        self.start(async move {
            match receiver.changed().await {
                Ok(()) => Done::SourceChanged(reference, receiver),
                Err(_) => Done::Quiet,
            }
        });
    }

    fn mount_failed(&mut self, fault: &VolumeFault) {
        self.tell(Level::Warning, "FailedMount", fault.to_string());
    }

    fn image(&mut self, name: String, result: Result<kedge_api::machine::ImageInfo, Reason>, now: Mono) {
        self.pulls.remove(&name);
        if self.seen.member(&name).life != Life::Pulling {
            return;
        }
        match result {
            Ok(image) => {
                let state = self.seen.member_mut(&name);
                state.waiting = None;
                state.pull_backoff = Default::default();
                self.images.insert(name.clone(), image);
                self.launch(&name);
            }
            Err(reason) => {
                Metrics::count(&self.shared.metrics.container_start_errors);
                let text = format!("Error: {}", reason.reason);
                self.tell_of(&name, Level::Warning, "Failed", text);
                let state = self.seen.member_mut(&name);
                state.life = Life::Never;
                state.retry = Some(state.pull_backoff.failed(now));
                let pulled = ["ErrImagePull", "RegistryUnavailable"];
                if pulled.contains(&reason.reason.as_str()) {
                    self.soften.insert(name.clone(), now + SOFTEN);
                }
                self.seen.member_mut(&name).waiting = Some(reason);
            }
        }
    }

    fn launched(&mut self, name: &str, launched: Launched, now: Mono) {
        let wall = self.shared.clock.wall();
        let container = member(&self.pod, name).map(|found| found.container);
        let state = self.seen.member_mut(name);
        let Some(run) = state.intent.take() else {
            return;
        };
        match launched {
            Launched::Running(started) => {
                state.restarts = run.attempt;
                state.waiting = None;
                state.probes = match &container {
                    Some(container) => Probes::begin(container, now),
                    None => Probes::default(),
                };
                let id = run.id.clone();
                state.life = Life::Running(Running { run, started, since: now, hook: Hook::Done, stopping: None });
                if self.post_start(name, &id)
                    && let Life::Running(running) = &mut self.seen.member_mut(name).life
                {
                    running.hook = Hook::Pending;
                }
                if let Some(exit) = self.early.remove(&id) {
                    self.bury(name.to_owned(), id, exit);
                }
            }
            Launched::Refused(reason) => {
                Metrics::count(&self.shared.metrics.container_start_errors);
                state.life = Life::Never;
                state.retry = Some(now + CONFIG_RETRY);
                state.waiting = Some(reason);
            }
            Launched::NotStarted(message) => {
                Metrics::count(&self.shared.metrics.container_start_errors);
                state.restarts = run.attempt;
                let ended = Ended::not_started(run, message.clone(), wall, now);
                self.rest(name, ended, Some(Reason::new("RunContainerError", message)));
            }
        }
    }

    /// A container ended: when may it start again?
    fn rest(&mut self, name: &str, ended: Ended, waiting: Option<Reason>) {
        Metrics::count(&self.shared.metrics.container_exits);
        let state = self.seen.member_mut(name);
        let failed = ended.seen;
        state.end(ended);
        state.waiting = waiting;
        state.retry = state.backoff.until(failed);
        let delay = state.backoff.delay();
        let restarts = member(&self.pod, name)
            .is_some_and(|found| crate::pod::phase::will_restart(&self.pod, found.member(), &self.seen));
        let state = self.seen.member_mut(name);
        if let (Some(_), Some(delay), true) = (state.retry, delay, restarts) {
            state.waiting = Some(crash_loop(&self.id, name, delay));
            let text = format!("Back-off restarting failed container {name} in pod {}", self.id.long());
            self.tell_of(name, Level::Warning, "BackOff", text);
        }
    }

    fn ended(&mut self, name: &str, run_id: &str, exit: &Exit, words: Option<String>, now: Mono) {
        let state = self.seen.member_mut(name);
        let mine = match &state.life {
            Life::Running(running) if running.run.id == run_id => Some(running.clone()),
            _ => None,
        };
        if let Some(running) = mine {
            let mut ended = Ended::of(running.run, exit, now);
            ended.message = words;
            if let Some(reason) = running.stopping.and_then(|stopping| stopping.reason) {
                ended.reason = reason.reason;
            }
            self.rest(name, ended, None);
        } else {
            // Ended while the daemon was away: only its words are new.
            for ended in [
                match &mut state.life {
                    Life::Ended(ended) => Some(ended),
                    _ => None,
                },
                state.last.as_mut(),
            ]
            .into_iter()
            .flatten()
            .filter(|ended| ended.run.id == run_id)
            {
                ended.message = words.clone();
            }
        }
        self.forget_run(run_id.to_owned());
    }

    /// Has the runtime forget a run that is being buried; the pod's worker stays at least as long as that takes.
    fn forget_run(&mut self, id: String) {
        let shared = self.shared.clone();
        self.start(async move {
            if let Err(fault) = shared.runtime.remove(&id).await {
                tracing::warn!(%fault, container = id, "an ended container stays");
            }
            Done::Buried(id)
        });
    }

    fn hooked(&mut self, name: &str, run_id: &str, result: Result<(), String>, now: Mono) {
        let state = self.seen.member_mut(name);
        let Life::Running(running) = &mut state.life else {
            return;
        };
        if running.run.id != run_id {
            return;
        }
        running.hook = Hook::Done;
        let Err(said) = result else {
            return;
        };
        // What a command said may be secret: it is for the log, not for an Event.
        tracing::info!(pod = self.id.long(), container = name, said, "a postStart hook failed");
        self.tell_of(name, Level::Warning, "FailedPostStartHook", "PostStartHook failed");
        let stop = Stop {
            name: name.to_owned(),
            message: "FailedPostStartHook".into(),
            reason: None,
            grace: grace(&self.pod),
            hook: false,
        };
        self.stop(stop, now);
    }

    fn signalled(&mut self, name: &str, run_id: &str, known: bool, now: Mono) {
        let wall = self.shared.clock.wall();
        let Life::Running(running) = &mut self.seen.member_mut(name).life else {
            return;
        };
        if running.run.id != run_id {
            return;
        }
        if known {
            if let Some(stopping) = &mut running.stopping {
                stopping.kill_at = stopping.kill_at.max(now + LEAST_GRACE);
            }
            return;
        }
        // The runtime does not know it any more, so nothing will ever be heard of it.
        let ended = Ended::lost(running.run.clone(), wall, now);
        self.rest(name, ended, None);
    }

    fn probed(&mut self, name: &str, run_id: &str, kind: ProbeKind, outcome: &Outcome, now: Mono) {
        let state = self.seen.member_mut(name);
        if state.running().is_none_or(|running| running.run.id != run_id) {
            return;
        }
        let fatal = state.probes.answered(kind, outcome, now);
        let text = match outcome {
            Outcome::Success => return,
            Outcome::Failure(said) => format!("{} probe failed: {said}", kind.name()),
            Outcome::Unknown(said) => format!("{} probe errored: {said}", kind.name()),
        };
        self.tell_of(name, Level::Warning, "Unhealthy", text);
        if !fatal {
            return;
        }
        let own = member(&self.pod, name).and_then(|found| kind.of(&found.container)?.termination_grace_period_seconds);
        let grace = own.map_or_else(|| grace(&self.pod), |seconds| Duration::from_secs(seconds.max(1).unsigned_abs()));
        let word = kind.name().to_lowercase();
        let stop = Stop {
            name: name.to_owned(),
            message: format!("Container {name} failed {word} probe, will be restarted"),
            reason: None,
            grace,
            hook: true,
        };
        self.stop(stop, now);
    }

    /// A pod that keeps more on disk than it may is evicted.
    fn measured(&mut self, used: &Used, took: Duration, now: Mono) {
        self.measure_at = Some(now + took * REST);
        if used.cut && !self.cut {
            self.cut = true;
            let message =
                "The pod has more or deeper folders than are measured: its limits on storage are not all kept.";
            self.tell(Level::Warning, "StorageNotMeasured", message);
        }
        let leaves = self.seen.over.is_some() || self.seen.leaving_since.is_some();
        if let Some(reason) = exceeded(&self.pod, used).filter(|_| !leaves) {
            self.tell(Level::Warning, &reason.reason, &*reason.message);
            self.seen.verdict = Some(reason);
        }
    }

    fn deleted(&mut self, result: Result<(), ApiFault>, now: Mono) {
        match result {
            Ok(()) | Err(ApiFault::NotFound(_) | ApiFault::Conflict(_)) => {
                self.seen.removed = true;
            }
            Err(fault) => {
                tracing::warn!(%fault, pod = self.id.long(), "the pod's object stays");
                self.deleting = false;
                self.write_at = Some(now + pause(self.failures.delete));
                self.failures.delete += 1;
            }
        }
    }
}

fn exit_of(ended: &Ended) -> Exit {
    Exit {
        code: ended.code,
        signal: ended.signal,
        oom_killed: ended.reason == "OOMKilled",
        started: ended.started.unwrap_or(ended.finished),
        finished: ended.finished,
    }
}
