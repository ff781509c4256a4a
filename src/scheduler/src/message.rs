//! Why a pod has no node, in one sentence.
//!
//! In: reasons with the nodes that they concern. Out: what people know from `kubectl describe`:
//! `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: …`.

use std::collections::BTreeMap;

use kedge_plugin_api::{Bitmap, Reason};

/// Said when there is no node at all.
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// The sentence for `total` nodes, none of which passed.
pub fn of(total: usize, reasons: &[Reason], may_preempt: bool) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut hopeless = Bitmap::default();
    for reason in reasons {
        *counts.entry(&reason.text).or_default() += reason.nodes.count();
        if hopeless.rows() < reason.nodes.rows() {
            hopeless = Bitmap::empty(reason.nodes.rows());
        }
        if reason.unresolvable {
            hopeless.unite(&reason.nodes);
        }
    }
    let filtered = sentence(total, counts.into_iter().map(|(text, count)| (count, text)));
    if !may_preempt {
        return format!("{filtered} preemption: not eligible due to preemptionPolicy=Never.");
    }
    let hopeless = hopeless.count();
    let preemption = [
        (total.saturating_sub(hopeless), "No preemption victims found for incoming pod"),
        (hopeless, "Preemption is not helpful for scheduling"),
    ];
    format!("{filtered} preemption: {}", sentence(total, preemption.into_iter().filter(|(count, _)| *count > 0)))
}

/// Sorted as text, as Kubernetes does.
fn sentence<'a>(total: usize, counted: impl Iterator<Item = (usize, &'a str)>) -> String {
    let mut parts: Vec<String> = counted.map(|(count, text)| format!("{count} {text}")).collect();
    parts.sort();
    format!("0/{total} nodes are available: {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str, nodes: u64, unresolvable: bool) -> Reason {
        let nodes = Bitmap::from_words(vec![nodes], 3).unwrap();
        Reason { text: text.into(), predicate: "P".into(), nodes, unresolvable }
    }

    #[test]
    fn reasons_are_counted_and_sorted() {
        let reasons =
            [reason("node(s) had untolerated taint(s)", 0b011, true), reason("Insufficient cpu", 0b100, false)];
        assert_eq!(
            of(3, &reasons, true),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling."
        );
        assert_eq!(
            of(3, &reasons, false),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: not eligible due to preemptionPolicy=Never."
        );
        let same = [reason("Insufficient cpu", 0b011, true), reason("Insufficient cpu", 0b100, false)];
        assert!(of(3, &same, true).starts_with("0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful"));
    }
}
