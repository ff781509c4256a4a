//! The whole API server on its loopback, and over TLS on port 0: what a client sees, row by row.

mod access;
mod documents;
mod hostile;
mod lists;
mod objects;
mod sockets;
mod subresources;
mod support;
mod watches;
