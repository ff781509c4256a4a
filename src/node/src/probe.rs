//! The probes of one running container: when each is due and what its results mean.
//!
//! In: the container's words, monotonic times, outcomes. Out: due probes, started, ready, and the verdict that the
//! container must be restarted. Pure; `check` asks the container.

pub(crate) mod check;
pub(crate) mod target;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

use crate::port::Mono;

/// The three probes, by Kubernetes' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Holds the other two back until it passes.
    Startup,
    /// Its failure restarts the container.
    Liveness,
    /// Its failure takes the pod out of its Services.
    Readiness,
}

impl ProbeKind {
    /// As events name it.
    pub fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }

    /// Its words in a container.
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            ProbeKind::Startup => container.startup_probe.as_ref(),
            ProbeKind::Liveness => container.liveness_probe.as_ref(),
            ProbeKind::Readiness => container.readiness_probe.as_ref(),
        }
    }
}

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not well, with what it said.
    Failure(String),
    /// It could not be asked; counts neither way.
    Unknown(String),
}

/// What a container's probes had said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// The startup probe had passed.
    pub started: bool,
    /// The readiness probe passed.
    pub ready: bool,
}

/// Where the probes of one running container stand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    trackers: Vec<Tracker>,
}

#[derive(Clone, Debug, PartialEq)]
struct Tracker {
    kind: ProbeKind,
    initial_delay: Duration,
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    since: Mono,
    next: Mono,
    asking: bool,
    streak: Streak,
    passing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Streak {
    Good(u32),
    Bad(u32),
}

impl Probes {
    /// The probes of a container that started at `now`.
    pub fn begin(container: &Container, now: Mono) -> Self {
        let kinds = [ProbeKind::Startup, ProbeKind::Liveness, ProbeKind::Readiness];
        let trackers =
            kinds.into_iter().filter_map(|kind| Some(Tracker::new(kind, kind.of(container)?, now))).collect();
        Self { trackers }
    }

    /// The probes of a container that runs on from before a restart of the agent: what had passed has passed, so that
    /// the restart takes no pod out of its Services.
    pub fn resume(container: &Container, now: Mono, before: Before) -> Self {
        let mut probes = Self::begin(container, now);
        for tracker in &mut probes.trackers {
            tracker.passing |= match tracker.kind {
                ProbeKind::Startup => before.started,
                ProbeKind::Readiness => before.ready,
                ProbeKind::Liveness => true,
            };
        }
        probes
    }

    /// The startup probe has passed, or there is none.
    pub fn started(&self) -> bool {
        self.tracker(ProbeKind::Startup).is_none_or(|tracker| tracker.passing)
    }

    /// The readiness probe passes, or there is none.
    pub fn ready(&self) -> bool {
        self.tracker(ProbeKind::Readiness).is_none_or(|tracker| tracker.passing)
    }

    /// The probes to be asked now.
    pub fn due(&self, now: Mono) -> Vec<ProbeKind> {
        self.waiting().filter(|tracker| tracker.next <= now).map(|tracker| tracker.kind).collect()
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Mono> {
        self.waiting().map(|tracker| tracker.next).min()
    }

    /// A probe is being asked.
    pub fn asked(&mut self, kind: ProbeKind) {
        if let Some(tracker) = self.tracker_mut(kind) {
            tracker.asking = true;
        }
    }

    /// A probe answered at `now`. True: the container must be restarted.
    pub fn answered(&mut self, kind: ProbeKind, outcome: &Outcome, now: Mono) -> bool {
        let started = self.started();
        let Some(tracker) = self.tracker_mut(kind) else {
            return false;
        };
        tracker.asking = false;
        tracker.next = align(now + tracker.period);
        tracker.streak = match (outcome, tracker.streak) {
            (Outcome::Unknown(_), same) => return streak_unchanged(same),
            (Outcome::Success, Streak::Good(count)) => Streak::Good(count.saturating_add(1)),
            (Outcome::Success, Streak::Bad(_)) => Streak::Good(1),
            (Outcome::Failure(_), Streak::Bad(count)) => Streak::Bad(count.saturating_add(1)),
            (Outcome::Failure(_), Streak::Good(_)) => Streak::Bad(1),
        };
        let fatal = match tracker.streak {
            Streak::Good(count) if count >= tracker.success_threshold => {
                tracker.passing = true;
                false
            }
            Streak::Bad(count) if count >= tracker.failure_threshold => {
                tracker.passing = kind == ProbeKind::Liveness;
                kind != ProbeKind::Readiness
            }
            _ => false,
        };
        if !started && self.started() {
            // What was held back is asked at once.
            for tracker in &mut self.trackers {
                tracker.next = tracker.next.min(tracker.first().max(now));
            }
        }
        fatal
    }

    fn waiting(&self) -> impl Iterator<Item = &Tracker> {
        let started = self.started();
        self.trackers.iter().filter(move |tracker| !tracker.asking && started != (tracker.kind == ProbeKind::Startup))
    }

    fn tracker(&self, kind: ProbeKind) -> Option<&Tracker> {
        self.trackers.iter().find(|tracker| tracker.kind == kind)
    }

    fn tracker_mut(&mut self, kind: ProbeKind) -> Option<&mut Tracker> {
        self.trackers.iter_mut().find(|tracker| tracker.kind == kind)
    }
}

fn streak_unchanged(_: Streak) -> bool {
    false
}

impl Tracker {
    fn new(kind: ProbeKind, probe: &Probe, now: Mono) -> Self {
        let seconds =
            |value: Option<i32>, default: u64| Duration::from_secs(value.map_or(default, |value| value.max(0) as u64));
        let count = |value: Option<i32>, default: u32| value.map_or(default, |v| v.max(1) as u32);
        let mut tracker = Self {
            kind,
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
            since: now,
            next: now,
            asking: false,
            streak: Streak::Good(0),
            passing: kind == ProbeKind::Liveness,
        };
        tracker.next = tracker.first();
        tracker
    }

