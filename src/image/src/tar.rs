//! Reads tar streams (ustar, GNU and pax) whose author is not trusted.
//!
//! In: bytes. Out: entries with bounded metadata, then their contents as a reader.
//! Never touches a file system and never keeps a content in memory.

pub mod write;

use std::collections::BTreeMap;
use std::io::{self, Read};

/// Size of a tar record.
pub const BLOCK: usize = 512;
/// A path (4096), a link and a few hundred attributes of a few kilobytes.
const MAX_EXTENDED: u64 = 1024 * 1024;
/// Writers pad to 10 KiB, some to 64 KiB.
const MAX_TRAILER: u64 = 1024 * 1024;
/// Linux's PATH_MAX.
const MAX_PATH: usize = 4096;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// Another name of an earlier entry.
    HardLink,
    /// A named pipe.
    Fifo,
    /// A character or block device.
    Device,
}

/// One entry, without its content.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path as written.
    pub path: Vec<u8>,
    /// Kind.
    pub kind: Kind,
    /// Link target as written; empty for others.
    pub link: Vec<u8>,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub modified: (i64, u32),
    /// Bytes of content that follow.
    pub size: u64,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream failed.
    #[error("reading the archive")]
    Read(#[source] io::Error),
    /// The stream ended inside an entry.
    #[error("the archive is truncated: it ends {0}")]
    Truncated(&'static str),
    /// A header's checksum does not match.
    #[error("this is not a tar archive, or it is damaged: a header's checksum does not match")]
    Checksum,
    /// A header is nonsense.
    #[error("damaged archive: {0}")]
    Damaged(String),
    /// Something within limits of nobody.
    #[error("the archive asks for too much: {0}")]
    TooMuch(String),
}

/// A tar stream being read.
pub struct Archive<R> {
    reader: R,
    skip: Skip<R>,
    /// Content and padding of the current entry that is not read yet.
    left: u64,
    padding: u64,
    ended: bool,
    offset: u64,
}

/// Passes over bytes; returns how many there were.
type Skip<R> = fn(&mut R, u64) -> io::Result<u64>;

#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<(i64, u32)>,
    xattrs: BTreeMap<String, Vec<u8>>,
}

impl<R: Read> Archive<R> {
    /// Starts at the first header.
    pub fn new(reader: R) -> Self {
        Self::with_skip(reader, |reader, count| io::copy(&mut reader.take(count), &mut io::sink()))
    }

    /// Starts at the first header of a reader that can pass over bytes without reading them.
    pub fn with_skip(reader: R, skip: Skip<R>) -> Self {
        Self { reader, skip, left: 0, padding: 0, ended: false, offset: 0 }
    }

    /// The next entry, or `None` at the end. An unread content is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        let mut extended = Extended::default();
        loop {
            self.skip_content()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = match number(&header[124..136])? {
                n if n < 0 => return Err(TarError::Damaged("a negative size".into())),
                n => n as u64,
            };
            match header[156] {
                b'x' => {
                    let body = self.extended(size)?;
                    read_pax(&body, &mut extended)?;
                }
                // Defaults for all later entries: writers put comments there, nothing that we need.
                b'g' => {
                    self.extended(size)?;
                }
                b'L' => extended.path = Some(until_nul(&self.extended(size)?).to_vec()),
                b'K' => extended.link = Some(until_nul(&self.extended(size)?).to_vec()),
                flag => return self.entry(&header, flag, size, extended).map(Some),
            }
        }
    }

    /// Where the current entry's content starts, counted from the stream's start.
    pub fn content_offset(&self) -> u64 {
        self.offset
    }

    /// Reads what follows the end mark, so that a digest over the stream is whole.
    pub fn drain(&mut self) -> Result<(), TarError> {
        let rest = io::copy(&mut (&mut self.reader).take(MAX_TRAILER + 1), &mut io::sink()).map_err(TarError::Read)?;
        if rest > MAX_TRAILER {
            return Err(TarError::TooMuch(format!("more than {MAX_TRAILER} bytes after its end")));
        }
        Ok(())
    }

    fn entry(&mut self, header: &[u8; BLOCK], flag: u8, size: u64, extended: Extended) -> Result<Entry, TarError> {
        let path = match extended.path {
            Some(path) => path,
            None => short_path(header),
        };
        let shown = || String::from_utf8_lossy(&path[..path.len().min(200)]).into_owned();
        let kind = match flag {
            b'0' | 0 | b'7' if path.ends_with(b"/") && flag != b'0' => Kind::Folder,
            b'0' | 0 | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' | b'4' => Kind::Device,
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            b'S' => {
                return Err(TarError::Damaged(format!(
                    "{:?} is a sparse file, which image layers do not use",
                    shown()
                )));
            }
            other => {
                return Err(TarError::Damaged(format!("{:?} has the unknown type {:?}", shown(), char::from(other))));
            }
        };
        let link = extended.link.unwrap_or_else(|| until_nul(&header[157..257]).to_vec());
        if path.len() >= MAX_PATH || link.len() >= MAX_PATH {
            return Err(TarError::TooMuch(format!("the path {:?}... is longer than {MAX_PATH} bytes", shown())));
        }
        if path.is_empty() || path.contains(&0) || link.contains(&0) {
            return Err(TarError::Damaged("an entry without a usable name".into()));
        }
        let size = match kind {
            Kind::File => extended.size.unwrap_or(size),
            // Others have no content, whatever the header claims; a size is an attempt to hide headers.
            _ if extended.size.unwrap_or(size) != 0 && kind != Kind::HardLink => {
                return Err(TarError::Damaged(format!("{:?} is not a file but has a content", shown())));
            }
            _ => 0,
        };
        let owner = |wide: Option<u32>, field: &[u8]| match wide {
            Some(id) => Ok(id),
            None => u32::try_from(number(field)?)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| TarError::Damaged("an owner out of range".into())),
        };
        self.left = size;
        self.padding = padding(size);
        Ok(Entry {
            kind,
            link,
            mode: (number(&header[100..108])? & 0o7777) as u32,
            uid: owner(extended.uid, &header[108..116])?,
            gid: owner(extended.gid, &header[116..124])?,
            modified: match extended.modified {
                Some(time) => time,
                None => (number(&header[136..148])?, 0),
            },
            size,
            xattrs: extended.xattrs,
            path,
        })
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let skip = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let skipped = (self.skip)(&mut self.reader, skip).map_err(TarError::Read)?;
        self.offset += skipped;
        if skipped == skip { Ok(()) } else { Err(TarError::Truncated("inside a file")) }
    }

    /// The next header that is not empty; `None` at the end mark.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Err(TarError::Truncated("without an end mark")),
                Ok(0) => return Err(TarError::Truncated("inside a header")),
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::Read(error)),
            }
        }
        self.offset += BLOCK as u64;
        if block.iter().all(|b| *b == 0) {
            self.ended = true;
            return Ok(None);
        }
        let stored = number(&block[148..156]).map_err(|_| TarError::Checksum)?;
        let unsigned: i64 =
            block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 32 } else { i64::from(*b) }).sum();
        if stored != unsigned { Err(TarError::Checksum) } else { Ok(Some(block)) }
    }

    fn extended(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENDED {
            return Err(TarError::TooMuch(format!("an extended header of {size} bytes; the limit is {MAX_EXTENDED}")));
        }
        let mut body = Vec::new();
        let read = (&mut self.reader).take(size).read_to_end(&mut body).map_err(TarError::Read)?;
        self.offset += read as u64;
        if (read as u64) < size {
            return Err(TarError::Truncated("inside an extended header"));
        }
        self.padding = padding(size);
        Ok(body)
    }
}

