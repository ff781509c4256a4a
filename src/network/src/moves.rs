//! Notices when this machine's addresses or routes change: a lease of DHCP that comes late, or that is another one.
//!
//! In: the kernel's notices about IPv4 addresses and routes. Out: a wake-up. Never polls, and knows no address.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;

/// What a notice says is not read, so what does not fit may be cut off.
const BUFFER: usize = 4 * 1024;

/// Listens for changes.
pub struct Moves {
    socket: AsyncFd<OwnedFd>,
}

impl Moves {
    /// Listens in this thread's network namespace.
    pub fn open() -> std::io::Result<Self> {
        let socket = crate::netlink::listen_to_addresses()?;
        // SAFETY: the descriptor is owned, and stays open for as long as it is registered.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Returns when something has changed since the last call; what changed together counts once.
    pub async fn next(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; BUFFER];
        let mut moved = false;
        loop {
            let mut ready = self.socket.readable().await?;
            match rustix::net::recv(self.socket.get_ref().as_fd(), &mut buffer[..], RecvFlags::empty()) {
                Err(Errno::AGAIN) if moved => return Ok(()),
                Err(Errno::AGAIN) => ready.clear_ready(),
                // Notices that were lost are a change as well.
                Ok(_) | Err(Errno::NOBUFS) => moved = true,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
