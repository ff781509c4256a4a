//! Places pods on nodes: queue, snapshot, cycle and binding. Every predicate and priority is a plugin.
//!
//! In: Pods and Nodes through informers, a [`Scheduling`](kedge_plugin_api::Scheduling). Out: bindings, conditions and
//! Events through the API. Holds no policy; the cycle runs on a thread of its own, since plugins block.

mod bind;
mod cluster;
mod core;
mod cycle;
mod hints;
mod message;
mod metrics;
mod node;
mod pod;
mod queue;
mod run;
mod sampling;
mod wire;

pub use metrics::{Metrics, MetricsNow};
pub use run::{Parts, Scheduler, SchedulerError, Settings};
