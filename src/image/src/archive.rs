//! Archives of images: `docker save` and OCI layouts, in a tar stream, a tar file or a folder.
//!
//! In: an untrusted stream or file. Out: which images it holds, and a way to read each piece, checked by digest.
//! Never unpacks anything under a name that the archive chose.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::{Digest, DigestFault, Hasher};
use crate::manifest::{Descriptor, Document, Index, MAX_DOCUMENT, ManifestFault, Platform, Saved, parse_saved};
use crate::reference::Reference;
use crate::tar::{Archive, Kind, TarError};
use crate::unpack;

/// Pieces of an archive: 1000 images of 127 layers do not fit, a hundred do.
const MAX_PIECES: usize = 20_000;
/// Symbolic links that stand for a piece in archives of old `docker save`.
const MAX_LINKS: usize = 4;
/// Indexes that point to indexes.
const MAX_NESTING: usize = 4;
/// Bytes spooled between two looks at the free space.
const SPACE_CHECK: u64 = 16 << 20;

/// Why an archive is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The tar stream is bad.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// It is a tar archive, but of no image.
    #[error("not an image archive: it has neither manifest.json (docker save) nor index.json (OCI)")]
    NoImage,
    /// A document in it is bad.
    #[error(transparent)]
    Manifest(#[from] ManifestFault),
    /// Something that a document names is not there.
    #[error("the archive has no {0:?}, which its manifest names")]
    Missing(String),
    /// A document is larger than such documents are.
    #[error("{path:?} in the archive is {size} bytes long; the limit is {limit}")]
    TooLong {
        /// Which.
        path: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A piece is not what its name or descriptor says.
    #[error("{path:?} in the archive is damaged: its content is {got}")]
    Digest {
        /// Which.
        path: String,
        /// What it hashes to.
        got: Digest,
    },
    /// A name in it is no image name.
    #[error("the archive names an image wrongly")]
    Name(#[from] crate::reference::ReferenceFault),
    /// It does not fit.
    #[error("the archive is too large: {0}")]
    TooLarge(String),
    /// The disk or the stream failed.
    #[error("{act}")]
    Io {
        /// What was done.
        act: &'static str,
        /// The failure.
        source: io::Error,
    },
}

fn io_error(act: &'static str) -> impl FnOnce(io::Error) -> ArchiveError {
    move |source| ArchiveError::Io { act, source }
}

/// One image of an archive.
#[derive(Debug)]
pub struct Packed {
    /// The configuration's bytes.
    pub config: Vec<u8>,
    /// Names with tags.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    layers: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    path: String,
    digest: Option<Digest>,
}

impl Packed {
    /// How many layers it has.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }
}

/// An archive whose pieces can be read in any order.
pub struct Bundle {
    place: Place,
}

enum Place {
    /// One file with pieces at known places; links stand for other pieces.
    Tar {
        file: Arc<File>,
        pieces: BTreeMap<String, (u64, u64)>,
        links: BTreeMap<String, String>,
    },
    Folder(PathBuf),
}

impl Bundle {
    /// Reads a stream to its end, keeping its pieces in one file inside `scratch`.
    pub fn spool(stream: impl Read, scratch: &Path, limits: &unpack::Limits) -> Result<Self, ArchiveError> {
        let path = scratch.join("spool");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(io_error("making a temporary file"))?;
        let stream = crate::compress::decompress(stream).map_err(io_error("reading the archive"))?;
        let mut sink = Spool { file: &file, at: 0, unchecked: SPACE_CHECK, limits };
        let (pieces, links) = scan(Archive::new(stream), |archive, entry| {
            let start = sink.at;
            io::copy(archive, &mut sink).map_err(io_error("keeping the archive"))?;
            Ok((start, entry.size))
        })?;
        Ok(Self { place: Place::Tar { file: Arc::new(file), pieces, links } })
    }

    /// Reads a file; a plain tar file is used where it lies, a compressed one is spooled into `scratch`.
    pub fn file(path: &Path, scratch: &Path, limits: &unpack::Limits) -> Result<Self, ArchiveError> {
        if path.is_dir() {
            return Ok(Self { place: Place::Folder(path.to_owned()) });
        }
        let mut file = File::open(path).map_err(io_error("opening the archive"))?;
        let mut start = [0; 4];
        let n = file.read(&mut start).map_err(io_error("reading the archive"))?;
        file.seek(SeekFrom::Start(0)).map_err(io_error("reading the archive"))?;
        if crate::compress::is_compressed(&start[..n]) {
            return Self::spool(file, scratch, limits);
        }
        let length = file.metadata().map_err(io_error("reading the archive"))?.len();
        let file = Arc::new(file);
        let reader = Seeking { file: file.clone(), at: 0 };
        let (pieces, links) = scan(Archive::with_skip(reader, Seeking::skip), |archive, entry| {
            let start = archive.content_offset();
            if start.saturating_add(entry.size) > length {
                return Err(TarError::Truncated("inside a file").into());
            }
            Ok((start, entry.size))
        })?;
        Ok(Self { place: Place::Tar { file, pieces, links } })
    }

    /// The images in it, for this platform.
    pub fn images(&self, platform: &Platform) -> Result<Vec<Packed>, ArchiveError> {
        if self.has("manifest.json") {
            return parse_saved(&self.document("manifest.json", None)?)?
                .into_iter()
                .map(|saved| self.saved(saved))
                .collect();
        }
        if !self.has("index.json") {
            return Err(ArchiveError::NoImage);
        }
        let Document::Index(index) = Document::parse(&self.document("index.json", None)?)? else {
            return Err(ArchiveError::NoImage);
        };
        // One image may be there for several platforms, each with the same name.
        let mut groups: BTreeMap<String, Vec<Descriptor>> = BTreeMap::new();
        for manifest in index.manifests {
            let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                .iter()
                .find_map(|k| manifest.annotations.get(*k));
            groups.entry(name.cloned().unwrap_or_default()).or_default().push(manifest);
        }
        let mut images = Vec::new();
        for (name, manifests) in groups {
            let index = Index { schema_version: 2, media_type: String::new(), manifests };
            images.push(self.laid_out(&name, index.choose(platform)?, platform)?);
        }
        if images.is_empty() { Err(ArchiveError::NoImage) } else { Ok(images) }
    }

    /// Opens a layer as it is in the archive; a wrong digest is an error at its end.
    pub fn open_layer(&self, image: &Packed, number: usize) -> io::Result<Box<dyn Read + Send>> {
        let piece = image.layers.get(number).ok_or(io::ErrorKind::NotFound)?;
        let (reader, _) = self.open(&piece.path).map_err(io::Error::other)?;
        Ok(match &piece.digest {
            Some(digest) => Box::new(Verified::new(reader, digest.clone())),
            None => reader,
        })
    }

    fn saved(&self, saved: Saved) -> Result<Packed, ArchiveError> {
        let stem = Path::new(&saved.config).file_name().and_then(|n| n.to_str()).unwrap_or("");
        // Named after its digest by Docker; others name it as they like.
        let named = Digest::from_hex(stem.strip_suffix(".json").unwrap_or(stem)).ok();
        let config = self.document(&saved.config, named.as_ref())?;
        let tags = saved
            .repo_tags
            .iter()
            .map(|t| Ok(Reference::parse(t)?.to_string()))
            .collect::<Result<_, ArchiveError>>()?;
        let layers = saved.layers.into_iter().map(|path| Piece { path, digest: None }).collect();
        Ok(Packed { config, tags, digests: Vec::new(), layers })
    }

    fn laid_out(&self, name: &str, descriptor: &Descriptor, platform: &Platform) -> Result<Packed, ArchiveError> {
        let mut descriptor = descriptor.clone();
        let top = descriptor.digest.clone();
        for _ in 0..MAX_NESTING {
            let bytes = self.document(&blob(&descriptor.digest), Some(&descriptor.digest))?;
            let manifest = match Document::parse(&bytes)? {
                Document::Index(index) => {
                    descriptor = index.choose(platform)?.clone();
                    continue;
                }
                Document::Manifest(manifest) => manifest,
            };
            let config = self.document(&blob(&manifest.config.digest), Some(&manifest.config.digest))?;
            let layers =
                manifest.layers.into_iter().map(|l| Piece { path: blob(&l.digest), digest: Some(l.digest) }).collect();
            // Some write the whole name there, some only the tag: a tag alone names nothing.
            let reference = if name.contains(['/', ':']) { Some(Reference::parse(name)?) } else { None };
            let tags = reference.iter().filter_map(Reference::tagged).collect();
            let digests =
                reference.iter().flat_map(|r| [r.with_digest(&top), r.with_digest(&descriptor.digest)]).collect();
            return Ok(Packed { config, tags, digests, layers });
        }
        Err(ArchiveError::TooLarge(format!("an index lies inside of more than {MAX_NESTING} others")))
    }

    fn has(&self, path: &str) -> bool {
        match &self.place {
            Place::Tar { pieces, .. } => pieces.contains_key(path),
            Place::Folder(folder) => folder.join(path).is_file(),
        }
    }

    fn document(&self, path: &str, digest: Option<&Digest>) -> Result<Vec<u8>, ArchiveError> {
        let (reader, size) = self.open(path)?;
        if size > MAX_DOCUMENT {
            return Err(ArchiveError::TooLong { path: path.to_owned(), size, limit: MAX_DOCUMENT });
        }
        let mut bytes = Vec::new();
        reader.take(MAX_DOCUMENT).read_to_end(&mut bytes).map_err(io_error("reading the archive"))?;
        match digest {
            Some(digest) if Digest::of(&bytes) != *digest => {
                Err(ArchiveError::Digest { path: path.to_owned(), got: Digest::of(&bytes) })
            }
            _ => Ok(bytes),
        }
    }

    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), ArchiveError> {
        let missing = || ArchiveError::Missing(path.chars().take(200).collect());
        match &self.place {
            Place::Tar { file, pieces, links } => {
                let mut path = plain(path).ok_or_else(missing)?;
                for _ in 0..MAX_LINKS {
                    match links.get(&path) {
                        Some(target) => path = target.clone(),
                        None => break,
                    }
                }
                let (start, size) = *pieces.get(&path).ok_or_else(missing)?;
                let reader = Seeking { file: file.clone(), at: start };
                Ok((Box::new(reader.take(size)), size))
            }
            Place::Folder(folder) => {
                let file = File::open(folder.join(plain(path).ok_or_else(missing)?)).map_err(|_| missing())?;
                let size = file.metadata().map_err(io_error("reading the layout"))?.len();
                Ok((Box::new(file), size))
            }
        }
    }
}

type Pieces = (BTreeMap<String, (u64, u64)>, BTreeMap<String, String>);

fn scan<R: Read>(
    mut archive: Archive<R>,
    mut keep: impl FnMut(&mut Archive<R>, &crate::tar::Entry) -> Result<(u64, u64), ArchiveError>,
) -> Result<Pieces, ArchiveError> {
    let (mut pieces, mut links) = (BTreeMap::new(), BTreeMap::new());
    while let Some(entry) = archive.next_entry()? {
        if pieces.len() + links.len() >= MAX_PIECES {
            return Err(ArchiveError::TooLarge(format!("it has more than {MAX_PIECES} entries")));
        }
        let Some(path) = std::str::from_utf8(&entry.path).ok().and_then(plain) else { continue };
        match entry.kind {
            Kind::File => {
                pieces.insert(path, keep(&mut archive, &entry)?);
            }
            Kind::Symlink | Kind::HardLink => {
                let link = std::str::from_utf8(&entry.link).unwrap_or("");
                let target = match (entry.kind, path.rsplit_once('/')) {
                    (Kind::Symlink, Some((folder, _))) => beside(folder, link),
                    _ => plain(link),
                };
                if let Some(target) = target {
                    links.insert(path, target);
                }
            }
            _ => {}
        }
    }
    Ok((pieces, links))
}

/// A path without empty names and `.`; `None` if it has `..` or is absolute.
fn plain(path: &str) -> Option<String> {
    if path.starts_with('/') || path.split('/').any(|n| n == "..") {
        return None;
    }
    Some(path.split('/').filter(|n| !n.is_empty() && *n != ".").collect::<Vec<_>>().join("/"))
}

/// A link's target seen from the folder that holds the link.
fn beside(folder: &str, link: &str) -> Option<String> {
    let mut at: Vec<&str> = folder.split('/').collect();
    for name in link.split('/').filter(|n| !n.is_empty() && *n != ".") {
        if name == ".." {
            at.pop()?;
        } else {
            at.push(name);
        }
    }
    plain(&at.join("/"))
}

fn blob(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Reads a shared file from a place of its own.
struct Seeking {
    file: Arc<File>,
    at: u64,
}

impl Seeking {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let left = self.file.metadata()?.len().saturating_sub(self.at);
        let skipped = count.min(left);
        self.at += skipped;
        Ok(skipped)
    }
}

impl Read for Seeking {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

struct Spool<'a> {
    file: &'a File,
    at: u64,
    unchecked: u64,
    limits: &'a unpack::Limits,
}

impl Write for Spool<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at.saturating_add(bytes.len() as u64) > self.limits.bytes {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {} bytes", self.limits.bytes),
            ));
        }
        if self.unchecked >= SPACE_CHECK {
            self.unchecked = 0;
            let free = unpack::free_bytes(self.file)?;
            if free < self.limits.reserve {
                let text = format!("{free} bytes are left on the disk and {} are kept free", self.limits.reserve);
                return Err(io::Error::new(io::ErrorKind::StorageFull, text));
            }
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        self.unchecked += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes bytes through and fails at the end if they were not those that the digest names.
pub struct Verified<R> {
    inner: R,
    hasher: Hasher,
    wanted: Digest,
}

impl<R: Read> Verified<R> {
    /// Expects `wanted`.
    pub fn new(inner: R, wanted: Digest) -> Self {
        Self { inner, hasher: Hasher::default(), wanted }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..n]);
        if n == 0 && !buffer.is_empty() {
            let got = self.hasher.clone().finish();
            if got != self.wanted {
                let text = format!("a piece is damaged: its content is {got}, it should be {}", self.wanted);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(n)
    }
}

/// The archives of a folder, in the order of their names.
pub fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let archive = [".tar", ".tar.gz", ".tgz", ".tar.zst"].iter().any(|end| name.ends_with(end)) && path.is_file();
        if !name.starts_with('.') && (archive || path.join("oci-layout").is_file()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl From<DigestFault> for ArchiveError {
    fn from(fault: DigestFault) -> Self {
        Self::Missing(fault.0)
    }
}
