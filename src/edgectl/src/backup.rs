//! `backup` and `restore`: a device's objects to a file and back, while it runs.
//!
//! In: a file name. Out: an archive, mode 0600, that was checked whole; or a device with an
//! archive's objects. A backup is written as it comes; a restore is held in memory, within a bound. An
//! archive that is no good is not sent.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use futures::StreamExt as _;
use http::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::args::{Backup, Restore};
use crate::error::Failure;
use crate::session::Session;

/// What archives begin with.
const MAGIC: &[u8] = b"kedge-backup\n";
/// Bytes of the checksum at their end.
const DIGEST: usize = 32;
/// The largest archive that is held: a device's is 5 to 50 MB.
const LARGEST: u64 = 1 << 30;

/// Tells whether what passes is a whole archive.
#[derive(Default)]
struct Check {
    digest: Sha256,
    head: Vec<u8>,
    /// The newest bytes, which are the checksum if nothing follows.
    tail: Vec<u8>,
    length: u64,
}

impl Check {
    fn pass(&mut self, piece: &[u8]) {
        let missing = MAGIC.len().saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..missing]);
        self.length += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        let ready = self.tail.len().saturating_sub(DIGEST);
        self.digest.update(&self.tail[..ready]);
        self.tail.drain(..ready);
    }

    fn end(self) -> Result<u64, Failure> {
        if self.head != MAGIC {
            return Err(Failure::said("this is no backup of Kedge"));
        }
        if self.digest.finalize()[..] != self.tail[..] {
            return Err(Failure::said("the backup is incomplete or damaged: its checksum does not fit"));
        }
        Ok(self.length)
    }
}

/// Runs `backup`.
pub async fn backup(session: Session, args: Backup) -> Result<ExitCode, Failure> {
    let partial = PathBuf::from(format!("{}.partial", args.file.display()));
    let result = fetch(&session, &args, &partial).await;
    if result.is_err() {
        // It may never have been made.
        let _ = std::fs::remove_file(&partial);
    }
    let length = result?;
    let keys = if args.keys { "with keys: keep it like a password" } else { "without keys" };
    println!("backup written to {} ({length} bytes, {keys})", args.file.display());
    Ok(ExitCode::SUCCESS)
}

async fn fetch(session: &Session, args: &Backup, partial: &Path) -> Result<u64, Failure> {
    if args.file.is_dir() {
        return Err(Failure::said(format!("{} is a folder; name the file to write", args.file.display())));
    }
    if args.file.exists() && !args.force {
        return Err(Failure::said(format!("{} is there; --force replaces it", args.file.display())));
    }
    let path = if args.keys { "/kedge/v1/backup/keys" } else { "/kedge/v1/backup" };
    let mut pieces = session.client.stream(path).await?;
    let failed = |e: std::io::Error| Failure::said(format!("cannot write {}: {e}", args.file.display()));
    let _ = std::fs::remove_file(partial);
    let mut options = tokio::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(partial).await.map_err(failed)?;
    let mut check = Check::default();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        check.pass(&piece);
        file.write_all(&piece).await.map_err(failed)?;
    }
    let length = check.end()?;
    file.sync_all().await.map_err(failed)?;
    drop(file);
    tokio::fs::rename(partial, &args.file).await.map_err(failed)?;
    Ok(length)
}

/// Runs `restore`.
pub async fn restore(session: Session, args: Restore) -> Result<ExitCode, Failure> {
    let failed = |source| Failure::Read { path: args.file.clone(), source };
    if std::fs::metadata(&args.file).map_err(failed)?.len() > LARGEST {
        return Err(Failure::said("the backup is larger than 1 GiB; use edged restore on the device"));
    }
    let bytes = std::fs::read(&args.file).map_err(failed)?;
    let mut check = Check::default();
    check.pass(&bytes);
    check.end()?;
    if !args.yes {
        let server = session.client.get(&kedge_client::ResourcePath::core("namespaces").name("kube-system")).await?;
        let uid = server["metadata"]["uid"].as_str().unwrap_or("unknown");
        return Err(Failure::said(format!(
            "this replaces every object of the cluster (kube-system has the uid {uid}); say --yes to do it"
        )));
    }
    let path = if args.keys { "/kedge/v1/restore/keys" } else { "/kedge/v1/restore" };
    let answer = session.client.call(Method::POST, path, Some("application/octet-stream"), bytes).await?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let made = answer["details"]["created"].as_str().unwrap_or("an unknown time");
    println!("restored: the cluster is as it was at {made}");
    if args.keys {
        println!("the keys of the backup count from the next start of edged");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], pieces: usize, expected: &str) {
        let mut check = Check::default();
        bytes.chunks(pieces).for_each(|piece| check.pass(piece));
        let seen = check.end().map_or_else(|e| e.to_string(), |length| length.to_string());
        assert!(seen.contains(expected), "{seen:?} does not say {expected:?}");
    }

    #[test]
    fn only_a_whole_archive_passes() {
        let mut good = [MAGIC, b"{}\nsomething of some length, longer than a checksum"].concat();
        let digest = Sha256::digest(&good);
        good.extend_from_slice(&digest);
        for pieces in [1, 7, 31, 32, 33, 1000] {
            check(&good, pieces, &good.len().to_string());
            check(&good[..good.len() - 1], pieces, "its checksum does not fit");
        }
        check(b"", 1, "no backup");
        check(b"SQLite format 3", 4, "no backup");
        check(MAGIC, 4, "its checksum does not fit");
    }
}
