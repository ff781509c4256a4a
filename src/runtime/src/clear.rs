//! Takes containers and sandboxes away: processes, mounts, cgroups, folders.
//!
//! In: a layout and a name. Out: nothing of it left, or which part would not go. Synchronous, idempotent, without the
//! zygote: also what `edged cleanup` runs. Never removes a folder before the mount on it is gone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kedge_api::machine::ContainerSpec;

use crate::cgroup::Cgroups;
use crate::layout::Layout;
use crate::life::{Process, Processes};
use crate::sys;

/// How long killed processes may take to be gone; one that waits for a dead disk takes longer and is said so.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// How long the waiter may take to write what is left in the pipes.
const WAITER_LIMIT: Duration = Duration::from_secs(5);

/// Processes that appear while others are killed are killed in the next round.
const KILL_ROUNDS: usize = 20;

/// Removes one container.
pub fn container(layout: &Layout, cgroups: &Cgroups, id: &str) -> io::Result<()> {
    let paths = layout.container(id);
    if paths.folder.exists() {
        let cgroup = saved_spec(layout, id).map(|spec| layout.cgroup(&spec.cgroup));
        if let Some(cgroup) = &cgroup {
            kill_all(cgroups, cgroup)?;
        }
        let life = fs::read_to_string(paths.life()).unwrap_or_default();
        if let Some(processes) = Processes::read(&life) {
            end(processes.init, Duration::ZERO)?;
            end(processes.waiter, WAITER_LIMIT)?;
        }
        if let Some(cgroup) = &cgroup {
            remove_cgroup(cgroups, cgroup)?;
        }
        unmount_all(&paths.rootfs())?;
        remove_mount_point(&paths.rootfs())?;
    }
    // What it wrote goes before what says that it was: an interrupted removal is begun again.
    remove_folder(&layout.works().join(id))?;
    for pod in names(&layout.writable()) {
        let writable = layout.writable_of(&pod, id);
        if writable.exists() {
            remove_folder(&writable)?;
            // Its pod's next container finds the folder there; without a pod nobody needs it.
            if !layout.pod(&pod).exists() {
                let _ = fs::remove_dir(layout.writable().join(pod));
            }
        }
    }
    remove_folder(&paths.folder)
}

/// Removes one sandbox. Its containers are removed before; what they left in the pod's cgroup is killed.
pub fn sandbox(layout: &Layout, cgroups: &Cgroups, uid: &str) -> io::Result<()> {
    // Only if its containers are gone: it goes when it is empty.
    let _ = fs::remove_dir(layout.writable().join(uid));
    let folder = layout.pod(uid);
    if !folder.exists() {
        return Ok(());
    }
    let cgroup = sandbox_cgroup(layout, uid);
    if let Some(cgroup) = &cgroup {
        kill_all(cgroups, &layout.cgroup(cgroup))?;
    }
    if let Some(holder) = holder(&folder) {
        end(holder, Duration::ZERO)?;
    }
    for name in ["net", "uts", "ipc", "pid", "shm"] {
        unmount_all(&folder.join(name))?;
    }
    remove_mount_point(&folder.join("shm"))?;
    if let Some(cgroup) = &cgroup {
        remove_cgroup(cgroups, &layout.cgroup(cgroup))?;
    }
    remove_folder(&folder)
}

/// Removes everything of a state folder: each container, each sandbox, all cgroups below the parent.
pub fn everything(layout: &Layout, cgroups: &Cgroups) -> io::Result<()> {
    for id in names(&layout.containers()) {
        container(layout, cgroups, &id)?;
    }
    for uid in names(&layout.pods()) {
        sandbox(layout, cgroups, &uid)?;
    }
    let parent = Path::new(&layout.cgroup_parent);
    kill_all(cgroups, parent)?;
    remove_cgroup(cgroups, parent)?;
    // What is above it was made for it; where another daemon lives too, that one keeps it.
    for above in parent.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        cgroups.remove_if_empty(above);
    }
    for pod in names(&layout.writable()) {
        for id in names(&layout.writable().join(pod)) {
            container(layout, cgroups, &id)?;
        }
    }
    remove_folder(&layout.works())?;
    remove_folder(&layout.writable())?;
    unmount_all(&layout.run())?;
    remove_mount_point(&layout.run())
}

