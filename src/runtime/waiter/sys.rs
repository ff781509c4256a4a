//! The system calls that the waiter makes, for x86_64, aarch64 and 32-bit ARM.
//!
//! In: descriptors, numbers, NUL-terminated names. Out: the kernel's own answers; an error is a negative number.
//! Never retries, never allocates, never links a C library.

use core::arch::{asm, global_asm};

#[cfg(target_arch = "x86_64")]
mod number {
    pub const IOCTL: usize = 16;
    pub const WRITEV: usize = 20;
    pub const ACCEPT4: usize = 288;
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const LSEEK: usize = 8;
    pub const SIGPROCMASK: usize = 14;
    pub const PREAD: usize = 17;
    pub const WAIT4: usize = 61;
    pub const FTRUNCATE: usize = 77;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const OPENAT: usize = 257;
    pub const RENAMEAT: usize = 264;
    pub const PPOLL: usize = 271;
    pub const SIGNALFD4: usize = 289;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const IOCTL: usize = 29;
    pub const WRITEV: usize = 66;
    pub const ACCEPT4: usize = 242;
    pub const RENAMEAT: usize = 38;
    pub const FTRUNCATE: usize = 46;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const LSEEK: usize = 62;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const PREAD: usize = 67;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const EXIT_GROUP: usize = 94;
    pub const CLOCK_GETTIME: usize = 113;
    pub const SIGPROCMASK: usize = 135;
    pub const WAIT4: usize = 260;
}

#[cfg(target_arch = "arm")]
mod number {
    pub const IOCTL: usize = 54;
    pub const WRITEV: usize = 146;
    pub const ACCEPT4: usize = 366;
    pub const READ: usize = 3;
    pub const WRITE: usize = 4;
    pub const CLOSE: usize = 6;
    pub const LSEEK: usize = 19;
    pub const FTRUNCATE: usize = 93;
    pub const WAIT4: usize = 114;
    pub const SIGPROCMASK: usize = 175;
    pub const EXIT_GROUP: usize = 248;
    pub const OPENAT: usize = 322;
    pub const RENAMEAT: usize = 329;
    pub const PPOLL: usize = 336;
    pub const SIGNALFD4: usize = 355;
    pub const CLOCK_GETTIME64: usize = 403;
}

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {enter}",
    "ud2",
    enter = sym crate::enter,
);

#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x0, sp",
    "bl {enter}",
    "brk #1",
    enter = sym crate::enter,
);

#[cfg(target_arch = "arm")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov fp, #0",
    "mov r0, sp",
    "bic sp, sp, #7",
    "bl {enter}",
    "udf #0",
    enter = sym crate::enter,
);

