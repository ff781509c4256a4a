//! Learns of the end of processes: one epoll descriptor over all their pidfds, one task.
//!
//! In: pidfds with a token each. Out: the tokens of those that ended. Never polls on a timer; costs one descriptor a
//! process and nothing while it lives.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use tokio::io::unix::AsyncFd;

use crate::sys;

/// How many ends are taken at once.
const BATCH: usize = 64;

/// A descriptor that tokio waits for.
pub fn registered(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` answers the one descriptor that it keeps open.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// The processes whose end is waited for.
pub struct Exits {
    epoll: AsyncFd<OwnedFd>,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    last: u64,
    pidfds: HashMap<u64, (OwnedFd, String)>,
}

impl Exits {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let epoll = sys::owned(i64::from(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }))?;
        Ok(Self { epoll: registered(epoll)?, watched: Mutex::default() })
    }

    /// Watches a process under a name.
    pub fn watch(&self, pidfd: OwnedFd, name: &str) -> io::Result<()> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.last += 1;
        let token = watched.last;
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLONESHOT) as u32, u64: token };
        let epoll = self.epoll.get_ref().as_raw_fd();
        // SAFETY: one event; both descriptors are open.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, pidfd.as_raw_fd(), &raw mut event) };
        sys::check(i64::from(added))?;
        watched.pidfds.insert(token, (pidfd, name.to_owned()));
        Ok(())
    }

    /// The names of processes that have ended; at least one.
    pub async fn next(&self) -> io::Result<Vec<String>> {
        loop {
            let mut ready = self.epoll.readable().await?;
            let ended = self.ended()?;
            if ended.is_empty() {
                ready.clear_ready();
                continue;
            }
            return Ok(ended);
        }
    }

    fn ended(&self) -> io::Result<Vec<String>> {
        // SAFETY: all zero is a valid value.
        let mut events: [libc::epoll_event; BATCH] = unsafe { std::mem::zeroed() };
        let epoll = self.epoll.get_ref().as_raw_fd();
        // SAFETY: the kernel writes at most so many events; it does not wait.
        let count = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), BATCH as i32, 0) };
        let count = match sys::check(i64::from(count)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // Closing the pidfd takes it out of the epoll set.
        let take = |event: &libc::epoll_event| watched.pidfds.remove(&{ event.u64 }).map(|(_, name)| name);
        Ok(events.iter().take(count).filter_map(take).collect())
    }
}
