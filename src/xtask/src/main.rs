//! Drives what cargo alone cannot: guests, images, demo, tests, benchmarks

fn main() {}
