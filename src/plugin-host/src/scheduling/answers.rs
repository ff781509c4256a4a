//! Checks what a plugin answered. Nothing of it is believed before.

use kedge_plugin_api::{Bitmap, Reason, Verdict};

use crate::bindings::scheduler::exports::kedge::plugin::scheduling as wire;

/// Different reasons in one verdict. A fleet's taints and resources make some dozens.
const REASONS: usize = 1000;
/// Bytes of a reason; the rest is cut.
const TEXT: usize = 512;

/// A verdict, if it is one.
pub(super) fn verdict(answer: wire::Verdict, candidates: &Bitmap, predicates: &[String]) -> Result<Verdict, String> {
    let rows = candidates.rows();
    let feasible = Bitmap::from_words(answer.feasible, rows)?;
    if !feasible.is_subset(candidates) {
        return Err("nodes are feasible that were no candidates".into());
    }
    if answer.reasons.len() > REASONS {
        return Err(format!("{} different reasons", answer.reasons.len()));
    }
    let mut told = feasible.clone();
    let mut reasons = Vec::with_capacity(answer.reasons.len());
    for reason in answer.reasons {
        let nodes = Bitmap::from_words(reason.nodes, rows)?;
        let Some(predicate) = predicates.get(reason.predicate as usize) else {
            return Err(format!("a reason of predicate {} of {}", reason.predicate, predicates.len()));
        };
        if !nodes.is_subset(candidates) {
            return Err("nodes are refused that were no candidates".into());
        }
        told.unite(&nodes);
        let mut text = reason.text;
        text.truncate(text.floor_char_boundary(TEXT));
        reasons.push(Reason { text, predicate: predicate.clone(), nodes, unresolvable: reason.unresolvable });
    }
    if told.count() != candidates.count() {
        return Err("candidates are neither feasible nor refused for a reason".into());
    }
    Ok(Verdict { feasible, reasons })
}

/// Adds scores, if they are some.
pub(super) fn scores(answer: &[Vec<u8>], priorities: &[(String, u64)], sums: &mut [u64]) -> Result<(), String> {
    if answer.len() != priorities.len() {
        return Err(format!("scores of {} priorities where {} are configured", answer.len(), priorities.len()));
    }
    for (scores, (name, _)) in answer.iter().zip(priorities) {
        if scores.len() != sums.len() {
            return Err(format!("{} scores of {name} for {} nodes", scores.len(), sums.len()));
        }
        if let Some(over) = scores.iter().find(|score| **score > 100) {
            return Err(format!("a score of {over} from {name}, above 100"));
        }
    }
    for (scores, (_, weight)) in answer.iter().zip(priorities) {
        for (sum, score) in sums.iter_mut().zip(scores) {
            *sum += u64::from(*score) * weight;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(predicate: u32, nodes: u64) -> wire::Reason {
        wire::Reason { text: "no".into(), predicate, nodes: vec![nodes], unresolvable: false }
    }

    #[track_caller]
    fn check(feasible: Vec<u64>, reasons: Vec<wire::Reason>, expected: Result<usize, &str>) {
        let candidates = Bitmap::from_words(vec![0b0111], 4).unwrap();
        match (verdict(wire::Verdict { feasible, reasons }, &candidates, &["P".into()]), expected) {
            (Ok(verdict), Ok(count)) => assert_eq!(verdict.feasible.count(), count),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (got, expected) => panic!("{got:?} where {expected:?}"),
        }
    }

    #[test]
    fn verdicts_are_checked() {
        check(vec![0b0111], vec![], Ok(3));
        check(vec![0b0011], vec![reason(0, 0b0100)], Ok(2));
        check(vec![], vec![reason(0, 0b0110), reason(0, 0b0011)], Ok(0));
        check(vec![0b1111], vec![], Err("feasible that were no candidates"));
        check(vec![0, 0], vec![], Err("2 words"));
        check(vec![1 << 10], vec![], Err("beyond"));
        check(vec![0b0011], vec![], Err("neither feasible nor refused"));
        check(vec![0b0011], vec![reason(1, 0b0100)], Err("predicate 1 of 1"));
        check(vec![0b0011], vec![reason(0, 0b1100)], Err("refused that were no candidates"));
        check(vec![0b0111], (0..1001).map(|_| reason(0, 0)).collect(), Err("1001 different reasons"));
    }

    #[test]
    fn scores_are_checked_and_weighted() {
        let priorities = [("A".to_string(), 2), ("B".to_string(), 1)];
        let check = |answer: &[Vec<u8>], expected: Result<[u64; 2], &str>| {
            let mut sums = [1, 1];
            match (scores(answer, &priorities, &mut sums), expected) {
                (Ok(()), Ok(expected)) => assert_eq!(sums, expected),
                (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
                (got, expected) => panic!("{got:?} where {expected:?}"),
            }
        };
        check(&[vec![100, 0], vec![10, 20]], Ok([211, 21]));
        check(&[vec![100, 0]], Err("scores of 1 priorities"));
        check(&[vec![100, 0], vec![10]], Err("1 scores of B for 2 nodes"));
        check(&[vec![101, 0], vec![10, 20]], Err("a score of 101 from A"));
    }
}
