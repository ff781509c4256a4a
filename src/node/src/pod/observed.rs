//! What a worker knows of its pod on this machine: the state that `plan` and `status` look at.
//!
//! In: outcomes of acts and events, set by the worker. Out: plain data in closed enums. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use kedge_api::machine::{Exit, Sandbox};
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use crate::port::Mono;
use crate::probe::Probes;

/// Everything known of one pod.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// When this machine first took it up.
    pub taken: Option<SystemTime>,
    /// The time at which its active deadline is over.
    pub deadline: Option<Mono>,
    /// Refused or given up as a whole: it fails with this.
    pub verdict: Option<Reason>,
    /// Its object is gone from the API.
    pub removed: bool,
    /// Since when it is to end.
    pub leaving_since: Option<Mono>,
    /// Its volumes.
    pub volumes: Prep,
    /// Its namespaces and addresses.
    pub sandbox: SandboxState,
    /// Its containers by name.
    pub members: BTreeMap<String, MemberState>,
    /// Runs that ended and that the runtime has not yet forgotten: the sandbox outlives them.
    pub burying: BTreeSet<String>,
    /// Whether everything it had on this machine is gone.
    pub cleared: Clearing,
    /// Whether its last status is in the API.
    pub told: bool,
    /// It ended for good once; it will not be taken up again, whatever else is lost.
    pub over: Option<Over>,
}

/// How a pod ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Over {
    /// Every container with code 0.
    Succeeded,
    /// Otherwise.
    Failed,
}

/// A reason word and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// One CamelCase word.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
}

impl Reason {
    /// From both.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// A thing to be made ready, with retries.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Prep {
    /// Not begun.
    #[default]
    Wanted,
    /// On its way.
    Working,
    /// Ready.
    Done,
    /// Failed; to be tried again.
    Failed {
        /// Not before.
        retry: Mono,
    },
}

/// A pod's namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum SandboxState {
    /// None.
    #[default]
    Absent,
    /// Being made.
    Making,
    /// There, with addresses.
    Ready(SandboxFacts),
    /// Could not be made.
    Failed {
        /// Not before.
        retry: Mono,
    },
    /// Being removed.
    Removing,
    /// Could not be removed.
    Stuck {
        /// Not before.
        retry: Mono,
    },
    /// Removed for good.
    Gone,
}

/// A made sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxFacts {
    /// Its namespaces.
    pub sandbox: Sandbox,
    /// The pod's addresses, primary first.
    pub ips: Vec<IpAddr>,
}

/// How far clearing away is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Clearing {
    /// Not begun.
    #[default]
    No,
    /// On its way.
    Working,
    /// Failed; to be tried again.
    Failed {
        /// Not before.
        retry: Mono,
    },
    /// Everything is gone.
    Done,
}

/// One container.
#[derive(Clone, Debug, Default)]
pub struct MemberState {
    /// Where it is in its life.
    pub life: Life,
    /// Times it was started again.
    pub restarts: u32,
    /// The number of its next run.
    pub next_attempt: u32,
    /// How the run before this one ended.
    pub last: Option<Ended>,
    /// Why it does not run, when it does not.
    pub waiting: Option<Reason>,
    /// Not to be started before.
    pub retry: Option<Mono>,
    /// Crash back-off.
    pub backoff: Backoff,
    /// Image back-off.
    pub pull_backoff: Backoff,
    /// Its probes, while it runs.
    pub probes: Probes,
    /// The image ID it was last started from.
    pub image_id: String,
    /// The run that is about to be made: known before the runtime knows it, so that a crash leaves no stranger.
    pub intent: Option<Run>,
}

/// Where a container is in its life.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Life {
    /// Not made since the sandbox was.
    #[default]
    Never,
    /// Its image is being looked for or pulled.
    Pulling,
    /// Making and starting are on their way.
    Starting,
    /// Its process runs.
    Running(Running),
    /// It ended.
    Ended(Ended),
}

/// A running container.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Which.
    pub run: Run,
    /// When its process started.
    pub started: SystemTime,
    /// When it was seen to start.
    pub since: Mono,
    /// Its postStart hook.
    pub hook: Hook,
    /// It is being stopped, for this reason.
    pub stopping: Option<Stopping>,
}

/// A postStart hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Runs.
    Pending,
    /// Done, or none is wanted.
    Done,
}

