//! Says when a log file has changed or was rotated.
//!
//! In: the path. Out: a wait that the kernel ends (inotify on the folder, which also sees a fresh file).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

/// Changes of one folder.
pub struct Changes {
    events: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Of the folder that holds the file.
    pub fn of(file: &Path) -> io::Result<Self> {
        let folder = file.parent().ok_or_else(|| io::Error::other("a log file has a folder"))?;
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
        inotify::add_watch(&events, folder, what)?;
        // SAFETY: the AsyncFd owns the descriptor, and nothing else closes it or takes it out before the drop.
        let events = unsafe { AsyncFd::register(events)? };
        Ok(Self { events })
    }

    /// Waits for a change since the last wait.
    pub async fn wait(&mut self) -> io::Result<()> {
        let mut ready = self.events.readable().await?;
        let mut space = [MaybeUninit::<u8>::uninit(); 4096];
        let mut reader = Reader::new(ready.get_inner(), &mut space);
        loop {
            match reader.next() {
                // What changed does not matter: the reader looks at everything.
                Ok(_) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}
