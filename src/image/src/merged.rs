//! Looks at unpacked layers as if they were mounted over each other.
//!
//! In: folders of layers, uppermost first, and a path. Out: what a container would see there.
//! Never follows a symbolic link out of the layers and never writes.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// As many as Linux follows.
pub const MAX_SYMLINKS: u32 = 40;
/// The attribute by which overlayfs hides what lies below a folder.
pub const OPAQUE: &str = "trusted.overlay.opaque";

/// A path from a root: plain names, no `.`, no `..`, no link left to follow.
pub type Names = Vec<Vec<u8>>;

/// Layers, uppermost first.
pub struct Merged {
    layers: Vec<OwnedFd>,
}

/// What is found under a name.
pub enum Found {
    /// A folder of one or more layers; the uppermost one's, opened.
    Folder(OwnedFd, Stat),
    /// A symbolic link's target.
    Symlink(Vec<u8>),
    /// Anything else: the layer's folder that holds it, and its attributes.
    Other(OwnedFd, Stat),
}

impl Merged {
    /// Opens the layers' folders, uppermost first.
    pub fn open<P: AsRef<Path>>(layers: &[P]) -> rustix::io::Result<Self> {
        let layers = layers
            .iter()
            .map(|path| rustix::fs::open(path.as_ref(), FOLDER, Mode::empty()))
            .collect::<Result<_, _>>()?;
        Ok(Self { layers })
    }

    /// Finds a path of plain names; intermediate symbolic links are not followed.
    pub fn lookup<N: AsRef<[u8]>>(&self, path: &[N]) -> rustix::io::Result<Option<Found>> {
        for layer in &self.layers {
            match in_layer(layer, path)? {
                Step::Found(found) => return Ok(Some(found)),
                Step::Hidden => return Ok(None),
                Step::Below => {}
            }
        }
        Ok(None)
    }

    /// The names in the layers' root folders.
    pub fn root_names(&self) -> rustix::io::Result<BTreeSet<Vec<u8>>> {
        let mut names = BTreeSet::new();
        for layer in &self.layers {
            for entry in rustix::fs::Dir::read_from(layer)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    names.insert(name.to_vec());
                }
            }
        }
        Ok(names)
    }

    /// Opens a regular file, following symbolic links inside the layers.
    pub fn open_file(&self, path: &str) -> rustix::io::Result<Option<File>> {
        let mut rest: VecDeque<Vec<u8>> = names(path.as_bytes());
        let mut at = Names::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                at.pop();
                continue;
            }
            at.push(name);
            match self.lookup(&at)? {
                None => return Ok(None),
                Some(Found::Folder(..)) => {}
                Some(Found::Symlink(target)) => {
                    links += 1;
                    if links > MAX_SYMLINKS {
                        return Err(Errno::LOOP);
                    }
                    at.pop();
                    follow(&target, &mut at, &mut rest);
                }
                Some(Found::Other(folder, stat)) => {
                    if !rest.is_empty() || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                        return Ok(None);
                    }
                    let Some(name) = at.last() else { return Ok(None) };
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                    return rustix::fs::openat(&folder, name.as_slice(), flags, Mode::empty())
                        .map(|fd| Some(File::from(fd)));
                }
            }
        }
        Ok(None)
    }
}

/// How folders are opened: as themselves, never through a link.
pub const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The names of a path, without empty ones and `.`.
pub fn names(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|b| *b == b'/').filter(|n| !n.is_empty() && *n != b".").map(<[u8]>::to_vec).collect()
}

/// Puts a link's target before what is left of a path.
pub fn follow(target: &[u8], at: &mut Names, rest: &mut VecDeque<Vec<u8>>) {
    if target.first() == Some(&b'/') {
        at.clear();
    }
    for name in names(target).into_iter().rev() {
        rest.push_front(name);
    }
}

/// True for overlayfs's mark that a name is deleted.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// True if the folder hides what lies below it.
pub fn is_opaque(folder: impl AsFd) -> bool {
    let mut value = [0; 8];
    matches!(rustix::fs::fgetxattr(folder, OPAQUE, &mut value[..]), Ok(1) if value[0] == b'y')
}

enum Step {
    Found(Found),
    Hidden,
    Below,
}

fn in_layer<N: AsRef<[u8]>>(layer: &OwnedFd, path: &[N]) -> rustix::io::Result<Step> {
    let mut folder = rustix::fs::openat(layer, ".", FOLDER, Mode::empty())?;
    let Some((last, parents)) = path.split_last() else {
        let stat = rustix::fs::fstat(&folder)?;
        return Ok(Step::Found(Found::Folder(folder, stat)));
    };
    for name in parents {
        folder = match rustix::fs::openat(&folder, name.as_ref(), FOLDER, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) => return Ok(if is_opaque(&folder) { Step::Hidden } else { Step::Below }),
            // A file, a link or a whiteout here hides what lies below it.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Step::Hidden),
            Err(error) => return Err(error),
        };
    }
    let name = last.as_ref();
    let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(if is_opaque(&folder) { Step::Hidden } else { Step::Below }),
        Err(error) => return Err(error),
    };
    if is_whiteout(&stat) {
        return Ok(Step::Hidden);
    }
    Ok(Step::Found(match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Found::Folder(rustix::fs::openat(&folder, name, FOLDER, Mode::empty())?, stat),
        FileType::Symlink => Found::Symlink(rustix::fs::readlinkat(&folder, name, Vec::new())?.into_bytes()),
        _ => Found::Other(folder, stat),
    }))
}
