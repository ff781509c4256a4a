//! Which ReplicaSet has a Deployment's template, and the ReplicaSet that is to have it.
//!
//! In: a Deployment and its ReplicaSets. Out: the one that matches, or a new object. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::model::{DESIRED, Deployment, HASH, HISTORY, MOST, REVISION, Set};

/// Annotations of a Deployment that are its own and not its ReplicaSets'.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];

/// Letters that make no words and no mistakes.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// The hash of a template: stable as long as the template and the count of collisions are.
pub fn hash(template: &Value, collisions: i64) -> String {
    // FNV-1a, 32 bits, over the canonical text (maps are sorted).
    let mut sum: u32 = 0x811c_9dc5;
    let text = template.to_string();
    let collisions = if collisions > 0 { collisions.to_string() } else { String::new() };
    for byte in text.bytes().chain(collisions.bytes()) {
        sum = (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    sum.to_string().bytes().map(|digit| SAFE[usize::from(digit) % SAFE.len()] as char).collect()
}

/// The template as the Deployment has it: without the label that tells templates apart.
pub fn plain(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    template
}

/// The place of the ReplicaSet with the Deployment's template; the oldest when there are several.
pub fn matching(deployment: &Deployment, sets: &[Set]) -> Option<usize> {
    let wanted = plain(&deployment.template);
    let mut found: Vec<usize> = (0..sets.len()).filter(|i| plain(&sets[*i].template) == wanted).collect();
    crate::order::sort_by_key(&mut found, |i| (sets[*i].created, &sets[*i].name));
    found.first().copied()
}

/// The ReplicaSet for the Deployment's template.
pub fn new_set(deployment: &Deployment, replicas: i64, revision: i64, collisions: i64) -> Value {
    let hash = hash(&plain(&deployment.template), collisions);
    let mut template = deployment.template.clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment.selector.clone();
    selector["matchLabels"][HASH] = json!(hash);
    let annotations = annotations(deployment, None, revision);
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", deployment.name),
            "namespace": deployment.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment.name, "uid": deployment.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": deployment.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
    })
}

/// The annotations that the Deployment's current ReplicaSet should have: the Deployment's, the bookkeeping, and what
/// others put there.
pub fn annotations(deployment: &Deployment, set: Option<&Set>, revision: i64) -> BTreeMap<String, String> {
    let mut all = set.map(|s| s.annotations.clone()).unwrap_or_default();
    for (key, value) in deployment.annotations.iter().filter(|(key, _)| !NOT_COPIED.contains(&key.as_str())) {
        all.insert(key.clone(), value.clone());
    }
    let old = set.map_or(0, Set::revision);
    if old < revision {
        if old > 0 {
            let earlier = match all.get(HISTORY) {
                Some(history) if !history.is_empty() => format!("{history},{old}"),
                _ => old.to_string(),
            };
            all.insert(HISTORY.into(), earlier);
        }
        all.insert(REVISION.into(), revision.to_string());
    }
    all.extend(scale_annotations(deployment));
    all
}

/// What a ReplicaSet remembers of the Deployment that scaled it.
pub fn scale_annotations(deployment: &Deployment) -> [(String, String); 2] {
    [(DESIRED.into(), deployment.replicas.to_string()), (MOST.into(), deployment.most().to_string())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment() -> Deployment {
        let spec = json!({
            "replicas": 3, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        });
        let mut d = Deployment::of("n", "web", "u", &spec, Value::Null);
        d.annotations.insert("note".into(), "x".into());
        d.annotations.insert(REVISION.into(), "7".into());
        d
    }

    #[test]
    fn a_new_set_bears_the_hash_everywhere() {
        let set = new_set(&deployment(), 2, 1, 0);
        let hash = set["metadata"]["labels"][HASH].as_str().unwrap();
        assert_eq!(set["metadata"]["name"], format!("web-{hash}"));
        assert_eq!(set["spec"]["selector"]["matchLabels"], json!({"app": "web", HASH: hash}));
        assert_eq!(set["spec"]["template"]["metadata"]["labels"][HASH], hash);
        assert_eq!(set["metadata"]["annotations"], json!({"note": "x", REVISION: "1", DESIRED: "3", MOST: "4"}));
        assert!(hash.bytes().all(|b| SAFE.contains(&b)));
    }

    #[test]
    fn a_collision_changes_the_hash() {
        let template = deployment().template;
        assert_eq!(hash(&template, 0), hash(&template, 0));
        assert_ne!(hash(&template, 0), hash(&template, 1));
    }

    #[test]
    fn the_set_with_the_template_is_found_whatever_its_label() {
        let d = deployment();
        let set = |template: Value, name: &str, created| Set { name: name.into(), template, created, ..Set::default() };
        let mut labelled = d.template.clone();
        labelled["metadata"]["labels"][HASH] = json!("abc");
        let other = json!({"spec": {}});
        let sets = [set(other, "x", 1), set(labelled.clone(), "late", 9), set(labelled, "early", 2)];
        assert_eq!(matching(&d, &sets), Some(2));
        assert_eq!(matching(&d, &sets[..1]), None);
    }

    #[test]
    fn an_old_set_that_returns_remembers_its_numbers() {
        let mut set = Set::default();
        set.annotations.insert(REVISION.into(), "2".into());
        set.annotations.insert(HISTORY.into(), "1".into());
        let all = annotations(&deployment(), Some(&set), 5);
        assert_eq!((all[REVISION].as_str(), all[HISTORY].as_str()), ("5", "1,2"));
    }
}
