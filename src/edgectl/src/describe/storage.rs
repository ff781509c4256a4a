//! Pages of claims, of persistent volumes and of what makes them.
//!
//! In: an object, and the pods that may use a claim. Out: lines. Never asks the server.

use std::time::SystemTime;

use serde_json::Value;

use super::kinds::both;
use super::page::Page;
use super::values::{self, age, amount, bracketed, in_line, items, joined, moment, truth, words};
use super::volumes::persistent;

/// Where a storage class was named before there was a field for it.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What makes a storage class the one of those who name none.
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

/// A PersistentVolumeClaim; `related` has the pods of its namespace.
pub fn claim(object: &Value, related: &Value, now: SystemTime, page: &mut Page) {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    page.line(0, "StorageClass", class(object));
    page.line(0, "Status", standing(object, now));
    page.line(0, "Volume", words(&spec["volumeName"]));
    both(object, page);
    page.line(0, "Finalizers", bracketed(&meta["finalizers"]));
    let is_bound = !words(&spec["volumeName"]).is_empty();
    page.line(0, "Capacity", if is_bound { amount(&status["capacity"]["storage"]) } else { String::new() });
    page.line(0, "Access Modes", if is_bound { modes(&status["accessModes"]) } else { String::new() });
    source(0, spec, page);
    match &related["pods"] {
        Value::Null => page.line(0, "Used By", "<the pods cannot be listed>"),
        pods => page.list(0, "Used By", &users(object, pods)),
    }
    if items(&status["conditions"]).next().is_none() {
        return;
    }
    page.head(0, "Conditions");
    page.raw(1, "Type\tStatus\tLastProbeTime\tLastTransitionTime\tReason\tMessage");
    page.raw(1, "----\t------\t-----------------\t------------------\t------\t-------");
    for one in items(&status["conditions"]) {
        let [of, is, why, message] = ["type", "status", "reason", "message"].map(|field| words(&one[field]));
        let [probed, changed] = ["lastProbeTime", "lastTransitionTime"].map(|field| moment(&one[field]));
        page.raw(1, format!("{of} \t{is} \t{probed} \t{changed} \t{why} \t{message}"));
    }
}

/// The names of the pods that have a claim, or own it.
fn users(claim: &Value, pods: &Value) -> Vec<String> {
    let meta = &claim["metadata"];
    let has = |pod: &Value| {
        let named = |volume: &Value| volume["persistentVolumeClaim"]["claimName"] == meta["name"];
        items(&pod["spec"]["volumes"]).filter(|volume| named(volume)).count()
    };
    let owns = |pod: &Value| {
        let is_owner = |owner: &Value| owner["kind"] == "Pod" && owner["uid"] == pod["metadata"]["uid"];
        usize::from(items(&meta["ownerReferences"]).any(is_owner))
    };
    let of = |pod: &Value| std::iter::repeat_n(words(&pod["metadata"]["name"]), has(pod).max(owns(pod)));
    let mut names: Vec<String> = items(pods).flat_map(of).collect();
    names.sort();
    names
}

/// A claim that is made with its pod. As kubectl has it, values of several lines stand behind their level's blanks once
/// more.
pub fn claim_to_be(template: &Value, page: &mut Page) {
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    page.line(2, "StorageClass", class(template));
    page.line(2, "Volume", words(&spec["volumeName"]));
    let annotations = values::annotations(&meta["annotations"]);
    for (name, blanks, all) in [("Labels", 8, values::pairs(&meta["labels"])), ("Annotations", 4, annotations)] {
        let all = if all.is_empty() { vec!["<none>".to_owned()] } else { all };
        let shifted = all.iter().map(|line| if line.starts_with("  ") { line.clone() } else { format!("    {line}") });
        page.list_behind(2, name, blanks, &shifted.collect::<Vec<_>>());
    }
    page.line(2, "Capacity", "");
    page.line(2, "Access Modes", "");
    source(2, spec, page);
}

