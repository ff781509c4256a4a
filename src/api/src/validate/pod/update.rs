//! What may change in a pod that exists.
//!
//! In: the new and the old pod, and which part the request may change. Out: faults. Sizes are `resize`'s.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::at::{At, IMMUTABLE, Out};
use super::super::diff;
use super::annotations::{self, is_mirror};
use crate::field::{FieldError, Path};
use crate::meta::{self, list_at, text};
use crate::name;

const ALLOWED: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

pub(super) fn main(new: &Value, old: &Value, out: &mut Out) {
    let (spec, before) = (At::root(new, "spec"), At::root(old, "spec"));
    super::whole(new, &spec, out);
    annotations::update(new, old, out);
    for list in ["containers", "initContainers"] {
        let at = spec.get(list);
        if at.len() != before.get(list).len() {
            out.forbidden(&at, "pod updates may not add or remove containers");
            return;
        }
    }
    if !deadline(&spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds").int(), out) {
        return;
    }
    tolerations(&spec, &before, out);
    gates(&spec, &before, out);
    if spec.value == before.value {
        return;
    }
    let mut rest = without_free(spec.value, before.value);
    if before.get("schedulingGates").len() > 0 {
        narrowed(&spec, &before, &mut rest, out);
    }
    if &rest != before.value {
        out.forbidden(&spec, format!("{ALLOWED}\n{}", diff::fields(before.value, &rest)));
    }
}

/// False if the rest is not looked at.
fn deadline(new: &At<'_, '_>, old: Option<i64>, out: &mut Out) -> bool {
    match (new.int(), old) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            out.invalid(new, name::range(0, i64::from(i32::MAX)));
            return false;
        }
        (Some(seconds), Some(before)) if seconds > before => {
            out.invalid(new, "must be less than or equal to previous value");
            return false;
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            out.push(FieldError::invalid(&new.path, Value::Null, text));
        }
        _ => {}
    }
    true
}

fn gates(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    let known: BTreeSet<&str> = list_at(before.value, &["schedulingGates"]).iter().map(|g| text(g, "name")).collect();
    for gate in spec.get("schedulingGates").items() {
        let name = gate.text_of("name");
        if !known.contains(name) {
            let words = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            out.forbidden(&gate.get("name"), words);
        }
    }
}

/// Tolerations may be added; an existing one may only change its seconds.
fn tolerations(spec: &At<'_, '_>, before: &At<'_, '_>, out: &mut Out) {
    let bare = |toleration: &Value| {
        let mut copy = toleration.clone();
        if let Some(map) = copy.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        copy
    };
    let at = spec.get("tolerations");
    let kept: Vec<Value> = list_at(spec.value, &["tolerations"]).iter().map(bare).collect();
    if list_at(before.value, &["tolerations"]).iter().any(|t| !kept.contains(&bare(t))) {
        out.forbidden(&at, "existing toleration can not be modified except its tolerationSeconds");
    }
}

/// The new specification with what may change as it was.
fn without_free(new: &Value, old: &Value) -> Value {
    let mut rest = new.clone();
    let Some(map) = rest.as_object_mut() else { return rest };
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(map, old, field);
    }
    for list in ["containers", "initContainers"] {
        let Some(containers) = map.get_mut(list).and_then(Value::as_array_mut) else { continue };
        for (container, before) in containers.iter_mut().zip(list_at(old, &[list])) {
            if let Some(container) = container.as_object_mut() {
                keep(container, before, "image");
            }
        }
    }
    let grace = "terminationGracePeriodSeconds";
    let was_negative = old.get(grace).and_then(Value::as_i64).is_some_and(|n| n < 0);
    if was_negative && map.get(grace).and_then(Value::as_i64) == Some(1) {
        keep(map, old, grace);
    }
    rest
}

fn keep(map: &mut Map<String, Value>, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => map.insert(field.to_owned(), value.clone()),
        None => map.remove(field),
    };
}

