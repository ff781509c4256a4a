//! Reads lines over a log's rotated files, oldest first, and goes on with the file that is being written.
//!
//! In: the path of the current file. Out: whole lines. Blocking. A rotation while reading is noticed by the file's
//! identity: what is left of the old one is read before the new one.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// No line is longer: the runtime splits at 16 KiB and adds a time stamp.
const LONGEST: u64 = 1 << 20;
/// How far back is read at once when the end is looked for.
const BLOCK: u64 = 64 << 10;

/// The n-th rotated file, 1 the newest.
pub fn rotated(file: &Path, number: u32) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Reads lines.
pub struct Reader {
    current: PathBuf,
    /// Rotated files still to be read, newest first.
    older: Vec<File>,
    open: Option<BufReader<File>>,
    line: Vec<u8>,
    /// What is open is (or was) the file that is written.
    newest: bool,
}

impl Reader {
    /// Begins at the oldest line, or so many lines before the end.
    pub fn begin(file: &Path, tail: Option<u64>) -> io::Result<Self> {
        let mut files = Vec::new();
        let mut newest = false;
        match File::open(file) {
            Ok(open) => {
                files.push(open);
                newest = true;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        for number in 1.. {
            match File::open(rotated(file, number)) {
                Ok(open) => files.push(open),
                Err(_) => break,
            }
        }
        if let Some(lines) = tail {
            keep_tail(&mut files, lines)?;
        }
        let mut reader = Self {
            current: file.to_owned(),
            open: None,
            line: Vec::new(),
            newest: newest && files.len() == 1,
            older: files,
        };
        reader.open = reader.older.pop().map(BufReader::new);
        Ok(reader)
    }

    /// The next whole line without its end; `None`: nothing more for now.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            if let Some(open) = &mut self.open {
                if self.line.last() == Some(&b'\n') {
                    self.line.clear();
                }
                let room = LONGEST.saturating_sub(self.line.len() as u64).max(1);
                open.by_ref().take(room).read_until(b'\n', &mut self.line)?;
                if self.line.last() == Some(&b'\n') {
                    return Ok(Some(&self.line[..self.line.len() - 1]));
                }
                if self.line.len() as u64 >= LONGEST {
                    self.line.clear();
                    continue;
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the next file. False: there is none yet.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some(next) = self.older.pop() {
            self.newest = self.older.is_empty();
            self.open = Some(BufReader::new(next));
            self.line.clear();
            return Ok(true);
        }
        let next = match File::open(&self.current) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let same = match &self.open {
            Some(open) => identity(open.get_ref())? == identity(&next)?,
            None => false,
        };
        if same {
            return Ok(false);
        }
        // The old file may have been written to between its last read and its rotation.
        if let Some(open) = &mut self.open
            && !open.fill_buf()?.is_empty()
        {
            return Ok(true);
        }
        self.newest = true;
        self.open = Some(BufReader::new(next));
        self.line.clear();
        Ok(true)
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let meta = file.metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// Sets the files, newest first, so that so many lines are left to be read.
fn keep_tail(files: &mut Vec<File>, lines: u64) -> io::Result<()> {
    let mut left = lines;
    for index in 0..files.len() {
        let (found, at) = last(&mut files[index], left)?;
        left -= found;
        files[index].seek(SeekFrom::Start(at))?;
        if left == 0 {
            files.truncate(index + 1);
            return Ok(());
        }
    }
    Ok(())
}

/// How many of the last `wanted` lines a file has, and where the first of them begins.
fn last(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let end = file.seek(SeekFrom::End(0))?;
    if wanted == 0 {
        return Ok((0, end));
    }
    let mut ends = 0u64;
    let mut from = end;
    let mut block = Vec::new();
    while from > 0 {
        let size = BLOCK.min(from);
        from -= size;
        file.seek(SeekFrom::Start(from))?;
        block.clear();
        file.by_ref().take(size).read_to_end(&mut block)?;
        for (index, byte) in block.iter().enumerate().rev() {
            if *byte != b'\n' {
                continue;
            }
            // The end of line number `wanted + 1` from the end is the beginning of what is wanted.
            if ends == wanted {
                return Ok((wanted, from + index as u64 + 1));
            }
            ends += 1;
        }
    }
    Ok((ends, 0))
}
