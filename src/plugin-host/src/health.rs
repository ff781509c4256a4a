//! How a plugin fares: what it failed with last, and how long it rests for it.
//!
//! In: the faults and successes of its calls. Out: whether it may run, and what callers are told. Never replaces an
//! instance: whoever holds it does.

use std::time::Instant;

use kedge_plugin_api::{Fault, PluginError};

use crate::instance::Common;
use crate::rest::Rest;

/// The health of one plugin.
#[derive(Default)]
pub(crate) struct Health {
    rest: Rest,
    last: Option<Fault>,
}

impl Health {
    /// How long it rests and why, if it does.
    pub(crate) fn resting(&self) -> Option<Fault> {
        let left = self.rest.left(Instant::now())?;
        let last = self.last.as_ref().map(Fault::to_string).unwrap_or_default();
        Some(Fault::Resting(left.as_millis() as u64, last))
    }

    /// Takes note of a call that went well.
    pub(crate) fn succeeded(&mut self) {
        self.rest.succeeded(Instant::now());
    }

    /// Takes note of a fault and tells of it, unless it is only that the plugin rests.
    pub(crate) fn failed(&mut self, common: &Common, fault: Fault) -> PluginError {
        if !matches!(fault, Fault::Resting(..)) {
            common.counters.fault(&fault);
            let rests = self.rest.failed(Instant::now());
            tracing::warn!(plugin = &*common.name, %fault, rests_ms = rests.as_millis() as u64, "plugin failed and is replaced");
            self.last = Some(fault.clone());
        }
        PluginError { plugin: common.name.to_string(), fault }
    }
}
