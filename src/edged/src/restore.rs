//! `edged restore`: the objects of a backup into the data directory of a stopped device.
//!
//! In: an archive, a data directory that nobody uses. Out: a store with the archive's objects, and its
//! keys if they are asked for. The archive is checked whole before anything is replaced.

use std::path::Path;

use kedge_store::Store;

use crate::Fault;
use crate::layout::Layout;

/// Restores into a directory that is ours alone.
pub async fn stopped(layout: &Layout, file: &Path, with_keys: bool) -> Result<(), Fault> {
    let database = layout.root.join("restore.partial");
    let result = put(layout, file, &database, with_keys).await;
    // It may never have been made.
    let _ = std::fs::remove_file(&database);
    result
}

async fn put(layout: &Layout, file: &Path, database: &Path, with_keys: bool) -> Result<(), Fault> {
    let _ = std::fs::remove_file(database);
    let (manifest, keys) = kedge_apiserver::unpack(file, database)
        .map_err(|e| format!("{} was not restored, and nothing was changed: {e}", file.display()))?;
    if with_keys && keys.is_empty() {
        return Err(format!("{} holds no keys: it was made without --keys", file.display()).into());
    }
    let store = Store::open(kedge_store::Options::new(&layout.store))?;
    let restored = store.restore(database).await;
    store.close().await;
    restored
        .map_err(|e| format!("{} was not restored, and nothing was changed: {}", file.display(), crate::chain(&e)))?;
    if with_keys {
        keys.write(&layout.root.join("pki"))?;
    }
    println!("restored: the device starts as it was at {}", manifest.created);
    Ok(())
}
