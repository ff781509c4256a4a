//! How many requests may be under way at once.
//!
//! In: what a request is, before anybody knows who asks. Out: a pass that is given back when it is dropped, or
//! nothing. This bounds memory, those included who wait for a seat; who is served first is `flow.rs`. Never queues: a
//! client that is turned away is told when to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use crate::config::Limits;

/// What a request is, for its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Reads and ends.
    Read,
    /// Writes and ends.
    Write,
    /// A watch or a stream.
    Long,
}

/// The bounds and how many are under way.
#[derive(Debug)]
pub struct Gate {
    under_way: [Arc<AtomicUsize>; 3],
    bounds: [usize; 3],
}

/// Permission to be under way.
#[derive(Debug)]
pub struct Pass(Arc<AtomicUsize>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// A gate with the given bounds.
    pub fn new(limits: &Limits) -> Self {
        Gate { under_way: Default::default(), bounds: [limits.reads, limits.writes, limits.longrunning] }
    }

    /// Lets a request in if there is room. `exempt` ones always are: the daemon's own parts must
    /// not be starved by clients.
    pub fn enter(&self, class: Class, exempt: bool) -> Option<Pass> {
        let count = &self.under_way[class as usize];
        let before = count.fetch_add(1, Ordering::Relaxed);
        let pass = Pass(count.clone());
        (exempt || before < self.bounds[class as usize]).then_some(pass)
    }
}

/// A gauge that goes down when this is dropped.
#[derive(Debug)]
pub struct Counted<'a>(&'a AtomicI64);

impl<'a> Counted<'a> {
    /// Counts one up.
    pub fn up(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Counted(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_gate_lets_only_the_exempt_in() {
        let gate = Gate::new(&Limits { reads: 1, ..Limits::default() });
        let first = gate.enter(Class::Read, false);
        assert!(first.is_some() && gate.enter(Class::Read, false).is_none());
        assert!(gate.enter(Class::Read, true).is_some() && gate.enter(Class::Write, false).is_some());
        drop(first);
        assert!(gate.enter(Class::Read, false).is_some());
    }
}
