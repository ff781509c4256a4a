//! Where everything is in the state folder, and which cgroups belong to it.
//!
//! In: the state folder, the cgroup parent, names. Out: paths. Never touches the file system.
//!
//! ```text
//! run/                        in memory: what a boot makes meaningless, and what would wear out flash
//!   pods/<uid>/               sandbox.json, cgroup, net, ipc, uts, pid (pinned namespaces), shm (shared /dev/shm)
//!   containers/<id>/          config.json (with what it was made from), life, start.sock, attach.sock, stdin,
//!                             rootfs, oci/
//! writable/<pod uid>/<id>/    what the container writes
//! work/<id>/                  the overlay's own, beside it on the same file system
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Result, RuntimeError};

/// Longest container or pod name: a folder and a cgroup are called so.
const LONGEST_NAME: usize = 64;

/// The state folder and cgroup parent of one daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The state folder, absolute.
    pub state: PathBuf,
    /// The parent of all cgroups, relative to the root of the hierarchy, without a leading slash.
    pub cgroup_parent: String,
}

impl Layout {
    /// Checks that both can be used.
    pub fn new(state: &Path, cgroup_parent: &str) -> Result<Self> {
        if !state.is_absolute() {
            return Err(RuntimeError::Input {
                what: "state folder",
                value: state.display().to_string(),
                rule: "must be absolute",
            });
        }
        let cgroup_parent = cgroup_parent.trim_matches('/').to_owned();
        relative("cgroup parent", &cgroup_parent)?;
        Ok(Self { state: state.to_owned(), cgroup_parent })
    }

    /// What is in memory.
    pub fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// All sandboxes.
    pub fn pods(&self) -> PathBuf {
        self.run().join("pods")
    }

    /// One sandbox.
    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// All containers.
    pub fn containers(&self) -> PathBuf {
        self.run().join("containers")
    }

    /// One container.
    pub fn container(&self, id: &str) -> ContainerPaths {
        ContainerPaths { folder: self.containers().join(id) }
    }

    /// What all containers write.
    pub fn writable(&self) -> PathBuf {
        self.state.join("writable")
    }

    /// What a container writes.
    pub fn writable_of(&self, pod_uid: &str, id: &str) -> PathBuf {
        self.writable().join(pod_uid).join(id)
    }

    /// Where overlays prepare what containers write.
    pub fn works(&self) -> PathBuf {
        self.state.join("work")
    }

    /// A cgroup below the parent, relative to the root of the hierarchy.
    pub fn cgroup(&self, cgroup: &str) -> PathBuf {
        Path::new(&self.cgroup_parent).join(cgroup.trim_matches('/'))
    }
}

/// The files of one container.
#[derive(Clone, Debug)]
pub struct ContainerPaths {
    /// Its folder; also the OCI bundle.
    pub folder: PathBuf,
}

impl ContainerPaths {
    /// Its OCI configuration, and what it was made from.
    pub fn configuration(&self) -> PathBuf {
        self.folder.join("config.json")
    }

    /// Its processes, start and end.
    pub fn life(&self) -> PathBuf {
        self.folder.join("life")
    }

    /// Where its cgroups are shown as it is to see them.
    pub fn cgroup_view(&self) -> PathBuf {
        self.folder.join("cgroup")
    }

    /// The merged root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.folder.join("rootfs")
    }

    /// A fifo that leads to its standard input.
    pub fn stdin(&self) -> PathBuf {
        self.folder.join("stdin")
    }
}

/// Refuses a container or pod name that can't be a folder, a cgroup and a word of a command line.
pub fn name(what: &'static str, name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.';
    if name.is_empty() || name.len() > LONGEST_NAME || name.starts_with('.') || !name.bytes().all(plain) {
        return Err(RuntimeError::Input {
            what,
            value: name.to_owned(),
            rule: "must be 1 to 64 letters, digits, '-', '_' or '.', and not start with '.'",
        });
    }
    Ok(())
}

/// Refuses a cgroup that leads out of the parent.
pub fn relative(what: &'static str, path: &str) -> Result<()> {
    let path = path.trim_matches('/');
    let bad = |part: &str| part.is_empty() || part == "." || part == ".." || part.contains(['\0', ':']);
    if path.split('/').any(bad) {
        return Err(RuntimeError::Input {
            what,
            value: path.to_owned(),
            rule: "must be names joined by '/', without '.', '..' or ':'",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(good: bool, outcome: Result<()>) {
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
    }

    #[test]
    fn names_are_folders_and_cgroups() {
        check(true, name("container", "web-0.a_b"));
        check(false, name("container", ""));
        check(false, name("container", ".."));
        check(false, name("container", "a/b"));
        check(false, name("container", &"x".repeat(65)));
    }

    #[test]
    fn cgroups_stay_below_the_parent() {
        check(true, relative("cgroup", "pod1/c1"));
        check(true, relative("cgroup", "/pod1/c1/"));
        check(false, relative("cgroup", "../x"));
        check(false, relative("cgroup", "a//b"));
        check(false, relative("cgroup", ""));
    }
}
