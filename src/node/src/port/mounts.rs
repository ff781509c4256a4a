//! The few file system acts that need privilege.
//!
//! In: paths below the state folder. Out: mounts and owners. What is a plain file operation goes through `std::fs`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

/// Mounts, unmounts and changes owners.
pub trait Mounts: Send + Sync + 'static {
    /// Mounts memory at a folder, with an optional limit in bytes.
    fn tmpfs(&self, target: &Path, size: Option<u64>, mode: u32) -> io::Result<()>;
    /// Binds what an open descriptor names to an existing file or folder.
    fn bind(&self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()>;
    /// Detaches a mount; a path that is none is no fault.
    fn unmount(&self, target: &Path) -> io::Result<()>;
    /// Every mount point at or below a path, deepest first.
    fn below(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Changes the owner of a path without following links; `None` keeps.
    fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()>;
}

/// The kernel's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinuxMounts;

impl Mounts for LinuxMounts {
    fn tmpfs(&self, target: &Path, size: Option<u64>, mode: u32) -> io::Result<()> {
        let mut options = format!("mode={mode:o}");
        if let Some(size) = size {
            options.push_str(&format!(",size={size}"));
        }
        let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", target, "tmpfs", flags, Some(options.as_c_str()))?;
        Ok(())
    }

    fn bind(&self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        let source = format!("/proc/self/fd/{}", source.as_fd().as_raw_fd());
        rustix::mount::mount_bind_recursive(source, target)?;
        // What is mounted inside the volume later is the container's affair only.
        let _ = rustix::mount::mount_change(target, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC);
        Ok(())
    }

    fn unmount(&self, target: &Path) -> io::Result<()> {
        match rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn below(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let table = std::fs::read_to_string("/proc/self/mountinfo")?;
        Ok(points_below(&table, path))
    }

    fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        std::os::unix::fs::lchown(path, uid, gid)
    }
}

/// The mount points of a mountinfo table that are at or below a path, deepest first.
fn points_below(table: &str, path: &Path) -> Vec<PathBuf> {
    let mut points: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|point| point.starts_with(path))
        .collect();
    // A mount made later stands later in the table and on top.
    points.reverse();
    points.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    points
}

/// Undoes the kernel's octal escapes of blanks and backslashes.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepest_mounts_come_first_and_others_are_left() {
        let table = "1 0 0:1 / / rw - x x rw\n2 1 0:2 / /s/a rw - tmpfs t rw\n3 2 0:3 / /s/a/b\\040c rw - tmpfs t rw\n4 1 0:4 / /sab rw - x x rw\n";
        let found = points_below(table, Path::new("/s"));
        assert_eq!(found, [PathBuf::from("/s/a/b c"), PathBuf::from("/s/a")]);
    }
}
