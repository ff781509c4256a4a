//! SPDY/3.1 as far as Kubernetes' clients speak it: streams over one upgraded connection.
//!
//! In: bytes of a client, which are hostile. Out: streams with headers, each with a half that gives and one that takes
//! bytes. Only the client opens streams. Knows nothing of pods: `exec.rs` and `portforward.rs` do.

mod connection;
pub(crate) mod frame;
pub(crate) mod headers;
mod wire;

pub use connection::{Incoming, Outgoing, Stream, connect};
pub use headers::Headers;
pub use wire::Wire;
