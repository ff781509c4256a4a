//! The image store as the node agent uses it.
//!
//! In: archives, names, what is in use. Out: `ImageInfo` and users of images.
//! Never blocks its caller's thread on a disk: the work runs on tokio's blocking threads.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kedge_api::machine::{ImageInfo, User};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::archive::{ArchiveError, Bundle, in_folder};
use crate::garbage::Collected;
use crate::manifest::Platform;
use crate::pull::Downloads;
use crate::registry::config::Registries;
use crate::store::{Clock, Incoming, Store, StoreError};
use crate::unpack::Limits;
use crate::user::{UserError, resolve};

/// What opening a store needs.
#[derive(Clone)]
pub struct Options {
    /// The store's own folder.
    pub folder: PathBuf,
    /// What a layer may cost.
    pub limits: Limits,
    /// Whose images run here.
    pub platform: Platform,
    /// The time.
    pub clock: Clock,
    /// How registries are reached.
    pub registries: Registries,
    /// No image is collected that was asked for within this time: it may be about to be used.
    pub least_age: Duration,
}

impl Options {
    /// A store in `folder` with usual limits, for this machine.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            limits: Limits::default(),
            platform: Platform::here(),
            clock: Arc::new(SystemTime::now),
            registries: Registries::default(),
            // Kubernetes' own.
            least_age: Duration::from_secs(120),
        }
    }
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("opening the image store {}", folder.display())]
pub struct OpenError {
    folder: PathBuf,
    source: StoreError,
}

/// Why an archive was not loaded. Nothing is left of the image that failed; those before it in the archive stay.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The archive is not usable.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An image in it is not usable, or the disk refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder cannot be read.
    #[error("reading the folder {}", folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

/// What became of one archive of a folder.
#[derive(Debug)]
pub struct Loaded {
    /// The archive.
    pub path: PathBuf,
    /// Its images, or why there are none.
    pub images: Result<Vec<ImageInfo>, LoadError>,
}

/// The image store; clones share it.
#[derive(Clone)]
pub struct Images {
    pub(crate) store: Arc<Store>,
    pub(crate) registries: Arc<Registries>,
    pub(crate) downloads: Arc<Downloads>,
}

impl Images {
    /// Opens or makes the store and sweeps what a crash left. Quick, but does touch the disk.
    pub fn open(options: Options) -> Result<Self, OpenError> {
        let (folder, registries) = (options.folder.clone(), Arc::new(options.registries.clone()));
        let store = Store::open(options).map_err(|source| OpenError { folder, source })?;
        Ok(Self { store: Arc::new(store), registries, downloads: Arc::default() })
    }

    /// The image under this name or ID, if it is here; it counts as used now.
    pub async fn present(&self, reference: &str) -> Option<ImageInfo> {
        self.store.touch(reference);
        self.store.find(reference)
    }

    /// All images.
    pub async fn list(&self) -> Vec<ImageInfo> {
        self.store.list()
    }

    /// Bytes of all unpacked layers.
    pub fn size(&self) -> u64 {
        self.store.size()
    }

    /// Loads an archive from a blocking reader. With `pin`, garbage collection spares its images.
    pub async fn load_archive(
        &self,
        reader: impl Read + Send + 'static,
        pin: bool,
    ) -> Result<Vec<ImageInfo>, LoadError> {
        self.blocking(move |store| {
            let scratch = store.scratch()?;
            add_all(store, &Bundle::spool(reader, scratch.path(), store.limits())?, pin)
        })
        .await?
    }

    /// Loads an archive while it arrives.
    pub async fn load_stream(
        &self,
        reader: impl AsyncRead + Send + Unpin + 'static,
        pin: bool,
    ) -> Result<Vec<ImageInfo>, LoadError> {
        let handle = tokio::runtime::Handle::current();
        self.load_archive(Arriving { reader, handle }, pin).await
    }

    /// Loads an archive from a file or an OCI layout from a folder; a plain tar file is not copied first.
    pub async fn load_file(&self, path: impl Into<PathBuf>, pin: bool) -> Result<Vec<ImageInfo>, LoadError> {
        let path = path.into();
        self.blocking(move |store| load_file(store, &path, pin)).await?
    }

