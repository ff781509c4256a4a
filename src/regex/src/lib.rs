//! Crate `regex` for the libraries that ask for it: `regex-lite` under its name.
//!
//! In: patterns that libraries have written (libcontainer's resource control, OCI image references). Out: matches. Never
//! used by our own code: what users write as patterns is RE2 and belongs to `cel`, on an engine with bounds.
//!
//! The great engine brings tables of all of Unicode and four ways to search, and turns the same on in the parts that
//! `cel` uses: half a megabyte of the daemon, for a dozen patterns of letters and digits.

pub use regex_lite::*;
