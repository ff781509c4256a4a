//! The claims of a StatefulSet's pods.
//!
//! In: a set, an ordinal, a claim that is there. Out: the claims that should be, and who should own them. Pure.

use serde_json::{Value, json};

/// Who goes with whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Claims go with the set.
    pub delete_with_set: bool,
    /// Claims go with a pod that is not wanted any more.
    pub delete_when_scaled: bool,
}

impl Retention {
    /// Of a set's specification.
    pub fn of(spec: &Value) -> Self {
        let policy = &spec["persistentVolumeClaimRetentionPolicy"];
        Self {
            delete_with_set: policy["whenDeleted"] == "Delete",
            delete_when_scaled: policy["whenScaled"] == "Delete",
        }
    }
}

/// The claim of a template for one pod.
pub fn claim_name(template: &Value, set: &str, ordinal: i64) -> String {
    format!("{}-{set}-{ordinal}", template["metadata"]["name"].as_str().unwrap_or_default())
}

/// The claims of a pod.
pub fn claims(spec: &Value, namespace: &str, set: &str, ordinal: i64) -> Vec<Value> {
    let templates = spec["volumeClaimTemplates"].as_array().cloned().unwrap_or_default();
    templates
        .into_iter()
        .map(|template| {
            let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
            labels.extend(spec["selector"]["matchLabels"].as_object().cloned().unwrap_or_default());
            json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": claim_name(&template, set, ordinal), "namespace": namespace, "labels": labels,
                    "annotations": template["metadata"]["annotations"],
                },
                "spec": template["spec"],
            })
        })
        .collect()
}

/// Puts the claims among a pod's volumes, in place of any that have their names.
pub fn mount(pod: &mut Value, spec: &Value, set: &str, ordinal: i64) {
    let templates = spec["volumeClaimTemplates"].as_array().cloned().unwrap_or_default();
    if templates.is_empty() {
        return;
    }
    let mut volumes: Vec<Value> = templates
        .iter()
        .map(|template| {
            let claim = json!({"claimName": claim_name(template, set, ordinal)});
            json!({"name": template["metadata"]["name"], "persistentVolumeClaim": claim})
        })
        .collect();
    let taken = |volume: &Value| templates.iter().any(|template| template["metadata"]["name"] == volume["name"]);
    volumes.extend(pod["spec"]["volumes"].as_array().into_iter().flatten().filter(|v| !taken(v)).cloned());
    pod["spec"]["volumes"] = Value::Array(volumes);
}

/// The owners that a claim should have; `None` when they are right. `set` and `pod` are references.
pub fn owners(claim: &Value, retention: Retention, set: &Value, pod: &Value, wanted: bool) -> Option<Vec<Value>> {
    let held = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
    let is =
        |one: &Value, other: &Value| ["kind", "name", "apiVersion"].iter().all(|field| one[*field] == other[*field]);
    let mut owners: Vec<Value> = held.iter().filter(|one| !is(one, set) && !is(one, pod)).cloned().collect();
    let foreign = owners.iter().any(|one| one["controller"] == true);
    let stale =
        held.iter().any(|one| (is(one, set) && one["uid"] != set["uid"]) || (is(one, pod) && one["uid"] != pod["uid"]));
    // Of an earlier set or pod of that name: the collector is about to see to it.
    if stale {
        return None;
    }
    if !foreign {
        if retention.delete_with_set && (wanted || !retention.delete_when_scaled) {
            owners.push(set.clone());
        }
        if retention.delete_when_scaled && !wanted {
            owners.push(pod.clone());
        }
    }
    let uids = |list: &[Value]| crate::order::set(list.iter().map(|one| one["uid"].to_string()));
    (uids(&held) != uids(&owners)).then_some(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_named_and_labelled_after_the_set() {
        let spec = json!({"selector": {"matchLabels": {"app": "web"}}, "volumeClaimTemplates": [
            {"metadata": {"name": "www", "labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}]});
        let claim = &claims(&spec, "n", "web", 2)[0];
        assert_eq!(claim["metadata"]["name"], "www-web-2");
        assert_eq!(claim["metadata"]["labels"], json!({"a": "b", "app": "web"}));
        let mut pod = json!({"spec": {"volumes": [{"name": "www", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}});
        mount(&mut pod, &spec, "web", 2);
        assert_eq!(
            pod["spec"]["volumes"],
            json!([
            {"name": "www", "persistentVolumeClaim": {"claimName": "www-web-2"}}, {"name": "tmp", "emptyDir": {}}])
        );
    }

    #[test]
    fn claims_go_with_whom_the_policy_says() {
        let reference = |kind: &str, uid: &str| json!({"apiVersion": "v1", "kind": kind, "name": "x", "uid": uid});
        let (set, pod) = (reference("StatefulSet", "s"), reference("Pod", "p"));
        let claim = |owners: &[&Value]| json!({"metadata": {"ownerReferences": owners}});
        let check = |with_set: bool, scaled: bool, wanted: bool, held: &[&Value], expected: Option<&[&str]>| {
            let retention = Retention { delete_with_set: with_set, delete_when_scaled: scaled };
            let got = owners(&claim(held), retention, &set, &pod, wanted);
            let got =
                got.map(|list| list.iter().map(|one| one["uid"].as_str().unwrap().to_string()).collect::<Vec<_>>());
            assert_eq!(got, expected.map(|list| list.iter().map(|uid| uid.to_string()).collect()));
        };
        check(false, false, true, &[], None);
        check(false, false, true, &[&set], Some(&[]));
        check(true, false, true, &[], Some(&["s"]));
        check(true, false, false, &[&set], None);
        check(false, true, false, &[], Some(&["p"]));
        check(false, true, true, &[&pod], Some(&[]));
        check(true, true, true, &[], Some(&["s"]));
        check(true, true, false, &[&set], Some(&["p"]));
        check(true, false, true, &[&reference("StatefulSet", "older")], None);
    }
}
