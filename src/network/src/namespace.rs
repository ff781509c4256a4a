//! Work inside another network namespace.
//!
//! In: a path under which a namespace is pinned. Out: sockets that stay in it.
//! Never moves a thread that others use: a new thread enters, opens and ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netlink::Netlink;

/// A namespace cannot be entered.
#[derive(Debug, thiserror::Error)]
#[error("entering the network namespace {}", path.display())]
pub struct NamespaceError {
    path: PathBuf,
    source: io::Error,
}

/// An open network namespace.
pub struct Namespace {
    file: File,
    path: PathBuf,
}

impl Namespace {
    /// Opens a pinned namespace.
    pub fn open(path: &Path) -> Result<Self, NamespaceError> {
        match File::open(path) {
            Ok(file) => Ok(Self { file, path: path.to_owned() }),
            Err(source) => Err(NamespaceError { path: path.to_owned(), source }),
        }
    }

    /// Opens a netlink socket inside.
    pub fn netlink(&self) -> Result<Netlink, NamespaceError> {
        self.inside(|| Ok(Netlink::open()?))
    }

    /// Opens sockets for TCP inside, which neither block nor are inherited: one for each family.
    pub fn tcp(&self) -> Result<[OwnedFd; 2], NamespaceError> {
        let open = |family| {
            socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
                .map_err(io::Error::from)
        };
        self.inside(|| Ok([open(AddressFamily::INET)?, open(AddressFamily::INET6)?]))
    }

    /// Does something on a thread of its own that has entered.
    fn inside<T: Send>(&self, act: impl FnOnce() -> io::Result<T> + Send) -> Result<T, NamespaceError> {
        let fault = |source| NamespaceError { path: self.path.clone(), source };
        let inside = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            act()
        };
        std::thread::scope(|scope| {
            let thread =
                std::thread::Builder::new().name("netns".into()).stack_size(64 * 1024).spawn_scoped(scope, inside);
            thread.and_then(|t| t.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked"))))
        })
        .map_err(fault)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}
