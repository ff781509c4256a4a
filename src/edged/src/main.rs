//! The daemon: configuration, wiring, supervision. Decides nothing.

mod args;
mod config;

fn main() {}
