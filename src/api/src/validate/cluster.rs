//! Namespaces, nodes, events, leases, limit ranges, quotas.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, Out};
use super::pod;
use crate::field::FieldError;
use crate::meta;
use crate::name;
use crate::quantity::Quantity;

/// Longest words of an event.
const WORD_MOST: usize = 128;
/// Longest message of an event.
const NOTE_MOST: usize = 1024;

pub(super) fn namespace(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let list = spec.get("finalizers");
    for finalizer in list.items() {
        out.form_of(&list, finalizer.text(), name::check_qualified);
        if !finalizer.text().contains('/')
            && !matches!(finalizer.text(), "kubernetes" | "orphan" | "foregroundDeletion")
        {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            out.push(FieldError::invalid(&list.path, finalizer.text(), text));
        }
    }
}

pub(super) fn namespace_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let phase = status.get("phase");
    let deleted = meta::deletion_timestamp(object).is_some();
    if deleted && phase.text() != "Terminating" {
        out.invalid(&phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
    }
    if !deleted && phase.text() != "Active" {
        out.invalid(&phase, "may only be 'Active' if `deletionTimestamp` is empty");
    }
}

pub(super) fn node(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let metadata = At::root(object, "metadata");
    let mut seen = BTreeSet::new();
    // The place is Kubernetes' own slip.
    let taints = At { value: spec.get("taints").value, path: metadata.path.child("taints") };
    for taint in taints.items() {
        let (key, effect) = (taint.get("key"), taint.get("effect"));
        out.form_of(&key, key.text(), name::check_qualified);
        if let Err(faults) = name::check_label_value(taint.text_of("value")) {
            out.push(FieldError::invalid(&taint.get("value").path, taint.text_of("value"), faults.join(";")));
        }
        out.one_of_required(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
        if !seen.insert((key.text(), effect.text())) {
            let mut error = FieldError::duplicate(&taint.path, taint.value.clone());
            error.detail = "taints must be unique by key and effect pair".to_string();
            out.push(error);
        }
    }
    let cidrs = spec.get("podCIDRs");
    for cidr in cidrs.items() {
        out.form(&cidr, name::check_cidr);
    }
    if cidrs.len() > 2 {
        out.invalid(&cidrs, "may specify no more than one CIDR for each IP family");
    }
    let Some(old) = old else { return };
    let before = meta::list_at(old, &["spec", "podCIDRs"]);
    if !before.is_empty() && Some(before) != cidrs.value.as_array().map(Vec::as_slice) {
        out.forbidden(&cidrs, "node updates may not change podCIDR except from \"\" to valid");
    }
    let before = meta::text_at(old, &["spec", "providerID"]);
    if !before.is_empty() && spec.text_of("providerID") != before {
        out.forbidden(&spec.get("providerID"), "node updates may not change providerID except from \"\" to valid");
    }
}

pub(super) fn node_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    let mut seen = BTreeSet::new();
    for address in status.get("addresses").items() {
        if !seen.insert((address.text_of("type"), address.text_of("address"))) {
            out.duplicate(&address);
        }
    }
    for list in ["capacity", "allocatable"] {
        for (key, value) in status.get(list).entries() {
            out.form_of(&value, key, name::check_qualified);
            out.amount(&value);
        }
    }
    for list in ["conditions"] {
        for condition in status.get(list).items() {
            out.filled(&condition.get("type"));
        }
    }
}

