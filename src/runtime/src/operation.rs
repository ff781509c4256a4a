//! What a fork of the zygote does: one operation, then it ends or becomes a waiter.
//!
//! In: a stream with the body of the request. Out: replies on that stream. It runs with one thread, no tokio, no log,
//! and may change its own process as it likes. A panic is an error like others.

mod complaints;
mod create;
mod exec;
mod rootfs;
mod sandbox;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kedge_api::machine::{ContainerSpec, ExecSpec, Sandbox};
use serde::{Deserialize, Serialize};

pub use create::ATTACH;

use crate::cgroup::Cgroups;
use crate::error::chain;
use crate::layout::Layout;
use crate::wire::{self, Kind};

/// The body of a request.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request<T> {
    /// Where things are.
    pub layout: Layout,
    /// The machine's cgroup hierarchies, which the daemon has looked up once.
    pub cgroups: Cgroups,
    /// What is wanted.
    pub want: T,
}

/// What a further process needs beside its own words.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExecWanted {
    /// The container.
    pub id: String,
    /// The process.
    pub exec: ExecSpec,
}

/// The answer of an operation.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The sandbox is there.
    Sandbox(Sandbox),
    /// The container is there; its first process, then its waiter, then when each was born.
    Created {
        /// The first process.
        init: (i32, u64),
        /// The waiter.
        waiter: (i32, u64),
    },
    /// The further process runs. With a terminal its other end follows.
    Running {
        /// Its process ID.
        pid: i32,
    },
    /// The further process has ended.
    Ended {
        /// Its exit code; 128 + signal when a signal ended it.
        code: i32,
    },
    /// The program is not there or can't be run.
    NoProgram(String),
    /// It could not be done.
    Failed(String),
}

/// Does one operation. `descriptors` are those that came with the request, without the stream.
pub fn run(kind: Kind, stream: UnixStream, descriptors: Vec<OwnedFd>, program: &OwnedFd) {
    // Out of the way of the low numbers that the waiter expects.
    let Ok(mut stream) = high(stream) else {
        return;
    };
    // libcontainer draws names from a generator that forks would share: each draws from its own.
    fastrand::seed(seed());
    let complaints = complaints::Complaints::listen().ok();
    let outcome = catch_unwind(AssertUnwindSafe(|| match kind {
        Kind::Sandbox => sandbox::run(&mut stream),
        Kind::Create => create::run(&mut stream, program),
        Kind::Exec => exec::run(&mut stream, descriptors),
    }));
    let reply = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(OperationError::Container(text))) => refusal(text, complaints),
        Ok(Err(error)) => Reply::Failed(chain(&error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Reply::Failed(format!("panic: {}", text.unwrap_or("no text")))
        }
    };
    end_children();
    let _ = wire::write(&mut stream, &reply);
}

/// Ends what a failed operation has cloned and takes note of it: a dead process that nobody has asked about would keep
/// the container's PID namespace, and so its removal, waiting for the machine's first process.
fn end_children() {
    let own = format!("/proc/self/task/{}/children", std::process::id());
    let children = std::fs::read_to_string(own).unwrap_or_default();
    for child in children.split_ascii_whitespace().filter_map(|pid| pid.parse::<i32>().ok()) {
        // SAFETY: our own child, which nobody else reaps.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
}

/// What libcontainer's error comes to. Ours come through it as text and are told apart by how they begin; its own name
/// the step that failed, and what it complained of is why.
fn refusal(text: String, complaints: Option<complaints::Complaints>) -> Reply {
    // What it could not clean up is ours to clean up.
    let text = text.split(". error during cleanup").next().unwrap_or_default().to_owned();
    if let Some(at) = text.find(crate::executor::NO_PROGRAM) {
        return Reply::NoProgram(text[at..].to_owned());
    }
    Reply::Failed(match complaints.and_then(complaints::Complaints::first) {
        Some(complaint) => format!("{text}: {complaint}"),
        None => text,
    })
}

/// Different for each operation, also after process IDs have come round.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_nanos() as u64) ^ (u64::from(std::process::id()) << 32)
}

fn high(stream: UnixStream) -> io::Result<UnixStream> {
    const LOWEST: i32 = 64;
    // SAFETY: no memory is involved.
    let copy = unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LOWEST) };
    crate::sys::owned(i64::from(copy)).map(UnixStream::from)
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// A call failed.
    #[error("{act}")]
    Io {
        /// What was tried.
        act: String,
        /// Why it failed.
        source: io::Error,
    },
    /// libcontainer refused.
    #[error("{0}")]
    Container(String),
    /// The filter can't be made.
    #[error(transparent)]
    Filter(#[from] crate::seccomp::FilterError),
    /// What was asked for can't be.
    #[error("{0}")]
    Refused(String),
}

/// The outcome of an operation's step.
pub type Outcome<T> = Result<T, OperationError>;

/// Says what was tried.
pub trait During<T> {
    /// Adds the act to the error.
    fn during(self, act: impl Into<String>) -> Outcome<T>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, act: impl Into<String>) -> Outcome<T> {
        self.map_err(|source| OperationError::Io { act: act.into(), source })
    }
}

impl From<libcontainer::error::LibcontainerError> for OperationError {
    fn from(error: libcontainer::error::LibcontainerError) -> Self {
        Self::Container(chain(&error))
    }
}

/// Asks back what a container was made from.
fn saved_spec(layout: &Layout, id: &str) -> Outcome<ContainerSpec> {
    let path = layout.container(id).configuration();
    let bytes = std::fs::read(&path).during(format!("read {}", path.display()))?;
    crate::spec::saved(&bytes).ok_or_else(|| OperationError::Refused(format!("{}: not ours", path.display())))
}
