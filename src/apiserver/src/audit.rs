//! What is written down of requests: who asked for what, and what came of it.
//!
//! In: notes that the stages of a request leave. Out: audit Events, if a policy asks for any.
//! Without a policy nothing is noted: a request pays one look at a flag.

mod notes;

pub use notes::Notes;
