//! The user's hand

fn main() {}
