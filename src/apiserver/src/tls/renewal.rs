//! When a certificate is to be renewed.
//!
//! In: a validity and the time. Out: yes or no, and how long until yes. Pure.

use std::time::{Duration, SystemTime};

/// Certificates are dated back by this much, so that a peer whose clock is behind accepts them.
pub const BACKDATE: Duration = Duration::from_secs(24 * 3600);
/// How long an issued certificate is good for. A year, as with kubeadm.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long the authority is good for. Twenty years: longer than the device.
pub const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The time a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// From then.
    pub not_before: SystemTime,
    /// Until then.
    pub not_after: SystemTime,
}

impl Validity {
    /// The validity of something issued at `now`.
    pub fn starting(now: SystemTime, lifetime: Duration) -> Self {
        Validity {
            not_before: now
                .checked_sub(BACKDATE)
                .filter(|t| *t > SystemTime::UNIX_EPOCH)
                .unwrap_or(SystemTime::UNIX_EPOCH),
            not_after: now + lifetime,
        }
    }

    /// Whether two thirds of it have passed, or it has not begun (the clock went back).
    pub fn needs_renewal(&self, now: SystemTime) -> bool {
        now < self.not_before || now >= self.renew_at()
    }

    /// Whether it is good at that time.
    pub fn covers(&self, now: SystemTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// How long until it is to be renewed; zero if it is now.
    pub fn until_renewal(&self, now: SystemTime) -> Duration {
        if self.needs_renewal(now) {
            return Duration::ZERO;
        }
        self.renew_at().duration_since(now).unwrap_or(Duration::ZERO)
    }

    fn renew_at(&self) -> SystemTime {
        let whole = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        self.not_before + whole / 3 * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[track_caller]
    fn check(days_after_issue: i64, renew: bool) {
        let issued = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let validity = Validity::starting(issued, LEAF_LIFETIME);
        let now = if days_after_issue >= 0 {
            issued + DAY * days_after_issue.unsigned_abs() as u32
        } else {
            issued - DAY * days_after_issue.unsigned_abs() as u32
        };
        assert_eq!(validity.needs_renewal(now), renew, "{days_after_issue} days after");
        assert_eq!(validity.until_renewal(now).is_zero(), renew);
    }

    #[test]
    fn renewal_comes_after_two_thirds_or_when_the_clock_went_back() {
        check(0, false);
        check(-1, false);
        check(-2, true);
        check(200, false);
        check(250, true);
        check(400, true);
    }

    #[test]
    fn a_clock_at_1970_issues_from_1970() {
        let validity = Validity::starting(SystemTime::UNIX_EPOCH, LEAF_LIFETIME);
        assert_eq!(validity.not_before, SystemTime::UNIX_EPOCH);
        assert!(validity.covers(SystemTime::UNIX_EPOCH));
    }
}
