//! What the waiter leaves behind about a container's life: the second part of the file `life`.
//!
//! In: numbers. Out: one line of `key=value` pairs in a fixed buffer, as long as the room that was set aside for it, so
//! that a full disk can't lose it. Never touches a file. The runtime reads it back with `life.rs`.

/// Bytes set aside for a record: seven keys with numbers of at most 20 digits fit in half of it.
pub const RECORD: usize = 256;

/// Where it begins in the file: before it is what the operation wrote that made the container.
pub const OFFSET: usize = 256;

/// A line under construction.
pub struct Record {
    bytes: [u8; RECORD],
    filled: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    /// An empty line.
    pub const fn new() -> Self {
        Self { bytes: [b' '; RECORD], filled: 0 }
    }

    /// Adds `key=value`.
    pub fn add(&mut self, key: &[u8], value: i64) {
        if self.filled > 0 {
            self.push(b' ');
        }
        for byte in key {
            self.push(*byte);
        }
        self.push(b'=');
        if value < 0 {
            self.push(b'-');
        }
        let mut rest = value.unsigned_abs();
        let mut digits = [0_u8; 20];
        let mut count = 0;
        loop {
            if let Some(digit) = digits.get_mut(count) {
                *digit = b'0' + (rest % 10) as u8;
            }
            count += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        while count > 0 {
            count -= 1;
            self.push(digits.get(count).copied().unwrap_or(b'0'));
        }
    }

    /// The whole record, blanks up to its end.
    pub fn finish(mut self) -> [u8; RECORD] {
        self.bytes[RECORD - 1] = b'\n';
        self.bytes
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.filled) {
            *place = byte;
            self.filled += 1;
        }
    }
}

/// The number after `oom_kill ` in `memory.oom_control` (v1) or `memory.events` (v2).
pub fn oom_kills(text: &[u8]) -> u64 {
    const KEY: &[u8] = b"oom_kill ";
    for line in text.split(|byte| *byte == b'\n') {
        if let Some(number) = line.strip_prefix(KEY) {
            return number
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
        }
    }
    0
}
