//! One task for one pod: it alone knows and changes the pod's state on this machine.
//!
//! In: the pod's latest words, runtime events, outcomes of acts, timers. Out: acts, status writes, a checkpoint, a view
//! for others. Each turn it asks `plan` what to do and does it; which event woke it does not matter.

mod outcome;
mod steps;
mod writing;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::AbortHandle;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kedge_api::machine::{ContainerStatus, Exit, ImageInfo, Sandbox};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::observed::{Clearing, Observed, Reason, SandboxFacts, SandboxState};
use super::plan::{Step, deadline, past_deadline, plan};
use super::record::{Adopted, Record, adopt};
use super::status::own;
use super::{PodId, phase};
use crate::acts::{Launched, Prepared};
use crate::container::env::SourceRef;
use crate::disk;
use crate::events::{About, Level};
use crate::port::{ApiFault, Mono};
use crate::probe::{Outcome, ProbeKind};
use crate::shared::{PodView, Shared};
use crate::volume::effects::VolumeFault;

/// The latest that the API says of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    /// Its words.
    pub pod: Arc<Pod>,
    /// Its object is gone.
    pub removed: bool,
}

/// What the agent tells a worker beside the words.
#[derive(Clone, Debug)]
pub(crate) enum Mail {
    /// A container ended.
    Exited(String, Exit),
}

/// Exits of a pod's containers that may wait for its worker: far more than one pod's containers end at once.
pub(crate) const MAILBOX: usize = 256;

/// What was found on the machine when the worker began.
pub(crate) struct Found {
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
    /// Sandboxes.
    pub sandboxes: Vec<Sandbox>,
    /// The node refuses the pod.
    pub verdict: Option<Reason>,
}

/// The task.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    id: PodId,
    pod: Arc<Pod>,
    seen: Observed,
    /// The status as the API has it, as far as this worker wrote it.
    written: PodStatus,
    writing: bool,
    write_failures: u32,
    write_at: Option<Mono>,
    dirty_since: Option<Mono>,
    /// Ended before this worker knew it: its status is not this worker's to write.
    silent: bool,
    saved: Option<Record>,
    acts: FuturesUnordered<Act>,
    pulls: HashMap<String, AbortHandle>,
    /// Exits that came before the start that they belong to had answered.
    early: HashMap<String, Exit>,
    images: HashMap<String, ImageInfo>,
    followed: Vec<SourceRef>,
    refresh_at: Option<Mono>,
    refreshing: bool,
    stale: bool,
    /// Whether it may be evicted for what it keeps on disk.
    limited: bool,
    /// Not to be measured before; `None` while it is being measured.
    measure_at: Option<Mono>,
    /// It was told that not all of it is measured.
    cut: bool,
    /// When a pull's failure becomes a pull's back-off.
    soften: HashMap<String, Mono>,
    failures: Failures,
    deleting: bool,
    announced: bool,
    began: Mono,
    view: watch::Sender<PodView>,
}

type Act = Pin<Box<dyn Future<Output = Done> + Send>>;

/// How often in a row the acts of the pod as a whole have failed.
#[derive(Default)]
struct Failures {
    volumes: u32,
    sandbox: u32,
    clear: u32,
    delete: u32,
}

/// What came of an act.
enum Done {
    Volumes(Result<Prepared, VolumeFault>),
    Refreshed(Result<Prepared, VolumeFault>),
    SourceChanged(SourceRef, watch::Receiver<u64>),
    Sandbox(Result<SandboxFacts, String>),
    Unsandboxed(Result<(), String>),
    Cleared(Result<(), String>),
    Image(String, Result<ImageInfo, Reason>),
    Abandoned,
    Launched(String, Launched),
    Hooked(String, String, Result<(), String>),
    Signalled(String, String, bool),
    Ended(String, String, Exit, Option<String>),
    Buried(String),
    Probed(String, String, ProbeKind, Outcome),
    Measured(disk::Used, Duration),
    Written(Box<PodStatus>, Result<(), ApiFault>),
    Deleted(Result<(), ApiFault>),
    Quiet,
}

