//! Informers and work queues that drive controller plugins. Holds no policy.
//!
//! In: plugins that declare what they watch, and a client with each plugin's own identity. Out: calls of `reconcile`
//! with a key, and whatever the plugins write. Never decides what the world should look like: plugins do.
//!
//! Expected flow: each plugin has one `World`, the columns of the fields that its controllers declared, kept by one
//! informer for each kind. A change of a declared field puts keys into the queues of the controllers that it wakes;
//! workers take keys and call the plugin on a thread that may block. What a plugin writes is in its world before
//! `write` returns, so a reconcile never acts on less than it did itself.

mod cluster;
mod engine;
mod field;
mod kinds;
mod projection;
mod queue;
mod row;
mod selector;
mod wakes;
mod world;

pub use engine::{Engine, Metrics, PluginSeat};
pub use field::PathError;
