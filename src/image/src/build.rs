//! Builds images from files: for demonstrations, tests and devices without a registry.
//!
//! In: entries, folders, how to run them. Out: a `docker save` archive or an OCI archive; the same input gives the same bytes.
//! Never runs a program of the image and never keeps a file in memory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kedge_api::machine::ImageConfig;
use serde_json::{Value, json};

use crate::digest::{Digest, Hashing};
use crate::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform};
use crate::reference::Reference;
use crate::tar::write::Writer;
use crate::tar::{Entry, Kind};

/// An image to be built.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// What it runs on.
    pub platform: Platform,
    /// How to run it.
    pub config: ImageConfig,
    /// Its names.
    pub tags: Vec<String>,
    /// Layers, lowest first.
    pub layers: Vec<Layer>,
    /// Compress the layers (OCI only).
    pub gzip: bool,
}

impl Recipe {
    /// An image for this machine with one layer.
    pub fn new(tag: &str, layer: Layer) -> Self {
        Self {
            platform: Platform::here(),
            config: ImageConfig::default(),
            tags: vec![tag.to_owned()],
            layers: vec![layer],
            gzip: false,
        }
    }
}

/// The entries of a layer, in order.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    entries: Vec<(Entry, Content)>,
}

#[derive(Clone, Debug)]
enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry as it is; `bytes` is a file's content.
    #[must_use]
    pub fn entry(mut self, entry: Entry, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.entries.push((Entry { size: bytes.len() as u64, ..entry }, Content::Bytes(bytes)));
        self
    }

    /// Adds a regular file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        self.entry(Entry { mode, ..Entry::new(path, Kind::File) }, bytes)
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(Entry { mode, ..Entry::new(format!("{}/", path.trim_end_matches('/')), Kind::Folder) }, "")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(Entry { link: target.into(), ..Entry::new(path, Kind::Symlink) }, "")
    }

    /// Adds a file of this machine under another name, with its mode; it will belong to root.
    pub fn copy(mut self, from: &Path, to: &str) -> io::Result<Self> {
        let meta = fs::metadata(from)?;
        let entry = Entry {
            mode: meta.mode() & 0o7777,
            size: meta.len(),
            modified: (meta.mtime(), 0),
            ..Entry::new(to, Kind::File)
        };
        self.entries.push((entry, Content::File(from.to_owned())));
        Ok(self)
    }

    /// Adds all that is below a folder of this machine, in the order of the names, with its owners and modes.
    pub fn tree(mut self, root: &Path) -> io::Result<Self> {
        let mut waiting = vec![PathBuf::new()];
        while let Some(inside) = waiting.pop() {
            let mut names: Vec<_> =
                fs::read_dir(root.join(&inside))?.map(|e| e.map(|e| e.file_name())).collect::<Result<_, _>>()?;
            names.sort();
            // The last pushed comes first: folders follow each other in order, each after its parent.
            let mut folders = Vec::new();
            for name in names {
                let path = inside.join(&name);
                let full = root.join(&path);
                let meta = fs::symlink_metadata(&full)?;
                let mut entry = Entry::new(path.as_os_str().as_bytes(), Kind::File);
                entry.mode = meta.mode() & 0o7777;
                (entry.uid, entry.gid) = (meta.uid(), meta.gid());
                entry.modified = (meta.mtime(), 0);
                if meta.is_dir() {
                    entry.kind = Kind::Folder;
                    entry.path.push(b'/');
                    folders.push(path);
                    self.entries.push((entry, Content::Bytes(Vec::new())));
                } else if meta.is_symlink() {
                    entry.kind = Kind::Symlink;
                    entry.link = fs::read_link(&full)?.into_os_string().into_encoded_bytes();
                    self.entries.push((entry, Content::Bytes(Vec::new())));
                } else if meta.is_file() {
                    entry.size = meta.len();
                    self.entries.push((entry, Content::File(full)));
                }
            }
            waiting.extend(folders.into_iter().rev());
        }
        Ok(self)
    }

    fn write(&self, out: impl Write) -> io::Result<()> {
        let mut writer = Writer::new(out);
        for (entry, content) in &self.entries {
            let mut content: Box<dyn Read> = match content {
                Content::Bytes(bytes) => Box::new(&bytes[..]),
                Content::File(path) => Box::new(File::open(path)?),
            };
            writer.entry(entry, &mut content)?;
        }
        writer.finish().map(drop)
    }

    /// Writes the layer as it lies in the archive.
    fn pack(&self, gzip: bool, mut out: impl Write) -> io::Result<()> {
        if !gzip {
            return self.write(out);
        }
        let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::default());
        self.write(&mut encoder)?;
        encoder.finish().map(drop)
    }
}

/// A piece of content that is known but not written yet.
struct Blob {
    digest: Digest,
    size: u64,
}

