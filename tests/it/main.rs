//! The whole stack in one process, without root: store, API server on port 0, the built-in plugins as Wasm guests,
//! scheduler, controllers and node agent; only what the machine would do is a fake.

#![allow(clippy::unwrap_used, reason = "a test that cannot get what it needs fails")]

mod stack;
mod stories;