/// `modern` says that the event came by `events.k8s.io`, whose rules are strict. The object may have either form:
/// the core form names the same things otherwise.
pub(super) fn event(object: &Value, old: Option<&Value>, modern: bool, out: &mut Out) {
    let either = |modern: &'static str, core: &'static str| if object.get(modern).is_some() { modern } else { core };
    let subject = At::root(object, either("regarding", "involvedObject"));
    let namespace = meta::namespace(object);
    let about = subject.text_of("namespace");
    let fits = if about.is_empty() { matches!(namespace, "" | "default" | "kube-system") } else { about == namespace };
    if !fits {
        let place = At::root(object, "involvedObject");
        out.push(FieldError::invalid(&place.get("namespace").path, about, "does not match event.namespace"));
    }
    if !modern {
        return;
    }
    let time = At::root(object, "eventTime");
    if let Some(old) = old {
        let same = ["reason", "reportingInstance", "action", "type", "eventTime", "related"];
        for field in same {
            out.immutable(&At::root(object, field), old.get(field).unwrap_or(&Value::Null));
        }
        for (modern, core) in PAIRS {
            let field = either(modern, core);
            out.immutable(&At::root(object, field), old.get(field).unwrap_or(&Value::Null));
        }
        return;
    }
    if !time.is_set() {
        out.required(&time, "");
    }
    let found = At::root(object, either("reportingController", "reportingComponent"));
    let controller = At { value: found.value, path: crate::field::Path::root("reportingController") };
    out.filled_form(&controller, name::check_qualified);
    for field in ["reportingInstance", "action", "reason"] {
        let at = At::root(object, field);
        if out.filled(&at) && at.text().len() > WORD_MOST {
            out.invalid(&at, format!("can have at most {WORD_MOST} characters"));
        }
    }
    let note = At::root(object, either("note", "message"));
    if note.text().len() > NOTE_MOST {
        out.invalid(&note, format!("can have at most {NOTE_MOST} characters"));
    }
    let kind = At::root(object, "type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        out.push(FieldError::invalid(&kind.path, "", format!("has invalid value: {}", kind.text())));
    }
}

/// What the two forms of events call the same things.
const PAIRS: [(&str, &str); 3] =
    [("regarding", "involvedObject"), ("reportingController", "reportingComponent"), ("note", "message")];

pub(super) fn lease(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let duration = spec.get("leaseDurationSeconds");
    if duration.int().is_some_and(|n| n <= 0) {
        out.invalid(&duration, "must be greater than 0");
    }
    out.nonnegative(&spec.get("leaseTransitions"));
    let (strategy, preferred) = (spec.get("strategy"), spec.get("preferredHolder"));
    if strategy.is_set() {
        out.filled_form(&strategy, |text| match text.contains('/') {
            true => name::check_qualified(text),
            false => name::check_label_value(text),
        });
    }
    if !preferred.text().is_empty() && strategy.text().is_empty() {
        out.forbidden(&preferred, "may only be specified if strategy is defined");
    }
}

pub(super) fn limit_range(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let mut kinds = BTreeSet::new();
    for limit in spec.get("limits").items() {
        let kind = limit.get("type");
        out.form(&kind, name::check_qualified);
        if !kind.text().contains('/') && !matches!(kind.text(), "Pod" | "Container" | "PersistentVolumeClaim") {
            out.invalid(&kind, "must be a standard limit type or fully qualified");
        }
        if !kinds.insert(kind.text()) {
            out.duplicate(&kind);
        }
        if kind.text() == "Pod" {
            for field in ["default", "defaultRequest"] {
                if limit.get(field).len() > 0 {
                    out.forbidden(&limit.get(field), "may not be specified when `type` is 'Pod'");
                }
            }
        }
        if kind.text() == "PersistentVolumeClaim"
            && limit.get("min").key("storage").value.is_null()
            && limit.get("max").key("storage").value.is_null()
        {
            out.required(
                &limit.get("limits"),
                "either minimum or maximum storage value is required, but neither was provided",
            );
        }
        limit_values(&limit, out);
    }
}

/// A resource's name: qualified, and known where it has no domain.
fn resource_name(at: &At<'_, '_>, name: &str, container: bool, out: &mut Out) {
    if name::check_qualified(name).is_err() {
        return out.form_of(at, name, name::check_qualified);
    }
    if name.contains('/') {
        return;
    }
    if !pod::standard_resource(name) {
        out.push(FieldError::invalid(&at.path, name, "must be a standard resource type or fully qualified"));
    }
    if container && !pod::standard_container_resource(name) {
        out.push(FieldError::invalid(&at.path, name, "must be a standard resource for containers"));
    }
}

