//! subPath: a part of a volume, held by a descriptor so that no link can lead out of it.
//!
//! In: the volume's path, a relative path. Out: an open descriptor of what is there, made as a folder if it was not.
//! The kernel itself refuses every step out of the volume, whoever swaps links meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens a part of a volume.
pub fn open(volume: &Path, part: &str) -> io::Result<OwnedFd> {
    let root = rustix::fs::open(volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match beneath(&root, Path::new(part)) {
        Ok(found) => return Ok(found),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut done = std::path::PathBuf::new();
    for component in Path::new(part).components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => return Err(io::Error::other("subPath must be relative and without '..'")),
        };
        let parent = match done.as_os_str().is_empty() {
            true => beneath(&root, Path::new("."))?,
            false => beneath(&root, &done)?,
        };
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        done.push(name);
    }
    Ok(beneath(&root, &done)?)
}

fn beneath(root: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Whether what a descriptor names is a folder.
pub fn is_folder(found: &OwnedFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(found)?;
    Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn parts_are_found_made_and_kept_inside() {
        let folder = tempfile::tempdir().unwrap();
        let volume = folder.path().join("v");
        fs::create_dir_all(volume.join("real/deep")).unwrap();
        fs::write(volume.join("file"), "x").unwrap();
        symlink("real", volume.join("inside")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("../..", volume.join("up")).unwrap();
        let ok = |part: &str| open(&volume, part).and_then(|fd| is_folder(&fd)).ok();
        assert_eq!(ok("real/deep"), Some(true));
        assert_eq!(ok("file"), Some(false));
        assert_eq!(ok("inside/deep"), Some(true));
        assert_eq!(ok("new/er"), Some(true));
        assert_eq!(ok("absolute"), None);
        assert_eq!(ok("absolute/new"), None);
        assert_eq!(ok("up"), None);
        assert_eq!(ok("up/x"), None);
        assert!(volume.join("new/er").is_dir());
        assert!(!folder.path().join("x").exists());
    }
}
