//! The image store, as the agent sees it.
//!
//! In: image names and logins. Out: what is present, with its layers and configuration.

use async_trait::async_trait;
use kedge_api::machine::{ImageInfo, User};

/// Finds, pulls and drops images.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// The image of that name or ID, if it is whole on this machine.
    async fn present(&self, reference: &str) -> Result<Option<ImageInfo>, ImageFault>;
    /// Pulls it, trying the logins that fit its registry; tells which one the registry took, if it asked for one.
    async fn pull(&self, reference: &str, logins: &[RegistryLogin]) -> Result<(ImageInfo, Option<usize>), ImageFault>;
    /// Every image, largest first.
    async fn list(&self) -> Result<Vec<ImageInfo>, ImageFault>;
    /// Drops images that are neither in use nor pinned, oldest first, until so many bytes are free.
    async fn collect_garbage(&self, in_use: &[String], free: u64) -> Result<u64, ImageFault>;
    /// Turns a `user[:group]` text into numbers by the image's own files.
    async fn resolve_user(&self, image: &ImageInfo, user: &str) -> Result<User, ImageFault>;
}

/// A login for a registry, or for one repository path in it.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// Host with optional port and path, e.g. `ghcr.io` or `registry.example:5000/team`.
    pub registry: String,
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
    /// An OAuth identity token, which takes the place of the password.
    pub identity_token: Option<String>,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryLogin({} as {})", self.registry, self.username)
    }
}

/// Why there is no image.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ImageFault {
    /// The name does not parse.
    #[error("couldn't parse image name {name:?}: {cause}")]
    InvalidName {
        /// As given.
        name: String,
        /// What is wrong.
        cause: String,
    },
    /// Nothing answered, or not in time.
    #[error("{0}")]
    RegistryUnavailable(String),
    /// The registry refused, the image does not exist, or what came was wrong.
    #[error("{0}")]
    Pull(String),
    /// The user is not in the image's /etc/passwd.
    #[error("{0}")]
    User(String),
    /// The local store failed.
    #[error("{0}")]
    Store(String),
}