/// A pod that waits at a gate may be narrowed: more labels of nodes, more requirements.
fn narrowed(spec: &At<'_, '_>, before: &At<'_, '_>, rest: &mut Value, out: &mut Out) {
    let (now, then) = (spec.get("nodeSelector"), before.get("nodeSelector"));
    if now.value != then.value {
        if then.entries().any(|(key, value)| now.value.get(key) != Some(value.value)) {
            out.invalid(&now, "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
        }
        if let Some(map) = rest.as_object_mut() {
            keep(map, before.value, "nodeSelector");
        }
    }
    let affinity = spec.get("affinity");
    let (now, kept) = (affinity.get("nodeAffinity"), meta::at(before.value, &["affinity", "nodeAffinity"]));
    if now.value == kept.unwrap_or(&Value::Null) {
        return;
    }
    terms(&now, kept, out);
    let Some(map) = rest.as_object_mut() else { return };
    let had = before.value.get("affinity").is_some_and(|affinity| !affinity.is_null());
    let has = |field: &str| affinity.get(field).is_set();
    if affinity.is_set() && !had && !has("podAffinity") && !has("podAntiAffinity") {
        map.remove("affinity");
        return;
    }
    let slot = map.entry("affinity").or_insert_with(|| Value::Object(Map::new()));
    if let Some(slot) = slot.as_object_mut() {
        keep(slot, before.value.get("affinity").unwrap_or(&Value::Null), "nodeAffinity");
    }
}

fn terms(now: &At<'_, '_>, kept: Option<&Value>, out: &mut Out) {
    let old = kept.map_or(&[][..], |kept| list_at(kept, &[REQUIRED, "nodeSelectorTerms"]));
    let required = now.get(REQUIRED);
    let list = required.get("nodeSelectorTerms");
    if !old.is_empty() && old.len() != list.len() {
        out.invalid(&list, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (term, old) in list.items().zip(old) {
        let parts = ["matchExpressions", "matchFields"];
        let was_empty = parts.iter().all(|part| list_at(old, &[part]).is_empty());
        let grew = |part: &&str| list_at(term.value, &[part]).starts_with(list_at(old, &[part]));
        let fills = was_empty && parts.iter().any(|part| term.get(part).len() > 0);
        if fills || !parts.iter().all(grew) {
            out.invalid(&term, "only additions are allowed (no mutations or deletions)");
        }
    }
}

pub(super) fn ephemeral(new: &Value, old: &Value, out: &mut Out) {
    if is_mirror(old) {
        let nowhere = At { value: &Value::Null, path: Path::root("") };
        out.forbidden(&nowhere, "static pods do not support ephemeral containers");
        return;
    }
    let spec = At::root(new, "spec");
    super::whole(new, &spec, out);
    annotations::update(new, old, out);
    let at = spec.get("ephemeralContainers");
    for kept in list_at(old, &["spec", "ephemeralContainers"]) {
        let name = text(kept, "name");
        let found = at.items().find(|c| c.text_of("name") == name);
        match found {
            None => out.forbidden(&at, format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(same) if same.value != kept => {
                let changed = diff::fields(kept, same.value);
                out.forbidden(&at, format!("existing ephemeral containers {name:?} may not be changed\n{changed}"));
            }
            Some(_) => {}
        }
    }
}

pub(super) fn status(new: &Value, old: &Value, out: &mut Out) {
    let at = At::root(new, "status");
    annotations::update(new, old, out);
    for condition in at.get("conditions").items() {
        observed(&condition.get("observedGeneration"), out);
        let kind = condition.text_of("type");
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            // The place is Kubernetes' own slip.
            out.form_of(&condition.get("Type"), kind, name::check_qualified);
        }
    }
    if meta::text_at(new, &["spec", "nodeName"]) != meta::text_at(old, &["spec", "nodeName"]) {
        out.forbidden(&at.get("nodeName"), "may not be changed directly");
    }
    let (nominated, kept) = (at.get("nominatedNodeName"), meta::text_at(old, &["status", "nominatedNodeName"]));
    if nominated.text() != kept && !nominated.text().is_empty() {
        out.form(&nominated, name::check_subdomain);
        if !meta::text_at(old, &["spec", "nodeName"]).is_empty() {
            out.forbidden(&nominated, "may not be set on pods that are already bound to a node");
        }
    }
    observed(&at.get("observedGeneration"), out);
    let class = meta::text_at(old, &["status", "qosClass"]);
    if !class.is_empty() && at.text_of("qosClass") != class {
        out.invalid(&at.get("qosClass"), IMMUTABLE);
    }
    let policy = meta::text_at(old, &["spec", "restartPolicy"]);
    for (list, spec) in [("containerStatuses", "containers"), ("initContainerStatuses", "initContainers")] {
        let containers = list_at(old, &["spec", spec]);
        if !all_restart(old) {
            ended(
                &at.get(list),
                list_at(old, &["status", list]),
                |status, code| {
                    let own = containers.iter().find(|c| text(c, "name") == text(status, "name"));
                    own.is_some_and(|own| restarts(own, policy, code))
                },
                out,
            );
        }
    }
    let ephemeral = "ephemeralContainerStatuses";
    ended(&at.get(ephemeral), list_at(old, &["status", ephemeral]), |_, _| false, out);
    claims(new, &at, out);
    for (list, single) in [("podIPs", "podIP"), ("hostIPs", "hostIP")] {
        addresses(&at, old, list, single, out);
    }
}

fn observed(at: &At<'_, '_>, out: &mut Out) {
    if at.int().is_some_and(|n| n < 0) {
        out.invalid(at, "must be a non-negative integer");
    }
}

/// Claims that the pod asks for, each once.
fn claims(pod: &Value, status: &At<'_, '_>, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for claim in status.get("resourceClaimStatuses").items() {
        let name_at = claim.get("name");
        let known = list_at(pod, &["spec", "resourceClaims"]).iter().any(|c| text(c, "name") == name_at.text());
        if !known {
            out.invalid(&name_at, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name_at.text()) {
            out.duplicate(&name_at);
        }
        if claim.get("resourceClaimName").is_set() {
            out.form(&claim.get("resourceClaimName"), name::check_subdomain);
        }
    }
}

/// At most one address of each family; one that was there before may be of an older form.
fn addresses(status: &At<'_, '_>, old: &Value, list: &str, single: &str, out: &mut Out) {
    let at = status.get(list);
    let before = list_at(old, &["status", list]);
    let mut families = [0, 0];
    if single == "hostIP"
        && let Some(first) = at.items().next()
        && first.text_of("ip") != status.text_of(single)
    {
        out.push(FieldError::invalid(&first.path.child("ip"), first.text_of("ip"), "must be equal to `hostIP`"));
    }
    for ip in at.items() {
        let address = ip.text_of("ip");
        if !before.iter().any(|kept| text(kept, "ip") == address) {
            out.form_of(&ip, address, name::check_ip);
        }
        if let Some(address) = name::parse_ip(address) {
            families[usize::from(address.is_ipv6())] += 1;
        }
    }
    if families.iter().any(|count| *count > 1) {
        out.invalid(&at, "may specify no more than one IP for each IP family");
    }
}

/// Whether a rule of some container starts the whole pod again.
fn all_restart(pod: &Value) -> bool {
    let lists = ["containers", "initContainers"].into_iter().flat_map(|list| list_at(pod, &["spec", list]));
    let rules = lists.flat_map(|container| list_at(container, &["restartPolicyRules"]));
    rules.into_iter().any(|rule| text(rule, "action") == "RestartAllContainers")
}

/// Whether a container that ended so is started again: by its rules, its own policy or the pod's.
fn restarts(container: &Value, policy: &str, code: i64) -> bool {
    for rule in list_at(container, &["restartPolicyRules"]) {
        let has = list_at(rule, &["exitCodes", "values"]).iter().any(|value| value.as_i64() == Some(code));
        let fits = match meta::text_at(rule, &["exitCodes", "operator"]) {
            "In" => has,
            "NotIn" => !has,
            _ => false,
        };
        if fits && text(rule, "action") == "Restart" {
            return true;
        }
    }
    match text(container, "restartPolicy") {
        "" => policy == "Always" || policy == "OnFailure" && code != 0,
        own => own == "Always" || own == "OnFailure" && code != 0,
    }
}

/// A container that ended for good stays ended.
fn ended(at: &At<'_, '_>, old: &[Value], again: impl Fn(&Value, i64) -> bool, out: &mut Out) {
    for (i, before) in old.iter().enumerate() {
        let Some(end) = meta::at(before, &["state", "terminated"]) else { continue };
        let code = end.get("exitCode").and_then(Value::as_i64).unwrap_or(0);
        let lives =
            |c: &At<'_, '_>| c.text_of("name") == text(before, "name") && !c.get("state").get("terminated").is_set();
        if at.items().any(|c| lives(&c)) && !again(before, code) {
            let path = at.path.index(i);
            out.push(FieldError::forbidden(&path.child("state"), "may not be transitioned to non-terminated state"));
        }
    }
}
