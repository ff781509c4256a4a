//! Backup and restore of a running device: `GET /kedge/v1/backup`, `POST /kedge/v1/restore`.
//!
//! In: a call that was let in (verbs `get` and `post` on these paths; with `/keys` behind them the
//! certificate authority and the tokens' key come along). Out: an archive, piece by piece; or the
//! archive's objects in the place of all that are there. One at a time. Nothing is replaced before
//! the whole archive was found good (`archive.rs`).

pub mod archive;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, StatusCode, header};
use kedge_api::status::{Reason, Status};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::OwnedSemaphorePermit;

use crate::bootstrap;
use crate::chain::Call;
use crate::core::Core;
use crate::request::Verb;
use crate::respond::{self, Answer};
use crate::upkeep;
use archive::{ArchiveFault, Keys, Manifest};

/// What all paths of this module begin with.
pub const ROOT: &str = "/kedge/v1/";
/// The largest archive that is taken: many times a full device's database.
const MOST: u64 = 4 << 30;
/// The archive is sent in pieces of this size.
const PIECE: usize = 64 * 1024;

/// Answers a call below [`ROOT`].
pub async fn answer(call: &mut Call) -> Result<Answer, Status> {
    let path = call.info.path.clone();
    match (path.trim_start_matches(ROOT).trim_end_matches('/'), call.info.verb) {
        ("backup", Verb::Get) => backup(call, false).await,
        ("backup/keys", Verb::Get) => backup(call, true).await,
        ("restore", Verb::Post) => restore(call, false).await,
        ("restore/keys", Verb::Post) => restore(call, true).await,
        ("backup" | "backup/keys" | "restore" | "restore/keys", _) => Err(Status::method_not_allowed()),
        _ => Err(Status::no_such_resource()),
    }
}

/// Files under way are here; what a crash left behind goes at the next start.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("transfer")
}

