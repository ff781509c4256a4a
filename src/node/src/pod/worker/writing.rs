//! What a worker writes: the status in the API, the checkpoint, the view for others.
//!
//! A status that says nothing new is not written. One that will change again in a moment waits that moment, so that a
//! pod that starts at once costs the flash one write and not four.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use super::{Done, Worker, pause};
use crate::metrics::Metrics;
use crate::pod::observed::{Clearing, Life, Prep, SandboxState};
use crate::pod::record::Record;
use crate::pod::status::{OWN_CONDITIONS, Surroundings, patch, status};
use crate::port::{ApiFault, Kind, Mono, PatchForm};
use crate::shared::{ContainerView, PodView};

/// How long a status that is about to change waits: longer than a container takes to start, too short to be noticed.
const PATIENCE: Duration = Duration::from_millis(100);

impl Worker {
    fn status(&self, now: Mono) -> PodStatus {
        // Conditions of others are in the API's form; the times of one's own are in what was written.
        let mut before = self.written.clone();
        let api = self.pod.status.as_ref();
        let others = api.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let own = before.conditions.get_or_insert_default();
        for condition in others {
            match own.iter_mut().find(|old| old.type_ == condition.type_) {
                Some(_) if OWN_CONDITIONS.contains(&condition.type_.as_str()) => {}
                Some(old) => *old = condition.clone(),
                None => own.push(condition.clone()),
            }
        }
        let host_ips = self.shared.ips();
        let around = Surroundings { host_ips: &host_ips, before: &before, wall: self.shared.clock.wall(), now };
        status(&self.pod, &self.seen, &around)
    }

    /// The pod with the status that it has now: what environments and downward API files show.
    pub(super) fn with_status(&self) -> Arc<Pod> {
        let mut pod = Pod::clone(&self.pod);
        pod.status = Some(self.status(self.shared.clock.mono()));
        Arc::new(pod)
    }

    /// Whether something is on its way that will change the status in a moment.
    fn in_motion(&self) -> bool {
        let leaving = self.seen.removed || self.pod.metadata.deletion_timestamp.is_some();
        let members = self.seen.members.values();
        !leaving
            && self.seen.over.is_none()
            && (self.seen.volumes == Prep::Working
                || self.seen.sandbox == SandboxState::Making
                || members.map(|state| &state.life).any(|life| matches!(life, Life::Pulling | Life::Starting)))
    }

    /// Writes the status if it says something new; returns when to try again.
    pub(super) fn write_status(&mut self, now: Mono) -> Option<Mono> {
        let last = self.seen.cleared == Clearing::Done;
        if self.silent || self.seen.removed {
            if let Some(at) = self.write_at.filter(|at| *at > now) {
                return Some(at);
            }
            self.seen.told |= last && !self.deleting;
            return None;
        }
        if self.writing || self.deleting {
            return None;
        }
        let wanted = self.status(now);
        if !self.announced && wanted.phase.as_deref() == Some("Running") {
            self.announced = true;
            self.shared.metrics.pod_started(now - self.began);
        }
        if wanted == self.written {
            self.dirty_since = None;
            if last && self.write_at.is_none_or(|at| at <= now) {
                self.write_at = None;
                self.seen.told = true;
            }
            return self.write_at;
        }
        if let Some(at) = self.write_at.filter(|at| *at > now) {
            return Some(at);
        }
        let dirty_since = *self.dirty_since.get_or_insert(now);
        if self.in_motion() && now < dirty_since + PATIENCE {
            return Some(dirty_since + PATIENCE);
        }
        self.dirty_since = None;
        self.write_at = None;
        self.writing = true;
        Metrics::count(&self.shared.metrics.status_writes);
        let body = patch(&self.id.uid, &self.written, &wanted);
        let (api, id) = (self.shared.api.clone(), self.id.clone());
        self.start(async move {
            let namespace = Some(id.namespace.as_str());
            let form = PatchForm::Strategic;
            let answer = api.patch(Kind::Pod, namespace, &id.name, Some("status"), form, &body).await;
            Done::Written(Box::new(wanted), answer.map(drop))
        });
        None
    }

    pub(super) fn status_written(&mut self, status: PodStatus, result: Result<(), ApiFault>, now: Mono) {
        self.writing = false;
        match result {
            Ok(()) => {
                self.write_failures = 0;
                self.written = status;
            }
            // The object is gone, or another pod has its name: nobody waits for this status.
            Err(ApiFault::NotFound(_) | ApiFault::Conflict(_)) => self.seen.removed = true,
            Err(fault) => {
                tracing::warn!(%fault, pod = self.id.long(), "a status was not taken");
                self.write_at = Some(now + pause(self.write_failures));
                self.write_failures += 1;
            }
        }
    }

    /// Writes the checkpoint if it says something new.
    pub(super) fn save(&mut self) {
        if self.seen.cleared != Clearing::No {
            return;
        }
        let record = Record::of(&self.seen);
        if self.saved.as_ref() == Some(&record) || (self.silent && self.saved.is_none()) {
            return;
        }
        let file = self.shared.dirs.record(&self.id);
        let folder = file.parent().map(std::fs::create_dir_all);
        let written = folder.unwrap_or(Ok(())).and_then(|()| record.save(&file));
        match written {
            Ok(()) => self.saved = Some(record),
            Err(error) => tracing::warn!(%error, ?file, "a checkpoint could not be written"),
        }
    }

    /// Shows others where the pod stands.
    pub(super) fn publish(&self) {
        let mut containers = HashMap::new();
        for (name, state) in &self.seen.members {
            let last = state.last.as_ref().map(|ended| ended.run.attempt);
            let view = match &state.life {
                Life::Running(running) => ContainerView {
                    running: Some(running.run.id.clone()),
                    attempt: Some(running.run.attempt),
                    previous: last,
                    ..ContainerView::default()
                },
                Life::Ended(ended) => {
                    ContainerView { attempt: Some(ended.run.attempt), previous: last, ..ContainerView::default() }
                }
                // The run that ended is the newest that has a log, and also the one before the next.
                Life::Never | Life::Pulling | Life::Starting => {
                    ContainerView { attempt: last, previous: last, ..ContainerView::default() }
                }
            };
            let waiting = state.waiting.as_ref().map(|reason| reason.reason.clone());
            containers.insert(name.clone(), ContainerView { waiting, image_id: state.image_id.clone(), ..view });
        }
        let view = PodView { uid: self.id.uid.clone(), containers };
        self.view.send_if_modified(|old| {
            let changed = *old != view;
            *old = view;
            changed
        });
    }
}
