//! The keys that wait to be reconciled: fair, without duplicates, with growing delays after failures.
//!
//! In: keys and the time. Out: the next key, or when to ask again. A key is never given to two workers at once; a key
//! added while it is being worked on comes again afterwards. Never reads a clock and never sleeps.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use kedge_plugin_api::controllers::Key;

/// First delay after a failure.
const RETRY_FIRST: Duration = Duration::from_millis(5);
/// Longest delay after failures.
const RETRY_MOST: Duration = Duration::from_secs(300);

/// A work queue. Its size is bounded by the number of objects: a key stands in it once.
#[derive(Debug, Default)]
pub struct Queue {
    ready: VecDeque<Key>,
    waiting: HashSet<Key>,
    working: HashSet<Key>,
    again: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
    added: u64,
}

/// What a worker should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Reconcile this key, then call `finish`.
    Work(Key),
    /// Nothing before this time, unless something is added.
    Until(Instant),
    /// Nothing until something is added.
    Idle,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Settled.
    Done,
    /// Wants to look again.
    After(Duration),
    /// Failed.
    Failed,
    /// Was not begun: the plugin rests for so long about this key.
    Resting(Duration),
}

impl Queue {
    /// Puts a key in, as soon as possible.
    pub fn add(&mut self, key: Key) {
        self.added += 1;
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The next thing to do at `now`.
    pub fn next(&mut self, now: Instant) -> Next {
        while let Some((at, _)) = self.later.first()
            && *at <= now
            && let Some((_, key)) = self.later.pop_first()
        {
            self.due.remove(&key);
            self.add(key);
        }
        match self.ready.pop_front() {
            Some(key) => {
                self.waiting.remove(&key);
                self.working.insert(key.clone());
                Next::Work(key)
            }
            None => self.later.first().map_or(Next::Idle, |(at, _)| Next::Until(*at)),
        }
    }

    /// A worker is done with a key.
    pub fn finish(&mut self, key: Key, ended: Ended, now: Instant) {
        self.working.remove(&key);
        let delay = match ended {
            Ended::Done | Ended::After(_) => {
                self.failures.remove(&key);
                if let Ended::After(delay) = ended {
                    self.postpone(key.clone(), now + delay);
                }
                if self.again.remove(&key) {
                    self.add(key);
                }
                return;
            }
            Ended::Failed => {
                let failures = self.failures.entry(key.clone()).or_insert(0);
                *failures = failures.saturating_add(1);
                RETRY_FIRST.saturating_mul(1 << (*failures - 1).min(20)).min(RETRY_MOST)
            }
            Ended::Resting(left) => left,
        };
        // What changed meanwhile is seen by the retry; it must not undo the delay.
        self.again.remove(&key);
        self.postpone(key, now + delay);
    }

    /// Keys that are ready or delayed.
    pub fn depth(&self) -> usize {
        self.ready.len() + self.later.len()
    }

    /// How often something was added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// The earlier of two wishes counts.
    fn postpone(&mut self, key: Key, at: Instant) {
        if let Some(old) = self.due.get(&key).copied() {
            if old <= at {
                return;
            }
            self.later.remove(&(old, key.clone()));
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "n".into(), name: name.into() }
    }

    #[test]
    fn a_key_stands_in_the_queue_once() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        ["a", "b", "a"].into_iter().for_each(|k| queue.add(key(k)));
        assert_eq!(queue.next(now), Next::Work(key("a")));
        assert_eq!(queue.next(now), Next::Work(key("b")));
        assert_eq!(queue.next(now), Next::Idle);
    }

    #[test]
    fn a_key_is_never_given_to_two_workers() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"));
        assert_eq!(queue.next(now), Next::Work(key("a")));
        queue.add(key("a"));
        assert_eq!(queue.next(now), Next::Idle);
        queue.finish(key("a"), Ended::Done, now);
        assert_eq!(queue.next(now), Next::Work(key("a")));
    }

    #[test]
    fn failures_wait_longer_each_time_and_success_forgets_them() {
        let (mut queue, mut now) = (Queue::default(), Instant::now());
        queue.add(key("a"));
        for wait in [5, 10, 20, 40] {
            assert_eq!(queue.next(now), Next::Work(key("a")));
            queue.finish(key("a"), Ended::Failed, now);
            let due = now + Duration::from_millis(wait);
            assert_eq!(queue.next(now), Next::Until(due));
            now = due;
        }
        assert_eq!(queue.next(now), Next::Work(key("a")));
        queue.finish(key("a"), Ended::Done, now);
        assert_eq!((queue.next(now), queue.failures.len()), (Next::Idle, 0));
    }

    #[test]
    fn a_rest_of_the_plugin_is_no_failure_of_the_key() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(key("a"));
        queue.next(now);
        queue.add(key("a"));
        queue.finish(key("a"), Ended::Resting(Duration::from_millis(70)), now);
        let due = now + Duration::from_millis(70);
        assert_eq!((queue.next(now), queue.failures.len()), (Next::Until(due), 0));
        assert_eq!(queue.next(due), Next::Work(key("a")));
    }

    #[test]
    fn the_longest_wait_is_bounded() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.failures.insert(key("a"), 60);
        queue.add(key("a"));
        queue.next(now);
        queue.finish(key("a"), Ended::Failed, now);
        assert_eq!(queue.next(now), Next::Until(now + RETRY_MOST));
    }

    #[test]
    fn the_earlier_of_two_wishes_counts() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for seconds in [10, 5, 20] {
            queue.add(key("a"));
            queue.next(now);
            queue.finish(key("a"), Ended::After(Duration::from_secs(seconds)), now);
        }
        assert_eq!(queue.next(now), Next::Until(now + Duration::from_secs(5)));
        assert_eq!(queue.depth(), 1);
    }
}
