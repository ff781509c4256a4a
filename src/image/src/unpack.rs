//! Unpacks one layer's tar stream into a folder, in the form that overlayfs mounts.
//!
//! In: an untrusted tar stream, an empty folder, the layers below. Out: the folder filled.
//! Never creates, changes or reads anything outside that folder: each name is opened from its parent
//! without following links; links are resolved here, by name, with the folder as their root.

pub mod recipe;
mod tree;

pub(crate) use tree::remove_folder;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::merged::{Found, Merged, Names, OPAQUE};
use crate::tar::{Archive, Entry, Kind, TarError};
use recipe::{Recorded, Recorder};
use tree::{Place, Tree};

/// What one layer may cost at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Entries of a layer. A whole desktop distribution has about 400,000 files.
    pub entries: u64,
    /// Bytes of a layer's files.
    pub bytes: u64,
    /// Bytes that stay free on the file system.
    pub reserve: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 500_000, bytes: 16 << 30, reserve: 64 << 20 }
    }
}

/// Paths of folders whose times are set at the end: 500,000 of 64 bytes.
const MAX_REMEMBERED: usize = 32 << 20;
/// Bytes written between two looks at the free space.
const SPACE_CHECK: u64 = 16 << 20;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The tar stream is bad.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry is not acceptable.
    #[error("{path:?} {reason}")]
    Entry {
        /// The entry's path, as far as it can be shown.
        path: String,
        /// Why.
        reason: String,
    },
    /// The layer is larger than the limits.
    #[error("the layer is too large: {0}")]
    TooLarge(String),
    /// The disk is full, or nearly.
    #[error("not enough disk space: {0}")]
    NoSpace(String),
    /// The file system refused.
    #[error("writing {path:?}")]
    Write {
        /// The entry's path.
        path: String,
        /// The refusal.
        source: io::Error,
    },
}

/// Unpacks `stream` into `folder`, which is empty, over `below`, and writes the stream's recipe to a new file.
/// Returns the bytes of its files and of the recipe.
pub fn unpack(
    stream: impl Read,
    folder: &Path,
    recipe: &Path,
    below: Merged,
    limits: &Limits,
) -> Result<u64, UnpackError> {
    let kept = |error| disk_error(b"the layer's recipe", error);
    let root = rustix::fs::open(folder, crate::merged::FOLDER, Mode::empty()).map_err(|e| write_error(b"", e))?;
    let recorder = Recorder::create(recipe).map_err(kept)?;
    let mut archive = Archive::new(Recorded { inner: stream, recorder: recorder.clone() });
    let mut unpacker = Unpacker {
        recorder: recorder.clone(),
        tree: Tree::new(root, below),
        limits,
        bytes: 0,
        unchecked: SPACE_CHECK,
        folders: Vec::new(),
        buffer: vec![0; 64 * 1024],
        remembered: 0,
    };
    let mut entries = 0;
    while let Some(entry) = archive.next_entry()? {
        entries += 1;
        if entries > limits.entries {
            return Err(UnpackError::TooLarge(format!("it has more than {} entries", limits.entries)));
        }
        unpacker.entry(&entry, &mut archive)?;
    }
    archive.drain()?;
    unpacker.set_folder_times()?;
    let recipe = recorder.borrow_mut().finish().map_err(kept)?;
    Ok(unpacker.bytes + recipe)
}