/// Why a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The pod is gone from here and from the API.
    Gone,
    /// The daemon stops; everything stays as it is.
    Stopped,
}

impl Worker {
    /// Takes up a pod, from its checkpoint, the runtime's report and its status.
    pub fn new(shared: Arc<Shared>, id: PodId, input: &Input, found: Found, view: watch::Sender<PodView>) -> Self {
        let pod = input.pod.clone();
        let (wall, now) = (shared.clock.wall(), shared.clock.mono());
        let file = shared.dirs.record(&id);
        let record = Record::load(&file);
        let known = record.is_some();
        let Adopted { mut seen, strays, ended, sandbox_lost } =
            adopt(&pod, record.clone(), &found.containers, &found.sandboxes, (wall, now));
        seen.removed = input.removed;
        if !known {
            seen.verdict = found.verdict;
        }
        let silent = !known && seen.over.is_some();
        let limited = disk::is_limited(&pod);
        let mut worker = Self {
            written: pod.status.as_ref().map(own).unwrap_or_default(),
            id,
            pod,
            seen,
            writing: false,
            write_failures: 0,
            write_at: None,
            dirty_since: None,
            silent,
            saved: record,
            acts: FuturesUnordered::new(),
            pulls: HashMap::new(),
            early: HashMap::new(),
            images: HashMap::new(),
            followed: Vec::new(),
            refresh_at: None,
            refreshing: false,
            stale: false,
            limited,
            measure_at: Some(Mono::ZERO),
            cut: false,
            soften: HashMap::new(),
            failures: Failures::default(),
            deleting: false,
            announced: false,
            began: now,
            view,
            shared,
        };
        worker.set_deadline();
        worker.after_adoption(strays, &ended, sandbox_lost, known);
        worker
    }

    /// Works until the pod is gone or the daemon stops.
    pub async fn run(
        mut self,
        inputs: &mut watch::Receiver<Input>,
        mailbox: &mut mpsc::Receiver<Mail>,
        stop: &CancellationToken,
    ) -> End {
        let mut host_ips = self.shared.host_ips.clone();
        let mut beat = self.shared.beat.subscribe();
        loop {
            let wake = match self.turn() {
                Turn::Gone => return End::Gone,
                Turn::Wait(wake) => wake,
            };
            let origin = self.shared.clock.origin();
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(origin + at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                Some(Mail::Exited(id, exit)) = mailbox.recv() => self.exited(id, exit),
                Some(done) = self.acts.next(), if !self.acts.is_empty() => self.done(done),
                Ok(()) = inputs.changed() => {
                    let input = inputs.borrow_and_update().clone();
                    self.words(input);
                }
                // The status tells the machine's address.
                Ok(()) = host_ips.changed() => {}
                Ok(()) = beat.changed(), if self.limited => self.measure(),
                () = timer => {}
            }
        }
    }

    /// One turn: decide, act, write down, tell. Returns when to look again.
    fn turn(&mut self) -> Turn {
        let mut wake = None;
        // Each step that is taken changes the state, so the same step does not come again; the bound is a safety net.
        for _ in 0..TURNS {
            let now = self.shared.clock.mono();
            self.settle(now);
            wake = None;
            let mut acted = false;
            for step in plan(&self.pod, &self.seen, now) {
                match step {
                    Step::WakeAt(at) => earliest(&mut wake, Some(at)),
                    Step::Forget => return Turn::Gone,
                    step => {
                        acted = true;
                        self.take(step, now);
                    }
                }
            }
            if !acted {
                break;
            }
        }
        let now = self.shared.clock.mono();
        earliest(&mut wake, self.ask_probes(now));
        earliest(&mut wake, self.soften.values().min().copied());
        earliest(&mut wake, self.refresh(now));
        earliest(&mut wake, self.write_status(now));
        self.save();
        self.publish();
        if self.seen.cleared == Clearing::Done && self.seen.told && !self.deleting {
            // The write that was just found to be unnecessary was the last thing to wait for.
            let removed = self.seen.removed;
            if removed {
                return Turn::Gone;
            }
            earliest(&mut wake, Some(self.write_at.unwrap_or(now)));
        }
        Turn::Wait(wake)
    }

