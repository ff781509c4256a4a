//! Implements `plugin-api` with Wasm components: grants, limits, cache, reload, metrics.

pub mod bundle;
#[cfg(feature = "compiler")]
pub mod compile;
pub mod engine;
