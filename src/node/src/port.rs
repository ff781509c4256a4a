//! What the agent asks of the machine and of the API, as traits.
//!
//! In: plain words of `kedge_api::machine` and JSON objects. Out: traits that `edged` implements by newtype and that
//! `fakes` implements in memory. Nothing here does anything itself, except the real clock, dice and mounts.

mod api;
mod clock;
mod images;
mod mounts;
mod network;
mod runtime;

pub use api::{Api, ApiFault, Kind, PatchForm, WatchStep};
pub use clock::{Clock, Dice, Mono, SystemClock, SystemDice};
pub use images::{ImageFault, Images, RegistryLogin};
pub use mounts::{LinuxMounts, Mounts};
pub use network::{Connection, NetworkFault, PodNetwork};
pub use runtime::{ExecSession, Runtime, RuntimeFault};
