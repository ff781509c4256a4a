//! One instance of a plugin: its store, how its calls are bounded, how its failures are told apart.

use std::sync::Arc;
use std::time::Instant;

use kedge_plugin_api::Fault;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::code::Code;
use crate::config::Limits;
use crate::metrics::Counters;
use crate::state::{DeadlinePassed, Environment, MemoryCap, State};
use crate::ticker::Ticker;

/// What is the same for all instances of a plugin.
pub(crate) struct Common {
    pub(crate) name: Arc<str>,
    pub(crate) code: Code,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) environment: Environment,
    pub(crate) ticker: Arc<Ticker>,
}

/// A plugin that runs, in its own store.
pub(crate) struct Instance<P> {
    pub(crate) store: Store<State>,
    pub(crate) plugin: P,
}

impl Common {
    /// A new one. What a component lacks or wants too much of is told when it is linked, which is no trap.
    pub(crate) fn instance<P>(
        &self,
        link: impl FnOnce(&mut Store<State>) -> wasmtime::Result<P>,
    ) -> Result<Instance<P>, Fault> {
        let mut store = self.store();
        match self.call(&mut store, link) {
            Ok(plugin) => Ok(Instance { store, plugin }),
            Err(Fault::Trap(text)) => Err(Fault::Load(text)),
            Err(fault) => Err(fault),
        }
    }

    /// A store with the plugin's limits.
    fn store(&self) -> Store<State> {
        let state = State::new(self.name.clone(), self.environment.clone(), self.counters.clone(), self.limits);
        let mut store = Store::new(self.code.component.engine(), state);
        store.limiter(|state| state);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|context| {
            if context.data().is_late() { Err(DeadlinePassed.into()) } else { Ok(UpdateDeadline::Continue(1)) }
        });
        self.counters.instances.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        store
    }

    /// Makes one call, bounded and counted.
    pub(crate) fn call<T>(
        &self,
        store: &mut Store<State>,
        call: impl FnOnce(&mut Store<State>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let ticking = self.ticker.begin();
        store.data_mut().begin();
        store.set_epoch_deadline(1);
        let begun = Instant::now();
        let answer = call(store);
        self.counters.call(begun.elapsed());
        drop(ticking);
        answer.map_err(|error| self.fault(store, &error))
    }

    fn fault(&self, store: &mut Store<State>, error: &wasmtime::Error) -> Fault {
        if error.is::<DeadlinePassed>() {
            return Fault::Deadline(self.limits.deadline_ms);
        }
        if error.is::<MemoryCap>() {
            return Fault::Memory(self.limits.memory_mib);
        }
        let text = match (store.data_mut().last_error(), error.downcast_ref::<Trap>()) {
            (Some(said), _) => said,
            (None, Some(trap)) => trap.to_string(),
            (None, None) => format!("{error:#}"),
        };
        Fault::Trap(text)
    }
}
