//! The Namespace controller: empties a namespace that is being deleted, then lets it go.
//!
//! In: Namespaces with a deletion time. Out: collections deleted, conditions that say what is left, the finalizer
//! `kubernetes` taken away at last.

use std::time::Duration;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::{Value, json};

use crate::world::{self, Change, Outcome};

/// Looks again while something is left: objects end in their own time, most within their grace period.
const AGAIN: Duration = Duration::from_secs(1);
const FINALIZER: &str = "kubernetes";

fn namespaces() -> Kind {
    world::kind("", "v1", "Namespace")
}

/// What it watches.
pub fn declare() -> Controller {
    let own = [
        ("metadata.uid", FieldType::Text),
        ("metadata.deletionTimestamp", FieldType::Time),
        ("spec.finalizers", FieldType::Json),
    ];
    Controller {
        name: "namespace-controller".into(),
        watches: vec![world::watch(namespaces(), &own, &[Wakes::Itself])],
        workers: 2,
    }
}

/// What is left of one kind.
#[derive(Clone, Debug, Default)]
pub struct Left {
    pub resource: String,
    pub count: usize,
    /// Finalizers that objects still bear.
    pub finalizers: Vec<String>,
}

/// Empties one namespace.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let Some(row) = found.first() else { return Ok(None) };
    let finalizers = world::json(row.text(2));
    let ours = finalizers.as_array().into_iter().flatten().any(|f| f.as_str() == Some(FINALIZER));
    if !row.has(1) || !ours {
        return Ok(None);
    }
    let name = row.name();
    let missing = undiscovered(&services()?);
    let (left, failures) = empty(name);
    let Some(whole) = world::get(&namespaces(), "", name)? else { return Ok(None) };
    if whole["metadata"]["uid"].as_str() != row.text(0) {
        return Ok(None);
    }
    let conditions = conditions(&whole["status"]["conditions"], &missing, &left, &failures, world::now());
    // What cannot be asked may hold objects of this namespace: it stays until that answers or is gone.
    let settled = missing.is_empty() && left.is_empty() && failures.is_empty();
    if conditions != whole["status"]["conditions"] {
        let patch = json!({"status": {"conditions": conditions}});
        match world::one(world::merge(&namespaces(), "", name, "status", &patch)) {
            Ok(_) => {}
            Err(e) if e.code == 404 => return Ok(None),
            Err(e) => return Err(world::said("write the status of", "Namespace", name, &e)),
        }
    }
    if !settled {
        return Ok(Some(AGAIN));
    }
    finalize(name)
}

/// Every APIService.
fn services() -> Result<Value, String> {
    match cluster::list(&world::kind("apiregistration.k8s.io", "v1", "APIService"), "", "", "") {
        Ok(text) => serde_json::from_str(&text).map_err(|e| format!("read APIServices: {e}")),
        Err(e) => Err(format!("list APIServices: {}", e.message)),
    }
}

/// Groups and versions that others serve and that do not answer now, so that nobody knows what they hold.
pub fn undiscovered(services: &Value) -> Vec<String> {
    let available = |service: &Value| {
        let mut conditions = service["status"]["conditions"].as_array().into_iter().flatten();
        conditions.any(|c| c["type"] == "Available" && c["status"] == "True")
    };
    let mut missing: Vec<String> = services
        .as_array()
        .into_iter()
        .flatten()
        .filter(|service| !service["spec"]["service"].is_null() && !available(service))
        .map(|service| {
            let text = |name: &str| service["spec"][name].as_str().unwrap_or_default();
            format!("{}/{}", text("group"), text("version"))
        })
        .collect();
    crate::order::sort(&mut missing, |a, b| a.cmp(b));
    missing
}

/// Deletes every collection; gives what is left and what could not be asked.
fn empty(namespace: &str) -> (Vec<Left>, Vec<String>) {
    let (mut left, mut failures) = (Vec::new(), Vec::new());
    for served in cluster::kinds() {
        let can = |verb: &str| served.verbs.iter().any(|v| v == verb);
        if !served.namespaced || !can("list") || !can("delete") {
            continue;
        }
        // Events under their second group are the same objects.
        if served.kind.group == "events.k8s.io" {
            continue;
        }
        let resource = if served.kind.group.is_empty() {
            served.plural.clone()
        } else {
            format!("{}.{}", served.plural, served.kind.group)
        };
        match remaining(&served.kind, namespace, &resource) {
            Ok(before) if before.count == 0 => continue,
            Ok(_) => {}
            Err(e) => {
                failures.push(e);
                continue;
            }
        }
        let change = Change::DeleteCollection(cluster::DeleteCollectionRequest {
            kind: served.kind.clone(),
            namespace: namespace.into(),
            label_selector: String::new(),
        });
        if let Err(e) = world::one(change) {
            failures.push(format!("{resource}: {}", e.message));
        }
        match remaining(&served.kind, namespace, &resource) {
            Ok(after) if after.count > 0 => left.push(after),
            Ok(_) => {}
            Err(e) => failures.push(e),
        }
    }
    (left, failures)
}

fn remaining(kind: &Kind, namespace: &str, resource: &str) -> Result<Left, String> {
    match cluster::list(kind, namespace, "", "") {
        Ok(text) => {
            let items: Value = serde_json::from_str(&text).map_err(|e| format!("{resource}: {e}"))?;
            let items = items.as_array().cloned().unwrap_or_default();
            let finalizers = items
                .iter()
                .flat_map(|object| object["metadata"]["finalizers"].as_array().into_iter().flatten())
                .filter_map(|f| f.as_str().map(str::to_string))
                .collect();
            Ok(Left { resource: resource.into(), count: items.len(), finalizers })
        }
        Err(e) if e.code == 404 || e.code == 405 => Ok(Left::default()),
        Err(e) => Err(format!("{resource}: {}", e.message)),
    }
}

