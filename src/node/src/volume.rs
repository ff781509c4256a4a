//! A pod's volumes on this machine.
//!
//! In: the pod's words, the state folder. Out: a folder or file on the host for each volume, and mounts for each
//! container. `payload` decides what files a volume has, `atomic` writes them, `effects` makes the rest.

pub(crate) mod atomic;
pub(crate) mod effects;
pub(crate) mod host_path;
pub(crate) mod payload;
pub(crate) mod subpath;

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, Volume};

use crate::amount::units;
use crate::pod::{PodId, spec};

/// Where things of pods are on this machine.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// The state folder.
    pub state: PathBuf,
}

impl Dirs {
    /// The folder of all pods' folders.
    pub fn pods(&self) -> PathBuf {
        self.state.join("pods")
    }

    /// A pod's folder: its logs, and `.pod` for the rest.
    pub fn pod(&self, id: &PodId) -> PathBuf {
        self.pods().join(id.folder())
    }

    /// What the agent keeps of a pod. No container can be called so.
    pub fn own(&self, id: &PodId) -> PathBuf {
        self.pod(id).join(".pod")
    }

    /// A pod's checkpoint.
    pub fn record(&self, id: &PodId) -> PathBuf {
        self.own(id).join("record.json")
    }

    /// A file that is bound into all containers of a pod.
    pub fn etc(&self, id: &PodId, name: &str) -> PathBuf {
        self.own(id).join("etc").join(name)
    }

    /// Where a container writes its last words.
    pub fn last_words(&self, id: &PodId, container: &str, attempt: u32) -> PathBuf {
        self.own(id).join(format!("words/{container}.{attempt}"))
    }

    /// A container's log.
    pub fn log(&self, id: &PodId, container: &str, attempt: u32) -> PathBuf {
        self.pod(id).join(container).join(format!("{attempt}.log"))
    }

    /// Memory in which each pod has its own for small files: secrets never touch flash, and config does not wear it.
    pub fn memory(&self) -> PathBuf {
        self.state.join("memory")
    }

    /// A pod's part of that memory.
    pub fn pod_memory(&self, id: &PodId) -> PathBuf {
        self.memory().join(&id.uid)
    }

    /// Where a volume is on the host.
    pub fn volume(&self, id: &PodId, volume: &Volume) -> PathBuf {
        match Source::of(volume) {
            Source::HostPath(source) => PathBuf::from(&source.path),
            Source::Payload => self.pod_memory(id).join(&volume.name),
            Source::Empty { .. } | Source::Claim(_) | Source::Unsupported(_) => {
                self.own(id).join("volumes").join(&volume.name)
            }
        }
    }

    /// Where a container's subPath is bound to.
    pub fn subpath(&self, id: &PodId, container: &str, index: usize) -> PathBuf {
        self.own(id).join(format!("subpaths/{container}/{index}"))
    }
}

/// What a volume is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// An empty folder, on disk or in memory.
    Empty {
        /// In memory.
        memory: bool,
        /// Limit in bytes.
        size: Option<u64>,
    },
    /// A path of the host.
    HostPath(&'a HostPathVolumeSource),
    /// Files that the agent writes: config maps, secrets, tokens, the pod's own fields.
    Payload,
    /// A claim of this name.
    Claim(&'a str),
    /// Not made by this agent.
    Unsupported(&'static str),
}

impl<'a> Source<'a> {
    /// What a volume is made of.
    pub fn of(volume: &'a Volume) -> Self {
        if let Some(empty) = &volume.empty_dir {
            return Source::Empty {
                memory: empty.medium.as_deref() == Some("Memory"),
                size: empty
                    .size_limit
                    .as_ref()
                    .and_then(|size| u64::try_from(units(size)).ok())
                    .filter(|size| *size > 0),
            };
        }
        if let Some(source) = &volume.host_path {
            return Source::HostPath(source);
        }
        if volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
        {
            return Source::Payload;
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            return Source::Claim(&claim.claim_name);
        }
        let named = [
            (volume.csi.is_some(), "csi"),
            (volume.nfs.is_some(), "nfs"),
            (volume.ephemeral.is_some(), "ephemeral"),
            (volume.image.is_some(), "image"),
            (volume.iscsi.is_some(), "iscsi"),
            (volume.git_repo.is_some(), "gitRepo"),
            (volume.cephfs.is_some(), "cephfs"),
            (volume.rbd.is_some(), "rbd"),
            (volume.fc.is_some(), "fc"),
            (volume.flex_volume.is_some(), "flexVolume"),
            (volume.glusterfs.is_some(), "glusterfs"),
        ];
        match named.into_iter().find(|(there, _)| *there) {
            Some((_, name)) => Source::Unsupported(name),
            // Kubernetes' default for a volume that names no source.
            None if only_name(volume) => Source::Empty { memory: false, size: None },
            None => Source::Unsupported("this kind of"),
        }
    }
}

fn only_name(volume: &Volume) -> bool {
    *volume == Volume { name: volume.name.clone(), ..Volume::default() }
}

/// A pod's volume of that name.
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<&'a Volume> {
    spec(pod).volumes.iter().flatten().find(|volume| volume.name == name)
}

/// The group that owns a pod's volumes.
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Whether a relative path stays where it begins: no `..`, not absolute, not empty.
pub fn stays_inside(path: &str) -> bool {
    use std::path::Component;
    !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
