//! Tar archives, as far as `cp` needs them: files, folders, links; long names of both dialects.
//!
//! In: entries and their content, or an archive in pieces. Out: the other. Archives come from containers and are
//! hostile: sizes are bounded by what arrives, headers have a checksum, names a longest length.

use std::io::{self, Read};

use crate::error::Failure;

const BLOCK: usize = 512;
/// Longest name or extended header.
const LONGEST: u64 = 64 * 1024;
/// Content leaves in pieces of at most this size.
const PIECE: usize = 16 << 10;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, to there.
    Link(String),
    /// A device or the like.
    Other,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// Bytes of content.
    pub size: u64,
}

/// Makes an archive; each piece is handed on, until nobody takes it.
pub struct Writer<F: FnMut(Vec<u8>) -> bool> {
    give: F,
    gone: bool,
}

impl<F: FnMut(Vec<u8>) -> bool> Writer<F> {
    /// An empty archive.
    pub fn new(give: F) -> Self {
        Writer { give, gone: false }
    }

    fn put(&mut self, piece: Vec<u8>) {
        self.gone = self.gone || !(self.give)(piece);
    }

    /// Adds an entry; the content of a file follows.
    pub fn add(&mut self, entry: &Entry) {
        let (kind, link) = match &entry.kind {
            Kind::Folder => (b'5', ""),
            Kind::Link(to) => (b'2', to.as_str()),
            Kind::File | Kind::Other => (b'0', ""),
        };
        for (text, kind) in [(entry.name.as_str(), b'L'), (link, b'K')] {
            if text.len() > 99 {
                let mut block = header("././@LongLink", "", kind, 0o644, text.len() as u64 + 1);
                block.extend(text.as_bytes());
                block.resize(block.len().next_multiple_of(BLOCK).max(block.len() + 1).next_multiple_of(BLOCK), 0);
                self.put(block);
            }
        }
        self.put(header(&entry.name, link, kind, entry.mode, entry.size));
    }

