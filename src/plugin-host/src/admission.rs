//! A component with admission hooks.
//!
//! In: a write. Out: a verdict, checked. Several writes at once are several instances; an instance that is not at work
//! waits in a small pool.

mod words;

use kedge_plugin_api::admission::{AdmissionPlugin, Hook, Request, Verdict};
use kedge_plugin_api::{Fault, PluginError};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::admission::AdmissionPlugin as World;
use crate::config::{OnFailure, PluginConfig};
use crate::grants;
use crate::instance::{Common, Instance};
use crate::pool::Pool;
use crate::state::State;

/// Instances that wait for work.
const WAITING: usize = 2;
/// An instance is given up when idle once it has grown to this: twice the largest object as JSON, and the guest's own.
const GROWN: usize = 8 << 20;

/// Who writes, in which namespace, to which resource.
type Subject = (String, String, String);

/// The plugin.
pub(crate) struct Reviewer {
    pub(crate) common: Common,
    pub(crate) config: PluginConfig,
    linker: Linker<State>,
    hooks: Vec<Hook>,
    pub(crate) pool: Pool<World>,
}

impl Reviewer {
    /// Makes the first instance and asks what it wants to see.
    pub(crate) fn new(common: Common, config: PluginConfig) -> Result<Self, Fault> {
        let world = |linker: &mut Linker<State>| World::add_to_linker::<_, HasSelf<_>>(linker, |state| state);
        let linker = grants::linker(&common.code.component, world)?;
        let mut made = Self { common, config, linker, hooks: Vec::new(), pool: Pool::new(WAITING, GROWN) };
        let (instance, hooks) = made.instantiate()?;
        made.hooks = hooks;
        made.pool.give_back(&(), instance);
        Ok(made)
    }

    /// An instance that has declared itself, as every new one must before it is used.
    fn instantiate(&self) -> Result<(Instance<World>, Vec<Hook>), Fault> {
        let link = |store: &mut Store<State>| World::instantiate(store, &self.common.code.component, &self.linker);
        let Instance { mut store, plugin } = self.common.instance(link)?;
        let arguments = self.config.arguments.to_string();
        let declared =
            self.common.call(&mut store, |store| plugin.kedge_plugin_admission().call_declare(store, &arguments))?;
        let hooks = words::hooks(declared.map_err(Fault::Refused)?).map_err(Fault::Nonsense)?;
        Ok((Instance { store, plugin }, hooks))
    }

    fn ask(&self, subject: &Subject, request: Request) -> Result<Verdict, Fault> {
        let mutates = self.hooks.get(request.hook as usize).is_some_and(|hook| hook.mutates);
        let mut instance = self.pool.take(subject, || self.instantiate().map(|(instance, _)| instance))?;
        let wire = words::request(request);
        let Instance { store, plugin } = &mut instance;
        let answer = self.common.call(store, |store| plugin.kedge_plugin_admission().call_review(store, &wire))?;
        let verdict = words::verdict(answer, mutates).map_err(Fault::Nonsense)?;
        self.pool.give_back(subject, instance);
        Ok(verdict)
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
        // Whoever writes what the plugin cannot bear, again and again, waits alone.
        let subject: Subject = (request.user.clone(), request.namespace.clone(), request.resource.clone());
        self.ask(&subject, request).map_err(|fault| self.pool.failed(&self.common, &subject, fault))
    }
}
