//! What a definition's status says of it: names, whether it is served, approval, structure, deletion.
//!
//! In: a definition, the names that others of its group have, the time. Out: the definition with its status put right,
//! or nothing if it is. Never reads or writes anything.

use super::approval::{self, Approval};
use crate::Object;
use crate::meta;
use crate::validate::structural_faults;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Names that are taken within a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Plurals, singulars and short names.
    pub resources: BTreeSet<String>,
    /// Kinds and kinds of lists.
    pub kinds: BTreeSet<String>,
}

impl Taken {
    /// Takes the names that a definition was granted.
    pub fn grant(&mut self, definition: &Object) {
        let names = meta::at(definition, &["status", "acceptedNames"]).unwrap_or(&Value::Null);
        let mut take = |set: fn(&mut Taken) -> &mut BTreeSet<String>, name: &str| {
            if !name.is_empty() {
                set(self).insert(name.to_owned());
            }
        };
        for key in ["plural", "singular"] {
            take(|taken| &mut taken.resources, meta::text(names, key));
        }
        for name in meta::list_at(names, &["shortNames"]).iter().filter_map(Value::as_str) {
            take(|taken| &mut taken.resources, name);
        }
        for key in ["kind", "listKind"] {
            take(|taken| &mut taken.kinds, meta::text(names, key));
        }
    }
}

/// Whether a condition is true.
pub fn is_true(definition: &Object, kind: &str) -> bool {
    condition(definition, kind).is_some_and(|found| meta::text(found, "status") == "True")
}

/// Whether objects of the definition are served.
pub fn is_served(definition: &Object) -> bool {
    is_true(definition, "Established")
}

fn condition<'v>(definition: &'v Object, kind: &str) -> Option<&'v Value> {
    meta::list_at(definition, &["status", "conditions"]).iter().find(|one| meta::text(one, "type") == kind)
}

/// A condition's status, reason and message.
type Said<'a> = (&'a str, &'a str, &'a str);

/// Sets a condition.
pub fn set(definition: &mut Object, kind: &str, (status, reason, message): Said<'_>, now: &str) {
    let list = meta::child_mut(definition, "status").entry("conditions").or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    let Value::Array(list) = list else { return };
    match list.iter_mut().find(|one| meta::text(one, "type") == kind) {
        Some(one) => {
            if meta::text(one, "status") != status {
                one["lastTransitionTime"] = json!(now);
            }
            one["status"] = json!(status);
            one["reason"] = json!(reason);
            one["message"] = json!(message);
        }
        None => list.push(json!({
            "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
        })),
    }
}

fn unset(definition: &mut Object, kind: &str) {
    if let Some(Value::Array(list)) = definition.pointer_mut("/status/conditions") {
        list.retain(|one| meta::text(one, "type") != kind);
    }
}

/// The definition with its status put right; `None` if it is.
pub fn settle(definition: &Object, taken: &Taken, now: &str) -> Option<Object> {
    let mut new = definition.clone();
    let conformant = "KubernetesAPIApprovalPolicyConformant";
    if approval::is_protected(meta::text_at(definition, &["spec", "group"])) {
        let (state, why) = approval::state(definition);
        let (status, reason) = match state {
            Approval::Missing => ("False", "MissingAnnotation"),
            Approval::Bypassed => ("False", "UnapprovedAnnotation"),
            Approval::Approved => ("True", "ApprovedAnnotation"),
            Approval::Invalid => ("False", "InvalidAnnotation"),
        };
        set(&mut new, conformant, (status, reason, &why), now);
    }
    match violations(definition) {
        Some(why) => set(&mut new, "NonStructuralSchema", ("True", "Violations", &why), now),
        None => unset(&mut new, "NonStructuralSchema"),
    }
    // Whoever emptied the conditions did not take the names away.
    if meta::at(definition, &["spec", "names"]) != meta::at(definition, &["status", "acceptedNames"])
        || condition(definition, "NamesAccepted").is_none()
    {
        names(&mut new, taken, now);
    }
    if is_true(&new, "NamesAccepted") && !is_true(&new, "Established") {
        let said = if has_good_bundle(definition) {
            ("True", "InitialNamesAccepted", "the initial names have been accepted")
        } else {
            ("False", "InvalidCABundle", "The conversion webhook CABundle is invalid")
        };
        set(&mut new, "Established", said, now);
    }
    (new != *definition).then_some(new)
}

