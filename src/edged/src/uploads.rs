//! Archives that arrive in pieces.
//!
//! In: pieces with their offsets. Out: a file, once it is whole. Never keeps more than a few at once, nor after a
//! restart; a piece that comes twice is written once.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::layout::{LayoutError, make};

/// Uploads under way at once; the oldest gives way, so that a client that went away blocks nobody.
const MOST: usize = 4;
/// An archive is at most this long: the largest images are some GiB.
const LONGEST: u64 = 16 << 30;

/// The folder of uploads.
pub struct Uploads {
    folder: PathBuf,
    open: Mutex<Vec<Upload>>,
}

struct Upload {
    id: String,
    length: u64,
}

/// Why a piece was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// There is no such upload.
    #[error("there is no upload {0}; it may have given way to newer ones: begin again")]
    Unknown(String),
    /// A piece is missing before this one.
    #[error("the piece begins at {offset}, but {length} bytes have arrived")]
    Gap {
        /// Where it begins.
        offset: u64,
        /// What is there.
        length: u64,
    },
    /// It is longer than anything sensible.
    #[error("an archive of more than {LONGEST} bytes is not taken")]
    TooLong,
    /// The disk refused.
    #[error("cannot keep the upload: {0}")]
    Disk(#[from] std::io::Error),
}

impl Uploads {
    /// An empty folder; what an earlier run left is removed.
    pub fn open(folder: PathBuf) -> Result<Uploads, LayoutError> {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|source| LayoutError::File {
                act: "empty",
                path: folder.clone(),
                source,
            })?;
        }
        make(&folder)?;
        Ok(Uploads { folder, open: Mutex::default() })
    }

    /// Begins an upload; gives its name.
    pub fn begin(&self) -> Result<String, UploadError> {
        let id = format!("{:016x}", rand::random::<u64>());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(self.path(&id))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() == MOST {
            let oldest = open.remove(0);
            // A file that stays is swept at the next start.
            let _ = fs::remove_file(self.path(&oldest.id));
        }
        open.push(Upload { id: id.clone(), length: 0 });
        Ok(id)
    }

    /// Adds a piece.
    pub fn add(&self, id: &str, offset: u64, piece: &[u8]) -> Result<(), UploadError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let upload =
            open.iter_mut().find(|upload| upload.id == id).ok_or_else(|| UploadError::Unknown(id.to_owned()))?;
        let end = offset.saturating_add(piece.len() as u64);
        if end > LONGEST {
            return Err(UploadError::TooLong);
        }
        if offset > upload.length {
            return Err(UploadError::Gap { offset, length: upload.length });
        }
        let mut file: File = OpenOptions::new().write(true).open(self.path(id))?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(piece)?;
        upload.length = upload.length.max(end);
        Ok(())
    }

    /// Takes a whole archive out; the caller removes the file.
    pub fn finish(&self, id: &str) -> Result<PathBuf, UploadError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let place =
            open.iter().position(|upload| upload.id == id).ok_or_else(|| UploadError::Unknown(id.to_owned()))?;
        open.remove(place);
        Ok(self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploads() -> (tempfile::TempDir, Uploads) {
        let dir = tempfile::tempdir().unwrap();
        let uploads = Uploads::open(dir.path().join("uploads")).unwrap();
        (dir, uploads)
    }

    #[test]
    fn pieces_make_a_file_and_may_come_twice() {
        let (_dir, uploads) = uploads();
        let id = uploads.begin().unwrap();
        uploads.add(&id, 0, b"abc").unwrap();
        uploads.add(&id, 3, b"def").unwrap();
        uploads.add(&id, 3, b"def").unwrap();
        assert!(matches!(uploads.add(&id, 9, b"x"), Err(UploadError::Gap { offset: 9, length: 6 })));
        assert_eq!(fs::read(uploads.finish(&id).unwrap()).unwrap(), b"abcdef");
        assert!(matches!(uploads.add(&id, 0, b"x"), Err(UploadError::Unknown(_))));
    }

    #[test]
    fn the_oldest_gives_way() {
        let (_dir, uploads) = uploads();
        let ids: Vec<String> = (0..=MOST).map(|_| uploads.begin().unwrap()).collect();
        assert!(uploads.finish(&ids[0]).is_err());
        assert!(uploads.finish(&ids[1]).is_ok());
    }

    #[test]
    fn a_name_is_no_path() {
        let (_dir, uploads) = uploads();
        assert!(matches!(uploads.add("../../etc/passwd", 0, b"x"), Err(UploadError::Unknown(_))));
    }
}