/// Reads the current entry's content.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.reader.read(&mut buffer[..want])?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the archive is truncated: it ends inside a file",
            ));
        }
        self.left -= n as u64;
        self.offset += n as u64;
        Ok(n)
    }
}

fn padding(size: u64) -> u64 {
    let over = size % BLOCK as u64;
    if over == 0 { 0 } else { BLOCK as u64 - over }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len())]
}

fn short_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&header[..100]);
    // "ustar\0" has a prefix; GNU's "ustar " keeps times in that place.
    let prefix: &[u8] = if &header[257..263] == b"ustar\0" { until_nul(&header[345..500]) } else { b"" };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

/// An octal number, or GNU's base 256 when the first bit is set.
fn number(field: &[u8]) -> Result<i64, TarError> {
    let damaged = || TarError::Damaged("a number in a header cannot be read".into());
    if field[0] & 0x80 != 0 {
        let negative = field[0] & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (i, byte) in field.iter().enumerate() {
            let bits = if i == 0 && !negative { byte & 0x7f } else { *byte };
            value = (value << 8) | i128::from(bits);
        }
        return i64::try_from(value).map_err(|_| damaged());
    }
    let text = std::str::from_utf8(until_nul(field)).map_err(|_| damaged())?.trim();
    if text.is_empty() { Ok(0) } else { i64::from_str_radix(text, 8).map_err(|_| damaged()) }
}

/// Records of the form `LENGTH KEY=VALUE\n`.
fn read_pax(mut body: &[u8], extended: &mut Extended) -> Result<(), TarError> {
    let damaged = || TarError::Damaged("a pax header cannot be read".into());
    while !body.is_empty() {
        let space = body.iter().take(8).position(|b| *b == b' ').ok_or_else(damaged)?;
        let length: usize =
            std::str::from_utf8(&body[..space]).ok().and_then(|t| t.parse().ok()).ok_or_else(damaged)?;
        if length <= space + 1 || length > body.len() || body[length - 1] != b'\n' {
            return Err(damaged());
        }
        let record = &body[space + 1..length - 1];
        body = &body[length..];
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(damaged)?;
        let (key, value) = (std::str::from_utf8(&record[..equals]).map_err(|_| damaged())?, &record[equals + 1..]);
        let text = || std::str::from_utf8(value).map_err(|_| damaged());
        match key {
            "path" => extended.path = Some(value.to_vec()),
            "linkpath" => extended.link = Some(value.to_vec()),
            "size" => {
                let size: u64 = text()?.parse().map_err(|_| damaged())?;
                // No file system has larger files, and sums with padding stay in range.
                extended.size = Some(i64::try_from(size).map(|_| size).map_err(|_| damaged())?);
            }
            "uid" => extended.uid = Some(owner(text()?).ok_or_else(damaged)?),
            "gid" => extended.gid = Some(owner(text()?).ok_or_else(damaged)?),
            "mtime" => extended.modified = Some(time(text()?).ok_or_else(damaged)?),
            _ if key.starts_with("GNU.sparse.") => {
                return Err(TarError::Damaged("a sparse file, which image layers do not use".into()));
            }
            _ => {
                if let Some(name) = key.strip_prefix("SCHILY.xattr.") {
                    extended.xattrs.insert(name.to_owned(), value.to_vec());
                }
            }
        }
    }
    Ok(())
}

fn owner(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

/// Decimal seconds with an optional fraction.
fn time(text: &str) -> Option<(i64, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: u32 = digits.parse().ok()?;
    // -1.25 is 1.25 seconds before 1970: two whole seconds before, and 0.75 after that.
    if whole.starts_with('-') && nanos > 0 {
        Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos))
    } else {
        Some((seconds, nanos))
    }
}

#[cfg(test)]
mod tests;
