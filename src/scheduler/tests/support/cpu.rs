//! A native plugin for tests: what is asked for must be free; the emptiest is best.
#![allow(missing_docs)]

use kedge_plugin_api::nodes::CPU;
use kedge_plugin_api::{Bitmap, NodeTable, PluginError, PodRow, Reason, Scheduling, Verdict};

pub struct Cpu;

fn free(nodes: &NodeTable, row: usize) -> i64 {
    let row = &nodes.rows()[row];
    row.facts.allocatable[CPU] - row.usage.requested.get(CPU).copied().unwrap_or(0)
}

impl Scheduling for Cpu {
    fn filter(&self, nodes: &NodeTable, pod: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError> {
        let asked = pod.requests.iter().find(|(column, _)| *column as usize == CPU).map_or(0, |(_, amount)| *amount);
        let (mut feasible, mut full) = (Bitmap::empty(candidates.rows()), Bitmap::empty(candidates.rows()));
        for row in candidates.iter() {
            if asked <= free(nodes, row) { feasible.insert(row) } else { full.insert(row) }
        }
        let reason = Reason {
            text: "Insufficient cpu".into(),
            predicate: "PodFitsResources".into(),
            nodes: full,
            unresolvable: false,
        };
        Ok(Verdict { feasible, reasons: vec![reason] })
    }

    fn score(&self, nodes: &NodeTable, _: &PodRow, feasible: &Bitmap) -> Result<Vec<u64>, PluginError> {
        Ok(feasible.iter().map(|row| free(nodes, row).unsigned_abs()).collect())
    }
}
