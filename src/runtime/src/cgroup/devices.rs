//! Which devices a container may open.
//!
//! In: a cgroup's folder. Out: lines for its device files on version 1; a small eBPF program attached to it on version 2,
//! which ends with it. Written out here instruction by instruction; the kernel verifies it. Never loosens what an outer
//! cgroup forbids.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::sys;

/// Character devices that every container has, as libcontainer allows them on version 1: memory devices, terminals,
/// tun. `None` is every minor number.
const ALLOWED: [(i32, Option<i32>); 10] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (136, None),
    (10, Some(200)),
];

const PROGRAM_LOAD: libc::c_int = 5;
const PROGRAM_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

const TYPE_CHARACTER: i32 = 2;
const ACCESS_MKNOD: i32 = 1;

/// One eBPF instruction.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    /// Target in the low four bits, source in the high four.
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// Lines for `devices.deny`, then for `devices.allow` (version 1).
pub fn lines() -> (&'static str, Vec<String>) {
    let opened = ALLOWED.iter().map(|(major, minor)| match minor {
        Some(minor) => format!("c {major}:{minor} rwm"),
        None => format!("c {major}:* rwm"),
    });
    let made = ["c *:* m".to_owned(), "b *:* m".to_owned()];
    ("a *:* rwm", made.into_iter().chain(opened).collect())
}

/// Attaches the filter to a cgroup (version 2).
pub fn confine(cgroup: &Path) -> io::Result<()> {
    let program = load(&program()).map_err(|error| {
        let text = format!("load the filter of devices, for which the kernel needs CONFIG_CGROUP_BPF: {error}");
        io::Error::new(error.kind(), text)
    })?;
    let folder = File::open(cgroup)?;
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let attach = Attach {
        target: folder.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    // SAFETY: the structure is the start of the kernel's and its size is told.
    sys::check(unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_ATTACH, &raw const attach, size_of::<Attach>()) })
        .map(drop)
}

/// Allows making any node, and opening those of `ALLOWED`.
fn program() -> Vec<Instruction> {
    let (context, access, kind, major, minor) = (1, 2, 3, 4, 5);
    let mut code = vec![
        load_word(access, context, 0),
        load_word(major, context, 4),
        load_word(minor, context, 8),
        Instruction { code: 0xbc, registers: kind | access << 4, offset: 0, immediate: 0 }, // w3 = w2
        Instruction { code: 0x54, registers: kind, offset: 0, immediate: 0xffff },          // w3 &= 0xffff
        Instruction { code: 0x74, registers: access, offset: 0, immediate: 16 },            // w2 >>= 16
        unless_equal(access, ACCESS_MKNOD, 2),
    ];
    code.extend(answer(1));
    code.push(Instruction { code: 0x15, registers: kind, offset: 2, immediate: TYPE_CHARACTER }); // goes on if equal
    code.extend(answer(0));
    for (wanted_major, wanted_minor) in ALLOWED {
        match wanted_minor {
            Some(wanted_minor) => {
                code.push(unless_equal(major, wanted_major, 3));
                code.push(unless_equal(minor, wanted_minor, 2));
            }
            None => code.push(unless_equal(major, wanted_major, 2)),
        }
        code.extend(answer(1));
    }
    code.extend(answer(0));
    code
}

fn load_word(to: u8, from: u8, offset: i16) -> Instruction {
    Instruction { code: 0x61, registers: to | from << 4, offset, immediate: 0 }
}

fn unless_equal(register: u8, value: i32, over: i16) -> Instruction {
    Instruction { code: 0x55, registers: register, offset: over, immediate: value }
}

fn answer(value: i32) -> [Instruction; 2] {
    [
        Instruction { code: 0xb7, registers: 0, offset: 0, immediate: value }, // r0 = value
        Instruction { code: 0x95, registers: 0, offset: 0, immediate: 0 },     // exit
    ]
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buffer: u64,
        kernel_version: u32,
        flags: u32,
    }
    let license = c"Apache-2.0";
    let load = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the structure is the start of the kernel's and its size is told; both pointers live through the call.
    sys::owned(unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_LOAD, &raw const load, size_of::<Load>()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    /// A version 2 hierarchy, also the one beside version 1.
    fn hierarchy() -> Option<PathBuf> {
        let candidates = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        candidates.into_iter().map(PathBuf::from).find(|path| path.join("cgroup.procs").exists())
    }

    #[test]
    fn only_the_usual_devices_open() {
        // SAFETY: no memory is involved.
        let root = unsafe { libc::geteuid() } == 0;
        let forbidden =
            ["/dev/kmsg", "/dev/loop-control", "/dev/fuse"].into_iter().find(|path| File::open(path).is_ok());
        let (true, Some(hierarchy), Some(forbidden)) = (root, hierarchy(), forbidden) else {
            println!("skipped: needs root, a cgroup2 hierarchy and a device that may be opened");
            return;
        };
        let cgroup = hierarchy.join(format!("kedge-devices-{}", std::process::id()));
        std::fs::create_dir(&cgroup).expect("a cgroup");
        let confined = confine(&cgroup);
        let command = format!(
            "echo $$ > {}/cgroup.procs && : < /dev/null && : < /dev/urandom && echo usual; (: < {forbidden}) || echo refused",
            cgroup.display()
        );
        let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
        std::fs::remove_dir(&cgroup).expect("removed");
        confined.expect("attached");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "usual\nrefused\n");
    }
}
