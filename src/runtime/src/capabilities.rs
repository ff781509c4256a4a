//! Capabilities by name and as the kernel's bit sets.
//!
//! In: names as Kubernetes and OCI write them. Out: bits, names, what this process may hand on. The one effect is
//! `confine`, which a container's first process applies to itself.

use std::io;

/// Names by bit.
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The bit of a name, with or without `CAP_`; no bit for a name that no kernel knows.
pub fn bit(name: &str) -> u64 {
    let known = |known: &&str| **known == *name || known.strip_prefix("CAP_") == Some(name);
    NAMES.iter().position(known).map_or(0, |index| 1 << index)
}

/// The bits of names.
pub fn bits(names: &[impl AsRef<str>]) -> u64 {
    names.iter().fold(0, |sum, name| sum | bit(name.as_ref()))
}

/// The names of bits, in the kernel's order.
pub fn names(bits: u64) -> Vec<&'static str> {
    let set = |(index, name): (usize, &&'static str)| (bits & (1 << index) != 0).then_some(*name);
    NAMES.iter().enumerate().filter_map(set).collect()
}

/// Every capability that this process may hand on, from the text of `/proc/self/status`.
pub fn bounding(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or(0)
}

/// Leaves the calling thread with `keep` and nothing else, for good.
pub fn confine(keep: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Half {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    for index in 0..64 {
        // SAFETY: no memory is involved.
        let bound = unsafe { libc::prctl(libc::PR_CAPBSET_READ, index, 0, 0, 0) };
        if bound < 0 {
            break;
        }
        // SAFETY: no memory is involved.
        if bound == 1 && keep & (1 << index) == 0 && unsafe { libc::prctl(libc::PR_CAPBSET_DROP, index, 0, 0, 0) } != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let half =
        |shift: u32| Half { effective: (keep >> shift) as u32, permitted: (keep >> shift) as u32, inheritable: 0 };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two halves.
    if unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_bits_and_back() {
        assert_eq!(bit("CAP_CHOWN"), 1);
        assert_eq!(bit("NET_ADMIN"), 1 << 12);
        assert_eq!(bit("CAP_NO_SUCH"), 0);
        let wanted = ["CAP_NET_RAW".to_owned(), "CAP_CHOWN".to_owned()];
        assert_eq!(names(bits(&wanted)), ["CAP_CHOWN", "CAP_NET_RAW"]);
    }

    #[test]
    fn the_bounding_set_is_read() {
        assert_eq!(bounding("Name:\tx\nCapBnd:\t000001fffeffffff\n"), 0x1ff_feff_ffff);
        assert_eq!(bounding(""), 0);
    }
}
