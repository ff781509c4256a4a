//! The extension point of the controllers.
//!
//! In: a key to reconcile and a view of the cluster. Out: when to look again; everything else happens through
//! [`Cluster`]. Mirrors interfaces `objects`, `cluster` and `controllers` of `wit/`.

use std::sync::Arc;
use std::time::Duration;

use crate::PluginError;

/// One component that offers controllers.
///
/// Calls block the calling thread for as long as the plugin runs: call from a thread that may block. Calls may come
/// from several threads at once; each is served by an instance of its own.
pub trait Controllers: Send + Sync {
    /// The plugin's name in the configuration.
    fn name(&self) -> &str;

    /// What it offers.
    fn declaration(&self) -> Result<Vec<Controller>, PluginError>;

    /// Makes the world around one key as it should be. `controller` is its place in the declaration.
    fn reconcile(&self, controller: u32, key: &Key, cluster: Arc<dyn Cluster>) -> Result<Action, ReconcileError>;
}

/// What a controller may do. Implemented by the controllers' engine; calls block.
pub trait Cluster: Send + Sync {
    /// Rows of a watch of the controller that is being run.
    fn rows(&self, watch: u32, query: &Query) -> Table;
    /// Rows counted by some of the watch's fields.
    fn count(&self, watch: u32, query: &Query, fields: &[u32]) -> Tally;
    /// A whole object as JSON.
    fn get(&self, kind: &Kind, key: &Key) -> Result<String, Failure>;
    /// Whole objects as a JSON array.
    fn list(&self, kind: &Kind, namespace: &str, labels: &str, fields: &str) -> Result<String, Failure>;
    /// Every kind that the API serves.
    fn kinds(&self) -> Vec<ServedKind>;
    /// Writes; each is answered in its place.
    fn write(&self, changes: Vec<Change>, order: Order) -> Vec<Result<Written, Failure>>;
    /// Records an Event.
    fn event(&self, event: Event);
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// When something changes.
    Done,
    /// After this time, even if nothing changes.
    AgainAfter(Duration),
}

/// A reconcile that did not succeed; the key is tried again with growing delays.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReconcileError {
    /// The plugin says so.
    #[error("{0}")]
    Fault(String),
    /// The plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// A kind of object, in the version in which it is read and written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
}

/// One object; `namespace` is empty for a kind without namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct Key {
    pub namespace: String,
    pub name: String,
}

/// How a declared field crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum FieldType {
    Text,
    Integer,
    Boolean,
    Time,
    Json,
    Count,
    Hash,
}

/// A field that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// As in `spec.replicas`, `status.conditions[type=Ready].status`.
    pub path: String,
    /// How it crosses.
    pub field_type: FieldType,
}

/// Which kinds a watch stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One kind.
    Kind(Kind),
    /// Every kind that can be listed, watched and deleted.
    Every,
}

/// Whose key a change puts into the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// Its own.
    Itself,
    /// The controlling owner's.
    ControllerOwner,
    /// Every owner's.
    Owners,
    /// Those whose selector at this path matches.
    SelectedBy(String),
    /// The one named at this path.
    NamedAt(String),
    /// The one without a namespace named at this path.
    ClusterNamedAt(String),
    /// The namespace's.
    Namespace,
    /// Those of every object of watch 0 that names the changed object's UID as an owner.
    Dependents,
    /// Those of every object of watch 0 in the same namespace, when the changed object was there before.
    Siblings,
    /// Those of every object of watch 0.
    Everyone,
    /// Nobody's.
    Nobody,
}

/// A watch of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// What is watched.
    pub target: Target,
    /// What is kept of it.
    pub fields: Vec<Field>,
    /// Who is woken.
    pub wakes: Vec<Wakes>,
}

/// A controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// As in `deployment-controller`.
    pub name: String,
    /// Watch 0 is its own kind.
    pub watches: Vec<Watch>,
    /// Keys side by side; at least 1.
    pub workers: u32,
}

/// Many strings in one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// All of them, one after the other.
    pub all: String,
    /// Where each ends.
    pub ends: Vec<u32>,
}

impl Texts {
    /// Adds one. What would go beyond 4 GiB in all is cut to nothing.
    pub fn push(&mut self, text: &str) {
        if u32::try_from(self.all.len() + text.len()).is_ok() {
            self.all.push_str(text);
        }
        self.ends.push(self.all.len() as u32);
    }

    /// One of them; empty when there is none.
    pub fn get(&self, at: usize) -> &str {
        let Some(end) = self.ends.get(at) else { return "" };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        self.all.get(start as usize..*end as usize).unwrap_or("")
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.ends.len()
    }
}

impl<'a> FromIterator<&'a str> for Texts {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text));
        all
    }
}

/// One field of many objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// A bit for each row.
    pub present: Vec<u64>,
    /// Empty or 0 where not present.
    pub values: Values,
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// For `Text` and `Json`.
    Texts(Texts),
    /// For `Integer`, `Time`, `Count`, `Hash`.
    Integers(Vec<i64>),
    /// For `Boolean`.
    Booleans(Vec<u64>),
}

/// Objects as columns, sorted by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// How many rows.
    pub count: u32,
    /// Of each row.
    pub namespaces: Texts,
    /// Of each row.
    pub names: Texts,
    /// For a watch of every kind: which of `Cluster::kinds` each row is of.
    pub kinds: Vec<u32>,
    /// In the order of the declaration.
    pub columns: Vec<Column>,
}

/// How many rows have which values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Each combination once, without keys.
    pub table: Table,
    /// How many rows have it.
    pub counts: Vec<u32>,
}

/// Which objects of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The one of that key.
    One(Key),
    /// All.
    All,
    /// Those of a namespace.
    Namespace(String),
    /// Those that name this UID as an owner.
    OwnedBy(String),
    /// Those of a namespace that name this UID as an owner.
    OwnedIn(String, String),
    /// Those of a namespace (empty: everywhere) whose labels match a selector in text form.
    Labelled(String, String),
    /// The one with that UID.
    Uid(String),
    /// Those of a namespace whose labels match, but that a UID does not own: namespace, selector, UID.
    Strangers(String, String, String),
    /// Those that a UID owns, but whose labels do not match: selector, UID.
    Strays(String, String),
}

/// Why the API refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Failure {
    pub code: u16,
    pub reason: String,
    pub message: String,
}

/// A kind that the API serves.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ServedKind {
    pub kind: Kind,
    pub plural: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

/// The form of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PatchType {
    Json,
    Merge,
    StrategicMerge,
    Apply,
}

/// What happens to what a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Create {
        kind: Kind,
        namespace: String,
        object: String,
    },
    Update {
        kind: Kind,
        key: Key,
        subresource: String,
        object: String,
    },
    Patch {
        kind: Kind,
        key: Key,
        subresource: String,
        patch_type: PatchType,
        patch: String,
    },
    Delete {
        kind: Kind,
        key: Key,
        /// Only this very object, when not empty.
        uid: String,
        /// Only this very version, when not empty.
        resource_version: String,
        propagation: Option<Propagation>,
        grace_seconds: Option<u32>,
    },
    DeleteCollection {
        kind: Kind,
        namespace: String,
        labels: String,
    },
}

/// What is there after a write; empty for a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Written {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
}

/// How several writes are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One after the other, until one fails.
    InTurn,
    /// Side by side.
    Together,
}

/// An Event about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Event {
    pub kind: Kind,
    pub key: Key,
    pub uid: String,
    pub warning: bool,
    pub reason: String,
    pub message: String,
}
