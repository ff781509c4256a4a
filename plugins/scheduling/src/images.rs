//! ImageLocality: a node that already has the pod's images starts it sooner.

use kedge_plugin_sdk::scheduling::Pod;
use kedge_plugin_sdk::{Nodes, Rows};

const MB: u64 = 1024 * 1024;
/// Below this nothing is gained by locality.
const LEAST: u64 = 23 * MB;
/// For each container: above this nothing more is gained.
const MOST: u64 = 1000 * MB;

/// 0 to 100 by the bytes that need no pull. An image that few nodes have counts less, lest all its pods gather there.
pub fn locality(nodes: &Nodes, pod: &Pod, feasible: &Rows) -> Vec<u8> {
    let known: Vec<(u64, &Rows)> = pod
        .images
        .iter()
        .filter_map(|image| nodes.images.find(*image))
        .map(|(size, rows)| ((size as f64 * rows.count() as f64 / nodes.count.max(1) as f64) as u64, rows))
        .collect();
    if known.is_empty() {
        return vec![0; feasible.count()];
    }
    let most = MOST * pod.images.len() as u64;
    let score = |row: usize| {
        let sum: u64 = known.iter().filter(|(_, rows)| rows.contains(row)).map(|(share, _)| share).sum();
        ((sum.clamp(LEAST, most) - LEAST) * 100 / (most - LEAST)) as u8
    };
    feasible.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::MB;
    use crate::sample::{node, nodes, pod, score};

    #[test]
    fn big_images_that_are_there_score() {
        let two = nodes(&[node("a").image("big:1", 2000 * MB), node("b").image("small:1", 10 * MB)]);
        let check = |images: &[&str], expected: [u8; 2]| {
            assert_eq!(score("ImageLocality", &two, &pod().images(images)), expected, "{images:?}");
        };
        // On one node of two: half of its size counts, which is the most for one container.
        check(&["big:1"], [100, 0]);
        check(&["small:1"], [0, 0]);
        check(&["other:1"], [0, 0]);
        check(&["big:1", "other:1"], [49, 0]);
        check(&[], [0, 0]);
    }
}
