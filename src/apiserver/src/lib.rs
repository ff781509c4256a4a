//! HTTP in, store out: the Kubernetes API, for every kind through one schema-driven path.
//!
//! In: requests over TLS, or from within the daemon through [`Loopback`]. Out: answers, and objects
//! in the store. The way of a request is `chain.rs`; what is done to objects is `registry`.
//! Never runs a container, schedules a pod or reconciles anything.

pub mod admission;
mod aggregation;
pub mod audit;
mod authn;
mod authz;
mod backup;
mod bootstrap;
mod chain;
mod clock;
mod compress;
mod config;
mod conversion;
mod core;
mod error;
mod flow;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod health;
mod identity;
mod kubeconfig;
mod listen;
mod loopback;
mod media;
pub mod metrics;
mod outbound;
mod paths;
mod pretty;
mod proxy;
mod query;
mod random;
mod registry;
mod request;
mod resource;
mod respond;
mod server;
pub mod streams;
mod timed;
mod tls;
mod upkeep;
mod usage;
mod vault;

pub use admission::AdmissionConfig;
pub use audit::{AuditError, AuditLog, AuditSettings};
pub use authn::settings::Authentication;
pub use authn::token::{Bound, TokenOrder};
pub use authn::webhook::TokenWebhookSettings;
pub use authz::webhook::AccessWebhookSettings;
pub use backup::archive::{ArchiveFault, Keys, Manifest, unpack};
pub use clock::{Clock, LastSeen};
pub use config::{Config, Limits, Parts};
pub use health::{Check, Probe};
pub use identity::Identity;
pub use loopback::Loopback;
pub use paths::KUBERNETES;
pub use random::Random;
pub use registry::convert::Converter;
pub use request::percent_decode;
pub use server::{ApiServer, OpenError, ServeError};
pub use usage::Usage;
pub use vault::settings::Encryption;
