//! What the machine is: the facts that a Node object tells.
//!
//! In: /proc, /sys, /etc and system calls. Out: plain numbers and names, and whether resources are short.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::port::Mono;

/// The machine, as the agent asks it.
pub trait Machine: Send + Sync + 'static {
    /// What it is.
    fn facts(&self) -> MachineFacts;
    /// What is short now.
    fn pressure(&self) -> Pressure;
    /// Bytes of the disk that holds state and images, and how many of them are free; nothing if it does not say.
    fn storage(&self) -> (u64, u64);
}

/// What a machine is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineFacts {
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the file system that holds the state folder.
    pub storage_bytes: u64,
    /// Kernel release.
    pub kernel: String,
    /// The system's own name for itself.
    pub os_image: String,
    /// By Go's names: amd64, arm64, arm.
    pub architecture: String,
    /// /etc/machine-id.
    pub machine_id: String,
    /// Changes with each boot.
    pub boot_id: String,
    /// The hardware's own number.
    pub system_uuid: String,
}

impl Pressure {
    /// What is short now or was within the last minutes: short bursts do not make a condition flap.
    pub fn steady(self, now: Mono, since: &mut [Option<Mono>; 3]) -> Self {
        let mut out = [self.memory, self.disk, self.processes];
        for (short, last) in out.iter_mut().zip(since) {
            if *short {
                *last = Some(now);
            }
            *short = last.is_some_and(|last| now - last < TRANSITION);
        }
        let [memory, disk, processes] = out;
        Self { memory, disk, processes }
    }
}

/// A shortage counts for this long after it was last seen, as in Kubernetes.
const TRANSITION: Mono = Mono::from_secs(300);

/// What is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Memory.
    pub memory: bool,
    /// Disk space or inodes.
    pub disk: bool,
    /// Process numbers.
    pub processes: bool,
}

/// Memory is short when less than this is available (Kubernetes' default), or a twentieth on a machine that has less
/// than 2 GB.
const LEAST_MEMORY: u64 = 100 << 20;
/// See above.
const LEAST_MEMORY_SHARE: u64 = 20;
/// Disk is short when less than a tenth, and less than 1 GiB, is free: cards of gateways are small.
const LEAST_DISK_SHARE: u64 = 10;
/// See above.
const LEAST_DISK: u64 = 1 << 30;

/// This machine.
#[derive(Clone, Debug)]
pub struct LinuxMachine {
    state_dir: PathBuf,
}

impl LinuxMachine {
    /// With that state folder.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self { state_dir: state_dir.into() }
    }
}

/// What the whole machine uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineUsage {
    /// CPU time of all cores since it was started, in nanoseconds.
    pub cpu_nanos: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that nobody has.
    pub memory_free: u64,
    /// Bytes that can be had without swapping.
    pub memory_available: u64,
    /// Bytes of the disk that holds state and images.
    pub storage: u64,
    /// Bytes free on it.
    pub storage_free: u64,
    /// When it was started.
    pub booted: Option<SystemTime>,
}

impl LinuxMachine {
    /// What is used now; what cannot be read is 0.
    pub fn usage(&self) -> MachineUsage {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let amount = |name: &str| meminfo(&memory, name).unwrap_or(0);
        let (storage, storage_free) = self.storage();
        let (cpu_nanos, booted) = cpu_time(&std::fs::read_to_string("/proc/stat").unwrap_or_default());
        MachineUsage {
            cpu_nanos,
            memory: amount("MemTotal:"),
            memory_free: amount("MemFree:"),
            memory_available: amount("MemAvailable:"),
            storage,
            storage_free,
            booted,
        }
    }
}

/// CPU time that was not idle, in nanoseconds, and when the machine was started.
fn cpu_time(stat: &str) -> (u64, Option<SystemTime>) {
    /// The kernel tells these figures in hundredths of a second, whatever its own clock.
    const TICK: u64 = 10_000_000;
    let line = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name));
    let ticks = line("cpu ").into_iter().flat_map(str::split_whitespace).map(|n| n.parse::<u64>().unwrap_or(0));
    // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
    let busy: u64 = ticks.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4)).map(|(_, n)| n).sum();
    let booted = line("btime ").and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    (busy.saturating_mul(TICK), booted.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)))
}

