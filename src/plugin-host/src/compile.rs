//! Turns Wasm into code. Only in the compiler program, never in the daemon.
//!
//! In: a component (binary or text) and a target. Out: the compiled form that `engine::config` loads.

use wasmtime::Engine;

/// Compiles one component. `target` `None`: for exactly this processor.
pub fn compile(wasm: &[u8], target: Option<&str>) -> Result<Vec<u8>, String> {
    let mut config = crate::engine::config_for(target.unwrap_or(crate::engine::native_target()));
    if let Some(target) = target {
        config.target(target).map_err(|error| format!("target {target}: {error:#}"))?;
    }
    let engine = Engine::new(&config).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(wasm).map_err(|error| format!("{error:#}"))
}
