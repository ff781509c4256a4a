//! What a process costs, from `/proc`.
//!
//! In: process numbers. Out: memory, switches, bytes. A process that has gone counts as nothing.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Memory in KiB.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    /// Resident, shared pages counted whole.
    pub resident: u64,
    /// Resident, shared pages counted in parts.
    pub proportional: u64,
    /// Not backed by a file: what cannot be dropped and read again.
    pub anonymous: u64,
}

impl Memory {
    /// Of one process.
    pub fn of(pid: u32) -> Memory {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let value = |key: &str| number(text.lines().find_map(|line| line.strip_prefix(key)));
        Memory { resident: value("Rss:"), proportional: value("Pss:"), anonymous: value("Anonymous:") }
    }

    /// Of several together.
    pub fn sum(pids: &[u32]) -> Memory {
        pids.iter().map(|pid| Memory::of(*pid)).fold(Memory::default(), |sum, one| Memory {
            resident: sum.resident + one.resident,
            proportional: sum.proportional + one.proportional,
            anonymous: sum.anonymous + one.anonymous,
        })
    }
}

/// The process and its children.
pub fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    for child in processes() {
        if parent(child) == Some(pid) {
            all.push(child);
        }
    }
    all
}

/// How often the threads of a process went to sleep and woke up again.
pub fn wake_ups(pid: u32) -> u64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    threads
        .flatten()
        .map(|thread| {
            let text = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
            number(text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")))
        })
        .sum()
}

/// Bytes that a process has caused to be written to disk.
pub fn written(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    number(text.lines().find_map(|line| line.strip_prefix("write_bytes:")))
}

/// CPU time in hundredths of a second.
pub fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    [11, 12].iter().map(|at| number(fields.get(*at).copied())).sum()
}

/// The parents of the processes in the cgroups below `folder` that are not in them: what waits for containers.
pub fn waiters(cgroup: &str) -> Vec<u32> {
    let inside: HashSet<u32> = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]
        .iter()
        .flat_map(|root| members(&Path::new(root).join(cgroup)))
        .collect();
    let outside: HashSet<u32> =
        inside.iter().filter_map(|pid| parent(*pid)).filter(|pid| !inside.contains(pid)).collect();
    outside.into_iter().collect()
}

fn members(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut all: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(members(&entry.path()));
        }
    }
    all
}

fn processes() -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn number(text: Option<&str>) -> u64 {
    text.map(|text| text.trim().trim_end_matches(" kB")).and_then(|text| text.parse().ok()).unwrap_or_default()
}
