//! What is written down of requests: who asked for what, and what came of it.
//!
//! In: requests, and the notes that their stages leave. Out: audit Events, as many as the policy
//! asks for, to a file and to a receiver. Without a policy nothing is noted: a request pays one
//! look. What is written down never holds a request up; what finds no room is counted.

mod buffer;
mod event;
mod file;
mod notes;
mod policy;
mod receiver;
mod trail;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use notes::Notes;
pub use policy::{Policy, PolicyFault};
pub(crate) use trail::Trail;

use buffer::Buffer;

use crate::core::Core;
use crate::metrics::{MetricsSource, family};
use crate::outbound::Endpoint;

/// What waits to be written, in bytes, for each place: some thousand Events, a burst of a minute.
const WAITING: usize = 4 * 1024 * 1024;

/// Where Events go and which.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// The policy's file.
    pub policy: PathBuf,
    /// The file they are written to.
    pub log: Option<AuditLog>,
    /// A kubeconfig that names the receiver they are sent to.
    pub webhook: Option<PathBuf>,
}

/// A file that Events are written to.
#[derive(Debug, Clone)]
pub struct AuditLog {
    /// The file.
    pub path: PathBuf,
    /// It is rotated when it is larger than so many bytes.
    pub max_bytes: u64,
    /// Rotated files that are kept; 0 keeps all.
    pub max_files: usize,
    /// How long rotated files are kept; zero keeps them for ever.
    pub max_age: Duration,
    /// Events are written together this long after the first of them.
    pub delay: Duration,
}

/// Why there can be no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy cannot be used.
    #[error("the audit policy")]
    Policy(#[from] PolicyFault),
    /// The receiver cannot be used.
    #[error("the receiver of the audit log: {0}")]
    Receiver(String),
    /// The log's folder cannot be made.
    #[error("the folder of the audit log")]
    Folder(#[from] std::io::Error),
}

/// The audit log.
pub(crate) struct Audit {
    policy: Policy,
    sinks: Vec<Arc<Buffer>>,
    events: AtomicU64,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audit")
    }
}

/// What [`Audit::open`] made: the log, and what runs for it.
pub(crate) struct Opened {
    /// The log.
    pub audit: Audit,
    log: Option<(AuditLog, Arc<Buffer>)>,
    receiver: Option<(Endpoint, Arc<Buffer>)>,
}

impl Opened {
    /// Starts what writes Events down.
    pub fn start(log: Option<(AuditLog, Arc<Buffer>)>, receiver: Option<(Endpoint, Arc<Buffer>)>, core: &Arc<Core>) {
        if let Some((log, buffer)) = log {
            core.tasks.spawn(file::run(log, buffer, core.clock.clone(), core.stop.clone()));
        }
        if let Some((endpoint, buffer)) = receiver {
            core.tasks.spawn(receiver::run(core.clone(), endpoint, buffer));
        }
    }

    /// The log and what is to be started for it.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    pub fn parts(self) -> (Audit, Option<(AuditLog, Arc<Buffer>)>, Option<(Endpoint, Arc<Buffer>)>) {
        (self.audit, self.log, self.receiver)
    }
}

impl Audit {
    /// Reads the policy and where Events go.
    pub fn open(settings: &AuditSettings, outbound: &crate::outbound::Outbound) -> Result<Opened, AuditError> {
        let policy = Policy::load(&settings.policy)?;
        let mut sinks = Vec::new();
        let mut sink = |name| {
            let buffer = Arc::new(Buffer::new(name, WAITING));
            sinks.push(buffer.clone());
            buffer
        };
        let log = match &settings.log {
            None => None,
            Some(log) => {
                if let Some(folder) = log.path.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                Some((log.clone(), sink("log")))
            }
        };
        let receiver = match &settings.webhook {
            None => None,
            Some(path) => {
                let endpoint = Endpoint::of_kubeconfig(path, outbound);
                Some((endpoint.map_err(|e| AuditError::Receiver(e.to_string()))?, sink("webhook")))
            }
        };
        Ok(Opened { audit: Audit { policy, sinks, events: AtomicU64::new(0) }, log, receiver })
    }

    /// Has an Event written down.
    fn tell(&self, event: &serde_json::Value) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let line: Arc<str> = event.to_string().into();
        for sink in &self.sinks {
            sink.push(line.clone());
        }
    }
}

impl MetricsSource for Audit {
    fn render(&self, out: &mut String) {
        use std::fmt::Write as _;
        family(out, "apiserver_audit_event_total", "counter", "Audit Events that were made.");
        let _ = writeln!(out, "apiserver_audit_event_total {}", self.events.load(Ordering::Relaxed));
        family(out, "apiserver_audit_error_total", "counter", "Audit Events that could not be written down.");
        for sink in &self.sinks {
            let _ = writeln!(out, "apiserver_audit_error_total{{plugin=\"{}\"}} {}", sink.name, sink.lost());
        }
    }
}
