//! Brings an image from a registry into the store.
//!
//! In: a reference, credentials, a listener for progress. Out: the image, or why there is none.
//! Never decides whether or when to pull, and never loses what an interrupted download brought.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use kedge_api::machine::ImageInfo;

use crate::digest::{Digest, Hasher};
use crate::images::{Images, LoadError};
use crate::manifest::{ConfigFile, Descriptor, Document, MAX_DOCUMENT, Manifest};
use crate::reference::{Reference, ReferenceFault};
use crate::registry::RegistryError;
use crate::registry::keys::{Credential, Keys};
use crate::registry::session::{self, Connection, Session};
use crate::store::{Incoming, StoreError};

/// Layers that are downloaded at once, as other runtimes do it.
const DOWNLOADS: usize = 3;
/// Pieces of a download on their way to the disk: about 64 KiB each.
const PIECES: usize = 16;
/// How often a download that broke off, but had brought something, goes on at once.
const RESUMES: usize = 5;

/// Why an image was not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name is no image name.
    #[error(transparent)]
    Reference(#[from] ReferenceFault),
    /// The registry did not give it.
    #[error("failed to pull image {image:?}")]
    Registry {
        /// The whole name.
        image: String,
        /// The registry's part.
        source: RegistryError,
    },
    /// It came but cannot be stored.
    #[error("failed to unpack image {image:?}")]
    Store {
        /// The whole name.
        image: String,
        /// The store's part.
        source: LoadError,
    },
}

impl PullError {
    /// True if no registry could be reached or answered usefully: later it may.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Registry { source, .. } if source.may_pass())
    }
}

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    /// The image.
    pub image: ImageInfo,
    /// The credential that the registry asked for and took; none if it gives the image to everyone.
    pub proof: Option<Credential>,
}

/// How far a pull is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes of all layers that are missing.
    pub total: u64,
}

/// Downloads that are under way, so that two pulls do not write the same file.
#[derive(Default)]
pub(crate) struct Downloads(Mutex<HashMap<Digest, Weak<tokio::sync::Mutex<()>>>>);

impl Downloads {
    fn lock(&self, digest: &Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, lock| lock.strong_count() > 0);
        if let Some(lock) = all.get(digest).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::default();
        all.insert(digest.clone(), Arc::downgrade(&lock));
        lock
    }
}

