//! The log file: buffered lines, rotation by size, a full disk.
//!
//! In: heads and texts of lines. Out: whole lines in the file, renamed to `.1`, `.2` ... when it is full. Never waits
//! for space: a line that does not fit on the disk is dropped and counted, and half a line is taken back.

use crate::lines::{HEAD, LINE, Sink};
use crate::sys;

/// Two longest lines, so that one always fits beside what is there.
pub const OUT: usize = 2 * (HEAD + LINE + 1);

/// Longest file name with its suffix.
const NAME: usize = 256;

/// A log file and what waits to be written to it.
pub struct Log<'a> {
    folder: i32,
    fd: i32,
    size: usize,
    max_bytes: usize,
    max_files: u32,
    name: &'a [u8],
    waiting: usize,
    waiting_lines: u64,
    /// Lines that were lost because the disk was full or the folder gone.
    pub dropped: u64,
    out: &'a mut [u8; OUT],
}

impl<'a> Log<'a> {
    /// Opens `name` in `folder`. The buffer is apart, so that a log which is never written to costs no memory.
    pub fn open(folder: i32, name: &'a [u8], max_bytes: usize, max_files: u32, out: &'a mut [u8; OUT]) -> Self {
        let mut log = Self {
            folder,
            fd: -1,
            size: 0,
            max_bytes: max_bytes.max(1),
            max_files: max_files.min(99),
            // Room for a suffix of a dot, two digits and NUL.
            name: name.get(..NAME - 4).unwrap_or(name),
            waiting: 0,
            waiting_lines: 0,
            dropped: 0,
            out,
        };
        log.reopen();
        log
    }

    /// Writes what waits, after making room by rotation.
    pub fn flush(&mut self) {
        if self.waiting == 0 {
            return;
        }
        if self.size > 0 && self.size.saturating_add(self.waiting) > self.max_bytes {
            self.rotate();
        }
        if self.fd < 0 {
            self.reopen();
        }
        let mut done = 0;
        while let Some(rest) = self.out.get(done..self.waiting).filter(|rest| !rest.is_empty()) {
            let wrote = sys::write(self.fd, rest);
            if wrote <= 0 {
                break;
            }
            done += wrote as usize;
        }
        if done == self.waiting {
            self.size = self.size.saturating_add(done);
        } else {
            if done > 0 {
                sys::truncate(self.fd, self.size);
            }
            self.dropped += self.waiting_lines;
        }
        self.waiting = 0;
        self.waiting_lines = 0;
    }

    #[inline(never)]
    fn reopen(&mut self) {
        self.fd = sys::open_append(self.folder, &self.numbered(0));
        self.size = sys::seek_end(self.fd).max(0) as usize;
    }

    /// Moves `.1` to `.2` and so on, the file itself to `.1`, and starts a new one.
    #[inline(never)]
    fn rotate(&mut self) {
        if self.max_files == 0 {
            sys::truncate(self.fd, 0);
            self.size = 0;
            return;
        }
        let mut index = self.max_files;
        while index > 0 {
            sys::rename(self.folder, &self.numbered(index - 1), &self.numbered(index));
            index -= 1;
        }
        sys::close(self.fd);
        self.reopen();
    }

    fn numbered(&self, index: u32) -> [u8; NAME] {
        let mut name = [0; NAME];
        for (to, from) in name.iter_mut().zip(self.name) {
            *to = *from;
        }
        let mut at = self.name.len();
        let mut push = |byte: u8| {
            if let Some(place) = name.get_mut(at) {
                *place = byte;
                at += 1;
            }
        };
        if index > 0 {
            push(b'.');
            if index >= 10 {
                push(b'0' + (index / 10 % 10) as u8);
            }
            push(b'0' + (index % 10) as u8);
        }
        push(0);
        name[NAME - 1] = 0;
        name
    }
}

impl Sink for Log<'_> {
    fn now(&mut self) -> (i64, u32) {
        sys::now()
    }

    fn line(&mut self, head: &[u8; HEAD], text: &[u8]) {
        let length = HEAD + text.len() + 1;
        if self.waiting + length > OUT {
            self.flush();
        }
        let Some(place) = self.out.get_mut(self.waiting..self.waiting + length) else {
            return;
        };
        let (to_head, rest) = place.split_at_mut(HEAD);
        to_head.copy_from_slice(head);
        if let Some((end, to_text)) = rest.split_last_mut() {
            to_text.copy_from_slice(text);
            *end = b'\n';
        }
        self.waiting += length;
        self.waiting_lines += 1;
    }
}
