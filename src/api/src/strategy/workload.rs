//! DaemonSets, StatefulSets, Jobs and CertificateSigningRequests before they are kept.
//!
//! In: the sent object, and the kept one. Out: the sent one put right.

use serde_json::{Value, json};

use super::take_all_but;
use crate::Object;
use crate::meta::{self, bool_at, list_at, text};

/// Labels that tie pods to their Job; the old names are kept beside the new.
const JOB_NAME: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const CONTROLLER_UID: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

/// A Job that brings no selector of its own selects its pods by its UID.
pub(super) fn create_job(job: &mut Object) {
    if bool_at(job, &["spec", "manualSelector"]) {
        return;
    }
    let (name, uid) = (meta::name(job).to_string(), meta::uid(job).to_string());
    let spec = meta::child_mut(job, "spec");
    let template = spec.entry("template").or_insert_with(|| json!({}));
    let metadata = meta::child_mut(template, "metadata");
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Value::Object(labels) = labels {
        for key in JOB_NAME {
            labels.entry(key).or_insert_with(|| name.as_str().into());
        }
        for key in CONTROLLER_UID {
            labels.entry(key).or_insert_with(|| uid.as_str().into());
        }
    }
    let selector = spec.entry("selector").or_insert_with(|| json!({}));
    meta::child_mut(selector, "matchLabels").entry(CONTROLLER_UID[1]).or_insert_with(|| uid.as_str().into());
}

/// The annotation in which a DaemonSet counts its templates.
const GENERATION: &str = "deprecated.daemonset.template.generation";

/// Counts the templates that a DaemonSet has had.
pub(super) fn count_templates(set: &mut Object, old: Option<&Object>) {
    let count = |set: &Object| meta::annotation(set, GENERATION).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
    let template = |set: &Object| meta::at(set, &["spec", "template"]).cloned();
    let now = match old {
        None => count(set).max(1),
        Some(old) => count(old).max(1) + i64::from(template(set) != template(old)),
    };
    meta::set_annotation(set, GENERATION, &now.to_string());
}

/// How many pods of a StatefulSet may be down at a time is off in Kubernetes; who has said it keeps it.
pub(super) fn at_most_one_down(set: &mut Object, old: Option<&Object>) {
    let path = ["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"];
    if old.is_none_or(|old| meta::at(old, &path).is_none())
        && let Some(rolling) = set.pointer_mut("/spec/updateStrategy/rollingUpdate").and_then(Value::as_object_mut)
    {
        rolling.remove(path[3]);
    }
}

/// `/approval` changes the conditions only.
pub(super) fn approve(new: &mut Object, old: &Object) {
    let sent = meta::at(new, &["status", "conditions"]).cloned();
    take_all_but(new, old, &["metadata"]);
    let status = meta::child_mut(new, "status");
    match sent.filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) {
        Some(conditions) => status.insert("conditions".into(), conditions),
        None => status.remove("conditions"),
    };
}

/// `/status` changes the certificate and the other conditions: an approval or denial stays as it is. One more or less
/// is left for validation to refuse.
pub(super) fn sign(new: &mut Object, old: &Object) {
    for kind in ["Approved", "Denied"] {
        let is_one = |condition: &&Value| text(condition, "type") == kind;
        let kept: Vec<Value> = list_at(old, &["status", "conditions"]).iter().filter(is_one).cloned().collect();
        if list_at(new, &["status", "conditions"]).iter().filter(is_one).count() != kept.len() {
            continue;
        }
        let sent = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
        let sent = sent.into_iter().flatten().filter(|condition| text(condition, "type") == kind);
        sent.zip(kept).for_each(|(sent, kept)| *sent = kept);
    }
}
