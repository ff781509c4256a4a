//! The words everyone shares: kinds, schemas, selectors, quantities, validation, patches, printing, Status.
//!
//! Data only: no I/O, no async.

pub mod apply;
pub mod base64;
pub mod check;
pub mod clock;
pub mod convert;
pub mod cron;
pub mod custom;
pub mod decode;
pub mod defaults;
pub mod discovery;
pub mod field;
pub mod fields;
pub mod kinds;
pub mod machine;
pub mod meta;
pub mod name;
pub mod openapi;
pub mod patch;
pub mod pod_security;
pub mod policy;
pub mod print;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod resources;
pub mod schema;
pub mod selector;
pub mod status;
pub mod strategy;
pub mod validate;
pub mod warn;
pub mod yaml;

/// An API object as it travels: JSON with sorted keys.
pub type Object = serde_json::Value;

#[cfg(test)]
mod testdata;
