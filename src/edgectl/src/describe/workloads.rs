//! Pages of deployments, replica sets, stateful sets, daemon sets and replication controllers.
//!
//! In: an object, and its pods or replica sets. Out: lines. Never asks the server.

use serde_json::Value;

use super::kinds::{both, controller};
use super::page::Page;
use super::pod::template;
use super::storage::claim_templates;
use super::values::{in_line, items, moment, number, or_none, selector, words};
use crate::rollout::HASH;

/// A Deployment; `related` has the replica sets of its namespace.
pub fn deployment(object: &Value, related: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    both(object, page);
    page.line(0, "Selector", selector(&spec["selector"]));
    page.line(
        0,
        "Replicas",
        format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec["replicas"].as_i64().unwrap_or(1),
            number(&status["updatedReplicas"]),
            number(&status["replicas"]),
            number(&status["availableReplicas"]),
            number(&status["unavailableReplicas"])
        ),
    );
    page.line(0, "StrategyType", words(&spec["strategy"]["type"]));
    page.line(0, "MinReadySeconds", number(&spec["minReadySeconds"]).to_string());
    let rolling = &spec["strategy"]["rollingUpdate"];
    if !rolling.is_null() {
        let (unavailable, surge) = (words(&rolling["maxUnavailable"]), words(&rolling["maxSurge"]));
        page.line(0, "RollingUpdateStrategy", format!("{unavailable} max unavailable, {surge} max surge"));
    }
    template(&spec["template"], page);
    conditions(&status["conditions"], page);
    let mut own: Vec<&Value> = items(&related["sets"]).filter(|set| belongs(set, object)).collect();
    own.sort_by_key(|set| ["creationTimestamp", "name"].map(|field| words(&set["metadata"][field])));
    let newest = own.iter().position(|set| is_current(set, &spec["template"])).map(|at| own.remove(at));
    if !own.is_empty() || newest.is_some() {
        page.line(0, "OldReplicaSets", told(&own));
        page.line(0, "NewReplicaSet", told(newest.as_slice()));
    }
}

/// Conditions with their reasons.
fn conditions(list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return;
    }
    page.head(0, "Conditions");
    page.table(1, &["Type", "Status", "Reason"], &[]);
    for one in items(list) {
        let [of, is, why] = ["type", "status", "reason"].map(|field| words(&one[field]));
        page.raw(1, format!("{of} \t{is}\t{why}"));
    }
}

fn belongs(object: &Value, owner: &Value) -> bool {
    let uid = &owner["metadata"]["uid"];
    items(&object["metadata"]["ownerReferences"]).any(|one| one["controller"] == true && one["uid"] == *uid)
}

/// Whether a replica set has the template of its deployment, but for the hash that tells it apart.
fn is_current(set: &Value, wanted: &Value) -> bool {
    let mut own = set["spec"]["template"].clone();
    if let Some(labels) = own.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    own == *wanted
}

fn told(sets: &[&Value]) -> String {
    let one = |set: &&Value| {
        let wanted = set["spec"]["replicas"].as_i64().unwrap_or(1);
        let made = number(&set["status"]["replicas"]);
        format!("{} ({made}/{wanted} replicas created)", words(&set["metadata"]["name"]))
    };
    or_none(sets.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// A ReplicaSet or a ReplicationController, whose selector is the labels alone; `related` has the pods that it takes.
pub fn replica_set(object: &Value, related: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let plain = spec["selector"].as_object().is_some_and(|map| map.values().all(Value::is_string));
    page.line(0, "Selector", if plain { in_line(&spec["selector"]) } else { or_none(selector(&spec["selector"])) });
    both(object, page);
    controller(object, page);
    let desired = spec["replicas"].as_i64().unwrap_or(1);
    page.line(0, "Replicas", format!("{} current / {desired} desired", number(&status["replicas"])));
    pods(object, related, page);
    template(&spec["template"], page);
    conditions(&status["conditions"], page);
}

/// A StatefulSet; `related` has the pods that its selector takes.
pub fn stateful_set(object: &Value, related: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    page.line(0, "Selector", selector(&spec["selector"]));
    both(object, page);
    let desired = spec["replicas"].as_i64().unwrap_or(1);
    page.line(0, "Replicas", format!("{desired} desired | {} total", number(&status["replicas"])));
    page.line(0, "Update Strategy", words(&spec["updateStrategy"]["type"]));
    let rolling = &spec["updateStrategy"]["rollingUpdate"];
    if !rolling["partition"].is_null() {
        page.line(1, "Partition", words(&rolling["partition"]));
        page.some(1, "MaxUnavailable", &rolling["maxUnavailable"]);
    }
    pods(object, related, page);
    template(&spec["template"], page);
    claim_templates(&spec["volumeClaimTemplates"], page);
}

/// A DaemonSet; `related` has the pods that its selector takes.
pub fn daemon_set(object: &Value, related: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "Selector", selector(&spec["selector"]));
    page.line(0, "Node-Selector", in_line(&spec["template"]["spec"]["nodeSelector"]));
    both(object, page);
    for (name, field) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        page.raw(0, format!("{name}: {}", number(&status[field])));
    }
    pods(object, related, page);
    template(&spec["template"], page);
}

