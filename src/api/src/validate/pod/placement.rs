//! Where a pod may go: affinity, tolerations, topology spread.
//!
//! In: a pod specification. Out: faults.

use std::collections::BTreeSet;

use super::super::at::{At, Out};
use crate::field::FieldError;
use crate::name;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(spec: &At<'_, '_>, out: &mut Out) {
    let affinity = spec.get("affinity");
    node_affinity(&affinity.get("nodeAffinity"), out);
    pod_affinity(&affinity.get("podAffinity"), out);
    pod_affinity(&affinity.get("podAntiAffinity"), out);
}

fn node_affinity(at: &At<'_, '_>, out: &mut Out) {
    let required = at.get(REQUIRED);
    if required.is_set() {
        node_selector(&required, out);
    }
    for preferred in at.get(PREFERRED).items() {
        weight(&preferred.get("weight"), out);
        node_term(&preferred.get("preference"), false, out);
    }
}

/// A node selector: alternatives of terms.
pub(in super::super) fn node_selector(at: &At<'_, '_>, out: &mut Out) {
    let terms = at.get("nodeSelectorTerms");
    if terms.len() == 0 {
        out.required(&terms, "must have at least one node selector term");
        return;
    }
    for term in terms.items() {
        node_term(&term, true, out);
    }
}

fn weight(at: &At<'_, '_>, out: &mut Out) {
    if !at.int().is_some_and(|n| (1..=100).contains(&n)) {
        out.push(FieldError::invalid(&at.path, at.int().unwrap_or(0), "must be in the range 1-100"));
    }
}

