//! The daemon: configuration, wiring, supervision

fn main() {}
