//! The small files that say which layers and images a machine has.
//!
//! In: folders of the store. Out: records read and written; what cannot be read is set aside with a warning.
//! Never fails a start because of one damaged file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use kedge_api::machine::ImageConfig;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::disk;

/// An image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Digest of the configuration.
    pub id: Digest,
    /// Names with tags.
    pub tags: BTreeSet<String>,
    /// Names with digests, the one that was pulled last first.
    pub digests: Vec<String>,
    /// Chain IDs, lowest first.
    pub layers: Vec<Digest>,
    /// How to run it.
    pub config: ImageConfig,
    /// Bytes of the configuration.
    pub config_size: u64,
    /// Spared by garbage collection.
    pub pinned: bool,
    /// Seconds since 1970 of the last use that is known.
    pub used: u64,
}

/// An unpacked layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// What it is with all below it.
    pub chain: Digest,
    /// What its plain archive hashes to.
    pub diff_id: Digest,
    /// Bytes of its files and of its recipe.
    pub size: u64,
    /// Bytes of its plain archive.
    pub archive: u64,
}

impl Record {
    pub(super) fn new(id: Digest, layers: Vec<Digest>, config: ImageConfig, config_size: u64) -> Self {
        Self { id, tags: BTreeSet::new(), digests: Vec::new(), layers, config, config_size, pinned: false, used: 0 }
    }

    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        disk::replace(path, &serde_json::to_vec(self)?)
    }
}

impl Layer {
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("layer.json"), serde_json::to_vec(self)?)
    }
}

/// A layer's folder name: 128 bits are unique, and forty layers still fit into one mount option.
pub(super) fn layer_name(chain: &Digest) -> &str {
    &chain.hex()[..32]
}

/// The name of a layer's recipe in its folder.
pub(super) const RECIPE: &str = "recipe.gz";

/// Reads the layers; a folder that is none is removed.
pub(super) fn read_layers(folder: &Path) -> io::Result<BTreeMap<Digest, Layer>> {
    let mut layers = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let layer =
            fs::read(path.join("layer.json")).ok().and_then(|bytes| serde_json::from_slice::<Layer>(&bytes).ok());
        match layer {
            Some(layer)
                if path.file_name().is_some_and(|n| n == layer_name(&layer.chain)) && path.join("fs").is_dir() =>
            {
                layers.insert(layer.chain.clone(), layer);
            }
            _ => {
                tracing::warn!(path = %path.display(), "not a whole layer: removed");
                if path.is_dir() { disk::remove_tree(&path)? } else { fs::remove_file(&path)? }
            }
        }
    }
    Ok(layers)
}

/// Reads the images whose layers are all there; others are forgotten and must be loaded or pulled again.
pub(super) fn read_images(folder: &Path, layers: &BTreeMap<Digest, Layer>) -> io::Result<BTreeMap<Digest, Record>> {
    let mut images = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let record = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Record>(&bytes).ok());
        let whole = |r: &Record| r.layers.iter().all(|chain| layers.contains_key(chain));
        match record {
            Some(record) if whole(&record) && path.file_stem().is_some_and(|n| n == record.id.hex()) => {
                images.insert(record.id.clone(), record);
            }
            _ => {
                tracing::warn!(path = %path.display(), "an image's record is damaged or its layers are gone: forgotten");
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(images)
}
