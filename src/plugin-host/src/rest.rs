//! How long a plugin that failed rests before it is replaced.
//!
//! In: the times of failures and successes. Out: whether it may run. Never reads a clock.

use std::time::{Duration, Instant};

/// After a first failure the next pod or key hardly waits.
const FIRST: Duration = Duration::from_millis(100);
/// A plugin that always fails costs one instance in five minutes.
const MOST: Duration = Duration::from_secs(300);

/// The failures of one plugin.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    failures: u32,
    failed: Option<Instant>,
}

impl Rest {
    /// Counts a failure; returns how long it rests.
    pub fn failed(&mut self, now: Instant) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.failed = Some(now);
        self.delay()
    }

    /// Counts a success. Failures are forgotten when it has worked for longer than it rested, and a second.
    pub fn succeeded(&mut self, now: Instant) {
        if let Some(failed) = self.failed
            && now.saturating_duration_since(failed) > self.delay() * 2 + Duration::from_secs(1)
        {
            *self = Self::default();
        }
    }

    /// How long it still rests; `None` if it may run.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        let until = self.failed? + self.delay();
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    fn delay(&self) -> Duration {
        if self.failures == 0 {
            return Duration::ZERO;
        }
        FIRST.saturating_mul(1 << (self.failures - 1).min(20)).min(MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(steps: &[(u64, bool)], expected_ms: &[u64]) {
        let start = Instant::now();
        let mut rest = Rest::default();
        let mut seen = Vec::new();
        for (at, fails) in steps {
            let now = start + Duration::from_millis(*at);
            if *fails {
                seen.push(rest.failed(now).as_millis() as u64);
            } else {
                rest.succeeded(now);
            }
        }
        assert_eq!(seen, expected_ms);
    }

    #[test]
    fn rests_double_up_to_five_minutes() {
        check(&[(0, true), (1, true), (2, true)], &[100, 200, 400]);
        let many: Vec<_> = (0..40).map(|at| (at, true)).collect();
        let mut rests: Vec<u64> = (0..12).map(|n| 100 << n).collect();
        rests.resize(40, 300_000);
        check(&many, &rests);
    }

    #[test]
    fn failures_are_forgotten_after_some_good_work() {
        check(&[(0, true), (150, false), (160, true)], &[100, 200]);
        check(&[(0, true), (1500, false), (1600, true)], &[100, 100]);
    }

    #[test]
    fn it_may_run_when_the_rest_is_over() {
        let start = Instant::now();
        let mut rest = Rest::default();
        assert_eq!(rest.left(start), None);
        rest.failed(start);
        assert_eq!(rest.left(start + Duration::from_millis(40)), Some(Duration::from_millis(60)));
        assert_eq!(rest.left(start + Duration::from_millis(100)), None);
    }
}
