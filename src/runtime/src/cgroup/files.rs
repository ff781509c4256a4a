//! The texts of cgroup files and of the mount table.
//!
//! In: file contents. Out: numbers and paths. Never reads a file.

use std::path::PathBuf;

use kedge_api::machine::Stats;

/// Controllers of version 1 that something is set or read with. In the others a container stays where the daemon is:
/// each hierarchy costs every container a tenth of a millisecond.
const USED: [&str; 5] = ["cpu", "cpuacct", "memory", "devices", "pids"];

/// The version 1 hierarchies in `/proc/self/mountinfo` that are used: the controllers of each and where it is mounted.
pub fn mounted_v1(mountinfo: &str) -> Vec<(Vec<String>, PathBuf)> {
    let mut found: Vec<(Vec<String>, PathBuf)> = Vec::new();
    for line in mountinfo.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let mut kind = after.split(' ');
        if kind.next() != Some("cgroup") {
            continue;
        }
        let (Some(point), Some(options)) = (before.split(' ').nth(4), kind.nth(1)) else {
            continue;
        };
        let known =
            |option: &&str| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children") && !option.contains('=');
        let controllers: Vec<String> = options.split(',').filter(known).map(str::to_owned).collect();
        // Named hierarchies (systemd's) control nothing. A second mount of one hierarchy adds nothing.
        if controllers.iter().any(|name| USED.contains(&name.as_str()))
            && point.starts_with("/sys/fs/cgroup")
            && found.iter().all(|(already, _)| *already != controllers)
        {
            found.push((controllers, PathBuf::from(point)));
        }
    }
    found
}

/// Version 1 shares (2..=262144) as a version 2 weight (1..=10000).
pub fn convert_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Usage by the files of version 1.
pub fn usage_v1(cpu_usage: &str, memory_usage: &str, memory_stat: &str, pids: &str) -> Stats {
    let value = |key| flat_value(memory_stat, key);
    usage(number(cpu_usage), number(memory_usage), value("total_inactive_file"), value("total_rss"), number(pids))
}

/// Usage by the files of version 2, whose values are those of a cgroup and all below it.
pub fn usage_v2(cpu_stat: &str, memory_current: &str, memory_stat: &str, pids: &str) -> Stats {
    let value = |key| flat_value(memory_stat, key);
    let nanos = flat_value(cpu_stat, "usage_usec").saturating_mul(1000);
    usage(nanos, number(memory_current), value("inactive_file"), value("anon"), number(pids))
}

/// What could be given back at once is no part of the working set.
fn usage(cpu_nanos: u64, usage: u64, inactive: u64, rss: u64, processes: u64) -> Stats {
    Stats { cpu_nanos, usage, working_set: usage.saturating_sub(inactive), rss, processes }
}

/// The number that a file holds; 0 for anything else.
fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

/// The number after `key` in a file of `key number` lines; 0 if it is not there.
fn flat_value(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map_or(0, number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_are_found_in_the_mount_table() {
        let table = "\
22 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
23 22 0:21 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:3 - cgroup cgroup rw,cpu,cpuacct
24 22 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
28 22 0:25 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
25 22 0:23 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
26 22 0:24 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
27 22 0:22 / /other/memory rw,relatime - cgroup cgroup rw,memory
";
        assert_eq!(
            mounted_v1(table),
            [
                (vec!["cpu".to_owned(), "cpuacct".to_owned()], PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")),
                (vec!["memory".to_owned()], PathBuf::from("/sys/fs/cgroup/memory")),
            ]
        );
    }

    #[test]
    fn shares_become_weights() {
        assert_eq!(convert_shares(0), 1);
        assert_eq!(convert_shares(2), 1);
        assert_eq!(convert_shares(1024), 39);
        assert_eq!(convert_shares(262_144), 10_000);
        assert_eq!(convert_shares(u64::MAX), 10_000);
    }

    #[track_caller]
    fn check(stats: &Stats, wanted: (u64, u64, u64, u64, u64)) {
        assert_eq!((stats.cpu_nanos, stats.usage, stats.working_set, stats.rss, stats.processes), wanted);
    }

    #[test]
    fn usage_is_read_from_the_files_of_both_versions() {
        let v1 = "cache 9\nrss 1\ninactive_file 7\ntotal_rss 4096\ntotal_inactive_file 1000\n";
        check(&usage_v1("5000000\n", "9000\n", v1, "3\n"), (5_000_000, 9000, 8000, 4096, 3));
        let cpu = "usage_usec 5000\nuser_usec 4000\nsystem_usec 1000\nnr_periods 2\nnr_throttled 1\n";
        let v2 = "anon 4096\nfile 3000\ninactive_anon 5\nactive_anon 4091\ninactive_file 1000\nactive_file 2000\n";
        check(&usage_v2(cpu, "9000\n", v2, "3\n"), (5_000_000, 9000, 8000, 4096, 3));
        // Read one after the other: the first may be the smaller one by then.
        check(&usage_v2(cpu, "500\n", v2, "max\n"), (5_000_000, 500, 0, 4096, 0));
        check(&usage_v2("", "", "", ""), (0, 0, 0, 0, 0));
    }

    #[test]
    fn flat_files_are_read_by_whole_key() {
        let text = "inactive_file 5\ntotal_inactive_file 7\nanon 9\n";
        assert_eq!(flat_value(text, "inactive_file"), 5);
        assert_eq!(flat_value(text, "total_inactive_file"), 7);
        assert_eq!(flat_value(text, "missing"), 0);
    }
}
