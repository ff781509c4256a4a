//! Implements `plugin-api` with Wasm components: grants, limits, cache, reload, metrics.
//!
//! In: a list of plugins, by built-in name or by file. Out: one [`Scheduling`](kedge_plugin_api::Scheduling) over all
//! of them, their controllers, and their admission hooks. A plugin that traps, runs too long, grows too much or answers nonsense is replaced
//! with growing delays; the daemon goes on. Never compiles: a child process does (`kedge-plugin-compiler`).

mod admission;
mod bindings;
pub mod bundle;
mod cache;
mod code;
#[cfg(feature = "compiler")]
pub mod compile;
mod config;
mod controllers;
pub mod engine;
mod grants;
mod health;
mod host;
mod instance;
mod metrics;
mod pool;
mod rest;
mod scheduling;
mod state;
mod ticker;
mod zones;

pub use bundle::BundleError;
pub use cache::CacheError;
pub use code::{LoadError, Offers, builtin};
pub use config::{Limits, OnFailure, PluginConfig, Source};
pub use host::{HostError, Options, PluginHost, PluginInfo, Problem};
pub use metrics::{PluginMetrics, render};
pub use state::{Environment, Level, LogSink};
pub use zones::offset as zone_offset;