/// Whether the certificates of the conversion webhook, if it names any, can be certificates.
fn has_good_bundle(definition: &Object) -> bool {
    let bundle = meta::text_at(definition, &["spec", "conversion", "webhook", "clientConfig", "caBundle"]);
    if bundle.is_empty() {
        return true;
    }
    let Ok(bytes) = STANDARD.decode(bundle) else { return false };
    let text = String::from_utf8_lossy(&bytes);
    text.contains("-----BEGIN CERTIFICATE-----") && text.contains("-----END CERTIFICATE-----")
}

fn names(definition: &mut Object, taken: &Taken, now: &str) {
    let spec = meta::at(definition, &["spec", "names"]).cloned().unwrap_or_default();
    let held = meta::at(definition, &["status", "acceptedNames"]).cloned().unwrap_or_default();
    let mut granted = held.as_object().cloned().unwrap_or_default();
    let mut fault: Option<(&str, String)> = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    for (key, set, reason) in [
        ("plural", &taken.resources, "PluralConflict"),
        ("singular", &taken.resources, "SingularConflict"),
        ("shortNames", &taken.resources, "ShortNamesConflict"),
        ("kind", &taken.kinds, "KindConflict"),
        ("listKind", &taken.kinds, "ListKindConflict"),
    ] {
        if key == "shortNames" {
            let mine = meta::list_at(&held, &[key]);
            let wanted = meta::list_at(&spec, &[key]);
            let lost: Vec<String> = wanted
                .iter()
                .filter(|name| !mine.contains(name))
                .filter_map(Value::as_str)
                .filter(|name| set.contains(*name))
                .map(in_use)
                .collect();
            match &lost[..] {
                [] => grant(&mut granted, key, spec.get(key)),
                [one] => fault = Some((reason, one.clone())),
                several => fault = Some((reason, format!("[{}]", several.join(", ")))),
            }
            continue;
        }
        let name = meta::text(&spec, key);
        if name != meta::text(&held, key) && set.contains(name) {
            fault = Some((reason, in_use(name)));
        } else {
            grant(&mut granted, key, spec.get(key));
        }
    }
    grant(&mut granted, "categories", spec.get("categories"));
    meta::child_mut(definition, "status").insert("acceptedNames".to_owned(), Value::Object(granted));
    match fault {
        None => set(definition, "NamesAccepted", ("True", "NoConflicts", "no conflicts found"), now),
        Some((reason, why)) => {
            set(definition, "NamesAccepted", ("False", reason, &why), now);
            if condition(definition, "Established").is_none() {
                set(definition, "Established", ("False", "NotAccepted", "not all names are accepted"), now);
            }
        }
    }
}

fn grant(granted: &mut Map<String, Value>, key: &str, value: Option<&Value>) {
    match value {
        Some(value) if !value.is_null() => drop(granted.insert(key.to_owned(), value.clone())),
        _ => drop(granted.remove(key)),
    }
}

/// What of a definition is not structural: only what was accepted before structure was asked for.
fn violations(definition: &Object) -> Option<String> {
    // Structure is asked of every definition that does not preserve unknown fields.
    if !meta::bool_at(definition, &["spec", "preserveUnknownFields"]) {
        return None;
    }
    let mut faults = vec!["spec.preserveUnknownFields: Invalid value: true: must be false".to_owned()];
    for (index, version) in meta::list_at(definition, &["spec", "versions"]).iter().enumerate() {
        if let Some(schema) = meta::at(version, &["schema", "openAPIV3Schema"]) {
            faults.extend(structural_faults(schema, index).iter().map(ToString::to_string));
        }
    }
    Some(match &faults[..] {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    })
}