#[cfg(target_arch = "x86_64")]
unsafe fn call(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's calling convention; the caller vouches for the arguments.
    unsafe {
        asm!("syscall", inlateout("rax") n as isize => answer, in("rdi") a, in("rsi") b, in("rdx") c,
            in("r10") d, in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer
}

#[cfg(target_arch = "aarch64")]
unsafe fn call(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's calling convention; the caller vouches for the arguments.
    unsafe {
        asm!("svc #0", in("x8") n, inlateout("x0") a as isize => answer, in("x1") b, in("x2") c,
            in("x3") d, in("x4") e, options(nostack));
    }
    answer
}

#[cfg(target_arch = "arm")]
unsafe fn call(n: usize, a: usize, b: usize, c: usize, d: usize, e: usize) -> isize {
    let answer: isize;
    // SAFETY: the kernel's calling convention; r7 may be the frame pointer and is put back.
    unsafe {
        asm!("mov {keep}, r7", "mov r7, {n}", "svc #0", "mov r7, {keep}", keep = out(reg) _, n = in(reg) n,
            inlateout("r0") a as isize => answer, in("r1") b, in("r2") c, in("r3") d, in("r4") e, options(nostack));
    }
    answer
}

/// One descriptor of a poll.
#[repr(C)]
pub struct Poll {
    /// Descriptor; negative is passed over.
    pub fd: i32,
    /// What is waited for.
    pub events: i16,
    /// What came.
    pub happened: i16,
}

/// There is something to read.
pub const POLLIN: i16 = 1;
/// There is room to write.
pub const POLLOUT: i16 = 4;
const SIGCHLD: usize = 17;
const SIG_SETMASK: usize = 2;
const WNOHANG: usize = 1;
const AT_FDCWD: i32 = -100;
const O_WRITE_CREATE_APPEND_CLOEXEC: usize = 0o1 | 0o100 | 0o2000 | 0o2000000;

/// Reads into `out`.
pub fn read(fd: i32, out: &mut [u8]) -> isize {
    // SAFETY: the kernel writes at most `out.len()` bytes.
    unsafe { call(number::READ, fd as usize, out.as_mut_ptr() as usize, out.len(), 0, 0) }
}

/// Reads the start of a file, whatever was read before.
pub fn read_start(fd: i32, out: &mut [u8]) -> isize {
    #[cfg(not(target_arch = "arm"))]
    // SAFETY: the kernel writes at most `out.len()` bytes.
    unsafe {
        call(number::PREAD, fd as usize, out.as_mut_ptr() as usize, out.len(), 0, 0)
    }
    #[cfg(target_arch = "arm")]
    {
        seek_to(fd, 0);
        read(fd, out)
    }
}

/// Writes `bytes`, perhaps not all.
pub fn write(fd: i32, bytes: &[u8]) -> isize {
    // SAFETY: the kernel reads at most `bytes.len()` bytes.
    unsafe { call(number::WRITE, fd as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0) }
}

/// Writes `head` and `bytes` as one message; all or nothing.
pub fn send(fd: i32, head: &[u8], bytes: &[u8]) -> isize {
    let parts = [head.as_ptr() as usize, head.len(), bytes.as_ptr() as usize, bytes.len()];
    // SAFETY: two pairs of start and length; the kernel reads what they name.
    unsafe { call(number::WRITEV, fd as usize, parts.as_ptr() as usize, 2, 0, 0) }
}

/// Takes a connection, which neither blocks nor is inherited.
pub fn accept(fd: i32) -> i32 {
    const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o2000000;
    // SAFETY: no address is asked for.
    unsafe { call(number::ACCEPT4, fd as usize, 0, 0, NONBLOCK_CLOEXEC, 0) as i32 }
}

/// Sets a terminal's size.
pub fn resize(fd: i32, columns: u16, rows: u16) {
    const TIOCSWINSZ: usize = 0x5414;
    let size = [rows, columns, 0, 0];
    // SAFETY: the kernel reads four 16-bit numbers.
    unsafe { call(number::IOCTL, fd as usize, TIOCSWINSZ, size.as_ptr() as usize, 0, 0) };
}

/// Closes.
pub fn close(fd: i32) {
    // SAFETY: no memory is involved.
    unsafe { call(number::CLOSE, fd as usize, 0, 0, 0, 0) };
}

/// Goes to a place in a file.
pub fn seek_to(fd: i32, offset: usize) {
    // SAFETY: no memory is involved.
    unsafe { call(number::LSEEK, fd as usize, offset, 0, 0, 0) };
}

/// Goes to the end; answers the size.
pub fn seek_end(fd: i32) -> isize {
    // SAFETY: no memory is involved.
    unsafe { call(number::LSEEK, fd as usize, 0, 2, 0, 0) }
}

/// Cuts a file.
pub fn truncate(fd: i32, size: usize) {
    // SAFETY: no memory is involved.
    unsafe { call(number::FTRUNCATE, fd as usize, size, 0, 0, 0) };
}

/// Opens for appending, made if missing. `name` ends with NUL; an absolute one needs no folder.
pub fn open_append(folder: i32, name: &[u8]) -> i32 {
    debug_assert!(name.last() == Some(&0));
    let folder = if folder < 0 { AT_FDCWD } else { folder };
    // SAFETY: `name` ends with NUL.
    unsafe {
        call(number::OPENAT, folder as usize, name.as_ptr() as usize, O_WRITE_CREATE_APPEND_CLOEXEC, 0o640, 0) as i32
    }
}

/// Renames within a folder. Both names end with NUL.
pub fn rename(folder: i32, from: &[u8], to: &[u8]) -> isize {
    debug_assert!(from.last() == Some(&0) && to.last() == Some(&0));
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    // SAFETY: both names end with NUL.
    unsafe { call(number::RENAMEAT, folder as usize, from, folder as usize, to, 0) }
}

/// Waits until one of `polls` has something.
pub fn poll(polls: &mut [Poll]) -> isize {
    // SAFETY: the kernel writes `happened` of each entry.
    unsafe { call(number::PPOLL, polls.as_mut_ptr() as usize, polls.len(), 0, 0, 8) }
}

/// Waits at most so many seconds until `fd` takes more; whether it does.
pub fn has_room(fd: i32, seconds: usize) -> bool {
    let mut poll = Poll { fd, events: POLLOUT, happened: 0 };
    let patience = [seconds, 0];
    let (polls, patience) = (&raw mut poll as usize, patience.as_ptr() as usize);
    // SAFETY: the kernel writes `happened` of the one entry and reads a time of two machine words.
    let count = unsafe { call(number::PPOLL, polls, 1, patience, 0, 8) };
    count > 0 && poll.happened & POLLOUT != 0
}

/// The wait status of a child that has ended, with its process ID; 0 is none.
pub fn reap() -> (i32, i32) {
    let mut status = 0_i32;
    let place = &raw mut status;
    // SAFETY: the kernel writes one i32.
    let pid = unsafe { call(number::WAIT4, usize::MAX, place as usize, WNOHANG, 0, 0) };
    (pid as i32, status)
}

/// Blocks every signal and answers a descriptor that reports SIGCHLD.
pub fn child_signals() -> i32 {
    let all = [u32::MAX; 2];
    let bit = 1_u64 << (SIGCHLD - 1);
    let child = [bit as u32, (bit >> 32) as u32];
    // SAFETY: both masks are 8 bytes.
    unsafe {
        call(number::SIGPROCMASK, SIG_SETMASK, all.as_ptr() as usize, 0, 8, 0);
        call(number::SIGNALFD4, usize::MAX, child.as_ptr() as usize, 8, 0o2000000, 0) as i32
    }
}

/// Seconds and nanoseconds since 1970.
pub fn now() -> (i64, u32) {
    #[cfg(not(target_arch = "arm"))]
    {
        let mut time = [0_i64; 2];
        // SAFETY: the kernel writes two 64-bit numbers.
        unsafe { call(number::CLOCK_GETTIME, 0, time.as_mut_ptr() as usize, 0, 0, 0) };
        (time[0], time[1] as u32)
    }
    #[cfg(target_arch = "arm")]
    {
        let mut time = [0_i64; 2];
        // SAFETY: the kernel writes two 64-bit numbers.
        unsafe { call(number::CLOCK_GETTIME64, 0, time.as_mut_ptr() as usize, 0, 0, 0) };
        (time[0], time[1] as u32)
    }
}

/// Ends the process.
pub fn exit(code: i32) -> ! {
    loop {
        // SAFETY: does not return.
        unsafe { call(number::EXIT_GROUP, code as usize, 0, 0, 0, 0) };
    }
}