    /// The content of the file that was added last. One that has become shorter is filled up: its size is told already.
    pub fn content(&mut self, from: &mut impl Read, size: u64) -> io::Result<()> {
        let mut left = size;
        while left > 0 && !self.gone {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            let mut filled = 0;
            while filled < piece.len() {
                match from.read(&mut piece[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            left -= piece.len() as u64;
            self.put(piece);
        }
        let used = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if used > 0 {
            self.put(vec![0; BLOCK - used]);
        }
        Ok(())
    }

    /// Ends the archive.
    pub fn finish(mut self) {
        self.put(vec![0; 2 * BLOCK]);
    }
}

fn header(name: &str, link: &str, kind: u8, mode: u32, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut field = |at: usize, text: &[u8], length: usize| {
        let text = &text[..text.len().min(length)];
        block[at..at + text.len()].copy_from_slice(text);
    };
    field(0, name.as_bytes(), 99);
    field(100, format!("{:07o}", mode & 0o7777).as_bytes(), 7);
    field(108, b"0000000", 7);
    field(116, b"0000000", 7);
    // Eleven octal digits hold 8 GiB; larger sizes are binary, as GNU's.
    match size < 1 << 33 {
        true => field(124, format!("{size:011o}").as_bytes(), 11),
        false => {
            field(124, &[0x80], 1);
            field(128, &size.to_be_bytes(), 8);
        }
    }
    field(136, b"00000000000", 11);
    field(148, b"        ", 8);
    field(156, &[kind], 1);
    field(157, link.as_bytes(), 99);
    field(257, b"ustar  \0", 8);
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// What a reader finds.
pub enum Part<'a> {
    /// An entry begins.
    Entry(&'a Entry),
    /// Bytes of it.
    Content(&'a [u8]),
}

/// Reads an archive.
#[derive(Default)]
pub struct Reader {
    held: Vec<u8>,
    state: State,
    long_name: Option<String>,
    long_link: Option<String>,
    begun: bool,
}

#[derive(Default)]
enum State {
    /// A header is next.
    #[default]
    Head,
    /// Content, and what fills its last block.
    Content { left: u64, padding: usize },
    /// A long name or extended header.
    Long { kind: u8, size: u64 },
    /// The archive has ended.
    End,
}

impl Reader {
    /// Whether there was an entry or an end.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Takes a piece of the archive.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(Part<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        loop {
            match self.state {
                State::End => return Ok(()),
                State::Content { left: 0, padding } => {
                    if rest.len() < padding {
                        break;
                    }
                    rest = &rest[padding..];
                    self.state = State::Head;
                }
                State::Content { left, padding } => {
                    if rest.is_empty() {
                        break;
                    }
                    let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    found(Part::Content(&rest[..count]))?;
                    rest = &rest[count..];
                    self.state = State::Content { left: left - count as u64, padding };
                }
                State::Long { kind, size } => {
                    let size = size as usize;
                    if rest.len() < size.next_multiple_of(BLOCK) {
                        break;
                    }
                    self.long(kind, &rest[..size]);
                    rest = &rest[size.next_multiple_of(BLOCK)..];
                    self.state = State::Head;
                }
                State::Head => {
                    let Some((block, after)) = rest.split_at_checked(BLOCK) else { break };
                    rest = after;
                    self.head(block, found)?;
                }
            }
        }
        self.held = rest.to_vec();
        Ok(())
    }

    fn head(&mut self, block: &[u8], found: &mut impl FnMut(Part<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let corrupted = || Failure::said("tar contents corrupted");
        self.begun = true;
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(());
        }
        let sum: u64 =
            block.iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { 32 } else { u64::from(*b) }).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err(corrupted());
        }
        let size = number(&block[124..136]).ok_or_else(corrupted)?;
        let kind = block[156];
        if matches!(kind, b'L' | b'K' | b'x' | b'g') {
            if size > LONGEST {
                return Err(corrupted());
            }
            self.state = State::Long { kind, size };
            return Ok(());
        }
        let mut name = text(&block[..100]);
        let prefix = text(&block[345..500]);
        if block[257..263] == *b"ustar\0" && !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        let entry = Entry {
            name: self.long_name.take().unwrap_or(name),
            mode: number(&block[100..108]).unwrap_or(0o644) as u32,
            kind: match kind {
                b'0' | 0 | b'7' => Kind::File,
                b'5' => Kind::Folder,
                b'1' | b'2' => Kind::Link(self.long_link.take().unwrap_or_else(|| text(&block[157..257]))),
                _ => Kind::Other,
            },
            size,
        };
        found(Part::Entry(&entry))?;
        let used = (size % BLOCK as u64) as usize;
        self.state = State::Content { left: size, padding: if used == 0 { 0 } else { BLOCK - used } };
        Ok(())
    }

    fn long(&mut self, kind: u8, bytes: &[u8]) {
        match kind {
            b'L' => self.long_name = Some(text(bytes)),
            b'K' => self.long_link = Some(text(bytes)),
            // `LENGTH path=VALUE\n`
            b'x' => {
                let whole = String::from_utf8_lossy(bytes);
                for line in whole.split('\n').filter_map(|line| line.split_once(' ')) {
                    match line.1.split_once('=') {
                        Some(("path", value)) => self.long_name = Some(value.to_owned()),
                        Some(("linkpath", value)) => self.long_link = Some(value.to_owned()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

/// Text up to a NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An octal number, or a large one in binary.
fn number(bytes: &[u8]) -> Option<u64> {
    if bytes.first()? & 0x80 != 0 {
        let tail: [u8; 8] = bytes.get(bytes.len().checked_sub(8)?..)?.try_into().ok()?;
        return Some(u64::from_be_bytes(tail)).filter(|size| *size < 1 << 62);
    }
    let digits: String = bytes.iter().map(|b| char::from(*b)).filter(|c| !matches!(c, '\0' | ' ')).collect();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(&digits, 8).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(Entry, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = Writer::new(|piece: Vec<u8>| {
            bytes.extend(piece);
            true
        });
        for (entry, mut content) in entries.iter().cloned() {
            writer.add(&entry);
            writer.content(&mut content, entry.size).unwrap();
        }
        writer.finish();
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Entry, Vec<u8>)>, Failure> {
        let mut found = Vec::new();
        let mut reader = Reader::default();
        for piece in bytes.chunks(piece) {
            reader.feed(piece, &mut |part| {
                match part {
                    Part::Entry(entry) => found.push((entry.clone(), Vec::new())),
                    Part::Content(bytes) => found.last_mut().unwrap().1.extend_from_slice(bytes),
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn entries_survive() {
        let entry = |name: &str, kind, size| Entry { name: name.into(), kind, mode: 0o640, size };
        let long = "d/".repeat(80) + "f";
        let entries = [
            (entry("a", Kind::File, 3), &b"abc"[..]),
            (entry(&long, Kind::File, 512), &[7; 512]),
            (entry(&"x".repeat(511), Kind::Folder, 0), b""),
            (entry("l", Kind::Link(long.clone()), 0), b""),
        ];
        let bytes = archive(&entries);
        assert_eq!(bytes.len() % BLOCK, 0);
        for piece in [1, 100, 512, 100_000] {
            let found = read(&bytes, piece).unwrap();
            let expected: Vec<_> = entries.iter().map(|(e, c)| (e.clone(), c.to_vec())).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn noise_is_refused() {
        assert!(read(&[b'x'; 512], 512).is_err());
        let mut bytes = archive(&[(Entry { name: "a".into(), kind: Kind::File, mode: 0, size: 1 }, b"x")]);
        bytes[124] = b'9';
        assert!(read(&bytes, 512).is_err());
    }
}