fn measure(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Blob> {
    let mut sink = Hashing::new(io::sink());
    write(&mut sink)?;
    let (_, digest, size) = sink.finish();
    Ok(Blob { digest, size })
}

/// Writes an archive as `docker save` does. Returns the image's ID.
pub fn docker_archive(recipe: &Recipe, out: impl Write) -> io::Result<String> {
    let plain: Vec<Blob> = recipe.layers.iter().map(|l| measure(|out| l.pack(false, out))).collect::<Result<_, _>>()?;
    let config = config(recipe, &plain);
    let id = Digest::of(&config);
    let mut writer = Writer::new(out);
    let name = |i: usize| format!("{}/layer.tar", plain[i].digest.hex());
    for (i, layer) in recipe.layers.iter().enumerate() {
        if plain[..i].iter().all(|p| p.digest != plain[i].digest) {
            put(&mut writer, &name(i), &plain[i], |out| layer.pack(false, out))?;
        }
    }
    writer.file(&format!("{}.json", id.hex()), 0o644, &config)?;
    let manifest = json!([{
        "Config": format!("{}.json", id.hex()),
        "RepoTags": recipe.tags,
        "Layers": (0..plain.len()).map(name).collect::<Vec<_>>(),
    }]);
    writer.file("manifest.json", 0o644, manifest.to_string().as_bytes())?;
    writer.finish()?;
    Ok(id.to_string())
}

/// An OCI image in pieces: what a registry holds and what an archive consists of.
pub struct OciImage<'a> {
    recipe: &'a Recipe,
    layers: Vec<Blob>,
    /// The configuration.
    pub config: Vec<u8>,
    /// The manifest.
    pub manifest: Vec<u8>,
}

impl<'a> OciImage<'a> {
    /// Measures the layers and writes the documents.
    pub fn new(recipe: &'a Recipe) -> io::Result<Self> {
        let plain: Vec<Blob> =
            recipe.layers.iter().map(|l| measure(|out| l.pack(false, out))).collect::<Result<_, _>>()?;
        let layers: Vec<Blob> =
            recipe.layers.iter().map(|l| measure(|out| l.pack(recipe.gzip, out))).collect::<Result<_, _>>()?;
        let config = config(recipe, &plain);
        let layer_type = if recipe.gzip { format!("{OCI_LAYER}+gzip") } else { OCI_LAYER.to_owned() };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": Digest::of(&config), "size": config.len()},
            "layers": layers.iter().map(|l| json!({"mediaType": layer_type, "digest": l.digest, "size": l.size})).collect::<Vec<_>>(),
        });
        Ok(Self { recipe, layers, config, manifest: manifest.to_string().into_bytes() })
    }

    /// The image's ID.
    pub fn id(&self) -> String {
        Digest::of(&self.config).to_string()
    }

    /// The layers' digests, lowest first, as they lie in a registry.
    pub fn layers(&self) -> impl Iterator<Item = &Digest> {
        self.layers.iter().map(|l| &l.digest)
    }

    /// Writes one layer as it lies in a registry.
    pub fn write_layer(&self, number: usize, out: impl Write) -> io::Result<()> {
        self.recipe.layers[number].pack(self.recipe.gzip, out)
    }
}

/// Writes an OCI archive of images for one or more platforms under the first one's names. Returns the first one's ID.
pub fn oci_archive(recipes: &[Recipe], out: impl Write) -> io::Result<String> {
    let images: Vec<OciImage<'_>> = recipes.iter().map(OciImage::new).collect::<Result<_, _>>()?;
    let first = images.first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut writer = Writer::new(out);
    writer.file("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let mut written = std::collections::BTreeSet::new();
    let mut manifests = Vec::new();
    for image in &images {
        for (i, layer) in image.layers.iter().enumerate() {
            if written.insert(layer.digest.clone()) {
                put(&mut writer, &blob(&layer.digest), layer, |out| image.write_layer(i, out))?;
            }
        }
        for bytes in [&image.config, &image.manifest] {
            if written.insert(Digest::of(bytes)) {
                writer.file(&blob(&Digest::of(bytes)), 0o644, bytes)?;
            }
        }
        let platform = &image.recipe.platform;
        for tag in &recipes[0].tags {
            let name = Reference::parse(tag).map_or_else(|_| tag.clone(), |r| r.to_string());
            manifests.push(json!({
                "mediaType": OCI_MANIFEST, "digest": Digest::of(&image.manifest), "size": image.manifest.len(),
                "platform": platform, "annotations": {"org.opencontainers.image.ref.name": name},
            }));
        }
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
    writer.file("index.json", 0o644, index.to_string().as_bytes())?;
    writer.finish()?;
    Ok(first.id())
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Streams a content of known size into an archive.
fn put<W: Write>(
    writer: &mut Writer<W>,
    path: &str,
    blob: &Blob,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let entry = Entry { size: blob.size, ..Entry::new(path, Kind::File) };
    writer.stream(&entry, write)
}

fn config(recipe: &Recipe, layers: &[Blob]) -> Vec<u8> {
    let run = &recipe.config;
    let mut config = json!({
        "Entrypoint": run.entrypoint, "Cmd": run.cmd, "Env": run.env, "User": run.user, "WorkingDir": run.working_dir,
    });
    if !run.stop_signal.is_empty() {
        config["StopSignal"] = Value::String(run.stop_signal.clone());
    }
    if !run.volumes.is_empty() {
        config["Volumes"] =
            run.volumes.iter().map(|v| (v.clone(), json!({}))).collect::<serde_json::Map<_, _>>().into();
    }
    let mut file = json!({
        "architecture": recipe.platform.architecture,
        "os": recipe.platform.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| &l.digest).collect::<Vec<_>>()},
        "history": layers.iter().map(|_| json!({"created_by": "kedge"})).collect::<Vec<_>>(),
    });
    if let Some(variant) = &recipe.platform.variant {
        file["variant"] = Value::String(variant.clone());
    }
    file.to_string().into_bytes()
}
