//! A component with controllers.
//!
//! In: a key and the cluster as the controller may see it. Out: when to look again. Several keys at once are several
//! instances; an instance that is not at work waits in a small pool.

mod cluster;
mod words;

use std::sync::Arc;
use std::time::Duration;

use kedge_plugin_api::controllers::{Action, Controller, Key, ReconcileError};
use kedge_plugin_api::{Cluster, Controllers, Fault, PluginError};
use wasmtime::Store;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::controller::ControllerPlugin;
use crate::bindings::controller::exports::kedge::plugin::controllers as wire;
use crate::config::PluginConfig;
use crate::grants;
use crate::instance::{Common, Instance};
use crate::pool::Pool;
use crate::state::State;

/// Instances that wait for work.
const WAITING: usize = 4;
/// An instance is given up when idle once it has grown to this. A reconcile over 1000 pods as columns needs about one.
const GROWN: usize = 4 << 20;

/// The plugin.
pub(crate) struct ControllersPlugin {
    pub(crate) common: Common,
    pub(crate) config: PluginConfig,
    linker: Linker<State>,
    declaration: Vec<Controller>,
    pub(crate) pool: Pool<ControllerPlugin>,
}

impl ControllersPlugin {
    /// Makes the first instance and asks what it offers.
    pub(crate) fn new(common: Common, config: PluginConfig) -> Result<Self, Fault> {
        let world =
            |linker: &mut Linker<State>| ControllerPlugin::add_to_linker::<_, HasSelf<_>>(linker, |state| state);
        let linker = grants::linker(&common.code.component, world)?;
        let mut made = Self { common, config, linker, declaration: Vec::new(), pool: Pool::new(WAITING, GROWN) };
        let (instance, declaration) = made.instantiate()?;
        made.declaration = declaration;
        made.pool.give_back(&(), instance);
        Ok(made)
    }

    /// An instance that has declared itself, as every new one must before it is used.
    fn instantiate(&self) -> Result<(Instance<ControllerPlugin>, Vec<Controller>), Fault> {
        let link =
            |store: &mut Store<State>| ControllerPlugin::instantiate(store, &self.common.code.component, &self.linker);
        let Instance { mut store, plugin } = self.common.instance(link)?;
        let arguments = self.config.arguments.to_string();
        let declared =
            self.common.call(&mut store, |store| plugin.kedge_plugin_controllers().call_declare(store, &arguments))?;
        let declaration = words::declaration(declared.map_err(Fault::Refused)?).map_err(Fault::Nonsense)?;
        Ok((Instance { store, plugin }, declaration))
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
        let subject = (controller, key);
        let failed = |fault| self.pool.failed(&self.common, &subject, fault);
        let mut instance =
            self.pool.take(&subject, || self.instantiate().map(|(instance, _)| instance)).map_err(failed)?;
        instance.store.data_mut().cluster = Some(cluster);
        let wire_key = words::to_key(key);
        let Instance { store, plugin } = &mut instance;
        let answer = self
            .common
            .call(store, |store| plugin.kedge_plugin_controllers().call_reconcile(store, controller, &wire_key));
        store.data_mut().cluster = None;
        let answer = answer.map_err(failed)?;
        self.pool.give_back(&subject, instance);
        match answer {
            Ok(wire::Action::Done) => Ok(Action::Done),
            Ok(wire::Action::AgainAfter(milliseconds)) => Ok(Action::AgainAfter(Duration::from_millis(milliseconds))),
            Err(fault) => Err(ReconcileError::Fault(fault.message)),
        }
    }
}
