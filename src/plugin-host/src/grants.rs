//! What a plugin is linked to: its world, and nothing else.
//!
//! In: a component. Out: a linker. The usual compilers make components that import WASI though the plugin never asks
//! for it: those imports are met by traps, so that such a plugin runs and still gets no files, sockets or environment.

use kedge_plugin_api::Fault;
use wasmtime::StoreContextMut;
use wasmtime::component::{Component, Linker};

use crate::bindings::host::Host;
use crate::state::State;

/// Seeds of hash maps, which standard libraries draw before anything else; in whatever version.
const SEED: &str = "wasi:random/insecure-seed@";

/// A linker with what `world` adds. Imports of anybody else's world are refused by name.
pub(crate) fn linker(
    component: &Component,
    world: impl FnOnce(&mut Linker<State>) -> wasmtime::Result<()>,
) -> Result<Linker<State>, Fault> {
    let load = |error: wasmtime::Error| Fault::Load(format!("{error:#}"));
    let (engine, kind) = (component.engine(), component.component_type());
    let foreign = |name: &str| !name.starts_with("kedge:plugin/") && !name.starts_with("wasi:");
    let mut foreign = kind.imports(engine).map(|(name, _)| name.to_string()).filter(|name| foreign(name));
    if let Some(name) = foreign.next() {
        return Err(Fault::Load(format!("it imports {name}, which plugins do not get")));
    }
    let mut linker = Linker::new(engine);
    world(&mut linker).map_err(load)?;
    for (name, _) in kind.imports(engine).filter(|(name, _)| name.starts_with(SEED)) {
        let seed = |mut store: StoreContextMut<'_, State>, (): ()| {
            let state = store.data_mut();
            Ok(((state.random(), state.random()),))
        };
        linker.instance(name).and_then(|mut instance| instance.func_wrap("insecure-seed", seed)).map_err(load)?;
    }
    linker.define_unknown_imports_as_traps(component).map_err(load)?;
    Ok(linker)
}
