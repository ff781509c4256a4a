//! Requests and limits of containers and pods.
//!
//! In: `resources` and the like. Out: faults.

use std::collections::BTreeSet;

use super::super::at::{At, NEGATIVE, Out};
use super::Scope;
use crate::field::FieldError;
use crate::name;

/// Resources of a container without a domain.
pub(in super::super) fn standard_container_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// Any resource without a domain that Kubernetes counts somewhere.
pub(in super::super) fn standard_resource(name: &str) -> bool {
    const KNOWN: [&str; 20] = [
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
        "pods",
        "resourcequotas",
        "services",
        "replicationcontrollers",
        "secrets",
        "configmaps",
        "persistentvolumeclaims",
        "storage",
        "requests.storage",
        "services.nodeports",
        "services.loadbalancers",
    ];
    KNOWN.contains(&name) || name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// A resource of somebody else's: `example.com/gpu`.
pub(in super::super) fn extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && name::check_qualified(&format!("requests.{name}")).is_ok()
}

pub(super) fn container(at: &At<'_, '_>, out: &mut Out) {
    let (requests, limits) = (at.get("requests"), at.get("limits"));
    lists(&requests, &limits, out);
    let named = |part: &str| requests.value.get(part).is_some() || limits.value.get(part).is_some();
    let pages = |list: &At<'_, '_>| list.entries().any(|(name, _)| name.starts_with("hugepages-"));
    if (pages(&requests) || pages(&limits)) && !named("cpu") && !named("memory") {
        out.forbidden(at, "HugePages require cpu or memory");
    }
    let mut seen = BTreeSet::new();
    for claim in at.get("claims").items() {
        let name_at = claim.get("name");
        if name_at.text().is_empty() {
            out.required(&name_at, "");
        } else if !seen.insert((name_at.text(), claim.text_of("request"))) {
            out.push(FieldError::duplicate(&claim.path, claim.value.clone()));
        }
    }
}

/// Resources of the whole pod.
pub(super) fn pod(at: &At<'_, '_>, out: &mut Out) {
    let (requests, limits) = (at.get("requests"), at.get("limits"));
    for list in [&requests, &limits] {
        for (name, entry) in list.entries() {
            if !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
                out.push(FieldError::not_supported(&entry.path, name, &["cpu", "hugepages-", "memory"]));
            }
        }
    }
    lists(&requests, &limits, out);
}

/// What the pod costs beside its containers.
pub(super) fn overhead(at: &At<'_, '_>, out: &mut Out) {
    for (name, entry) in at.entries() {
        resource_name(&entry, name, out);
        quantity(&entry, name, out);
    }
}

fn lists(requests: &At<'_, '_>, limits: &At<'_, '_>, out: &mut Out) {
    for (name, entry) in limits.entries() {
        resource_name(&entry, name, out);
        quantity(&entry, name, out);
    }
    for (name, entry) in requests.entries() {
        resource_name(&entry, name, out);
        quantity(&entry, name, out);
        let limit = limits.key(name);
        let overcommits = !extended(name) && !name.starts_with("hugepages-");
        match (entry.quantity(), limit.quantity()) {
            (Some(request), Some(most)) if !overcommits && request != most => {
                out.push(FieldError::invalid(
                    &requests.path,
                    request.to_string(),
                    format!("must be equal to {name} limit of {most}"),
                ));
            }
            (Some(request), Some(most)) if overcommits && request > most => {
                out.push(FieldError::invalid(
                    &requests.path,
                    request.to_string(),
                    format!("must be less than or equal to {name} limit of {most}"),
                ));
            }
            (Some(_), None) if !overcommits => {
                out.required(limits, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
}

fn resource_name(at: &At<'_, '_>, name: &str, out: &mut Out) {
    out.form_of(at, name, name::check_qualified);
    if !name.contains('/') {
        if !standard_resource(name) {
            out.push(FieldError::invalid(&at.path, name, "must be a standard resource type or fully qualified"));
        }
        if !standard_container_resource(name) {
            out.push(FieldError::invalid(&at.path, name, "must be a standard resource for containers"));
        }
    } else if !name.contains("kubernetes.io/") && !extended(name) {
        out.push(FieldError::invalid(&at.path, name, "doesn't follow extended resource name standard"));
    }
}

/// Not below nothing, and whole where parts make no sense.
fn quantity(at: &At<'_, '_>, name: &str, out: &mut Out) {
    let Some(amount) = at.quantity() else {
        if at.is_set() {
            out.invalid(at, crate::quantity::QuantityError::Form.to_string());
        }
        return;
    };
    if amount.is_negative() {
        out.push(FieldError::invalid(&at.path, amount.to_string(), NEGATIVE));
    }
    let whole = extended(name) || name.starts_with("hugepages-");
    if whole && !amount.is_whole() {
        out.push(FieldError::invalid(&at.path, amount.to_string(), "must be an integer"));
    }
}

pub(super) fn resize_policy(at: &At<'_, '_>, scope: Scope<'_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
    let never = scope.spec.get("restartPolicy").and_then(serde_json::Value::as_str) == Some("Never");
    for policy in at.items() {
        let (resource, restart) = (policy.text_of("resourceName"), policy.text_of("restartPolicy"));
        if !seen.insert(resource) {
            out.push(FieldError::duplicate(&policy.path, resource));
        }
        for (text, allowed) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            if text.is_empty() {
                out.required(at, "");
            } else if !allowed.contains(&text) {
                out.push(FieldError::not_supported(&at.path, text, &allowed));
            }
        }
        if never && restart != "NotRequired" {
            let text = "must be 'NotRequired' when `restartPolicy` is 'Never'";
            out.push(FieldError::invalid(&at.path, restart, text));
        }
    }
}