/// A stop that is on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopping {
    /// It is killed at this time at the latest.
    pub kill_at: Mono,
    /// What the ended state tells beside the code, if more than the code is to be told.
    pub reason: Option<Reason>,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The runtime's identity of it.
    pub id: String,
    /// Which try it is, from 0; names the log file.
    pub attempt: u32,
    /// Fingerprint of the words it was made from.
    pub fingerprint: u64,
    /// Image ID.
    pub image_id: String,
    /// Signal that asks it to end.
    pub stop_signal: i32,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Which run.
    pub run: Run,
    /// Exit code.
    pub code: i32,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// Completed, Error, OOMKilled, StartError, ContainerStatusUnknown.
    pub reason: String,
    /// Its last words.
    pub message: Option<String>,
    /// When it started; `None` if it never did.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub finished: SystemTime,
    /// When the worker learned of it.
    #[serde(skip)]
    pub seen: Mono,
}

impl Ended {
    /// How a run ended, from the runtime's report.
    pub fn of(run: Run, exit: &Exit, seen: Mono) -> Self {
        let reason = match exit {
            Exit { oom_killed: true, .. } if exit.code != 0 => "OOMKilled",
            Exit { code: 0, .. } => "Completed",
            Exit { .. } => "Error",
        };
        Self {
            run,
            code: exit.code,
            signal: exit.signal,
            reason: reason.into(),
            message: None,
            started: Some(exit.started),
            finished: exit.finished,
            seen,
        }
    }

    /// The same without the agent's own time, which means nothing to a later agent.
    pub fn timeless(&self) -> Self {
        Self { seen: Mono::ZERO, ..self.clone() }
    }

    /// A run that went down with the machine.
    pub fn lost(run: Run, wall: SystemTime, seen: Mono) -> Self {
        Self {
            run,
            code: LOST,
            signal: None,
            reason: "Unknown".into(),
            message: None,
            started: None,
            finished: wall,
            seen,
        }
    }

    /// A run whose program could not be started.
    pub fn not_started(run: Run, message: String, wall: SystemTime, seen: Mono) -> Self {
        Self {
            run,
            code: NOT_STARTED,
            signal: None,
            reason: "StartError".into(),
            message: Some(message),
            started: None,
            finished: wall,
            seen,
        }
    }
}

/// The exit code of a container of which nobody knows how it ended.
const LOST: i32 = 255;
/// The exit code of a container that could not be started.
const NOT_STARTED: i32 = 128;

impl MemberState {
    /// Its run ended; the next one has the next number.
    pub fn end(&mut self, ended: Ended) {
        self.next_attempt = ended.run.attempt + 1;
        self.intent = None;
        self.probes = Probes::default();
        self.life = Life::Ended(ended);
    }

    /// The running container, unless there is none.
    pub fn running(&self) -> Option<&Running> {
        match &self.life {
            Life::Running(running) => Some(running),
            _ => None,
        }
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.life {
            Life::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether something of it lives or is about to.
    pub fn alive(&self) -> bool {
        matches!(self.life, Life::Pulling | Life::Starting | Life::Running(_))
    }

    /// `containerStatuses[].started`: it runs, its hook is done and its startup probe has passed.
    pub fn started(&self) -> bool {
        self.running().is_some_and(|running| running.hook == Hook::Done && self.probes.started())
    }

    /// `containerStatuses[].ready`.
    pub fn ready(&self) -> bool {
        self.started() && self.probes.ready()
    }
}

impl Observed {
    /// The state of that container.
    pub fn member(&self, name: &str) -> &MemberState {
        static NONE: std::sync::LazyLock<MemberState> = std::sync::LazyLock::new(MemberState::default);
        self.members.get(name).unwrap_or(&NONE)
    }

    /// The state of that container, to be changed.
    pub fn member_mut(&mut self, name: &str) -> &mut MemberState {
        self.members.entry(name.to_owned()).or_default()
    }

    /// The pod's addresses.
    pub fn ips(&self) -> &[IpAddr] {
        match &self.sandbox {
            SandboxState::Ready(facts) => &facts.ips,
            _ => &[],
        }
    }

    /// Whether any container lives or is about to.
    pub fn any_alive(&self) -> bool {
        self.members.values().any(MemberState::alive)
    }
}
