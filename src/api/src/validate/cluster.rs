//! Namespaces, nodes, events, leases, limit ranges, quotas.
//!
//! In: an object, on update also the old one. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use super::pod;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::quantity::Quantity;

/// Longest name of a feature that a node declares.
const FEATURE_MOST: usize = 253;
/// Longest words of an event.
const WORD_MOST: usize = 128;
/// Longest message of an event.
const NOTE_MOST: usize = 1024;

pub(super) fn namespace(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    let list = spec.get("finalizers");
    for finalizer in list.items() {
        finalizer_name(&list, finalizer.text(), out);
    }
}

pub(super) fn namespace_status(object: &Value, out: &mut Out) {
    let status = At::root(object, "status");
    // The place is Kubernetes' own slip.
    let phase = At { value: status.get("phase").value, path: status.path.child("Phase") };
    let deleted = meta::deletion_timestamp(object).is_some();
    if deleted && phase.text() != "Terminating" {
        let text = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        out.push(FieldError::invalid(&phase.path, phase.text(), text));
    }
    if !deleted && phase.text() != "Active" {
        let text = "may only be 'Active' if `deletionTimestamp` is empty";
        out.push(FieldError::invalid(&phase.path, phase.text(), text));
    }
}

/// `/finalize` of a namespace.
pub(super) fn namespace_finalizers(object: &Value, out: &mut Out) {
    let spec = At::root(object, "spec");
    for finalizer in spec.get("finalizers").items() {
        finalizer_name(&finalizer, finalizer.text(), out);
    }
}

fn finalizer_name(at: &At<'_, '_>, name: &str, out: &mut Out) {
    out.form_of(at, name, name::check_qualified);
    if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
        let text = "name is neither a standard finalizer name nor is it fully qualified";
        out.push(FieldError::invalid(&at.path, name, text));
    }
}

pub(super) fn node(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let metadata = At::root(object, "metadata");
    node_annotations(&metadata.get("annotations"), out);
    // The place is Kubernetes' own slip.
    taints(&At { value: spec.get("taints").value, path: metadata.path.child("taints") }, out);
    let cidrs = spec.get("podCIDRs");
    for cidr in cidrs.items() {
        out.form(&cidr, name::check_cidr);
    }
    let families: BTreeSet<bool> = cidrs.items().map(|cidr| cidr.text().contains(':')).collect();
    if cidrs.len() > 2 || cidrs.len() == 2 && families.len() == 1 {
        out.invalid(&cidrs, "may specify no more than one CIDR for each IP family");
    }
    node_update(&spec, &cidrs, old, out);
}

/// Taints and avoided pods were annotations once.
fn node_annotations(at: &At<'_, '_>, out: &mut Out) {
    const TAINTS: &str = "scheduler.alpha.kubernetes.io/taints";
    const AVOIDS: &str = "scheduler.alpha.kubernetes.io/preferAvoidPods";
    let read = |key: &str| Some(at.value.get(key)?.as_str()?).filter(|text| !text.is_empty());
    if let Some(text) = read(TAINTS) {
        match serde_json::from_str::<Value>(text) {
            Ok(list) => taints(&At { value: &list, path: at.path.child(TAINTS) }, out),
            Err(fault) => out.push(FieldError::invalid(&at.path, TAINTS, fault.to_string())),
        }
    }
    if let Some(text) = read(AVOIDS) {
        let list = match serde_json::from_str::<Value>(text) {
            Ok(avoids) => avoids.get("preferAvoidPods").cloned().unwrap_or_default(),
            Err(fault) => {
                let path = at.path.child("AvoidPods");
                return out.push(FieldError::invalid(&path, AVOIDS, fault.to_string()));
            }
        };
        for entry in (At { value: &list, path: at.path.child(AVOIDS) }).items() {
            let controller = entry.get("podSignature");
            let controller = controller.get("podController");
            let signature = entry.path.child("PodSignature");
            if !controller.is_set() {
                out.push(FieldError::required(&signature, ""));
            } else if !controller.get("controller").yes() {
                let path = signature.child("PodController");
                out.push(FieldError::invalid(&path.child("Controller"), false, "must point to a controller"));
            }
        }
    }
}

fn taints(taints: &At<'_, '_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
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
}

fn node_update(spec: &At<'_, '_>, cidrs: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let Some(old) = old else { return };
    let before = meta::list_at(old, &["spec", "podCIDRs"]);
    if !before.is_empty() && Some(before) != cidrs.value.as_array().map(Vec::as_slice) {
        out.forbidden(cidrs, "node updates may not change podCIDR except from \"\" to valid");
    }
    let before = meta::text_at(old, &["spec", "providerID"]);
    if !before.is_empty() && spec.text_of("providerID") != before {
        out.forbidden(&spec.get("providerID"), "node updates may not change providerID except from \"\" to valid");
    }
    if spec.text_of("externalID") != meta::text_at(old, &["spec", "externalID"]) {
        out.forbidden(&spec.get("externalID"), "may not be updated");
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
        let list = status.get(list);
        for (key, value) in list.entries() {
            amount(&At { value: value.value, path: list.path.child(key) }, key, out);
        }
    }
    let swap = status.get("nodeInfo").get("swap").get("capacity").value.as_i64();
    if swap.is_some_and(|capacity| capacity <= 0) {
        let metadata = At::root(object, "metadata");
        let swap_at = metadata.get("nodeSwapStatus");
        out.push(FieldError::invalid(&swap_at.path.child("capacity"), swap, "must be greater than zero"));
    }
    features(&status.get("declaredFeatures"), out);
}

