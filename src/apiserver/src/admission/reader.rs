//! What admission may look at: kept objects, as they are now.
//!
//! In: group, plural, namespace, name. Out: objects. Never writes, never caches.

use std::time::Duration;

use kedge_api::Object;
use kedge_api::fields::Index;
use kedge_api::selector::Lookup as _;
use kedge_api::status::Status;

use crate::clock::Clock;
use crate::core::Core;
use crate::random::Random;
use crate::registry::{body, keys};

/// A view of what is kept.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    core: &'a Core,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(core: &'a Core) -> Self {
        Reader { core }
    }

    /// Everything there is, for plugins of this crate.
    pub(crate) fn core(&self) -> &'a Core {
        self.core
    }

    /// One object; an empty namespace for cluster-wide kinds.
    pub async fn get(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Result<Option<Object>, Status> {
        let key = keys::fixed(group, plural, namespace, name);
        match self.core.store.get(&key).await.map_err(unreadable)? {
            Some(entry) => body::decode(&entry.bytes).map(Some).map_err(|e| crate::error::kept(&e, &key)),
            None => Ok(None),
        }
    }

    /// One selectable field of an object, without reading the object; `None` if there is no such object.
    pub async fn field(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        field: &str,
    ) -> Result<Option<String>, Status> {
        let key = keys::fixed(group, plural, namespace, name);
        let entry = self.core.store.get(&key).await.map_err(unreadable)?;
        Ok(entry.map(|e| Index::read(&e.index).fields().value(field).unwrap_or_default().to_owned()))
    }

    /// One object, waiting up to `patience` for it to be made.
    pub async fn get_soon(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        patience: Duration,
    ) -> Result<Option<Object>, Status> {
        let before = self.core.store.revision();
        if let Some(found) = self.get(group, plural, namespace, name).await? {
            return Ok(Some(found));
        }
        let key = keys::fixed(group, plural, namespace, name);
        if let Ok(mut watch) = self.core.store.watch(&key, before) {
            let _ = tokio::time::timeout(patience, watch.next()).await;
        }
        self.get(group, plural, namespace, name).await
    }

    /// Every object of a kind in a namespace (empty: everywhere). For kinds of which there are few.
    pub async fn list(&self, group: &str, plural: &str, namespace: &str) -> Result<Vec<Object>, Status> {
        let prefix = keys::fixed(group, plural, namespace, "");
        let page = self.core.store.list(&prefix, None, None, 0).await.map_err(unreadable)?;
        page.entries.iter().map(|e| body::decode(&e.bytes).map_err(|f| crate::error::kept(&f, &e.key))).collect()
    }

    /// The time.
    pub fn clock(&self) -> &'a Clock {
        &self.core.clock
    }

    /// Randomness.
    pub fn random(&self) -> &'a Random {
        &self.core.random
    }
}

fn unreadable(error: kedge_store::ReadError) -> Status {
    tracing::error!(error = &error as &dyn std::error::Error, "admission cannot read the database");
    Status::internal("the database could not be read")
}
