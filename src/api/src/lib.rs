//! The words everyone shares: kinds, schemas, selectors, quantities, validation, patches, printing, Status.
//!
//! Data only: no I/O, no async.

pub mod machine;
