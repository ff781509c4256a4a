//! How a layer's archive is put together again from its unpacked files, byte for byte.
//!
//! In: a tar stream while it is unpacked; later the unpacked folder. Out: a small file; later the same stream.
//! Never keeps a file's content twice: the recipe has the headers and the names of files.
//!
//! Compressed by gzip: records of a tag byte each. 0: length (4 bytes), bytes. 1: size (8), length of a path (4),
//! the path inside the folder whose content comes here. Numbers are little-endian.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::rc::Rc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};

use crate::merged::{FOLDER, Names, names};

/// All that is not a file's content: 500,000 entries with a header and extended attributes of 1.5 KiB.
const MAX_RAW: u64 = 768 << 20;
/// Bytes that are gathered before they become a record.
const CHUNK: usize = 64 * 1024;
const RAW: u8 = 0;
const CONTENT: u8 = 1;

/// Writes a recipe while a stream passes.
pub struct Recorder {
    out: GzEncoder<BufWriter<File>>,
    raw: Vec<u8>,
    seen: u64,
    in_content: bool,
}

/// A recorder and the reader that it listens to.
pub type Shared = Rc<RefCell<Recorder>>;

impl Recorder {
    /// Starts a recipe in a new file.
    pub fn create(path: &Path) -> io::Result<Shared> {
        let file = BufWriter::new(File::create_new(path)?);
        let out = GzEncoder::new(file, Compression::fast());
        Ok(Rc::new(RefCell::new(Self { out, raw: Vec::with_capacity(CHUNK), seen: 0, in_content: false })))
    }

    /// The bytes that follow are the content of the file at this path.
    pub fn content(&mut self, folder: &Names, name: &[u8], size: u64) -> io::Result<()> {
        self.flush()?;
        self.in_content = true;
        let path = folder.iter().map(Vec::as_slice).chain([name]).collect::<Vec<_>>().join(&b'/');
        self.out.write_all(&[CONTENT])?;
        self.out.write_all(&size.to_le_bytes())?;
        self.out.write_all(&(path.len() as u32).to_le_bytes())?;
        self.out.write_all(&path)
    }

    /// The content is over.
    pub fn content_over(&mut self) {
        self.in_content = false;
    }

    /// Writes what is left. Returns the recipe's size.
    pub fn finish(&mut self) -> io::Result<u64> {
        self.flush()?;
        self.out.try_finish()?;
        self.out.get_mut().flush()?;
        Ok(self.out.get_ref().get_ref().metadata()?.len())
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.in_content {
            return Ok(());
        }
        self.seen += bytes.len() as u64;
        if self.seen > MAX_RAW {
            return Err(io::Error::other(format!("its headers take more than {MAX_RAW} bytes")));
        }
        self.raw.extend_from_slice(bytes);
        if self.raw.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.raw.is_empty() {
            self.out.write_all(&[RAW])?;
            self.out.write_all(&(self.raw.len() as u32).to_le_bytes())?;
            self.out.write_all(&self.raw)?;
            self.raw.clear();
        }
        Ok(())
    }
}

/// Passes bytes through to the one who unpacks, and to the recorder.
pub struct Recorded<R> {
    pub inner: R,
    pub recorder: Shared,
}

impl<R: Read> Read for Recorded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.recorder.borrow_mut().pass(&buffer[..n])?;
        Ok(n)
    }
}

/// Writes the archive that the recipe was made from, with the contents of the folder's files.
pub fn replay(recipe: &Path, folder: &Path, out: &mut dyn Write) -> io::Result<()> {
    let root = rustix::fs::open(folder, FOLDER, Mode::empty())?;
    let mut recipe = BufReader::new(GzDecoder::new(File::open(recipe)?));
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a layer's recipe is damaged");
    loop {
        let mut tag = [0];
        if recipe.read(&mut tag)? == 0 {
            return Ok(());
        }
        match tag[0] {
            RAW => {
                let length = u64::from(u32::from_le_bytes(array(&mut recipe)?));
                if io::copy(&mut (&mut recipe).take(length), out)? != length {
                    return Err(damaged());
                }
            }
            CONTENT => {
                let size = u64::from_le_bytes(array(&mut recipe)?);
                let length = u32::from_le_bytes(array(&mut recipe)?);
                let mut path = Vec::new();
                (&mut recipe).take(length.into()).read_to_end(&mut path)?;
                let mut at = rustix::fs::openat(&root, ".", FOLDER, Mode::empty())?;
                let mut rest = names(&path);
                let name = rest.pop_back().ok_or_else(damaged)?;
                for name in rest {
                    at = rustix::fs::openat(&at, name.as_slice(), FOLDER, Mode::empty())?;
                }
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let file = File::from(rustix::fs::openat(&at, name.as_slice(), flags, Mode::empty())?);
                if io::copy(&mut file.take(size), out)? != size {
                    return Err(damaged());
                }
            }
            _ => return Err(damaged()),
        }
    }
}

fn array<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}
