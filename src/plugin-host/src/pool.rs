//! Instances of a plugin of which several may be at work at once.
//!
//! In: how one is made. Out: one for each call. One that has done its work waits for the next, in a small pool; one
//! whose call failed is never given back, and so it is given up.

use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kedge_plugin_api::{Fault, PluginError};

use crate::health::Health;
use crate::instance::{Common, Instance};

/// The instances that are not at work.
pub(crate) struct Pool<P> {
    /// How many may wait. More at once are made and dropped: 80 µs each.
    most: usize,
    /// One that has grown beyond so many bytes is given up when idle.
    grown: usize,
    state: Mutex<State<P>>,
}

struct State<P> {
    waiting: Vec<Instance<P>>,
    health: Health,
}

impl<P> Pool<P> {
    pub(crate) fn new(most: usize, grown: usize) -> Self {
        Self { most, grown, state: Mutex::new(State { waiting: Vec::new(), health: Health::default() }) }
    }

    /// One that waits, else a new one; refused while the plugin rests about this subject.
    pub(crate) fn take(
        &self,
        subject: &impl Hash,
        make: impl FnOnce() -> Result<Instance<P>, Fault>,
    ) -> Result<Instance<P>, Fault> {
        let waiting = {
            let mut state = self.state();
            if let Some(resting) = state.health.resting_about(subject) {
                return Err(resting);
            }
            state.waiting.pop()
        };
        waiting.map_or_else(make, Ok)
    }

    /// Takes back one that has done its work about this subject.
    pub(crate) fn give_back(&self, subject: &impl Hash, instance: Instance<P>) {
        let mut state = self.state();
        state.health.succeeded(subject);
        if state.waiting.len() < self.most {
            state.waiting.push(instance);
        }
    }

    /// Gives up those that have grown.
    pub(crate) fn retire_grown(&self, common: &Common) {
        let Ok(mut state) = self.state.try_lock() else { return };
        let before = state.waiting.len();
        state.waiting.retain(|instance| instance.store.data().memory() <= self.grown);
        common.counters.retired.fetch_add((before - state.waiting.len()) as u64, Relaxed);
    }

    /// How long the plugin rests and why, if it does.
    pub(crate) fn resting(&self) -> Option<Fault> {
        self.state().health.resting()
    }

    /// What a caller is told of a fault.
    pub(crate) fn failed(&self, common: &Common, subject: &impl Hash, fault: Fault) -> PluginError {
        self.state().health.failed(common, subject, fault)
    }

    fn state(&self) -> MutexGuard<'_, State<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
