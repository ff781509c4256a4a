//! Requests and limits of containers and pods.
//!
//! In: `resources` and the like. Out: faults.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::at::{At, NEGATIVE, Out};
use super::Scope;
use crate::field::FieldError;
use crate::meta::{at, list_at, text};
use crate::name;
use crate::quantity::Quantity;

/// Claims that a fault names as those there are: a pod may have a hundred thousand, and each of them a fault.
const SHOWN_CLAIMS: usize = 64;

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

/// `spec` is the pod's.
pub(super) fn container(at: &At<'_, '_>, spec: &Value, out: &mut Out) {
    requirements(at, resource_name, out);
    claims(&at.get("claims"), spec, out);
}

/// The rule of a resource's name.
type Named = fn(&At<'_, '_>, &str, &mut Out);

fn requirements(at: &At<'_, '_>, named: Named, out: &mut Out) {
    let (requests, limits) = (at.get("requests"), at.get("limits"));
    lists(&requests, &limits, named, out);
    let has = |part: &str| requests.value.get(part).is_some() || limits.value.get(part).is_some();
    let pages = |list: &At<'_, '_>| list.entries().any(|(name, _)| name.starts_with("hugepages-"));
    if (pages(&requests) || pages(&limits)) && !has("cpu") && !has("memory") {
        out.forbidden(at, "HugePages require cpu or memory");
    }
}

/// Names of claims that the pod has, each once, as a whole or by its requests.
fn claims(at: &At<'_, '_>, spec: &Value, out: &mut Out) {
    let known: BTreeSet<&str> = list_at(spec, &["resourceClaims"]).iter().map(|claim| text(claim, "name")).collect();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let (name, request) = (claim.text_of("name"), claim.text_of("request"));
        if name.is_empty() {
            out.required(&claim, "");
            continue;
        }
        if seen.contains(name) {
            out.push(FieldError::duplicate(&claim.path, name));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                out.form(&claim.get("request"), name::check_label);
                key = format!("{name}/{request}");
            }
            let parts = format!("{name}/");
            if seen.contains(&key) {
                out.push(FieldError::duplicate(&claim.path, key.as_str()));
            } else if request.is_empty() {
                for _ in seen.range(parts.clone()..).take_while(|other| other.starts_with(&parts)) {
                    out.push(FieldError::duplicate(&claim.path, name));
                }
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let mut error = FieldError::not_found(&claim.path, name);
            let names: Vec<&str> = known.iter().copied().filter(|name| !name.is_empty()).take(SHOWN_CLAIMS).collect();
            let tail = if names.is_empty() { " which is empty".to_owned() } else { format!(": {}", names.join(", ")) };
            error.detail = format!("must be one of the names in pod.spec.resourceClaims{tail}");
            out.push(error);
        }
    }
}

/// Resources of the whole pod.
pub(super) fn pod(spec: &At<'_, '_>, out: &mut Out) {
    let at = spec.get("resources");
    if !at.is_set() {
        return;
    }
    if spec.get("os").text_of("name") == "windows" {
        out.forbidden(&at, "may not be set for a windows pod");
        return;
    }
    if at.get("claims").is_set() {
        out.forbidden(&at.get("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(&at, pod_resource_name, out);
    let (requests, limits) = (at.get("requests"), at.get("limits"));
    for (name, entry) in requests.entries() {
        if let (Some(whole), Some(sum)) = (entry.quantity(), sum(spec.value, "requests", name))
            && sum > whole
        {
            let text = format!("must be greater than or equal to aggregate container requests of {sum}");
            out.push(FieldError::invalid(&entry.path, whole.to_string(), text));
        }
    }
    for (name, entry) in limits.entries().filter(|(name, _)| name.starts_with("hugepages-")) {
        if let (Some(whole), Some(sum)) = (entry.quantity(), sum(spec.value, "limits", name))
            && sum > whole
        {
            let text = format!("must be greater than or equal to aggregate container limits of {sum}");
            out.push(FieldError::invalid(&entry.path, whole.to_string(), text));
        }
    }
    // The place is below the pod's resources, as Kubernetes has it.
    let containers = At { value: spec.get("containers").value, path: at.path.child("containers") };
    for container in containers.items() {
        for (name, entry) in container.get("resources").get("limits").entries() {
            if let (Some(own), Some(most)) = (entry.quantity(), limits.key(name).quantity())
                && own > most
            {
                let key = container.path.key(name);
                let text = format!("must be less than or equal to pod limits of {most}");
                out.push(FieldError::invalid(&key.child("limits"), own.to_string(), text));
            }
        }
    }
}

/// What the containers ask for in all at their worst moment: init containers run one by one, beside the restartable
/// ones that came before them.
fn sum(spec: &Value, list: &str, name: &str) -> Option<Quantity> {
    let of = |container: &Value| at(container, &["resources", list, name]).and_then(|q| Quantity::from_json(q).ok());
    let add = |sum: Option<Quantity>, more: Option<Quantity>| match (sum, more) {
        (Some(sum), Some(more)) => Some(sum.add(&more)),
        (sum, more) => sum.or(more),
    };
    let mut total = list_at(spec, &["containers"]).iter().map(of).fold(None, add);
    let (mut beside, mut most) = (None, None);
    for container in list_at(spec, &["initContainers"]) {
        let own = of(container);
        let now = if text(container, "restartPolicy") == "Always" {
            total = add(total, own);
            beside = add(beside, own);
            beside
        } else {
            add(own, beside)
        };
        if now > most {
            most = now;
        }
    }
    if most > total { most } else { total }
}

/// What the pod costs beside its containers.
pub(super) fn overhead(at: &At<'_, '_>, out: &mut Out) {
    for (name, entry) in at.entries() {
        resource_name(&entry, name, out);
        quantity(&entry, name, out);
    }
}

/// The overhead of a runtime class, which is judged as limits that are named otherwise.
pub(in super::super) fn of_class(at: &At<'_, '_>, out: &mut Out) {
    let shown = serde_json::json!({"limits": at.value.get("podFixed")});
    requirements(&At { value: &shown, path: at.path }, resource_name, out);
}

/// The name of a resource that containers have.
pub(in super::super) fn container_name(at: &At<'_, '_>, out: &mut Out) {
    resource_name(at, at.text(), out);
}

fn lists(requests: &At<'_, '_>, limits: &At<'_, '_>, named: Named, out: &mut Out) {
    for (name, entry) in limits.entries() {
        named(&entry, name, out);
        quantity(&entry, name, out);
    }
    for (name, entry) in requests.entries() {
        named(&entry, name, out);
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

/// What the pod as a whole can have.
fn pod_resource_name(at: &At<'_, '_>, name: &str, out: &mut Out) {
    let faults = out.errors.len();
    out.form_of(at, name, name::check_qualified);
    if out.errors.len() > faults {
        return;
    }
    if !name.contains('/') && !standard_resource(name) {
        out.push(FieldError::invalid(&at.path, name, "must be a standard resource type or fully qualified"));
    } else if !matches!(name, "cpu" | "memory") && !name.starts_with("hugepages-") {
        out.push(FieldError::not_supported(&at.path, name, &["cpu", "hugepages-", "memory"]));
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
    if let Some(page) = name.strip_prefix("hugepages-").and_then(|page| Quantity::from_json(&Value::from(page)).ok())
        && !amount.is_multiple_of(&page)
    {
        let text = format!("{amount} is not positive integer multiple of {name}");
        out.push(FieldError::invalid(&at.path, amount.to_string(), text));
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
            let text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            out.push(FieldError::invalid(&at.path, restart, text));
        }
    }
}
