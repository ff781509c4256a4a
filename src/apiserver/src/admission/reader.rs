//! What admission may look at: kept objects, as they are now.
//!
//! In: group, plural, namespace, name. Out: objects. Never caches, and never writes but what quotas are charged.

use std::sync::Arc;
use std::time::Duration;

use kedge_api::Object;
use kedge_api::fields::Index;
use kedge_api::kinds::Kinds;
use kedge_api::quota::Charge;
use kedge_api::resources;
use kedge_api::selector::Lookup as _;
use kedge_api::status::Status;
use kedge_store::{Entry, Op, WriteError};

use super::presence::Bound;
use crate::authz::Wanted;
use crate::clock::Clock;
use crate::core::Core;
use crate::identity::Identity;
use crate::random::Random;
use crate::registry::{body, keys};

/// A view of what is kept.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    core: &'a Core,
}

/// A quota as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct KeptQuota {
    pub entry: Arc<Entry>,
    pub object: Object,
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

    /// Whether there is any object of that kind; costs nothing.
    pub(crate) fn any(&self, kind: Bound) -> bool {
        self.core.presence.any(kind)
    }

    /// The labels of an object that begin so, without reading the object; `None` if there is no such object.
    pub async fn labels(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
        name: &str,
        begin: &str,
    ) -> Result<Option<Vec<(String, String)>>, Status> {
        let key = keys::fixed(group, plural, namespace, name);
        let entry = self.core.store.get(&key).await.map_err(unreadable)?;
        let matching = |entry: &Entry| {
            let labels = Index::read(&entry.index).labels().filter(|(key, _)| key.starts_with(begin));
            labels.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        Ok(entry.map(|entry| matching(&entry)))
    }

    /// Whether somebody may do something.
    pub(crate) async fn may(&self, who: &Identity, wanted: &Wanted<'_>) -> bool {
        self.core.may(who, wanted).await
    }

    /// The kinds that are served now.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.core.kinds()
    }

    /// The quotas of a namespace, each with the version it was read in.
    pub(crate) async fn quotas(&self, namespace: &str) -> Result<Vec<KeptQuota>, Status> {
        let prefix = keys::fixed("", "resourcequotas", namespace, "");
        let page = self.core.store.list(&prefix, None, None, 0).await.map_err(unreadable)?;
        let decode = |entry: &Arc<Entry>| {
            let object = body::decode(&entry.bytes).map_err(|fault| crate::error::kept(&fault, &entry.key))?;
            Ok(KeptQuota { entry: entry.clone(), object })
        };
        page.entries.iter().map(decode).collect()
    }

    /// Writes down what quotas are charged, all of them or none; false when one was changed meanwhile.
    pub(crate) async fn charge(&self, quotas: &[KeptQuota], charges: &[Charge]) -> Result<bool, Status> {
        let mut ops = Vec::with_capacity(charges.len());
        for charge in charges {
            let KeptQuota { entry, object } = &quotas[charge.quota];
            let mut object = object.clone();
            object["status"]["used"] = resources::write(&charge.used);
            ops.push(Op::Update {
                key: entry.key.clone(),
                expected: entry.revision,
                body: body::encode(&object),
                index: entry.index.clone(),
            });
        }
        match self.core.store.apply(ops).await {
            Ok(_) => Ok(true),
            Err(WriteError::Conflict(_) | WriteError::NotFound) => Ok(false),
            Err(fault) => {
                tracing::error!(error = &fault as &dyn std::error::Error, "a quota cannot be charged");
                Err(Status::internal("the quota could not be charged"))
            }
        }
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
