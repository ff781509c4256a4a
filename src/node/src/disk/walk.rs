//! What a folder takes on disk.
//!
//! In: a path that no container can change. Out: bytes, as the file system counts them. What is below is hostile: no
//! link is followed, no other file system entered, names are looked at in the folder that was opened, and there is a
//! bound on how many and how deep. Leaves no trace in the folders' access times.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::path::Arg;

/// Names that one walk looks at: seconds on a slow card, and more files than a gateway's disk has room for.
const NAMES: u32 = 1 << 20;
/// Folders in folders: each of them costs a descriptor.
const DEPTH: usize = 128;

/// One walk over some folders.
pub struct Walk {
    left: u32,
    /// There was more than the bounds allow.
    pub cut: bool,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Access times are kept where the kernel lets us.
fn open(at: BorrowedFd<'_>, name: impl Arg + Copy) -> rustix::io::Result<OwnedFd> {
    openat(at, name, FOLDER | OFlags::NOATIME, Mode::empty()).or_else(|_| openat(at, name, FOLDER, Mode::empty()))
}

impl Walk {
    /// With all its bounds ahead.
    pub fn new() -> Self {
        Self { left: NAMES, cut: false }
    }

    /// What a folder takes with all that is in it; one that is not there takes nothing, nor does what goes meanwhile.
    pub fn folder(&mut self, path: &Path) -> u64 {
        let Ok(root) = open(CWD, path) else { return 0 };
        let Ok(stat) = fstat(&root) else { return 0 };
        let (device, mut bytes) = (stat.st_dev, taken(&stat));
        let mut folders: Vec<Dir> = Dir::new(root).into_iter().collect();
        while let Some(folder) = folders.last_mut() {
            let Some(Ok(entry)) = folder.read() else {
                folders.pop();
                continue;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if self.left == 0 {
                self.cut = true;
                break;
            }
            self.left -= 1;
            let Ok(at) = folder.fd() else { continue };
            let Ok(stat) = statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if stat.st_dev != device {
                continue;
            }
            bytes += taken(&stat);
            if !FileType::from_raw_mode(stat.st_mode).is_dir() {
                continue;
            }
            let next = open(at, name).and_then(Dir::new);
            if folders.len() < DEPTH {
                folders.extend(next);
            } else {
                self.cut = true;
            }
        }
        bytes
    }
}

/// What one name takes. A file of several names is shared between them: no name is outside of what is walked.
#[allow(clippy::unnecessary_cast, reason = "types differ between machines")]
fn taken(stat: &rustix::fs::Stat) -> u64 {
    // The names of a folder are its own ones, `.` and `..`.
    let names = if FileType::from_raw_mode(stat.st_mode).is_dir() { 1 } else { stat.st_nlink.max(1) };
    stat.st_blocks as u64 * 512 / names as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_is_there_is_counted_once_and_nothing_else() {
        let top = tempfile::tempdir().unwrap();
        let volume = top.path().join("v");
        fs::create_dir_all(volume.join("a/b")).unwrap();
        fs::write(top.path().join("outside"), vec![1; 64 * MIB]).unwrap();
        fs::write(volume.join("a/b/x"), vec![1; 4 * MIB]).unwrap();
        fs::hard_link(volume.join("a/b/x"), volume.join("y")).unwrap();
        symlink(top.path(), volume.join("a/up")).unwrap();
        symlink("../outside", volume.join("a/file")).unwrap();
        // A file of which nothing is written takes nothing.
        fs::File::create(volume.join("hole")).unwrap().set_len(1 << 40).unwrap();
        let mut walk = Walk::new();
        let bytes = walk.folder(&volume) as usize;
        assert!((4 * MIB..5 * MIB).contains(&bytes), "{bytes}");
        assert!(!walk.cut);
        symlink(&volume, top.path().join("link")).unwrap();
        assert_eq!(walk.folder(&top.path().join("link")), 0);
        assert_eq!(walk.folder(&top.path().join("none")), 0);
    }

    #[test]
    fn a_walk_ends_however_much_and_however_deep_there_is() {
        let top = tempfile::tempdir().unwrap();
        let mut walk = Walk { left: 2, cut: false };
        for name in ["a", "b"] {
            fs::write(top.path().join(name), "x").unwrap();
        }
        walk.folder(top.path());
        assert!(!walk.cut, "as many as may be");
        fs::write(top.path().join("c"), "x").unwrap();
        walk.left = 2;
        walk.folder(top.path());
        assert!(walk.cut);
        fs::create_dir_all(top.path().join("d/".repeat(DEPTH - 1))).unwrap();
        let mut walk = Walk::new();
        walk.folder(top.path());
        assert!(!walk.cut, "as deep as may be");
        fs::create_dir_all(top.path().join("d/".repeat(DEPTH))).unwrap();
        walk.folder(top.path());
        assert!(walk.cut);
    }
}
