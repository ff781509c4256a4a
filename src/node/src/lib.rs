//! The agent: makes bound Pods true on one machine.
//!
//! In: the Pods that the API binds to this node, through the `Api` port. Out: sandboxes, containers, volumes and
//! addresses through the other ports; statuses, Events, the Node and its lease back to the API.
//!
//! One task for each pod (`pod::worker`) observes, asks the pure `pod::plan` and acts through `acts`. What a pod's
//! words mean is decided in `container`, `volume` and `probe` without touching the machine. `port` names everything
//! that is touched; `fakes` implements it in memory.
//!
//! Never here: a container engine, a network, an image store. They are given.

mod acts;
mod admit;
mod agent;
mod amount;
mod client_api;
mod config;
mod container;
mod disk;
mod events;
#[cfg(any(test, feature = "fakes"))]
pub mod fakes;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod logs;
pub mod machine;
mod metrics;
mod node_object;
mod pod;
pub mod port;
mod probe;
mod pull;
mod pulled;
mod registrar;
mod shared;
mod sources;
pub mod system_logs;
mod volume;

pub use agent::{ContainerUsage, NodeFault, NodeHandle, Ports, StartError, start};
pub use client_api::ClientApi;
pub use config::{ImageGc, NodeConfig, Reserved};
pub use logs::{LogOptions, LogStream, Stream};
pub use machine::MachineUsage;
