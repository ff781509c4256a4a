//! Events in a file, one a line, and the files that it was before.
//!
//! In: lines that wait. Out: `audit.log`, which only its owner can read, and rotated files beside
//! it. Lines are written together some seconds after the first of them, so that flash is written
//! once for many; nothing is written while nothing waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::AuditLog;
use super::buffer::Buffer;
use crate::clock::Clock;

/// So many bytes are written at once, and earlier than the delay says when so many wait.
const PIECE: usize = 256 * 1024;
/// Lines in a piece, at most.
const LINES: usize = 4096;
/// What requests leave that end with the server is waited for this long.
const FAREWELL: Duration = Duration::from_millis(200);

/// Writes lines until the server stops.
pub async fn run(log: AuditLog, buffer: Arc<Buffer>, clock: Clock, stop: CancellationToken) {
    let delay = log.delay;
    let mut writer = Writer { log, open: None };
    loop {
        tokio::select! {
            () = buffer.told() => {}
            () = stop.cancelled() => break,
        }
        let full = async {
            while buffer.bytes() < PIECE {
                buffer.told().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = full => {}
            () = stop.cancelled() => {}
        }
        writer = flush(writer, &buffer, &clock).await;
    }
    let _ = tokio::time::timeout(FAREWELL, std::future::pending::<()>()).await;
    flush(writer, &buffer, &clock).await;
}

/// Writes everything that waits.
async fn flush(mut writer: Writer, buffer: &Buffer, clock: &Clock) -> Writer {
    loop {
        let lines = buffer.take(LINES, PIECE);
        if lines.is_empty() {
            return writer;
        }
        let count = lines.len();
        let log = writer.log.clone();
        let now = clock.now();
        let written = tokio::task::spawn_blocking(move || {
            let outcome = writer.write(&lines, now);
            (writer, outcome)
        });
        match written.await {
            Ok((back, outcome)) => {
                writer = back;
                if let Err(error) = outcome {
                    tracing::error!(%error, file = %log.path.display(), "the audit log cannot be written");
                    buffer.lose(count);
                    writer.open = None;
                }
            }
            // The runtime is going down.
            Err(_) => return Writer { log, open: None },
        }
    }
}

struct Writer {
    log: AuditLog,
    /// The file and its size.
    open: Option<(File, u64)>,
}

impl Writer {
    fn write(&mut self, lines: &[Arc<str>], now: SystemTime) -> io::Result<()> {
        let mut piece = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            piece.extend_from_slice(line.as_bytes());
            piece.push(b'\n');
        }
        let size = piece.len() as u64;
        if self.opened()?.1 > 0 && self.opened()?.1 + size > self.log.max_bytes {
            self.rotate(now)?;
        }
        let open = self.opened()?;
        open.0.write_all(&piece)?;
        open.1 += size;
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.log.path)?;
            let size = file.metadata()?.len();
            self.open = Some((file, size));
        }
        self.open.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Puts the file aside and removes those that are too many or too old.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        self.open = None;
        std::fs::rename(&self.log.path, aside(&self.log.path, now))?;
        let mut old = rotated(&self.log.path)?;
        // Their names are their times: the newest first.
        old.sort_by(|a, b| b.cmp(a));
        let too_old = |path: &Path| {
            let age = std::fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| now.duration_since(t).ok());
            !self.log.max_age.is_zero() && age.is_some_and(|age| age > self.log.max_age)
        };
        for (at, path) in old.iter().enumerate() {
            if (self.log.max_files > 0 && at >= self.log.max_files) || too_old(path) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// `audit.log` becomes `audit-2026-01-02T03-04-05.678901.log`.
fn aside(path: &Path, now: SystemTime) -> PathBuf {
    let (stem, extension) = parts(path);
    let time = kedge_api::clock::micro(now).replace(':', "-");
    path.with_file_name(format!("{stem}-{}{extension}", time.trim_end_matches('Z')))
}

fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    let extension = match text(path.extension()) {
        extension if extension.is_empty() => extension,
        extension => format!(".{extension}"),
    };
    (text(path.file_stem()), extension)
}

/// The files that were put aside.
fn rotated(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, extension) = parts(path);
    let start = format!("{stem}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path.parent().unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&start) && name.ends_with(&extension) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_full_file_is_put_aside_and_only_so_many_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let log = AuditLog {
            path: path.clone(),
            max_bytes: 20,
            max_files: 2,
            max_age: Duration::ZERO,
            delay: Duration::ZERO,
        };
        let mut writer = Writer { log, open: None };
        for at in 0..6u64 {
            let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + at);
            writer.write(&["123456789".into(), format!("line {at}").into()], now).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "123456789\nline 5\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut old: Vec<String> =
            rotated(&path).unwrap().iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect();
        old.sort();
        assert_eq!(old, ["audit-2023-11-14T22-13-24.000000.log", "audit-2023-11-14T22-13-25.000000.log"]);
    }
}
