//! System call filters: from a profile to a program for the kernel.
//!
//! In: which profile, the container's capabilities. Out: a BPF program for `seccomp(2)`, tens of instructions long, or
//! a refusal. Never falls back to no filter: what can't be compiled can't be started.
//!
//! The program is a binary search over ranges of call numbers instead of a comparison for each call. It is a tenth of
//! the size, loads ten times faster (the kernel runs it once for every call number when it is loaded), can give each
//! call its own error, and covers the 32-bit programs of a 64-bit machine.

mod bpf;
mod numbers;
mod oci;
mod profile;

use std::path::Path;
use std::sync::OnceLock;

use kedge_api::machine::{DEFAULT_CAPABILITIES, Seccomp};

use crate::capabilities::bits;

pub use bpf::Instruction;
pub use profile::export;

/// The largest profile file that is read.
const LARGEST_PROFILE: u64 = 1024 * 1024;

/// A machine whose system calls a filter knows; the order is that of the columns in `numbers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM with the EABI.
    Arm,
    /// 32-bit x86.
    X86,
}

impl Machine {
    /// The machine that this program was built for.
    pub const HERE: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else if cfg!(target_arch = "arm") {
        Self::Arm
    } else {
        Self::X86
    };

    /// The machine and the one whose programs it also runs.
    pub fn family(self) -> &'static [Self] {
        match self {
            Self::X86_64 => &[Self::X86_64, Self::X86],
            Self::Aarch64 => &[Self::Aarch64, Self::Arm],
            Self::Arm => &[Self::Arm],
            Self::X86 => &[Self::X86],
        }
    }

    /// The kernel's `AUDIT_ARCH_*`.
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xC000_003E,
            Self::Aarch64 => 0xC000_00B7,
            Self::Arm => 0x4000_0028,
            Self::X86 => 0x4000_0003,
        }
    }
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is done.
    Allow,
    /// It fails with this `errno`.
    Errno(u16),
    /// It is done and written to the audit log.
    Log,
    /// The process gets SIGSYS.
    Trap,
    /// The thread ends.
    KillThread,
    /// The process ends.
    KillProcess,
}

impl Action {
    /// The kernel's `SECCOMP_RET_*`.
    fn code(self) -> u32 {
        match self {
            Self::Allow => libc::SECCOMP_RET_ALLOW,
            Self::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Self::Log => libc::SECCOMP_RET_LOG,
            Self::Trap => libc::SECCOMP_RET_TRAP,
            Self::KillThread => libc::SECCOMP_RET_KILL_THREAD,
            Self::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// The profile can't be read.
    #[error("read seccomp profile {path}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no profile.
    #[error("parse seccomp profile {path}")]
    Parse {
        /// Which.
        path: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// It asks for something that is not supported.
    #[error("seccomp profile: {0}")]
    Unsupported(String),
    /// It becomes more than the kernel takes.
    #[error("seccomp profile: {0} instructions, the kernel takes 4096")]
    TooLarge(usize),
}

/// Programs of the runtime's default profile for the capabilities that nearly every container has: the usual ones, and
/// none. Each operation is a fork of the process that made them.
static READY: OnceLock<[(u64, Vec<Instruction>); 2]> = OnceLock::new();

/// Compiles what nearly every container runs under. `bounding` is what this process may hand on. What can't be compiled
/// now is tried again when it is asked for, and refused then.
pub fn prepare(bounding: u64) {
    let machine = Machine::HERE;
    let usual = bits(&DEFAULT_CAPABILITIES) & bounding;
    let ready = |capabilities| compile_standard(capabilities, machine).map(|program| (capabilities, program));
    if let (Ok(usual), Ok(none)) = (ready(usual), ready(0)) {
        let _ = READY.set([usual, none]);
    }
}

fn compile_standard(capabilities: u64, machine: Machine) -> Result<Vec<Instruction>, FilterError> {
    let policies = machine.family().iter().map(|one| (*one, profile::standard(*one, capabilities)));
    bpf::compile(&policies.collect::<Vec<_>>())
}

/// The program for a container, or `None` if it is to run without.
pub fn program(
    seccomp: &Seccomp,
    capabilities: u64,
    machine: Machine,
) -> Result<Option<Vec<Instruction>>, FilterError> {
    match seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::RuntimeDefault => {
            let ready = READY.get().filter(|_| machine == Machine::HERE).into_iter().flatten();
            match ready.into_iter().find(|(for_capabilities, _)| *for_capabilities == capabilities) {
                Some((_, program)) => Ok(Some(program.clone())),
                None => compile_standard(capabilities, machine).map(Some),
            }
        }
        Seccomp::Localhost(path) => {
            let text = read(path)?;
            let profile =
                oci::parse(&text).map_err(|source| FilterError::Parse { path: path.display().to_string(), source })?;
            let mut policies = Vec::new();
            for one in machine.family() {
                policies.push((*one, profile.policy(*one, capabilities)?));
            }
            bpf::compile(&policies).map(Some)
        }
    }
}

fn read(path: &Path) -> Result<String, FilterError> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LARGEST_PROFILE).read_to_string(&mut text))
        .map_err(|source| FilterError::Read { path: path.display().to_string(), source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::numbers::{NUMBERS, number};
    use super::*;

    #[test]
    fn names_are_sorted_and_each_known_once() {
        assert!(NUMBERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn numbers_are_the_kernels() {
        for (name, expected) in [
            ("read", libc::SYS_read),
            ("execve", libc::SYS_execve),
            ("clone3", libc::SYS_clone3),
            ("unshare", libc::SYS_unshare),
            ("openat2", libc::SYS_openat2),
            ("mount", libc::SYS_mount),
        ] {
            assert_eq!(number(name, Machine::HERE).map(i64::from), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_profile_that_is_not_there_is_a_refusal() {
        let missing = Seccomp::Localhost("/nonexistent/profile.json".into());
        let error = program(&missing, 0, Machine::HERE).expect_err("refused");
        assert!(error.to_string().contains("/nonexistent/profile.json"));
    }

    #[test]
    fn what_is_ready_is_what_would_be_compiled() {
        prepare(u64::MAX);
        let ready = READY.get().expect("compiled");
        assert_ne!(ready[0].0, ready[1].0);
        for (capabilities, program) in ready {
            assert_eq!(*program, compile_standard(*capabilities, Machine::HERE).expect("compiled"));
        }
        let default = |capabilities| program(&Seccomp::RuntimeDefault, capabilities, Machine::HERE).expect("compiled");
        assert_eq!(default(ready[0].0).as_ref(), Some(&ready[0].1));
        assert_eq!(default(bits(&["CAP_SYS_ADMIN"])), compile_standard(bits(&["CAP_SYS_ADMIN"]), Machine::HERE).ok());
        assert_ne!(default(bits(&["CAP_SYS_ADMIN"])), default(0));
    }

    #[test]
    fn unconfined_is_said_not_guessed() {
        assert!(program(&Seccomp::Unconfined, 0, Machine::HERE).expect("none").is_none());
        assert!(program(&Seccomp::RuntimeDefault, 0, Machine::HERE).expect("one").is_some());
    }
}
