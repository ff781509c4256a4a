//! The zygote: a process forked before any thread exists, which forks once for each operation.
//!
//! In: requests on a packet socket. Out: one child for each, which does the operation and answers the daemon itself.
//! Never threads, never touches libcontainer, never holds anything that an operation needs: when it is killed, a new
//! one is made by running our own program again, and nothing that runs is touched.
//!
//! libcontainer clones without exec and then allocates, logs and formats in the child; it also changes the caller's
//! folder, dumpability and OOM score. That is sound only in a process with one thread that is thrown away after.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use crate::sys;
use crate::wire::{self, Kind};
use crate::{capabilities, operation, seccomp, waiter};

/// The hidden first argument with which our own program becomes a zygote, its socket as standard input.
pub const ARGUMENT: &str = "zygote";

/// The daemon's end of a zygote.
#[derive(Debug)]
pub struct Zygote {
    /// Requests go here; it ends when the zygote does.
    pub(crate) socket: OwnedFd,
    /// Its process ID: our child, to be reaped.
    pub(crate) pid: i32,
}

/// To be called first in `main`, before any thread exists.
///
/// In a process that was started to be a zygote this never returns. Otherwise it forks one and answers its handle.
pub fn fork_first() -> io::Result<Zygote> {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == ARGUMENT) {
        serve_standard_input();
    }
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!(
            "the zygote must be forked before any thread exists; there are {threads}"
        )));
    }
    let (ours, theirs) = wire::packet_pair()?;
    // SAFETY: one thread, as was just seen: the child may do anything.
    match sys::check(i64::from(unsafe { libc::fork() }))? {
        0 => {
            drop(ours);
            serve(theirs)
        }
        pid => Ok(Zygote { socket: ours, pid: pid as i32 }),
    }
}

/// Makes a zygote by running our own program again; for a process that has threads. Its `main` must call `fork_first`
/// first.
pub fn run_again() -> io::Result<Zygote> {
    let (ours, theirs) = wire::packet_pair()?;
    // The standard library starts it without running code of ours between fork and exec.
    let child =
        Command::new("/proc/self/exe").arg(ARGUMENT).stdin(Stdio::from(theirs)).stdout(Stdio::null()).spawn()?;
    Ok(Zygote { socket: ours, pid: child.id().cast_signed() })
}

/// Reaps a zygote that has ended.
pub(crate) fn reap(pid: i32) {
    let mut status = 0;
    // SAFETY: the kernel writes one i32. WNOHANG: if it has only closed its socket, it is init's to reap later.
    unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
}

fn serve_standard_input() -> ! {
    // SAFETY: `run_again` put the socket there, and nobody else has taken it.
    let socket = unsafe { OwnedFd::from_raw_fd(0) };
    match socket.try_clone() {
        // Clones are closed on exec; the original becomes /dev/null below.
        Ok(clone) => {
            std::mem::forget(socket);
            serve(clone)
        }
        Err(_) => exit(1),
    }
}

fn serve(socket: OwnedFd) -> ! {
    settle();
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        seccomp::prepare(capabilities::bounding(&status));
        // What the compiler used would lie here as long as the daemon runs.
        #[cfg(target_env = "gnu")]
        // SAFETY: gives back what nobody holds.
        unsafe {
            libc::malloc_trim(0);
        }
    }
    let Ok(program) = sys::memory_file(c"kedge-waiter", waiter::PROGRAM) else { exit(1) };
    loop {
        match wire::asked(&socket) {
            Ok(Some((kind, descriptors))) => fork_operation(&socket, kind, descriptors, &program),
            Ok(None) => exit(0),
            Err(_) => exit(1),
        }
    }
}

/// A session of its own, so that Ctrl-C in the daemon's terminal is not ours; children reaped by the kernel; no
/// standard streams that would keep somebody's pipe open for as long as a container lives.
fn settle() {
    const NAME: &CStr = c"kedge-zygote";
    // SAFETY: no memory is involved but a constant name.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::chdir(c"/".as_ptr());
        libc::umask(0o022);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
        }
    }
}

fn fork_operation(socket: &OwnedFd, kind: Kind, mut descriptors: Vec<OwnedFd>, program: &OwnedFd) {
    // SAFETY: the zygote has one thread: the child may do anything.
    if unsafe { libc::fork() } == 0 {
        // SAFETY: no memory is involved. The daemon must see the end of the zygote, not of its last operation.
        unsafe {
            libc::close(socket.as_fd().as_raw_fd());
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::dup2(0, 2);
        }
        let stream = UnixStream::from(descriptors.remove(0));
        operation::run(kind, stream, descriptors, program);
        exit(0)
    }
    // Without a child the stream closes here, and the daemon sees its end.
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running what others registered.
    unsafe { libc::_exit(code) }
}
