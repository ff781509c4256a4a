//! Watch events in forms other than the kept bytes, encoded once for all watchers.
//!
//! In: a revision, a form, a way to make the bytes. Out: shared bytes. Holds the newest
//! [`KEPT`] forms; a watcher further behind makes its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kedge_store::Revision;

/// Forms kept: watchers of one event read it within moments of each other. At 2 KB each 512 KB.
const KEPT: usize = 256;

/// What distinguishes two encodings of one event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Form {
    /// The event.
    pub revision: Revision,
    /// Whether it is the object before the event.
    pub previous: bool,
    /// The served version, the shape and what a table's rows carry.
    pub view: (u8, String),
}

/// See the module.
#[derive(Debug, Default)]
pub struct EncodedOnce(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bytes: HashMap<Form, Bytes>,
    order: VecDeque<Form>,
}

impl EncodedOnce {
    /// The bytes of that form.
    pub fn get(&self, form: Form, make: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(bytes) = self.kept().bytes.get(&form) {
            return bytes.clone();
        }
        // Made outside the lock: two watchers may both make it, and the second one's is dropped.
        let bytes = make();
        let mut kept = self.kept();
        if kept.bytes.insert(form.clone(), bytes.clone()).is_none() {
            kept.order.push_back(form);
            if kept.order.len() > KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.bytes.remove(&oldest);
            }
        }
        bytes
    }

    /// Forgets everything: revisions stand for other objects now.
    pub fn forget(&self) {
        *self.kept() = Kept::default();
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Framed batches of events, shared by all watchers that are told the same.
#[derive(Debug, Default)]
pub struct Batches(Mutex<VecDeque<(Batch, Bytes)>>);

/// Batches kept: watchers that keep up read the newest one, and a few are a batch or two behind.
const BATCHES: usize = 8;

/// A run of events as some watchers are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// What those watchers have in common: the prefix, what they select and in which form.
    pub audience: Arc<str>,
    /// The revisions of the first and the last event, and how many there are: between the same two
    /// there are the same ones.
    pub run: (Revision, Revision, usize),
}

impl Batches {
    /// Forgets everything.
    pub fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The bytes of that batch.
    pub fn get(&self, batch: Batch, make: impl FnOnce() -> Bytes) -> Bytes {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = held().iter().rev().find(|(b, _)| *b == batch) {
            return bytes.clone();
        }
        let bytes = make();
        let mut kept = held();
        kept.push_back((batch, bytes.clone()));
        if kept.len() > BATCHES {
            kept.pop_front();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_encoded_once_and_old_ones_are_forgotten() {
        let once = EncodedOnce::default();
        let form = |revision| Form { revision, previous: false, view: (0, "v1".to_owned()) };
        let mut made = 0;
        for _ in 0..3 {
            once.get(form(1), || {
                made += 1;
                Bytes::from_static(b"x")
            });
        }
        assert_eq!(made, 1);
        (2..2 + KEPT as u64).for_each(|r| {
            once.get(form(r), Bytes::new);
        });
        assert_eq!(once.kept().bytes.len(), KEPT);
        assert!(!once.kept().bytes.contains_key(&form(1)));
    }
}
