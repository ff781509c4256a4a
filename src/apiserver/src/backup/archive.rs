//! The archive of a backup: a line that says what it is, a manifest, the database, keys, a digest.
//!
//! In: a manifest and keys, or an archive's file. Out: bytes, or the database in a file of its own
//! once the whole was found good. The digest at the end is over everything before it, so a cut or
//! changed archive is never taken.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::tls::authority::write_private;
use crate::vault::settings::OWN;

/// The first line.
const MAGIC: &[u8] = b"kedge-backup\n";
/// The newest format known here.
const FORMAT: u32 = 1;
/// Bytes of the digest at the end.
pub const DIGEST: usize = 32;
/// A manifest is at most this; ours are 200 bytes.
const MANIFEST: usize = 64 * 1024;
/// Keys are at most this; ours are 2 KB.
const KEYS: u64 = 1 << 20;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The format; a greater one than ours is refused.
    pub format: u32,
    /// The release that made it.
    pub release: String,
    /// When, RFC 3339.
    pub created: String,
    /// The store's revision then.
    pub revision: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of the keys; 0 if they are left out.
    pub keys_bytes: u64,
}

/// The certificate authority, the key of tokens, and the device's own encryption key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    #[serde(rename = "ca.crt", default)]
    certificate: String,
    #[serde(rename = "ca.key", default)]
    key: String,
    #[serde(rename = "sa.key", default)]
    tokens: String,
    /// The device's own encryption key, if it has one.
    #[serde(rename = "encryption.yaml", default, skip_serializing_if = "String::is_empty")]
    encryption: String,
}

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// Something else.
    #[error("it is no backup of Kedge")]
    NotOne,
    /// Of a later release.
    #[error("it was made by a newer release ({0}): install that release or a newer one")]
    Newer(String),
    /// Not all of it, or more.
    #[error("it is incomplete or damaged: {found} bytes instead of {wanted}")]
    Length {
        /// How long it is.
        found: u64,
        /// How long it should be.
        wanted: u64,
    },
    /// Not what was made.
    #[error("it is damaged: its checksum does not fit")]
    Digest,
    /// Keys that are none.
    #[error("its keys cannot be read: {0}")]
    Keys(String),
    /// A file cannot be read or written.
    #[error("cannot {act} {path}: {source}")]
    File {
        /// What was attempted.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl Manifest {
    /// Of a database and keys.
    pub fn new(created: String, revision: u64, database_bytes: u64, keys: &Keys) -> Self {
        Manifest {
            format: FORMAT,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            created,
            revision,
            database_bytes,
            keys_bytes: keys.encode().len() as u64,
        }
    }
}

/// What an archive begins with.
pub fn head(manifest: &Manifest) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    // Texts and numbers always serialize, and a Vec takes all bytes.
    let _ = serde_json::to_writer(&mut out, manifest);
    out.push(b'\n');
    out
}

impl Keys {
    const FILES: [&str; 3] = ["ca.crt", "ca.key", "sa.key"];