impl Machine for LinuxMachine {
    fn facts(&self) -> MachineFacts {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let machine_id = read("/etc/machine-id");
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        MachineFacts {
            cpu_millis: cpus as u64 * 1000,
            memory_bytes: meminfo(&memory, "MemTotal:").unwrap_or(0),
            storage_bytes: storage(&self.state_dir).map_or(0, |(all, _)| all),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            os_image: os_image(&read("/etc/os-release")),
            architecture: architecture().into(),
            machine_id: machine_id.clone(),
            boot_id: read("/proc/sys/kernel/random/boot_id"),
            // Boards without firmware tables have no other number of their own.
            system_uuid: Some(read("/sys/class/dmi/id/product_uuid"))
                .filter(|uuid| !uuid.is_empty())
                .unwrap_or(machine_id),
        }
    }

    fn storage(&self) -> (u64, u64) {
        storage(&self.state_dir).unwrap_or_default()
    }

    fn pressure(&self) -> Pressure {
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let available = meminfo(&memory, "MemAvailable:").unwrap_or(u64::MAX);
        let total = meminfo(&memory, "MemTotal:").unwrap_or(0);
        let disk =
            storage(&self.state_dir).is_some_and(|(all, free)| free < LEAST_DISK && free < all / LEAST_DISK_SHARE);
        Pressure {
            memory: available < LEAST_MEMORY.min(total / LEAST_MEMORY_SHARE),
            disk,
            processes: processes_short(&read("/proc/loadavg"), &read("/proc/sys/kernel/pid_max")),
        }
    }
}

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

fn storage(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_blocks * stat.f_frsize, stat.f_bavail * stat.f_frsize))
}

fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn os_image(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or("Linux", |value| value.trim_matches('"')).to_owned()
}

/// Short when nine tenths of all process numbers are taken.
fn processes_short(loadavg: &str, pid_max: &str) -> bool {
    let taken = loadavg
        .split_whitespace()
        .nth(3)
        .and_then(|pair| pair.split_once('/'))
        .and_then(|(_, all)| all.parse::<u64>().ok());
    match (taken, pid_max.parse::<u64>().ok()) {
        (Some(taken), Some(most)) => taken * 10 > most * 9,
        _ => false,
    }
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let stat = "cpu  10 1 5 1000 50 2 3 4 9 9\ncpu0 1 2 3\nbtime 60\n";
        assert_eq!(cpu_time(stat), (250_000_000, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60))));
        assert_eq!(cpu_time("nonsense"), (0, None));
        assert_eq!(meminfo("MemTotal:  2048 kB\nMemAvailable: 1 kB\n", "MemTotal:"), Some(2 << 20));
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
        assert_eq!(os_image(""), "Linux");
        assert!(!processes_short("0 0 0 1/500 9", "32768"));
        assert!(processes_short("0 0 0 1/32000 9", "32768"));
        assert!(!processes_short("", ""));
    }

    #[test]
    fn a_shortage_is_told_for_five_minutes() {
        let (mut since, short) = ([None; 3], Pressure { disk: true, ..Pressure::default() });
        let at = |seconds| Mono::from_secs(seconds);
        assert!(!Pressure::default().steady(at(0), &mut since).disk);
        assert!(short.steady(at(10), &mut since).disk);
        assert!(Pressure::default().steady(at(309), &mut since).disk);
        assert!(!Pressure::default().steady(at(310), &mut since).disk);
        assert!(!Pressure::default().steady(at(310), &mut since).memory);
    }

    #[test]
    fn this_machine_has_facts() {
        let facts = LinuxMachine::new("/").facts();
        assert!(facts.cpu_millis >= 1000 && facts.memory_bytes > 0 && facts.storage_bytes > 0);
        assert!(!facts.kernel.is_empty() && !facts.architecture.is_empty());
    }
}
