//! cgroups, both versions: pods' limits, usage, OOM counts, killing and removing.
//!
//! In: paths relative to the root of the hierarchy. Out: files written and read below `/sys/fs/cgroup`. libcontainer
//! makes a container's own cgroup and puts the container in; everything else about cgroups is here. Never touches a
//! cgroup outside the given path.

mod devices;
mod files;
mod unified;
mod visit;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kedge_api::machine::{Resources, Stats};
use serde::{Deserialize, Serialize};

pub use files::{convert_shares, mounted_v1};
pub use visit::Visit;

use crate::sys;

const ROOT: &str = "/sys/fs/cgroup";
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// The hierarchies of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cgroups {
    /// One hierarchy for each controller: the controllers' names and where it is mounted.
    V1(Vec<(Vec<String>, PathBuf)>),
    /// One hierarchy.
    V2,
}

impl Cgroups {
    /// Looks at what is mounted.
    pub fn find() -> io::Result<Self> {
        Self::of(filesystem(Path::new(ROOT))?, &fs::read_to_string("/proc/self/mountinfo")?)
    }

    /// By the kind of file system at the root and the table of mounts. A hybrid machine counts as version 1.
    fn of(root: i64, mountinfo: &str) -> io::Result<Self> {
        if root == CGROUP2_MAGIC {
            return Ok(Self::V2);
        }
        let hierarchies = mounted_v1(mountinfo);
        if hierarchies.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted below /sys/fs/cgroup"));
        }
        Ok(Self::V1(hierarchies))
    }

    /// Makes the parent of all cgroups, so that what the machine lacks is told at the start and not with each pod.
    pub fn prepare(&self, parent: &Path) -> io::Result<()> {
        match self {
            Self::V1(hierarchies) => {
                let names: Vec<&str> = hierarchies.iter().flat_map(|(names, _)| names).map(String::as_str).collect();
                match unified::lacking(&names.join(" ")).as_slice() {
                    [] => Ok(()),
                    absent => Err(unified::missing(Path::new(ROOT), absent)),
                }
            }
            Self::V2 => unified::make(Path::new(ROOT), parent),
        }
    }

    /// Makes a cgroup for others below it, and its parents, and sets limits.
    pub fn make(&self, cgroup: &Path, resources: &Resources) -> io::Result<()> {
        match self {
            Self::V1(_) => self.make_leaf(cgroup)?,
            Self::V2 => unified::make(Path::new(ROOT), cgroup)?,
        }
        self.limit(cgroup, resources)
    }

    /// Makes a cgroup that holds processes, and its parents.
    pub fn make_leaf(&self, cgroup: &Path) -> io::Result<()> {
        match self {
            Self::V1(hierarchies) => {
                hierarchies.iter().try_for_each(|(controllers, root)| make_v1(controllers, root, cgroup))
            }
            Self::V2 => unified::make_leaf(Path::new(ROOT), cgroup),
        }
    }

    /// Sets limits.
    pub fn limit(&self, cgroup: &Path, resources: &Resources) -> io::Result<()> {
        if let (Self::V1(_), Some(_)) = (self, resources.memory_limit)
            && let Some(folder) = self.folder("memory", cgroup)
        {
            // The limit of both may not be below the one of memory: it goes out of the way first.
            let _ = unified::write_existing(&folder.join(MEMORY_AND_SWAP), "-1");
        }
        for (controller, file, value) in self.settings(resources) {
            let Some(folder) = self.folder(controller, cgroup) else {
                return Err(no_controller(controller));
            };
            write(&folder.join(file), &value).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound if *self == Self::V2 => no_controller(controller),
                _ => error,
            })?;
        }
        match (self, resources.memory_limit) {
            (Self::V1(_), Some(_)) => self.folder("memory", cgroup).map_or(Ok(()), |folder| limit_swap(&folder)),
            _ => Ok(()),
        }
    }

    /// Makes a container's processes one for the OOM killer, which only version 2 can, and keeps them out of swap, as
    /// Kubernetes does; version 1 does that with the limit of memory. Where there is no swap there is nothing to keep
    /// out of.
    pub fn bind_together(&self, cgroup: &Path) -> io::Result<()> {
        if *self == Self::V2 {
            for (file, value) in [("memory.oom.group", "1"), ("memory.swap.max", "0")] {
                match write(&Path::new(ROOT).join(cgroup).join(file), value) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Shows a cgroup in `view` as a container is to see it: a folder for each hierarchy. Only on version 1, where there
    /// are many. libcontainer would mount each by itself, with dozens of calls. The mounts are of the caller's namespace.
    pub fn show(&self, cgroup: &Path, view: &Path) -> io::Result<()> {
        let Self::V1(hierarchies) = self else {
            return Ok(());
        };
        fs::create_dir(view)?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
        sys::mount(Path::new("cgroup"), view, "tmpfs", flags, "mode=0755,size=64k")?;
        for (controllers, root) in hierarchies {
            let name = root.file_name().unwrap_or_default();
            let folder = view.join(name);
            fs::create_dir(&folder)?;
            sys::mount(&root.join(cgroup), &folder, "", libc::MS_BIND, "")?;
            for controller in controllers.iter().filter(|controller| *controller.as_str() != *name) {
                std::os::unix::fs::symlink(name, view.join(controller))?;
            }
        }
        Ok(())
    }

    /// Enters a cgroup, for as long as a container is cloned; only on version 1, and with a mount namespace of our own.
    pub fn visit(&self, cgroup: &Path) -> io::Result<Option<Visit>> {
        match self {
            Self::V1(hierarchies) => Visit::begin(hierarchies, cgroup).map(Some),
            Self::V2 => Ok(None),
        }
    }

    /// Forbids all but the usual devices.
    pub fn confine_devices(&self, cgroup: &Path) -> io::Result<()> {
        match self {
            Self::V1(_) => {
                let Some(folder) = self.folder("devices", cgroup) else {
                    return Err(no_controller("devices"));
                };
                let (deny, allow) = devices::lines();
                write(&folder.join("devices.deny"), deny)?;
                allow.iter().try_for_each(|line| write(&folder.join("devices.allow"), line))
            }
            Self::V2 => devices::confine(&Path::new(ROOT).join(cgroup)),
        }
    }

    /// The file that counts OOM kills of a cgroup.
    pub fn oom_file(&self, cgroup: &Path) -> Option<PathBuf> {
        let file = match self {
            Self::V1(_) => "memory.oom_control",
            Self::V2 => "memory.events",
        };
        Some(self.folder("memory", cgroup)?.join(file))
    }

    /// What a cgroup and those below it use.
    pub fn stats(&self, cgroup: &Path) -> io::Result<Stats> {
        let read = |controller: &str, file: &str| -> io::Result<String> {
            let folder = self.folder(controller, cgroup);
            let folder = folder.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, controller.to_owned()))?;
            fs::read_to_string(folder.join(file))
        };
        let processes = read("pids", "pids.current").unwrap_or_default();
        Ok(match self {
            Self::V1(_) => files::usage_v1(
                &read("cpuacct", "cpuacct.usage")?,
                &read("memory", "memory.usage_in_bytes")?,
                &read("memory", "memory.stat")?,
                &processes,
            ),
            Self::V2 => files::usage_v2(
                &read("cpu", "cpu.stat")?,
                &read("memory", "memory.current")?,
                &read("memory", "memory.stat")?,
                &processes,
            ),
        })
    }

    /// Every process in a cgroup and those below it.
    pub fn processes(&self, cgroup: &Path) -> Vec<i32> {
        let mut found = Vec::new();
        // A process is in all hierarchies of version 1, unless its container moved it: ask each.
        for root in self.roots() {
            for folder in below(&root.join(cgroup)) {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes a cgroup and those below it. One that is not there is no fault; one that is in use is.
    pub fn remove(&self, cgroup: &Path) -> io::Result<()> {
        for root in self.roots() {
            for folder in below(&root.join(cgroup)).into_iter().rev() {
                match fs::remove_dir(&folder) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io::Error::new(error.kind(), format!("remove {}: {error}", folder.display())));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Removes a cgroup wherever it holds nothing.
    pub fn remove_if_empty(&self, cgroup: &Path) {
        for root in self.roots() {
            // The kernel refuses where something is below or inside: then it stays.
            let _ = fs::remove_dir(root.join(cgroup));
        }
    }

    /// Moves a process into a cgroup, but not where that may hold no processes of its own (version 2 with children).
    pub fn join(&self, cgroup: &Path, pid: i32) -> io::Result<()> {
        let Self::V1(hierarchies) = self else {
            let leaf = cgroup.join("holder");
            self.make_leaf(&leaf)?;
            return write(&Path::new(ROOT).join(leaf).join("cgroup.procs"), &pid.to_string());
        };
        for (_, root) in hierarchies {
            write(&root.join(cgroup).join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Every cgroup below one, relative to the root of the hierarchy as that is, parents first.
    pub fn descendants(&self, cgroup: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for root in self.roots() {
            let all = below(&root.join(cgroup)).into_iter().skip(1);
            found.extend(all.filter_map(|folder| folder.strip_prefix(&root).map(Path::to_owned).ok()));
        }
        found.sort();
        found.dedup();
        found
    }

    fn roots(&self) -> Vec<PathBuf> {
        match self {
            Self::V1(hierarchies) => hierarchies.iter().map(|(_, root)| root.clone()).collect(),
            Self::V2 => vec![PathBuf::from(ROOT)],
        }
    }

    fn folder(&self, controller: &str, cgroup: &Path) -> Option<PathBuf> {
        match self {
            Self::V1(hierarchies) => hierarchies
                .iter()
                .find(|(controllers, _)| controllers.iter().any(|name| name == controller))
                .map(|(_, root)| root.join(cgroup)),
            Self::V2 => Some(Path::new(ROOT).join(cgroup)),
        }
    }

    /// Controller, file and text of each limit.
    fn settings(&self, resources: &Resources) -> Vec<(&'static str, &'static str, String)> {
        let mut settings = Vec::new();
        let period = resources.cpu_period.unwrap_or(100_000);
        match self {
            Self::V1(_) => {
                if let Some(shares) = resources.cpu_shares {
                    settings.push(("cpu", "cpu.shares", shares.clamp(2, 262_144).to_string()));
                }
                if let Some(quota) = resources.cpu_quota {
                    settings.push(("cpu", "cpu.cfs_period_us", period.to_string()));
                    settings.push(("cpu", "cpu.cfs_quota_us", quota.to_string()));
                }
                if let Some(limit) = resources.memory_limit {
                    settings.push(("memory", "memory.limit_in_bytes", limit.to_string()));
                }
                if let Some(limit) = resources.pids_limit {
                    settings.push(("pids", "pids.max", most(limit)));
                }
            }
            Self::V2 => {
                if let Some(shares) = resources.cpu_shares {
                    settings.push(("cpu", "cpu.weight", convert_shares(shares).to_string()));
                }
                if let Some(quota) = resources.cpu_quota {
                    settings.push(("cpu", "cpu.max", format!("{} {period}", most(quota))));
                }
                if let Some(limit) = resources.memory_limit {
                    settings.push(("memory", "memory.max", most(limit)));
                }
                if let Some(limit) = resources.pids_limit {
                    settings.push(("pids", "pids.max", most(limit)));
                }
            }
        }
        settings
    }
}

/// A limit as version 2 writes it: none is `max`.
fn most(limit: i64) -> String {
    if limit <= 0 { "max".to_owned() } else { limit.to_string() }
}

fn make_v1(controllers: &[String], root: &Path, cgroup: &Path) -> io::Result<()> {
    let has = |name: &str| controllers.iter().any(|controller| controller == name);
    let mut folder = root.to_owned();
    for part in cgroup.components() {
        let parent = folder.clone();
        folder.push(part);
        let is_new = match fs::create_dir(&folder) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(named(&folder, error)),
        };
        if has("cpuset") {
            // Empty sets refuse processes; they are not inherited by themselves. One that is there already may be
            // empty as well: another pod has made it just now, or was stopped before it had filled it.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let read = |folder: &Path| {
                    let file = folder.join(file);
                    fs::read_to_string(&file).map_err(|error| named(&file, error))
                };
                if is_new || read(&folder)?.trim().is_empty() {
                    write(&folder.join(file), read(&parent)?.trim())?;
                }
            }
        }
        if is_new && has("memory") {
            // Older kernels count children only when asked; newer ones always do and may refuse.
            let _ = fs::write(folder.join("memory.use_hierarchy"), "1");
        }
    }
    Ok(())
}

/// A folder and all below it, parents first.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        open.extend(folders.map(|entry| entry.path()));
        found.push(folder);
    }
    found
}

/// Version 1's limit of memory and swap together; only kernels that count swap have it.
const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";

/// The same limit for memory alone and with swap leaves no swap.
fn limit_swap(folder: &Path) -> io::Result<()> {
    let memory = fs::read_to_string(folder.join("memory.limit_in_bytes"))?;
    match write(&folder.join(MEMORY_AND_SWAP), memory.trim()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn no_controller(controller: &str) -> io::Error {
    let text = format!("the machine has no cgroup controller {controller}, which a limit needs");
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    unified::write_existing(file, value)
        .map_err(|error| io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", file.display())))
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn filesystem(path: &Path) -> io::Result<i64> {
    sys::filesystem(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(resources: &Resources, v1: &[&str], v2: &[&str]) {
        let lines = |cgroups: Cgroups| -> Vec<String> {
            let settings = cgroups.settings(resources).into_iter();
            settings.map(|(_, file, value)| format!("{file}={value}")).collect()
        };
        assert_eq!(lines(Cgroups::V1(Vec::new())), v1);
        assert_eq!(lines(Cgroups::V2), v2);
    }

    #[test]
    fn the_version_is_that_of_the_root() {
        const TMPFS: i64 = 0x0102_1994;
        let v1 = "24 22 0:22 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let beside = "26 22 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let whole = "26 22 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let memory = Ok(Cgroups::V1(vec![(vec!["memory".to_owned()], Path::new(ROOT).join("memory"))]));
        let none = Err("no cgroup hierarchy is mounted below /sys/fs/cgroup".to_owned());
        for (root, table, want) in [
            (CGROUP2_MAGIC, whole.to_owned(), Ok(Cgroups::V2)),
            // An old hierarchy that hangs below the root of the new one, or elsewhere, changes nothing.
            (CGROUP2_MAGIC, format!("{whole}{v1}"), Ok(Cgroups::V2)),
            (TMPFS, v1.to_owned(), memory.clone()),
            (TMPFS, format!("{v1}{beside}"), memory),
            (TMPFS, beside.to_owned(), none.clone()),
            (TMPFS, String::new(), none),
        ] {
            assert_eq!(Cgroups::of(root, &table).map_err(|error| error.to_string()), want, "{root:x} {table}");
        }
    }

    #[test]
    fn what_is_used_is_read_where_each_version_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        put("cpu/k/cpuacct.usage", "7000\n");
        put("memory/k/memory.usage_in_bytes", "9000\n");
        put("memory/k/memory.stat", "total_rss 4096\ntotal_inactive_file 1000\n");
        put("pids/k/pids.current", "3\n");
        let hierarchy = |folder: &str, names: &[&str]| {
            (names.iter().map(|name| (*name).to_owned()).collect(), root.path().join(folder))
        };
        let v1 = Cgroups::V1(vec![
            hierarchy("cpu", &["cpu", "cpuacct"]),
            hierarchy("memory", &["memory"]),
            hierarchy("pids", &["pids"]),
        ]);
        let stats = v1.stats(Path::new("k")).unwrap();
        assert_eq!((stats.cpu_nanos, stats.working_set, stats.processes), (7000, 8000, 3));
        assert_eq!(v1.oom_file(Path::new("k")), Some(root.path().join("memory/k/memory.oom_control")));
        let unified = Cgroups::V2.oom_file(Path::new("k"));
        assert_eq!(unified.as_deref(), Some(Path::new("/sys/fs/cgroup/k/memory.events")));
        assert_eq!(Cgroups::V2.roots(), [Path::new(ROOT)]);
    }

    #[test]
    fn limits_are_files_of_both_versions() {
        check(&Resources::default(), &[], &[]);
        let all = Resources {
            cpu_shares: Some(1024),
            cpu_quota: Some(20_000),
            cpu_period: Some(100_000),
            memory_limit: Some(32 << 20),
            pids_limit: Some(100),
        };
        check(
            &all,
            &[
                "cpu.shares=1024",
                "cpu.cfs_period_us=100000",
                "cpu.cfs_quota_us=20000",
                "memory.limit_in_bytes=33554432",
                "pids.max=100",
            ],
            &["cpu.weight=39", "cpu.max=20000 100000", "memory.max=33554432", "pids.max=100"],
        );
        let none = Resources { cpu_quota: Some(-1), memory_limit: Some(-1), pids_limit: Some(0), ..all };
        check(
            &Resources { cpu_shares: None, cpu_period: None, ..none },
            &["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=-1", "memory.limit_in_bytes=-1", "pids.max=max"],
            &["cpu.max=max 100000", "memory.max=max", "pids.max=max"],
        );
    }

    #[test]
    fn a_limit_of_memory_leaves_no_swap_on_version_1() {
        let root = tempfile::tempdir().unwrap();
        let cgroups = Cgroups::V1(vec![(vec!["memory".to_owned()], root.path().to_owned())]);
        let limited = Resources { memory_limit: Some(32 << 20), ..Resources::default() };
        for (cgroup, counts_swap) in [("counts", true), ("does-not", false)] {
            let folder = root.path().join(cgroup);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("memory.limit_in_bytes"), "").unwrap();
            if counts_swap {
                fs::write(folder.join(MEMORY_AND_SWAP), "").unwrap();
            }
            cgroups.limit(Path::new(cgroup), &limited).unwrap();
            let both = fs::read_to_string(folder.join(MEMORY_AND_SWAP)).ok();
            assert_eq!(both.as_deref(), counts_swap.then_some("33554432"));
        }
    }

    #[test]
    fn a_set_that_another_has_made_and_not_yet_filled_is_filled() {
        let root = tempfile::tempdir().unwrap();
        let put = |folder: &str, cpus: &str, mems: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cpuset.cpus"), cpus).unwrap();
            fs::write(folder.join("cpuset.mems"), mems).unwrap();
        };
        put("", "0-3\n", "0\n");
        put("kedge", "\n", "\n");
        put("kedge/pod", "\n", "");
        put("kedge/pinned", "2\n", "0\n");
        let sets = |folder: &str| {
            let read = |file: &str| fs::read_to_string(root.path().join(folder).join(file)).unwrap().trim().to_owned();
            (read("cpuset.cpus"), read("cpuset.mems"))
        };
        for cgroup in ["kedge/pod", "kedge/pinned"] {
            make_v1(&["cpuset".to_owned()], root.path(), Path::new(cgroup)).unwrap();
        }
        assert_eq!(sets("kedge"), ("0-3".to_owned(), "0".to_owned()));
        assert_eq!(sets("kedge/pod"), ("0-3".to_owned(), "0".to_owned()));
        assert_eq!(sets("kedge/pinned"), ("2".to_owned(), "0".to_owned()), "what is set stays");
    }

    #[test]
    fn a_machine_without_a_needed_controller_is_told_at_the_start() {
        let hierarchy = |name: &str| (vec![name.to_owned()], Path::new(ROOT).join(name));
        let some = Cgroups::V1(vec![hierarchy("cpu"), hierarchy("pids")]);
        let error = some.prepare(Path::new("k")).expect_err("refused");
        assert!(error.to_string().starts_with("/sys/fs/cgroup has no cgroup controllers memory: "), "{error}");
        let all = Cgroups::V1(["cpu", "memory", "pids"].map(hierarchy).into());
        assert!(all.prepare(Path::new("k")).is_ok());
    }
}
