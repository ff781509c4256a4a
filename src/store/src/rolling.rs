//! When the next rolling backup is due, and the thread that makes it.
//!
//! In: that something was written, and when. Out: a backup, after its time. An idle store is never copied and never
//! wakes for it; a store that was written to wakes once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::backup;
use crate::entry::Revision;
use crate::error::BackupError;
use crate::files::BACKUPS;
use crate::metrics::add;
use crate::options::Options;
use crate::schema;
use crate::shared::Shared;

pub(crate) struct Rolling {
    options: Options,
    database: PathBuf,
    folder: PathBuf,
    last: Option<Instant>,
    due: Option<Instant>,
    running: Option<JoinHandle<()>>,
}

impl Rolling {
    pub(crate) fn new(options: &Options, database: &Path, now: Instant) -> Self {
        let folder = options.dir.join(BACKUPS);
        let last = if backup::list(&folder).is_empty() { None } else { Some(now) };
        Self { options: options.clone(), database: database.to_owned(), folder, last, due: None, running: None }
    }

    /// Something was written.
    pub(crate) fn dirty(&mut self, now: Instant) {
        if self.due.is_none() && self.options.backups.keep > 0 {
            self.due = Some(match self.last {
                Some(last) => (last + self.options.backups.every).max(now),
                None => now + self.options.backups.first,
            });
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn start_if_due(&mut self, now: Instant, revision: Revision, shared: &Arc<Shared>) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        self.last = Some(now);
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let (options, database, folder) = (self.options.clone(), self.database.clone(), self.folder.clone());
        let shared = shared.clone();
        let make = move || {
            let made = schema::source(&database, &options).map_err(|error| error.to_string()).and_then(|source| {
                backup::roll(&source, &folder, revision, options.backups.keep).map_err(|error| error.to_string())
            });
            match made {
                Ok(path) => {
                    add(&shared.counters.backups, 1);
                    tracing::debug!(path = %path.display(), "a backup was made");
                }
                Err(error) => {
                    add(&shared.counters.failed_backups, 1);
                    tracing::warn!(%error, "a backup could not be made");
                }
            }
        };
        match std::thread::Builder::new().name("store-backup".to_owned()).spawn(make) {
            Ok(running) => self.running = Some(running),
            Err(error) => tracing::warn!(%error, "a backup could not be started"),
        }
    }

    /// Exchanges all backups for a new one, if there are any.
    pub(crate) fn renew(&mut self, now: Instant, revision: Revision) -> Result<(), BackupError> {
        self.join();
        if backup::list(&self.folder).is_empty() {
            return Ok(());
        }
        let failed = |source| BackupError::Copy { path: self.folder.clone(), source };
        let source = schema::source(&self.database, &self.options).map_err(failed)?;
        backup::roll(&source, &self.folder, revision, 1)?;
        (self.last, self.due) = (Some(now), None);
        Ok(())
    }

    /// Waits for a backup that is being made.
    pub(crate) fn join(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}
