//! TLS: the certificate authority of the device, the server's certificate, and who a client
//! certificate names.
//!
//! In: the data directory, names and addresses, the time. Out: a rustls configuration whose
//! server certificate is exchanged while running. Never talks HTTP.

pub mod authority;
pub mod client;
pub(crate) mod der;
pub mod issued;
pub(crate) mod possession;
mod pss;
pub mod renewal;
pub mod request;
mod serving;
mod sign;
mod suites;

pub use authority::{Authority, AuthorityError};
pub(crate) use serving::ClockForTls;
pub use serving::{ServingCertificate, server_config};
