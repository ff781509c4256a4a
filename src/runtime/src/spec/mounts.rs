//! The mounts of a container: the standard ones, the pod's shared memory, then the node's.
//!
//! In: the container's words. Out: OCI mount entries in the order in which they are made. Never mounts.

use kedge_api::machine::{ContainerSpec, Mount, MountSource, Propagation};
use serde_json::{Value, json};

use crate::layout::Layout;

/// All mounts.
pub fn all(spec: &ContainerSpec, layout: &Layout, unified: bool) -> Vec<Value> {
    let own = |target: &str| spec.mounts.iter().any(|mount| mount.target == target);
    let access = if spec.security.privileged { "rw" } else { "ro" };
    let mut list = vec![
        entry("proc", "/proc", "proc", &["nosuid", "noexec", "nodev"]),
        entry("tmpfs", "/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        entry(
            "devpts",
            "/dev/pts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        entry("mqueue", "/dev/mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        entry("sysfs", "/sys", "sysfs", &["nosuid", "noexec", "nodev", access]),
        if unified {
            entry("cgroup", "/sys/fs/cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", access])
        } else {
            // One mount that shows all hierarchies, made before.
            let view = layout.container(&spec.id).cgroup_view();
            let every = if spec.security.privileged { "rrw" } else { "rro" };
            entry("bind", "/sys/fs/cgroup", &view.to_string_lossy(), &["rbind", "rnosuid", "rnoexec", "rnodev", every])
        },
    ];
    list.retain(|mount| mount["destination"].as_str().is_none_or(|target| !own(target)));
    if !own("/dev/shm") {
        let shared = match spec.sandbox.ipc {
            Some(_) => layout.pod(&spec.pod_uid).join("shm"),
            None => "/dev/shm".into(),
        };
        let source = shared.to_string_lossy();
        list.push(entry("bind", "/dev/shm", &source, &["rbind", "nosuid", "noexec", "nodev"]));
    }
    list.extend(spec.mounts.iter().map(volume));
    list
}

fn volume(mount: &Mount) -> Value {
    let access = if mount.read_only { "ro" } else { "rw" };
    match &mount.source {
        MountSource::Bind(source) => {
            let propagation = match mount.propagation {
                Propagation::Private => "rprivate",
                Propagation::HostToContainer => "rslave",
                Propagation::Bidirectional => "rshared",
            };
            entry("bind", &mount.target, &source.to_string_lossy(), &["rbind", propagation, access])
        }
        MountSource::Tmpfs { size } => {
            let size = size.map(|size| format!("size={size}"));
            let mut options = vec!["nosuid", "nodev", "mode=1777", access];
            options.extend(size.as_deref());
            entry("tmpfs", &mount.target, "tmpfs", &options)
        }
    }
}

fn entry(kind: &str, target: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}
