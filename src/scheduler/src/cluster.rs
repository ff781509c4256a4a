//! The nodes and what is placed on them, bindings under way included.
//!
//! In: nodes, placed pods. Out: the table that plugins see, and what a change may help. A pod that was chosen a node
//! is *assumed* there at once, so that the next pod sees its requests; the API's word then confirms or ends that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kedge_plugin_api::NodeTable;
use kedge_plugin_api::nodes::{HostPort, NodeFacts};

use crate::hints::Happening;
use crate::node::Node;
use crate::pod::{Asks, Pod, Uid};

/// Strings beyond which the table is compacted: what 2000 nodes and the pods of a day name, about 8 MiB.
const SYMBOLS: usize = 1 << 16;

/// The nodes and the pods on them.
pub struct Cluster {
    /// What plugins see.
    pub table: NodeTable,
    pods: HashMap<Uid, Placed>,
    /// Also of nodes that are not there (yet).
    by_node: HashMap<Arc<str>, HashSet<Uid>>,
    compact_at: usize,
}

struct Placed {
    node: Arc<str>,
    asks: Asks,
    requests: Vec<(u32, i64)>,
    ports: Vec<HostPort>,
    assumed: bool,
}

impl Default for Cluster {
    fn default() -> Self {
        Self { table: NodeTable::new(1), pods: HashMap::new(), by_node: HashMap::new(), compact_at: SYMBOLS }
    }
}

impl Cluster {
    /// A node, new or changed; what that may help.
    pub fn put_node(&mut self, node: &Node) -> Option<Happening> {
        let name = node.metadata.name.as_str();
        let facts = node.facts(&mut self.table);
        let Some(row) = self.table.find(name) else {
            let row = self.table.put(name, facts);
            for uid in self.by_node.get(name).into_iter().flatten() {
                if let Some(placed) = self.pods.get(uid) {
                    count(&mut self.table, row, placed, 1);
                }
            }
            return Some(Happening::NodeAdded);
        };
        let changed = difference(&self.table.rows()[row].facts, &facts)?;
        self.table.put(name, facts);
        Some(changed)
    }

    /// A node is gone. Pods on it stay known, in case it comes back.
    pub fn remove_node(&mut self, name: &str) {
        self.table.remove(name);
    }

    /// The names of all nodes.
    pub fn node_names(&self) -> Vec<String> {
        self.table.occupied().iter().map(|row| self.table.name(row).to_string()).collect()
    }

    /// A pod is on a node, or assumed to be. True if it takes less than it took before.
    pub fn place(&mut self, pod: &Pod, node: &str, assumed: bool) -> bool {
        let asks = Asks::of(pod);
        let ports = pod.host_ports(&mut self.table);
        let uid = &pod.metadata.uid;
        if let Some(placed) = self.pods.get_mut(uid) {
            if *placed.node == *node && placed.asks == asks && placed.ports == ports {
                placed.assumed &= assumed;
                return false;
            }
            self.leave(uid);
            self.insert(uid, node, asks, ports, assumed);
            return true;
        }
        self.insert(uid, node, asks, ports, assumed);
        false
    }

    /// A pod is on no node any more. True if it was on one.
    pub fn leave(&mut self, uid: &str) -> bool {
        let Some(placed) = self.pods.remove(uid) else { return false };
        if let Some(uids) = self.by_node.get_mut(&placed.node) {
            uids.remove(uid);
            if uids.is_empty() {
                self.by_node.remove(&placed.node);
            }
        }
        if let Some(row) = self.table.find(&placed.node) {
            count(&mut self.table, row, &placed, -1);
        }
        true
    }

    /// Is it assumed to be on a node, without the API's word?
    pub fn is_assumed(&self, uid: &str) -> bool {
        self.pods.get(uid).is_some_and(|placed| placed.assumed)
    }

    /// The pods on nodes.
    pub fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.pods.keys()
    }

    /// Forgets strings that nobody names any more, when there are many.
    pub fn tidy(&mut self) {
        if self.table.symbols.count() < self.compact_at {
            return;
        }
        let (epoch, pods) = (self.table.epoch() + 1, &mut self.pods);
        self.table.compact(epoch, |translate| {
            pods.values_mut().flat_map(|placed| &mut placed.ports).for_each(|port| translate(&mut port.address));
        });
        self.compact_at = SYMBOLS.max(self.table.symbols.count() * 2);
    }

    fn insert(&mut self, uid: &str, node: &str, asks: Asks, ports: Vec<HostPort>, assumed: bool) {
        let requests = asks.requests(&mut self.table);
        let node = self.by_node.get_key_value(node).map_or_else(|| Arc::from(node), |(node, _)| node.clone());
        let placed = Placed { node: node.clone(), asks, requests, ports, assumed };
        if let Some(row) = self.table.find(&node) {
            count(&mut self.table, row, &placed, 1);
        }
        self.by_node.entry(node).or_default().insert(uid.to_string());
        self.pods.insert(uid.to_string(), placed);
    }
}

