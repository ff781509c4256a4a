//! LeastRequested and BalancedResourceAllocation: how full a node would be.

use kedge_plugin_sdk::scheduling::Pod;
use kedge_plugin_sdk::{CPU, MEMORY, Nodes, Rows};

/// The emptier, the better: the mean over CPU and memory of the share that stays free, in percent. A container that
/// asks for nothing counts as a small one, so that many of them spread too.
pub fn least_requested(nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
    let free = |capacity: i64, wanted: i64| if wanted > capacity { 0 } else { (capacity - wanted) * 100 / capacity };
    let score = |row: usize| {
        let (cpu, memory) = (nodes.allocatable[CPU][row], nodes.allocatable[MEMORY][row]);
        let (mut sum, mut weights) = (0, 0);
        if cpu > 0 {
            sum += free(cpu, nodes.scoring_cpu[row] + pod.scoring_cpu);
            weights += 1;
        }
        if memory > 0 {
            sum += free(memory, nodes.scoring_memory[row] + pod.scoring_memory);
            weights += 1;
        }
        if weights == 0 { 0 } else { (sum / weights) as u8 }
    };
    feasible.iter().map(score).collect()
}

/// The more equally CPU and memory would be used, the better: 100 less the standard deviation of the two shares.
/// A pod that asks for neither is indifferent.
pub fn balanced(nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
    let asked = |column: usize| pod.requests.iter().find(|r| r.column as usize == column).map_or(0, |r| r.amount);
    let (cpu, memory) = (asked(CPU), asked(MEMORY));
    if cpu == 0 && memory == 0 {
        return vec![0; feasible.count()];
    }
    let share = |column: usize, row: usize, more: i64| {
        let capacity = nodes.allocatable[column][row];
        let wanted = nodes.requested[column][row] + more;
        (capacity > 0).then(|| (wanted as f64 / capacity as f64).min(1.0))
    };
    let score = |row: usize| match (share(CPU, row, cpu), share(MEMORY, row, memory)) {
        (Some(a), Some(b)) => ((1.0 - (a - b).abs() / 2.0) * 100.0) as u8,
        _ => 100,
    };
    feasible.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use crate::sample::{Node, PodSketch, node, nodes, pod, score};

    #[track_caller]
    fn check(priority: &str, node: Node, pod: PodSketch, expected: u8) {
        assert_eq!(score(priority, &nodes(&[node]), &pod), [expected], "{priority}");
    }

    #[test]
    fn the_emptier_node_scores_higher() {
        let n = || node("n").has("cpu", 4000).has("memory", 10_000);
        check("LeastRequested", n(), pod().weighs(0, 0), 100);
        check("LeastRequested", n(), pod().weighs(3000, 5000), 37);
        check("LeastRequested", n().weighs(3000, 5000), pod().weighs(3000, 5000), 0);
        check("LeastRequested", n().weighs(2000, 0), pod().weighs(2000, 0), 50);
        check("LeastRequested", node("n").has("memory", 100), pod().weighs(1, 50), 50);
        check("LeastRequested", node("n"), pod().weighs(1, 50), 0);
    }

    #[test]
    fn equal_shares_score_higher() {
        let n = || node("n").has("cpu", 4000).has("memory", 10_000);
        check("BalancedResourceAllocation", n(), pod().asks("cpu", 3000).asks("memory", 5000), 87);
        check("BalancedResourceAllocation", n(), pod().asks("cpu", 2000).asks("memory", 5000), 100);
        check("BalancedResourceAllocation", n().used("cpu", 4000), pod().asks("cpu", 4000), 50);
        check("BalancedResourceAllocation", n(), pod(), 0);
    }
}