    /// Loads all archives of a folder and pins their images. What did not change since the last time is not read again.
    pub async fn load_folder(&self, folder: impl Into<PathBuf>) -> Result<Vec<Loaded>, LoadError> {
        let folder = folder.into();
        self.blocking(move |store| load_folder(store, &folder)).await?
    }

    /// Takes a name away; an image without a name goes, and the layers that only it had.
    /// Returns false if there is no such image.
    pub async fn remove(&self, reference: &str) -> Result<bool, LoadError> {
        let reference = reference.to_owned();
        Ok(self.blocking(move |store| store.remove(&reference)).await??.is_some())
    }

    /// Frees at least `want` bytes if it can: unused layers first, then images, least recently used first,
    /// sparing pinned ones and those `in_use` (names or IDs).
    pub async fn collect_garbage(&self, in_use: &[String], want: u64) -> Result<Collected, LoadError> {
        let in_use = in_use.to_vec();
        Ok(self.blocking(move |store| store.collect(&in_use, want)).await??)
    }

    /// Turns `user[:group]` into numbers by the image's /etc/passwd and /etc/group.
    pub async fn resolve_user(&self, image: &ImageInfo, user: &str) -> Result<User, UserError> {
        let (layers, user) = (image.layers.clone(), user.to_owned());
        self.blocking(move |_| resolve(&layers, &user)).await.map_err(|_| UserError::Stopping)?
    }

    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, LoadError> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => LoadError::Stopping,
        })
    }
}

fn add_all(store: &Store, bundle: &Bundle, pin: bool) -> Result<Vec<ImageInfo>, LoadError> {
    let mut added = Vec::new();
    for image in bundle.images(store.platform())? {
        let incoming = Incoming {
            config: &image.config,
            tags: image.tags.clone(),
            digests: image.digests.clone(),
            pin,
            layers: image.layers(),
        };
        added.push(store.add(incoming, &mut |number| bundle.open_layer(&image, number))?);
    }
    Ok(added)
}

fn load_file(store: &Store, path: &Path, pin: bool) -> Result<Vec<ImageInfo>, LoadError> {
    let scratch = store.scratch()?;
    add_all(store, &Bundle::file(path, scratch.path(), store.limits())?, pin)
}

/// A file as it was when it was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    modified: (i64, i64),
    inode: u64,
    images: Vec<String>,
}

fn load_folder(store: &Store, folder: &Path) -> Result<Vec<Loaded>, LoadError> {
    let fault = |source| LoadError::Folder { folder: folder.to_owned(), source };
    let archives = match in_folder(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fault)?,
    };
    let list = store.path("folder.json");
    // A damaged list costs one more reading of the archives.
    let before: BTreeMap<PathBuf, Seen> =
        std::fs::read(&list).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let mut now = BTreeMap::new();
    let mut results = Vec::new();
    for path in archives {
        let meta = std::fs::metadata(&path).map_err(fault)?;
        let mut seen = Seen {
            size: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            inode: meta.ino(),
            images: Vec::new(),
        };
        if let Some(known) = before.get(&path) {
            seen.images = known.images.clone();
            let still: Vec<ImageInfo> =
                known.images.iter().filter_map(|id| store.find(id)).filter(|i| i.pinned).collect();
            if *known == seen && still.len() == known.images.len() && meta.is_file() {
                now.insert(path.clone(), seen);
                results.push(Loaded { path, images: Ok(still) });
                continue;
            }
        }
        let images = load_file(store, &path, true);
        if let Ok(images) = &images {
            seen.images = images.iter().map(|i| i.id.clone()).collect();
            now.insert(path.clone(), seen);
        }
        results.push(Loaded { path, images });
    }
    if now != before {
        let bytes = serde_json::to_vec(&now).map_err(|e| fault(e.into()))?;
        crate::disk::replace(&list, &bytes).map_err(fault)?;
    }
    Ok(results)
}

/// Lets a blocking thread read what arrives asynchronously.
struct Arriving<R> {
    reader: R,
    handle: tokio::runtime::Handle,
}

impl<R: AsyncRead + Unpin> Read for Arriving<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.handle.block_on(self.reader.read(buffer))
    }
}

#[cfg(test)]
mod tests;
