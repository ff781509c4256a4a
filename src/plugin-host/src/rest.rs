//! How long a plugin that failed rests, and what it failed about.
//!
//! In: the times of failures and successes, and which subject (a key, a pod, a writer) each call was about. Out: whether
//! it may run. What fails about one subject is that subject's trouble: it alone rests, longer each time, and others go
//! on at once with a new instance. Only a plugin that fails about one after the other rests as a whole. Never reads a
//! clock, never keeps more than [`SUBJECTS`] subjects.

use std::time::{Duration, Instant};

/// After a first failure the next try hardly waits.
const FIRST: Duration = Duration::from_millis(100);
/// A subject, or a plugin, that always fails costs one instance in five minutes.
const MOST: Duration = Duration::from_secs(300);
/// Different subjects in a row, with nothing between that went well, before the plugin as a whole rests.
const ROW: u32 = 4;
/// Subjects that are remembered; the one whose rest ends first is forgotten for another.
const SUBJECTS: usize = 64;

/// The failures of one plugin.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Different subjects that failed since something went well.
    row: u32,
    failed: Option<Instant>,
    subjects: Vec<Subject>,
}

/// A subject that failed.
#[derive(Clone, Debug)]
struct Subject {
    /// Its digest.
    id: u64,
    failures: u32,
    until: Instant,
    /// It is one of the row.
    counted: bool,
}

impl Rest {
    /// Counts a failure about `id`; returns how long that rests.
    pub fn failed(&mut self, now: Instant, id: u64) -> Duration {
        self.failed = Some(now);
        let index = self.place(id, now);
        let subject = &mut self.subjects[index];
        subject.failures = subject.failures.saturating_add(1);
        if !std::mem::replace(&mut subject.counted, true) {
            self.row = self.row.saturating_add(1);
        }
        // Whoever failed comes after those who did not when the plugin as a whole has rested.
        let delay = growing(subject.failures).max(self.delay() * 2);
        self.subjects[index].until = now + delay;
        delay
    }

    /// Counts a success about `id`: the row is broken, and what was held against `id` is forgotten.
    pub fn succeeded(&mut self, id: u64) {
        if self.subjects.is_empty() {
            return;
        }
        self.row = 0;
        self.subjects.retain(|subject| subject.id != id);
        self.subjects.iter_mut().for_each(|subject| subject.counted = false);
    }

    /// How long `id` still rests; `None` if it may run.
    pub fn left(&self, now: Instant, id: u64) -> Option<Duration> {
        let own = self.subjects.iter().find(|subject| subject.id == id).map(|subject| subject.until);
        remaining(own.max(self.until()), now)
    }

    /// How long the plugin, or the subject that rests longest, still rests.
    pub fn longest(&self, now: Instant) -> Option<Duration> {
        remaining(self.subjects.iter().map(|subject| subject.until).max().max(self.until()), now)
    }

    /// When the plugin as a whole has rested.
    fn until(&self) -> Option<Instant> {
        self.failed.map(|failed| failed + self.delay())
    }

    fn delay(&self) -> Duration {
        growing(self.row.saturating_sub(ROW - 1))
    }

    fn place(&mut self, id: u64, now: Instant) -> usize {
        if let Some(index) = self.subjects.iter().position(|subject| subject.id == id) {
            return index;
        }
        if self.subjects.len() == SUBJECTS {
            let first = (0..SUBJECTS).min_by_key(|index| self.subjects[*index].until).unwrap_or(0);
            self.subjects.swap_remove(first);
        }
        self.subjects.push(Subject { id, failures: 0, until: now, counted: false });
        self.subjects.len() - 1
    }
}

fn remaining(until: Option<Instant>, now: Instant) -> Option<Duration> {
    until?.checked_duration_since(now).filter(|left| !left.is_zero())
}

fn growing(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        _ => FIRST.saturating_mul(1 << (failures - 1).min(20)).min(MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps are milliseconds, a subject, and whether it fails; expected are the rests of those that fail.
    #[track_caller]
    fn check(steps: &[(u64, u64, bool)], expected_ms: &[u64]) -> (Rest, Instant) {
        let start = Instant::now();
        let mut rest = Rest::default();
        let mut seen = Vec::new();
        for (at, id, fails) in steps {
            let now = start + Duration::from_millis(*at);
            if *fails {
                seen.push(rest.failed(now, *id).as_millis() as u64);
            } else {
                rest.succeeded(*id);
            }
        }
        assert_eq!(seen, expected_ms);
        (rest, start)
    }

    fn left(rest: &Rest, now: Instant, id: u64) -> Option<u64> {
        rest.left(now, id).map(|left| left.as_millis() as u64)
    }

    #[test]
    fn one_subject_rests_longer_each_time_and_nobody_else_does() {
        let (rest, start) = check(&[(0, 7, true), (100, 7, true), (300, 7, true)], &[100, 200, 400]);
        let now = start + Duration::from_millis(300);
        assert_eq!((left(&rest, now, 7), left(&rest, now, 8)), (Some(400), None));
        assert_eq!(left(&rest, now + Duration::from_millis(400), 7), None);
        let many: Vec<_> = (0..40).map(|at| (at, 7, true)).collect();
        let mut rests: Vec<u64> = (0..12).map(|n| 100 << n).collect();
        rests.resize(40, 300_000);
        let (rest, start) = check(&many, &rests);
        assert_eq!(left(&rest, start + Duration::from_millis(40), 8), None);
    }

    #[test]
    fn one_that_goes_well_is_forgiven() {
        check(&[(0, 7, true), (1, 7, true), (2, 7, false), (3, 7, true)], &[100, 200, 100]);
        check(&[(0, 7, true), (1, 8, false), (2, 7, true)], &[100, 200]);
    }

    #[test]
    fn a_plugin_that_fails_about_everything_rests_as_a_whole() {
        let all: Vec<_> = (0..6).map(|id| (0, id, true)).collect();
        let (mut rest, start) = check(&all, &[100, 100, 100, 200, 400, 800]);
        assert_eq!(left(&rest, start, 99), Some(400), "who did not fail comes first");
        rest.succeeded(99);
        assert_eq!((left(&rest, start, 99), left(&rest, start, 5)), (None, Some(800)));
        let endless: Vec<_> = (0..1000).map(|id| (0, id, true)).collect();
        let mut rests = vec![100, 100, 100];
        rests.extend((0..997).map(|n| 2 * (100_u64 << n.min(20)).min(300_000)));
        let (rest, start) = check(&endless, &rests);
        assert_eq!((left(&rest, start, 5000), rest.subjects.len()), (Some(300_000), SUBJECTS));
    }

    #[test]
    fn the_same_subjects_over_and_over_do_not_lengthen_the_rest_of_all() {
        let turns: Vec<_> = (0..30).map(|n| (n, n % 3, true)).collect();
        let rests: Vec<u64> = (0..30).map(|n| (100_u64 << (n / 3)).min(300_000)).collect();
        let (rest, start) = check(&turns, &rests);
        assert_eq!(left(&rest, start + Duration::from_millis(30), 99), None);
        assert_eq!(rest.longest(start).map(|left| left.as_secs()), Some(51));
    }
}