/// The five conditions of a namespace that ends, in their order; times stay where nothing changed.
pub fn conditions(held: &Value, missing: &[String], left: &[Left], failures: &[String], now: i64) -> Value {
    let mut finalizers: Vec<(String, usize)> = Vec::new();
    for name in left.iter().flat_map(|l| &l.finalizers) {
        match finalizers.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => finalizers.push((name.clone(), 1)),
        }
    }
    crate::order::sort(&mut finalizers, |a, b| a.cmp(b));
    let remaining: Vec<String> =
        left.iter().map(|l| format!("{} has {} resource instances", l.resource, l.count)).collect();
    let finalizing: Vec<String> =
        finalizers.iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    let wanted = [
        (
            "NamespaceDeletionDiscoveryFailure",
            (!missing.is_empty()).then(|| {
                let each: Vec<String> =
                    missing.iter().map(|of| format!("{of}: stale GroupVersion discovery: {of}")).collect();
                let what = "unable to retrieve the complete list of server APIs";
                let count = missing.len();
                let message = format!("Discovery failed for some groups, {count} failing: {what}: {}", each.join(", "));
                ("DiscoveryFailed", message)
            }),
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        // Kinds come parsed from the host, so there is nothing that could fail.
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            (!failures.is_empty()).then(|| {
                (
                    "ContentDeletionFailed",
                    format!(
                        "Failed to delete all resource types, {} remaining: {}",
                        failures.len(),
                        failures.join(", ")
                    ),
                )
            }),
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            (!remaining.is_empty())
                .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {}", remaining.join(", ")))),
            "ContentRemoved",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            (!finalizing.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {}", finalizing.join(", ")),
                )
            }),
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    ];
    let held = held.as_array().cloned().unwrap_or_default();
    let made = wanted.into_iter().map(|(of_type, trouble, well, well_message)| {
        let (status, reason, message) = match trouble {
            Some((reason, message)) => ("True", reason, message),
            None => ("False", well, well_message.to_string()),
        };
        let before = held.iter().find(|c| c["type"] == of_type);
        let since = match before {
            Some(c) if c["status"] == status => c["lastTransitionTime"].clone(),
            _ => json!(world::rfc3339(now)),
        };
        json!({"type": of_type, "status": status, "reason": reason, "message": message, "lastTransitionTime": since})
    });
    made.collect()
}

fn finalize(name: &str) -> Outcome {
    let Some(mut whole) = world::get(&namespaces(), "", name)? else { return Ok(None) };
    let held = whole["spec"]["finalizers"].as_array().cloned().unwrap_or_default();
    whole["spec"]["finalizers"] = held.into_iter().filter(|f| f.as_str() != Some(FINALIZER)).collect();
    let change = Change::Update(cluster::UpdateRequest {
        kind: namespaces(),
        key: Key { namespace: String::new(), name: name.into() },
        subresource: "finalize".into(),
        object: whole.to_string(),
    });
    match world::one(change) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 => Ok(None),
        Err(e) => Err(world::said("finalize", "Namespace", name, &e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left() {
        let left = [Left { resource: "pods".into(), count: 2, finalizers: vec!["a/b".into(), "a/b".into()] }];
        let told = conditions(&Value::Null, &[], &left, &[], 0);
        assert_eq!(told[3]["message"], "Some resources are remaining: pods has 2 resource instances");
        assert_eq!(
            told[4]["message"],
            "Some content in the namespace has finalizers remaining: a/b in 2 resource instances"
        );
        assert_eq!(conditions(&told, &[], &left, &[], 5_000_000), told, "times stay where nothing changed");
        let after = conditions(&told, &[], &[], &[], 5_000_000);
        assert_eq!((after[3]["status"].as_str(), after[3]["reason"].as_str()), (Some("False"), Some("ContentRemoved")));
        assert_eq!(after[3]["lastTransitionTime"], "1970-01-01T00:00:05Z");
        let broken = conditions(&Value::Null, &[], &[], &["pods: no".into()], 0);
        assert_eq!(broken[2]["reason"], "ContentDeletionFailed");
    }

    #[test]
    fn what_does_not_answer_keeps_the_namespace() {
        let service = |group: &str, of: Value, truth: &str| {
            json!({"spec": {"group": group, "version": "v1", "service": of},
                "status": {"conditions": [{"type": "Available", "status": truth}]}})
        };
        let there = json!({"name": "a", "namespace": "b"});
        let missing = undiscovered(&json!([
            service("z.example", there.clone(), "False"),
            service("b.example", there.clone(), "True"),
            service("apps", Value::Null, "False"),
            json!({"spec": {"group": "a.example", "version": "v1", "service": there}}),
        ]));
        assert_eq!(missing, ["a.example/v1", "z.example/v1"]);
        let told = conditions(&Value::Null, &missing[..1], &[], &[], 0);
        assert_eq!((told[0]["status"].as_str(), told[0]["reason"].as_str()), (Some("True"), Some("DiscoveryFailed")));
        assert_eq!(
            told[0]["message"],
            "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: \
             a.example/v1: stale GroupVersion discovery: a.example/v1"
        );
        assert_eq!(told[2]["status"], "False");
    }
}
