//! PodToleratesNodeTaints, CheckNodeUnschedulable and priority TaintToleration.
//!
//! Tolerations are held against each distinct list of taints, not against each node.

use kedge_plugin_sdk::scheduling::{Effect, Pod, Symbol, Taint, Toleration, TolerationOperator};
use kedge_plugin_sdk::{Nodes, Refusal, Rows, Symbols, Verdict};

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Refuses nodes with a taint that the pod does not tolerate. Which one is not said: who may make pods need not be one
/// who may read nodes.
pub fn tolerates(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    let refusal = Refusal::for_good("node(s) had untolerated taint(s)");
    let repels =
        |taint: &Taint| taint.effect != Effect::PreferNoSchedule && !tolerated(&nodes.symbols, taint, &pod.tolerations);
    for (taints, rows) in nodes.taints.lists().iter().zip(nodes.taints.rows()) {
        if taints.iter().any(repels) {
            verdict.refuse(rows, &refusal);
        }
    }
}

fn tolerated(symbols: &Symbols, taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        toleration.effect.is_none_or(|effect| effect == taint.effect)
            && key_and_value(symbols, toleration, taint.key, taint.value)
    })
}

fn key_and_value(symbols: &Symbols, toleration: &Toleration, key: Symbol, value: Symbol) -> bool {
    if toleration.key != key && toleration.key != 0 {
        return false;
    }
    // Numbers are compared when both sides are whole numbers, else there is no match.
    let numbers = || Some((symbols.text(value).parse::<i64>().ok()?, symbols.text(toleration.value).parse().ok()?));
    match toleration.operator {
        TolerationOperator::Exists => true,
        TolerationOperator::Equal => toleration.key == key && toleration.value == value,
        TolerationOperator::Lt => numbers().is_some_and(|(node, pod): (i64, i64)| node < pod),
        TolerationOperator::Gt => numbers().is_some_and(|(node, pod): (i64, i64)| node > pod),
    }
}

/// Refuses nodes with `spec.unschedulable`, unless the pod tolerates the taint of that name.
pub fn check_unschedulable(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    let tolerates = pod.tolerations.iter().any(|toleration| {
        let every = toleration.key == 0 && toleration.operator == TolerationOperator::Exists;
        let this = nodes.symbols.text(toleration.key) == UNSCHEDULABLE
            && (toleration.operator == TolerationOperator::Exists || toleration.value == 0);
        (every || this) && toleration.effect.is_none_or(|effect| effect == Effect::NoSchedule)
    });
    if tolerates {
        return;
    }
    for at in 0..verdict.rows().words().len() {
        verdict.refuse_word(at, nodes.unschedulable.word(at), "node(s) were unschedulable", true);
    }
}

/// 100 for the nodes with the fewest taints of effect PreferNoSchedule that the pod does not tolerate, 0 for those
/// with the most.
pub fn preference(nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
    let disliked: Vec<u64> = nodes
        .taints
        .lists()
        .iter()
        .map(|taints| {
            let soft = taints.iter().filter(|taint| taint.effect == Effect::PreferNoSchedule);
            soft.filter(|taint| !tolerated(&nodes.symbols, taint, &pod.tolerations)).count() as u64
        })
        .collect();
    let counts: Vec<u64> = feasible.iter().map(|row| disliked[nodes.taints.of_row(row)]).collect();
    let most = counts.iter().copied().max().unwrap_or(0);
    counts.into_iter().map(|count| (100 - (count * 100).checked_div(most).unwrap_or(0)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use crate::sample::{filter, node, nodes, pod, score};

    #[track_caller]
    fn check(taints: &str, tolerations: &str, expected: &[&str]) {
        let nodes = nodes(&[node("n").taints(taints)]);
        assert_eq!(filter("PodToleratesNodeTaints", &nodes, &pod().tolerates(tolerations)), expected);
    }

    #[test]
    fn a_taint_repels_pods_without_toleration() {
        let refused = ["n: node(s) had untolerated taint(s) (for good)"];
        check("", "", &[]);
        check("gpu=yes:NoSchedule", "", &refused);
        check("gpu=yes:NoExecute", "", &refused);
        check("gpu=yes:PreferNoSchedule", "", &[]);
        check("gpu=yes:NoSchedule", "gpu=yes:NoSchedule", &[]);
        check("gpu=yes:NoSchedule", "gpu=yes:NoExecute", &refused);
        check("gpu=yes:NoSchedule", "gpu=no:NoSchedule", &refused);
        check("gpu=yes:NoSchedule", "gpu=yes", &[]);
        check("gpu=yes:NoSchedule", "gpu exists", &[]);
        check("gpu=yes:NoSchedule", "exists", &[]);
        check("gpu=yes:NoSchedule", "cpu exists", &refused);
        check("a=:NoSchedule gpu=yes:NoSchedule", "a exists", &refused);
        check("level=5:NoSchedule", "level>3", &[]);
        check("level=5:NoSchedule", "level<3", &["n: node(s) had untolerated taint(s) (for good)"]);
        check("level=x:NoSchedule", "level>3", &["n: node(s) had untolerated taint(s) (for good)"]);
    }

    #[test]
    fn a_cordoned_node_takes_only_pods_that_tolerate_it() {
        let nodes = nodes(&[node("n").unschedulable(), node("m")]);
        let refused = ["n: node(s) were unschedulable (for good)"];
        let check = |tolerations: &str, expected: &[&str]| {
            assert_eq!(filter("CheckNodeUnschedulable", &nodes, &pod().tolerates(tolerations)), expected);
        };
        check("", &refused);
        check("node.kubernetes.io/unschedulable exists", &[]);
        check("exists", &[]);
        check("other exists", &refused);
    }

    #[test]
    fn soft_taints_lower_the_score() {
        let soft = nodes(&[
            node("a"),
            node("b").taints("x=:PreferNoSchedule"),
            node("c").taints("x=:PreferNoSchedule y=:PreferNoSchedule"),
        ]);
        assert_eq!(score("TaintToleration", &soft, &pod()), [100, 50, 0]);
        assert_eq!(score("TaintToleration", &soft, &pod().tolerates("x exists")), [100, 100, 0]);
        assert_eq!(score("TaintToleration", &soft, &pod().tolerates("exists")), [100, 100, 100]);
    }
}
