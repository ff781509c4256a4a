//! Answers that are good for a while: what others said about a token or a right.
//!
//! In: a digest of the question, an answer, a time. Out: the answer, until its time is over. It
//! holds so many; the oldest goes first. Nothing runs: what is over is dropped when it is met.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The digest of a question.
pub type Mark = [u8; 32];

/// See the module.
#[derive(Debug)]
pub struct Timed<V> {
    most: usize,
    held: Mutex<Held<V>>,
}

#[derive(Debug)]
struct Held<V> {
    answers: HashMap<Mark, (Instant, V)>,
    /// Oldest first; an answer that was renewed is in it twice.
    order: VecDeque<Mark>,
}

impl<V: Clone> Timed<V> {
    /// Holds up to `most` answers.
    pub fn new(most: usize) -> Self {
        Timed { most, held: Mutex::new(Held { answers: HashMap::new(), order: VecDeque::new() }) }
    }

    /// The answer that is good at `now`.
    pub fn get(&self, mark: &Mark, now: Instant) -> Option<V> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.answers.get(mark) {
            Some((until, answer)) if *until > now => Some(answer.clone()),
            Some(_) => {
                held.answers.remove(mark);
                None
            }
            None => None,
        }
    }

    /// Holds an answer for so long from `now` on; not at all if that is no time.
    pub fn put(&self, mark: Mark, answer: V, good: Duration, now: Instant) {
        if good.is_zero() {
            return;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.answers.insert(mark, (now + good, answer));
        held.order.push_back(mark);
        while held.order.len() > self.most {
            if let Some(oldest) = held.order.pop_front()
                && !held.order.contains(&oldest)
            {
                held.answers.remove(&oldest);
            }
        }
    }
}

/// The digest of a question's parts.
pub fn mark(parts: &[&[u8]]) -> Mark {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut mark = [0; 32];
    mark.copy_from_slice(digest.finish().as_ref());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_good_for_their_time_and_the_oldest_goes_first() {
        let timed = Timed::new(2);
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let [a, b, c] = [b"a", b"b", b"c"].map(|part| mark(&[part]));
        timed.put(a, 1, second, start);
        assert_eq!((timed.get(&a, start), timed.get(&a, start + second)), (Some(1), None));
        timed.put(a, 2, second, start);
        timed.put(b, 3, second, start);
        assert_eq!((timed.get(&a, start), timed.get(&b, start)), (Some(2), Some(3)));
        timed.put(c, 4, second, start);
        assert_eq!((timed.get(&a, start), timed.get(&c, start)), (None, Some(4)));
        timed.put(c, 5, Duration::ZERO, start);
        assert_eq!(timed.get(&c, start), Some(4));
        assert_ne!(mark(&[b"ab", b"c"]), mark(&[b"a", b"bc"]));
    }
}
