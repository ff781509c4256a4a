//! Writes tar streams: pax where ustar is too narrow, nothing that varies between two runs.
//!
//! In: entries and their contents. Out: bytes.
//! Never reads a file.

use std::io::{self, Read, Write};

use super::{BLOCK, Entry, Kind};

/// A tar stream being written.
pub struct Writer<W> {
    inner: W,
}

impl<W: Write> Writer<W> {
    /// Starts an empty archive.
    pub fn new(inner: W) -> Self {
        Self { inner }
    }

    /// Writes an entry and exactly `entry.size` bytes of its content.
    pub fn entry(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        self.stream(entry, |out| io::copy(content, out).map(drop))
    }

    /// Writes an entry whose content is written by `write`: exactly `entry.size` bytes.
    pub fn stream(&mut self, entry: &Entry, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let records = pax_records(entry);
        if !records.is_empty() {
            let header = header(b"pax", b"", b'x', &Entry { size: records.len() as u64, ..plain(entry) });
            self.inner.write_all(&header)?;
            self.inner.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        let flag = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Device => b'3',
            Kind::Folder => b'5',
            Kind::Fifo => b'6',
        };
        self.inner.write_all(&header(&entry.path, &entry.link, flag, entry))?;
        let mut exact = Exact { inner: &mut self.inner, left: entry.size };
        write(&mut exact)?;
        if exact.left > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was archived"));
        }
        self.pad(entry.size)
    }

    /// Writes a regular file of root's from memory.
    pub fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.entry(&Entry { mode, size: bytes.len() as u64, ..Entry::new(path, Kind::File) }, &mut &bytes[..])
    }

    /// Writes the end mark and gives the sink back.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&[0; 2 * BLOCK])?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        // Below 512, so it fits.
        self.inner.write_all(&[0; BLOCK][..super::padding(size) as usize])
    }
}

/// Refuses more bytes than the header said.
struct Exact<'a, W> {
    inner: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Exact<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a file became longer while it was archived"));
        }
        let n = self.inner.write(bytes)?;
        self.left -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl Entry {
    /// An entry of root's, of 1970, with usual permissions and nothing in it.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Self {
        Self {
            path: path.into(),
            kind,
            link: Vec::new(),
            mode: match kind {
                Kind::Folder => 0o755,
                Kind::Symlink => 0o777,
                _ => 0o644,
            },
            uid: 0,
            gid: 0,
            modified: (0, 0),
            size: 0,
            xattrs: std::collections::BTreeMap::new(),
        }
    }
}

fn plain(entry: &Entry) -> Entry {
    Entry { mode: 0o644, modified: (entry.modified.0, 0), ..Entry::new("pax", Kind::File) }
}

fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &str, value: &[u8]| {
        let body = key.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = body + body.to_string().len();
        if length.to_string().len() > body.to_string().len() {
            length += 1;
        }
        records.extend_from_slice(format!("{length} {key}=").as_bytes());
        records.extend_from_slice(value);
        records.push(b'\n');
    };
    if entry.path.len() > 100 {
        add("path", &entry.path);
    }
    if entry.link.len() > 100 {
        add("linkpath", &entry.link);
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > 0o7_777_777 {
            add(key, id.to_string().as_bytes());
        }
    }
    if entry.size > 0o77_777_777_777 {
        add("size", entry.size.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&format!("SCHILY.xattr.{name}"), value);
    }
    records
}

fn header(path: &[u8], link: &[u8], flag: u8, entry: &Entry) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, room: usize, bytes: &[u8]| {
        let n = bytes.len().min(room);
        block[at..at + n].copy_from_slice(&bytes[..n]);
    };
    put(0, 100, path);
    put(100, 8, format!("{:07o}", entry.mode & 0o7777).as_bytes());
    put(108, 8, format!("{:07o}", entry.uid.min(0o7_777_777)).as_bytes());
    put(116, 8, format!("{:07o}", entry.gid.min(0o7_777_777)).as_bytes());
    put(124, 12, format!("{:011o}", entry.size.min(0o77_777_777_777)).as_bytes());
    put(136, 12, format!("{:011o}", entry.modified.0.clamp(0, 0o77_777_777_777)).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
