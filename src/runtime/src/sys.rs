//! The system calls that the standard library has no word for.
//!
//! In: descriptors, paths, numbers. Out: `io::Result`. The one place with `unsafe` calls beside fork, capabilities and
//! the executor. Never decides anything.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::life::{Process, born};

/// Turns the C library's answer into a result.
pub fn check(answer: i64) -> io::Result<i64> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Takes a descriptor that a call has just made.
pub fn owned(answer: i64) -> io::Result<OwnedFd> {
    let fd = check(answer)? as RawFd;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A path as C wants it.
pub fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// A descriptor that becomes readable when a process ends.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends a signal to exactly that process.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let null = std::ptr::null::<u8>();
    // SAFETY: a null siginfo is allowed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }).map(drop)
}

/// Waits for a pidfd, at most so many milliseconds; true if the process has ended.
pub fn pidfd_wait(pidfd: BorrowedFd<'_>, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: pidfd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) > 0 }
}

/// A process with its start time, if it is there and not a zombie.
pub fn process(pid: i32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    if state == 'Z' || state == 'X' {
        return None;
    }
    Some(Process { pid, born: born(&stat)? })
}

/// A descriptor of exactly that process, or `None` if it has ended.
pub fn open_process(process: Process) -> io::Result<Option<OwnedFd>> {
    match pidfd_open(process.pid) {
        Ok(fd) if self::process(process.pid) == Some(process) => Ok(Some(fd)),
        Ok(_) => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A pipe, closed on exec at both ends: read end, write end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors.
    check(i64::from(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }))?;
    // SAFETY: the kernel has just made them for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// A socket of messages; neither blocks nor is inherited.
fn message_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no memory is involved.
    owned(i64::from(unsafe { libc::socket(libc::AF_UNIX, kind, 0) }))
}

/// The address of a socket in the file system; at most 107 bytes.
fn socket_address(path: &str) -> io::Result<libc::sockaddr_un> {
    // SAFETY: all zero is a valid value of this plain structure.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name of a socket is too long"));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(address)
}

const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

/// Makes a socket of messages at a path and waits there for others.
pub fn message_listener(path: &str, backlog: i32) -> io::Result<OwnedFd> {
    let (socket, address) = (message_socket()?, socket_address(path)?);
    // SAFETY: an address of that length.
    check(i64::from(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS) }))?;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::listen(socket.as_raw_fd(), backlog) }))?;
    Ok(socket)
}

/// Connects to a socket of messages.
pub fn message_connect(path: &str) -> io::Result<OwnedFd> {
    let (socket, address) = (message_socket()?, socket_address(path)?);
    // SAFETY: an address of that length.
    check(i64::from(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS) }))?;
    Ok(socket)
}

/// Sends one message, if there is room for it.
pub fn message_send(socket: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads that many bytes.
    check(unsafe {
        libc::send(socket.as_raw_fd(), message.as_ptr().cast(), message.len(), libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    } as i64)
    .map(drop)
}

/// Takes one message; its length, 0 at the end.
pub fn message_receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most that many bytes.
    let count = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    check(count as i64).map(|count| count as usize)
}

/// Sets or clears O_NONBLOCK.
pub fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let flags = check(i64::from(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) }))? as i32;
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })).map(drop)
}

/// Mounts. `data` is the file system's own options.
pub fn mount(source: &Path, target: &Path, kind: &str, flags: libc::c_ulong, data: &str) -> io::Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    let (kind, data) = (CString::new(kind)?, CString::new(data)?);
    // SAFETY: four NUL-terminated texts.
    check(i64::from(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    }))
    .map(drop)
}

/// Detaches a mount; a path that is none, or not there, is no fault.
pub fn unmount(target: &Path) -> io::Result<()> {
    let target = c_path(target)?;
    // SAFETY: a NUL-terminated text.
    match check(i64::from(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) })) {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT)) => Err(error),
        _ => Ok(()),
    }
}

/// The magic number of the file system that a path is on.
pub fn filesystem(path: &Path) -> io::Result<i64> {
    let path = c_path(path)?;
    // SAFETY: all zero is a valid value of this plain structure.
    let mut about: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    check(i64::from(unsafe { libc::statfs(path.as_ptr(), &raw mut about) }))?;
    #[allow(clippy::unnecessary_cast, reason = "its type differs between machines")]
    Ok(about.f_type as i64)
}

/// Leaves namespaces for new ones.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    check(i64::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// A file in memory with these contents, executable.
pub fn memory_file(name: &CStr, contents: &[u8]) -> io::Result<OwnedFd> {
    use std::io::Write;
    const MFD_EXEC: libc::c_uint = 0x10;
    // SAFETY: a NUL-terminated text.
    let create = |flags| owned(i64::from(unsafe { libc::memfd_create(name.as_ptr(), flags) }));
    // Kernels before 6.3 do not know MFD_EXEC and need no such word.
    let fd = create(libc::MFD_CLOEXEC | MFD_EXEC).or_else(|_| create(libc::MFD_CLOEXEC))?;
    let mut file = std::fs::File::from(fd);
    file.write_all(contents)?;
    Ok(file.into())
}
