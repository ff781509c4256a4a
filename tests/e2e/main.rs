//! Real containers, networks and clients, as root: one module for each promise.
//!
//! In: built programs (see `kedge::programs`). Out: what a user sees. Each test has devices of its own; without root or
//! programs the tests say that they are skipped.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod bad_input;
mod belongings;
mod changes;
mod clients;
mod endings;
mod examples;
mod kubectl;
mod plugin_lists;
mod plugins;
mod pods;
mod registry;
mod restarts;
mod rollouts;
mod streams;
mod surroundings;
mod verbs;
mod words;