/// Removes the cgroups below the parent that belong to none of `known`, and what runs in them.
pub fn strangers(layout: &Layout, cgroups: &Cgroups, known: &[PathBuf]) -> io::Result<()> {
    for cgroup in cgroups.descendants(Path::new(&layout.cgroup_parent)) {
        if belongs_to_nobody(&cgroup, known) {
            kill_all(cgroups, &cgroup)?;
            remove_cgroup(cgroups, &cgroup)?;
        }
    }
    Ok(())
}

/// Neither a known cgroup, nor above one, nor below one.
fn belongs_to_nobody(cgroup: &Path, known: &[PathBuf]) -> bool {
    known.iter().all(|known| !known.starts_with(cgroup) && !cgroup.starts_with(known))
}

/// Kills everything in a cgroup and waits for its end.
pub fn kill_all(cgroups: &Cgroups, cgroup: &Path) -> io::Result<()> {
    let deadline = Instant::now() + KILL_LIMIT;
    for _ in 0..KILL_ROUNDS {
        let processes = cgroups.processes(cgroup);
        if processes.is_empty() {
            return Ok(());
        }
        // First all signals, then all waits: ends overlap.
        let killed: Vec<OwnedFd> = processes.into_iter().filter_map(|pid| sys::pidfd_open(pid).ok()).collect();
        for pidfd in &killed {
            let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        for pidfd in &killed {
            sys::pidfd_wait(pidfd.as_fd(), milliseconds_until(deadline));
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("processes in cgroup {} do not end", cgroup.display())))
}

/// The names in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What a container was made from.
pub fn saved_spec(layout: &Layout, id: &str) -> Option<ContainerSpec> {
    crate::spec::saved(&fs::read(layout.container(id).configuration()).ok()?)
}

/// The cgroup of a sandbox, written first of all.
pub fn sandbox_cgroup(layout: &Layout, uid: &str) -> Option<String> {
    fs::read_to_string(layout.pod(uid).join("cgroup")).ok()
}

fn holder(folder: &Path) -> Option<Process> {
    let text = fs::read_to_string(folder.join("holder")).ok()?;
    let (pid, born) = text.trim().split_once(' ')?;
    Some(Process { pid: pid.parse().ok()?, born: born.parse().ok()? })
}

/// Gives a process `patience` to end by itself, then kills it and waits.
pub fn end(process: Process, patience: Duration) -> io::Result<()> {
    let Some(pidfd) = sys::open_process(process)? else {
        return Ok(());
    };
    if sys::pidfd_wait(pidfd.as_fd(), patience.as_millis() as i32) {
        return Ok(());
    }
    let _ = sys::pidfd_signal(pidfd.as_fd(), libc::SIGKILL);
    if sys::pidfd_wait(pidfd.as_fd(), KILL_LIMIT.as_millis() as i32) {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, format!("process {} does not end", process.pid)))
}

/// An empty cgroup may count as busy for a moment after its last process: the kernel lets go of it a little later.
fn remove_cgroup(cgroups: &Cgroups, cgroup: &Path) -> io::Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match cgroups.remove(cgroup) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && pause < Duration::from_secs(1) => {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
}

/// Mounts may lie on top of each other.
fn unmount_all(path: &Path) -> io::Result<()> {
    const MOST: usize = 16;
    for _ in 0..MOST {
        if !is_mount_point(path) {
            return Ok(());
        }
        sys::unmount(path).map_err(|error| named("unmount", path, error))?;
    }
    Err(io::Error::other(format!("unmount {}: it is mounted again and again", path.display())))
}

/// A path whose mount differs from its parent's.
pub fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| path.symlink_metadata().map(|about| about.dev()).ok();
    let parent = path.parent().and_then(device);
    device(path).is_some_and(|own| Some(own) != parent)
}

/// Removes an empty folder; anything in it means that a mount is still there.
fn remove_mount_point(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named("remove", path, error)),
        _ => Ok(()),
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named("remove", path, error)),
        _ => Ok(()),
    }
}

fn milliseconds_until(deadline: Instant) -> i32 {
    deadline.saturating_duration_since(Instant::now()).as_millis() as i32
}

fn named(act: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{act} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_is_a_strangers_only_beside_all_known_ones() {
        let known = [PathBuf::from("k/pods/p1"), PathBuf::from("k/pods/p1/c1")];
        for (cgroup, strange) in [
            ("k/pods", false),
            ("k/pods/p1", false),
            ("k/pods/p1/c9", false),
            ("k/pods/p2", true),
            ("k/pods/p10", true),
        ] {
            assert_eq!(belongs_to_nobody(Path::new(cgroup), &known), strange, "{cgroup}");
        }
    }
}
