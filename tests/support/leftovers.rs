//! What a device leaves in the system: processes, mounts, cgroups, links, nftables tables.
//!
//! In: a data directory, a bridge, a cgroup parent. Out: what is there now. Looks at the kernel, not at the device's
//! own records.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The names by which a device's things are found.
#[derive(Clone, Debug)]
pub struct Marks {
    /// The data directory.
    pub data: PathBuf,
    /// The bridge.
    pub bridge: String,
    /// The cgroup parent.
    pub cgroup: String,
}

impl Marks {
    /// Everything that is there, one line each.
    pub fn all(&self) -> Vec<String> {
        let mut found: Vec<String> = self.mounts().iter().map(|path| format!("mount {}", path.display())).collect();
        found.extend(self.cgroups().iter().map(|path| format!("cgroup {}", path.display())));
        found.extend(self.links().iter().map(|name| format!("link {name}")));
        found.extend(self.tables().iter().map(|name| format!("table {name}")));
        found.extend(self.processes().iter().map(|pid| format!("process {pid} {}", command_line(*pid))));
        found
    }

    /// Mount points below the data directory, the last mounted first.
    pub fn mounts(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        let mut found: Vec<PathBuf> = points.map(unescape).filter(|path| path.starts_with(&self.data)).collect();
        found.reverse();
        found
    }

    /// The device's cgroups of all hierarchies, children first.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let mut tops = vec![root.join(&self.cgroup)];
        tops.extend(folders(root).iter().map(|controller| controller.join(&self.cgroup)));
        let mut found = Vec::new();
        for top in tops.into_iter().filter(|top| top.is_dir()) {
            // Two names of one hierarchy (`cpu`, `cpuacct`) are links: each is seen once.
            below(&top, &mut found);
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|path| fs::metadata(path).is_ok_and(|meta| seen.insert((meta.dev(), meta.ino()))));
        found
    }

    /// The bridge and what hangs on it.
    pub fn links(&self) -> Vec<String> {
        let net = Path::new("/sys/class/net");
        let ours = |link: &PathBuf| {
            link.ends_with(&self.bridge)
                || fs::read_link(link.join("master")).is_ok_and(|master| master.ends_with(&self.bridge))
        };
        let names = folders(net).into_iter().filter(ours);
        names.filter_map(|link| link.file_name().map(|name| name.to_string_lossy().into_owned())).collect()
    }

    /// nftables tables that name the bridge.
    pub fn tables(&self) -> Vec<String> {
        let Ok(output) = Command::new("nft").args(["list", "tables"]).output() else { return Vec::new() };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let names = text.lines().filter_map(|line| line.strip_prefix("table "));
        let ours = |name: &&str| {
            let words: Vec<&str> = name.split(' ').collect();
            let rules = Command::new("nft").args(["list", "table"]).args(&words).output();
            rules.is_ok_and(|rules| String::from_utf8_lossy(&rules.stdout).contains(&format!("\"{}\"", self.bridge)))
        };
        names.filter(ours).map(str::to_owned).collect()
    }

    /// Containers' processes, and those that hold a file of the data directory: waiters, the daemon.
    pub fn processes(&self) -> Vec<u32> {
        let mut found: Vec<u32> = self.container_processes();
        for process in folders(Path::new("/proc")) {
            let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
            let held = entries(&process.join("fd"))
                .iter()
                .any(|fd| fs::read_link(fd).is_ok_and(|target| target.starts_with(&self.data)));
            if held && pid != std::process::id() && !found.contains(&pid) {
                found.push(pid);
            }
        }
        found
    }

    /// Processes in the device's cgroups.
    pub fn container_processes(&self) -> Vec<u32> {
        let mut found = std::collections::BTreeSet::new();
        for cgroup in self.cgroups() {
            let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        found.into_iter().collect()
    }
}

/// The children of a process that run the same program: of a daemon, its zygote.
pub fn twins(pid: u32) -> Vec<u32> {
    let program = |pid: u32| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = program(pid);
    children(pid).into_iter().filter(|child| program(*child) == own).collect()
}

/// The children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let all = folders(Path::new("/proc"));
    let numbers = all.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    numbers.filter(|child| parent(*child) == Some(pid)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Sends a signal; a process that is gone is no error.
pub fn kill(pid: u32, signal: i32) {
    // SAFETY: a plain call; the kernel checks both numbers.
    unsafe { libc::kill(pid.cast_signed(), signal) };
}

/// The words with which a process was started.
pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

fn below(folder: &Path, into: &mut Vec<PathBuf>) {
    for child in folders(folder) {
        below(&child, into);
    }
    into.push(folder.to_owned());
}

fn folders(path: &Path) -> Vec<PathBuf> {
    entries(path).into_iter().filter(|entry| entry.is_dir()).collect()
}

fn entries(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Spaces and the like are octal in the kernel's table.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
}
