//! Input of unknown origin: whatever it is, it is answered or refused, in bounded time, and nothing panics.
//!
//! Everything is made at random from the words that matter where it goes.

mod bodies;
mod custom;
mod values;
