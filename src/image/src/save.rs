//! Writes an image of the store as an archive.
//!
//! In: an image's name. Out: an OCI archive that `docker load` and `podman load` read, too; its layers are those that
//! came, byte for byte, uncompressed. Never ends well with a layer that differs from what the image names.

use std::io::{self, Write};

use serde_json::json;

use crate::digest::{Digest, Hashing};
use crate::images::{Images, LoadError};
use crate::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use crate::reference::Reference;
use crate::store::{Layer, Store, StoreError};
use crate::tar::write::Writer;
use crate::tar::{Entry, Kind};

/// Why an image was not saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// There is no such image.
    #[error("there is no image {0:?}")]
    NoImage(String),
    /// A layer is not what it was.
    #[error("the layer {wanted} cannot be put together again: what comes out is {got}")]
    Layer {
        /// What it should be.
        wanted: Digest,
        /// What it is.
        got: Digest,
    },
    /// The store or the receiver failed.
    #[error("writing the archive")]
    Write(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon is stopping.
    #[error(transparent)]
    Stopping(#[from] LoadError),
}

impl Images {
    /// Writes the image under this name or ID as an archive.
    pub async fn save(&self, reference: &str, out: impl Write + Send + 'static) -> Result<(), SaveError> {
        let reference = reference.to_owned();
        self.blocking(move |store| save(store, &reference, out)).await?
    }
}

fn save(store: &Store, reference: &str, out: impl Write) -> Result<(), SaveError> {
    let (image, config, layers) = store.parts(reference)?.ok_or_else(|| SaveError::NoImage(reference.to_owned()))?;
    let descriptor =
        |kind: &str, digest: &Digest, size: u64| json!({"mediaType": kind, "digest": digest, "size": size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, &Digest::of(&config), config.len() as u64),
        "layers": layers.iter().map(|l| descriptor(OCI_LAYER, &l.diff_id, l.archive)).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    // Under the name that was asked for; by its ID an image goes with all its names.
    let asked = Reference::parse(reference).ok().and_then(|r| r.tagged()).filter(|t| image.tags.contains(t));
    let tags: Vec<String> = asked.map_or(image.tags, |tag| vec![tag]);
    let mut writer = Writer::new(io::BufWriter::new(out));
    writer.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut written = std::collections::BTreeSet::new();
    for layer in &layers {
        if written.insert(&layer.diff_id) {
            put(store, &mut writer, layer)?;
        }
    }
    for bytes in [&config, &manifest] {
        writer.file(&blob(&Digest::of(bytes)), 0o644, bytes)?;
    }
    let mut entry = descriptor(OCI_MANIFEST, &Digest::of(&manifest), manifest.len() as u64);
    let manifests: Vec<_> = match tags.is_empty() {
        true => vec![entry],
        false => tags
            .iter()
            .map(|tag| {
                entry["annotations"] =
                    json!({"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": tag});
                entry.clone()
            })
            .collect(),
    };
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    writer.file("index.json", 0o644, index.to_string().as_bytes())?;
    let saved = json!([{
        "Config": blob(&Digest::of(&config)),
        "RepoTags": tags,
        "Layers": layers.iter().map(|l| blob(&l.diff_id)).collect::<Vec<_>>(),
    }]);
    writer.file("manifest.json", 0o644, saved.to_string().as_bytes())?;
    writer.finish()?.flush()?;
    Ok(())
}

fn put(store: &Store, writer: &mut Writer<impl Write>, layer: &Layer) -> Result<(), SaveError> {
    let entry = Entry { size: layer.archive, ..Entry::new(blob(&layer.diff_id), Kind::File) };
    let mut got = None;
    writer.stream(&entry, |out| {
        let mut hashing = Hashing::new(out);
        store.replay(layer, &mut hashing)?;
        got = Some(hashing.finish().1);
        Ok(())
    })?;
    match got {
        Some(got) if got != layer.diff_id => Err(SaveError::Layer { wanted: layer.diff_id.clone(), got }),
        _ => Ok(()),
    }
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