/// Names of features, sorted, each once: `Feature` or `Feature/part`.
fn features(at: &At<'_, '_>, out: &mut Out) {
    let names: Vec<&str> = at.items().map(|name| name.text()).collect();
    for (i, name) in names.iter().enumerate() {
        let path = at.path.index(i);
        let parts = name.split('/').enumerate().all(|(i, part)| {
            let first = part
                .chars()
                .next()
                .is_some_and(|c| if i == 0 { c.is_ascii_uppercase() } else { c.is_ascii_alphanumeric() });
            first && part.chars().all(|c| c.is_ascii_alphanumeric())
        });
        if name.len() > FEATURE_MOST {
            let text = format!("invalid feature name {name:?}: must be no more than {FEATURE_MOST} characters");
            out.push(FieldError::invalid(&path, *name, text));
        } else if !parts {
            let text = format!(
                "invalid feature name {name:?}: must start with an UpperCamelCase segment, with subsequent segments \
                 separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters \
                 and slashes"
            );
            out.push(FieldError::invalid(&path, *name, text));
        }
        let Some(before) = i.checked_sub(1).and_then(|before| names.get(before)) else { continue };
        match before.cmp(name) {
            std::cmp::Ordering::Equal => out.push(FieldError::duplicate(&path, *name)),
            std::cmp::Ordering::Greater => {
                out.push(FieldError::invalid(&path, *name, "list must be sorted alphabetically"));
            }
            std::cmp::Ordering::Less => {}
        }
    }
}

/// Not below nothing, and whole where it counts things.
fn amount(at: &At<'_, '_>, name: &str, out: &mut Out) {
    out.amount(at);
    let counted = COUNTED.contains(&name) || pod::extended(name);
    if counted && at.quantity().is_some_and(|q| !q.is_whole()) {
        out.invalid(at, "must be an integer");
    }
}

/// Resources that are numbers of things.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// By whom an event came: `events.k8s.io/v1` is strict, what is older takes what it always took.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EventForm {
    Core,
    Beta,
    Strict,
}

/// The object has the core form, in which events are kept; faults name its fields, as Kubernetes' do.
pub(super) fn event(object: &Value, old: Option<&Value>, form: EventForm, out: &mut Out) {
    let time = At::root(object, "eventTime");
    event_content(object, time.is_set(), form, out);
    if form != EventForm::Strict {
        return;
    }
    if let Some(old) = old {
        return event_update(object, old, out);
    }
    series(object, out);
    if !time.is_set() {
        out.required(&time, "");
    }
    let kind = At::root(object, "type");
    if !matches!(kind.text(), "Normal" | "Warning") {
        out.push(FieldError::invalid(&kind.path, "", format!("has invalid value: {}", kind.text())));
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        let at = At::root(object, field);
        if !is_blank(at.value) {
            out.push(FieldError::invalid(&at.path, "", "needs to be unset"));
        }
    }
}

/// What every event must say. One with a time is of the new kind, whoever sends it.
fn event_content(object: &Value, timed: bool, form: EventForm, out: &mut Out) {
    let subject = At::root(object, "involvedObject");
    let about = subject.text_of("namespace");
    let namespace = meta::namespace(object);
    let fits = match (timed, about) {
        (false, "") => matches!(namespace, "" | "default"),
        (false, about) => about == namespace,
        (true, "") => matches!(namespace, "default" | "kube-system"),
        (true, _) => true,
    };
    if !fits {
        out.push(FieldError::invalid(&subject.get("namespace").path, about, "does not match event.namespace"));
    }
    if !timed {
        return;
    }
    let place = if form == EventForm::Core { "reportingComponent" } else { "reportingController" };
    let controller = At { value: At::root(object, "reportingComponent").value, path: Path::root(place) };
    out.filled(&controller);
    out.form(&controller, name::check_qualified);
    for (field, most) in
        [("reportingInstance", WORD_MOST), ("action", WORD_MOST), ("reason", WORD_MOST), ("message", NOTE_MOST)]
    {
        let at = At::root(object, field);
        if field != "message" {
            out.filled(&at);
        }
        if at.text().len() > most {
            out.push(FieldError::invalid(&at.path, "", format!("can have at most {most} characters")));
        }
    }
}

