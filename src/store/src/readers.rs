//! Connections that read: one for point gets, a few for lists and history.
//!
//! In: a piece of work on a snapshot. Out: its result. A get runs where it is called (microseconds); everything longer
//! runs on a blocking thread, at most as many at once as there are connections. Never writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::entry::{Entry, Revision};
use crate::error::ReadError;
use crate::log;
use crate::options::Options;
use crate::schema;

pub(crate) struct Readers {
    path: PathBuf,
    options: Options,
    gets: Mutex<Option<Connection>>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    suspect: PathBuf,
}

/// Beside the database: somebody met damage, so the next open looks at everything.
pub(crate) const SUSPECT: &str = "suspect";

impl Readers {
    pub(crate) fn new(path: PathBuf, options: &Options) -> Self {
        Self {
            path,
            options: options.clone(),
            gets: Mutex::new(None),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(options.readers.max(1))),
            suspect: options.dir.join(SUSPECT),
        }
    }

    /// The entries of some rows, read where this is called; none if compaction has taken one of them away.
    pub(crate) fn rows(&self, all: &[Revision]) -> Result<Option<Vec<Arc<Entry>>>, ReadError> {
        if self.permits.is_closed() {
            return Err(ReadError::Closed);
        }
        let mut slot = self.gets.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match slot.take() {
            Some(connection) => connection,
            None => schema::reader(&self.path, &self.options)?,
        };
        let found = log::rows(slot.insert(connection), all);
        found.map_err(|error| self.note(error))
    }

    /// Runs `work` on one snapshot of the database.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| ReadError::Closed)?;
        let readers = self.clone();
        let run = move || {
            let _permit = permit;
            let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match idle {
                Some(connection) => connection,
                None => schema::reader(&readers.path, &readers.options)?,
            };
            let result = snapshot(&connection, work);
            if !readers.permits.is_closed() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            result.map_err(|error| readers.note(error))
        };
        // A join error means that the work panicked or the runtime is going down; neither reads any more.
        tokio::task::spawn_blocking(run).await.map_err(|_| ReadError::Closed)?
    }

    /// Gives back what connections that nobody uses hold; the next reads open them again.
    pub(crate) fn relax(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        *self.gets.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Gives the connections back; later reads say that the store is closed.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.relax();
    }

    fn note(&self, error: rusqlite::Error) -> ReadError {
        if crate::check::is_damage(&error) {
            tracing::error!(%error, "the database is damaged: it will be checked and repaired at the next start");
            let _ = std::fs::File::create(&self.suspect);
        }
        ReadError::from(error)
    }
}

fn snapshot<T>(connection: &Connection, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let transaction = connection.unchecked_transaction()?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_relaxes_holds_no_connection() {
        let folder = tempfile::tempdir().unwrap();
        let (path, options) = (folder.path().join("a.db"), Options::new(folder.path()));
        Connection::open(&path).unwrap().execute_batch(schema::TABLES).unwrap();
        let readers = Arc::new(Readers::new(path, &options));
        let held = || (readers.gets.lock().unwrap().is_some(), readers.idle.lock().unwrap().len());
        for _ in 0..2 {
            assert!(readers.rows(&[7]).unwrap().is_none());
            readers.read(|_| Ok(())).await.unwrap();
            assert_eq!(held(), (true, 1));
            readers.relax();
            assert_eq!(held(), (false, 0));
        }
    }
}
