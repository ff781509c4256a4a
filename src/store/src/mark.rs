//! The high-water mark of revisions, beside the database and independent of it.
//!
//! In: the newest revision in use. Out: a promise on disk that no revision above the mark was ever seen,
//! so that revisions never repeat: not those of volatile writes, nor after the database had to be replaced.
//! Never written for a single write: it moves in blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::entry::Revision;
use crate::options::MARK_BLOCK;

const NAME: &str = "revision";

/// What the file said at open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) revision: Revision,
    /// Whether the store was closed rather than killed.
    pub(crate) clean: bool,
}

/// The mark of an open store.
pub(crate) struct Mark {
    dir: PathBuf,
    reserved: Revision,
}

/// Reads the mark. A file that is missing or makes no sense is `None`.
pub(crate) fn load(dir: &Path) -> Option<Found> {
    parse(&fs::read_to_string(dir.join(NAME)).ok()?)
}

fn parse(text: &str) -> Option<Found> {
    let (number, word) = text.strip_suffix('\n')?.split_once(' ')?;
    let clean = match word {
        "clean" => true,
        "open" => false,
        _ => return None,
    };
    Some(Found { revision: number.parse().ok()?, clean })
}

impl Mark {
    /// Reserves the first block above `revision`.
    pub(crate) fn start(dir: &Path, revision: Revision) -> io::Result<Self> {
        let mut mark = Self { dir: dir.to_owned(), reserved: revision };
        mark.write(revision + MARK_BLOCK, "open")?;
        Ok(mark)
    }

    /// Makes sure that `revision` is below the mark; moves it early, so that a full disk is noticed late.
    pub(crate) fn cover(&mut self, revision: Revision) -> io::Result<()> {
        if revision + MARK_BLOCK / 2 <= self.reserved {
            return Ok(());
        }
        match self.write(revision + MARK_BLOCK, "open") {
            Err(error) if revision > self.reserved => Err(error),
            _ => Ok(()),
        }
    }

    /// Notes that the store was closed at exactly this revision.
    pub(crate) fn close(&mut self, revision: Revision) -> io::Result<()> {
        self.write(revision, "clean")
    }

    fn write(&mut self, revision: Revision, word: &str) -> io::Result<()> {
        let temporary = self.dir.join("revision.partial");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{revision} {word}")?;
        file.sync_all()?;
        fs::rename(&temporary, self.dir.join(NAME))?;
        File::open(&self.dir)?.sync_all()?;
        self.reserved = revision;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(Revision, bool)>) {
        assert_eq!(parse(text).map(|found| (found.revision, found.clean)), expected);
    }

    #[test]
    fn only_a_whole_mark_counts() {
        check("7 clean\n", Some((7, true)));
        check("65536 open\n", Some((65536, false)));
        check("7 clean", None);
        check("7\n", None);
        check("", None);
        check("x open\n", None);
        check("7 shut\n", None);
    }

    #[test]
    fn the_mark_moves_in_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let mut mark = Mark::start(dir.path(), 10).unwrap();
        assert_eq!(load(dir.path()), Some(Found { revision: 10 + MARK_BLOCK, clean: false }));
        mark.cover(11).unwrap();
        assert_eq!(load(dir.path()).unwrap().revision, 10 + MARK_BLOCK);
        mark.cover(10 + MARK_BLOCK).unwrap();
        assert_eq!(load(dir.path()).unwrap().revision, 10 + 2 * MARK_BLOCK);
        mark.close(99).unwrap();
        assert_eq!(load(dir.path()), Some(Found { revision: 99, clean: true }));
    }
}
