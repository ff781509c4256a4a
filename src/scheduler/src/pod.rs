//! What the scheduler reads of a Pod.
//!
//! In: the API's JSON. Out: facts for the queue, what the pod asks for in all, and its row for plugins.
//! Never keeps the object.

mod affinity;
mod asks;

use std::collections::BTreeMap;

use kedge_plugin_api::PodRow;
use kedge_plugin_api::nodes::{Effect, HostPort, NodeTable};
use kedge_plugin_api::scheduling::{Toleration, TolerationOperator};
use kedge_plugin_api::symbols::{Symbol, Symbols};

pub use asks::{Asks, parse as parse_amounts};

pub use crate::wire::Pod;

/// Bytes of an annotation's value that plugins see. Labels have at most 63.
const LONGEST: usize = 256;

/// A pod's identity; a new pod of the same name has another.
pub type Uid = String;

impl Pod {
    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// Is it on a node?
    pub fn is_assigned(&self) -> bool {
        !self.spec.node_name.is_empty()
    }

    /// Has it ended? It then takes nothing of its node.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Should a scheduler of this name place it now?
    pub fn wants_node(&self, scheduler: &str) -> bool {
        let name = if self.spec.scheduler_name.is_empty() { "default-scheduler" } else { &self.spec.scheduler_name };
        !self.is_assigned()
            && !self.is_finished()
            && self.metadata.deletion_timestamp.is_none()
            && self.spec.scheduling_gates.is_empty()
            && name == scheduler
    }

    /// May it take the place of others?
    pub fn may_preempt(&self) -> bool {
        self.spec.preemption_policy != "Never"
    }

    /// Does it already say that it cannot be placed, in these words?
    pub fn says_unschedulable(&self, reason: &str, message: &str) -> bool {
        self.status.conditions.iter().any(|condition| {
            condition.r#type == "PodScheduled"
                && condition.status == "False"
                && condition.reason == reason
                && condition.message == message
        })
    }

    /// Its row. Strings are interned in the table, and resources get columns.
    pub fn row(&self, asks: &Asks, table: &mut NodeTable) -> PodRow {
        let requests = asks.requests(table);
        let host_ports = self.host_ports(table);
        let symbols = &mut table.symbols;
        let affinity = affinity::of(&self.spec, symbols);
        PodRow {
            labels: pairs(&self.metadata.labels, symbols),
            annotations: pairs(&self.metadata.annotations, symbols),
            node_selector: pairs(&self.spec.node_selector, symbols),
            namespace: symbols.intern(&self.metadata.namespace),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone(),
            priority: self.spec.priority,
            node_name: symbols.intern(&self.spec.node_name),
            requests,
            scoring_cpu: asks.scoring_cpu,
            scoring_memory: asks.scoring_memory,
            host_ports,
            required: affinity.required,
            preferred: affinity.preferred,
            tolerations: self
                .spec
                .tolerations
                .iter()
                .map(|toleration| Toleration {
                    key: symbols.intern(&toleration.key),
                    operator: match toleration.operator.as_str() {
                        "Exists" => TolerationOperator::Exists,
                        "Lt" => TolerationOperator::Lt,
                        "Gt" => TolerationOperator::Gt,
                        _ => TolerationOperator::Equal,
                    },
                    value: symbols.intern(&toleration.value),
                    effect: effect(&toleration.effect),
                })
                .collect(),
            images: self
                .spec
                .containers
                .iter()
                .chain(&self.spec.init_containers)
                .map(|container| symbols.intern(&full_image_name(&container.image)))
                .collect(),
        }
    }

    /// The ports that it takes on its node. Kubernetes counts those of containers, not of init containers that end.
    pub fn host_ports(&self, table: &mut NodeTable) -> Vec<HostPort> {
        let lasting = self.spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
        let ports = self.spec.containers.iter().chain(lasting).flat_map(|container| &container.ports);
        ports.filter_map(|port| port.on_host(&mut table.symbols)).collect()
    }
}

/// Labels or annotations as symbols. Values over [`LONGEST`] are no facts but documents, and left out.
pub fn pairs(map: &BTreeMap<String, String>, symbols: &mut Symbols) -> Vec<(Symbol, Symbol)> {
    let short = map.iter().filter(|(_, value)| value.len() <= LONGEST);
    short.map(|(key, value)| (symbols.intern(key), symbols.intern(value))).collect()
}

/// An effect by its name; empty or unknown: none.
pub fn effect(name: &str) -> Option<Effect> {
    match name {
        "NoSchedule" => Some(Effect::NoSchedule),
        "PreferNoSchedule" => Some(Effect::PreferNoSchedule),
        "NoExecute" => Some(Effect::NoExecute),
        _ => None,
    }
}

/// An image's name with its tag written out, as nodes list it.
pub fn full_image_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_string() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: serde_json::Value, expected: bool) {
        let mut pod =
            serde_json::json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": {}, "status": {}});
        for part in ["metadata", "spec", "status"] {
            if let Some(more) = change.get(part) {
                pod[part].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            }
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(pod.wants_node("default-scheduler"), expected, "{change}");
    }

    #[test]
    fn pods_that_wait_for_a_node_are_told_from_the_rest() {
        use serde_json::json;
        check(json!({}), true);
        check(json!({"spec": {"nodeName": "a"}}), false);
        check(json!({"spec": {"schedulerName": "default-scheduler"}}), true);
        check(json!({"spec": {"schedulerName": "mine"}}), false);
        check(json!({"spec": {"schedulingGates": [{"name": "g"}]}}), false);
        check(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), false);
        check(json!({"status": {"phase": "Failed"}}), false);
    }

    #[test]
    fn image_names_get_their_tag() {
        assert_eq!(full_image_name("web"), "web:latest");
        assert_eq!(full_image_name("host:5000/web"), "host:5000/web:latest");
        assert_eq!(full_image_name("host:5000/web:1"), "host:5000/web:1");
        assert_eq!(full_image_name("web@sha256:00"), "web@sha256:00");
    }
}