/// min <= defaultRequest <= default <= max, for every resource that has them.
fn limit_values(limit: &At<'_, '_>, out: &mut Out) {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for list in ["min", "max", "default", "defaultRequest", "maxLimitRequestRatio"] {
        for (key, value) in limit.get(list).entries() {
            names.insert(key);
            resource_name(&value, key, matches!(limit.text_of("type"), "Pod" | "Container"), out);
            out.amount(&value);
        }
    }
    for key in names {
        let read = |list: &str| -> Option<Quantity> { limit.get(list).key(key).quantity() };
        let pairs = [
            ("min", "max", "min", "min value", "max value"),
            ("defaultRequest", "max", "defaultRequest", "default request value", "max value"),
            ("default", "max", "default", "default value", "max value"),
            ("min", "defaultRequest", "defaultRequest", "", ""),
            ("min", "default", "default", "", ""),
            ("defaultRequest", "default", "defaultRequest", "default request value", "default limit value"),
        ];
        for (low, high, place, low_words, high_words) in pairs {
            let (Some(a), Some(b)) = (read(low), read(high)) else { continue };
            if a <= b {
                continue;
            }
            let text = match low_words {
                "" if place == "defaultRequest" => {
                    format!("min value {a} is greater than default request value {b}")
                }
                "" => format!("min value {a} is greater than default value {b}"),
                words => format!("{words} {a} is greater than {high_words} {b}"),
            };
            let at = limit.get(place);
            let at = at.key(key);
            out.push(FieldError::invalid(&at.path, read(place).unwrap_or(a).to_string(), text));
        }
        let ratio = limit.get("maxLimitRequestRatio");
        let ratio = ratio.key(key);
        if ratio.quantity().is_some_and(|q| q < Quantity::whole(1, crate::quantity::Format::DecimalSi)) {
            out.invalid(&ratio, format!("ratio {} is less than 1", ratio.text()));
        }
    }
}

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];

pub(super) fn quota(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    amounts(&spec.get("hard"), out);
    for scope in spec.get("scopes").items() {
        out.one_of(&scope, &SCOPES);
    }
    let scopes: Vec<&str> =
        spec.get("scopes").value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if scopes.contains(&a) && scopes.contains(&b) {
            out.invalid(&spec.get("scopes"), "conflicting scopes");
        }
    }
    for term in spec.get("scopeSelector").get("matchExpressions").items() {
        out.one_of_required(&term.get("scopeName"), &SCOPES);
        let (operator, values) = (term.get("operator"), term.get("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() == 0 => out
                .required(&values, "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"),
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                out.invalid(
                    &values,
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
                );
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => out.invalid(&operator, "not a valid selector operator"),
        }
    }
    if let Some(old) = old {
        let before = At::root(old, "spec");
        let sorted = |at: &At<'_, '_>| {
            let mut list: Vec<String> = at.items().map(|s| s.text().to_string()).collect();
            list.sort();
            list
        };
        if sorted(&spec.get("scopes")) != sorted(&before.get("scopes")) {
            out.invalid(&spec.get("scopes"), super::at::IMMUTABLE);
        }
    }
}

pub(super) fn quota_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    amounts(&status.get("hard"), out);
    amounts(&status.get("used"), out);
}

fn amounts(at: &At<'_, '_>, out: &mut Out) {
    const WHOLE: [&str; 8] = [
        "pods",
        "services",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "resourcequotas",
        "services.nodeports",
    ];
    for (key, value) in at.entries() {
        resource_name(&value, key, false, out);
        out.amount(&value);
        let counted = WHOLE.contains(&key) || key.starts_with("count/") || key == "services.loadbalancers";
        if counted && value.quantity().is_some_and(|q| !q.is_whole()) {
            out.invalid(&value, "must be an integer");
        }
    }
}