impl Images {
    /// Pulls an image. What is here already is not asked for again; an interrupted download goes on where it stopped.
    pub async fn pull(
        &self,
        reference: &str,
        keys: &Keys,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<ImageInfo, PullError> {
        self.pull_and_tell(reference, keys, progress).await.map(|pulled| pulled.image)
    }

    /// The same, and tells what opened the registry.
    pub async fn pull_and_tell(
        &self,
        reference: &str,
        keys: &Keys,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<Pulled, PullError> {
        let reference = Reference::parse(reference)?;
        self.pull_parsed(&reference, keys, &progress).await.map_err(|fault| match fault {
            Fault::Registry(source) => PullError::Registry { image: reference.to_string(), source },
            Fault::Store(source) => PullError::Store { image: reference.to_string(), source },
        })
    }

    async fn pull_parsed(
        &self,
        reference: &Reference,
        keys: &Keys,
        progress: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<Pulled, Fault> {
        let registries = self.registries.clone();
        let connection = self.blocking(move |_| session::open(&registries)).await??;
        let (session, first, top) = self.resolve(&connection, reference, keys).await?;
        let (manifest, digest) = self.choose(&session, first, &top).await?;
        check_size(&manifest.config, MAX_DOCUMENT, session.host())?;
        let config = session.document(&manifest.config.digest).await?;
        let parsed = ConfigFile::parse(&config, self.store.platform()).map_err(RegistryError::from)?;
        let missing: Vec<usize> =
            self.store.missing(parsed.diff_ids()).into_iter().filter(|i| *i < manifest.layers.len()).collect();
        let scratch = self.blocking(|store| store.scratch()).await??;
        let total: u64 = missing.iter().map(|i| manifest.layers[*i].size).sum();
        self.check_room(total, &manifest, session.host()).await?;
        let done = AtomicU64::new(0);
        progress(Progress { done: 0, total });
        let report = |bytes: u64| progress(Progress { done: done.fetch_add(bytes, Ordering::Relaxed) + bytes, total });
        let (session, report) = (&session, &report);
        let downloads: Vec<_> = missing
            .into_iter()
            .map(|number| {
                self.download(session, &manifest.layers[number], scratch.path().join(number.to_string()), report)
            })
            .collect();
        futures::stream::iter(downloads).buffer_unordered(DOWNLOADS).try_collect::<Vec<()>>().await?;
        let names = vec![reference.with_digest(&top), reference.with_digest(&digest)];
        let tags = if reference.digest.is_none() { reference.tagged().into_iter().collect() } else { Vec::new() };
        let layers = manifest.layers.len();
        let proof = session.proof().await;
        let image = self
            .blocking(move |store| {
                let incoming = Incoming { config: &config, tags, digests: names, pin: false, layers };
                let folder = scratch.path().to_owned();
                let added =
                    store.add(incoming, &mut |number| Ok(Box::new(File::open(folder.join(number.to_string()))?)));
                drop(scratch);
                added
            })
            .await??;
        Ok(Pulled { image, proof })
    }

    /// Asks the mirrors and the registry, with each credential that fits, for what the reference names.
    async fn resolve<'c>(
        &self,
        connection: &'c Connection,
        reference: &Reference,
        keys: &Keys,
    ) -> Result<(Session<'c>, Vec<u8>, Digest), Fault> {
        let mut last = None;
        for endpoint in self.registries.endpoints(&reference.registry)? {
            for credential in keys.for_image(reference) {
                let session =
                    Session::new(connection, endpoint.clone(), &reference.registry, &reference.repository, credential);
                match session.manifest(reference.wanted()).await {
                    Ok((bytes, digest)) => return Ok((session, bytes, digest)),
                    // Other credentials may be welcome where these are not.
                    Err(error @ RegistryError::Denied { .. }) => keep(&mut last, error),
                    Err(error) => {
                        tracing::debug!(host = session.host(), %error, "a registry did not answer as it should");
                        keep(&mut last, error);
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| RegistryError::Setting("no registry to ask".into())).into())
    }

    /// The manifest for this machine, from an index if need be.
    async fn choose(&self, session: &Session<'_>, first: Vec<u8>, top: &Digest) -> Result<(Manifest, Digest), Fault> {
        let (mut bytes, mut digest) = (first, top.clone());
        // An index in an index, and then the manifest.
        for _ in 0..3 {
            match Document::parse(&bytes).map_err(RegistryError::from)? {
                Document::Manifest(manifest) => return Ok((manifest, digest)),
                Document::Index(index) => {
                    let chosen = index.choose(self.store.platform()).map_err(RegistryError::from)?;
                    (bytes, digest) = session.manifest(chosen.digest.as_str()).await?;
                }
            }
        }
        Err(RegistryError::Garbage {
            host: session.host().to_owned(),
            reason: "an index inside of an index inside of an index".into(),
        }
        .into())
    }

    async fn check_room(&self, total: u64, manifest: &Manifest, host: &str) -> Result<(), Fault> {
        for layer in &manifest.layers {
            check_size(layer, self.store.limits().bytes, host)?;
        }
        let free = self
            .blocking(|store| File::open(store.partial()).and_then(|f| Ok(crate::unpack::free_bytes(f)?)))
            .await?
            .map_err(RegistryError::from)?;
        if total.saturating_add(self.store.limits().reserve) > free {
            let text = format!(
                "the layers take {total} bytes, {free} are free on the disk and {} are kept free",
                self.store.limits().reserve
            );
            return Err(RegistryError::Disk(io::Error::new(io::ErrorKind::StorageFull, text)).into());
        }
        Ok(())
    }

    /// Downloads a layer to `to`; what is cut off stays and is gone on with.
    async fn download(
        &self,
        session: &Session<'_>,
        layer: &Descriptor,
        to: PathBuf,
        report: &(dyn Fn(u64) + Sync),
    ) -> Result<(), Fault> {
        let lock = self.downloads.lock(&layer.digest);
        let _held = lock.lock().await;
        let path = self.store.partial().join(layer.digest.hex());
        let mut resumes = 0;
        let mut reported = 0;
        loop {
            let before = fs::metadata(&path).map_or(0, |m| m.len());
            let mut done = |done: u64| {
                // After a start from 0 the same bytes come again: they count once.
                report(done.saturating_sub(reported));
                reported = reported.max(done);
            };
            match self.go_on(session, layer, &path, &mut done).await {
                Ok(()) => break,
                Err(Fault::Registry(error))
                    if error.may_pass() && resumes < RESUMES && fs::metadata(&path).map_or(0, |m| m.len()) > before =>
                {
                    tracing::debug!(%error, layer = %layer.digest, "a download broke off and goes on");
                    resumes += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(fs::rename(&path, &to).map_err(RegistryError::from)?)
    }

    async fn go_on(
        &self,
        session: &Session<'_>,
        layer: &Descriptor,
        path: &Path,
        done: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Fault> {
        let own = path.to_owned();
        let (file, hasher, mut length) = self.blocking(move |_| reopen(&own)).await?.map_err(RegistryError::from)?;
        let mut part = Part { file, hasher };
        if length > layer.size {
            part = self.blocking(move |_| part.restart()).await?.map_err(RegistryError::from)?;
            length = 0;
        }
        if length < layer.size || layer.size == 0 {
            let mut blob = session.blob(&layer.digest, length).await?;
            if blob.from == 0 && length > 0 {
                part = self.blocking(move |_| part.restart()).await?.map_err(RegistryError::from)?;
                length = 0;
            }
            done(length);
            // Hashing and writing happen beside the network, a few pieces behind.
            let (pieces, mut waiting) = tokio::sync::mpsc::channel::<Bytes>(PIECES);
            let mut writer = tokio::task::spawn_blocking(move || {
                while let Some(piece) = waiting.blocking_recv() {
                    part.write(&piece)?;
                }
                io::Result::Ok(part)
            });
            let read = async {
                while let Some(piece) = blob.next().await? {
                    length += piece.len() as u64;
                    if length > layer.size {
                        let reason = format!("a layer of more than the {} bytes that its manifest names", layer.size);
                        return Err(RegistryError::Garbage { host: session.host().to_owned(), reason });
                    }
                    if pieces.send(piece).await.is_err() {
                        // The writer ended: it says why below.
                        break;
                    }
                    done(length);
                }
                drop(pieces);
                Ok(())
            }
            .await;
            let written = (&mut writer).await.map_err(|_| LoadError::Stopping)?;
            part = written.map_err(RegistryError::from)?;
            read?;
        }
        let host = session.host().to_owned();
        if length < layer.size {
            return Err(RegistryError::Transport {
                host,
                reason: format!("the connection ended after {length} of {} bytes", layer.size),
            }
            .into());
        }
        let got = part.hasher.finish();
        if got != layer.digest {
            let _ = fs::remove_file(path);
            return Err(RegistryError::Digest { host, wanted: layer.digest.clone(), got }.into());
        }
        Ok(())
    }
}

/// A download on its way to the disk.
struct Part {
    file: File,
    hasher: Hasher,
}

impl Part {
    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hasher.update(piece);
        Ok(())
    }

    fn restart(mut self) -> io::Result<Self> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Self { file: self.file, hasher: Hasher::default() })
    }
}

/// Opens what an earlier download brought, with its digest so far and its length.
fn reopen(path: &Path) -> io::Result<(File, Hasher, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mut hasher = crate::digest::Hashing::new(io::sink());
    let length = io::copy(&mut file, &mut hasher)?;
    Ok((file, hasher.into_hasher(), length))
}

enum Fault {
    Registry(RegistryError),
    Store(LoadError),
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<LoadError> for Fault {
    fn from(error: LoadError) -> Self {
        Self::Store(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// Keeps the error that says most: a refusal of one that was reached rather than that another was not.
fn keep(last: &mut Option<RegistryError>, error: RegistryError) {
    let better = match last {
        None => true,
        Some(old) => old.may_pass() || !error.may_pass(),
    };
    if better {
        *last = Some(error);
    }
}

fn check_size(descriptor: &Descriptor, limit: u64, host: &str) -> Result<(), RegistryError> {
    if descriptor.size > limit {
        let reason = format!("{} claims {} bytes; the limit is {limit}", descriptor.digest, descriptor.size);
        return Err(RegistryError::Garbage { host: host.to_owned(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
