//! Decides how far history may be compacted.
//!
//! In: how many durable events were written, how large, when. Out: the revision up to which history may go.
//! Never looks at the database or a clock.

use std::collections::VecDeque;
use std::time::Instant;

use crate::entry::Revision;
use crate::options::Retention;

/// Marks kept: at the default bounds one mark is a hundredth of the history.
const MARKS: usize = 128;

/// Remembers coarse marks: at this time, this revision, so many events and bytes since the start.
pub(crate) struct Horizon {
    rule: Retention,
    marks: VecDeque<Mark>,
    events: u64,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    revision: Revision,
    at: Instant,
    events: u64,
    bytes: u64,
}

impl Horizon {
    /// Begins with what is already in the log.
    pub(crate) fn new(rule: Retention, revision: Revision, events: u64, bytes: u64, now: Instant) -> Self {
        let marks = VecDeque::from([Mark { revision, at: now, events, bytes }]);
        Self { rule, marks, events, bytes }
    }

    /// Notes events that were committed up to `revision`.
    pub(crate) fn note(&mut self, revision: Revision, events: u64, bytes: u64, now: Instant) {
        self.events += events;
        self.bytes += bytes;
        let step = (self.rule.max_events / 100).max(1);
        let byte_step = (self.rule.max_bytes / 100).max(1);
        let age_step = self.rule.age / 20;
        let due = self.marks.back().is_none_or(|last| {
            self.events - last.events >= step
                || self.bytes - last.bytes >= byte_step
                || now.saturating_duration_since(last.at) >= age_step
        });
        if due {
            self.marks.push_back(Mark { revision, at: now, events: self.events, bytes: self.bytes });
        }
        if self.marks.len() > MARKS {
            // Thin out rather than forget: every second mark of the older half goes.
            let half = self.marks.len() / 2;
            let mut at = 0;
            self.marks.retain(|_| {
                at += 1;
                at > half || at % 2 == 0
            });
        }
    }

    /// How far history may go now.
    pub(crate) fn target(&mut self, now: Instant) -> Revision {
        let mut target = 0;
        while let Some(mark) = self.marks.front().copied() {
            let (newer, newer_bytes) = (self.events - mark.events, self.bytes - mark.bytes);
            let too_many = newer >= self.rule.max_events || newer_bytes >= self.rule.max_bytes;
            let too_old = now.saturating_duration_since(mark.at) >= self.rule.age && newer >= self.rule.min_events;
            if !too_many && !too_old {
                break;
            }
            target = mark.revision;
            self.marks.pop_front();
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Retention =
        Retention { age: Duration::from_secs(600), min_events: 10, max_events: 100, max_bytes: 10_000 };

    /// `writes` are (seconds, events, bytes each); revisions count events.
    #[track_caller]
    fn check(writes: &[(u64, u64, u64)], at: u64, expected: std::ops::RangeInclusive<Revision>) {
        let start = Instant::now();
        let mut horizon = Horizon::new(RULE, 0, 0, 0, start);
        let mut revision = 0;
        for (seconds, events, bytes) in writes {
            for _ in 0..*events {
                revision += 1;
                horizon.note(revision, 1, *bytes, start + Duration::from_secs(*seconds));
            }
        }
        let target = horizon.target(start + Duration::from_secs(at));
        assert!(expected.contains(&target), "{target}");
    }

    #[test]
    fn old_events_go_but_never_the_last_few() {
        check(&[(0, 50, 1)], 599, 0..=0);
        check(&[(0, 50, 1)], 600, 38..=40);
        check(&[(0, 5, 1)], 100_000, 0..=0);
    }

    #[test]
    fn many_or_large_events_go_at_once() {
        check(&[(0, 150, 1)], 0, 48..=50);
        check(&[(0, 50, 1000)], 0, 38..=40);
    }

    #[test]
    fn marks_stay_bounded() {
        let start = Instant::now();
        let mut horizon = Horizon::new(RULE, 0, 0, 0, start);
        for i in 1..10_000u64 {
            horizon.note(i, 100, 1, start + Duration::from_secs(i * 60));
        }
        assert!(horizon.marks.len() <= MARKS + 1);
    }
}