/// One alternative; values of preferences need not be label values.
fn node_term(at: &At<'_, '_>, strict: bool, out: &mut Out) {
    for expression in at.get("matchExpressions").items() {
        let (operator, values) = (expression.get("operator"), expression.get("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() == 0 => {
                out.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if values.len() > 0 => {
                out.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "Gt" | "Lt" if values.len() != 1 => {
                out.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => {
                out.push(FieldError::invalid(&operator.path, other, "not a valid selector operator"));
            }
        }
        out.form(&expression.get("key"), name::check_qualified);
        if strict {
            for value in values.items() {
                out.form(&value, name::check_label_value);
            }
        }
    }
    for requirement in at.get("matchFields").items() {
        let (operator, values, key) = (requirement.get("operator"), requirement.get("values"), requirement.get("key"));
        match operator.text() {
            "In" | "NotIn" => {
                if values.len() != 1 {
                    out.required(
                        &values,
                        "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
                    );
                }
            }
            other => out.push(FieldError::invalid(&operator.path, other, "not a valid selector operator")),
        }
        if key.text() == "metadata.name" {
            for value in values.items() {
                out.form(&value, name::check_subdomain);
            }
        } else {
            out.push(FieldError::invalid(&key.path, key.text(), "not a valid field selector key"));
        }
    }
}

fn pod_affinity(at: &At<'_, '_>, out: &mut Out) {
    for term in at.get(REQUIRED).items() {
        pod_term(&term, out);
    }
    for preferred in at.get(PREFERRED).items() {
        weight(&preferred.get("weight"), out);
        pod_term(&preferred.get("podAffinityTerm"), out);
    }
}

fn pod_term(at: &At<'_, '_>, out: &mut Out) {
    out.selector(&at.get("labelSelector"));
    out.selector(&at.get("namespaceSelector"));
    for namespace in at.get("namespaces").items() {
        out.form_of(&at.get("namespace"), namespace.text(), name::check_label);
    }
    label_keys(at, out);
    let key = at.get("topologyKey");
    if key.text().is_empty() {
        out.required(&key, "can not be empty");
    }
    out.form_of(&key, key.text(), name::check_qualified);
}

/// Keys whose values come from the pod itself: good labels, each said once.
fn label_keys(at: &At<'_, '_>, out: &mut Out) {
    let (matching, others, selector) = (at.get("matchLabelKeys"), at.get("mismatchLabelKeys"), at.get("labelSelector"));
    for list in [&matching, &others] {
        keys(list, selector.is_set(), out);
    }
    let mut seen: BTreeSet<&str> = selector.get("matchLabels").entries().map(|(key, _)| key).collect();
    for expression in selector.get("matchExpressions").items() {
        let key = expression.text_of("key");
        let place = matching.items().position(|own| own.text() == key);
        if let Some(i) = place.filter(|_| seen.contains(key)) {
            let text = "exists in both matchLabelKeys and labelSelector";
            out.push(FieldError::invalid(&at.path.index(i), key, text));
        }
        seen.insert(key);
    }
    for key in matching.items().filter(|key| others.items().any(|other| other.text() == key.text())) {
        out.invalid(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

fn keys(at: &At<'_, '_>, selects: bool, out: &mut Out) {
    if at.len() > 0 && !selects {
        out.forbidden(at, "must not be specified when labelSelector is not set");
        return;
    }
    for key in at.items() {
        out.form(&key, name::check_qualified);
    }
}

/// Tolerations: operators, values and effects that fit together.
pub(in super::super) fn tolerations(at: &At<'_, '_>, out: &mut Out) {
    for toleration in at.items() {
        let (key, operator) = (toleration.get("key"), toleration.get("operator"));
        out.optional_form(&key, name::check_qualified);
        if key.text().is_empty() && operator.text() != "Exists" {
            out.push(FieldError::invalid(
                &operator.path,
                operator.text(),
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        let effect = toleration.get("effect");
        if toleration.get("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            out.push(FieldError::invalid(
                &effect.path,
                effect.text(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        match operator.text() {
            "" | "Equal" => {
                if let Err(faults) = name::check_label_value(toleration.text_of("value")) {
                    out.push(FieldError::invalid(&operator.path, toleration.text_of("value"), faults.join(";")));
                }
            }
            "Exists" => {
                if !toleration.text_of("value").is_empty() {
                    out.push(FieldError::invalid(
                        &operator.path,
                        toleration.text_of("value"),
                        "value must be empty when `operator` is 'Exists'",
                    ));
                }
            }
            other @ ("Lt" | "Gt") => {
                out.push(FieldError::not_supported(&operator.path, other, &["Equal", "Exists", "Lt", "Gt"]));
            }
            other => out.push(FieldError::not_supported(&operator.path, other, &["Equal", "Exists"])),
        }
        out.one_of(&effect, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
    }
}

/// Rules of even spreading.
pub(super) fn spread(at: &At<'_, '_>, out: &mut Out) {
    for (i, constraint) in at.items().enumerate() {
        let skew = constraint.get("maxSkew");
        if skew.int().unwrap_or(0) <= 0 {
            out.push(FieldError::invalid(&skew.path, skew.int().unwrap_or(0), "must be greater than zero"));
        }
        let key = constraint.get("topologyKey");
        if key.text().is_empty() {
            out.required(&key, "can not be empty");
        }
        let when = constraint.get("whenUnsatisfiable");
        if !matches!(when.text(), "DoNotSchedule" | "ScheduleAnyway") {
            let allowed = ["DoNotSchedule", "ScheduleAnyway"];
            out.push(FieldError::not_supported(&when.path, when.text(), &allowed));
        }
        let same = |other: &At<'_, '_>| {
            other.text_of("topologyKey") == key.text() && other.text_of("whenUnsatisfiable") == when.text()
        };
        if at.items().skip(i + 1).any(|other| same(&other)) {
            let pair = format!("{{{}, {}}}", key.text(), when.text());
            out.push(FieldError::duplicate(&constraint.path.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        let domains = constraint.get("minDomains");
        if let Some(number) = domains.int() {
            if number <= 0 {
                out.invalid(&domains, "must be greater than zero");
            }
            if when.text() != "DoNotSchedule" {
                let text = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", when.text());
                out.invalid(&domains, text);
            }
        }
        out.one_of(&constraint.get("nodeAffinityPolicy"), &["Honor", "Ignore"]);
        out.one_of(&constraint.get("nodeTaintsPolicy"), &["Honor", "Ignore"]);
        label_keys(&constraint, out);
        out.selector(&constraint.get("labelSelector"));
    }
}
