//! The default profile: which calls a container may make.
//!
//! In: the machine and the container's capabilities. Out: a policy. What is not named fails with EPERM. The list is the
//! one that container runtimes share; calls that administrate the machine come with the capability that they need
//! anyway. Never compiles: `bpf` does.

use std::collections::BTreeMap;

use super::numbers::number;
use super::{Action, Machine};
use crate::capabilities::bit;

/// What happens to calls on one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// By number: the first verdict that holds answers.
    pub calls: BTreeMap<u32, Vec<Verdict>>,
    /// What happens to all others, and where no verdict holds.
    pub other: Action,
}

/// An answer, if all comparisons hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// All must hold.
    pub when: Vec<Comparison>,
    /// The answer.
    pub action: Action,
}

/// `argument & mask == value`, or `!=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Which argument, from 0 to 5.
    pub argument: u8,
    /// Bits that count.
    pub mask: u64,
    /// What they are compared with.
    pub value: u64,
    /// `==` rather than `!=`.
    pub equal: bool,
}

impl Policy {
    /// A policy that answers everything alike.
    pub fn new(other: Action) -> Self {
        Self { calls: BTreeMap::new(), other }
    }

    /// Adds a verdict for calls; names that the machine does not have are passed over.
    pub fn add(&mut self, names: &[&str], machine: Machine, when: &[Comparison], action: Action) {
        for name in names {
            if let Some(number) = number(name, machine) {
                self.calls.entry(number).or_default().push(Verdict { when: when.to_vec(), action });
            }
        }
    }
}

/// Flags of `clone` that make namespaces: all but CLONE_NEWTIME, which `clone` does not know.
const NEW_NAMESPACES: u64 = 0x7E02_0000;

/// `socket` family that reaches the hypervisor.
const AF_VSOCK: u64 = 40;

/// Personalities that change only how the machine presents itself.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The default policy for a container with these capabilities.
pub fn standard(machine: Machine, capabilities: u64) -> Policy {
    let mut policy = Policy::new(Action::Errno(libc::EPERM as u16));
    let names: Vec<&str> = ALWAYS.split_ascii_whitespace().collect();
    policy.add(&names, machine, &[], Action::Allow);
    policy.add(&["socket"], machine, &[unlike(0, AF_VSOCK)], Action::Allow);
    for personality in PERSONALITIES {
        policy.add(&["personality"], machine, &[like(0, u64::MAX, personality)], Action::Allow);
    }
    for (capability, calls) in WITH_CAPABILITY {
        if capabilities & bit(capability) != 0 {
            let names: Vec<&str> = calls.split_ascii_whitespace().collect();
            policy.add(&names, machine, &[], Action::Allow);
        }
    }
    if capabilities & bit("CAP_SYS_ADMIN") == 0 {
        policy.add(&["clone"], machine, &[like(0, NEW_NAMESPACES, 0)], Action::Allow);
        // Its flags are behind a pointer. ENOSYS makes C libraries go on with `clone`.
        policy.add(&["clone3"], machine, &[], Action::Errno(libc::ENOSYS as u16));
    }
    policy
}

/// The default profile in the JSON form that other runtimes read, for comparing with them.
pub fn export(capabilities: u64) -> serde_json::Value {
    use serde_json::json;
    let allow = |names: &str| {
        let names: Vec<&str> = names.split_ascii_whitespace().collect();
        json!({ "names": names, "action": "SCMP_ACT_ALLOW" })
    };
    let with = |names: &[&str], operation: &str, value: u64, value_two: u64| {
        let argument = json!({ "index": 0, "op": operation, "value": value, "valueTwo": value_two });
        json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": [argument] })
    };
    let mut rules = vec![allow(ALWAYS), with(&["socket"], "SCMP_CMP_NE", AF_VSOCK, 0)];
    rules.extend(PERSONALITIES.iter().map(|value| with(&["personality"], "SCMP_CMP_EQ", *value, 0)));
    let held = WITH_CAPABILITY.iter().filter(|(capability, _)| capabilities & bit(capability) != 0);
    rules.extend(held.map(|(_, calls)| allow(calls)));
    if capabilities & bit("CAP_SYS_ADMIN") == 0 {
        rules.push(with(&["clone"], "SCMP_CMP_MASKED_EQ", NEW_NAMESPACES, 0));
        rules.push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    }
    json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": libc::EPERM, "syscalls": rules })
}

fn like(argument: u8, mask: u64, value: u64) -> Comparison {
    Comparison { argument, mask, value, equal: true }
}

fn unlike(argument: u8, value: u64) -> Comparison {
    Comparison { argument, mask: u64::MAX, value, equal: false }
}

/// Calls that come with a capability.
const WITH_CAPABILITY: [(&str, &str); 14] = [
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_BPF", "bpf"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYSLOG", "syslog"),
];

