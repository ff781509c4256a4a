//! The FlowSchemas and PriorityLevelConfigurations that are there from the start, as Kubernetes documents them.
//!
//! In: nothing. Out: objects. Mandatory ones come back in their documented form at every start; suggested ones while
//! their annotation says so.

use kedge_api::Object;
use serde_json::{Value, json};

use crate::bootstrap::covers;

/// Says that a suggested object is put right at every start.
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";

/// All of them.
pub fn objects() -> Vec<Object> {
    let mut all = levels();
    all.extend(schemas());
    all
}

/// What a kept object must become to be as documented; nothing if it may stay.
pub fn reconcile(found: &Object, wanted: &Object) -> Option<Object> {
    let annotation = |object: &Object| {
        object.pointer("/metadata/annotations").and_then(|map| map.get(AUTOUPDATE)).and_then(Value::as_str)
            == Some("true")
    };
    let mandatory = matches!(kedge_api::meta::name(wanted), "exempt" | "catch-all");
    let mut spec = wanted["spec"].clone();
    // How much the exempt level has may have been changed on purpose.
    if let (Some(chosen), Some(_)) = (found["spec"].get("exempt"), spec.get("exempt")) {
        spec["exempt"] = chosen.clone();
    }
    if !(mandatory || annotation(found)) || covers(&found["spec"], &spec) {
        return None;
    }
    let mut fixed = found.clone();
    fixed["spec"] = spec;
    Some(fixed)
}

fn object(kind: &str, name: &str, spec: Value) -> Object {
    json!({
        "apiVersion": API_VERSION, "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    })
}

fn levels() -> Vec<Object> {
    let level = |name: &str, spec| object("PriorityLevelConfiguration", name, spec);
    let queued = |name: &str, shares: u32, lendable: u32, queues: u32, hand: u32| {
        level(
            name,
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": shares, "lendablePercent": lendable,
                "limitResponse": {"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}},
            }}),
        )
    };
    vec![
        level("exempt", json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}})),
        level(
            "catch-all",
            json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            }}),
        ),
        queued("system", 30, 33, 64, 6),
        queued("node-high", 40, 25, 64, 6),
        queued("leader-election", 10, 0, 16, 4),
        queued("workload-high", 40, 50, 128, 6),
        queued("workload-low", 100, 90, 128, 6),
        queued("global-default", 20, 50, 128, 6),
    ]
}

/// Whom a schema takes.
enum Who {
    User(&'static str),
    Group(&'static str),
    Account(&'static str, &'static str),
}

impl Who {
    fn json(&self) -> Value {
        match self {
            Who::User(name) => json!({"kind": "User", "user": {"name": name}}),
            Who::Group(name) => json!({"kind": "Group", "group": {"name": name}}),
            Who::Account(namespace, name) => {
                json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": name}})
            }
        }
    }
}

fn schemas() -> Vec<Object> {
    use Who::{Account, Group, User};
    let schema = |name: &str, level: &str, precedence: u32, by: Option<&str>, rules: Vec<Value>| {
        let mut spec = json!({
            "matchingPrecedence": precedence, "priorityLevelConfiguration": {"name": level}, "rules": rules,
        });
        if let Some(by) = by {
            spec["distinguisherMethod"] = json!({"type": by});
        }
        object("FlowSchema", name, spec)
    };
    let subjects = |who: &[Who]| who.iter().map(Who::json).collect::<Vec<_>>();
    let everything = |who: &[Who]| {
        json!({
            "subjects": subjects(who),
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        })
    };
    let some = |who: &[Who], verbs: &[&str], group: &str, resources: &[&str], cluster: bool, namespaces: &[&str]| {
        let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources});
        if cluster {
            rule["clusterScope"] = json!(true);
        }
        if !namespaces.is_empty() {
            rule["namespaces"] = json!(namespaces);
        }
        json!({"subjects": subjects(who), "resourceRules": [rule]})
    };
    let everybody = [Group("system:unauthenticated"), Group("system:authenticated")];
    let (user, namespace) = (Some("ByUser"), Some("ByNamespace"));
    let lease_verbs = ["get", "create", "update"];
    let leases = "coordination.k8s.io";
    let leaders = [User("system:kube-controller-manager"), User("system:kube-scheduler"), Account("kube-system", "*")];
    let endpoints = [
        User("system:kube-controller-manager"),
        Account("kube-system", "endpoint-controller"),
        Account("kube-system", "endpointslicemirroring-controller"),
    ];
    vec![
        schema("exempt", "exempt", 1, None, vec![everything(&[Group("system:masters")])]),
        schema(
            "probes",
            "exempt",
            2,
            None,
            vec![json!({
                "subjects": subjects(&everybody),
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
            })],
        ),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            user,
            vec![some(&leaders, &lease_verbs, leases, &["leases"], false, &["*"])],
        ),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            user,
            vec![some(&endpoints, &["get", "create", "update"], "", &["endpoints"], false, &["*"])],
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            user,
            vec![some(&[Account("kube-system", "*")], &lease_verbs, leases, &["leases"], false, &["*"])],
        ),
        schema(
            "system-node-high",
            "node-high",
            400,
            user,
            vec![
                some(&[Group("system:nodes")], &["*"], "", &["nodes", "nodes/status"], true, &["*"]),
                some(&[Group("system:nodes")], &["*"], leases, &["leases"], false, &["*"]),
            ],
        ),
        schema("system-nodes", "system", 500, user, vec![everything(&[Group("system:nodes")])]),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            namespace,
            vec![everything(&[User("system:kube-controller-manager")])],
        ),
        schema("kube-scheduler", "workload-high", 800, namespace, vec![everything(&[User("system:kube-scheduler")])]),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            namespace,
            vec![everything(&[Account("kube-system", "*")])],
        ),
        schema("service-accounts", "workload-low", 9000, user, vec![everything(&[Group("system:serviceaccounts")])]),
        schema("global-default", "global-default", 9900, user, vec![everything(&everybody)]),
        schema("catch-all", "catch-all", 10_000, user, vec![everything(&everybody)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_on_purpose_stays() {
        let wanted = objects().into_iter().find(|o| o["metadata"]["name"] == "workload-low").unwrap();
        let mut found = wanted.clone();
        assert_eq!(reconcile(&found, &wanted), None);
        found["spec"]["limited"]["nominalConcurrencyShares"] = json!(1);
        assert_eq!(reconcile(&found, &wanted).as_ref(), Some(&wanted));
        found["metadata"]["annotations"][AUTOUPDATE] = json!("false");
        assert_eq!(reconcile(&found, &wanted), None);
        let wanted = objects().into_iter().find(|o| o["spec"]["type"] == "Exempt").unwrap();
        let mut found = wanted.clone();
        found["spec"]["exempt"]["lendablePercent"] = json!(50);
        assert_eq!(reconcile(&found, &wanted), None);
    }

    #[test]
    fn the_defaults_are_valid() {
        let kinds = kedge_api::kinds::Kinds::builtin();
        for mut object in objects() {
            let kind = kinds.by_word(kedge_api::meta::kind(&object)).unwrap();
            kedge_api::defaults::apply(&kind.gvk(), &mut object);
            object["metadata"]["uid"] = json!("u");
            let faults = kedge_api::validate::create(kind, &object);
            assert!(faults.is_empty(), "{object}: {faults:?}");
        }
    }
}
