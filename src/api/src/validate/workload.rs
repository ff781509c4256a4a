//! Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out, percent};
use super::pod;
use super::storage;
use crate::field::FieldError;
use crate::meta;
use crate::name;
use crate::selector::LabelSelector;

pub(super) fn deployment(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], out);
    selected(&spec, "deployment", out);
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text_of("type") {
        "Recreate" if rolling.is_set() => {
            out.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        "RollingUpdate" => roll(&rolling, out),
        "" | "Recreate" => {}
        _ => out.one_of(&strategy.get("type"), &["Recreate", "RollingUpdate"]),
    }
    let deadline = spec.get("progressDeadlineSeconds");
    out.nonnegative(&deadline);
    let ready = spec.get("minReadySeconds").int().unwrap_or(0);
    if deadline.int().is_some_and(|seconds| seconds <= ready) {
        out.invalid(&deadline, "must be greater than minReadySeconds");
    }
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
}

fn roll(at: &At<'_, '_>, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    let (down, up) = (at.get("maxUnavailable"), at.get("maxSurge"));
    out.number_or_percent(&down);
    out.number_or_percent(&up);
    if zero(&down) && zero(&up) && (down.is_set() || up.is_set()) {
        out.invalid(&down, "may not be 0 when `maxSurge` is 0");
    }
    out.at_most_all(&down);
}

fn zero(at: &At<'_, '_>) -> bool {
    at.int().is_none_or(|n| n == 0) && percent(at.value).is_none_or(|n| n == 0)
}

pub(super) fn replica_set(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["replicas", "minReadySeconds"], out);
    selected(&spec, "deployment", out);
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
}

pub(super) fn daemon_set(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["minReadySeconds", "revisionHistoryLimit"], out);
    selected(&spec, "daemonset", out);
    let strategy = spec.get("updateStrategy");
    out.one_of(&strategy.get("type"), &["OnDelete", "RollingUpdate"]);
    let rolling = strategy.get("rollingUpdate");
    if strategy.text_of("type") == "RollingUpdate" && rolling.is_set() {
        let (down, up) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
        for at in [&down, &up] {
            out.number_or_percent(at);
            out.at_most_all(at);
        }
        match (zero(&down), zero(&up)) {
            (false, false) => out.invalid(&up, "may not be set when maxUnavailable is non-zero"),
            (true, true) if down.is_set() => out.invalid(&down, "cannot be 0 when maxSurge is 0"),
            _ => {}
        }
    }
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
}

pub(super) fn stateful_set(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], out);
    let policy = spec.get("podManagementPolicy");
    if !matches!(policy.text(), "" | "OrderedReady" | "Parallel") {
        out.invalid(&policy, "must be 'OrderedReady' or 'Parallel'");
    }
    let strategy = spec.get("updateStrategy");
    match strategy.text_of("type") {
        "" | "OnDelete" if !strategy.get("rollingUpdate").is_set() => {}
        "RollingUpdate" => {
            let rolling = strategy.get("rollingUpdate");
            out.nonnegative(&rolling.get("partition"));
            let down = rolling.get("maxUnavailable");
            if down.is_set() {
                out.number_or_percent(&down);
                out.at_most_all(&down);
                if zero(&down) {
                    out.invalid(&down, "cannot be 0");
                }
            }
        }
        "OnDelete" => out.invalid(&strategy.get("rollingUpdate"), "only allowed for updateStrategy 'RollingUpdate'"),
        _ => out.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        out.one_of(&retention.get(field), &["Retain", "Delete"]);
    }
    out.nonnegative(&spec.get("ordinals").get("start"));
    out.optional_form(&spec.get("serviceName"), name::check_subdomain);
    selected(&spec, "statefulset", out);
    for template in spec.get("volumeClaimTemplates").items() {
        storage::claim_spec(&template.get("spec"), out);
    }
    if let Some(old) = old {
        let free = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        if without(spec.value, &free) != without(&old["spec"], &free) {
            out.forbidden(
                &spec,
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                 'minReadySeconds' are forbidden",
            );
        }
    }
}

