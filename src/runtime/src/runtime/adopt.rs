//! Finds at start what an earlier daemon left running, ended or half made.
//!
//! In: the state folder. Out: known containers, watched waiters; leftovers removed. Trusts a process only by number and
//! start time, and nothing that was written before the last boot.

use std::fs;
use std::io;

use super::known::State;
use super::{Inner, sandboxes};
use crate::clear;
use crate::life::{self, Processes};
use crate::sys;

/// Adopts everything.
pub fn all(inner: &Inner) -> io::Result<()> {
    for folder in [inner.layout.pods(), inner.layout.containers()] {
        fs::create_dir_all(&folder)?;
        private(&folder)?;
    }
    let boot = sys::boot_id()?;
    let same_boot = fs::read_to_string(inner.layout.boot()).is_ok_and(|saved| saved == boot);
    for id in clear::names(&inner.layout.containers()) {
        container(inner, &id, same_boot);
    }
    for uid in clear::names(&inner.layout.pods()) {
        if sandboxes::whole(&inner.layout, &uid).is_none()
            && let Err(error) = clear::sandbox(&inner.layout, &inner.cgroups, &uid)
        {
            tracing::error!(pod = uid, %error, "what is left of its sandbox can't be removed");
        }
    }
    if !same_boot {
        fs::write(inner.layout.boot(), boot)?;
    }
    Ok(())
}

fn container(inner: &Inner, id: &str, same_boot: bool) {
    let paths = inner.layout.container(id);
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let processes = Processes::read(&read(paths.record()));
    let spec = fs::read(paths.spec()).ok();
    let spec: Option<kedge_api::machine::ContainerSpec> = spec.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let (Some(processes), Some(spec)) = (processes, spec) else {
        // An earlier daemon was killed in the middle of making it, or a power cut emptied its files.
        if let Err(error) = clear::container(&inner.layout, &inner.cgroups, id) {
            tracing::error!(container = id, %error, "what is left of it can't be removed");
        }
        return;
    };
    let put = |state| inner.known.put(id, &spec.pod_uid, state);
    if let Some(ending) = life::ending(&read(paths.exit())) {
        return put(State::Exited(ending.exit));
    }
    let waiter = if same_boot { sys::open_process(processes.waiter) } else { Ok(None) };
    let Ok(Some(pidfd)) = waiter else {
        // It may have written the exit between the two looks.
        return match life::ending(&read(paths.exit())) {
            Some(ending) => put(State::Exited(ending.exit)),
            None => {
                put(State::Lost);
                if same_boot {
                    inner.end_unheld(id);
                }
            }
        };
    };
    put(match life::started(&read(paths.started())) {
        Some(started) => State::Running { processes, started },
        None => State::Created(processes),
    });
    if let Err(error) = inner.exits.watch(pidfd, id) {
        tracing::error!(container = id, %error, "its end can't be watched");
    }
}

/// Specs hold environments: nobody else reads them.
fn private(folder: &std::path::Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}