/// How many of the object's pods are in which phase.
fn pods(object: &Value, related: &Value, page: &mut Page) {
    if related["pods"].is_null() {
        return page.line(0, "Pods Status", "<the pods cannot be listed>");
    }
    let of = |phase: &str| {
        items(&related["pods"]).filter(|pod| belongs(pod, object) && pod["status"]["phase"] == *phase).count()
    };
    page.line(
        0,
        "Pods Status",
        format!(
            "{} Running / {} Waiting / {} Succeeded / {} Failed",
            of("Running"),
            of("Pending"),
            of("Succeeded"),
            of("Failed")
        ),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Page), expected: &[&str]) {
        let mut page = Page::default();
        write(&mut page);
        let text = page.text();
        expected.iter().for_each(|line| assert!(text.lines().any(|is| is == *line), "no {line:?} in {text}"));
    }

    fn owned(name: &str, spec: Value, status: Value) -> Value {
        json!({"metadata": {"name": name, "ownerReferences": [{"controller": true, "uid": "u"}]},
            "spec": spec, "status": status})
    }

    #[test]
    fn a_deployment_names_its_replica_sets() {
        let template = |image: &str, hash: &str| {
            let mut made = json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"image": image}]}});
            if !hash.is_empty() {
                made["metadata"]["labels"][HASH] = json!(hash);
            }
            made
        };
        let set = |name: &str, image: &str, wanted: i64| {
            owned(name, json!({"replicas": wanted, "template": template(image, name)}), json!({"replicas": 1}))
        };
        let object = json!({"metadata": {"uid": "u"}, "spec": {"template": template("b", "")}});
        let sets = json!({"sets": [set("old", "a", 0), set("new", "b", 2), {"metadata": {"name": "other"}}]});
        check(
            |page| deployment(&object, &sets, page),
            &["OldReplicaSets:    old (1/0 replicas created)", "NewReplicaSet:     new (1/2 replicas created)"],
        );
        let mut page = Page::default();
        deployment(&object, &json!({}), &mut page);
        assert!(!page.text().contains("ReplicaSet"), "{}", page.text());
    }

    #[test]
    fn each_kind_counts_in_its_own_way() {
        let pod = |phase: &str| owned("p", json!({}), json!({"phase": phase}));
        let related = json!({"pods": [pod("Running"), pod("Pending"), {"status": {"phase": "Running"}}]});
        let object = json!({"metadata": {"uid": "u"}, "spec": {"replicas": 2,
                "selector": {"matchLabels": {"a": "b"}}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
                "volumeClaimTemplates": [{"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]},
            "status": {"replicas": 1, "desiredNumberScheduled": 3}});
        let status = "Pods Status:  1 Running / 1 Waiting / 0 Succeeded / 0 Failed";
        check(|page| replica_set(&object, &related, page), &["Replicas:     1 current / 2 desired", status]);
        check(
            |page| stateful_set(&object, &related, page),
            &[
                "Replicas:           2 desired | 1 total",
                "Update Strategy:    RollingUpdate",
                "Volume Claims:",
                "  Capacity:      <default>",
                "  Access Modes:  [ReadWriteOnce]",
            ],
        );
        check(
            |page| daemon_set(&object, &related, page),
            &["Desired Number of Nodes Scheduled: 3", "Node-Selector:  <none>"],
        );
        check(|page| replica_set(&object, &Value::Null, page), &["Pods Status:  <the pods cannot be listed>"]);
    }
}
