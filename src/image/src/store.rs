//! The images of one machine on disk: unpacked layers, configurations and an index in small files.
//!
//! In: a configuration, names and a way to open each layer. Out: `ImageInfo` with the folders to mount.
//! Never shows an image before all its layers are on disk; never talks to a network.
//!
//! ```text
//! DIR/layers/<32 digits of the chain ID>/{fs/,layer.json}   shared by all images with the same lower part
//! DIR/configs/<64 digits>                                   image configurations as they came
//! DIR/images/<64 digits>.json                               one record for each image
//! DIR/partial/<64 digits>                                   downloads to be resumed
//! DIR/tmp/                                                  emptied at start
//! ```

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use kedge_api::machine::ImageInfo;

use crate::digest::{Digest, Hashing};
use crate::disk::{self, Scratch};
use crate::garbage::Collected;
use crate::images::Options;
use crate::manifest::{ConfigFile, ManifestFault, Platform, chain_ids};
use crate::merged::Merged;
use crate::reference::Reference;
use crate::unpack::{self, Limits, UnpackError};
pub use record::{Layer, Record};

/// Why an image was not stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A document is not usable.
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    /// A layer is not usable.
    #[error("layer {number} of {count}")]
    Layer {
        /// Counted from 1, lowest first.
        number: usize,
        /// How many there are.
        count: usize,
        /// What is wrong.
        source: UnpackError,
    },
    /// A layer is not what the configuration says.
    #[error(
        "layer {number} of {count} does not match the image: its content is {got}, the configuration says {wanted}"
    )]
    Mismatch {
        /// Counted from 1, lowest first.
        number: usize,
        /// How many there are.
        count: usize,
        /// What the content hashes to.
        got: Digest,
        /// What the configuration names.
        wanted: Digest,
    },
    /// The configuration and the manifest disagree.
    #[error("the image has {layers} layers but its configuration names {diff_ids}")]
    Count {
        /// Layers that came.
        layers: usize,
        /// Layers that the configuration names.
        diff_ids: usize,
    },
    /// The disk refused.
    #[error("{act} {path}")]
    Disk {
        /// What was done.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// An image to be stored.
pub struct Incoming<'a> {
    /// The configuration's bytes; their digest is the image's ID.
    pub config: &'a [u8],
    /// Names with tags.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    /// Spare it from garbage collection.
    pub pin: bool,
    /// How many layers came.
    pub layers: usize,
}

/// What an image consists of: its configuration as it came, and its layers, lowest first.
pub type Parts = (ImageInfo, Vec<u8>, Vec<Layer>);

/// Opens a layer by its number, lowest first from 0, as it came (perhaps compressed).
pub type OpenLayer<'a> = dyn FnMut(usize) -> io::Result<Box<dyn Read + Send>> + 'a;

/// An interrupted download counts as abandoned after this: retries come at least every five minutes.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Tells the time; given so that tests can.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The store. One for each folder.
pub struct Store {
    folder: PathBuf,
    limits: Limits,
    platform: Platform,
    clock: Clock,
    least_age: Duration,
    scratch: AtomicU64,
    state: Mutex<State>,
    /// Held by whoever adds or removes layers: a layer that is found present stays so.
    work: Mutex<()>,
}

#[derive(Default)]
struct State {
    images: BTreeMap<Digest, Record>,
    /// By chain ID.
    layers: BTreeMap<Digest, Layer>,
}

