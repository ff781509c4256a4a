//! Events that wait to be written down.
//!
//! In: lines. Out: the same in pieces, oldest first. It holds so many bytes; what finds no room is
//! counted and gone: a slow disk or receiver never holds up a request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// See the module.
#[derive(Debug)]
pub struct Buffer {
    /// Where they go, for figures.
    pub name: &'static str,
    most: usize,
    waiting: Mutex<Waiting>,
    lost: AtomicU64,
    told: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: VecDeque<Arc<str>>,
    bytes: usize,
}

impl Buffer {
    /// Holds up to `most` bytes.
    pub fn new(name: &'static str, most: usize) -> Self {
        Buffer { name, most, waiting: Mutex::default(), lost: AtomicU64::new(0), told: Notify::new() }
    }

    /// Adds a line, if there is room.
    pub fn push(&self, line: Arc<str>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.bytes + line.len() > self.most {
            drop(waiting);
            self.lose(1);
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        drop(waiting);
        self.told.notify_one();
    }

    /// Up to so many lines of up to so many bytes together, and at least one if there is any.
    pub fn take(&self, lines: usize, bytes: usize) -> Vec<Arc<str>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut size = 0;
        while taken.len() < lines
            && let Some(next) = waiting.lines.front()
            && (taken.is_empty() || size + next.len() <= bytes)
            && let Some(line) = waiting.lines.pop_front()
        {
            size += line.len();
            taken.push(line);
        }
        waiting.bytes -= size;
        taken
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    /// Resolves when a line was added since the last time.
    pub async fn told(&self) {
        self.told.notified().await;
    }

    /// Counts lines that are gone.
    pub fn lose(&self, lines: usize) {
        self.lost.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// How many lines are gone.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_comes_in_order() {
        let buffer = Buffer::new("x", 10);
        for line in ["aaaa", "bbbb", "cccc", "dd"] {
            buffer.push(line.into());
        }
        assert_eq!((buffer.lost(), buffer.bytes()), (1, 10));
        assert_eq!(buffer.take(9, 5), ["aaaa".into()]);
        assert_eq!(buffer.take(1, 99), ["bbbb".into()]);
        assert_eq!(buffer.take(9, 1), ["dd".into()], "a line that is longer than a piece goes alone");
        assert!(buffer.take(9, 9).is_empty() && buffer.bytes() == 0);
    }
}
