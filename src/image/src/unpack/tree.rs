//! Finds the place of a name inside a folder that plays the root.
//!
//! In: a path as an archive writes it. Out: the opened parent folder and the last name.
//! Never follows a link through the kernel: links of this layer and of those below are resolved by name.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use super::UnpackError;
use crate::merged::{FOLDER, Found, MAX_SYMLINKS, Merged, Names, follow, is_whiteout, names};

/// Deeper trees are attacks on whoever walks them.
const MAX_DEPTH: usize = 256;

/// A layer's folder in the making, and the layers below it.
pub struct Tree {
    root: Rc<OwnedFd>,
    pub below: Merged,
    /// The folder that was used last: archives write a folder's files one after another.
    last: Option<(Vec<u8>, Place)>,
}

/// Where a name belongs.
#[derive(Clone)]
pub struct Place {
    pub parent: Rc<OwnedFd>,
    /// The parent's path from the root: plain names, all links resolved.
    pub folder: Names,
    pub name: Vec<u8>,
}

/// Where an existing name is.
pub struct Target {
    /// Its parent in this layer; `None` if only the layers below have it.
    pub here: Option<Rc<OwnedFd>>,
    pub folder: Names,
    pub name: Vec<u8>,
}

/// Why a path has no place.
pub enum Fault {
    Path(&'static str),
    System(Errno),
}

impl Fault {
    pub fn on(self, path: &[u8]) -> UnpackError {
        match self {
            Self::Path(reason) => UnpackError::Entry { path: super::shown(path), reason: reason.to_owned() },
            Self::System(error) => super::write_error(path, error),
        }
    }
}

impl From<Errno> for Fault {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

impl Tree {
    pub fn new(root: OwnedFd, below: Merged) -> Self {
        Self { root: Rc::new(root), below, last: None }
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Call when a folder may have been removed.
    pub fn forget(&mut self) {
        self.last = None;
    }

    /// The place of an entry, its parents made as needed; `None` for the root itself.
    pub fn place(&mut self, path: &[u8]) -> Result<Option<Place>, Fault> {
        let trimmed = path.strip_suffix(b"/").unwrap_or(path);
        let cut = trimmed.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
        let (parent, name) = trimmed.split_at(cut);
        if path.split(|b| *b == b'/').any(|n| n == b"..") {
            return Err(Fault::Path("leaves its folder by '..'"));
        }
        if name.is_empty() || name == b"." {
            // "/", "./" and "a/.": only the root is ever written like that.
            return if names(path).is_empty() { Ok(None) } else { Err(Fault::Path("is not a usable path")) };
        }
        if let Some((last, place)) = &self.last
            && last == parent
        {
            return Ok(Some(Place { name: name.to_vec(), ..place.clone() }));
        }
        let (parent_fd, folder) = match self.walk(parent, true)? {
            Some(found) => found,
            None => return Err(Fault::Path("has no parent folder")),
        };
        let place = Place { parent: parent_fd, folder, name: name.to_vec() };
        self.last = Some((parent.to_vec(), Place { name: Vec::new(), ..place.clone() }));
        Ok(Some(place))
    }

    /// Finds a hard link's target; the last name is not followed.
    pub fn find(&mut self, path: &[u8]) -> Result<Option<Target>, Fault> {
        let mut all = names(path);
        if all.iter().any(|n| n == b"..") {
            return Err(Fault::Path("is a hard link whose target leaves the folder by '..'"));
        }
        let Some(name) = all.pop_back() else { return Ok(None) };
        let parent: Vec<u8> = all.into_iter().collect::<Vec<_>>().join(&b'/');
        // Parents that only the layers below have are made here: a folder made for nothing changes nothing.
        let Some((fd, folder)) = self.walk(&parent, false)? else { return Ok(None) };
        let here = match rustix::fs::statat(&*fd, name.as_slice(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => return Ok(None),
            Ok(_) => Some(fd),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Target { here, folder, name }))
    }

    /// Opens a folder of this layer by plain names.
    pub fn open_plain(&self, path: &[Vec<u8>]) -> rustix::io::Result<Option<OwnedFd>> {
        let mut at = rustix::fs::openat(&*self.root, ".", FOLDER, Mode::empty())?;
        for name in path {
            at = match rustix::fs::openat(&at, name.as_slice(), FOLDER, Mode::empty()) {
                Ok(next) => next,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        Ok(Some(at))
    }

    /// Walks to a folder, resolving links inside the root. With `create`, missing folders are made.
    fn walk(&self, path: &[u8], create: bool) -> Result<Option<(Rc<OwnedFd>, Names)>, Fault> {
        let mut rest = names(path);
        let mut fds: Vec<Rc<OwnedFd>> = vec![self.root.clone()];
        let mut at = Names::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                if at.pop().is_some() {
                    fds.pop();
                }
                continue;
            }
            if at.len() >= MAX_DEPTH {
                return Err(Fault::Path("lies deeper than 256 folders"));
            }
            let Some(folder) = fds.last().cloned() else { return Ok(None) };
            let target = match self.enter(&folder, &mut at, &name, create)? {
                Entered::Folder(fd) => {
                    fds.push(Rc::new(fd));
                    at.push(name);
                    continue;
                }
                Entered::Missing => return Ok(None),
                Entered::Link(target) => target,
            };
            links += 1;
            if links > MAX_SYMLINKS {
                return Err(Fault::Path("goes through too many symbolic links"));
            }
            follow(&target, &mut at, &mut rest);
            fds.truncate(at.len() + 1);
        }
        Ok(fds.pop().map(|fd| (fd, at)))
    }

    fn enter(&self, folder: &OwnedFd, at: &mut Names, name: &[u8], create: bool) -> Result<Entered, Fault> {
        match rustix::fs::openat(folder, name, FOLDER, Mode::empty()) {
            Ok(fd) => return Ok(Entered::Folder(fd)),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                    return Ok(Entered::Link(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes()));
                }
                if !is_whiteout(&stat) {
                    return Err(Fault::Path("lies inside of something that is not a folder"));
                }
                if !create {
                    return Ok(Entered::Missing);
                }
                rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
                let fd = make(folder, name, 0o755)?;
                rustix::fs::fsetxattr(&fd, crate::merged::OPAQUE, b"y", rustix::fs::XattrFlags::empty())?;
                return Ok(Entered::Folder(fd));
            }
            Err(error) => return Err(error.into()),
        }
        at.push(name.to_vec());
        let below = self.below.lookup(at);
        at.pop();
        match below? {
            Some(Found::Symlink(target)) => Ok(Entered::Link(target)),
            // The layer does not describe the folder: it keeps the looks that it has below.
            Some(Found::Folder(like, stat)) => {
                let fd = make(folder, name, 0o700)?;
                rustix::fs::fchown(&fd, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
                rustix::fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
                for (name, value) in kept_xattrs(&like) {
                    rustix::fs::fsetxattr(&fd, name.as_str(), &value, rustix::fs::XattrFlags::empty())?;
                }
                Ok(Entered::Folder(fd))
            }
            Some(Found::Other(..)) if !create => Ok(Entered::Missing),
            None if !create => Ok(Entered::Missing),
            Some(Found::Other(..)) | None => Ok(Entered::Folder(make(folder, name, 0o755)?)),
        }
    }
}

enum Entered {
    Folder(OwnedFd),
    Link(Vec<u8>),
    Missing,
}

fn make(folder: &OwnedFd, name: &[u8], mode: u32) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o700))?;
    let fd = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    Ok(fd)
}

