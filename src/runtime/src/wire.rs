//! How the daemon talks to the zygote and to the operations that it forks.
//!
//! In: a kind and descriptors (to the zygote, one small packet); bodies and replies (to the operation, over a stream of
//! its own, with the length in front). Out: the same. Synchronous and bounded; never knows what the words mean.
//!
//! The zygote reads one byte and descriptors, and forks. Everything else goes between the daemon and the operation, so
//! that a large spec, a slow operation or a broken one is nobody else's affair.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::check;

/// The largest body or reply. A Kubernetes object has at most 1.5 MiB; a container is a part of one.
pub const LARGEST: usize = 4 * 1024 * 1024;

/// The stream of the operation, standard input, output and error.
const MOST_DESCRIPTORS: usize = 4;

/// What an operation is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Make a sandbox.
    Sandbox = 1,
    /// Make a container and become its waiter.
    Create = 2,
    /// Run a further process in a container.
    Exec = 3,
}

impl Kind {
    fn read(byte: u8) -> Option<Self> {
        [Self::Sandbox, Self::Create, Self::Exec].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Room for the descriptors of one message, aligned as the kernel wants it.
type Control = [u64; 8];

/// A pair of connected packet sockets, closed on exec.
pub fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes two descriptors.
    check(i64::from(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }))?;
    // SAFETY: the kernel has just made them for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// Asks the zygote for an operation. Never waits: a full socket is an error.
pub fn ask(zygote: &impl AsFd, kind: Kind, descriptors: &[RawFd]) -> io::Result<()> {
    send(zygote, &[kind as u8], descriptors, libc::MSG_DONTWAIT)
}

/// The next request to the zygote; `None` when the daemon is gone. What is no request is passed over.
pub fn asked(zygote: &impl AsFd) -> io::Result<Option<(Kind, Vec<OwnedFd>)>> {
    loop {
        let mut byte = [0];
        let (count, descriptors) = receive(zygote, &mut byte)?;
        if count == 0 {
            return Ok(None);
        }
        if let (Some(kind), false) = (Kind::read(byte[0]), descriptors.is_empty()) {
            return Ok(Some((kind, descriptors)));
        }
    }
}

/// Sends a descriptor beside a byte.
pub fn give(stream: &impl AsFd, descriptor: RawFd) -> io::Result<()> {
    send(stream, &[0], &[descriptor], 0)
}

/// Takes a descriptor sent by `give`. The stream may be one that does not wait.
pub fn take(stream: &impl AsFd) -> io::Result<OwnedFd> {
    let (_, mut descriptors) = receive(stream, &mut [0])?;
    descriptors.pop().ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

/// The bytes of a body or reply with its length in front.
pub fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, value)?;
    let length = bytes.len() - 4;
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is larger than 4 MiB"));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// The length of what follows, checked.
pub fn length(bytes: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(bytes) as usize;
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message larger than 4 MiB"));
    }
    Ok(length)
}

/// Reads a body.
pub fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<T> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; length(head)?];
    stream.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(io::Error::other)
}

/// Writes a reply.
pub fn write(stream: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    stream.write_all(&encode(value)?)
}

fn send(socket: &impl AsFd, bytes: &[u8], descriptors: &[RawFd], flags: i32) -> io::Result<()> {
    if descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let mut control: Control = [0; 8];
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let size = size_of_val(descriptors) as u32;
    // SAFETY: all zero is a valid value; then one part and, if there are descriptors, one control message of exactly
    // their size inside `control`, which is large enough for four.
    let message = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !descriptors.is_empty() {
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(size) as _;
            let head = libc::CMSG_FIRSTHDR(&raw const message);
            (*head).cmsg_level = libc::SOL_SOCKET;
            (*head).cmsg_type = libc::SCM_RIGHTS;
            (*head).cmsg_len = libc::CMSG_LEN(size) as _;
            std::ptr::copy_nonoverlapping(descriptors.as_ptr(), libc::CMSG_DATA(head).cast(), descriptors.len());
        }
        message
    };
    let flags = flags | libc::MSG_NOSIGNAL;
    // SAFETY: the message is as described above.
    check(unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, flags) } as i64).map(drop)
}

fn receive(socket: &impl AsFd, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut control: Control = [0; 8];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: all zero is a valid value; one part and a control buffer.
    let mut message = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        message
    };
    let count = loop {
        // SAFETY: the message is as described above.
        let count = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match check(count as i64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other? as usize,
        }
    };
    let mut descriptors = Vec::new();
    // SAFETY: walks the control messages that the kernel wrote; each SCM_RIGHTS holds descriptors made for us.
    unsafe {
        let mut head = libc::CMSG_FIRSTHDR(&raw const message);
        while !head.is_null() {
            if (*head).cmsg_level == libc::SOL_SOCKET && (*head).cmsg_type == libc::SCM_RIGHTS {
                let bytes = (*head).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                let data: *const RawFd = libc::CMSG_DATA(head).cast();
                for index in 0..bytes / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            head = libc::CMSG_NXTHDR(&raw const message, head);
        }
    }
    Ok((count, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_travel_with_a_request() {
        let (daemon, zygote) = packet_pair().expect("pair");
        let (mut ours, theirs) = UnixStream::pair().expect("pair");
        ask(&daemon, Kind::Create, &[theirs.as_raw_fd()]).expect("asked");
        drop((daemon, theirs));
        let (kind, mut descriptors) = asked(&zygote).expect("read").expect("a request");
        assert_eq!((kind, descriptors.len()), (Kind::Create, 1));
        let mut stream = UnixStream::from(descriptors.remove(0));
        write(&mut stream, &"hello").expect("written");
        assert_eq!(read::<String>(&mut ours).expect("read"), "hello");
        assert!(asked(&zygote).expect("read").is_none());
    }

    #[test]
    fn a_length_beyond_the_bound_is_refused() {
        assert!(length(u32::MAX.to_le_bytes()).is_err());
        assert_eq!(length(7_u32.to_le_bytes()).expect("small"), 7);
    }
}
