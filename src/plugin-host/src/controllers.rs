//! A component with controllers.
//!
//! In: a key and the cluster as the controller may see it. Out: when to look again. Several keys at once are several
//! instances; an instance that is not at work waits in a small pool.

mod cluster;
mod words;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kedge_plugin_api::controllers::{Action, Controller, Key, ReconcileError};
use kedge_plugin_api::{Cluster, Controllers, Fault, PluginError};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::controller::ControllerPlugin;
use crate::bindings::controller::exports::kedge::plugin::controllers as wire;
use crate::config::PluginConfig;
use crate::grants;
use crate::instance::Common;
use crate::rest::Rest;
use crate::state::State;

/// Instances that wait for work. More at once are made and dropped: 80 µs each.
const WAITING: usize = 4;
/// An instance is given up when idle once it has grown to this. A reconcile over 1000 pods as columns needs about one.
const GROWN: usize = 4 << 20;

/// The plugin.
pub(crate) struct ControllersPlugin {
    pub(crate) common: Common,
    pub(crate) config: PluginConfig,
    linker: Linker<State>,
    declaration: Vec<Controller>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    waiting: Vec<Instance>,
    rest: Rest,
    last: Option<Fault>,
}

struct Instance {
    store: Store<State>,
    plugin: ControllerPlugin,
}

impl ControllersPlugin {
    /// Makes the first instance and asks what it offers.
    pub(crate) fn new(common: Common, config: PluginConfig) -> Result<Self, Fault> {
        let world =
            |linker: &mut Linker<State>| ControllerPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state);
        let linker = grants::linker(&common.code.component, world)?;
        let mut made = Self { common, config, linker, declaration: Vec::new(), pool: Mutex::default() };
        let (instance, declaration) = made.instantiate()?;
        made.declaration = declaration;
        made.pool().waiting.push(instance);
        Ok(made)
    }

    /// An instance that has declared itself, as every new one must before it is used.
    fn instantiate(&self) -> Result<(Instance, Vec<Controller>), Fault> {
        let mut store = self.common.store();
        let component = &self.common.code.component;
        let instantiate = |store: &mut Store<State>| ControllerPlugin::instantiate(store, component, &self.linker);
        let plugin = match self.common.call(&mut store, instantiate) {
            Ok(plugin) => plugin,
            Err(Fault::Trap(text)) => return Err(Fault::Load(text)),
            Err(fault) => return Err(fault),
        };
        let arguments = self.config.arguments.to_string();
        let declared =
            self.common.call(&mut store, |store| plugin.kedge_plugin_controllers().call_declare(store, &arguments))?;
        let declaration = words::declaration(declared.map_err(Fault::Refused)?).map_err(Fault::Nonsense)?;
        Ok((Instance { store, plugin }, declaration))
    }

    /// Gives up waiting instances that have grown.
    pub(crate) fn retire_grown(&self) {
        let Ok(mut pool) = self.pool.try_lock() else { return };
        let before = pool.waiting.len();
        pool.waiting.retain(|instance| instance.store.data().memory() <= GROWN);
        self.common.counters.retired.fetch_add((before - pool.waiting.len()) as u64, Relaxed);
    }

    /// How long it rests and why, if it does.
    pub(crate) fn resting(&self) -> Option<Fault> {
        let pool = self.pool();
        let left = pool.rest.left(Instant::now())?;
        pool.last.as_ref().map(|last| Fault::Resting(left.as_millis() as u64, last.to_string()))
    }

    fn ready(&self) -> Result<Instance, Fault> {
        let waiting = {
            let mut pool = self.pool();
            if let Some(left) = pool.rest.left(Instant::now()) {
                let last = pool.last.as_ref().map(Fault::to_string).unwrap_or_default();
                return Err(Fault::Resting(left.as_millis() as u64, last));
            }
            pool.waiting.pop()
        };
        waiting.map_or_else(|| self.instantiate().map(|(instance, _)| instance), Ok)
    }

    fn failed(&self, fault: Fault) -> PluginError {
        if !matches!(fault, Fault::Resting(..)) {
            self.common.counters.fault(&fault);
            let mut pool = self.pool();
            let rests = pool.rest.failed(Instant::now());
            tracing::warn!(plugin = &*self.common.name, %fault, rests_ms = rests.as_millis() as u64, "plugin failed and is replaced");
            pool.last = Some(fault.clone());
        }
        PluginError { plugin: self.common.name.to_string(), fault }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controllers for ControllersPlugin {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn declaration(&self) -> Result<Vec<Controller>, PluginError> {
        Ok(self.declaration.clone())
    }

    fn reconcile(&self, controller: u32, key: &Key, cluster: Arc<dyn Cluster>) -> Result<Action, ReconcileError> {
        let mut instance = self.ready().map_err(|fault| self.failed(fault))?;
        instance.store.data_mut().cluster = Some(cluster);
        let key = words::to_key(key);
        let Instance { store, plugin } = &mut instance;
        let answer =
            self.common.call(store, |store| plugin.kedge_plugin_controllers().call_reconcile(store, controller, &key));
        store.data_mut().cluster = None;
        let answer = answer.map_err(|fault| self.failed(fault))?;
        let mut pool = self.pool();
        pool.rest.succeeded(Instant::now());
        if pool.waiting.len() < WAITING {
            pool.waiting.push(instance);
        }
        match answer {
            Ok(wire::Action::Done) => Ok(Action::Done),
            Ok(wire::Action::AgainAfter(milliseconds)) => Ok(Action::AgainAfter(Duration::from_millis(milliseconds))),
            Err(fault) => Err(ReconcileError::Fault(fault.message)),
        }
    }
}
