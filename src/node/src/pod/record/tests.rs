//! Rows: a checkpoint and what lives, and the state that a worker goes on from.
