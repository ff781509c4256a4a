//! The whole API server on its loopback, and over TLS on port 0: what a client sees, row by row.

#![allow(clippy::unwrap_used)] // It is all tests; clippy only knows those by their attribute.

mod access;
mod addresses;
mod admission;
mod aggregated;
mod asked;
mod audits;
mod backend;
mod backups;
mod certificates;
mod clients;
mod credentials;
mod custom;
mod documents;
mod flow;
mod hostile;
mod lists;
mod nodes;
mod objects;
mod paced;
mod plugins;
mod policies;
mod proxies;
mod refusals;
mod removed;
mod sealed;
mod sockets;
mod starts;
mod streams;
mod subresources;
mod support;
mod usage;
mod versions;
mod watches;
mod webhooks;
