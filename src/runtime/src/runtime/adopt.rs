//! Finds at start what an earlier daemon left running, ended or half made.
//!
//! In: the state folder. Out: known containers, watched waiters; leftovers removed. Trusts a process only by number and
//! start time. What is about processes is in memory, so that nothing of an earlier boot can be taken for true.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::known::State;
use super::{Inner, sandboxes};
use crate::clear;
use crate::life::{self, Processes};
use crate::sys;

/// Small files and sockets of a few hundred containers, a page each; a full one is an error of its own.
const IN_MEMORY: &str = "mode=0700,size=32m";

/// Adopts everything.
pub fn all(inner: &Inner) -> io::Result<()> {
    let layout = &inner.layout;
    fs::create_dir_all(&layout.state)?;
    // Specs hold environments: nobody else reads them.
    fs::set_permissions(&layout.state, fs::Permissions::from_mode(0o700))?;
    for folder in [layout.run(), layout.writable(), layout.works()] {
        fs::create_dir_all(folder)?;
    }
    if !clear::is_mount_point(&layout.run()) {
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        sys::mount(Path::new("kedge"), &layout.run(), "tmpfs", flags, IN_MEMORY)?;
    }
    for folder in [layout.pods(), layout.containers()] {
        fs::create_dir_all(folder)?;
    }
    for id in clear::names(&layout.containers()) {
        container(inner, &id);
    }
    // What wrote to a disk and is not in memory any more ran under an earlier boot.
    for pod_uid in clear::names(&layout.writable()) {
        if !layout.pod(&pod_uid).exists() && fs::remove_dir(layout.writable().join(&pod_uid)).is_ok() {
            continue;
        }
        for id in clear::names(&layout.writable().join(&pod_uid)) {
            if inner.known.get(&id).is_none() {
                inner.known.put(&id, &pod_uid, State::Lost);
            }
        }
    }
    // An interrupted creation or removal may have left one without the other.
    for id in clear::names(&layout.works()).iter().filter(|id| inner.known.get(id).is_none()) {
        if let Err(error) = clear::container(layout, &inner.cgroups, id) {
            tracing::error!(container = id, %error, "what is left of it can't be removed");
        }
    }
    for uid in clear::names(&layout.pods()) {
        if sandboxes::whole(layout, &uid).is_none()
            && let Err(error) = clear::sandbox(layout, &inner.cgroups, &uid)
        {
            tracing::error!(pod = uid, %error, "what is left of its sandbox can't be removed");
        }
    }
    let pods = clear::names(&layout.pods());
    let known: Vec<PathBuf> = pods
        .iter()
        .filter_map(|uid| clear::sandbox_cgroup(layout, uid))
        .chain(clear::names(&layout.containers()).iter().filter_map(|id| Some(clear::saved_spec(layout, id)?.cgroup)))
        .map(|cgroup| layout.cgroup(&cgroup))
        .collect();
    if let Err(error) = clear::strangers(layout, &inner.cgroups, &known) {
        tracing::error!(parent = layout.cgroup_parent, %error, "cgroups of nobody can't be removed");
    }
    Ok(())
}

fn container(inner: &Inner, id: &str) {
    let life = || fs::read_to_string(inner.layout.container(id).life()).unwrap_or_default();
    let (Some(processes), Some(spec)) = (Processes::read(&life()), clear::saved_spec(&inner.layout, id)) else {
        // An earlier daemon was killed in the middle of making it.
        if let Err(error) = clear::container(&inner.layout, &inner.cgroups, id) {
            tracing::error!(container = id, %error, "what is left of it can't be removed");
        }
        return;
    };
    let put = |state| inner.known.put(id, &spec.pod_uid, state);
    let Ok(Some(pidfd)) = sys::open_process(processes.waiter) else {
        return match life::ending(&life()) {
            Some(ending) => put(State::Exited(ending.exit)),
            None => {
                put(State::Lost);
                inner.end_unheld(id, processes.init);
            }
        };
    };
    put(match life::started(&life()) {
        Some(started) => State::Running { processes, started },
        None => State::Created(processes),
    });
    if let Err(error) = inner.exits.watch(pidfd, id) {
        tracing::error!(container = id, %error, "its end can't be watched");
    }
}
