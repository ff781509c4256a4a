//! The API, as the agent uses it.
//!
//! In: a closed set of kinds, JSON bodies. Out: JSON objects and watch steps. The watch lists, resumes and retries by
//! itself and never ends.

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;

/// The kinds that the agent touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// v1 Node.
    Node,
    /// v1 Pod.
    Pod,
    /// v1 ConfigMap.
    ConfigMap,
    /// v1 Secret.
    Secret,
    /// v1 ServiceAccount.
    ServiceAccount,
    /// v1 Service.
    Service,
    /// v1 Event.
    Event,
    /// coordination.k8s.io/v1 Lease.
    Lease,
    /// v1 PersistentVolumeClaim.
    PersistentVolumeClaim,
    /// v1 PersistentVolume.
    PersistentVolume,
}

impl Kind {
    /// API group, empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Kind::Lease => "coordination.k8s.io",
            _ => "",
        }
    }

    /// Resource name in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Node => "nodes",
            Kind::Pod => "pods",
            Kind::ConfigMap => "configmaps",
            Kind::Secret => "secrets",
            Kind::ServiceAccount => "serviceaccounts",
            Kind::Service => "services",
            Kind::Event => "events",
            Kind::Lease => "leases",
            Kind::PersistentVolumeClaim => "persistentvolumeclaims",
            Kind::PersistentVolume => "persistentvolumes",
        }
    }

    /// Kind name in bodies.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Node => "Node",
            Kind::Pod => "Pod",
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
            Kind::ServiceAccount => "ServiceAccount",
            Kind::Service => "Service",
            Kind::Event => "Event",
            Kind::Lease => "Lease",
            Kind::PersistentVolumeClaim => "PersistentVolumeClaim",
            Kind::PersistentVolume => "PersistentVolume",
        }
    }
}

/// The form of a patch body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchForm {
    /// `application/strategic-merge-patch+json`.
    Strategic,
    /// `application/merge-patch+json`.
    Merge,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchStep {
    /// A list begins: what is not named again before `Synced` is gone.
    Restarted,
    /// This object exists, as given.
    Apply(Value),
    /// This object is gone; its last form.
    Delete(Value),
    /// The list is whole.
    Synced,
}

/// Reads and writes objects with the node's own identity.
#[async_trait]
pub trait Api: Send + Sync + 'static {
    /// One object.
    async fn get(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<Value, ApiFault>;
    /// Every object of a namespace (`None`: of all).
    async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<Vec<Value>, ApiFault>;
    /// Creates an object.
    async fn create(&self, kind: Kind, namespace: Option<&str>, body: &Value) -> Result<Value, ApiFault>;
    /// Creates through a subresource, e.g. a service account's `token`.
    async fn create_under(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, ApiFault>;
    /// Patches an object or its subresource.
    async fn patch(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        form: PatchForm,
        body: &Value,
    ) -> Result<Value, ApiFault>;
    /// Deletes an object with the given DeleteOptions.
    async fn delete(&self, kind: Kind, namespace: Option<&str>, name: &str, options: &Value) -> Result<(), ApiFault>;
    /// Watches from a fresh list on; `fields` is a field selector.
    fn watch(&self, kind: Kind, namespace: Option<&str>, fields: &str) -> BoxStream<'static, WatchStep>;
}

/// Why the API did not.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ApiFault {
    /// 404.
    #[error("{0}")]
    NotFound(String),
    /// 409 AlreadyExists.
    #[error("{0}")]
    Exists(String),
    /// 409 Conflict: changed meanwhile, or a precondition failed.
    #[error("{0}")]
    Conflict(String),
    /// Any other answer that is no success.
    #[error("{message}")]
    Refused {
        /// HTTP status code.
        code: u16,
        /// The Status message.
        message: String,
    },
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
}
