//! One attempt: filter, score, choose.
//!
//! In: the table of the nodes, a pod's row, the plugins, random bits. Out: a row, or why there is none. Changes
//! nothing but where the next search begins.

use kedge_plugin_api::{Bitmap, NodeTable, PluginError, PodRow, Reason, Scheduling};

use crate::sampling::{Rotation, enough};

/// What came of an attempt.
#[derive(Debug)]
pub enum Outcome {
    /// This row.
    Chosen(usize),
    /// No node passed.
    Refused(Vec<Reason>),
    /// There is no node.
    NoNodes,
    /// A plugin could not answer.
    Failed(PluginError),
}

/// Looks for the best node. `percent` as in [`enough`].
pub fn attempt(
    plugins: &dyn Scheduling,
    nodes: &NodeTable,
    pod: &PodRow,
    rotation: &mut Rotation,
    percent: usize,
    random: &mut dyn FnMut() -> u64,
) -> Outcome {
    match search(plugins, nodes, pod, rotation, percent) {
        Ok(Found::Some(feasible)) if feasible.count() == 1 => {
            feasible.iter().next().map_or(Outcome::NoNodes, Outcome::Chosen)
        }
        Ok(Found::Some(feasible)) => match plugins.score(nodes, pod, &feasible) {
            Ok(scores) => best(&feasible, &scores, random).map_or(Outcome::NoNodes, Outcome::Chosen),
            Err(error) => Outcome::Failed(error),
        },
        Ok(Found::None(reasons)) => Outcome::Refused(reasons),
        Ok(Found::NoNodes) => Outcome::NoNodes,
        Err(error) => Outcome::Failed(error),
    }
}

enum Found {
    Some(Bitmap),
    None(Vec<Reason>),
    NoNodes,
}

/// Windows of nodes until enough are feasible. The first one is just enough if all pass; then they double.
fn search(
    plugins: &dyn Scheduling,
    nodes: &NodeTable,
    pod: &PodRow,
    rotation: &mut Rotation,
    percent: usize,
) -> Result<Found, PluginError> {
    let total = nodes.count();
    if total == 0 {
        return Ok(Found::NoNodes);
    }
    let wanted = enough(total, percent);
    let occupied = nodes.occupied();
    let mut feasible = Bitmap::empty(occupied.rows());
    let mut reasons = Vec::new();
    let (mut looked_at, mut size) = (0, wanted);
    while looked_at < total && feasible.count() < wanted {
        let window = rotation.window(&occupied, size.min(total - looked_at));
        looked_at += window.count();
        let verdict = plugins.filter(nodes, pod, &window)?;
        feasible.unite(&verdict.feasible);
        reasons.extend(verdict.reasons);
        size *= 2;
    }
    Ok(if feasible.is_empty() { Found::None(reasons) } else { Found::Some(feasible) })
}

/// One of the rows with the highest score, each equally likely.
fn best(feasible: &Bitmap, scores: &[u64], random: &mut dyn FnMut() -> u64) -> Option<usize> {
    let highest = scores.iter().max()?;
    let top: Vec<usize> =
        feasible.iter().zip(scores).filter(|(_, score)| *score == highest).map(|(row, _)| row).collect();
    // Multiplying high keeps the bias below one part in 2^32 for any number of rows.
    let at = (u128::from(random()) * top.len() as u128) >> 64;
    top.get(at as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_plugin_api::{Fault, Verdict, nodes::NodeFacts};

    /// Refuses rows below `refused`; scores by row modulo `modulo`.
    struct Fake {
        refused: usize,
        modulo: u64,
        fails: bool,
    }

    impl Scheduling for Fake {
        fn filter(&self, _: &NodeTable, _: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError> {
            if self.fails {
                return Err(PluginError { plugin: "fake".into(), fault: Fault::Trap("so".into()) });
            }
            let (mut feasible, mut nodes) = (Bitmap::empty(candidates.rows()), Bitmap::empty(candidates.rows()));
            for row in candidates.iter() {
                if row < self.refused { nodes.insert(row) } else { feasible.insert(row) }
            }
            let reason = Reason { text: "low".into(), predicate: "Low".into(), nodes, unresolvable: false };
            Ok(Verdict { feasible, reasons: vec![reason] })
        }
        fn score(&self, _: &NodeTable, _: &PodRow, feasible: &Bitmap) -> Result<Vec<u64>, PluginError> {
            Ok(feasible.iter().map(|row| row as u64 % self.modulo).collect())
        }
    }

    #[track_caller]
    fn check(nodes: usize, fake: Fake, random: u64, expected: &str) {
        let mut table = NodeTable::new(1);
        for n in 0..nodes {
            table.put(&format!("n{n}"), NodeFacts::default());
        }
        let mut rotation = Rotation::default();
        let outcome = attempt(&fake, &table, &PodRow::default(), &mut rotation, 0, &mut || random);
        let said = match outcome {
            Outcome::Chosen(row) => format!("row {row}"),
            Outcome::Refused(reasons) => {
                format!("refused {}", reasons.iter().map(|reason| reason.nodes.count()).sum::<usize>())
            }
            Outcome::NoNodes => "no nodes".into(),
            Outcome::Failed(error) => error.to_string(),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn the_best_node_is_chosen_and_equals_by_chance() {
        check(0, Fake { refused: 0, modulo: 1, fails: false }, 0, "no nodes");
        check(5, Fake { refused: 0, modulo: 100, fails: false }, 0, "row 4");
        check(5, Fake { refused: 4, modulo: 100, fails: false }, 0, "row 4");
        check(6, Fake { refused: 0, modulo: 3, fails: false }, 0, "row 2");
        check(6, Fake { refused: 0, modulo: 3, fails: false }, u64::MAX, "row 5");
        check(5, Fake { refused: 9, modulo: 3, fails: false }, 0, "refused 5");
        check(5, Fake { refused: 9, modulo: 3, fails: true }, 0, "plugin fake: trapped: so");
    }

    #[test]
    fn with_many_nodes_the_search_goes_on_until_enough_pass() {
        // 1000 nodes: 420 are enough; the first 420 are refused, so the next window is asked.
        check(1000, Fake { refused: 420, modulo: 1, fails: false }, 0, "row 420");
        check(1000, Fake { refused: 1000, modulo: 1, fails: false }, 0, "refused 1000");
    }
}
