//! Admission: what may change or refuse a write after it was authorized.
//!
//! In: the object as the client wants it, the one that is kept, who asks. Out: the object as it
//! shall be, or a refusal. Plugins run in the order of the list, all of them before validation to
//! change and after it to refuse; they read through [`Reader`] and never write, but for what
//! ResourceQuota charges.

mod certificates;
pub mod config;
mod devices;
pub(crate) mod expression;
mod given;
mod limit_ranger;
mod namespace;
mod network;
mod node_restriction;
mod order;
mod owners;
pub(crate) mod plugins;
mod pod_preset;
mod pod_secrets;
mod pod_security;
mod pods;
pub(crate) mod policy;
pub(crate) mod presence;
mod priority;
mod reader;
mod resource_quota;
mod rounds;
mod runtime_class;
mod scope;
mod service_account;
mod storage;
mod tolerations;
pub(crate) mod webhook;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::kinds::{Kind, Sub};
use kedge_api::status::Status;

pub use config::{AdmissionConfig, ConfigFault, PodSecurityConfig};
pub use given::Given;
pub(crate) use order::chain;
pub use reader::Reader;
pub use rounds::Rounds;

use crate::audit::Notes;
use crate::identity::Identity;
use crate::registry::Act;

/// What is about to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Make an object, or act on a subresource by POST.
    Create,
    /// Replace or patch.
    Update,
    /// Remove.
    Delete,
    /// Open a stream.
    Connect,
}

impl Operation {
    /// The word in rules of webhooks and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "CREATE",
            Operation::Update => "UPDATE",
            Operation::Delete => "DELETE",
            Operation::Connect => "CONNECT",
        }
    }
}

/// A write on its way.
#[derive(Debug)]
pub struct Attributes<'a> {
    /// What is about to be done.
    pub operation: Operation,
    /// To which kind.
    pub kind: &'a Kind,
    /// To which subresource.
    pub subresource: Option<Sub>,
    /// In which namespace; empty for cluster-wide kinds.
    pub namespace: &'a str,
    /// To which object; empty while a name is to be generated.
    pub name: &'a str,
    /// What refusals call the object: its name, or what its name is to be generated from.
    pub called: &'a str,
    /// By whom.
    pub who: &'a Identity,
    /// Whether nothing will be kept.
    pub dry_run: bool,
    /// The options the client gave.
    pub given: Given<'a>,
    /// What the client is told beside the answer.
    pub warnings: &'a Mutex<Vec<String>>,
    /// What is noted for the audit log.
    pub audit: &'a Notes,
    /// What the plugins that change the object tell each other.
    pub rounds: Rounds,
}

impl Attributes<'_> {
    /// Whether it is about that kind itself and none of its subresources, in whatever version.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_none() && self.concerns(group, plural)
    }

    /// Whether it is about that kind or one of its subresources, in whatever version.
    pub fn concerns(&self, group: &str, plural: &str) -> bool {
        // The resource first: its length tells most of them apart.
        self.kind.plural == plural && self.kind.stored.0 == group
    }

    /// Whether such an object is about to be made.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.is(group, plural)
    }

    /// Whether it is about that subresource of pods.
    pub fn is_pod(&self, sub: Sub) -> bool {
        self.subresource == Some(sub) && self.concerns("", "pods")
    }

    /// Tells the client something beside the answer.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Notes something for the audit log, by a key of the form `domain/name`.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.audit.annotate(key, value);
    }

    /// 403 about this object.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let called = if self.called.is_empty() { "Unknown" } else { self.called };
        Status::forbidden(&self.kind.group, &self.kind.plural, called, why)
    }
}

/// One admission plugin.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Its name, as Kubernetes' configuration knows it.
    fn name(&self) -> &'static str;

    /// Whether it may have anything to say of such a write. Asked first, so that the many that have not cost nothing.
    fn concerns(&self, _attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        true
    }

    /// May change the object.
    async fn mutate(
        &self,
        _attributes: &Attributes<'_>,
        _object: &mut Object,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        Ok(())
    }

    /// May refuse. `object` is absent when something is deleted, and what is asked of the stream
    /// when one is opened; `old` is then what it is opened to.
    async fn validate(
        &self,
        _attributes: &Attributes<'_>,
        _object: Option<&Object>,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        Ok(())
    }
}

/// Lets every plugin change the object.
pub async fn mutate(
    plugins: &[Arc<dyn Admission>],
    attributes: &Attributes<'_>,
    object: &mut Object,
    old: Option<&Object>,
    reader: Reader<'_>,
) -> Result<(), Status> {
    loop {
        for plugin in plugins.iter().filter(|plugin| plugin.concerns(attributes, reader)) {
            plugin.mutate(attributes, object, old, reader).await?;
        }
        if !attributes.rounds.next() {
            return Ok(());
        }
    }
}

/// Lets every plugin refuse.
pub async fn validate(
    plugins: &[Arc<dyn Admission>],
    attributes: &Attributes<'_>,
    object: Option<&Object>,
    old: Option<&Object>,
    reader: Reader<'_>,
) -> Result<(), Status> {
    for plugin in plugins.iter().filter(|plugin| plugin.concerns(attributes, reader)) {
        plugin.validate(attributes, object, old, reader).await?;
    }
    Ok(())
}

/// Lets every plugin refuse a stream. `options` says what is asked of it, as an object of the
/// subresource's kind; `target` is what it is opened to.
pub(crate) async fn connect(act: &Act<'_>, options: &Object, target: &Object) -> Result<(), Status> {
    let attributes = act.attributes(Operation::Connect);
    validate(&act.core.admission, &attributes, Some(options), Some(target), act.core.reader()).await
}

/// Lets every plugin change and refuse what is asked of a subresource and not kept itself.
pub(crate) async fn admit(
    core: &crate::core::Core,
    attributes: &Attributes<'_>,
    object: &mut Object,
) -> Result<(), Status> {
    mutate(&core.admission, attributes, object, None, core.reader()).await?;
    validate(&core.admission, attributes, Some(object), None, core.reader()).await
}