/// How a claim is used, and what it is filled with.
fn source(level: usize, spec: &Value, page: &mut Page) {
    page.some(level, "VolumeMode", &spec["volumeMode"]);
    let source = &spec["dataSource"];
    if source.is_null() {
        return;
    }
    page.head(level, "DataSource");
    if !source["apiGroup"].is_null() {
        page.line(level + 1, "APIGroup", words(&source["apiGroup"]));
    }
    page.line(level + 1, "Kind", words(&source["kind"]));
    page.line(level + 1, "Name", words(&source["name"]));
}

/// The claims that a StatefulSet makes.
pub fn claim_templates(list: &Value, page: &mut Page) {
    if items(list).next().is_none() {
        return page.line(0, "Volume Claims", "<none>");
    }
    page.head(0, "Volume Claims");
    for claim in items(list) {
        let (meta, spec) = (&claim["metadata"], &claim["spec"]);
        page.line(1, "Name", words(&meta["name"]));
        page.line(1, "StorageClass", class(claim));
        page.pairs(1, "Labels", &meta["labels"]);
        page.pairs(1, "Annotations", &meta["annotations"]);
        let size = &spec["resources"]["requests"]["storage"];
        page.line(1, "Capacity", if size.is_null() { "<default>".to_owned() } else { amount(size) });
        page.line(1, "Access Modes", bracketed(&spec["accessModes"]));
    }
}

/// A PersistentVolume.
pub fn volume(object: &Value, now: SystemTime, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    both(object, page);
    page.line(0, "Finalizers", bracketed(&object["metadata"]["finalizers"]));
    page.line(0, "StorageClass", class(object));
    page.line(0, "Status", standing(object, now));
    let claim = &spec["claimRef"];
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", words(&claim["namespace"]), words(&claim["name"]))
    };
    page.line(0, "Claim", claim);
    page.line(0, "Reclaim Policy", words(&spec["persistentVolumeReclaimPolicy"]));
    page.line(0, "Access Modes", modes(&spec["accessModes"]));
    page.some(0, "VolumeMode", &spec["volumeMode"]);
    page.line(0, "Capacity", amount(&spec["capacity"]["storage"]));
    let required = &spec["nodeAffinity"]["required"];
    page.line(0, "Node Affinity", if required.is_null() { "<none>" } else { "" });
    if !required.is_null() {
        let all: Vec<&Value> = items(&required["nodeSelectorTerms"]).collect();
        page.line(1, "Required Terms", if all.is_empty() { "<none>" } else { "" });
        for (i, term) in all.iter().enumerate() {
            terms(2, i, &term["matchExpressions"], page);
        }
    }
    page.line(0, "Message", words(&status["message"]));
    persistent(spec, page);
}

/// Conditions that must all be met: `zone in [a, b]`.
fn terms(level: usize, number: usize, list: &Value, page: &mut Page) {
    let told = |one: &Value| {
        let operator = one["operator"].as_str().unwrap_or("In").to_lowercase();
        let values = joined(&one["values"], ", ");
        let values = if values.is_empty() { values } else { format!(" [{values}]") };
        format!("{} {operator}{values}", words(&one["key"]))
    };
    page.list(level, &format!("Term {number}"), &items(list).map(told).collect::<Vec<_>>());
}

/// A StorageClass.
pub fn storage_class(object: &Value, page: &mut Page) {
    let annotations = &object["metadata"]["annotations"];
    let is_default = DEFAULT.iter().any(|name| annotations[*name] == "true");
    page.line(0, "IsDefaultClass", if is_default { "Yes" } else { "No" });
    page.line(0, "Annotations", in_line(annotations));
    page.line(0, "Provisioner", words(&object["provisioner"]));
    page.line(0, "Parameters", in_line(&object["parameters"]));
    page.line(0, "AllowVolumeExpansion", truth(&object["allowVolumeExpansion"]));
    if items(&object["mountOptions"]).next().is_none() {
        page.line(0, "MountOptions", "<none>");
    } else {
        page.head(0, "MountOptions");
        items(&object["mountOptions"]).for_each(|option| page.raw(1, words(option)));
    }
    page.some(0, "ReclaimPolicy", &object["reclaimPolicy"]);
    page.some(0, "VolumeBindingMode", &object["volumeBindingMode"]);
    if let Some(all) = object["allowedTopologies"].as_array() {
        page.line(0, "AllowedTopologies", if all.is_empty() { "<none>" } else { "" });
        for (i, term) in all.iter().enumerate() {
            terms(1, i, &term["matchLabelExpressions"], page);
        }
    }
}

