//! Notices when somebody else removes this instance's table: firewalls that are reloaded flush all rules.
//!
//! In: the kernel's notices about nftables. Out: a wake-up when the table is gone.
//! Never polls, and sleeps through the changes that this instance makes itself.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;

use crate::netlink::message::{Answer, attributes, read_notices, text};

/// nftables' messages: subsystem 10.
const NEW_TABLE: u16 = 0xa00;
const DELETED_TABLE: u16 = 0xa02;
const NAME: u16 = 1;
/// Family, version, resource.
const FIXED: usize = 4;
/// `inet`, in the first byte of the fixed part.
const INET: u8 = 1;
/// A transaction's notices come in pieces of at most 32 KiB.
const BUFFER: usize = 32 * 1024;

/// Listens for the loss of one table.
pub struct Guard {
    socket: AsyncFd<OwnedFd>,
    table: String,
}

impl Guard {
    /// Listens in this thread's network namespace.
    pub fn open(table: String) -> std::io::Result<Self> {
        let socket = crate::netlink::listen_to_tables()?;
        // SAFETY: the descriptor is owned, and stays open for as long as it is registered.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket, table })
    }

    /// Returns when the table was removed and not made again.
    pub async fn lost(&mut self) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut lost = false;
        loop {
            let mut ready = self.socket.readable().await?;
            match rustix::net::recv(self.socket.get_ref().as_fd(), &mut buffer[..], RecvFlags::empty()) {
                Ok((n, _)) => {
                    read_notices(&buffer[..n], |notice| {
                        if let Some(there) = about(&notice, &self.table) {
                            lost = !there;
                        }
                    });
                }
                // Everything was read: what the last notice said is how it is.
                Err(Errno::AGAIN) if lost => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                // Notices were lost; rules that are there are made again without harm.
                Err(Errno::NOBUFS) => lost = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// True if the notice says that the table is there now, false if it says that it is gone.
fn about(notice: &Answer, table: &str) -> Option<bool> {
    let there = match notice.kind {
        NEW_TABLE => true,
        DELETED_TABLE => false,
        _ => return None,
    };
    let ours = notice.body.first() == Some(&INET)
        && attributes(&notice.body, FIXED).any(|(kind, value)| kind == NAME && text(value) == table);
    ours.then_some(there)
}
