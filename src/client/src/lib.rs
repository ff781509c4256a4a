//! How everyone else reaches the API: by an in-process service or by HTTPS, the latter on kube-rs.
//!
//! In: paths, objects and options. Out: objects, streams and errors that carry the server's `Status`.
//! Never caches an object and never decides what to write: callers do both.

mod client;
mod connect;
pub mod discovery;
mod error;
pub mod events;
mod informer;
mod lines;
mod options;
mod path;
mod transport;

pub use client::{ByteStream, Client, pieces};
pub use connect::{ConnectOptions, Server};
pub use error::{ClientError, Result};
pub use informer::{Informer, Step, WatchOptions};
pub use kube;
pub use lines::Lines;
pub use options::{DeleteOptions, FieldValidation, ListOptions, PatchKind, PatchOptions, Propagation, WriteOptions};
pub use path::ResourcePath;
pub use transport::Body;
