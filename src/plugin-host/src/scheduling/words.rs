//! A pod as it crosses.

use kedge_plugin_api::scheduling::{NodeTerm, Operator, PodRow, Requirement, TolerationOperator};
use kedge_plugin_api::symbols::Symbol;

use super::delta::{effect, host_port};
use crate::bindings::scheduler::exports::kedge::plugin::scheduling as wire;

/// The pod.
pub(super) fn pod(pod: &PodRow) -> wire::Pod {
    wire::Pod {
        namespace: pod.namespace,
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        labels: labels(&pod.labels),
        annotations: labels(&pod.annotations),
        priority: pod.priority,
        node_name: pod.node_name,
        requests: pod
            .requests
            .iter()
            .map(|(column, amount)| wire::Request { column: *column, amount: *amount })
            .collect(),
        scoring_cpu: pod.scoring_cpu,
        scoring_memory: pod.scoring_memory,
        host_ports: pod.host_ports.iter().map(host_port).collect(),
        node_selector: labels(&pod.node_selector),
        required: pod.required.as_ref().map(|terms| terms.iter().map(term).collect()),
        preferred: pod
            .preferred
            .iter()
            .map(|(weight, one)| wire::WeightedTerm { weight: *weight, term: term(one) })
            .collect(),
        tolerations: pod.tolerations.iter().map(toleration).collect(),
        images: pod.images.clone(),
    }
}

fn labels(labels: &[(Symbol, Symbol)]) -> Vec<wire::Label> {
    labels.iter().map(|(key, value)| wire::Label { key: *key, value: *value }).collect()
}

fn term(term: &NodeTerm) -> wire::NodeTerm {
    let all = |requirements: &[Requirement]| requirements.iter().map(requirement).collect();
    wire::NodeTerm { labels: all(&term.labels), fields: all(&term.fields) }
}

fn requirement(requirement: &Requirement) -> wire::Requirement {
    let operator = match requirement.operator {
        Operator::In => wire::Operator::In,
        Operator::NotIn => wire::Operator::NotIn,
        Operator::Exists => wire::Operator::Exists,
        Operator::DoesNotExist => wire::Operator::DoesNotExist,
        Operator::Gt => wire::Operator::Gt,
        Operator::Lt => wire::Operator::Lt,
    };
    wire::Requirement { key: requirement.key, operator, values: requirement.values.clone() }
}

fn toleration(toleration: &kedge_plugin_api::scheduling::Toleration) -> wire::Toleration {
    let operator = match toleration.operator {
        TolerationOperator::Exists => wire::TolerationOperator::Exists,
        TolerationOperator::Equal => wire::TolerationOperator::Equal,
        TolerationOperator::Lt => wire::TolerationOperator::Lt,
        TolerationOperator::Gt => wire::TolerationOperator::Gt,
    };
    wire::Toleration { key: toleration.key, operator, value: toleration.value, effect: toleration.effect.map(effect) }
}
