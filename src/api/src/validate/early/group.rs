//! Pods that are scheduled together: Workloads and the PodGroups that are made of their templates.
//!
//! In: an object, on update also the old one. Out: faults. What has not changed is not judged again.

use std::collections::BTreeSet;

use serde_json::Value;

use super::at_least;
use crate::field::FieldError;
use crate::name;
use crate::validate::at::{At, IMMUTABLE, Out};
use crate::validate::condition;

const TEMPLATES_MOST: usize = 8;
const CLAIMS_MOST: usize = 4;
const TOPOLOGIES_MOST: usize = 1;
/// The highest priority that is not the system's.
const PRIORITY_MOST: i64 = 1_000_000_000;

pub(in crate::validate) fn workload(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    let (owner, templates) = (spec.get("controllerRef"), spec.get("podGroupTemplates"));
    if let Some(old) = old {
        kept(&spec, &["controllerRef", "podGroupTemplates"], &old["spec"], out);
        return;
    }
    if owner.is_set() {
        out.optional_form(&owner.get("apiGroup"), name::check_subdomain);
        out.filled_form(&owner.get("kind"), name::check_path_segment);
        out.filled_form(&owner.get("name"), name::check_path_segment);
    }
    if templates.len() == 0 {
        out.required(&templates, "");
    }
    if limited(&templates, TEMPLATES_MOST, out) {
        unique(&templates, "name", out);
        for template in templates.items() {
            out.filled_form(&template.get("name"), name::check_label);
            common(&template, out);
        }
    }
}

pub(in crate::validate) fn pod_group(object: &Value, old: Option<&Value>, out: &mut Out) {
    let spec = At::root(object, "spec");
    if let Some(old) = old {
        let fields = [
            "podGroupTemplateRef",
            "schedulingPolicy",
            "schedulingConstraints",
            "resourceClaims",
            "disruptionMode",
            "priorityClassName",
            "priority",
        ];
        kept(&spec, &fields, &old["spec"], out);
        return;
    }
    let from = spec.get("podGroupTemplateRef");
    if from.is_set() && one_of(&from, &["workload"], out) {
        let workload = from.get("workload");
        out.filled_form(&workload.get("workloadName"), name::check_subdomain);
        out.filled_form(&workload.get("podGroupTemplateName"), name::check_label);
    }
    common(&spec, out);
}

pub(in crate::validate) fn pod_group_status(object: &Value, out: &mut Out) {
    let (status, spec) = (At::root(object, "status"), At::root(object, "spec"));
    condition::all(&status.get("conditions"), out);
    let (statuses, claims) = (status.get("resourceClaimStatuses"), spec.get("resourceClaims"));
    for one in statuses.items() {
        let own = one.get("name");
        if !claims.items().any(|claim| claim.text_of("name") == own.text()) {
            out.invalid(&own, "must match the name of an entry in `spec.resourceClaims`");
        }
    }
    if limited(&statuses, CLAIMS_MOST, out) {
        unique(&statuses, "name", out);
        statuses.items().for_each(|one| out.optional_form(&one.get("resourceClaimName"), name::check_subdomain));
    }
}

/// What a group and its template have in common.
fn common(at: &At<'_, '_>, out: &mut Out) {
    let policy = at.get("schedulingPolicy");
    if one_of(&policy, &["basic", "gang"], out) && policy.get("gang").is_set() {
        let gang = policy.get("gang");
        let count = gang.get("minCount");
        match count.int() {
            None | Some(0) => out.required(&count, ""),
            Some(_) => at_least(&count, 1, out),
        }
    }
    let constraints = at.get("schedulingConstraints");
    let topology = constraints.get("topology");
    if limited(&topology, TOPOLOGIES_MOST, out) {
        topology.items().for_each(|one| out.filled_form(&one.get("key"), name::check_qualified));
    }
    let claims = at.get("resourceClaims");
    if limited(&claims, CLAIMS_MOST, out) {
        unique(&claims, "name", out);
        for claim in claims.items() {
            out.filled_form(&claim.get("name"), name::check_label);
            let fields = ["resourceClaimName", "resourceClaimTemplateName"];
            one_of(&claim, &fields, out);
            fields.iter().for_each(|field| out.optional_form(&claim.get(field), name::check_subdomain));
        }
    }
    out.one_of(&at.get("disruptionMode"), &["Pod", "PodGroup"]);
    out.optional_form(&at.get("priorityClassName"), name::check_subdomain);
    let priority = at.get("priority");
    if priority.int().is_some_and(|n| n > PRIORITY_MOST) {
        out.invalid(&priority, format!("must be less than or equal to {PRIORITY_MOST}"));
    }
}

/// Exactly one of these fields; false, and a fault, if not.
fn one_of(at: &At<'_, '_>, fields: &[&str], out: &mut Out) -> bool {
    let set: Vec<&str> = fields.iter().copied().filter(|field| at.get(field).is_set()).collect();
    let all = || fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ");
    match set.len() {
        1 => return true,
        0 => out.push(FieldError::invalid(&at.path, "", format!("must specify one of: {}", all()))),
        _ => {
            let said = format!("{{{}}}", set.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", "));
            out.push(FieldError::invalid(&at.path, said, format!("must specify exactly one of: {}", all())));
        }
    }
    false
}

/// These fields are what they were.
fn kept(at: &At<'_, '_>, fields: &[&str], old: &Value, out: &mut Out) {
    for field in fields {
        if at.get(field).value != old.get(*field).unwrap_or(&Value::Null) {
            out.push(FieldError::invalid(&at.path.child(field), Value::Null, IMMUTABLE));
        }
    }
}

fn limited(list: &At<'_, '_>, most: usize, out: &mut Out) -> bool {
    if list.len() > most {
        out.push(FieldError::too_many(&list.path, list.len(), most));
    }
    list.len() <= most
}

fn unique(list: &At<'_, '_>, key: &str, out: &mut Out) {
    let mut seen = BTreeSet::new();
    for one in list.items() {
        if !seen.insert(one.text_of(key)) {
            out.push(FieldError::duplicate(&one.path, one.text_of(key)));
        }
    }
}