struct Unpacker<'a> {
    tree: Tree,
    recorder: recipe::Shared,
    limits: &'a Limits,
    bytes: u64,
    unchecked: u64,
    folders: Vec<(Names, (i64, u32))>,
    buffer: Vec<u8>,
    remembered: usize,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, content: &mut impl Read) -> Result<(), UnpackError> {
        let place = self.tree.place(&entry.path).map_err(|fault| fault.on(&entry.path))?;
        let Some(place) = place else { return self.root(entry) };
        if let Some(hidden) = place.name.strip_prefix(b".wh.") {
            return self.whiteout(entry, &place, hidden);
        }
        if place.name.len() > 255 {
            return Err(refused(entry, "has a name longer than 255 bytes"));
        }
        let io = |error| write_error(&entry.path, error);
        let before = self.make_room(&place, entry).map_err(io)?;
        if entry.kind != Kind::File {
            // What a path leads through may be another from here on.
            self.tree.forget();
        }
        let name = place.name.as_slice();
        match entry.kind {
            Kind::File => {
                let kept = |error| disk_error(b"the layer's recipe", error);
                self.recorder.borrow_mut().content(&place.folder, &place.name, entry.size).map_err(kept)?;
                self.file(entry, &place, content)?;
                self.recorder.borrow_mut().content_over();
                return Ok(());
            }
            Kind::HardLink => return self.hard_link(entry, &place),
            Kind::Device => {
                // The runtime makes a container's devices; one in the store would open to whoever can reach it.
                tracing::debug!(path = %shown(&entry.path), "device node in a layer left out");
                return Ok(());
            }
            Kind::Folder => {
                if !matches!(before, Before::Folder) {
                    rustix::fs::mkdirat(&place.parent, name, Mode::from_raw_mode(0o700)).map_err(io)?;
                }
                let folder =
                    rustix::fs::openat(&place.parent, name, crate::merged::FOLDER, Mode::empty()).map_err(io)?;
                if matches!(before, Before::Whiteout) {
                    rustix::fs::fsetxattr(&folder, OPAQUE, b"y", XattrFlags::empty()).map_err(io)?;
                }
                dress(&folder, entry).map_err(io)?;
                let mut path = place.folder.clone();
                path.push(place.name.clone());
                return self.remember(path, entry.modified);
            }
            Kind::Symlink => {
                if entry.link.is_empty() {
                    return Err(refused(entry, "is a symbolic link without a target"));
                }
                rustix::fs::symlinkat(entry.link.as_slice(), &place.parent, name).map_err(io)?;
            }
            Kind::Fifo => rustix::fs::mknodat(&place.parent, name, FileType::Fifo, Mode::from_raw_mode(entry.mode), 0)
                .map_err(io)?,
        }
        let owner = (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)));
        rustix::fs::chownat(&place.parent, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW).map_err(io)?;
        if entry.kind == Kind::Fifo {
            rustix::fs::chmodat(&place.parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()).map_err(io)?;
        }
        rustix::fs::utimensat(&place.parent, name, &times(entry.modified), AtFlags::SYMLINK_NOFOLLOW).map_err(io)
    }

    /// The entry `./` gives the root folder's attributes.
    fn root(&mut self, entry: &Entry) -> Result<(), UnpackError> {
        if entry.kind != Kind::Folder {
            return Err(refused(entry, "names the root folder but is not a folder"));
        }
        dress(self.tree.root(), entry).map_err(|e| write_error(&entry.path, e))?;
        self.remember(Vec::new(), entry.modified)
    }

    fn file(&mut self, entry: &Entry, place: &Place, content: &mut impl Read) -> Result<(), UnpackError> {
        let io = |error| write_error(&entry.path, error);
        self.reserve(entry.size)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            rustix::fs::openat(&place.parent, place.name.as_slice(), flags, Mode::from_raw_mode(0o600)).map_err(io)?;
        let mut file = File::from(fd);
        let mut left = entry.size;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let n = match content.read(&mut self.buffer[..want]) {
                Ok(0) => return Err(TarError::Truncated("inside a file").into()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TarError::Read(error).into()),
            };
            file.write_all(&self.buffer[..n]).map_err(|error| disk_error(&entry.path, error))?;
            left -= n as u64;
            self.wrote(n as u64)?;
        }
        dress(&file, entry).map_err(io)?;
        rustix::fs::futimens(&file, &times(entry.modified)).map_err(io)
    }

    fn hard_link(&mut self, entry: &Entry, place: &Place) -> Result<(), UnpackError> {
        let io = |error| write_error(&entry.path, error);
        let missing =
            || refused(entry, &format!("is a hard link to {:?}, which is no file of the image", shown(&entry.link)));
        let target = self.tree.find(&entry.link).map_err(|fault| fault.on(&entry.path))?.ok_or_else(missing)?;
        if let Some(parent) = &target.here {
            return match rustix::fs::linkat(
                parent,
                target.name.as_slice(),
                &place.parent,
                place.name.as_slice(),
                AtFlags::empty(),
            ) {
                Ok(()) => Ok(()),
                Err(Errno::PERM | Errno::NOENT) => Err(missing()),
                Err(Errno::MLINK) => Err(refused(entry, "is one hard link more than the file system allows")),
                Err(error) => Err(io(error)),
            };
        }
        // The file belongs to a layer below, where a link cannot reach: it becomes a copy.
        let mut path = target.folder.clone();
        path.push(target.name.clone());
        let Some(Found::Other(folder, stat)) = self.tree.below.lookup(&path).map_err(io)? else {
            return Err(missing());
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(missing());
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut source =
            File::from(rustix::fs::openat(&folder, target.name.as_slice(), flags, Mode::empty()).map_err(io)?);
        let copy = Entry {
            kind: Kind::File,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: (stat.st_mtime, stat.st_mtime_nsec as u32),
            xattrs: tree::kept_xattrs(&source),
            ..entry.clone()
        };
        self.file(&copy, place, &mut source)
    }

    /// `.wh.NAME` deletes NAME of the layers below; `.wh..wh..opq` deletes all that a folder has below.
    fn whiteout(&mut self, entry: &Entry, place: &Place, hidden: &[u8]) -> Result<(), UnpackError> {
        if entry.size > 0 {
            return Err(refused(entry, "is a whiteout with a content"));
        }
        let io = |error| write_error(&entry.path, error);
        if hidden == b".wh..opq" {
            if matches!(self.tree.below.lookup(&place.folder).map_err(io)?, Some(Found::Folder(..)))
                && !place.folder.is_empty()
            {
                rustix::fs::fsetxattr(&place.parent, OPAQUE, b"y", XattrFlags::empty()).map_err(io)?;
            } else if place.folder.is_empty() {
                // overlayfs does not look at its layers' roots: each name below is deleted by itself.
                for name in self.tree.below.root_names().map_err(io)? {
                    self.hide(place, &name).map_err(io)?;
                }
            }
            return Ok(());
        }
        if hidden.starts_with(b".wh.") {
            // Marks of AUFS; they mean nothing here.
            return Ok(());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(refused(entry, "is a whiteout without a name"));
        }
        self.hide(place, hidden).map_err(io)
    }

    fn hide(&mut self, place: &Place, name: &[u8]) -> rustix::io::Result<()> {
        let mut path = place.folder.clone();
        path.push(name.to_vec());
        if self.tree.below.lookup(&path)?.is_none() {
            return Ok(());
        }
        match rustix::fs::statat(&place.parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            // What this layer has itself stays; only what lies below it is hidden.
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                let folder = rustix::fs::openat(&place.parent, name, crate::merged::FOLDER, Mode::empty())?;
                rustix::fs::fsetxattr(&folder, OPAQUE, b"y", XattrFlags::empty())
            }
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => rustix::fs::mknodat(&place.parent, name, FileType::CharacterDevice, Mode::empty(), 0),
            Err(error) => Err(error),
        }
    }

    /// Removes what an earlier entry left under this name, unless a folder meets a folder.
    fn make_room(&mut self, place: &Place, entry: &Entry) -> rustix::io::Result<Before> {
        let name = place.name.as_slice();
        let stat = match rustix::fs::statat(&place.parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Before::Nothing),
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            if entry.kind == Kind::Folder {
                return Ok(Before::Folder);
            }
            self.tree.forget();
            remove_folder(&place.parent, name)?;
            return Ok(Before::Nothing);
        }
        self.tree.forget();
        rustix::fs::unlinkat(&place.parent, name, AtFlags::empty())?;
        Ok(if crate::merged::is_whiteout(&stat) { Before::Whiteout } else { Before::Nothing })
    }

    fn reserve(&self, size: u64) -> Result<(), UnpackError> {
        if size > self.limits.bytes.saturating_sub(self.bytes) {
            return Err(UnpackError::TooLarge(format!("its files have more than {} bytes", self.limits.bytes)));
        }
        Ok(())
    }

    fn wrote(&mut self, count: u64) -> Result<(), UnpackError> {
        self.bytes += count;
        self.unchecked += count;
        if self.unchecked < SPACE_CHECK {
            return Ok(());
        }
        self.unchecked = 0;
        let free = free_bytes(self.tree.root()).map_err(|e| write_error(b"", e))?;
        if free < self.limits.reserve {
            return Err(UnpackError::NoSpace(format!(
                "{free} bytes are left and {} are kept free",
                self.limits.reserve
            )));
        }
        Ok(())
    }

    fn remember(&mut self, path: Names, modified: (i64, u32)) -> Result<(), UnpackError> {
        self.remembered += path.iter().map(|n| n.len() + 24).sum::<usize>() + 64;
        if self.remembered > MAX_REMEMBERED {
            return Err(UnpackError::TooLarge(format!(
                "the names of its folders take more than {MAX_REMEMBERED} bytes"
            )));
        }
        self.folders.push((path, modified));
        Ok(())
    }

    /// At the end, since each entry made in a folder changes its time.
    fn set_folder_times(&mut self) -> Result<(), UnpackError> {
        for (path, modified) in std::mem::take(&mut self.folders) {
            if let Some(folder) = self.tree.open_plain(&path).map_err(|e| write_error(&path.join(&b'/'), e))? {
                rustix::fs::futimens(&folder, &times(modified)).map_err(|e| write_error(&path.join(&b'/'), e))?;
            }
        }
        Ok(())
    }
}

