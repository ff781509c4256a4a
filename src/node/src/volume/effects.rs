//! Makes a pod's volumes and takes them away.
//!
//! In: the pod, fetched objects and tokens. Out: folders, mounts, files. Blocking: callers run it on a blocking thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, Volume};
use kedge_api::machine::{Mount, MountSource, Propagation};

use super::{Dirs, Source, atomic, find, fs_group, host_path, payload, stays_inside, subpath};
use crate::container::expand::expand;
use crate::pod::observed::Reason;
use crate::pod::{PodId, spec};
use crate::port::Mounts;

/// A volume that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {cause}")]
pub struct VolumeFault {
    /// Which.
    pub volume: String,
    /// Why.
    pub cause: String,
}

impl VolumeFault {
    /// For that volume.
    pub fn new(volume: &Volume, cause: impl ToString) -> Self {
        Self { volume: volume.name.clone(), cause: cause.to_string() }
    }
}

/// What volumes are made from beside the pod's words.
pub struct Fetched<'a> {
    /// Files, objects and tokens.
    pub payload: payload::Context<'a>,
    /// Host paths of claims by volume name.
    pub claims: &'a BTreeMap<String, PathBuf>,
    /// New for each call.
    pub stamp: &'a str,
}

/// Makes every volume of a pod, or brings it up to date.
pub fn make(dirs: &Dirs, id: &PodId, pod: &Pod, fetched: &Fetched<'_>, mounts: &dyn Mounts) -> Result<(), VolumeFault> {
    for volume in spec(pod).volumes.iter().flatten() {
        make_one(dirs, id, pod, volume, fetched, mounts)?;
    }
    Ok(())
}

/// Brings the files of configMap, secret, projected and downwardAPI volumes up to date.
pub fn refresh(
    dirs: &Dirs,
    id: &PodId,
    pod: &Pod,
    fetched: &Fetched<'_>,
    mounts: &dyn Mounts,
) -> Result<(), VolumeFault> {
    let payloads = spec(pod).volumes.iter().flatten();
    for volume in payloads.filter(|volume| Source::of(volume) == Source::Payload) {
        make_one(dirs, id, pod, volume, fetched, mounts)?;
    }
    Ok(())
}

fn make_one(
    dirs: &Dirs,
    id: &PodId,
    pod: &Pod,
    volume: &Volume,
    fetched: &Fetched<'_>,
    mounts: &dyn Mounts,
) -> Result<(), VolumeFault> {
    let fault = |cause: &dyn ToString| VolumeFault::new(volume, cause.to_string());
    let path = dirs.volume(id, volume);
    let group = fs_group(pod);
    match Source::of(volume) {
        Source::Empty { memory, size } => empty(&path, memory, size, group, mounts).map_err(|error| fault(&error)),
        Source::HostPath(source) => {
            let kind = source.type_.as_deref().unwrap_or_default();
            host_path::check(&path, kind).map_err(|error| fault(&error))
        }
        Source::Payload => {
            let files = payload::files(volume, &fetched.payload).map_err(|error| fault(&error))?;
            own_memory(&dirs.pod_memory(id), mounts)
                .and_then(|()| atomic::write(&path, &files, group, fetched.stamp, mounts))
                .map(drop)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::StorageFull => fault(&format!(
                        "{error}: what a pod shows of configMaps, secrets, tokens and its own fields may take {} MiB",
                        MEMORY >> 20
                    )),
                    _ => fault(&error),
                })
        }
        Source::Claim(claim) => match fetched.claims.get(&volume.name) {
            Some(target) => {
                let _ = fs::remove_file(&path);
                private_parent(&path)
                    .and_then(|()| std::os::unix::fs::symlink(target, &path))
                    .map_err(|error| fault(&error))
            }
            None => Err(fault(&format!(
                "persistentvolumeclaim \"{claim}\" is not bound to a volume that this node can mount"
            ))),
        },
        Source::Unsupported(kind) => Err(fault(&format!("{kind} volumes are not supported by this node"))),
    }
}

/// The small files of one pod, old and new versions together: no pod can take the room of another's. The kernel takes
/// only what is used.
const MEMORY: u64 = 64 << 20;

