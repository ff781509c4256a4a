//! The instances of a definition that is being deleted go first, then its finalizer.
//!
//! In: the name of a definition. Out: deletions, and the definition without its finalizer. One task for each definition
//! that is being deleted; it waits for the store's events of its instances.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use kedge_api::custom::{self, Definition, conditions};
use kedge_api::kinds::Kind;
use kedge_api::{Object, meta};
use kedge_store::{Change, Entry};

use super::PREFIX;
use crate::core::Core;
use crate::registry::delete::{self, DeleteOptions};
use crate::registry::own::Own;
use crate::registry::{body, keys, rules};

/// The definitions whose instances are being deleted.
#[derive(Debug, Clone, Default)]
pub(super) struct Cleaning(Arc<Mutex<BTreeSet<String>>>);

impl Cleaning {
    /// Begins, unless it has begun.
    pub fn start(&self, core: &Arc<Core>, name: &str) {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        if begun {
            let (this, core, name) = (self.clone(), core.clone(), name.to_owned());
            core.clone().tasks.spawn(async move {
                clean(&core, &format!("{PREFIX}{name}")).await;
                this.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
            });
        }
    }
}

/// What became of a try.
enum Tried {
    Done,
    Again,
}

async fn clean(core: &Arc<Core>, key: &str) {
    loop {
        let tried = tokio::select! {
            tried = attempt(core, key) => tried,
            () = core.stop.cancelled() => return,
        };
        match tried {
            Ok(Tried::Done) => return,
            Ok(Tried::Again) => {}
            Err(why) => {
                tracing::warn!(key, why, "cannot delete the instances of a definition yet");
                tokio::select! {
                    () = tokio::time::sleep(crate::upkeep::BREATH) => {}
                    () = core.stop.cancelled() => return,
                }
            }
        }
    }
}

async fn attempt(core: &Core, key: &str) -> Result<Tried, String> {
    let Some((entry, mut object)) = read(core, key).await? else { return Ok(Tried::Done) };
    if meta::deletion_timestamp(&object).is_none() || !meta::finalizers(&object).any(|f| f == custom::CLEANUP) {
        return Ok(Tried::Done);
    }
    let now = core.timestamp();
    if !conditions::is_true(&object, "Established") {
        let said = ("False", "NeverEstablished", "resource was never established");
        conditions::set(&mut object, "Terminating", said, &now);
        return release(core, &entry, object).await;
    }
    let said = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
    let mut marked = object.clone();
    conditions::set(&mut marked, "Terminating", said, &now);
    if marked != object && !write(core, &entry, &marked).await? {
        return Ok(Tried::Again);
    }
    if let Err(why) = empty(core, &object).await {
        let message = format!("could not issue all deletes: {why}");
        if let Some((entry, mut object)) = read(core, key).await? {
            let said = ("True", "InstanceDeletionFailed", message.as_str());
            conditions::set(&mut object, "Terminating", said, &core.timestamp());
            write(core, &entry, &object).await?;
        }
        return Err(message);
    }
    let Some((entry, mut object)) = read(core, key).await? else { return Ok(Tried::Done) };
    let said = ("False", "InstanceDeletionCompleted", "removed all instances");
    conditions::set(&mut object, "Terminating", said, &core.timestamp());
    release(core, &entry, object).await
}

async fn read(core: &Core, key: &str) -> Result<Option<(Arc<Entry>, Object)>, String> {
    let Some(entry) = core.store.get(key).await.map_err(|error| error.to_string())? else { return Ok(None) };
    let object = body::decode(&entry.bytes).map_err(|error| error.to_string())?;
    Ok(Some((entry, object)))
}

fn own_kind(core: &Core) -> Result<Arc<Kind>, String> {
    let kinds = core.kinds();
    let kind = kinds.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    kind.cloned().ok_or_else(|| "definitions are not served".to_owned())
}

/// Out: whether nobody else wrote it meanwhile.
async fn write(core: &Core, entry: &Entry, object: &Object) -> Result<bool, String> {
    let index = Bytes::from(rules::index(&*own_kind(core)?, object));
    match core.store.update(&entry.key, entry.revision, body::encode(object), index).await {
        Ok(_) => Ok(true),
        Err(kedge_store::WriteError::Conflict(_) | kedge_store::WriteError::NotFound) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The definition without its finalizer: gone, unless others hold it.
async fn release(core: &Core, entry: &Entry, mut object: Object) -> Result<Tried, String> {
    meta::remove_finalizer(&mut object, custom::CLEANUP);
    if !delete::is_finished(&*own_kind(core)?, &object) {
        return Ok(if write(core, entry, &object).await? { Tried::Done } else { Tried::Again });
    }
    // Whoever hears that it is gone shall not find its kinds served. Should it stay, its next event serves them again.
    super::withdraw(core, meta::name(&object));
    match core.store.delete(&entry.key, entry.revision, body::encode(&object)).await {
        Ok(_) | Err(kedge_store::WriteError::NotFound) => Ok(Tried::Done),
        Err(kedge_store::WriteError::Conflict(_)) => Ok(Tried::Again),
        Err(error) => Err(error.to_string()),
    }
}

/// Deletes every instance and waits until none is left.
async fn empty(core: &Core, object: &Object) -> Result<(), String> {
    let definition = Definition::compile(object).map_err(|error| error.to_string())?;
    let kind = custom::stored_row(&Arc::new(definition), object).ok_or("no version is the storage version")?;
    let prefix = keys::collection(&kind, "");
    let own = Own::server(core);
    loop {
        let page = core.store.list(&prefix, None, None, 0).await.map_err(|error| error.to_string())?;
        if page.entries.is_empty() {
            return Ok(());
        }
        for entry in &page.entries {
            let Some((namespace, name)) = keys::parse(&entry.key) else { continue };
            let act = own.act(&kind, namespace, name);
            match delete::delete(&act, &DeleteOptions::default()).await {
                Ok(_) => {}
                Err(status) if status.code == 404 => {}
                Err(status) => return Err(status.message),
            }
        }
        // Finalizers of instances may take their time.
        let mut watch = core.store.watch(&prefix, page.revision).map_err(|error| error.to_string())?;
        loop {
            if core.store.count(&prefix).await.map_err(|error| error.to_string())? == 0 {
                return Ok(());
            }
            let events = watch.next().await.map_err(|error| error.to_string())?;
            // Made before it was known that none may be made.
            if events.iter().any(|event| event.change == Change::Created) {
                break;
            }
        }
    }
}