/// A file that goes when it is let go.
struct Passing {
    path: PathBuf,
    _turn: Option<Arc<OwnedSemaphorePermit>>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Waits for nobody: a second backup or restore is told to come again.
fn turn(core: &Core) -> Result<Arc<OwnedSemaphorePermit>, Status> {
    let turn = core.transfers.clone().try_acquire_owned();
    let turn = turn.map_err(|_| Status::too_many_requests("a backup or restore is under way", 10))?;
    make_folder(&folder(&core.config.data_dir)).map_err(|e| failed("make a folder for", &e))?;
    Ok(Arc::new(turn))
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn failed(act: &str, error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "cannot {act} a backup or restore");
    Status::internal(format!("cannot {act} the backup or restore: {error}"))
}

fn passing(core: &Core, name: &str, turn: &Arc<OwnedSemaphorePermit>) -> Passing {
    let path = folder(&core.config.data_dir).join(format!("{name}-{}", core.random.uid()));
    Passing { path, _turn: Some(turn.clone()) }
}

async fn backup(call: &Call, with_keys: bool) -> Result<Answer, Status> {
    let core = &call.core;
    let turn = turn(core)?;
    let database = passing(core, "backup", &turn);
    core.store.backup(&database.path).await.map_err(|e| failed("make", &e))?;
    let keys = match with_keys {
        true => Keys::read(&core.config.data_dir.join("pki")).map_err(|e| failed("read the keys for", &e))?,
        false => Keys::default(),
    };
    let size = tokio::fs::metadata(&database.path).await.map_err(|e| failed("read", &e))?.len();
    let manifest = Manifest::new(core.timestamp(), core.store.revision(), size, &keys);
    let head = archive::head(&manifest);
    let tail = keys.encode();
    let length = head.len() as u64 + size + tail.len() as u64 + archive::DIGEST as u64;
    let file = tokio::fs::File::open(&database.path).await.map_err(|e| failed("read", &e))?;
    tracing::info!(user = call.who.name, bytes = length, with_keys, "a backup is sent");
    let sending = Sending {
        next: Step::Head(Bytes::from(head)),
        file,
        tail: Bytes::from(tail),
        digest: ring::digest::Context::new(&ring::digest::SHA256),
        _database: database,
    };
    let pieces = futures::stream::try_unfold(sending, |mut sending| async move {
        let piece = sending.piece().await?;
        Ok::<_, std::io::Error>(piece.map(|piece| (piece, sending)))
    });
    let mut answer = respond::stream("application/octet-stream", Body::from_stream(pieces));
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(answer)
}

/// An archive under way.
struct Sending {
    next: Step,
    file: tokio::fs::File,
    tail: Bytes,
    digest: ring::digest::Context,
    _database: Passing,
}

enum Step {
    Head(Bytes),
    Database,
    Digest,
    Done,
}

impl Sending {
    async fn piece(&mut self) -> std::io::Result<Option<Bytes>> {
        match std::mem::replace(&mut self.next, Step::Done) {
            Step::Head(head) => {
                self.next = Step::Database;
                self.digest.update(&head);
                Ok(Some(head))
            }
            Step::Database => {
                let mut piece = vec![0u8; PIECE];
                let read = self.file.read(&mut piece).await?;
                piece.truncate(read);
                let piece = match read {
                    0 => {
                        self.next = Step::Digest;
                        std::mem::take(&mut self.tail)
                    }
                    _ => {
                        self.next = Step::Database;
                        Bytes::from(piece)
                    }
                };
                self.digest.update(&piece);
                Ok(Some(piece))
            }
            Step::Digest => Ok(Some(Bytes::copy_from_slice(self.digest.clone().finish().as_ref()))),
            Step::Done => Ok(None),
        }
    }
}

async fn restore(call: &mut Call, with_keys: bool) -> Result<Answer, Status> {
    let core = call.core.clone();
    let turn = turn(&core)?;
    let received = passing(&core, "archive", &turn);
    receive(call, &received.path).await?;
    let database = passing(&core, "restore", &turn);
    let (from, to) = (received.path.clone(), database.path.clone());
    let unpacked = tokio::task::spawn_blocking(move || archive::unpack(&from, &to)).await;
    let (manifest, keys) = unpacked.map_err(|e| failed("unpack", &e))?.map_err(refused)?;
    if with_keys && keys.is_empty() {
        return Err(Status::bad_request("the archive holds no keys: it was made without them"));
    }
    let revision = core.store.restore(&database.path).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "a backup cannot be restored");
        Status::bad_request(format!("the archive was not restored: {}", archive::words(&error)))
    })?;
    if with_keys {
        keys.write(&core.config.data_dir.join("pki")).map_err(|e| failed("write the keys of", &e))?;
    }
    again(&core).await?;
    if !with_keys {
        // What the archive holds may be of a time when values were kept otherwise. Keys that came along hold from the
        // next start on, which does the same.
        core.tasks.spawn(upkeep::reseal(core.clone()));
    }
    tracing::warn!(user = call.who.name, revision, made = manifest.created, "all objects were replaced by a backup's");
    let mut status = Status::new(200, Reason::Other(String::new()), "restored").to_json();
    status["status"] = json!("Success");
    status["details"] =
        json!({"kind": "backup", "created": manifest.created, "revision": revision.to_string(), "keys": with_keys});
    Ok(respond::bytes(StatusCode::OK, "application/json", status.to_string()))
}

fn refused(fault: ArchiveFault) -> Status {
    match fault {
        ArchiveFault::File { .. } => failed("unpack", &fault),
        fault => Status::bad_request(format!("the archive was not accepted, and nothing was changed: {fault}")),
    }
}

/// Writes the body to a file, within its bounds of size and time.
async fn receive(call: &mut Call, path: &Path) -> Result<(), Status> {
    let mut options = tokio::fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).await.map_err(|e| failed("write", &e))?;
    let patience = call.core.config.limits.body_time;
    let body = std::mem::take(call.body.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
    let mut pieces = body.into_data_stream();
    let mut length = 0u64;
    loop {
        let piece = tokio::time::timeout(patience, pieces.next()).await;
        let Some(piece) = piece.map_err(|_| Status::timeout("the archive did not arrive in time", 0))? else { break };
        let piece = piece.map_err(|e| Status::bad_request(format!("the archive could not be read: {e}")))?;
        length += piece.len() as u64;
        if length > MOST {
            return Err(Status::too_large(usize::try_from(MOST).unwrap_or(usize::MAX)));
        }
        file.write_all(&piece).await.map_err(|e| failed("write", &e))?;
    }
    file.flush().await.map_err(|e| failed("write", &e))
}

/// What is remembered of the objects beside the store is learned again; what follows the store
/// finds its history gone and does so by itself.
async fn again(core: &Core) -> Result<(), Status> {
    core.services.forget();
    core.encoded.forget();
    core.batches.forget();
    core.presence.count(&core.store).await.map_err(|e| failed("read what was put back by", &e))?;
    bootstrap::run(core).await
}
