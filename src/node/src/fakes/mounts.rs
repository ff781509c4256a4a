//! Mounts that are only written down.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::port::Mounts;

/// A path with the user and group that it was given.
pub type Owner = (PathBuf, Option<u32>, Option<u32>);

/// Writes down mounts and owners.
#[derive(Debug, Default)]
pub struct FakeMounts {
    points: Mutex<Vec<(PathBuf, String)>>,
    owners: Mutex<Vec<Owner>>,
}

impl FakeMounts {
    /// Mount points with what is mounted there.
    pub fn points(&self) -> Vec<(PathBuf, String)> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Owners that were set.
    pub fn owners(&self) -> Vec<Owner> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, target: &Path, what: String) {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).push((target.to_owned(), what));
    }
}

impl Mounts for FakeMounts {
    fn tmpfs(&self, target: &Path, size: Option<u64>, mode: u32) -> io::Result<()> {
        self.add(target, format!("tmpfs {size:?} {mode:o}"));
        Ok(())
    }

    fn bind(&self, source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
        let source = std::fs::read_link(format!("/proc/self/fd/{}", source.as_raw_fd()))?;
        self.add(target, format!("bind {}", source.display()));
        Ok(())
    }

    fn unmount(&self, target: &Path) -> io::Result<()> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner).retain(|(point, _)| point != target);
        Ok(())
    }

    fn below(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut found: Vec<PathBuf> =
            self.points().into_iter().map(|(point, _)| point).filter(|point| point.starts_with(path)).collect();
        found.reverse();
        Ok(found)
    }

    fn chown(&self, path: &Path, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).push((path.to_owned(), uid, gid));
        Ok(())
    }
}
