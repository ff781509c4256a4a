//! How a plugin fares: what it failed with last, and how long it rests for it.
//!
//! In: the faults and successes of its calls, and what each was about. Out: whether it may run, and what callers are
//! told. Never replaces an instance: whoever holds it does.

use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

use kedge_plugin_api::{Fault, PluginError};

use crate::instance::Common;
use crate::rest::Rest;

/// The health of one plugin.
#[derive(Default)]
pub(crate) struct Health {
    rest: Rest,
    last: Option<Fault>,
    /// Digests subjects; nobody outside can make two of them meet.
    hasher: RandomState,
}

impl Health {
    /// How long it rests and why, if it does, about everything or about some subject.
    pub(crate) fn resting(&self) -> Option<Fault> {
        self.rest.longest(Instant::now()).map(|left| self.told(left))
    }

    /// How long it rests about this subject and why, if it does.
    pub(crate) fn resting_about(&self, subject: &impl Hash) -> Option<Fault> {
        self.rest.left(Instant::now(), self.hasher.hash_one(subject)).map(|left| self.told(left))
    }

    /// Takes note of a call that went well.
    pub(crate) fn succeeded(&mut self, subject: &impl Hash) {
        self.rest.succeeded(self.hasher.hash_one(subject));
    }

    /// Takes note of a fault and tells of it, unless it is only that the plugin rests.
    pub(crate) fn failed(&mut self, common: &Common, subject: &impl Hash, fault: Fault) -> PluginError {
        if !matches!(fault, Fault::Resting(..)) {
            common.counters.fault(&fault);
            let rests_ms = self.rest.failed(Instant::now(), self.hasher.hash_one(subject)).as_millis() as u64;
            tracing::warn!(plugin = &*common.name, %fault, rests_ms, "plugin failed and is replaced");
            self.last = Some(fault.clone());
        }
        PluginError { plugin: common.name.to_string(), fault }
    }

    fn told(&self, left: Duration) -> Fault {
        let last = self.last.as_ref().map(Fault::to_string).unwrap_or_default();
        // Rounded up, so that whoever comes back then is not too early.
        Fault::Resting(left.as_millis() as u64 + 1, last)
    }
}