/// A VolumeAttributesClass.
pub fn attributes_class(object: &Value, page: &mut Page) {
    page.line(0, "Annotations", in_line(&object["metadata"]["annotations"]));
    page.line(0, "DriverName", words(&object["driverName"]));
    page.line(0, "Parameters", in_line(&object["parameters"]));
}

/// A CSINode.
pub fn csi_node(object: &Value, page: &mut Page) {
    both(object, page);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    page.head(0, "Spec");
    if !object["spec"]["drivers"].is_null() {
        page.head(1, "Drivers");
    }
    for driver in items(&object["spec"]["drivers"]) {
        page.head(2, &words(&driver["name"]));
        page.line(3, "Node ID", words(&driver["nodeID"]));
        let count = &driver["allocatable"]["count"];
        if !count.is_null() {
            page.head(3, "Allocatables");
            page.line(4, "Count", words(count));
        }
        if !driver["topologyKeys"].is_null() {
            page.line(3, "Topology Keys", bracketed(&driver["topologyKeys"]));
        }
    }
}

fn class(object: &Value) -> String {
    match object["metadata"]["annotations"][OLD_CLASS].as_str() {
        Some(class) => class.to_owned(),
        None => words(&object["spec"]["storageClassName"]),
    }
}

fn standing(object: &Value, now: SystemTime) -> String {
    match &object["metadata"]["deletionTimestamp"] {
        Value::Null => words(&object["status"]["phase"]),
        time => format!("Terminating (lasts {})", age(time, now)),
    }
}

/// The short names of access modes, always in this order.
fn modes(list: &Value) -> String {
    const SHORT: [(&str, &str); 4] =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| items(list).any(|one| one == mode);
    SHORT.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page::check;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn a_claim_tells_who_uses_it() {
        let object = json!({"metadata": {"name": "c", "ownerReferences": [{"kind": "Pod", "uid": "2"}]},
            "spec": {"volumeName": "v", "storageClassName": "slow"},
            "status": {"phase": "Bound", "capacity": {"storage": "1024Mi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]}});
        let user =
            json!({"metadata": {"name": "z"}, "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "c"}}]}});
        let related =
            json!({"pods": [user, {"metadata": {"name": "b", "uid": "2"}}, {"metadata": {"name": "x", "uid": "3"}}]});
        check(
            |page| claim(&object, &related, NOW, page),
            "StorageClass:  slow\nStatus:        Bound\nVolume:        v\nLabels:        <none>\nAnnotations:   <none>\nFinalizers:    []\nCapacity:      1Gi\nAccess Modes:  RWO,RWX\nUsed By:       b\n               z\n",
        );
    }

    #[test]
    fn a_volume_says_where_it_can_be() {
        let object = json!({"metadata": {}, "spec": {"capacity": {"storage": "1Gi"}, "local": {"path": "/p"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "k", "operator": "In", "values": ["a", "b"]}, {"key": "l", "operator": "Exists"}]}]}}}});
        check(
            |page| volume(&object, NOW, page),
            "Labels:            <none>\nAnnotations:       <none>\nFinalizers:        []\nStorageClass:      \nStatus:            \nClaim:             \nReclaim Policy:    \nAccess Modes:      \nCapacity:          1Gi\nNode Affinity:     \n  Required Terms:  \n    Term 0:        k in [a, b]\n                   l exists\nMessage:           \nSource:\n    Type:  LocalVolume (a persistent volume backed by local storage on a node)\n    Path:  /p\n",
        );
    }

    #[test]
    fn a_class_is_the_default_or_not() {
        let object = json!({"metadata": {"annotations": {DEFAULT[0]: "true"}}, "provisioner": "p", "allowVolumeExpansion": true,
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}]});
        check(
            |page| storage_class(&object, page),
            "IsDefaultClass:        Yes\nAnnotations:           storageclass.kubernetes.io/is-default-class=true\nProvisioner:           p\nParameters:            <none>\nAllowVolumeExpansion:  True\nMountOptions:          <none>\nAllowedTopologies:     \n  Term 0:              zone in [a, b]\n",
        );
    }
}
