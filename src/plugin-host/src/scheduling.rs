//! A component with predicates and priorities.
//!
//! In: the table of the nodes, a pod, sets of rows. Out: verdicts and weighted scores, checked.
//! Holds one instance, which serves all its predicates and priorities, and keeps its copy of the nodes current.

mod answers;
mod delta;
mod words;

use std::hash::Hash;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kedge_plugin_api::{Bitmap, Fault, NodeTable, PluginError, PodRow, Verdict};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::scheduler::SchedulerPlugin;
use crate::bindings::scheduler::exports::kedge::plugin::scheduling::Description;
use crate::config::PluginConfig;
use crate::grants;
use crate::health::Health;
use crate::instance::{self, Common};
use crate::state::State;

/// An instance is given up when idle once it has grown by this much beyond twice what it had after its first load.
const GROWN: usize = 4 << 20;

/// The plugin.
pub(crate) struct SchedulingPlugin {
    pub(crate) common: Common,
    pub(crate) config: PluginConfig,
    linker: Linker<State>,
    /// Turned on, in the component's order.
    pub(crate) predicates: Vec<String>,
    /// Turned on, with their weights.
    pub(crate) priorities: Vec<(String, u64)>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    instance: Option<Instance>,
    health: Health,
}

struct Instance {
    store: Store<State>,
    plugin: SchedulerPlugin,
    description: Description,
    /// Which table it holds, and how much of it.
    epoch: u64,
    generation: u64,
    symbols: usize,
    /// Memory after the first whole load.
    loaded: usize,
}

