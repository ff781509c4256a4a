//! Lets a container be cloned inside its cgroup without moving it there (version 1).
//!
//! In: a cgroup. Out: the calling process in it, and a stand-in for `/sys/fs/cgroup` to which libcontainer may write;
//! then back. The caller must have one thread and a mount namespace of its own.
//!
//! Writing a process ID to `cgroup.procs`, as libcontainer does for each hierarchy, makes the kernel hold up every fork
//! and exit of the machine, and first wait for a grace period: 8 ms measured, more than all the rest of making a
//! container. A process that writes `0` to `tasks` moves only its own thread and needs neither.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{CGROUP2_MAGIC, ROOT, named};
use crate::sys;

/// The way back.
pub struct Visit {
    home: Vec<(File, PathBuf)>,
}

impl Visit {
    /// Enters a cgroup in all hierarchies, then hides them behind the stand-in.
    pub fn begin(hierarchies: &[(Vec<String>, PathBuf)], cgroup: &Path) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let mut home = Vec::new();
        let mut target = Vec::new();
        for (controllers, root) in hierarchies {
            let here = own_path(&own, controllers).ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, format!("own cgroup of {}", controllers.join(",")))
            })?;
            home.push(tasks(&root.join(here))?);
            target.push(tasks(&root.join(cgroup))?);
        }
        let visit = Self { home };
        enter(&target)?;
        stand_in()?;
        Ok(visit)
    }

    /// Goes back to where it came from. What was cloned meanwhile stays.
    pub fn end(self) -> io::Result<()> {
        enter(&self.home)
    }
}

fn tasks(cgroup: &Path) -> io::Result<(File, PathBuf)> {
    let path = cgroup.join("tasks");
    let file = OpenOptions::new().write(true).open(&path).map_err(|error| named(&path, error))?;
    Ok((file, path))
}

fn enter(all: &[(File, PathBuf)]) -> io::Result<()> {
    for (file, path) in all {
        (&*file).write_all(b"0").map_err(|error| named(path, error))?;
    }
    Ok(())
}

/// One hierarchy of version 2 in the place of all, whose `cgroup.procs` takes everything and keeps nothing. In version 1
/// libcontainer would read the machine's mounts and its own cgroups once more for each controller.
fn stand_in() -> io::Result<()> {
    let (root, unified) = (Path::new(ROOT), Path::new(ROOT).join("unified"));
    if sys::filesystem(&unified).is_ok_and(|magic| magic == CGROUP2_MAGIC) {
        // A new mount would change the flags of the one that the machine has.
        sys::mount(&unified, root, "", libc::MS_BIND, "")?;
    } else {
        sys::mount(Path::new("stand-in"), root, "cgroup2", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "")?;
    }
    // What comes next is for nobody else, whoever shares the machine's mounts.
    sys::mount(Path::new("none"), root, "", libc::MS_PRIVATE, "")?;
    let procs = root.join("cgroup.procs");
    sys::mount(Path::new("/dev/null"), &procs, "", libc::MS_BIND, "").map_err(|error| named(&procs, error))
}

/// The path of a hierarchy in `/proc/self/cgroup`, without its leading slash.
fn own_path<'a>(own: &'a str, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        let same = names.split(',').any(|name| controllers.first().is_some_and(|first| first == name));
        same.then(|| path.trim_start_matches('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_home_is_found_by_controller() {
        let own = "9:name=systemd:/s\n4:cpu,cpuacct:/user/a:b\n3:memory:/\n0::/u\n";
        let path = |name: &str| own_path(own, &[name.to_owned()]);
        assert_eq!((path("cpuacct"), path("memory"), path("pids")), (Some("user/a:b"), Some(""), None));
    }
}
