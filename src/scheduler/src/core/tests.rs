//! The mind as rows: what it learns and what it then does.

use super::*;
use kedge_plugin_api::nodes::PODS;
use kedge_plugin_api::{Bitmap, NodeTable, PluginError, PodRow, Reason, Verdict};
use serde_json::json;
use std::time::Duration;

/// Nodes take as many pods as they say; the fullest is best.
struct ByPods;

impl Scheduling for ByPods {
    fn filter(&self, nodes: &NodeTable, _: &PodRow, candidates: &Bitmap) -> Result<Verdict, PluginError> {
        let (mut feasible, mut full) = (Bitmap::empty(candidates.rows()), Bitmap::empty(candidates.rows()));
        for row in candidates.iter() {
            let found = &nodes.rows()[row];
            let used = found.usage.requested.get(PODS).copied().unwrap_or(0);
            if used < found.facts.allocatable[PODS] { feasible.insert(row) } else { full.insert(row) }
        }
        let reason = Reason {
            text: "Too many pods".into(),
            predicate: "PodFitsResources".into(),
            nodes: full,
            unresolvable: false,
        };
        Ok(Verdict { feasible, reasons: vec![reason] })
    }
    fn score(&self, nodes: &NodeTable, _: &PodRow, feasible: &Bitmap) -> Result<Vec<u64>, PluginError> {
        let used = |row: usize| nodes.rows()[row].usage.requested.get(PODS).copied().unwrap_or(0) as u64;
        Ok(feasible.iter().map(used).collect())
    }
}

struct Stage {
    core: Core,
    start: Instant,
}

fn node(name: &str, pods: u32) -> Node {
    serde_json::from_value(json!({"metadata": {"name": name}, "status": {"allocatable": {"pods": pods}}})).unwrap()
}

fn pod(name: &str, node: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "uid": name, "namespace": "ns"},
        "spec": {"nodeName": node, "containers": [{}]},
    }))
    .unwrap()
}

impl Stage {
    fn new(nodes: &[(&str, u32)]) -> Self {
        let core = Core::new(Arc::new(ByPods), "default-scheduler".into(), 0, Box::new(|| 0), Arc::default());
        let mut stage = Self { core, start: Instant::now() };
        for (name, pods) in nodes {
            stage.learn(Input::Node(Step::Apply(Box::new(node(name, *pods)))));
        }
        stage.learn(Input::Node(Step::Synced));
        stage.learn(Input::Pod(Step::Synced));
        stage
    }
    fn learn(&mut self, input: Input) {
        self.core.learn(input, self.start);
    }
    fn pod(&mut self, name: &str, node: &str) {
        self.learn(Input::Pod(Step::Apply(Box::new(pod(name, node)))));
    }
    /// What the next attempt does, `after` seconds.
    #[track_caller]
    fn check(&mut self, after: u64, expected: &str) {
        let said = match self.core.attempt(self.start + Duration::from_secs(after)) {
            None => "nothing".to_string(),
            Some(Effect::Bind { pod, node }) => format!("{} to {node}", pod.metadata.name),
            Some(Effect::Refuse { pod, message, .. }) => {
                format!("{}: {}", pod.metadata.name, message.split(" preemption").next().unwrap_or_default())
            }
        };
        assert_eq!(said, expected);
    }
}

#[test]
fn assumed_pods_count_before_the_api_says_so() {
    let mut stage = Stage::new(&[("a", 1), ("b", 1)]);
    ["x", "y", "z"].iter().for_each(|name| stage.pod(name, ""));
    stage.check(0, "x to a");
    stage.check(0, "y to b");
    stage.check(0, "z: 0/2 nodes are available: 2 Too many pods.");
    stage.check(0, "nothing");
}

#[test]
fn a_refused_binding_frees_the_node_and_the_pod_comes_again() {
    let mut stage = Stage::new(&[("a", 1)]);
    stage.pod("x", "");
    stage.check(0, "x to a");
    let start = stage.start;
    stage.core.bound("x", Done::Refused, start);
    stage.check(0, "nothing");
    stage.check(1, "x to a");
    stage.core.bound("x", Done::Accepted, start);
    stage.pod("x", "a");
    stage.check(400, "nothing");
}

#[test]
fn an_old_version_of_a_bound_pod_does_not_come_again() {
    let mut stage = Stage::new(&[("a", 5)]);
    stage.pod("x", "");
    stage.check(0, "x to a");
    stage.pod("x", "");
    let start = stage.start;
    stage.core.bound("x", Done::Accepted, start);
    stage.pod("x", "");
    stage.check(400, "nothing");
    stage.pod("x", "a");
    stage.check(400, "nothing");
}

#[test]
fn what_leaves_makes_room() {
    let mut stage = Stage::new(&[("a", 1)]);
    stage.pod("old", "a");
    stage.pod("x", "");
    stage.check(0, "x: 0/1 nodes are available: 1 Too many pods.");
    stage.learn(Input::Pod(Step::Delete(Box::new(pod("old", "a")))));
    stage.check(1, "x to a");
}

#[test]
fn a_finished_pod_makes_room_too() {
    let mut stage = Stage::new(&[("a", 1)]);
    stage.pod("old", "a");
    stage.pod("x", "");
    stage.check(0, "x: 0/1 nodes are available: 1 Too many pods.");
    let mut old = pod("old", "a");
    old.status.phase = "Succeeded".into();
    stage.learn(Input::Pod(Step::Apply(Box::new(old))));
    stage.check(1, "x to a");
}

#[test]
fn without_nodes_it_says_so_and_a_new_node_helps() {
    let mut stage = Stage::new(&[]);
    stage.pod("x", "");
    stage.check(0, "x: no nodes available to schedule pods");
    stage.learn(Input::Node(Step::Apply(Box::new(node("a", 1)))));
    stage.check(1, "x to a");
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut stage = Stage::new(&[("a", 1), ("b", 1)]);
    stage.pod("old", "a");
    stage.pod("x", "");
    stage.learn(Input::Pod(Step::Restart));
    stage.pod("y", "");
    stage.learn(Input::Pod(Step::Synced));
    stage.learn(Input::Node(Step::Restart));
    stage.learn(Input::Node(Step::Apply(Box::new(node("b", 1)))));
    stage.learn(Input::Node(Step::Synced));
    stage.check(0, "y to b");
    stage.check(0, "nothing");
}

#[test]
fn nothing_is_tried_before_everything_is_known() {
    let core = Core::new(Arc::new(ByPods), "default-scheduler".into(), 0, Box::new(|| 0), Arc::default());
    let mut stage = Stage { core, start: Instant::now() };
    stage.learn(Input::Node(Step::Apply(Box::new(node("a", 1)))));
    stage.pod("x", "");
    stage.learn(Input::Pod(Step::Synced));
    stage.check(0, "nothing");
    stage.learn(Input::Node(Step::Synced));
    stage.check(0, "x to a");
}
