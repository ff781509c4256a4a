//! Ports in memory, for tests: they record what is asked and do what a script says.
//!
//! In: scripts. Out: recordings, and exits and faults when the script says so. Never touches the machine.

mod api;
mod clock;
mod images;
mod machine;
mod mounts;
mod network;
mod runtime;

pub use api::FakeApi;
pub use clock::{FakeClock, FakeDice};
pub use images::{FakeImages, image};
pub use machine::FakeMachine;
pub use mounts::FakeMounts;
pub use network::FakeNetwork;
pub use runtime::{FakeRuntime, Script};
