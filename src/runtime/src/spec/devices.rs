//! Devices of a privileged container.
//!
//! In: the machine's `/dev`. Out: OCI device entries. Which of them open is a matter of the cgroup's filter.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    path: PathBuf,
    kind: &'static str,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Device {
    /// Its OCI entry.
    pub fn entry(&self) -> Value {
        json!({
            "path": self.path, "type": self.kind, "major": self.major, "minor": self.minor,
            "fileMode": self.mode, "uid": self.uid, "gid": self.gid,
        })
    }
}

/// Folders of `/dev` that a container has its own of.
const OWN: [&str; 4] = ["pts", "shm", "mqueue", "fd"];

/// Nodes that a container has its own of.
const OWN_NODES: [&str; 2] = ["console", "ptmx"];

/// The device nodes below a folder, which is `/dev` but for tests.
pub fn devices_below(folder: &Path) -> Vec<Device> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(about) = entry.path().symlink_metadata() else {
                continue;
            };
            let kind = about.file_type();
            if kind.is_dir() && !OWN.iter().any(|own| name == *own) {
                open.push(entry.path());
            } else if (kind.is_char_device() || kind.is_block_device()) && !OWN_NODES.iter().any(|own| name == *own) {
                found.push(Device {
                    path: entry.path(),
                    kind: if kind.is_char_device() { "c" } else { "b" },
                    major: libc::major(about.rdev()),
                    minor: libc::minor(about.rdev()),
                    mode: about.mode() & 0o7777,
                    uid: about.uid(),
                    gid: about.gid(),
                });
            }
        }
    }
    found
}