    /// The keys in a folder.
    pub fn read(folder: &Path) -> std::io::Result<Keys> {
        let [certificate, key, tokens] = Self::FILES.map(|name| std::fs::read_to_string(folder.join(name)));
        let encryption = match std::fs::read_to_string(folder.join(OWN)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        Ok(Keys { certificate: certificate?, key: key?, tokens: tokens?, encryption })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Keys::default()
    }

    /// As they are in an archive; nothing if there are none.
    pub fn encode(&self) -> Vec<u8> {
        if self.is_empty() { Vec::new() } else { serde_json::to_vec(self).unwrap_or_default() }
    }

    /// Those that an archive holds; none if there is nothing.
    pub fn decode(text: &[u8]) -> Result<Keys, ArchiveFault> {
        if text.is_empty() {
            return Ok(Keys::default());
        }
        serde_json::from_slice(text).map_err(|e| ArchiveFault::Keys(e.to_string()))
    }

    /// Puts them in the place of those in a folder; they count from the next start.
    pub fn write(&self, folder: &Path) -> Result<(), crate::tls::AuthorityError> {
        std::fs::create_dir_all(folder).map_err(|source| crate::tls::AuthorityError::File {
            act: "create",
            path: folder.to_owned(),
            source,
        })?;
        let texts = [&self.certificate, &self.key, &self.tokens];
        // The certificate last: one without its key could never be used.
        for (name, text) in Self::FILES.into_iter().zip(texts).rev() {
            write_private(&folder.join(name), text)?;
        }
        if !self.encryption.is_empty() {
            write_private(&folder.join(OWN), &self.encryption)?;
        }
        Ok(())
    }
}

/// Checks an archive whole and puts its database in a file of its own, mode 0600.
pub fn unpack(archive: &Path, database: &Path) -> Result<(Manifest, Keys), ArchiveFault> {
    let fault = |act, path: &Path| {
        let path = path.to_owned();
        move |source| ArchiveFault::File { act, path, source }
    };
    let read = || fault("read", archive);
    let mut file = BufReader::new(File::open(archive).map_err(read())?);
    let found = file.get_ref().metadata().map_err(read())?.len();
    // Once for the digest: nothing is written of what is not good.
    let (manifest, before) = verify(&mut file, found).map_err(|refusal| match refusal {
        Refusal::Fault(fault) => fault,
        Refusal::Unread(source) => read()(source),
    })?;
    file.seek(SeekFrom::Start(before)).map_err(read())?;
    let mut options = std::fs::OpenOptions::new();
    let mut target =
        options.write(true).create_new(true).mode(0o600).open(database).map_err(fault("make", database))?;
    std::io::copy(&mut (&mut file).take(manifest.database_bytes), &mut target)
        .and_then(|_| target.flush())
        .map_err(fault("write", database))?;
    let mut text = Vec::new();
    file.take(manifest.keys_bytes).read_to_end(&mut text).map_err(read())?;
    Ok((manifest, Keys::decode(&text)?))
}

/// Why an archive is not taken, where it may be that it could not be read.
#[derive(Debug)]
pub enum Refusal {
    /// It is not good.
    Fault(ArchiveFault),
    /// It cannot be read.
    Unread(std::io::Error),
}

impl From<ArchiveFault> for Refusal {
    fn from(fault: ArchiveFault) -> Self {
        Refusal::Fault(fault)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(source: std::io::Error) -> Self {
        Refusal::Unread(source)
    }
}

/// Reads an archive of so many bytes whole; out: its manifest, and where the database begins.
pub fn verify(file: &mut dyn BufRead, found: u64) -> Result<(Manifest, u64), Refusal> {
    let mut digest = Context::new(&SHA256);
    let head = line(file, MAGIC.len())?;
    if head != MAGIC {
        return Err(ArchiveFault::NotOne.into());
    }
    let text = line(file, MANIFEST)?;
    digest.update(&head);
    digest.update(&text);
    let manifest = manifest(&text)?;
    let before = (head.len() + text.len()) as u64;
    let parts = [before, manifest.database_bytes, manifest.keys_bytes, DIGEST as u64];
    let wanted = parts.into_iter().try_fold(0u64, u64::checked_add).ok_or(ArchiveFault::NotOne)?;
    if found != wanted || manifest.keys_bytes > KEYS {
        return Err(ArchiveFault::Length { found, wanted }.into());
    }
    let mut piece = vec![0u8; 64 * 1024];
    let mut left = found - before - DIGEST as u64;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        file.read_exact(&mut piece[..take])?;
        digest.update(&piece[..take]);
        left -= take as u64;
    }
    let mut said = [0u8; DIGEST];
    file.read_exact(&mut said)?;
    if digest.finish().as_ref() != said {
        return Err(ArchiveFault::Digest.into());
    }
    Ok((manifest, before))
}

/// A line with its end, of at most `most` bytes.
fn line(file: &mut dyn BufRead, most: usize) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    file.take(most as u64).read_until(b'\n', &mut line)?;
    Ok(line)
}

fn manifest(text: &[u8]) -> Result<Manifest, ArchiveFault> {
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|_| ArchiveFault::NotOne)?;
    let format = value["format"].as_u64().ok_or(ArchiveFault::NotOne)?;
    if format > u64::from(FORMAT) {
        return Err(ArchiveFault::Newer(value["release"].as_str().unwrap_or("unknown").to_owned()));
    }
    serde_json::from_value(value).map_err(|_| ArchiveFault::NotOne)
}

/// An error with its causes in one line.
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(keys: &Keys) -> Vec<u8> {
        let mut bytes = head(&Manifest::new("2026-01-01T00:00:00Z".into(), 7, 5, keys));
        bytes.extend_from_slice(b"12345");
        bytes.extend_from_slice(&keys.encode());
        let digest = ring::digest::digest(&SHA256, &bytes);
        bytes.extend_from_slice(digest.as_ref());
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&from, bytes).unwrap();
        let seen = match unpack(&from, &to) {
            Ok((manifest, keys)) => {
                let text = std::fs::read_to_string(&to).unwrap();
                format!("{} {text} {}", manifest.revision, keys.tokens)
            }
            Err(fault) => {
                assert!(!to.exists(), "nothing is written of a bad archive");
                fault.to_string()
            }
        };
        assert!(seen.starts_with(expected), "{seen:?} does not begin with {expected:?}");
    }

    #[test]
    fn a_whole_archive_is_taken_and_no_other() {
        let keys = Keys { certificate: "c".into(), key: "k".into(), tokens: "t".into(), encryption: String::new() };
        let good = archive(&keys);
        check(&good, "7 12345 t");
        check(&archive(&Keys::default()), "7 12345 ");
        for cut in [0, 1, 13, 20, good.len() - 33, good.len() - 1] {
            check(&good[..cut], if cut < 14 { "it is no backup" } else { "it is" });
        }
        let mut longer = good.clone();
        longer.push(0);
        check(&longer, "it is incomplete or damaged");
        let mut changed = good.clone();
        let at = changed.windows(5).position(|w| w == b"12345").unwrap();
        changed[at] = b'9';
        check(&changed, "it is damaged: its checksum");
        check(b"SQLite format 3\0", "it is no backup");
        check(b"kedge-backup\n[]\n", "it is no backup");
        check(b"kedge-backup\n{\"format\":99,\"release\":\"9.0\"}\n", "it was made by a newer release (9.0)");
        let huge = b"kedge-backup\n{\"format\":1,\"release\":\"\",\"created\":\"\",\"revision\":1,\"databaseBytes\":18446744073709551615,\"keysBytes\":9}\n";
        check(huge, "it is no backup");
        check(&[b"kedge-backup\n".as_slice(), &vec![b'x'; 200_000]].concat(), "it is no backup");
    }
}
