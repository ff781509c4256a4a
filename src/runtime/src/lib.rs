//! Runs containers: namespaces, root file systems, cgroups, filters, logs and exits on one machine.
//!
//! In: the node agent's words (`kedge_api::machine`). Out: processes that outlive the daemon, and the truth about them.
//! Never decides what runs, pulls images or makes addresses.
//!
//! ```text
//! daemon (tokio) --packets--> zygote            forked first in main, one thread
//!   Runtime                     `- operation    one fork each: sandbox, create, exec
//!      |                             `- waiter  8 KB static program: parent of the container, writes its log and exit
//!      `- pidfds, files                 `- the container's first process
//! ```
//!
//! A daemon that is killed and started again adopts what it finds in the state folder (`layout`).

mod capabilities;
mod cgroup;
mod clear;
mod error;
mod executor;
mod exits;
mod layout;
mod life;
mod link;
mod operation;
mod runtime;
mod seccomp;
mod spec;
mod sys;
mod waiter;
mod wire;
pub mod zygote;

/// The default seccomp profile for a container with these capabilities, in the JSON form that other runtimes read.
pub fn default_seccomp_profile(capabilities: &[String]) -> serde_json::Value {
    seccomp::export(capabilities::bits(capabilities))
}

pub use error::{Result, RuntimeError};
pub use runtime::{AttachResize, AttachSession, ExecExit, ExecSession, Resize, Runtime, RuntimeOptions, cleanup};
