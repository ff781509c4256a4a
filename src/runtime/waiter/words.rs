//! What the waiter and its clients say to each other: the first byte of each message.
//!
//! In: nothing. Out: constants, shared with the runtime. Never computes.

/// The container has ended.
pub const ENDED: u8 = 0;
/// What it wrote to its standard output follows.
pub const OUTPUT: u8 = 1;
/// What it wrote to its standard error follows.
pub const ERRORS: u8 = 2;
/// A client's word that there is no more input, ever.
pub const INPUT_ENDED: u8 = b'e';
/// A client's word that a terminal has so many columns and rows; two bytes each, the low one first.
pub const SIZE: u8 = b's';
