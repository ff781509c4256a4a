//! The built-in predicates and priorities, as one component.
//!
//! In: the nodes as columns, a pod. Out: refusals in Kubernetes' words, scores from 0 to 100.
//! One instance serves all of them, so that the nodes are held once.

mod affinity;
mod host;
mod images;
mod load;
mod ports;
mod resources;
mod taints;

use kedge_plugin_sdk::scheduling::{Groups, Pod};
use kedge_plugin_sdk::{Nodes, Plugin, Rows, Verdict};

/// The component.
pub struct Builtin;

impl Plugin for Builtin {
    const PREDICATES: &'static [&'static str] = &[
        "CheckNodeUnschedulable",
        "PodFitsHost",
        "PodToleratesNodeTaints",
        "MatchNodeSelector",
        "PodFitsHostPorts",
        "PodFitsResources",
    ];
    const PRIORITIES: &'static [&'static str] =
        &["LeastRequested", "BalancedResourceAllocation", "ImageLocality", "TaintToleration"];

    fn groups() -> Groups {
        Groups::RESOURCES | Groups::LABELS | Groups::TAINTS | Groups::IMAGES | Groups::PORTS
    }

    fn new(_arguments: &str) -> Result<Self, String> {
        Ok(Self)
    }

    fn filter(&mut self, predicate: usize, nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
        match predicate {
            0 => taints::check_unschedulable(nodes, pod, verdict),
            1 => host::fits_host(nodes, pod, verdict),
            2 => taints::tolerates(nodes, pod, verdict),
            3 => affinity::matches(nodes, pod, verdict),
            4 => ports::fits(nodes, pod, verdict),
            _ => resources::fits(nodes, pod, verdict),
        }
    }

    fn score(&mut self, priority: usize, nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
        match priority {
            0 => load::least_requested(nodes, pod, feasible),
            1 => load::balanced(nodes, pod, feasible),
            2 => images::locality(nodes, pod, feasible),
            _ => taints::preference(nodes, pod, feasible),
        }
    }
}

kedge_plugin_sdk::export_scheduling!(Builtin);

#[cfg(test)]
mod rows;
#[cfg(test)]
mod sample;
