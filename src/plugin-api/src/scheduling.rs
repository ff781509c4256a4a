//! The extension point of the scheduler.
//!
//! In: the table of the nodes, a pod as symbols and numbers, sets of rows. Out: which nodes are feasible and why the
//! others are not; how good the feasible ones are.
//! Mirrors interface `scheduling` of `wit/`.

use crate::PluginError;
use crate::bitmap::Bitmap;
use crate::nodes::{Effect, HostPort, NodeTable};
use crate::symbols::Symbol;

/// All configured predicates and priorities.
///
/// Calls block the calling thread for as long as plugins run (bounded by their deadlines): call from a thread that
/// may block.
pub trait Scheduling: Send + Sync {
    /// Which candidates pass every predicate, and why the others do not.
    fn filter(&self, nodes: &NodeTable, pod: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError>;

    /// The weighted sum of all priorities for each feasible row, in rising order of rows.
    fn score(&self, nodes: &NodeTable, pod: &PodRow, feasible: &Bitmap) -> Result<Vec<u64>, PluginError>;
}

/// The answer of [`Scheduling::filter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The candidates that passed.
    pub feasible: Bitmap,
    /// Every other candidate is in at least one of these.
    pub reasons: Vec<Reason>,
}

/// Why some nodes were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The words that follow a number: "Insufficient cpu".
    pub text: String,
    /// The predicate that speaks.
    pub predicate: String,
    /// The nodes concerned.
    pub nodes: Bitmap,
    /// Removing pods from these nodes could not help.
    pub unresolvable: bool,
}

/// What predicates and priorities see of a pod. Symbols are the [`NodeTable`]'s.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodRow {
    /// `metadata.namespace`.
    pub namespace: Symbol,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.labels`.
    pub labels: Vec<(Symbol, Symbol)>,
    /// `metadata.annotations`.
    pub annotations: Vec<(Symbol, Symbol)>,
    /// `spec.priority`, or 0.
    pub priority: i32,
    /// `spec.nodeName`, or 0.
    pub node_name: Symbol,
    /// Column of the resource and the amount that must be free.
    pub requests: Vec<(u32, i64)>,
    /// Milli-CPUs for scoring: a container that asks for none counts as 100.
    pub scoring_cpu: i64,
    /// Bytes for scoring: a container that asks for none counts as 200 MiB.
    pub scoring_memory: i64,
    /// Ports that it takes on the node.
    pub host_ports: Vec<HostPort>,
    /// `spec.nodeSelector`.
    pub node_selector: Vec<(Symbol, Symbol)>,
    /// Required node affinity: one term must hold.
    pub required: Option<Vec<NodeTerm>>,
    /// Preferred node affinity, with weights.
    pub preferred: Vec<(i32, NodeTerm)>,
    /// `spec.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// One image for each container, `:latest` written out.
    pub images: Vec<Symbol>,
}

/// A term of node affinity: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerm {
    /// About labels.
    pub labels: Vec<Requirement>,
    /// About the node's own fields.
    pub fields: Vec<Requirement>,
}

/// One condition on a label or field.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// The label or field.
    pub key: Symbol,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<Symbol>,
}

/// The operators of node affinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
}

/// A toleration.
#[derive(Clone, Debug, PartialEq)]
pub struct Toleration {
    /// 0 with `Exists`: every key.
    pub key: Symbol,
    /// How the value is compared.
    pub operator: TolerationOperator,
    /// With what.
    pub value: Symbol,
    /// `None`: every effect.
    pub effect: Option<Effect>,
}

/// The operators of tolerations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TolerationOperator {
    Exists,
    Equal,
    Lt,
    Gt,
}