/// Removes a folder and all that is in it, without following links.
pub fn remove_folder(parent: impl AsFd, name: &[u8]) -> rustix::io::Result<()> {
    // An explicit stack: names come from an archive and may be deep.
    let first = rustix::fs::openat(&parent, name, FOLDER, Mode::empty())?;
    let mut stack: Vec<(OwnedFd, Vec<u8>)> = vec![(first, name.to_vec())];
    while let Some((fd, _)) = stack.last() {
        let mut deeper = None;
        for entry in Dir::read_from(fd)? {
            let entry = entry?;
            let child = entry.file_name().to_bytes();
            if matches!(child, b"." | b"..") {
                continue;
            }
            match rustix::fs::unlinkat(fd, child, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::ISDIR | Errno::PERM) => {
                    deeper = Some((rustix::fs::openat(fd, child, FOLDER, Mode::empty())?, child.to_vec()));
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        match deeper {
            Some(next) => stack.push(next),
            None => {
                let Some((_, done)) = stack.pop() else { break };
                match stack.last() {
                    Some((up, _)) => rustix::fs::unlinkat(up, done.as_slice(), AtFlags::REMOVEDIR)?,
                    None => rustix::fs::unlinkat(&parent, done.as_slice(), AtFlags::REMOVEDIR)?,
                }
            }
        }
    }
    Ok(())
}

/// The attributes of a file that a layer may carry.
pub fn kept_xattrs(fd: impl AsFd) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 64 * 1024];
    let Ok(length) = rustix::fs::flistxattr(&fd, &mut list[..]) else { return BTreeMap::new() };
    let mut kept = BTreeMap::new();
    for name in list[..length].split(|b| *b == 0).filter_map(|n| std::str::from_utf8(n).ok()) {
        if !name.is_empty() && super::xattr_is_kept(name) {
            let mut value = vec![0; 64 * 1024];
            if let Ok(n) = rustix::fs::fgetxattr(&fd, name, &mut value[..]) {
                value.truncate(n);
                kept.insert(name.to_owned(), value);
            }
        }
    }
    kept
}