/// Nothing changes but metadata and the series.
fn event_update(object: &Value, old: &Value, out: &mut Out) {
    if object.get("series") != old.get("series") {
        series(object, out);
    }
    for field in [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingComponent",
        "reportingInstance",
    ] {
        let at = At::root(object, field);
        let before = old.get(field).unwrap_or(&Value::Null);
        if at.value != before && !(is_blank(at.value) && is_blank(before)) {
            let place = if field == "reportingComponent" { "reportingController" } else { field };
            out.invalid(&At { value: at.value, path: Path::root(place) }, IMMUTABLE);
        }
    }
}

fn series(object: &Value, out: &mut Out) {
    let series = At::root(object, "series");
    if !series.is_set() {
        return;
    }
    let (count, time) = (series.get("count"), series.get("lastObservedTime"));
    let n = count.int().unwrap_or(0);
    if n < 2 {
        out.push(FieldError::invalid(&count.path, "", "should be at least 2"));
    }
    if !time.is_set() {
        out.required(&time, "");
    }
}

/// As good as not there.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Number(n) => n.as_i64() == Some(0),
        Value::Object(map) => map.values().all(is_blank),
        _ => false,
    }
}

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
        out.forbidden(&preferred, "may only be specified if `strategy` is defined");
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
        if let (Some(most), Some(min), Some(max)) = (ratio.quantity(), read("min"), read("max"))
            && !min.is_zero()
            && most.as_f64() > max.as_f64() / min.as_f64()
        {
            let text = format!("ratio {most} is greater than max/min = {:.6}", max.as_f64() / min.as_f64());
            out.invalid(&ratio, text);
        }
        let overcommits = !pod::extended(key) && !key.starts_with("hugepages-");
        if let (Some(most), Some(request)) = (read("default"), read("defaultRequest"))
            && !overcommits
            && most != request
        {
            let at = limit.get("defaultRequest");
            let text = format!("default value {most} must equal to defaultRequest value {request} in {key}");
            out.push(FieldError::invalid(&at.key(key).path, request.to_string(), text));
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
    let hard = spec.get("hard");
    amounts(&hard, out);
    let list = spec.get("scopes");
    for scope in list.items() {
        if !SCOPES.contains(&scope.text()) {
            out.invalid(&list, "unsupported scope");
        }
        for _ in misfits(&hard, scope.text()) {
            out.invalid(&list, "unsupported scope applied to resource");
        }
    }
    conflicts(list.items().map(|scope| scope.text()).collect(), &list, out);
    let selector = spec.get("scopeSelector");
    // The places are the list's, not the element's.
    let terms = selector.get("matchExpressions");
    for term in terms.items() {
        let scope = At { value: term.get("scopeName").value, path: terms.path.child("scopeName") };
        let operator = At { value: term.get("operator").value, path: terms.path.child("operator") };
        let values = At { value: term.get("values").value, path: terms.path.child("values") };
        if !SCOPES.contains(&scope.text()) {
            out.push(FieldError::invalid(&scope.path, scope.text(), "unsupported scope"));
        }
        for _ in misfits(&hard, scope.text()) {
            let text = "unsupported scope applied to resource";
            out.push(FieldError::invalid(&terms.path, selector.value.clone(), text));
        }
        if !matches!(scope.text(), "PriorityClass" | "VolumeAttributesClass")
            && SCOPES.contains(&scope.text())
            && operator.text() != "Exists"
        {
            out.invalid(
                &operator,
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                 ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
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
            _ => out.push(FieldError::invalid(&operator.path, operator.text(), "not a valid selector operator")),
        }
    }
    conflicts(terms.items().map(|term| term.text_of("scopeName")).collect(), &list, out);
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

/// Scopes that exclude each other.
fn conflicts(scopes: Vec<&str>, at: &At<'_, '_>, out: &mut Out) {
    for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if scopes.contains(&a) && scopes.contains(&b) {
            out.invalid(at, "conflicting scopes");
        }
    }
}

/// Resources of the quota that a scope does not know.
fn misfits<'v>(hard: &At<'v, '_>, scope: &str) -> Vec<&'v str> {
    const COMPUTE: [&str; 6] = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    let fits = |name: &str| match scope {
        "BestEffort" => name == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            name == "pods" || COMPUTE.contains(&name)
        }
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    };
    let names = hard.value.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    names.filter(|name| quota_resource(name) && !fits(name)).collect()
}

/// What a quota counts without a domain.
fn quota_resource(name: &str) -> bool {
    name != "storage" && pod::standard_resource(name)
}

fn amounts(at: &At<'_, '_>, out: &mut Out) {
    for (key, value) in at.entries() {
        let faults = out.errors.len();
        resource_name(&value, key, false, out);
        if !key.contains('/') && !quota_resource(key) && (out.errors.len() == faults || !pod::standard_resource(key)) {
            out.push(FieldError::invalid(&value.path, key, "must be a standard resource for quota"));
        }
        amount(&value, key, out);
    }
}
