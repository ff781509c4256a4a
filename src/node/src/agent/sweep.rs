//! Makes the state folder usable, and takes away what belongs to no pod any more.
//!
//! In: the pods that the API has for this node, what the runtime found. Out: nothing of any other pod is left:
//! containers, sandboxes, addresses, mounts, volumes, logs.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use kedge_api::machine::{ContainerStatus, Sandbox};

use super::StartError;
use crate::pod::PodId;
use crate::port::Mounts;
use crate::shared::Shared;
use crate::volume::{Dirs, effects};

/// Memory of the folders in which pods' own memory is mounted.
const MEMORY: u64 = 64 << 20;

/// What earlier lives of the agent left: looked at before anything new is made.
pub(super) struct Leftovers {
    folders: Vec<PodId>,
    memory: Vec<String>,
}

/// Makes the folders, and mounts the memory that small files live in.
pub(super) fn prepare(dirs: &Dirs, mounts: &dyn Mounts) -> Result<Leftovers, StartError> {
    let (pods, memory) = (dirs.pods(), dirs.memory());
    let make = || -> io::Result<()> {
        for folder in [&pods, &memory] {
            fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o750))?;
        }
        let mounted = mounts.below(&memory)?.contains(&memory);
        if !mounted && let Err(error) = mounts.tmpfs(&memory, Some(MEMORY), 0o750) {
            tracing::warn!(%error, "no memory file system; secrets of pods are kept on disk");
        }
        Ok(())
    };
    make().map_err(|source| StartError::State { path: dirs.state.clone(), source })?;
    Ok(Leftovers {
        folders: names(&pods).iter().filter_map(|name| PodId::from_folder(name)).collect(),
        memory: names(&memory),
    })
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Takes away what belongs to no pod in `live`.
pub(super) async fn orphans(
    shared: &Shared,
    live: &HashSet<String>,
    leftovers: Leftovers,
    containers: &[ContainerStatus],
    sandboxes: &[Sandbox],
) {
    let mut uids: BTreeSet<String> = BTreeSet::new();
    for container in containers {
        if !live.contains(&container.pod_uid) {
            tracing::info!(container = container.id, "a container of no pod is removed");
            if let Err(fault) = shared.runtime.remove(&container.id).await {
                tracing::warn!(%fault, container = container.id, "it stays");
            }
            uids.insert(container.pod_uid.clone());
        }
    }
    let unowned = sandboxes.iter().map(|sandbox| &sandbox.pod_uid);
    uids.extend(unowned.filter(|uid| !live.contains(*uid)).cloned());
    let gone = |uid: &String| !live.contains(uid);
    let dead: Vec<PodId> = leftovers.folders.into_iter().filter(|id| gone(&id.uid)).collect();
    let memory: Vec<String> = leftovers.memory.into_iter().filter(gone).collect();
    uids.extend(dead.iter().map(|id| id.uid.clone()));
    for uid in &uids {
        if let Err(fault) = shared.runtime.remove_sandbox(uid).await {
            tracing::warn!(%fault, pod = uid, "a sandbox of no pod stays");
        }
    }
    let (dirs, mounts) = (shared.dirs.clone(), shared.mounts.clone());
    let work = move || {
        for id in dead {
            if let Err(error) = effects::clear(&dirs, &id, mounts.as_ref()) {
                tracing::warn!(%error, pod = id.long(), "a folder of no pod stays");
            }
        }
        // Memory of pods that left no folder.
        for uid in memory {
            let _ = effects::clear_folder(&dirs.memory().join(uid), mounts.as_ref());
        }
    };
    if let Err(error) = tokio::task::spawn_blocking(work).await {
        tracing::error!(%error, "sweeping folders panicked");
    }
}
