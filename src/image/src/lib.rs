//! Images of containers on one machine: archives and registries in, folders to mount out.
//!
//! In: image archives, references to a registry. Out: verified, unpacked layers and what an image says
//! about running it. Never decides when to pull and never runs anything: that is the node agent's part.

mod archive;
pub mod build;
mod compress;
mod digest;
mod disk;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod garbage;
mod images;
mod manifest;
mod merged;
mod pull;
mod reference;
mod registry;
mod save;
mod store;
mod tar;
mod unpack;
mod user;

pub use archive::ArchiveError;
pub use digest::{Digest, DigestFault};
pub use disk::replace;
pub use garbage::Collected;
pub use images::{Images, LoadError, Loaded, OpenError, Options};
pub use manifest::{ManifestFault, Platform};
pub use pull::{Progress, PullError, Pulled};
pub use reference::{Reference, ReferenceFault};
pub use registry::RegistryError;
pub use registry::config::{Patience, Registries};
pub use registry::keys::{Credential, Keys, KeysFault};
pub use save::SaveError;
pub use store::{Clock, StoreError};
pub use tar::{Entry, Kind, TarError};
pub use unpack::{Limits, UnpackError};
pub use user::UserError;