    /// What follows from the state and the time alone.
    fn settle(&mut self, now: Mono) {
        let overdue: Vec<String> =
            self.soften.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect();
        for name in overdue {
            self.soften.remove(&name);
            self.image_back_off(&name);
        }
        if self.seen.verdict.is_none() && past_deadline(&self.seen, now) {
            self.seen.verdict = phase::reason(&self.seen, now);
        }
        let leaving = self.seen.removed || self.pod.metadata.deletion_timestamp.is_some();
        if leaving || self.seen.verdict.is_some() {
            self.seen.leaving_since.get_or_insert(now);
        }
        if self.seen.over.is_none() && !leaving && !self.seen.any_alive() {
            self.seen.over = phase::over(&self.pod, &self.seen, now);
        }
    }

    /// New words from the API.
    fn words(&mut self, input: Input) {
        let before = std::mem::replace(&mut self.pod, input.pod);
        self.seen.removed |= input.removed;
        if super::spec(&before).active_deadline_seconds != super::spec(&self.pod).active_deadline_seconds {
            self.set_deadline();
        }
        let meta = (&before.metadata, &self.pod.metadata);
        if meta.0.labels != meta.1.labels || meta.0.annotations != meta.1.annotations {
            self.stale = true;
        }
    }

    /// The time at which the active deadline is over, counted from when the pod was taken up.
    fn set_deadline(&mut self) {
        let wall = self.shared.clock.wall();
        // A clock that has gone back counts as no time.
        let ago = self.seen.taken.and_then(|taken| wall.duration_since(taken).ok()).unwrap_or_default();
        self.seen.deadline = deadline(&self.pod, ago, self.shared.clock.mono());
    }

    /// Starts an act; its outcome comes back to `done`.
    fn start(&self, act: impl Future<Output = Done> + Send + 'static) {
        self.acts.push(Box::pin(act));
    }

    fn tell(&self, level: Level, reason: &str, message: impl Into<String>) {
        let about = About::Pod(self.id.clone());
        self.shared.events.tell(about, level, reason, message);
    }

    fn tell_of(&self, container: &str, level: Level, reason: &str, message: impl Into<String>) {
        let about = match super::member(&self.pod, container) {
            Some(member) => About::Container(self.id.clone(), container.to_owned(), member.role),
            None => About::Pod(self.id.clone()),
        };
        self.shared.events.tell(about, level, reason, message);
    }

    /// The address that probes and hooks go to.
    fn ip(&self) -> String {
        let ip = match super::spec(&self.pod).host_network {
            Some(true) => self.shared.host_ips.borrow().first().copied(),
            _ => self.seen.ips().first().copied(),
        };
        ip.map(|ip| ip.to_string()).unwrap_or_default()
    }
}

/// What a turn leads to.
enum Turn {
    Gone,
    Wait(Option<Mono>),
}

/// A pod has at most a few dozen containers, and each takes a handful of steps.
const TURNS: usize = 1000;

fn earliest(wake: &mut Option<Mono>, other: Option<Mono>) {
    *wake = match (*wake, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

/// How long to wait after so many failures in a row: 1 s, doubling to 1 min.
fn pause(failures: u32) -> Duration {
    const LONGEST: Duration = Duration::from_secs(60);
    Duration::from_secs(1 << failures.min(6)).min(LONGEST)
}

/// What the state of a sandbox that could not be removed is.
fn stuck(now: Mono, failures: u32) -> SandboxState {
    SandboxState::Stuck { retry: now + pause(failures) }
}