/// Marks a definition whose deletion was asked for: its instances go first.
pub fn mark_terminating(definition: &mut Object, now: &str) {
    meta::add_finalizer(definition, super::CLEANUP);
    let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
    set(definition, "Terminating", ("True", "InstanceDeletionPending", message), now);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn definition(group: &str) -> Object {
        json!({"metadata": {"name": "foos.x"}, "spec": {"group": group,
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList", "shortNames": ["f"]},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
    }

    /// "TYPE=STATUS REASON MESSAGE" of every condition.
    #[track_caller]
    fn check(definition: &Object, taken: &Taken, expected: &[&str]) -> Object {
        let settled = settle(definition, taken, NOW).unwrap_or_else(|| definition.clone());
        let text = |one: &Value| ["status", "reason", "message"].map(|key| meta::text(one, key).to_owned()).join(" ");
        let seen: Vec<String> = meta::list_at(&settled, &["status", "conditions"])
            .iter()
            .map(|one| format!("{}={}", meta::text(one, "type"), text(one)))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(settle(&settled, taken, NOW), None, "settled once is settled");
        settled
    }

    #[test]
    fn free_names_are_granted() {
        let settled = check(
            &definition("x"),
            &Taken::default(),
            &[
                "NamesAccepted=True NoConflicts no conflicts found",
                "Established=True InitialNamesAccepted the initial names have been accepted",
            ],
        );
        assert_eq!(settled["status"]["acceptedNames"], settled["spec"]["names"]);
        let mut taken = Taken::default();
        taken.grant(&settled);
        assert!(taken.resources.contains("f") && taken.kinds.contains("FooList"));
    }

    #[test]
    fn taken_names_are_not() {
        let taken = Taken { resources: ["f".to_owned()].into(), kinds: ["FooList".to_owned()].into() };
        let settled = check(
            &definition("x"),
            &taken,
            &[
                "NamesAccepted=False ListKindConflict \"FooList\" is already in use",
                "Established=False NotAccepted not all names are accepted",
            ],
        );
        assert_eq!(settled["status"]["acceptedNames"], json!({"plural": "foos", "singular": "foo", "kind": "Foo"}));
        check(
            &settled,
            &Taken::default(),
            &[
                "NamesAccepted=True NoConflicts no conflicts found",
                "Established=True InitialNamesAccepted the initial names have been accepted",
            ],
        );
    }

    #[test]
    fn emptied_conditions_are_made_again() {
        let mut emptied = settle(&definition("x"), &Taken::default(), NOW).unwrap();
        emptied["status"]["conditions"] = json!([]);
        let settled = check(
            &emptied,
            &Taken::default(),
            &[
                "NamesAccepted=True NoConflicts no conflicts found",
                "Established=True InitialNamesAccepted the initial names have been accepted",
            ],
        );
        assert!(is_served(&settled));
    }

    #[test]
    fn an_established_definition_stays_so() {
        let mut settled = settle(&definition("x"), &Taken::default(), NOW).unwrap();
        settled["spec"]["names"]["shortNames"] = json!(["g"]);
        let taken = Taken { resources: ["g".to_owned()].into(), ..Taken::default() };
        check(
            &settled,
            &taken,
            &[
                "NamesAccepted=False ShortNamesConflict \"g\" is already in use",
                "Established=True InitialNamesAccepted the initial names have been accepted",
            ],
        );
    }

    #[test]
    fn a_webhook_without_proper_certificates_is_not_served() {
        let mut one = definition("x");
        one["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"caBundle": "bm8="}}});
        check(
            &one,
            &Taken::default(),
            &[
                "NamesAccepted=True NoConflicts no conflicts found",
                "Established=False InvalidCABundle The conversion webhook CABundle is invalid",
            ],
        );
    }

    #[test]
    fn protected_groups_say_whether_they_are_approved() {
        let mut one = definition("x.k8s.io");
        one["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, test"});
        check(
            &one,
            &Taken::default(),
            &[
                "KubernetesAPIApprovalPolicyConformant=False UnapprovedAnnotation not approved: \"unapproved, test\"",
                "NamesAccepted=True NoConflicts no conflicts found",
                "Established=True InitialNamesAccepted the initial names have been accepted",
            ],
        );
    }
}