/// Calls that every container may make.
const ALWAYS: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm arch_prctl arm_fadvise64_64 arm_sync_file_range bind
    breakpoint brk cacheflush cachestat capget capset chdir chmod chown chown32 clock_adjtime clock_adjtime64
    clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close
    close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group
    faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown
    fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat
    fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait
    futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid
    getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid
    getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set ipc kill landlock_add_rule
    landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount
    listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2
    modify_ldt mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend
    mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64
    process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace pwrite64 pwritev
    pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget
    semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address set_tls setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups
    setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt
    shmget shutdown sigaction sigaltstack signal signalfd signalfd4 sigpending sigprocmask sigreturn sigsuspend
    socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink symlinkat sync
    sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64
    timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
";

#[cfg(test)]
mod tests {
    use super::super::bpf::{Instruction, compile};
    use super::super::program;
    use super::*;
    use kedge_api::machine::Seccomp;

    /// What the kernel would answer: the few instructions that `bpf` makes, interpreted.
    fn run(program: &[Instruction], machine: Machine, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut value) = (0, 0_u32);
        loop {
            let Instruction { code, yes, no, k } = program[at];
            at += 1;
            let branch = |holds: bool| usize::from(if holds { yes } else { no });
            match code {
                0x20 => {
                    value = match k {
                        0 => number,
                        4 => machine.audit(),
                        _ => (arguments[(k as usize - 16) / 8] >> (8 * (k % 8))) as u32,
                    }
                }
                0x54 => value &= k,
                0x05 => at += k as usize,
                0x15 => at += branch(value == k),
                0x35 => at += branch(value >= k),
                0x06 => return k,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    fn default(capabilities: u64) -> Vec<Instruction> {
        program(&Seccomp::RuntimeDefault, capabilities, Machine::X86_64).expect("compiles").expect("is a filter")
    }

    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    #[track_caller]
    fn check(program: &[Instruction], machine: Machine, name: &str, argument: u64, expected: u32) {
        let number = number(name, machine).expect("known");
        assert_eq!(run(program, machine, number, [argument, 0, 0, 0, 0, 0]), expected, "{name}");
    }

    #[test]
    fn containers_do_not_administrate() {
        let filter = default(0);
        for machine in [Machine::X86_64, Machine::X86] {
            for name in ["mount", "umount2", "unshare", "setns", "reboot", "init_module", "bpf", "keyctl", "ptrace_x"] {
                if number(name, machine).is_some() {
                    check(&filter, machine, name, 0, EPERM);
                }
            }
            for name in ["read", "write", "execve", "exit_group", "futex", "socketpair", "ptrace"] {
                check(&filter, machine, name, 0, ALLOW);
            }
            check(&filter, machine, "clone3", 0, ENOSYS);
            check(&filter, machine, "clone", 0x11, ALLOW);
            check(&filter, machine, "clone", 0x1000_0000 | 0x11, EPERM);
            check(&filter, machine, "socket", 2, ALLOW);
            check(&filter, machine, "socket", 40, EPERM);
            check(&filter, machine, "socket", 40 | 1 << 32, ALLOW);
            check(&filter, machine, "personality", 0, ALLOW);
            check(&filter, machine, "personality", 0xffff_ffff, ALLOW);
            check(&filter, machine, "personality", 0x4_0000, EPERM);
        }
    }

    #[test]
    fn capabilities_bring_their_calls() {
        let filter = default(bit("CAP_SYS_ADMIN") | bit("CAP_SYS_TIME"));
        for name in ["mount", "unshare", "clone3", "clock_settime", "setns"] {
            check(&filter, Machine::X86_64, name, 0x1000_0000, ALLOW);
        }
        check(&filter, Machine::X86_64, "reboot", 0, EPERM);
    }

    #[test]
    fn an_unknown_machine_is_killed_and_x32_is_refused() {
        let filter = default(0);
        assert_eq!(run(&filter, Machine::Aarch64, 0, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(run(&filter, Machine::X86_64, 0x4000_0000, [0; 6]), EPERM);
        assert_eq!(run(&filter, Machine::X86_64, u32::MAX, [0; 6]), EPERM);
    }

    #[test]
    fn every_number_gets_what_the_policy_says() {
        for machine in [Machine::X86_64, Machine::Aarch64, Machine::Arm, Machine::X86] {
            let policy = standard(machine, 0);
            let filter = compile(&[(machine, policy.clone())]).expect("compiles");
            for number in (0..1024).chain(0xf_0000..0xf_0010) {
                let expected = match policy.calls.get(&number).map(Vec::as_slice) {
                    None => EPERM,
                    Some([Verdict { when, action }]) if when.is_empty() => action.code(),
                    Some(_) => continue,
                };
                assert_eq!(run(&filter, machine, number, [0; 6]), expected, "{machine:?} {number}");
            }
        }
    }

    #[test]
    fn the_exported_profile_is_the_same() {
        for capabilities in [0, bit("CAP_SYS_ADMIN") | bit("CAP_SYS_CHROOT")] {
            let profile = super::super::oci::parse(&export(capabilities).to_string()).expect("a profile");
            let machine = Machine::HERE;
            assert_eq!(profile.policy(machine, capabilities).expect("a policy"), standard(machine, capabilities));
        }
    }

    #[test]
    fn the_program_stays_small() {
        assert!(default(0).len() < 600, "{}", default(0).len());
    }
}
