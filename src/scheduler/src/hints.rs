//! Which changes of the cluster may let a refused pod pass.
//!
//! In: a predicate that refused and what happened. Out: whether the pod is worth another try. A predicate that is not
//! known here may be about anything: every change counts.

/// What happened to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A node is new.
    NodeAdded,
    /// A node changed.
    NodeChanged {
        /// What it can hold.
        allocatable: bool,
        /// Labels.
        labels: bool,
        /// Taints, or whether it is cordoned.
        taints: bool,
    },
    /// A pod left a node, or takes less of it.
    PodLeft,
}

/// May this change the predicate's mind?
pub fn may_help(predicate: &str, happening: Happening) -> bool {
    use Happening::{NodeAdded, NodeChanged, PodLeft};
    match (predicate, happening) {
        (_, NodeAdded) => true,
        ("PodFitsResources", NodeChanged { allocatable, .. }) => allocatable,
        ("CheckNodeUnschedulable" | "PodToleratesNodeTaints", NodeChanged { taints, .. }) => taints,
        ("MatchNodeSelector", NodeChanged { labels, .. }) => labels,
        ("PodFitsHostPorts" | "PodFitsHost", NodeChanged { .. }) => false,
        ("PodFitsResources" | "PodFitsHostPorts", PodLeft) => true,
        ("CheckNodeUnschedulable" | "PodToleratesNodeTaints" | "MatchNodeSelector" | "PodFitsHost", PodLeft) => false,
        (_, NodeChanged { .. } | PodLeft) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(predicate: &str, happening: Happening, expected: bool) {
        assert_eq!(may_help(predicate, happening), expected, "{predicate} {happening:?}");
    }

    #[test]
    fn only_what_a_predicate_is_about_helps() {
        let only = |allocatable, labels, taints| Happening::NodeChanged { allocatable, labels, taints };
        check("PodFitsResources", Happening::PodLeft, true);
        check("PodFitsResources", only(true, false, false), true);
        check("PodFitsResources", only(false, true, true), false);
        check("PodToleratesNodeTaints", only(false, false, true), true);
        check("PodToleratesNodeTaints", Happening::PodLeft, false);
        check("MatchNodeSelector", only(false, true, false), true);
        check("MatchNodeSelector", Happening::NodeAdded, true);
        check("Somebodys", only(false, false, false), true);
        check("Somebodys", Happening::PodLeft, true);
    }
}