    fn first(&self) -> Mono {
        align(self.since + self.initial_delay)
    }
}

/// Up to the next whole second, so that the probes of all pods wake the machine together.
fn align(time: Mono) -> Mono {
    match time.subsec_nanos() {
        0 => time,
        _ => Duration::from_secs(time.as_secs() + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn probes(container: Value) -> Probes {
        let mut container = container;
        container["name"] = json!("a");
        Probes::begin(&serde_json::from_value(container).unwrap(), secs(0))
    }

    #[test]
    fn without_probes_a_container_is_started_and_ready() {
        let probes = probes(json!({}));
        assert!(probes.started() && probes.ready());
        assert_eq!(probes.next(), None);
    }

    #[test]
    fn readiness_begins_false_and_follows_its_thresholds() {
        let mut probes = probes(json!({"readinessProbe": {"periodSeconds": 5, "failureThreshold": 2}}));
        assert!(!probes.ready());
        assert_eq!(probes.due(secs(0)), [ProbeKind::Readiness]);
        let bad = Outcome::Failure("no".into());
        for (at, outcome, ready) in [
            (0, &Outcome::Success, true),
            (5, &bad, true),
            (10, &bad, false),
            (15, &Outcome::Unknown("?".into()), false),
            (20, &Outcome::Success, true),
        ] {
            assert!(!probes.answered(ProbeKind::Readiness, outcome, secs(at)));
            assert_eq!(probes.ready(), ready, "at {at}");
            assert_eq!(probes.next(), Some(secs(at + 5)));
        }
    }

    #[test]
    fn liveness_restarts_at_its_threshold() {
        let mut probes = probes(json!({"livenessProbe": {"initialDelaySeconds": 3}}));
        assert_eq!(probes.next(), Some(secs(3)));
        let bad = Outcome::Failure("no".into());
        assert!(!probes.answered(ProbeKind::Liveness, &bad, secs(3)));
        assert!(!probes.answered(ProbeKind::Liveness, &bad, secs(13)));
        assert!(probes.answered(ProbeKind::Liveness, &bad, secs(23)));
    }

    #[test]
    fn startup_holds_the_others_back_and_then_lets_them_go_at_once() {
        let mut probes =
            probes(json!({"startupProbe": {"periodSeconds": 1, "failureThreshold": 30}, "readinessProbe": {}}));
        assert_eq!(probes.due(secs(0)), [ProbeKind::Startup]);
        assert!(!probes.started());
        probes.answered(ProbeKind::Startup, &Outcome::Failure(String::new()), secs(0));
        assert_eq!(probes.due(secs(0)), []);
        probes.answered(ProbeKind::Startup, &Outcome::Success, secs(1));
        assert!(probes.started());
        assert_eq!(probes.due(secs(1)), [ProbeKind::Readiness]);
    }

    #[test]
    fn what_had_passed_before_a_restart_has_passed() {
        let container = json!({"name": "a", "startupProbe": {}, "readinessProbe": {}});
        let container = serde_json::from_value(container).unwrap();
        let probes = Probes::resume(&container, secs(0), Before { started: true, ready: true });
        assert!(probes.started() && probes.ready());
        assert_eq!(probes.due(secs(0)), [ProbeKind::Readiness]);
        let probes = Probes::resume(&container, secs(0), Before::default());
        assert!(!probes.started() && !probes.ready());
    }

    #[test]
    fn a_probe_that_is_being_asked_is_not_due() {
        let mut probes = probes(json!({"readinessProbe": {}}));
        probes.asked(ProbeKind::Readiness);
        assert_eq!(probes.next(), None);
    }
}