fn count(table: &mut NodeTable, row: usize, placed: &Placed, sign: i64) {
    table.use_row(row, |usage| {
        placed.asks.count(&placed.requests, usage, sign);
        for port in &placed.ports {
            if sign > 0 {
                usage.ports.push(*port);
            } else if let Some(at) = usage.ports.iter().position(|taken| taken == port) {
                usage.ports.swap_remove(at);
            }
        }
    });
}

fn difference(old: &NodeFacts, new: &NodeFacts) -> Option<Happening> {
    (old != new).then(|| Happening::NodeChanged {
        allocatable: old.allocatable != new.allocatable,
        labels: old.labels != new.labels,
        taints: old.taints != new.taints || old.unschedulable != new.unschedulable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, cpu: &str) -> Node {
        serde_json::from_value(json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu}}})).unwrap()
    }

    fn pod(uid: &str, cpu: &str) -> Pod {
        let ports = json!([{"hostPort": 80, "hostIP": "10.0.0.1"}]);
        let container = json!({"resources": {"requests": {"cpu": cpu}}, "ports": ports});
        serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": {"containers": [container]}})).unwrap()
    }

    #[track_caller]
    fn check(cluster: &Cluster, node: &str, cpu: i64, pods: i64, ports: usize) {
        let usage = &cluster.table.rows()[cluster.table.find(node).unwrap()].usage;
        let at = |column: usize| usage.requested.get(column).copied().unwrap_or(0);
        assert_eq!((at(0), at(3), usage.ports.len()), (cpu, pods, ports));
    }

    #[test]
    fn pods_count_on_their_node_once() {
        let mut cluster = Cluster::default();
        assert_eq!(cluster.put_node(&node("a", "4")), Some(Happening::NodeAdded));
        assert_eq!(cluster.put_node(&node("a", "4")), None);
        cluster.place(&pod("1", "500m"), "a", true);
        check(&cluster, "a", 500, 1, 1);
        assert!(cluster.is_assumed("1"));
        assert!(!cluster.place(&pod("1", "500m"), "a", false));
        check(&cluster, "a", 500, 1, 1);
        assert!(!cluster.is_assumed("1"));
        // Resized.
        assert!(cluster.place(&pod("1", "250m"), "a", false));
        check(&cluster, "a", 250, 1, 1);
        assert!(cluster.leave("1") && !cluster.leave("1"));
        check(&cluster, "a", 0, 0, 0);
    }

    #[test]
    fn pods_of_an_absent_node_count_when_it_comes() {
        let mut cluster = Cluster::default();
        cluster.place(&pod("1", "1"), "a", false);
        cluster.put_node(&node("a", "4"));
        check(&cluster, "a", 1000, 1, 1);
        cluster.remove_node("a");
        cluster.place(&pod("2", "1"), "a", false);
        cluster.put_node(&node("a", "4"));
        check(&cluster, "a", 2000, 2, 2);
    }

    #[test]
    fn a_change_is_told_apart() {
        let mut cluster = Cluster::default();
        cluster.put_node(&node("a", "4"));
        let only = |allocatable, taints| Some(Happening::NodeChanged { allocatable, labels: false, taints });
        assert_eq!(cluster.put_node(&node("a", "5")), only(true, false));
        let mut cordoned = node("a", "5");
        cordoned.spec.unschedulable = true;
        assert_eq!(cluster.put_node(&cordoned), only(false, true));
    }

    #[test]
    fn compaction_keeps_what_is_placed() {
        let mut cluster = Cluster { compact_at: 100, ..Cluster::default() };
        cluster.put_node(&node("a", "4"));
        cluster.place(&pod("1", "1"), "a", false);
        for n in 0..100 {
            cluster.table.symbols.intern(&format!("junk{n}"));
        }
        cluster.tidy();
        assert!(cluster.table.symbols.count() < 20);
        check(&cluster, "a", 1000, 1, 1);
        cluster.leave("1");
        check(&cluster, "a", 0, 0, 0);
    }
}
