//! Netlink messages as bytes.
//!
//! In: what to ask, or bytes from the kernel. Out: bytes for the kernel, or answers.
//! Never touches a socket.

use rustix::io::Errno;

/// Message types.
pub mod kind {
    #![allow(missing_docs)]
    pub const NEW_LINK: u16 = 16;
    pub const DEL_LINK: u16 = 17;
    pub const GET_LINK: u16 = 18;
    pub const SET_LINK: u16 = 19;
    pub const NEW_ADDRESS: u16 = 20;
    pub const GET_ADDRESS: u16 = 22;
    pub const NEW_ROUTE: u16 = 24;
    pub const GET_ROUTE: u16 = 26;
}

/// Fail if it exists.
pub const EXCLUSIVE: u16 = 0x200;
/// Make it.
pub const CREATE: u16 = 0x400;
/// Make it anew if it exists.
pub const REPLACE: u16 = 0x100;
/// All of them.
pub const DUMP: u16 = 0x300;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const NESTED: u16 = 0x8000;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;

/// A request being written.
pub struct Request {
    bytes: Vec<u8>,
}

/// One message from the kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Message type.
    pub kind: u16,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Request {
    /// Starts a request with its fixed part.
    pub fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        let acknowledge = if flags & DUMP == DUMP { 0 } else { ACKNOWLEDGE };
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | REQUEST | acknowledge).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(fixed);
        Self { bytes }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        // Values here are names and addresses: far below 64 KiB.
        let length = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.align();
        self
    }

    /// Adds a text that ends with a zero byte.
    #[must_use]
    pub fn text(self, kind: u16, text: &str) -> Self {
        let value = [text.as_bytes(), &[0]].concat();
        self.attribute(kind, &value)
    }

    /// Adds a number.
    #[must_use]
    pub fn number(self, kind: u16, number: u32) -> Self {
        self.attribute(kind, &number.to_ne_bytes())
    }

    /// Adds an attribute that consists of attributes.
    #[must_use]
    pub fn nested(self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        self.nested_after(kind | NESTED, &[], fill)
    }

    /// Adds an attribute that consists of a fixed part and attributes.
    #[must_use]
    pub fn nested_after(mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(fixed);
        let mut this = fill(self);
        let length = (this.bytes.len() - start) as u16;
        this.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        this.align();
        this
    }

    /// The finished bytes under this number.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }

    fn align(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// Reads what one receive brought. True if the answer to `sequence` is complete.
pub fn read(mut bytes: &[u8], sequence: u32, each: &mut impl FnMut(Answer)) -> Result<bool, Errno> {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return Err(Errno::BADMSG);
        }
        let (message, kind) = (&bytes[..length], u16_at(bytes, 4));
        let mine = u32_at(bytes, 8) == sequence;
        bytes = &bytes[bytes.len().min(length.next_multiple_of(4))..];
        if !mine {
            continue;
        }
        match kind {
            DONE => return Ok(true),
            ERROR if length < HEADER + 4 => return Err(Errno::BADMSG),
            ERROR => match i32::from_ne_bytes(four(message, HEADER)) {
                0 => return Ok(true),
                code => return Err(Errno::from_raw_os_error(code.saturating_neg())),
            },
            _ => each(Answer { kind, body: message[HEADER..].to_vec() }),
        }
    }
    Ok(false)
}

/// Reads notices that nobody asked for; what is damaged is skipped.
pub fn read_notices(mut bytes: &[u8], mut each: impl FnMut(Answer)) {
    while bytes.len() >= HEADER {
        let length = u32_at(bytes, 0) as usize;
        if length < HEADER || length > bytes.len() {
            return;
        }
        each(Answer { kind: u16_at(bytes, 4), body: bytes[HEADER..length].to_vec() });
        bytes = &bytes[bytes.len().min(length.next_multiple_of(4))..];
    }
}

/// The attributes of an answer, after its fixed part.
pub fn attributes(body: &[u8], fixed: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(fixed..).unwrap_or(&[]);
    std::iter::from_fn(move || {
        if rest.len() < 4 {
            return None;
        }
        let length = usize::from(u16_at(rest, 0));
        if length < 4 || length > rest.len() {
            return None;
        }
        let found = (u16_at(rest, 2) & 0x3fff, &rest[4..length]);
        rest = &rest[rest.len().min(length.next_multiple_of(4))..];
        Some(found)
    })
}

/// A text without its zero byte.
pub fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|b| *b == 0).next().unwrap_or(&[])).into_owned()
}

/// A number at a place; 0 if the message is too short.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(four(bytes, at))
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = Request::new(kind::NEW_LINK, CREATE, &[0; 16])
            .text(3, "eth0")
            .nested(18, |r| r.text(1, "veth").number(2, 7))
            .finish(5);
        assert_eq!(u32_at(&bytes, 0) as usize, bytes.len());
        let mut answers = Vec::new();
        assert_eq!(read(&bytes, 5, &mut |a| answers.push(a)), Ok(false));
        let all: Vec<_> = attributes(&answers[0].body, 16).collect();
        assert_eq!((all[0].0, text(all[0].1)), (3, "eth0".into()));
        let inner: Vec<_> = attributes(all[1].1, 0).map(|(k, v)| (k, v.len())).collect();
        assert_eq!((all[1].0, inner), (18, vec![(1, 5), (2, 4)]));
    }

    #[test]
    fn damaged_answers_are_no_answers() {
        let bytes = Request::new(kind::NEW_LINK, 0, &[0; 16]).finish(1);
        let mut short = bytes.clone();
        short[0] = 200;
        assert_eq!(read(&short, 1, &mut |_| ()), Err(Errno::BADMSG));
        assert_eq!(read(&bytes, 2, &mut |_| ()), Ok(false), "an answer to another request");
        assert_eq!(attributes(&[9, 0, 1, 0, 1], 0).count(), 0);
        assert_eq!(attributes(&[0; 3], 8).count(), 0);
    }
}
