//! How long a thing that keeps failing waits: 10 s, doubling to 5 minutes, forgotten after 10 quiet minutes.
//!
//! In: monotonic times of failures and tries. Out: the time before which the next try may not be. Pure.

use std::time::Duration;

use crate::port::Mono;

/// First wait.
pub const FIRST: Duration = Duration::from_secs(10);
/// Longest wait.
pub const LONGEST: Duration = Duration::from_secs(300);
/// After this long without a failure the next wait is the first again: twice the longest wait.
pub const FORGOTTEN: Duration = Duration::from_secs(600);

/// A wait that grows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Backoff {
    delay: Option<Duration>,
    tried: Mono,
}

impl Backoff {
    /// One that has grown to `delay` before.
    pub fn grown(delay: Option<Duration>, now: Mono) -> Self {
        Self { delay, tried: now }
    }

    /// The present wait; `None` before the first failure.
    pub fn delay(&self) -> Option<Duration> {
        self.delay
    }

    /// What failed at `failed` may be tried at this time; `None`: at once.
    pub fn until(&self, failed: Mono) -> Option<Mono> {
        let delay = self.delay?;
        (failed.saturating_sub(self.tried) <= FORGOTTEN).then(|| failed + delay)
    }

    /// A try begins at `now`, after a failure at `failed`: the next wait is longer.
    pub fn tried(&mut self, failed: Mono, now: Mono) {
        self.delay = Some(match self.delay {
            Some(delay) if failed.saturating_sub(self.tried) <= FORGOTTEN => (delay * 2).min(LONGEST),
            _ => FIRST,
        });
        self.tried = now;
    }

    /// A failure at `now` where the try itself failed at once: waits, longer each time.
    pub fn failed(&mut self, now: Mono) -> Mono {
        self.tried(now, now);
        now + self.delay.unwrap_or(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a container that lives `lives` seconds each time; the waits between end and start.
    #[track_caller]
    fn check(lives: &[u64], want: &[u64]) {
        let mut backoff = Backoff::default();
        let mut now = Duration::ZERO;
        let mut waits = Vec::new();
        for life in lives {
            now += Duration::from_secs(*life);
            let until = backoff.until(now).unwrap_or(now);
            waits.push((until - now).as_secs());
            backoff.tried(now, until);
            now = until;
        }
        assert_eq!(waits, want);
    }

    #[test]
    fn the_first_restart_is_at_once_and_later_ones_wait_longer() {
        check(&[0, 0, 0, 0, 0, 0, 0, 0], &[0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_quiet_minutes_are_forgiven() {
        check(&[0, 0, 0, 601, 0], &[0, 10, 20, 0, 10]);
    }
}
