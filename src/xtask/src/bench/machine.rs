//! The machine in one sentence: cores and kernel, nothing that tells whose it is.

/// For the line above the table.
pub fn described() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = kernel.trim().split(['-', '+']).take(1).collect();
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("?").to_owned();
    let cgroups = if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() { 2 } else { 1 };
    format!(
        "{cores} cores ({}), Linux {}, cgroup v{cgroups}; load average at the end {load}.",
        std::env::consts::ARCH,
        kernel.concat()
    )
}