impl Store {
    /// Opens the folder, sweeps what a crash left, and reads the index.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let Options { folder, limits, platform, clock, least_age, .. } = options;
        let tmp = folder.join("tmp");
        disk::remove_tree(&tmp).map_err(on("sweeping", &tmp))?;
        for name in ["layers", "configs", "images", "partial", "tmp"] {
            let path = folder.join(name);
            disk::make_folder(&path).map_err(on("making", &path))?;
        }
        let layers = record::read_layers(&folder.join("layers")).map_err(on("reading", &folder))?;
        let images = record::read_images(&folder.join("images"), &layers).map_err(on("reading", &folder))?;
        let state = Mutex::new(State { images, layers });
        Ok(Self { folder, limits, platform, clock, least_age, scratch: AtomicU64::new(0), state, work: Mutex::new(()) })
    }

    /// The platform whose images run here.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The limits of a layer.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A new temporary folder on the store's file system.
    pub fn scratch(&self) -> Result<Scratch, StoreError> {
        let path = self.folder.join("tmp").join(self.scratch.fetch_add(1, Ordering::Relaxed).to_string());
        Scratch::make(path.clone()).map_err(on("making", &path))
    }

    /// Where interrupted downloads wait.
    pub fn partial(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// A path of the store's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Which of these layers are not there yet, by number.
    pub fn missing(&self, diff_ids: &[Digest]) -> Vec<usize> {
        let state = self.state();
        chain_ids(diff_ids)
            .iter()
            .enumerate()
            .filter(|(_, chain)| !state.layers.contains_key(chain))
            .map(|(i, _)| i)
            .collect()
    }

    /// Stores an image: unpacks the layers that are not there, then writes its record.
    pub fn add(&self, incoming: Incoming<'_>, open: &mut OpenLayer<'_>) -> Result<ImageInfo, StoreError> {
        let config = ConfigFile::parse(incoming.config, &self.platform)?;
        let diff_ids = config.diff_ids();
        if diff_ids.len() != incoming.layers {
            return Err(StoreError::Count { layers: incoming.layers, diff_ids: diff_ids.len() });
        }
        let _work = self.work();
        self.add_layers(diff_ids, open)?;
        self.register(incoming, &config).inspect_err(|_| {
            if let Err(error) = self.drop_unused_layers() {
                tracing::warn!(%error, "layers without an image stay until the next collection");
            }
        })
    }

    /// Writes an image's record; its layers are there.
    fn register(&self, incoming: Incoming<'_>, config: &ConfigFile) -> Result<ImageInfo, StoreError> {
        let diff_ids = config.diff_ids();
        let id = Digest::of(incoming.config);
        let path = self.folder.join("configs").join(id.hex());
        if !path.exists() {
            disk::replace(&path, incoming.config).map_err(on("writing", &path))?;
        }
        let (mut record, mut losers) = {
            let state = self.state();
            let known = state.images.get(&id).cloned();
            // A name belongs to one image: the newest.
            let losers: Vec<Record> = state
                .images
                .values()
                .filter(|r| r.id != id && incoming.tags.iter().any(|t| r.tags.contains(t)))
                .cloned()
                .collect();
            (
                known.unwrap_or_else(|| {
                    Record::new(id.clone(), chain_ids(diff_ids), config.run(), incoming.config.len() as u64)
                }),
                losers,
            )
        };
        record.pinned |= incoming.pin;
        record.tags.extend(incoming.tags.iter().cloned());
        for name in incoming.digests.into_iter().rev() {
            record.digests.retain(|old| *old != name);
            record.digests.insert(0, name);
        }
        record.used = self.now();
        for loser in &mut losers {
            loser.tags.retain(|t| !incoming.tags.contains(t));
            // A newer image took its place: nothing asks for it by name any more.
            loser.pinned &= !loser.tags.is_empty();
        }
        // The winner first: a cut between the two leaves the name on both, and the newest wins at the next start.
        for record in [&record].into_iter().chain(&losers) {
            self.save(record)?;
        }
        let mut state = self.state();
        for record in losers.into_iter().chain([record.clone()]) {
            state.images.insert(record.id.clone(), record);
        }
        Ok(self.info(&record, &state))
    }

    /// Finds an image by ID, by name with a tag, or by name with a digest.
    pub fn find(&self, reference: &str) -> Option<ImageInfo> {
        let state = self.state();
        let record = self.resolve(reference, &state)?;
        Some(self.info(record, &state))
    }

    /// All images, in the order of their IDs.
    pub fn list(&self) -> Vec<ImageInfo> {
        let state = self.state();
        state.images.values().map(|record| self.info(record, &state)).collect()
    }

    /// Marks an image as used now.
    pub fn touch(&self, reference: &str) {
        let now = self.now();
        let mut state = self.state();
        let id = self.resolve(reference, &state).map(|r| r.id.clone());
        if let Some(record) = id.and_then(|id| state.images.get_mut(&id)) {
            record.used = record.used.max(now);
        }
    }

    /// Takes a name from its image, or removes an image by ID. `None` if there is no such thing.
    pub fn remove(&self, reference: &str) -> Result<Option<Digest>, StoreError> {
        let _work = self.work();
        let Some(mut record) = self.resolve(reference, &self.state()).cloned() else { return Ok(None) };
        let id = record.id.clone();
        let by_name = Reference::parse(reference).ok().and_then(|r| match &r.digest {
            Some(digest) => Some(r.with_digest(digest)),
            None => r.tagged(),
        });
        if let Some(name) = by_name.filter(|_| !is_id(reference)) {
            record.tags.remove(&name);
            record.digests.retain(|digest| *digest != name);
            if !record.tags.is_empty() {
                self.save(&record)?;
                self.state().images.insert(id.clone(), record);
                return Ok(Some(id));
            }
        }
        self.forget(&id)?;
        self.drop_unused_layers()?;
        Ok(Some(id))
    }

    /// Removes images, least recently used first, until `want` bytes were freed; unused layers go in any case.
    pub fn collect(&self, in_use: &[String], want: u64) -> Result<Collected, StoreError> {
        let _work = self.work();
        let now = self.now();
        let used: BTreeSet<Digest> = {
            let mut state = self.state();
            let used: BTreeSet<Digest> =
                in_use.iter().filter_map(|name| self.resolve(name, &state).map(|r| r.id.clone())).collect();
            for record in state.images.values_mut().filter(|r| used.contains(&r.id)) {
                record.used = record.used.max(now);
            }
            used
        };
        let mut collected = Collected { bytes: self.drop_unused_layers()?, ..Collected::default() };
        if want > collected.bytes {
            collected.bytes += self.drop_old_downloads()?;
        }
        let plan = {
            let state = self.state();
            let sizes = state.layers.iter().map(|(chain, layer)| (chain.clone(), layer.size)).collect();
            let times = (now, self.least_age.as_secs());
            crate::garbage::plan(state.images.values(), &sizes, &used, times, want.saturating_sub(collected.bytes))
        };
        for id in plan {
            self.forget(&id)?;
            collected.bytes += self.drop_unused_layers()?;
            collected.images.push(id.to_string());
        }
        Ok(collected)
    }

    /// An image with its configuration and its layers, lowest first.
    pub fn parts(&self, reference: &str) -> Result<Option<Parts>, StoreError> {
        let (image, id, layers) = {
            let state = self.state();
            let Some(record) = self.resolve(reference, &state) else { return Ok(None) };
            let layers = record.layers.iter().filter_map(|chain| state.layers.get(chain).cloned()).collect();
            (self.info(record, &state), record.id.clone(), layers)
        };
        let path = self.folder.join("configs").join(id.hex());
        let config = fs::read(&path).map_err(on("reading", &path))?;
        Ok(Some((image, config, layers)))
    }

    /// Writes a layer's archive as it came, uncompressed.
    pub fn replay(&self, layer: &Layer, out: &mut dyn io::Write) -> io::Result<()> {
        let folder = self.layer(&layer.chain);
        unpack::recipe::replay(&folder.join(record::RECIPE), &folder.join("fs"), out)
    }

    /// Bytes of all layers.
    pub fn size(&self) -> u64 {
        self.state().layers.values().map(|l| l.size).sum()
    }

    fn add_layers(&self, diff_ids: &[Digest], open: &mut OpenLayer<'_>) -> Result<(), StoreError> {
        let chain = chain_ids(diff_ids);
        let missing = self.missing(diff_ids);
        if missing.is_empty() {
            return Ok(());
        }
        let scratch = self.scratch()?;
        let count = diff_ids.len();
        let mut made = Vec::new();
        // Folders of what lies below, uppermost first.
        let mut below: Vec<PathBuf> = Vec::new();
        for (i, diff_id) in diff_ids.iter().enumerate() {
            if !missing.contains(&i) {
                below.insert(0, self.layer(&chain[i]).join("fs"));
                continue;
            }
            let number = i + 1;
            let layer = scratch.path().join(number.to_string());
            let fs = layer.join("fs");
            disk::make_folder(&fs).map_err(on("making", &fs))?;
            fs::set_permissions(&fs, std::os::unix::fs::PermissionsExt::from_mode(0o755)).map_err(on("making", &fs))?;
            let stream = open(i).and_then(crate::compress::decompress).map_err(on("opening", Path::new("a layer")))?;
            let mut stream = Hashing::new(stream);
            let under = Merged::open(&below).map_err(|e| on("opening", &fs)(e.into()))?;
            let recipe = layer.join(record::RECIPE);
            let size = unpack::unpack(&mut stream, &fs, &recipe, under, &self.limits)
                .map_err(|source| StoreError::Layer { number, count, source })?;
            let (_, got, archive) = stream.finish();
            if got != *diff_id {
                return Err(StoreError::Mismatch { number, count, got, wanted: diff_id.clone() });
            }
            let made_layer = Layer { chain: chain[i].clone(), diff_id: diff_id.clone(), size, archive };
            made_layer.write(&layer).map_err(on("writing", &layer))?;
            made.push((layer, made_layer));
            below.insert(0, fs);
        }
        let sync = File::open(scratch.path()).and_then(|f| Ok(rustix::fs::syncfs(f)?));
        sync.map_err(on("syncing", scratch.path()))?;
        for (from, layer) in made {
            let to = self.layer(&layer.chain);
            fs::rename(&from, &to).map_err(on("renaming", &to))?;
            self.state().layers.insert(layer.chain.clone(), layer);
        }
        let folder = self.folder.join("layers");
        disk::sync_folder(&folder).map_err(on("syncing", &folder))
    }

    /// An image ID, whole or without its algorithm, or a name.
    fn resolve<'s>(&self, reference: &str, state: &'s State) -> Option<&'s Record> {
        if is_id(reference) {
            let id = Digest::parse(reference).or_else(|_| Digest::from_hex(reference)).ok()?;
            return state.images.get(&id);
        }
        let reference = Reference::parse(reference).ok()?;
        match &reference.digest {
            Some(digest) => {
                let name = reference.with_digest(digest);
                state.images.values().find(|r| r.digests.contains(&name))
            }
            None => {
                let name = reference.tagged()?;
                // Two have it only if a crash came between two writes.
                state.images.values().filter(|r| r.tags.contains(&name)).max_by_key(|r| r.used)
            }
        }
    }

    fn info(&self, record: &Record, state: &State) -> ImageInfo {
        let size = record.layers.iter().filter_map(|chain| state.layers.get(chain)).map(|l| l.size).sum::<u64>()
            + record.config_size;
        ImageInfo {
            id: record.id.to_string(),
            tags: record.tags.iter().cloned().collect(),
            digests: record.digests.clone(),
            size,
            layers: record.layers.iter().rev().map(|chain| self.layer(chain).join("fs")).collect(),
            config: record.config.clone(),
            pinned: record.pinned,
        }
    }

    fn layer(&self, chain: &Digest) -> PathBuf {
        self.folder.join("layers").join(record::layer_name(chain))
    }

    fn save(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.folder.join("images").join(format!("{}.json", record.id.hex()));
        record.write(&path).map_err(on("writing", &path))
    }

    /// The record first: an image without a record is nothing but unused layers.
    fn forget(&self, id: &Digest) -> Result<(), StoreError> {
        self.state().images.remove(id);
        for path in
            [self.folder.join("images").join(format!("{}.json", id.hex())), self.folder.join("configs").join(id.hex())]
        {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(on("removing", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn drop_unused_layers(&self) -> Result<u64, StoreError> {
        let unused: Vec<Layer> = {
            let mut state = self.state();
            let used: BTreeSet<Digest> = state.images.values().flat_map(|r| r.layers.iter().cloned()).collect();
            let (kept, unused) =
                std::mem::take(&mut state.layers).into_iter().partition(|(chain, _)| used.contains(chain));
            state.layers = kept;
            let unused: BTreeMap<Digest, Layer> = unused;
            unused.into_values().collect()
        };
        let mut freed = 0;
        for layer in unused {
            // Renamed first: a removal that is cut off leaves nothing that looks like a layer.
            let (from, to) = (
                self.layer(&layer.chain),
                self.folder.join("tmp").join(format!("removed-{}", record::layer_name(&layer.chain))),
            );
            fs::rename(&from, &to).map_err(on("removing", &from))?;
            disk::remove_tree(&to).map_err(on("removing", &to))?;
            freed += layer.size;
        }
        Ok(freed)
    }

    /// Removes interrupted downloads that nobody went on with.
    fn drop_old_downloads(&self) -> Result<u64, StoreError> {
        let folder = self.partial();
        let mut freed = 0;
        for entry in fs::read_dir(&folder).map_err(on("reading", &folder))? {
            let path = entry.map_err(on("reading", &folder))?.path();
            let Ok(meta) = fs::metadata(&path) else { continue };
            let age = meta.modified().ok().and_then(|written| (self.clock)().duration_since(written).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                fs::remove_file(&path).map_err(on("removing", &path))?;
                freed += meta.len();
            }
        }
        Ok(freed)
    }

    fn now(&self) -> u64 {
        (self.clock)().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, ()> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_id(reference: &str) -> bool {
    Digest::parse(reference).is_ok() || Digest::from_hex(reference).is_ok()
}

/// Says what failed on what.
pub(crate) fn on(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Disk { act, path, source }
}
