//! From a request for a resource to the store and back: one path for every kind.
//!
//! In: a kind, options, an object or a patch. Out: stored entries, streams of them, or a refusal.
//! Never knows who asks but through admission, nor how bytes look on the wire (`render.rs`).

pub mod body;
pub mod convert;
pub mod create;
pub mod cursor;
pub mod decode;
pub mod delete;
pub mod encoded;
pub mod hooks;
pub mod keys;
pub mod list;
pub mod managers;
pub mod own;
pub mod pace;
pub mod patching;
pub mod render;
pub mod rules;
pub mod selection;
pub mod services;
pub mod update;
pub mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use kedge_api::Object;
use kedge_api::kinds::{Kind, Sub};
use kedge_api::status::Status;
use kedge_store::Entry;

use crate::admission::{Attributes, Given, Operation, Rounds};
use crate::audit::Notes;
use crate::core::Core;
use crate::error::{self, About};
use crate::identity::Identity;

/// What a write or read yields.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// What is kept.
    Kept(Arc<Entry>),
    /// What would have been kept, or was (a dry run, a deletion).
    Made(Object),
}

impl Outcome {
    /// The object, in the storage version.
    pub fn object(&self) -> Result<Object, Status> {
        match self {
            Outcome::Kept(entry) => decode_kept(entry),
            Outcome::Made(object) => Ok(object.clone()),
        }
    }
}

/// Who acts on what: everything a write needs beside the object.
pub struct Act<'a> {
    /// Everything there is.
    pub core: &'a Core,
    /// Who acts.
    pub who: &'a Identity,
    /// The kind.
    pub kind: &'a Kind,
    /// The form in which the client speaks of it: the same, unless that is a version Kubernetes no longer serves.
    /// Then `kind` is today's, by which objects are admitted, judged and accounted for.
    pub spoken: &'a Kind,
    /// The subresource.
    pub sub: Option<Sub>,
    /// The namespace; empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// The name; empty on a collection.
    pub name: &'a str,
    /// Whether nothing is kept.
    pub dry_run: bool,
    /// The name under which changes of fields are accounted for.
    pub manager: &'a str,
    /// The options the client gave.
    pub given: Given<'a>,
    /// What the client is told beside the answer.
    pub warnings: &'a Mutex<Vec<String>>,
    /// What is noted for the audit log.
    pub audit: &'a Notes,
}

impl<'a> Act<'a> {
    /// What errors are about.
    pub fn about(&self) -> About<'a> {
        About::new(self.kind, self.name)
    }

    /// The key of the object.
    pub fn key(&self) -> String {
        keys::object(self.kind, self.namespace, self.name)
    }

    /// What admission sees.
    pub fn attributes(&self, operation: Operation) -> Attributes<'a> {
        Attributes {
            operation,
            kind: self.kind,
            subresource: self.sub,
            namespace: self.namespace,
            name: self.name,
            called: self.name,
            who: self.who,
            dry_run: self.dry_run,
            given: self.given,
            warnings: self.warnings,
            audit: self.audit,
            rounds: Rounds::default(),
        }
    }

    /// The same on another object.
    pub fn on<'b>(&'b self, name: &'b str) -> Act<'b>
    where
        'a: 'b,
    {
        Act { name, ..*self }
    }

    /// Tells the client something beside the answer, once.
    pub fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        let mut told = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if !told.contains(&warning) {
                told.push(warning);
            }
        }
    }

    /// What is kept under the key.
    pub async fn kept(&self) -> Result<Arc<Entry>, Status> {
        match self.core.store.get(&self.key()).await {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) => Err(self.about().not_found()),
            Err(fault) => Err(error::read(fault, self.about())),
        }
    }
}

/// The object of an entry, in the storage version.
pub fn decode_kept(entry: &Entry) -> Result<Object, Status> {
    body::decode(&entry.bytes).map_err(|e| error::kept(&e, &entry.key))
}
