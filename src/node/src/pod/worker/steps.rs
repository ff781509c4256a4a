//! Takes the steps that `plan` decided: starts acts and notes in the state that they are on their way.

use std::time::Duration;

use futures::future::{AbortHandle, Abortable};
use kedge_api::machine::ImageInfo;
use serde_json::json;

use super::{Done, Worker};
use crate::acts;
use crate::container::signal_number;
use crate::disk;
use crate::events::{About, Level};
use crate::pod::observed::{Clearing, Life, Prep, Reason, Run, SandboxState, Stopping};
use crate::pod::plan::{Step, Stop};
use crate::pod::{ephemeral, fingerprint, member};
use crate::port::{Kind, Mono, RuntimeFault};
use crate::probe::ProbeKind;
use crate::pulled::repository;

/// A kill that shows no effect is repeated after this long.
const KILL_AGAIN: Duration = Duration::from_secs(10);

/// What `imageID` tells: the name with its digest under which a registry gave the image, or the image's own ID if none
/// did.
fn told_id(image: &ImageInfo, name: &str) -> String {
    let wanted = repository(name);
    let fits = |full: &&String| full.split('@').next() == Some(wanted.as_str());
    image.digests.iter().find(fits).or(image.digests.first()).unwrap_or(&image.id).clone()
}

/// A postStart hook may take as long as it likes; the container's end ends it.
const HOOK_LIMIT: Duration = Duration::from_secs(u32::MAX as u64);

impl Worker {
    /// Takes one step.
    pub(super) fn take(&mut self, step: Step, now: Mono) {
        let (shared, id, pod) = (self.shared.clone(), self.id.clone(), self.pod.clone());
        match step {
            Step::PrepareVolumes => {
                self.seen.volumes = Prep::Working;
                let make = acts::make_volumes(shared, id, pod);
                self.start(async move { Done::Volumes(make.await) });
            }
            Step::MakeSandbox => {
                self.seen.sandbox = SandboxState::Making;
                let make = acts::make_sandbox(shared, id, pod);
                self.start(async move { Done::Sandbox(make.await) });
            }
            Step::RemoveSandbox => {
                self.seen.sandbox = SandboxState::Removing;
                let remove = acts::remove_sandbox(shared, id.uid);
                self.start(async move { Done::Unsandboxed(remove.await) });
            }
            Step::Clear => {
                self.seen.cleared = Clearing::Working;
                let clear = acts::clear(shared, id);
                self.start(async move { Done::Cleared(clear.await) });
            }
            Step::Delete => self.delete(),
            Step::Start(name) => self.get_image(name, now),
            Step::Stop(stop) => self.stop(stop, now),
            Step::Kill(name) => self.kill(&name, now),
            Step::Abandon(name) => {
                if let Some(pull) = self.pulls.remove(&name) {
                    pull.abort();
                }
                self.seen.member_mut(&name).life = Life::Never;
            }
            // Both are the turn's own.
            Step::Forget | Step::WakeAt(_) => {}
        }
    }

