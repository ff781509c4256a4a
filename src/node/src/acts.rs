//! What a pod worker does to the machine, one async function for each act.
//!
//! In: the pod, what was decided. Out: an outcome for the worker. Decides nothing that `plan` could decide.

mod launch;
mod sandbox;
mod volumes;

pub(crate) use launch::{Launch, Launched, Target, launch};
pub(crate) use sandbox::{host_ports, make_sandbox, remove_sandbox};
pub(crate) use volumes::{Prepared, clear, make_volumes, refresh_volumes};

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use crate::pod::PodId;
use crate::probe::target::of_hook;
use crate::probe::{Outcome, ProbeKind, check, target};
use crate::shared::Shared;
use crate::volume::Dirs;

/// A container's last words, at most 4 KiB, or the end of its log if it left none and was told to fall back.
pub(crate) async fn last_words(
    dirs: Dirs,
    id: PodId,
    container: Container,
    attempt: u32,
    failed: bool,
) -> Option<String> {
    let read = move || {
        let file = dirs.last_words(&id, &container.name, attempt);
        let words = read_bounded(&file, WORDS).filter(|words| !words.is_empty());
        let fall_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        match words {
            Some(words) => Some(words),
            None if fall_back && failed => {
                let log = dirs.log(&id, &container.name, attempt);
                crate::logs::last_lines(&log, LOG_LINES, LOG_BYTES).filter(|text| !text.is_empty())
            }
            None => None,
        }
    };
    // A reader that panics leaves no words.
    tokio::task::spawn_blocking(read).await.ok().flatten()
}

/// Kubernetes' bounds: the message file, and the log that stands in for it.
const WORDS: u64 = 4096;
/// See above.
const LOG_LINES: usize = 80;
/// See above.
const LOG_BYTES: usize = 2048;

fn read_bounded(file: &std::path::Path, most: u64) -> Option<String> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let file = std::fs::File::open(file).ok()?;
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs a hook for at most `limit`. `Err` is what an event is to say.
pub(crate) async fn hook(
    shared: Arc<Shared>,
    run_id: String,
    hook: LifecycleHandler,
    container: Container,
    ip: String,
    limit: Duration,
) -> Result<(), String> {
    let target = of_hook(&hook, &container, &ip)?;
    match check::ask(&shared.runtime, &run_id, &target, limit).await {
        Outcome::Success => Ok(()),
        Outcome::Failure(said) | Outcome::Unknown(said) => Err(said),
    }
}

/// Asks one probe.
pub(crate) async fn probe(
    shared: Arc<Shared>,
    run_id: String,
    pod: Arc<Pod>,
    container: String,
    kind: ProbeKind,
    ip: String,
) -> Outcome {
    let Some(member) = crate::pod::member(&pod, &container) else {
        return Outcome::Unknown("no such container".into());
    };
    let Some(words) = kind.of(&member.container) else {
        return Outcome::Unknown("no such probe".into());
    };
    let seconds = words.timeout_seconds.unwrap_or(1).max(1).unsigned_abs();
    match target::of_probe(words, &member.container, &ip) {
        Ok(target) => {
            let limit = Duration::from_secs(seconds.into());
            check::ask(&shared.runtime, &run_id, &target, limit).await
        }
        Err(cause) => Outcome::Unknown(cause),
    }
}