pub(super) fn replication_controller(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["minReadySeconds"], out);
    let selector = spec.get("selector");
    if selector.len() == 0 {
        out.required(&selector, "");
    }
    counts(&spec, &["replicas"], out);
    let template = spec.get("template");
    if !template.is_set() {
        out.required(&template, "");
        return;
    }
    let labels = template.get("metadata");
    let labels = labels.get("labels");
    if selector.entries().any(|(key, value)| labels.value.get(key) != Some(value.value)) {
        out.invalid(&labels, "`selector` does not match template `labels`");
    }
    pods(&template, "ReplicationController", out);
}

pub(super) fn controller_revision(object: &Value, old: Option<&Value>, out: &mut Out) {
    out.nonnegative(&At::root(object, "revision"));
    let data = At::root(object, "data");
    if !data.is_set() {
        out.required(&data, "data is mandatory");
    }
    if let Some(old) = old {
        out.immutable(&data, old.get("data").unwrap_or(&Value::Null));
    }
}

/// What a status may count.
pub(super) fn status(object: &Value, old: &Value, out: &mut Out) {
    let at = At::root(object, "status");
    let numbers = [
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "fullyLabeledReplicas",
        "observedGeneration",
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "currentReplicas",
    ];
    for field in numbers {
        out.nonnegative(&at.get(field));
    }
    let count = |field: &str| at.get(field).int().unwrap_or(0);
    let total = count("replicas");
    let text = "cannot be greater than status.replicas";
    for field in ["updatedReplicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas"] {
        if at.get("replicas").is_set() && count(field) > total {
            out.invalid(&at.get(field), text);
        }
    }
    if count("availableReplicas") > count("readyReplicas") && at.get("readyReplicas").is_set() {
        out.invalid(&at.get("availableReplicas"), "cannot be greater than readyReplicas");
    }
    let collisions = at.get("collisionCount");
    out.nonnegative(&collisions);
    let before = meta::int_at(old, &["status", "collisionCount"]);
    if before.is_some() && collisions.int().unwrap_or(0) < before.unwrap_or(0) {
        out.invalid(&collisions, "cannot be decremented");
    }
}

/// A selector that is there, not empty, and matches the template; then the template.
fn selected(spec: &At<'_, '_>, what: &str, out: &mut Out) {
    let at = spec.get("selector");
    let template = spec.get("template");
    if !at.is_set() {
        out.required(&at, "");
    } else {
        let selector = out.selector(&at);
        if at.get("matchLabels").len() + at.get("matchExpressions").len() == 0 {
            out.invalid(&at, format!("empty selector is invalid for {what}"));
        } else if let Some(selector) = selector {
            fits(&selector, &template, out);
        }
    }
    pods(&template, "ReplicaSet", out);
}

fn fits(selector: &LabelSelector, template: &At<'_, '_>, out: &mut Out) {
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if !selector.matches(labels.value) {
        let value = if labels.is_set() { labels.value.clone() } else { Value::Null };
        out.push(FieldError::invalid(&labels.path, value, "`selector` does not match template `labels`"));
    }
}

/// A template of pods that live for ever.
fn pods(template: &At<'_, '_>, owner: &str, out: &mut Out) {
    pod::template(template, out);
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    if !matches!(policy.text(), "" | "Always") {
        out.push(FieldError::not_supported(&policy.path, policy.text(), &["Always"]));
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.is_set() {
        out.forbidden(&deadline, format!("activeDeadlineSeconds in {owner} is not Supported"));
    }
}

fn counts(spec: &At<'_, '_>, fields: &[&str], out: &mut Out) {
    for field in fields {
        out.nonnegative(&spec.get(field));
    }
}

fn same_selector(spec: &At<'_, '_>, old: &Value, out: &mut Out) {
    let at = spec.get("selector");
    if Some(at.value) != meta::at(old, &["spec", "selector"]) {
        out.invalid(&at, IMMUTABLE);
    }
}

/// A copy of an object without these fields.
pub(super) fn without(value: &Value, fields: &[&str]) -> Value {
    let mut copy = value.clone();
    if let Some(map) = copy.as_object_mut() {
        map.retain(|key, _| !fields.contains(&key.as_str()));
    }
    copy
}
