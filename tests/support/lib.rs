//! What whole-stack tests share: real devices on this machine, each with its own folder, port, bridge and cgroups.
//!
//! In: the built `edged` and `edgectl`, root's rights. Out: handles that start, ask, kill and remove devices. Waits are
//! on states, each with a bound; nothing here decides what is right.
//!
//! Programs are taken from `KEDGE_BIN_DIR`, else `target/release`, else `target/debug`. Without them or without root a
//! test says that it is skipped; with `CI=true` it fails instead.

mod device;
pub mod http;
pub mod leftovers;
mod output;
pub mod programs;
mod wait;

pub use device::{Device, Setup};
pub use output::{Output, Running};
pub use wait::{holds_for, until};