impl SchedulingPlugin {
    /// Makes the first instance, so that what is wrong with the plugin or its configuration is said at once.
    pub(crate) fn new(common: Common, config: PluginConfig) -> Result<Self, Fault> {
        let world = |linker: &mut Linker<State>| SchedulerPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state);
        let linker = grants::linker(&common.code.component, world)?;
        let slot = Mutex::default();
        let mut made = Self { common, config, linker, predicates: Vec::new(), priorities: Vec::new(), slot };
        let instance = made.instantiate()?;
        made.choose(&instance.description)?;
        made.configure(instance).map(|instance| {
            made.slot().instance = Some(instance);
            made
        })
    }

    /// What the configuration turns on of what the component offers.
    fn choose(&mut self, offered: &Description) -> Result<(), Fault> {
        let unknown = |name: &String, known: &[String]| {
            Fault::Refused(format!("it does not offer {name}; it offers {}", known.join(", ")))
        };
        if let Some(name) = self.config.disabled.iter().find(|name| !offered.predicates.contains(name)) {
            return Err(unknown(name, &offered.predicates));
        }
        if let Some(name) = self.config.weights.keys().find(|name| !offered.priorities.contains(name)) {
            return Err(unknown(name, &offered.priorities));
        }
        let on = |name: &&String| !self.config.disabled.contains(name);
        self.predicates = offered.predicates.iter().filter(on).cloned().collect();
        let weight = |name: &String| u64::from(*self.config.weights.get(name).unwrap_or(&1));
        let weighted = offered.priorities.iter().map(|name| (name.clone(), weight(name)));
        self.priorities = weighted.filter(|(_, weight)| *weight > 0).collect();
        Ok(())
    }

    fn instantiate(&self) -> Result<Instance, Fault> {
        let link =
            |store: &mut Store<State>| SchedulerPlugin::instantiate(store, &self.common.code.component, &self.linker);
        let instance::Instance { mut store, plugin } = self.common.instance(link)?;
        let describe = |store: &mut Store<State>| plugin.kedge_plugin_scheduling().call_describe(store);
        let description = self.common.call(&mut store, describe)?;
        Ok(Instance { store, plugin, description, epoch: 0, generation: 0, symbols: 0, loaded: 0 })
    }

    fn configure(&self, mut instance: Instance) -> Result<Instance, Fault> {
        let priorities: Vec<String> = self.priorities.iter().map(|(name, _)| name.clone()).collect();
        let arguments = self.config.arguments.to_string();
        let Instance { store, plugin, .. } = &mut instance;
        let configured = self.common.call(store, |store| {
            plugin.kedge_plugin_scheduling().call_configure(store, &self.predicates, &priorities, &arguments)
        })?;
        configured.map(|()| instance).map_err(Fault::Refused)
    }

    /// Which candidates pass.
    pub(crate) fn filter(&self, nodes: &NodeTable, pod: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError> {
        self.with(nodes, pod, |instance| {
            let (wire, words) = (words::pod(pod), candidates.words().to_vec());
            let verdict = self.common.call(&mut instance.store, |store| {
                instance.plugin.kedge_plugin_scheduling().call_filter(store, &wire, &words)
            })?;
            answers::verdict(verdict, candidates, &self.predicates).map_err(Fault::Nonsense)
        })
    }

    /// Adds weighted scores to `sums`.
    pub(crate) fn score(
        &self,
        nodes: &NodeTable,
        pod: &PodRow,
        feasible: &Bitmap,
        sums: &mut [u64],
    ) -> Result<(), PluginError> {
        self.with(nodes, pod, |instance| {
            let (wire, words) = (words::pod(pod), feasible.words().to_vec());
            let scores = self.common.call(&mut instance.store, |store| {
                instance.plugin.kedge_plugin_scheduling().call_score(store, &wire, &words)
            })?;
            answers::scores(&scores, &self.priorities, sums).map_err(Fault::Nonsense)
        })
    }

    /// Gives up an instance that has grown, unless it is at work.
    pub(crate) fn retire_grown(&self) {
        let Ok(mut slot) = self.slot.try_lock() else { return };
        let grown = |i: &Instance| i.loaded > 0 && i.store.data().memory() > i.loaded * 2 + GROWN;
        if slot.instance.as_ref().is_some_and(grown) {
            slot.instance = None;
            self.common.counters.retired.fetch_add(1, Relaxed);
        }
    }

    /// How long it rests and why, if it does.
    pub(crate) fn resting(&self) -> Option<Fault> {
        self.slot().health.resting()
    }

    /// Runs `act` on an instance whose copy of the nodes is current. Whatever fails, the instance is given up.
    fn with<T>(
        &self,
        nodes: &NodeTable,
        pod: &PodRow,
        act: impl FnOnce(&mut Instance) -> Result<T, Fault>,
    ) -> Result<T, PluginError> {
        let mut slot = self.slot();
        let subject = &pod.uid;
        let outcome = self.ready(&mut slot, subject).and_then(|mut instance| {
            self.bring_up_to_date(&mut instance, nodes)?;
            let answer = act(&mut instance)?;
            slot.instance = Some(instance);
            Ok(answer)
        });
        match outcome {
            Ok(answer) => {
                slot.health.succeeded(subject);
                Ok(answer)
            }
            Err(fault) => Err(slot.health.failed(&self.common, subject, fault)),
        }
    }

    fn ready(&self, slot: &mut Slot, subject: &impl Hash) -> Result<Instance, Fault> {
        if let Some(resting) = slot.health.resting_about(subject) {
            return Err(resting);
        }
        match slot.instance.take() {
            Some(instance) => Ok(instance),
            None => self.instantiate().and_then(|instance| self.configure(instance)),
        }
    }

    fn bring_up_to_date(&self, instance: &mut Instance, nodes: &NodeTable) -> Result<(), Fault> {
        let known = instance.epoch == nodes.epoch() && instance.generation > 0;
        if known && instance.generation == nodes.generation() && instance.symbols == nodes.symbols.count() {
            return Ok(());
        }
        // The second attempt starts from nothing, for a plugin that does not hold what we think.
        for base in [if known { instance.generation } else { 0 }, 0] {
            let first_symbol = if base == 0 { 1 } else { instance.symbols };
            let delta = delta::since(nodes, base, first_symbol, instance.description.groups);
            let Instance { store, plugin, .. } = &mut *instance;
            let held = self.common.call(store, |store| plugin.kedge_plugin_scheduling().call_update(store, &delta))?;
            if held == nodes.generation() {
                instance.epoch = nodes.epoch();
                instance.generation = held;
                instance.symbols = nodes.symbols.count();
                if base == 0 {
                    instance.loaded = instance.store.data().memory();
                }
                return Ok(());
            }
        }
        Err(Fault::Nonsense("it does not take the nodes that it is given".into()))
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
