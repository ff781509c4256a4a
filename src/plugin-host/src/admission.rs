//! A component with admission hooks.
//!
//! In: a write. Out: a verdict, checked. Several writes at once are several instances; an instance that is not at work
//! waits in a small pool.

mod words;

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kedge_plugin_api::admission::{AdmissionPlugin, Hook, Request, Verdict};
use kedge_plugin_api::{Fault, PluginError};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::admission::AdmissionPlugin as World;
use crate::config::{OnFailure, PluginConfig};
use crate::grants;
use crate::instance::Common;
use crate::rest::Rest;
use crate::state::State;

/// Instances that wait for work. More at once are made and dropped.
const WAITING: usize = 2;
/// An instance is given up when idle once it has grown to this: twice the largest object as JSON, and the guest's own.
const GROWN: usize = 8 << 20;

/// The plugin.
pub(crate) struct Reviewer {
    pub(crate) common: Common,
    pub(crate) config: PluginConfig,
    linker: Linker<State>,
    hooks: Vec<Hook>,
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
    plugin: World,
}

impl Reviewer {
    /// Makes the first instance and asks what it wants to see.
    pub(crate) fn new(common: Common, config: PluginConfig) -> Result<Self, Fault> {
        let world = |linker: &mut Linker<State>| World::add_to_linker::<_, HasSelf<_>>(linker, |state| state);
        let linker = grants::linker(&common.code.component, world)?;
        let mut made = Self { common, config, linker, hooks: Vec::new(), pool: Mutex::default() };
        let (instance, hooks) = made.instantiate()?;
        made.hooks = hooks;
        made.pool().waiting.push(instance);
        Ok(made)
    }

    /// An instance that has declared itself, as every new one must before it is used.
    fn instantiate(&self) -> Result<(Instance, Vec<Hook>), Fault> {
        let mut store = self.common.store();
        let component = &self.common.code.component;
        let instantiate = |store: &mut Store<State>| World::instantiate(store, component, &self.linker);
        let plugin = match self.common.call(&mut store, instantiate) {
            Ok(plugin) => plugin,
            Err(Fault::Trap(text)) => return Err(Fault::Load(text)),
            Err(fault) => return Err(fault),
        };
        let arguments = self.config.arguments.to_string();
        let declared =
            self.common.call(&mut store, |store| plugin.kedge_plugin_admission().call_declare(store, &arguments))?;
        let hooks = words::hooks(declared.map_err(Fault::Refused)?).map_err(Fault::Nonsense)?;
        Ok((Instance { store, plugin }, hooks))
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

    fn ask(&self, request: Request) -> Result<Verdict, Fault> {
        let mutates = self.hooks.get(request.hook as usize).is_some_and(|hook| hook.mutates);
        let mut instance = self.ready()?;
        let wire = words::request(request);
        let Instance { store, plugin } = &mut instance;
        let answer = self.common.call(store, |store| plugin.kedge_plugin_admission().call_review(store, &wire))?;
        let verdict = words::verdict(answer, mutates).map_err(Fault::Nonsense)?;
        let mut pool = self.pool();
        pool.rest.succeeded(Instant::now());
        if pool.waiting.len() < WAITING {
            pool.waiting.push(instance);
        }
        Ok(verdict)
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

impl AdmissionPlugin for Reviewer {
    fn name(&self) -> &str {
        &self.common.name
    }

    fn fails_open(&self) -> bool {
        self.config.on_failure == OnFailure::Open
    }

    fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    fn review(&self, request: Request) -> Result<Verdict, PluginError> {
        self.ask(request).map_err(|fault| self.failed(fault))
    }
}