/// Makes a pod's own memory. One that has files already stays as it is.
fn own_memory(folder: &Path, mounts: &dyn Mounts) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    if fs::read_dir(folder)?.next().is_some() || mounts.below(folder)?.iter().any(|point| point == folder) {
        return Ok(());
    }
    if let Err(error) = mounts.tmpfs(folder, Some(MEMORY), 0o750) {
        tracing::warn!(%error, ?folder, "no memory file system for one pod; its small files take the room of all");
    }
    Ok(())
}

fn private_parent(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::DirBuilder::new().recursive(true).mode(0o750).create(parent)
}

fn empty(path: &Path, memory: bool, size: Option<u64>, group: Option<u32>, mounts: &dyn Mounts) -> io::Result<()> {
    private_parent(path)?;
    let fresh = !path.exists();
    fs::create_dir_all(path)?;
    let mounted = memory && mounts.below(path)?.iter().any(|point| point == path);
    if memory && !mounted {
        mounts.tmpfs(path, size, 0o777)?;
    } else if !fresh {
        return Ok(());
    }
    let mut mode = 0o777;
    if group.is_some() {
        mounts.chown(path, None, group)?;
        mode |= 0o2000;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// The mounts of a container's volumes. Parts of volumes are bound below the pod's own folder first.
pub fn container_mounts(
    dirs: &Dirs,
    id: &PodId,
    pod: &Pod,
    container: &Container,
    env: &[(String, String)],
    mounts: &dyn Mounts,
) -> Result<Vec<Mount>, Reason> {
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        let message = "block volumes (volumeDevices) are not supported by this node";
        return Err(Reason::new("CreateContainerConfigError", message));
    }
    let mut all = Vec::new();
    for (index, wish) in container.volume_mounts.iter().flatten().enumerate() {
        let config = |message: String| Reason::new("CreateContainerConfigError", message);
        let volume = find(pod, &wish.name).ok_or_else(|| {
            config(format!("cannot find volume {:?} to mount into container {:?}", wish.name, container.name))
        })?;
        let mut source = dirs.volume(id, volume);
        if let Source::Claim(_) = Source::of(volume) {
            source = fs::read_link(&source).map_err(|error| config(error.to_string()))?;
        }
        let part = match (&wish.sub_path, &wish.sub_path_expr) {
            (Some(part), _) if !part.is_empty() => Some(part.clone()),
            (_, Some(words)) if !words.is_empty() => Some(expand(words, env)),
            _ => None,
        };
        if let Some(part) = part {
            if !stays_inside(&part) {
                return Err(config(format!("subPath {part:?} must be relative and without '..'")));
            }
            let target = dirs.subpath(id, &container.name, index);
            bind_part(&source, &part, &target, mounts).map_err(|error| {
                config(format!(
                    "failed to prepare subPath for volumeMount {:?} of container {:?}: {error}",
                    wish.name, container.name
                ))
            })?;
            source = target;
        }
        let read_only = wish.read_only == Some(true)
            || volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only == Some(true))
            || Source::of(volume) == Source::Payload;
        all.push(Mount {
            target: wish.mount_path.clone(),
            source: MountSource::Bind(source),
            read_only,
            propagation: match wish.mount_propagation.as_deref() {
                Some("HostToContainer") => Propagation::HostToContainer,
                Some("Bidirectional") => Propagation::Bidirectional,
                _ => Propagation::Private,
            },
        });
    }
    Ok(all)
}

fn bind_part(volume: &Path, part: &str, target: &Path, mounts: &dyn Mounts) -> io::Result<()> {
    let found = subpath::open(volume, part)?;
    mounts.unmount(target)?;
    private_parent(target)?;
    match subpath::is_folder(&found)? {
        true => fs::create_dir_all(target)?,
        false if !target.exists() => fs::write(target, "")?,
        false => {}
    }
    mounts.bind(std::os::fd::AsFd::as_fd(&found), target)
}

/// Takes away everything of a pod: mounts first, so that no volume's content is deleted through a mount.
pub fn clear(dirs: &Dirs, id: &PodId, mounts: &dyn Mounts) -> io::Result<()> {
    [dirs.pod(id), dirs.pod_memory(id)].iter().try_for_each(|folder| clear_folder(folder, mounts))
}

/// The same for one folder.
pub fn clear_folder(folder: &Path, mounts: &dyn Mounts) -> io::Result<()> {
    for point in mounts.below(folder)? {
        mounts.unmount(&point)?;
    }
    let left = mounts.below(folder)?;
    if let Some(point) = left.first() {
        return Err(io::Error::other(format!("{} is still mounted", point.display())));
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