    fn delete(&mut self) {
        if self.deleting {
            return;
        }
        self.deleting = true;
        // Asked for once: until the answer is here the plan has nothing else to say.
        self.seen.told = false;
        let (api, id) = (self.shared.api.clone(), self.id.clone());
        self.start(async move {
            let options = json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "gracePeriodSeconds": 0,
                "preconditions": {"uid": id.uid},
            });
            let namespace = Some(id.namespace.as_str());
            Done::Deleted(api.delete(Kind::Pod, namespace, &id.name, &options).await)
        });
    }

    /// The first half of a start.
    fn get_image(&mut self, name: String, now: Mono) {
        let Some(member) = member(&self.pod, &name) else {
            return;
        };
        let (container, role) = (member.container.into_owned(), member.role);
        let state = self.seen.member_mut(&name);
        if let Life::Ended(ended) = &state.life {
            state.last = Some(ended.clone());
            state.backoff.tried(ended.seen, now);
            state.waiting = None;
        }
        state.retry = None;
        state.life = Life::Pulling;
        self.soften.remove(&name);
        let (shared, pod) = (self.shared.clone(), self.pod.clone());
        let about = About::Container(self.id.clone(), name.clone(), role);
        let container_name = name.clone();
        let (handle, registration) = AbortHandle::new_pair();
        self.pulls.insert(name, handle);
        let pull = async move {
            let image = shared.puller.get(&pod, &container, about, &shared.events).await;
            Done::Image(container_name, image)
        };
        let pull = Abortable::new(pull, registration);
        self.start(async move { pull.await.unwrap_or(Done::Abandoned) });
    }

    /// The second half of a start, with the image here.
    pub(super) fn launch(&mut self, name: &str) {
        let SandboxState::Ready(sandbox) = self.seen.sandbox.clone() else {
            return;
        };
        let (Some(member), Some(image)) = (member(&self.pod, name), self.images.remove(name)) else {
            return;
        };
        let signal = match &member.container.lifecycle {
            Some(lifecycle) => lifecycle.stop_signal.clone(),
            None => None,
        };
        let run = Run {
            id: self.shared.new_id(),
            attempt: self.seen.member(name).next_attempt,
            fingerprint: fingerprint(&member.container),
            image_id: told_id(&image, member.container.image.as_deref().unwrap_or_default()),
            stop_signal: signal_number(signal.as_deref().unwrap_or(&image.config.stop_signal)),
        };
        let launch = acts::Launch {
            id: self.id.clone(),
            pod: self.with_status(),
            target: self.target(name),
            container: member.container.into_owned(),
            role: member.role,
            image,
            sandbox,
            run: run.clone(),
        };
        let state = self.seen.member_mut(name);
        state.life = Life::Starting;
        state.image_id = run.image_id.clone();
        state.intent = Some(run);
        // Written down before the runtime hears of it, so that a crash leaves no container that nobody knows.
        self.save();
        let (shared, name) = (self.shared.clone(), name.to_owned());
        self.start(async move { Done::Launched(name, acts::launch(shared, launch).await) });
    }

    /// Whose processes an ephemeral container is to see.
    fn target(&self, name: &str) -> Option<acts::Target> {
        let one = ephemeral(&self.pod).iter().find(|one| one.name == name)?;
        let target = one.target_container_name.clone().filter(|target| !target.is_empty())?;
        let run = self.seen.member(&target).running().map(|running| running.run.id.clone());
        Some(acts::Target { name: target, run })
    }

    /// The second half of a start, for a container that runs now: its postStart hook.
    pub(super) fn post_start(&mut self, name: &str, run_id: &str) -> bool {
        let container = member(&self.pod, name).map(|found| found.container);
        let hook = container.as_ref().and_then(|c| c.lifecycle.as_ref()?.post_start.clone());
        let (Some(container), Some(hook)) = (container, hook) else {
            return false;
        };
        let (name, run_id) = (name.to_owned(), run_id.to_owned());
        let container = container.into_owned();
        let hook = acts::hook(self.shared.clone(), run_id.clone(), hook, container, self.ip(), HOOK_LIMIT);
        self.start(async move { Done::Hooked(name, run_id, hook.await) });
        true
    }

    pub(super) fn stop(&mut self, stop: Stop, now: Mono) {
        let Stop { name, message, reason, grace, hook } = stop;
        let container = member(&self.pod, &name).map(|found| found.container.into_owned());
        let ip = self.ip();
        let Life::Running(running) = &mut self.seen.member_mut(&name).life else {
            return;
        };
        let kill_at = now + grace;
        if let Some(stopping) = &mut running.stopping {
            stopping.kill_at = stopping.kill_at.min(kill_at);
            return;
        }
        running.stopping = Some(Stopping { kill_at, reason });
        let run = running.run.clone();
        self.tell_of(&name, Level::Normal, "Killing", message);
        let pre_stop =
            container.as_ref().and_then(|container| container.lifecycle.as_ref()?.pre_stop.clone()).filter(|_| hook);
        let (shared, about) = (self.shared.clone(), self.about(&name));
        self.start(async move {
            let hooked = pre_stop.is_some();
            if let (Some(pre_stop), Some(container)) = (pre_stop, container) {
                let hook = acts::hook(shared.clone(), run.id.clone(), pre_stop, container, ip, grace);
                if let Err(said) = hook.await {
                    tracing::info!(container = run.id, said, "a preStop hook failed");
                    shared.events.tell(about, Level::Warning, "FailedPreStopHook", "PreStopHook failed");
                }
            }
            let sent = shared.runtime.signal(&run.id, run.stop_signal).await;
            if let Err(RuntimeFault::NotFound(_)) = sent {
                return Done::Signalled(name, run.id, false);
            }
            if let Err(fault) = sent {
                tracing::warn!(%fault, container = run.id, "a signal could not be sent");
            }
            // Only a hook can have used up the grace.
            match hooked {
                true => Done::Signalled(name, run.id, true),
                false => Done::Quiet,
            }
        });
    }

    fn kill(&mut self, name: &str, now: Mono) {
        let Life::Running(running) = &mut self.seen.member_mut(name).life else {
            return;
        };
        let Some(stopping) = &mut running.stopping else {
            return;
        };
        stopping.kill_at = now + KILL_AGAIN;
        let (shared, run_id, name) = (self.shared.clone(), running.run.id.clone(), name.to_owned());
        self.start(async move {
            match shared.runtime.signal(&run_id, 9).await {
                Err(RuntimeFault::NotFound(_)) => Done::Signalled(name, run_id, false),
                Err(fault) => {
                    tracing::warn!(%fault, container = run_id, "a container could not be killed");
                    Done::Quiet
                }
                Ok(()) => Done::Quiet,
            }
        });
    }

    /// Asks the probes that are due; returns when the next one is.
    pub(super) fn ask_probes(&mut self, now: Mono) -> Option<Mono> {
        let mut due: Vec<(String, String, ProbeKind)> = Vec::new();
        let mut wake = None;
        for (name, state) in &mut self.seen.members {
            let Some(running) = state.running() else {
                continue;
            };
            let quiet = running.stopping.is_some() || running.hook != crate::pod::observed::Hook::Done;
            if quiet {
                continue;
            }
            let run_id = running.run.id.clone();
            for kind in state.probes.due(now) {
                state.probes.asked(kind);
                due.push((name.clone(), run_id.clone(), kind));
            }
            super::earliest(&mut wake, state.probes.next());
        }
        for (name, run_id, kind) in due {
            let (shared, pod, ip) = (self.shared.clone(), self.pod.clone(), self.ip());
            let ask = acts::probe(shared, run_id.clone(), pod, name.clone(), kind, ip);
            self.start(async move { Done::Probed(name, run_id, kind, ask.await) });
        }
        wake
    }

    /// Brings the files of volumes up to date if something they show has changed; returns when tokens are due.
    pub(super) fn refresh(&mut self, now: Mono) -> Option<Mono> {
        let over = self.seen.over.is_some() || self.seen.cleared != Clearing::No;
        if self.seen.volumes != Prep::Done || self.refreshing || over {
            return None;
        }
        let due = self.refresh_at.is_some_and(|at| at <= now);
        if !(self.stale || due) {
            return self.refresh_at;
        }
        self.stale = false;
        self.refreshing = true;
        self.refresh_at = None;
        let refresh = acts::refresh_volumes(self.shared.clone(), self.id.clone(), self.with_status());
        self.start(async move { Done::Refreshed(refresh.await) });
        None
    }

    /// Has what the pod keeps on disk measured, unless that is under way or was a moment ago.
    pub(super) fn measure(&mut self) {
        let now = self.shared.clock.mono();
        if self.measure_at.is_none_or(|at| at > now) || self.seen.over.is_some() || self.seen.leaving_since.is_some() {
            return;
        }
        self.measure_at = None;
        let (shared, id, pod) = (self.shared.clone(), self.id.clone(), self.pod.clone());
        let running = self.seen.members.iter().filter_map(|(name, state)| Some((name, &state.running()?.run.id)));
        let writable = running.filter_map(|(name, run)| Some((name.clone(), shared.runtime.writable(&id.uid, run)?)));
        let writable = writable.collect();
        self.start(async move {
            // Nobody closes it.
            let _turn = shared.walk.acquire().await;
            let dirs = shared.dirs.clone();
            let walk = tokio::task::spawn_blocking(move || disk::measure(&dirs, &id, &pod, &writable));
            Done::Measured(walk.await.unwrap_or_default(), shared.clock.mono() - now)
        });
    }

    pub(super) fn about(&self, container: &str) -> About {
        match member(&self.pod, container) {
            Some(member) => About::Container(self.id.clone(), container.to_owned(), member.role),
            None => About::Pod(self.id.clone()),
        }
    }

    /// A pull's failure has been seen; from now on it shows as a back-off.
    pub(super) fn image_back_off(&mut self, name: &str) {
        let image = member(&self.pod, name).and_then(|found| found.container.image.clone()).unwrap_or_default();
        let state = self.seen.member_mut(name);
        let Some(failed) = state.waiting.take() else {
            return;
        };
        if state.life != Life::Never {
            state.waiting = Some(failed);
            return;
        }
        let text = format!("Back-off pulling image \"{image}\"");
        state.waiting = Some(Reason::new("ImagePullBackOff", format!("{text}: {}: {}", failed.reason, failed.message)));
        self.tell_of(name, Level::Normal, "BackOff", text);
        self.tell_of(name, Level::Warning, "Failed", "Error: ImagePullBackOff");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_a_registry_gave_is_told() {
        let image = |digests: &[&str]| ImageInfo {
            id: "sha256:id".into(),
            digests: digests.iter().map(|name| (*name).to_owned()).collect(),
            ..crate::fakes::image("a:1")
        };
        let hub = "docker.io/library/nginx@sha256:1";
        for (image, name, want) in [
            (image(&[]), "nginx:1", "sha256:id"),
            (image(&[hub]), "nginx:1", hub),
            (image(&["r.example/my-nginx@sha256:1", hub]), "nginx", hub),
            (image(&[hub, "r:5000/nginx@sha256:2"]), "r:5000/nginx:1", "r:5000/nginx@sha256:2"),
            (image(&[hub]), "sha256:id", hub),
        ] {
            assert_eq!(told_id(&image, name), want, "{name}");
        }
    }
}