enum Before {
    Nothing,
    Folder,
    Whiteout,
}

/// Bytes that are free for us on the file system.
pub fn free_bytes(folder: impl std::os::fd::AsFd) -> rustix::io::Result<u64> {
    let stat = rustix::fs::fstatvfs(folder)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Owner, then mode (a change of owner clears set-id bits), then attributes (it clears capabilities, too).
fn dress(fd: impl std::os::fd::AsFd, entry: &Entry) -> rustix::io::Result<()> {
    rustix::fs::fchown(&fd, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        if !xattr_is_kept(name) {
            continue;
        }
        match rustix::fs::fsetxattr(&fd, name.as_str(), value, XattrFlags::empty()) {
            Ok(()) => {}
            // A file system without user attributes still runs the image.
            Err(Errno::OPNOTSUPP) if name.starts_with("user.") => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// File capabilities and users' own attributes; labels and overlayfs's marks are this machine's business.
pub(crate) fn xattr_is_kept(name: &str) -> bool {
    name == "security.capability" || (name.starts_with("user.") && !name.starts_with("user.overlay."))
}

fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos as rustix::fs::Nsecs };
    Timestamps { last_access: time, last_modification: time }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned()
}

fn refused(entry: &Entry, reason: &str) -> UnpackError {
    UnpackError::Entry { path: shown(&entry.path), reason: reason.to_owned() }
}

fn write_error(path: &[u8], error: Errno) -> UnpackError {
    disk_error(path, error.into())
}

fn disk_error(path: &[u8], source: io::Error) -> UnpackError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            UnpackError::NoSpace(format!("writing {:?}: {source}", shown(path)))
        }
        _ => UnpackError::Write { path: shown(path), source },
    }
}
