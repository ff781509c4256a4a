//! What a node's agent may do to Nodes: to its own, and not to what steers pods towards it.
//!
//! In: a write. Out: 403, or nothing.

use std::collections::BTreeSet;

use kedge_api::Object;
use kedge_api::meta::{at, labels, list_at, text};
use kedge_api::status::Status;
use serde_json::Value;

use super::{Asked, Operation};

/// Labels of Kubernetes' own that agents set.
const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];
/// Their namespaces, and those below them.
const OWN_NAMESPACES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];
const RESTRICTED: &str = "node-restriction.kubernetes.io";
/// What marks a node that was away.
const AWAY: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn judge(asked: &Asked<'_>) -> Result<(), Status> {
    let (node, attributes) = (asked.node, asked.attributes);
    let refuse = |why: String| Err(attributes.forbidden(why));
    let name = match (attributes.operation, asked.object) {
        (Operation::Create, Some(object)) => kedge_api::meta::name(object),
        _ => attributes.name,
    };
    if name != node {
        return refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let source = |object: &Object| at(object, &["spec", "configSource"]).cloned();
    match (attributes.operation, asked.object, asked.old) {
        (Operation::Create, Some(new), _) => {
            if source(new).is_some() {
                return refuse(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
            }
            let forbidden = forbidden_labels(new, &Value::Null);
            if !forbidden.is_empty() {
                return refuse(format!("node {node:?} is not allowed to set the following labels: {forbidden}"));
            }
        }
        (Operation::Update, Some(new), Some(old)) => {
            if source(new).is_some() && source(new) != source(old) {
                return refuse(format!(
                    "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                ));
            }
            if !keeps_taints(list_at(new, &["spec", "taints"]), list_at(old, &["spec", "taints"])) {
                return refuse(format!("node {node:?} is not allowed to modify taints"));
            }
            let owners = |object| list_at(object, &["metadata", "ownerReferences"]);
            if owners(new) != owners(old) {
                return refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
            }
            let forbidden = forbidden_labels(new, old);
            if !forbidden.is_empty() {
                return refuse(format!("is not allowed to modify labels: {forbidden}"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether the taints are the same but for those of an absence, which may go.
fn keeps_taints(new: &[Value], old: &[Value]) -> bool {
    let mut rest = new.iter();
    let mut next = rest.next();
    for taint in old {
        if next == Some(taint) {
            next = rest.next();
        } else if !AWAY.contains(&text(taint, "key")) {
            return false;
        }
    }
    next.is_none()
}

/// The changed labels that are not the agent's to change, in order.
fn forbidden_labels(new: &Object, old: &Object) -> String {
    let (new, old): (BTreeSet<_>, BTreeSet<_>) = (labels(new).collect(), labels(old).collect());
    let changed: BTreeSet<&str> = new.symmetric_difference(&old).map(|(key, _)| *key).collect();
    changed.into_iter().filter(|key| is_forbidden(key)).collect::<Vec<_>>().join(", ")
}

fn is_forbidden(key: &str) -> bool {
    let namespace = key.split_once('/').map_or("", |(namespace, _)| namespace);
    let below = |of: &str| namespace == of || namespace.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'));
    let kubernetes = below("kubernetes.io") || below("k8s.io");
    let own = OWN.contains(&key) || OWN_NAMESPACES.iter().any(|of| below(of));
    below(RESTRICTED) || kubernetes && !own
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(new: Value, old: Value, expected: &str) {
        let node = |labels: Value| json!({"metadata": {"labels": labels}});
        assert_eq!(forbidden_labels(&node(new), &node(old)), expected);
    }

    #[test]
    fn labels_that_steer_pods_are_not_the_node_s() {
        check(json!({"kubernetes.io/hostname": "a", "mine": "1", "example.com/x": "y"}), json!({}), "");
        check(json!({"a.node.kubernetes.io/x": "1"}), json!({}), "");
        check(
            json!({"x.node-restriction.kubernetes.io/a": "1", "node-role.kubernetes.io/master": ""}),
            json!({"foo.k8s.io/gone": "1"}),
            "foo.k8s.io/gone, node-role.kubernetes.io/master, x.node-restriction.kubernetes.io/a",
        );
        check(json!({"node-role.kubernetes.io/x": "1"}), json!({"node-role.kubernetes.io/x": "1"}), "");
    }

    #[test]
    fn only_taints_of_an_absence_go() {
        let taint = |key: &str| json!({"key": key, "effect": "NoSchedule"});
        let (away, mine) = (taint(AWAY[0]), taint("dedicated"));
        let both = [away, mine];
        assert!(keeps_taints(&both[1..], &both));
        assert!(keeps_taints(&[], &both[..1]));
        assert!(keeps_taints(&both, &both));
        assert!(!keeps_taints(&both[..1], &both));
        assert!(!keeps_taints(&both, &both[..1]));
    }
}
