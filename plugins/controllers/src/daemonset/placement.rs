//! On which nodes a DaemonSet's pods belong.
//!
//! In: a pod template, a node's name, labels and taints. Out: whether a pod should be there, and whether one that is
//! there may stay. Pure.

use serde_json::{Value, json};

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub struct Node {
    pub name: String,
    pub labels: Value,
    pub taints: Value,
}

/// What becomes of a node's pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There should be one.
    Wanted,
    /// None is made, but one that is there stays.
    Kept,
    /// None may be there.
    Refused,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Taints that a daemon stands: it is what looks after the node. Without the last for pods with a network of their own.
pub fn tolerations(template: &Value) -> Vec<Value> {
    let always = [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
        ("node.kubernetes.io/network-unavailable", "NoSchedule"),
    ];
    let count = if template["spec"]["hostNetwork"] == true { always.len() } else { always.len() - 1 };
    let mut all = list(&template["spec"]["tolerations"]).to_vec();
    for (key, effect) in &always[..count] {
        let same = |held: &Value| {
            held["key"] == *key
                && held["effect"] == *effect
                && held["operator"] == "Exists"
                && held["tolerationSeconds"].is_null()
        };
        if !all.iter().any(same) {
            all.push(json!({"key": key, "operator": "Exists", "effect": effect}));
        }
    }
    all
}

/// Judges one node.
pub fn place(template: &Value, tolerations: &[Value], node: &Node) -> Place {
    let spec = &template["spec"];
    let named = spec["nodeName"].as_str().filter(|name| !name.is_empty());
    let selected =
        spec["nodeSelector"].as_object().into_iter().flatten().all(|(key, value)| node.labels[key] == *value);
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let affine = required.is_null() || list(&required["nodeSelectorTerms"]).iter().any(|term| fits(term, node));
    if named.is_some_and(|name| name != node.name) || !selected || !affine {
        return Place::Refused;
    }
    let untolerated = |effects: &[&str]| {
        list(&node.taints).iter().any(|taint| {
            let effect = taint["effect"].as_str().unwrap_or_default();
            effects.contains(&effect) && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
        })
    };
    match (untolerated(&["NoSchedule", "NoExecute"]), untolerated(&["NoExecute"])) {
        (false, _) => Place::Wanted,
        (true, false) => Place::Kept,
        (true, true) => Place::Refused,
    }
}

fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let (key, effect) = (text(&toleration["key"]), text(&toleration["effect"]));
    if !effect.is_empty() && effect != text(&taint["effect"]) || !key.is_empty() && key != text(&taint["key"]) {
        return false;
    }
    let (held, given) = (text(&toleration["value"]), text(&taint["value"]));
    let numbers = || Some((given.parse::<i64>().ok()?, held.parse::<i64>().ok()?));
    match toleration["operator"].as_str() {
        Some("Exists") => true,
        None | Some("" | "Equal") => !key.is_empty() && held == given,
        Some("Lt") => numbers().is_some_and(|(taint, limit)| taint < limit),
        Some("Gt") => numbers().is_some_and(|(taint, limit)| taint > limit),
        Some(_) => false,
    }
}

/// Whether a term of node affinity fits; an empty one fits nothing.
pub fn fits(term: &Value, node: &Node) -> bool {
    let (labels, fields) = (list(&term["matchExpressions"]), list(&term["matchFields"]));
    let name = json!(node.name);
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|wanted| holds(wanted, &node.labels[wanted["key"].as_str().unwrap_or_default()]))
        && fields.iter().all(|wanted| wanted["key"] == "metadata.name" && holds(wanted, &name))
}

fn holds(wanted: &Value, value: &Value) -> bool {
    let listed = || list(&wanted["values"]).contains(value);
    let numbers = || {
        let limit = list(&wanted["values"]).first()?.as_str()?.parse::<i64>().ok()?;
        Some((value.as_str()?.parse::<i64>().ok()?, limit))
    };
    match wanted["operator"].as_str() {
        Some("In") => !value.is_null() && listed(),
        Some("NotIn") => value.is_null() || !listed(),
        Some("Exists") => !value.is_null(),
        Some("DoesNotExist") => value.is_null(),
        Some("Gt") => numbers().is_some_and(|(value, limit)| value > limit),
        Some("Lt") => numbers().is_some_and(|(value, limit)| value < limit),
        _ => false,
    }
}

/// Binds a pod to its node through the scheduler, which looks at everything else.
pub fn bind(pod: &mut Value, node: &str, tolerations: &[Value]) {
    let term = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]});
    pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({"nodeSelectorTerms": [term]});
    pod["spec"]["tolerations"] = json!(tolerations);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, taints: Value, expected: Place) {
        let node = Node { name: "edge".into(), labels: json!({"disk": "ssd", "cpus": "4"}), taints };
        let template = json!({"spec": spec});
        assert_eq!(place(&template, &tolerations(&template), &node), expected, "{spec}");
    }

    #[test]
    fn daemons_run_where_they_fit() {
        let none = || json!([]);
        check(json!({}), none(), Place::Wanted);
        check(json!({"nodeSelector": {"disk": "ssd"}}), none(), Place::Wanted);
        check(json!({"nodeSelector": {"disk": "hdd"}}), none(), Place::Refused);
        check(json!({"nodeName": "other"}), none(), Place::Refused);
        let affinity = |key: &str, operator: &str, values: &[&str]| {
            let term = json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [term]}}}})
        };
        check(affinity("cpus", "Gt", &["2"]), none(), Place::Wanted);
        check(affinity("disk", "NotIn", &["ssd"]), none(), Place::Refused);
        check(affinity("gone", "DoesNotExist", &[]), none(), Place::Wanted);
    }

    #[test]
    fn taints_keep_daemons_away_unless_they_stand_them() {
        let taint = |key: &str, effect: &str| json!([{"key": key, "effect": effect, "value": "v"}]);
        check(json!({}), taint("gpu", "NoSchedule"), Place::Kept);
        check(json!({}), taint("gpu", "NoExecute"), Place::Refused);
        check(json!({}), taint("gpu", "PreferNoSchedule"), Place::Wanted);
        check(json!({}), taint("node.kubernetes.io/unschedulable", "NoSchedule"), Place::Wanted);
        check(json!({}), taint("node.kubernetes.io/network-unavailable", "NoSchedule"), Place::Kept);
        check(
            json!({"hostNetwork": true}),
            taint("node.kubernetes.io/network-unavailable", "NoSchedule"),
            Place::Wanted,
        );
        check(json!({"tolerations": [{"operator": "Exists"}]}), taint("gpu", "NoExecute"), Place::Wanted);
        check(json!({"tolerations": [{"key": "gpu", "value": "v"}]}), taint("gpu", "NoExecute"), Place::Wanted);
        check(json!({"tolerations": [{"key": "gpu", "value": "w"}]}), taint("gpu", "NoExecute"), Place::Refused);
    }
}
