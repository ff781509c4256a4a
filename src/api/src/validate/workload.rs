//! Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers and ControllerRevisions.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::{Value, json};

use super::at::{At, IMMUTABLE, Out, percent};
use super::pod;
use super::storage;
use crate::field::FieldError;
use crate::meta;
use crate::name;

const TOO_MANY: &str = "cannot be greater than status.replicas";
const STATEFUL_FREE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn deployment(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    out.nonnegative(&spec.get("replicas"));
    replicated(&spec, out);
    let strategy = spec.get("strategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text_of("type") {
        "Recreate" if rolling.is_set() => {
            out.forbidden(&rolling, "may not be specified when strategy `type` is 'Recreate'");
        }
        "RollingUpdate" if !rolling.is_set() => {
            out.required(&rolling, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => roll(&rolling, out),
        "Recreate" => {}
        _ => out.push(unknown(&strategy, &["Recreate", "RollingUpdate"])),
    }
    counts(&spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], out);
    let deadline = spec.get("progressDeadlineSeconds");
    let ready = spec.get("minReadySeconds").int().unwrap_or(0);
    if deadline.int().is_some_and(|seconds| seconds <= ready) {
        out.invalid(&deadline, "must be greater than minReadySeconds");
    }
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
}

fn unknown(strategy: &At<'_, '_>, allowed: &[&str]) -> FieldError {
    FieldError::not_supported(&strategy.path, strategy.value.clone(), allowed)
}

fn roll(at: &At<'_, '_>, out: &mut Out) {
    let (down, up) = (at.get("maxUnavailable"), at.get("maxSurge"));
    out.number_or_percent(&down);
    out.number_or_percent(&up);
    if zero(&down) && zero(&up) {
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
    replicated(&spec, out);
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
}

/// A selector that is there and not empty; then, if it can be read, the template that it must match.
fn replicated(spec: &At<'_, '_>, out: &mut Out) {
    let at = spec.get("selector");
    let template = spec.get("template");
    if chosen(&at, "deployment", out) == Choice::Unreadable {
        out.invalid(&at, "invalid label selector");
        return;
    }
    fits(&at, &template, out);
    pods(&template, "ReplicaSet", out);
}

#[derive(PartialEq)]
enum Choice {
    Readable,
    Unreadable,
}

fn chosen(at: &At<'_, '_>, what: &str, out: &mut Out) -> Choice {
    if !at.is_set() {
        out.required(at, "");
        return Choice::Readable;
    }
    let read = out.selector(at);
    if at.get("matchLabels").len() + at.get("matchExpressions").len() == 0 {
        out.invalid(at, format!("empty selector is invalid for {what}"));
    }
    if read.is_some() { Choice::Readable } else { Choice::Unreadable }
}

/// The template's labels are what the selector looks for. No selector finds nothing; an empty one is told elsewhere.
fn fits(at: &At<'_, '_>, template: &At<'_, '_>, out: &mut Out) {
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let mut quiet = Out::default();
    let matches = at.is_set() && quiet.selector(at).is_none_or(|selector| selector.matches(labels.value));
    if !matches {
        out.invalid(&labels, "`selector` does not match template `labels`");
    }
}

pub(super) fn daemon_set(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    if let Some(old) = old {
        same_selector(&spec, old, out);
    }
    let selector = spec.get("selector");
    let template = spec.get("template");
    if selector.is_set() {
        out.selector(&selector);
    }
    fits(&selector, &template, out);
    if selector.is_set() && selector.get("matchLabels").len() + selector.get("matchExpressions").len() == 0 {
        out.invalid(&selector, "empty selector is invalid for daemonset");
    }
    pods(&template, "DaemonSet", out);
    counts(&spec, &["minReadySeconds"], out);
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text_of("type") {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => out.required(&rolling, ""),
        "RollingUpdate" => {
            let (down, up) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            out.number_or_percent(&down);
            out.number_or_percent(&up);
            out.at_most_all(&down);
            out.at_most_all(&up);
            match (zero(&down), zero(&up)) {
                (false, false) => out.invalid(&up, "may not be set when maxUnavailable is non-zero"),
                (true, true) => out.required(&down, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => out.push(unknown(&strategy, &["RollingUpdate", "OnDelete"])),
    }
    counts(&spec, &["revisionHistoryLimit"], out);
}

pub(super) fn stateful_set(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let Some(old) = old else {
        stateful_spec(&spec, true, true, out);
        return;
    };
    // What an older release let in can still be changed in what may change.
    let mut before = Out::default();
    stateful_spec(&At::root(old, "spec"), false, true, &mut before);
    stateful_spec(&spec, false, before.errors.is_empty(), out);
    if without(spec.value, &STATEFUL_FREE) != without(&old["spec"], &STATEFUL_FREE) {
        out.forbidden(
            &spec,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
             'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
             'minReadySeconds' are forbidden",
        );
    }
}

/// `new`: also what can never change after; `template`: also the pods.
fn stateful_spec(spec: &At<'_, '_>, new: bool, template: bool, out: &mut Out) {
    let policy = spec.get("podManagementPolicy");
    match policy.text() {
        "" => out.required(&policy, ""),
        "OrderedReady" | "Parallel" => {}
        _ => out.invalid(&policy, "must be 'OrderedReady' or 'Parallel'"),
    }
    let strategy = spec.get("updateStrategy");
    let rolling = strategy.get("rollingUpdate");
    match strategy.text_of("type") {
        "" => out.required(&strategy, ""),
        "OnDelete" if rolling.is_set() => out.invalid(&rolling, "only allowed for updateStrategy 'RollingUpdate'"),
        "OnDelete" => {}
        "RollingUpdate" => {
            out.nonnegative(&rolling.get("partition"));
            let down = rolling.get("maxUnavailable");
            if down.is_set() {
                out.number_or_percent(&down);
                if zero(&down) {
                    out.invalid(&down, "cannot be 0");
                }
                out.at_most_all(&down);
            }
        }
        _ => out.invalid(&strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"].iter().filter(|_| retention.is_set()) {
        let at = retention.get(field);
        if !matches!(at.text(), "Retain" | "Delete") {
            out.push(FieldError::not_supported(&at.path, at.text(), &["Retain", "Delete"]));
        }
    }
    if new {
        for template in spec.get("volumeClaimTemplates").items() {
            storage::claim_spec(&template.get("spec"), out);
        }
    }
    counts(spec, &["replicas", "minReadySeconds"], out);
    let start = spec.get("ordinals");
    out.nonnegative(&start.get("start"));
    if new {
        out.optional_form(&spec.get("serviceName"), name::check_label);
    }
    let selector = spec.get("selector");
    let whole = spec.get("template");
    if chosen(&selector, "statefulset", out) == Choice::Unreadable {
        out.invalid(&selector, "");
    } else {
        fits(&selector, &whole, out);
        if template {
            let shown = stateful_template(spec);
            pod::template(&At { value: &shown, path: whole.path }, out);
        }
    }
    endless(&whole, "StatefulSet", out);
}

/// The template as pods will have it: host names come from the set, and volumes from its claims.
fn stateful_template(spec: &At<'_, '_>) -> Value {
    let mut template = spec.value["template"].clone();
    let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut) else { return template };
    pod.remove("subdomain");
    pod.remove("hostname");
    let claims: Vec<&str> = meta::list_at(spec.value, &["volumeClaimTemplates"]).iter().map(meta::name).collect();
    if claims.is_empty() {
        return template;
    }
    // Places in faults count the template's own volumes first.
    let own = pod.get("volumes").and_then(Value::as_array).into_iter().flatten();
    let mut volumes: Vec<Value> = own.filter(|v| !claims.contains(&meta::text(v, "name"))).cloned().collect();
    volumes.extend(claims.iter().map(|c| json!({"name": c, "persistentVolumeClaim": {"claimName": c}})));
    pod.insert("volumes".into(), volumes.into());
    template
}

pub(super) fn replication_controller(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    counts(&spec, &["minReadySeconds"], out);
    let selector = spec.get("selector");
    if selector.len() == 0 {
        out.required(&selector, "");
    }
    if !spec.get("replicas").is_set() {
        out.required(&spec.get("replicas"), "");
    }
    counts(&spec, &["replicas"], out);
    let template = spec.get("template");
    if !template.is_set() {
        out.required(&template, "");
        return;
    }
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if selector.entries().any(|(key, value)| labels.value.get(key) != Some(value.value)) {
        out.invalid(&labels, "`selector` does not match template `labels`");
    }
    pods(&template, "ReplicationController", out);
}

pub(super) fn controller_revision(object: &Value, old: Option<&Value>, out: &mut Out) {
    out.nonnegative(&At::root(object, "revision"));
    let data = At::root(object, "data");
    match old {
        Some(old) => out.immutable(&data, old.get("data").unwrap_or(&Value::Null)),
        None if !data.is_set() => out.required(&data, "data is mandatory"),
        None if !data.value.is_object() => out.required(&data, "data must be a valid JSON object"),
        None => {}
    }
}

/// What a status may count.
pub(super) fn status(kind: &str, object: &Value, old: &Value, out: &mut Out) {
    let at = At::root(object, "status");
    let (numbers, parts): (&[&str], &[&str]) = match kind {
        "Deployment" => (
            &[
                "observedGeneration",
                "replicas",
                "updatedReplicas",
                "readyReplicas",
                "availableReplicas",
                "unavailableReplicas",
                "terminatingReplicas",
                "collisionCount",
            ],
            &["updatedReplicas", "readyReplicas", "availableReplicas"],
        ),
        "StatefulSet" => (
            &[
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ],
            &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        ),
        "DaemonSet" => (
            &[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ],
            &[],
        ),
        _ => (
            &[
                "replicas",
                "fullyLabeledReplicas",
                "readyReplicas",
                "availableReplicas",
                "observedGeneration",
                "terminatingReplicas",
            ],
            &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ),
    };
    counts(&at, numbers, out);
    let count = |field: &str| at.get(field).int().unwrap_or(0);
    for field in parts.iter().filter(|field| count(field) > count("replicas")) {
        out.invalid(&at.get(field), TOO_MANY);
    }
    if !parts.is_empty() && count("availableReplicas") > count("readyReplicas") {
        let text = match kind {
            "StatefulSet" => "cannot be greater than status.readyReplicas",
            _ => "cannot be greater than readyReplicas",
        };
        out.invalid(&at.get("availableReplicas"), text);
    }
    let collisions = at.get("collisionCount");
    let before = meta::int_at(old, &["status", "collisionCount"]);
    if numbers.contains(&"collisionCount") && before.is_some_and(|n| collisions.int().is_none_or(|now| now < n)) {
        let now = collisions.int().unwrap_or(0);
        out.push(FieldError::invalid(&collisions.path, now, "cannot be decremented"));
    }
}

/// A template of pods that live for ever.
fn pods(template: &At<'_, '_>, owner: &str, out: &mut Out) {
    pod::template(template, out);
    endless(template, owner, out);
}

fn endless(template: &At<'_, '_>, owner: &str, out: &mut Out) {
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    if policy.text() != "Always" {
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
    if at.value != meta::at(old, &["spec", "selector"]).unwrap_or(&Value::Null) {
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
