//! What a container needs of folders and cgroups, made while the operation that needs them is being forked.
//!
//! In: the container's words. Out: the folders and cgroups that the operation would make itself; whoever comes second finds
//! them there, so it is told nothing. What fails here fails there again, with its reason. Never waits for the operation.
//!
//! On a machine with two cores this is a twentieth of the time that a container takes to be made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kedge_api::machine::ContainerSpec;

use super::Inner;
use crate::cgroup::Cgroups;

/// See the module.
pub struct Ahead {
    folders: [PathBuf; 2],
    log: Option<PathBuf>,
    cgroups: Cgroups,
    cgroup: PathBuf,
}

impl Ahead {
    /// What this container needs.
    pub fn of(inner: &Inner, spec: &ContainerSpec) -> Self {
        let layout = &inner.layout;
        Self {
            folders: [layout.writable_of(&spec.pod_uid, &spec.id), layout.works().join(&spec.id)],
            log: spec.log.path.parent().map(Path::to_owned),
            cgroups: inner.cgroups.clone(),
            cgroup: layout.cgroup(&spec.cgroup),
        }
    }

    /// Makes it, what is needed first first.
    pub fn make(self) {
        for folder in &self.folders {
            if let Some(above) = folder.parent()
                && fs::create_dir_all(above).is_ok()
            {
                make(folder);
            }
        }
        let _ = self.cgroups.make_leaf(&self.cgroup);
        // Where the folder of the pod's logs is not there either, the operation makes both.
        self.log.as_deref().map(make);
    }
}

/// A folder as the zygote makes it, whatever mask the daemon was started with: one of them is a container's root.
fn make(folder: &Path) {
    if fs::create_dir(folder).is_ok() {
        let _ = fs::set_permissions(folder, Permissions::from_mode(0o755));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_as_it_is_and_what_is_new_can_be_a_root() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        fs::create_dir(at("old")).unwrap();
        fs::set_permissions(at("old"), Permissions::from_mode(0o700)).unwrap();
        let root = at("cgroup");
        let ahead = |pod: &str, log: &str| Ahead {
            folders: [at(pod).join("c"), at("work")],
            log: Some(at(log)),
            cgroups: Cgroups::V1(vec![(vec!["pids".to_owned()], root.clone())]),
            cgroup: PathBuf::from("k/pod"),
        };
        fs::create_dir(&root).unwrap();
        ahead("pod", "old").make();
        assert_eq!((mode("old"), mode("pod/c"), mode("work")), (0o700, 0o755, 0o755));
        assert!(root.join("k/pod").is_dir());
        // Once more: nothing is in the way of it.
        fs::set_permissions(at("work"), Permissions::from_mode(0o711)).unwrap();
        ahead("pod", "no/log").make();
        assert_eq!((mode("work"), at("no").exists()), (0o711, false));
    }
}
