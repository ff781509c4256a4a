//! PodFitsResources: what the pod asks for must be free.
//!
//! Works on 64 nodes at a time, column by column, without a branch for each node.

use kedge_plugin_sdk::scheduling::Pod;
use kedge_plugin_sdk::{Nodes, PODS, Verdict};

/// Refuses nodes where something is not enough; every lacking resource is named.
pub fn fits(nodes: &Nodes, pod: &Pod, verdict: &mut Verdict) {
    for request in pod.requests.iter().filter(|request| request.amount > 0) {
        let column = request.column as usize;
        let (Some(allocatable), Some(requested)) = (nodes.allocatable.get(column), nodes.requested.get(column)) else {
            continue;
        };
        let name = nodes.symbols.text(nodes.resources[column]);
        let text = if column == PODS { "Too many pods".to_string() } else { format!("Insufficient {name}") };
        for at in 0..allocatable.len().div_ceil(64) {
            let wanted = verdict.rows().word(at);
            if wanted == 0 {
                continue;
            }
            let run = at * 64..(at * 64 + 64).min(allocatable.len());
            let short = lacking(&allocatable[run.clone()], &requested[run.clone()], request.amount) & wanted;
            if short != 0 {
                let never = lacking_at_all(&allocatable[run], request.amount);
                verdict.refuse_word(at, short & !never, &text, false);
                verdict.refuse_word(at, short & never, &text, true);
            }
        }
    }
}

/// A bit for each node on which `amount` more is too much.
fn lacking(allocatable: &[i64], requested: &[i64], amount: i64) -> u64 {
    let pairs = allocatable.iter().zip(requested).enumerate();
    pairs.fold(0, |word, (bit, (all, used))| word | u64::from(amount > all - used) << bit)
}

/// A bit for each node that would be too small even when it is empty.
fn lacking_at_all(allocatable: &[i64], amount: i64) -> u64 {
    allocatable.iter().enumerate().fold(0, |word, (bit, all)| word | u64::from(amount > *all) << bit)
}

#[cfg(test)]
mod tests {
    use crate::sample::{Node, PodSketch, filter, node, nodes, pod};

    #[track_caller]
    fn check(node: Node, pod: PodSketch, expected: &[&str]) {
        assert_eq!(filter("PodFitsResources", &nodes(&[node]), &pod), expected);
    }

    fn n() -> Node {
        node("n").has("cpu", 1000).has("memory", 1024).has("pods", 10)
    }

    #[test]
    fn what_is_asked_for_must_be_free() {
        check(n(), pod().asks("cpu", 1000), &[]);
        check(n(), pod().asks("cpu", 1001), &["n: Insufficient cpu (for good)"]);
        check(n().used("cpu", 1), pod().asks("cpu", 1000), &["n: Insufficient cpu"]);
        check(n().used("cpu", 2000), pod().asks("cpu", 0), &[]);
        check(n().used("memory", 1000), pod().asks("memory", 24), &[]);
        check(n().used("memory", 1000), pod().asks("memory", 25), &["n: Insufficient memory"]);
        check(n().used("pods", 9), pod().asks("pods", 1), &[]);
        check(n().used("pods", 10), pod().asks("pods", 1), &["n: Too many pods"]);
        check(n(), pod().asks("example.com/led", 1), &["n: Insufficient example.com/led (for good)"]);
        check(n().has("example.com/led", 1), pod().asks("example.com/led", 1), &[]);
    }

    #[test]
    fn every_lacking_resource_is_named() {
        let both = pod().asks("cpu", 600).asks("memory", 600);
        check(n().used("cpu", 500).used("memory", 500), both, &["n: Insufficient cpu", "n: Insufficient memory"]);
    }

    #[test]
    fn nodes_beyond_the_first_word_are_judged_too() {
        let all: Vec<Node> =
            (0..130).map(|i| node(&format!("n{i}")).has("cpu", if i == 129 { 5 } else { 10 })).collect();
        let said = filter("PodFitsResources", &nodes(&all), &pod().asks("cpu", 7));
        assert_eq!(said, ["n129: Insufficient cpu (for good)"]);
    }
}
