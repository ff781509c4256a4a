//! Which objects a quota is about, by its scopes.
//!
//! In: a quota, an object. Out: whether it is in all scopes. Never looks at other objects.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Object;
use crate::meta::{at, int_at, list_at, text, text_at};
use crate::resources::{Half, of_container};

/// A scope with an operator and values, as `scopeSelector` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    name: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

/// The scopes of a quota; those of the plain list only have to be met.
pub fn scopes(quota: &Object) -> Vec<Scope<'_>> {
    let plain = list_at(quota, &["spec", "scopes"]).iter().filter_map(Value::as_str);
    let mut all: Vec<Scope<'_>> = plain.map(|name| Scope { name, operator: "Exists", values: Vec::new() }).collect();
    all.extend(list_at(quota, &["spec", "scopeSelector", "matchExpressions"]).iter().map(|one| Scope {
        name: text(one, "scopeName"),
        operator: text(one, "operator"),
        values: list_at(one, &["values"]).iter().filter_map(Value::as_str).collect(),
    }));
    all
}

/// Whether the object is in every scope of the quota.
pub fn in_scope(quota: &Object, group: &str, plural: &str, object: &Object) -> bool {
    scopes(quota).iter().all(|scope| match (group, plural) {
        ("", "pods") => scope.holds_pod(object),
        ("", "persistentvolumeclaims") => scope.holds_claim(object),
        _ => false,
    })
}

impl Scope<'_> {
    fn holds_pod(&self, pod: &Object) -> bool {
        match self.name {
            "Terminating" => ends_by_itself(pod),
            "NotTerminating" => !ends_by_itself(pod),
            "BestEffort" => is_best_effort(pod),
            "NotBestEffort" => !is_best_effort(pod),
            "CrossNamespacePodAffinity" => looks_beyond(pod),
            "PriorityClass" => {
                let class = text_at(pod, &["spec", "priorityClassName"]);
                self.selects(Some(class).filter(|class| !class.is_empty()))
            }
            _ => false,
        }
    }

    fn holds_claim(&self, claim: &Object) -> bool {
        if self.name != "VolumeAttributesClass" {
            return false;
        }
        let classes: BTreeSet<&str> = [
            &["spec", "volumeAttributesClassName"][..],
            &["status", "currentVolumeAttributesClassName"],
            &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
        ]
        .into_iter()
        .map(|path| text_at(claim, path))
        .filter(|class| !class.is_empty())
        .collect();
        if classes.is_empty() { self.selects(None) } else { classes.into_iter().any(|class| self.selects(Some(class))) }
    }

    /// As a label selector of one requirement would.
    fn selects(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.contains(&value));
        match self.operator {
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "In" => listed(),
            "NotIn" => !listed(),
            _ => false,
        }
    }
}

/// Whether a pod has a deadline.
pub(super) fn ends_by_itself(pod: &Object) -> bool {
    int_at(pod, &["spec", "activeDeadlineSeconds"]).is_some_and(|seconds| seconds >= 0)
}

/// Whether nothing in the pod asks for or is limited to any CPU or memory.
fn is_best_effort(pod: &Object) -> bool {
    match text_at(pod, &["status", "qosClass"]) {
        "" => {}
        class => return class == "BestEffort",
    }
    let compute = |of: &Value| {
        [Half::Requests, Half::Limits].iter().any(|half| {
            of_container(of, *half)
                .iter()
                .any(|(name, amount)| matches!(name.as_str(), "cpu" | "memory") && !amount.is_zero())
        })
    };
    let containers = ["containers", "initContainers"].iter().flat_map(|list| list_at(pod, &["spec", list]));
    let whole = at(pod, &["spec"]).is_some_and(compute);
    !whole && !containers.into_iter().any(compute)
}

/// Whether a pod's affinity names other namespaces.
fn looks_beyond(pod: &Object) -> bool {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    ["podAffinity", "podAntiAffinity"].iter().filter_map(|kind| at(pod, &["spec", "affinity", kind])).any(|affinity| {
        let weighted = list_at(affinity, &[PREFERRED]).iter().filter_map(|term| term.get("podAffinityTerm"));
        list_at(affinity, &[REQUIRED])
            .iter()
            .chain(weighted)
            .any(|term| !list_at(term, &["namespaces"]).is_empty() || at(term, &["namespaceSelector"]).is_some())
    })
}
