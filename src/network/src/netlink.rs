//! A routing netlink socket of one network namespace.
//!
//! In: requests made by `message`. Out: the kernel's answers, or its refusal.
//! Never waits long: the kernel answers such requests at once, and a bound holds if it does not.
//!
//! The few requests that a pod's link needs are written here rather than taken from a crate:
//! the common crates bring a background task and some hundred message types for them.

pub mod message;

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use message::{Answer, Request};

/// The kernel answers while the request is sent; this only bounds a kernel that does not.
const PATIENCE: Duration = Duration::from_secs(5);
/// The kernel fills at most 32 KiB at a time.
const BUFFER: usize = 64 * 1024;

/// The group that is told of changes to nftables: number 7, so bit 6.
const TABLES: u32 = 1 << 6;

/// The groups that are told of changes to IPv4 addresses (number 5) and IPv4 routes (number 7).
const ADDRESSES_AND_ROUTES: u32 = 1 << 4 | 1 << 6;

/// Opens a socket, which does not block, for notices about nftables in this thread's network namespace.
pub fn listen_to_tables() -> Result<OwnedFd, Errno> {
    listen(Some(rustix::net::netlink::NETFILTER), TABLES)
}

/// The same for notices about IPv4 addresses and routes.
pub fn listen_to_addresses() -> Result<OwnedFd, Errno> {
    listen(None, ADDRESSES_AND_ROUTES)
}

fn listen(family: Option<Protocol>, groups: u32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, family)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// An open socket; it stays in the namespace of the thread that opened it.
pub struct Netlink {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    /// Opens a socket in this thread's network namespace.
    pub fn open() -> Result<Self, Errno> {
        // No protocol is the routing one.
        Self::open_family(None)
    }

    /// Opens a socket for connection tracking in this thread's network namespace.
    pub fn open_tracking() -> Result<Self, Errno> {
        Self::open_family(Some(rustix::net::netlink::NETFILTER))
    }

    fn open_family(family: Option<Protocol>) -> Result<Self, Errno> {
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, family)?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// Sends a request that changes something and waits for its acknowledgement.
    pub fn act(&mut self, request: Request) -> Result<(), Errno> {
        self.ask(request).map(drop)
    }

    /// Sends a request and gathers all that answers it.
    pub fn ask(&mut self, request: Request) -> Result<Vec<Answer>, Errno> {
        let mut answers = Vec::new();
        self.ask_each(request, |answer| answers.push(answer))?;
        Ok(answers)
    }

    /// Sends a request and hands over each answer as it comes.
    pub fn ask_each(&mut self, request: Request, mut each: impl FnMut(Answer)) -> Result<(), Errno> {
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = request.finish(self.sequence);
        rustix::net::sendto(self.socket.as_fd(), &bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        loop {
            let (n, _) = match rustix::net::recv(self.socket.as_fd(), &mut self.buffer[..], RecvFlags::empty()) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            // Answers to an earlier request that was given up are skipped by their number.
            if message::read(&self.buffer[..n], self.sequence, &mut each)? {
                return Ok(());
            }
        }
    }
}
