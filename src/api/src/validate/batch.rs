//! Jobs and CronJobs.
//!
//! In: an object, on update also the old one. Out: faults. `status` judges a Job's status, `indexes` reads lists of
//! indexes.

mod indexes;
mod status;

use std::collections::BTreeSet;

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use super::{network, pod};
use crate::cron;
use crate::field::FieldError;
use crate::meta;
use crate::name;

pub(super) use status::job as job_status;

/// A Job's name gets 11 characters appended to its CronJob's, and must stay a label.
const CRON_NAME_MOST: usize = 52;
/// Most pods at a time, and most failed indexes, of an indexed Job.
const INDEXED_MOST: i64 = 100_000;
/// Most of both where failures count for each of more completions than `INDEXED_MOST`.
const HIGH_MOST: i64 = 10_000;
/// Most rules of a policy, and most conditions of a rule.
const RULES_MOST: usize = 20;
const EXIT_CODES_MOST: usize = 255;
const MANAGED_BY_MOST: usize = 63;
const INDEXES_TEXT_MOST: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];

pub(super) fn job(object: &Value, old: Option<&Value>, out: &mut Out) {
    let at = At::root(object, "spec");
    owned(object, &at, old, out);
    spec(&at, out);
    selector(&at, out);
    hostname(object, &at, out);
    let Some(old) = old else { return };
    let before = At::root(old, "spec");
    let completions = at.get("completions");
    if at.text_of("completionMode") != "Indexed" {
        out.immutable(&completions, before.get("completions").value);
    } else if completions.is_set()
        && completions.value != before.get("completions").value
        && completions.value != at.get("parallelism").value
    {
        out.invalid(&completions, "can only be modified in tandem with spec.parallelism");
    }
    out.immutable(&at.get("selector"), before.get("selector").value);
    template_update(&at, &before, old, out);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        out.immutable(&at.get(field), before.get(field).value);
    }
}

fn selector(at: &At<'_, '_>, out: &mut Out) {
    let selector_at = at.get("selector");
    let read = match selector_at.is_set() {
        true => out.selector(&selector_at),
        false => {
            out.required(&selector_at, "");
            None
        }
    };
    let template = at.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let matches = match &read {
        Some(selector) => selector.matches(labels.value),
        None => selector_at.is_set(),
    };
    if !matches {
        out.invalid(&labels, "`selector` does not match template `labels`");
    }
}

/// Pods of an indexed Job are hosts named after it and their index.
fn hostname(object: &Value, at: &At<'_, '_>, out: &mut Out) {
    let last = at.get("completions").int().unwrap_or(0) - 1;
    if at.text_of("completionMode") != "Indexed" || last < 0 {
        return;
    }
    let host = format!("{}-{last}", meta::name(object));
    if name::check_label(&host).is_err() {
        let metadata = At::root(object, "metadata");
        out.invalid(&metadata.get("name"), format!("will not able to create pod with invalid DNS label: {host}"));
    }
}

/// A suspended Job without running pods may still say where its pods go and what they need.
fn template_update(at: &At<'_, '_>, before: &At<'_, '_>, old: &Value, out: &mut Out) {
    let template = at.get("template");
    let suspended = before.get("suspend").yes();
    let quiet = meta::text_at(old, &["status", "startTime"]).is_empty() || status::is_true(old, "Suspended");
    let free = suspended && quiet && meta::int_at(old, &["status", "active"]).unwrap_or(0) == 0;
    if !free {
        out.immutable(&template, before.get("template").value);
        return;
    }
    // The old template with everything of the new one that may change.
    let mut allowed = before.get("template").value.clone();
    let pod = template.get("spec");
    if let Some(old_pod) = allowed.get_mut("spec") {
        for field in ["nodeSelector", "tolerations", "schedulingGates"] {
            take(old_pod, pod.value, field);
        }
        affinity(old_pod, pod.value);
        for list in ["containers", "initContainers"] {
            resources(old_pod, pod.value, list);
        }
    }
    let allowed = allowed.get("spec").unwrap_or(&Value::Null);
    if pod.value != allowed {
        out.invalid(&pod, IMMUTABLE);
    }
}

fn take(old: &mut Value, new: &Value, field: &str) {
    let Some(map) = old.as_object_mut() else { return };
    match new.get(field) {
        Some(value) => map.insert(field.into(), value.clone()),
        None => map.remove(field),
    };
}

/// Of the affinity only the nodes' part may change.
fn affinity(old: &mut Value, new: &Value) {
    let Some(map) = old.as_object_mut() else { return };
    let now = new.get("affinity");
    let wanted = now.and_then(|a| a.get("nodeAffinity")).filter(|v| !v.is_null());
    let mut kept = map.get("affinity").and_then(Value::as_object).cloned().unwrap_or_default();
    match wanted {
        Some(nodes) => kept.insert("nodeAffinity".into(), nodes.clone()),
        None => kept.remove("nodeAffinity"),
    };
    match kept.is_empty() && now.is_none_or(Value::is_null) {
        true => map.remove("affinity"),
        false => map.insert("affinity".into(), kept.into()),
    };
}

fn resources(old: &mut Value, new: &Value, list: &str) {
    let (Some(old), Some(new)) =
        (old.get_mut(list).and_then(Value::as_array_mut), new.get(list).and_then(Value::as_array))
    else {
        return;
    };
    if old.len() == new.len() {
        for (a, b) in old.iter_mut().zip(new).filter(|(a, b)| a.get("name") == b.get("name")) {
            take(a, b, "resources");
        }
    }
}

/// The generated selector and labels belong to this Job alone.
fn owned(object: &Value, at: &At<'_, '_>, old: Option<&Value>, out: &mut Out) {
    let selector_at = at.get("selector");
    if at.get("manualSelector").yes() || !selector_at.is_set() {
        return;
    }
    let (uid, own) = (meta::uid(object), meta::name(object));
    if uid.is_empty() {
        let metadata = At::root(object, "metadata");
        out.required(&metadata.get("uid"), "");
    }
    // Jobs from before these labels had their prefix have only the plain ones.
    let has =
        |key: &str| old.is_none_or(|old| meta::at(old, &["spec", "template", "metadata", "labels", key]).is_some());
    let prefixed = has("batch.kubernetes.io/job-name") && has("batch.kubernetes.io/controller-uid");
    let wanted = [
        ("controller-uid", uid, true),
        ("job-name", own, true),
        ("batch.kubernetes.io/controller-uid", uid, prefixed),
        ("batch.kubernetes.io/job-name", own, prefixed),
    ];
    let template = at.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    let mut expected = serde_json::Map::new();
    for (key, value, _) in wanted.iter().filter(|w| w.2) {
        expected.insert((*key).into(), (*value).into());
        let label = labels.key(key);
        if !label.is_set() {
            out.required(&label, &format!("must be '{value}'"));
        }
        if label.text() != *value {
            out.push(FieldError::invalid(&label.path, labels.value.clone(), format!("must be '{value}'")));
        }
    }
    let mut quiet = Out::default();
    if quiet.selector(&selector_at).is_some_and(|s| !s.matches(&Value::Object(expected))) {
        out.invalid(&selector_at, "`selector` not auto-generated");
    }
}

fn spec(at: &At<'_, '_>, out: &mut Out) {
    for field in ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit"] {
        out.nonnegative(&at.get(field));
    }
    for field in ["ttlSecondsAfterFinished", "backoffLimitPerIndex", "maxFailedIndexes"] {
        out.nonnegative(&at.get(field));
    }
    let per_index = at.get("backoffLimitPerIndex");
    if at.get("maxFailedIndexes").is_set() && !per_index.is_set() {
        out.required(&per_index, "when maxFailedIndexes is specified");
    }
    let manager = at.get("managedBy");
    if manager.is_set() {
        network::domain_path(&manager, out);
        if manager.text().len() > MANAGED_BY_MOST {
            out.push(FieldError::too_long(&manager.path, MANAGED_BY_MOST));
        }
    }
    indexed(at, out);
    failure_policy(at, out);
    success_policy(at, out);
    let replacement = at.get("podReplacementPolicy");
    match at.get("podFailurePolicy").is_set() {
        true => out.one_of(&replacement, &["Failed"]),
        false => out.one_of(&replacement, &["Failed", "TerminatingOrFailed"]),
    }
    let template = at.get("template");
    pod::template(&template, out);
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    match policy.text() {
        "OnFailure" if at.get("podFailurePolicy").is_set() => {
            out.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        "" | "Always" => out.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        _ => out.one_of(&policy, &["OnFailure", "Never"]),
    }
}

fn indexed(at: &At<'_, '_>, out: &mut Out) {
    let mode = at.get("completionMode");
    out.one_of(&mode, &["NonIndexed", "Indexed"]);
    let (completions, parallelism) = (at.get("completions"), at.get("parallelism"));
    let (per_index, failed) = (at.get("backoffLimitPerIndex"), at.get("maxFailedIndexes"));
    let above = |one: &At<'_, '_>, most: i64| one.int().is_some_and(|n| n > most);
    match mode.text() {
        "Indexed" => {}
        "" | "NonIndexed" => {
            for one in [&per_index, &failed].into_iter().filter(|one| one.is_set()) {
                out.invalid(one, "requires indexed completion mode");
            }
            return;
        }
        _ => return,
    }
    if !completions.is_set() {
        out.required(&completions, "when completion mode is Indexed");
    }
    if above(&parallelism, INDEXED_MOST) {
        let text = format!("must be less than or equal to {INDEXED_MOST} when completion mode is Indexed");
        out.invalid(&parallelism, text);
    }
    if completions.int().is_some_and(|n| above(&failed, n)) {
        out.invalid(&failed, "must be less than or equal to completions");
    }
    if above(&failed, INDEXED_MOST) {
        out.invalid(&failed, format!("must be less than or equal to {INDEXED_MOST}"));
    }
    if above(&completions, INDEXED_MOST) && per_index.is_set() {
        if !failed.is_set() {
            out.required(&failed, &format!("must be specified when completions is above {INDEXED_MOST}"));
        }
        for one in [&parallelism, &failed].into_iter().filter(|one| above(one, HIGH_MOST)) {
            let text = format!(
                "must be less than or equal to {HIGH_MOST} when completions are above {INDEXED_MOST} \
                 and used with backoff limit per index"
            );
            out.invalid(one, text);
        }
    }
}

fn failure_policy(job: &At<'_, '_>, out: &mut Out) {
    let at = job.get("podFailurePolicy");
    let rules = at.get("rules");
    if rules.len() > RULES_MOST {
        out.push(FieldError::too_many(&rules.path, rules.len(), RULES_MOST));
    }
    for rule in rules.items() {
        let action = rule.get("action");
        match action.text() {
            "" => out.required(&action, &format!("valid values: {}", words(&ACTIONS))),
            "FailIndex" if !job.get("backoffLimitPerIndex").is_set() => {
                out.invalid(&action, "requires the backoffLimitPerIndex to be set");
            }
            _ => out.one_of(&action, &ACTIONS),
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, job, out);
        }
        if conditions.len() > RULES_MOST {
            out.push(FieldError::too_many(&conditions.path, conditions.len(), RULES_MOST));
        }
        for condition in conditions.items() {
            out.form(&condition.get("type"), name::check_qualified);
            let (status, allowed) = (condition.get("status"), ["False", "True", "Unknown"]);
            match status.text() {
                "" => out.required(&status, &format!("valid values: {}", words(&allowed))),
                _ => out.one_of(&status, &allowed),
            }
        }
        let text = match (codes.is_set(), conditions.len() > 0) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        out.push(FieldError::omitted(&rule.path, text));
    }
}

/// Words as Go prints a list of quoted ones.
fn words(list: &[&str]) -> String {
    let quoted: Vec<String> = list.iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", quoted.join(" "))
}

fn exit_codes(at: &At<'_, '_>, job: &At<'_, '_>, out: &mut Out) {
    let (operator, allowed) = (at.get("operator"), ["In", "NotIn"]);
    match operator.text() {
        "" => out.required(&operator, &format!("valid values: {}", words(&allowed))),
        _ => out.one_of(&operator, &allowed),
    }
    let container = at.get("containerName");
    let pod = ["spec", "template", "spec"];
    let named = |list: &str| {
        let containers = job.value.pointer(&format!("/{}/{}/{list}", pod[1], pod[2])).and_then(Value::as_array);
        containers.is_some_and(|all| all.iter().any(|c| meta::text(c, "name") == container.text()))
    };
    if container.is_set() && !named("containers") && !named("initContainers") {
        out.invalid(&container, "must be one of the container or initContainer names in the pod template");
    }
    let values = at.get("values");
    if values.len() == 0 {
        out.invalid(&values, "at least one value is required");
    } else if values.len() > EXIT_CODES_MOST {
        out.push(FieldError::too_many(&values.path, values.len(), EXIT_CODES_MOST));
    }
    let mut seen = BTreeSet::new();
    let mut ordered = true;
    let mut last = i64::MIN;
    for value in values.items() {
        let code = value.int().unwrap_or(0);
        if operator.text() == "In" && code == 0 {
            out.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            out.duplicate(&value);
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        out.invalid(&values, "must be ordered");
    }
}

fn success_policy(job: &At<'_, '_>, out: &mut Out) {
    let at = job.get("successPolicy");
    if !at.is_set() {
        return;
    }
    if job.text_of("completionMode") != "Indexed" {
        out.invalid(&at, "requires indexed completion mode");
        return;
    }
    let rules = at.get("rules");
    if rules.len() == 0 {
        out.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > RULES_MOST {
        out.push(FieldError::too_many(&rules.path, rules.len(), RULES_MOST));
    }
    let completions = job.get("completions").int().unwrap_or(0);
    for rule in rules.items() {
        let (count, listed) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
        if !count.is_set() && !listed.is_set() {
            out.required(&rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if listed.is_set() {
            if listed.text().len() > INDEXES_TEXT_MOST {
                out.push(FieldError::too_long(&listed.path, INDEXES_TEXT_MOST));
            }
            match indexes::count(listed.text(), completions) {
                Ok(found) => total = found,
                Err(fault) => out.invalid(&listed, format!("error parsing succeededIndexes: {fault}")),
            }
        }
        out.nonnegative(&count);
        let above = |most: i64| count.int().is_some_and(|n| n > most);
        let mut most = |most: i64, what: &str| {
            if above(most) {
                out.invalid(&count, format!("must be less than or equal to {most} (the number of {what})"));
            }
        };
        most(completions, "specified completions");
        if listed.is_set() {
            most(total, "indexes in the specified succeededIndexes field");
        }
    }
}

pub(super) fn cron_job(object: &Value, old: Option<&Value>, out: &mut Out) {
    let at = At::root(object, "spec");
    let before = old.map(|old| At::root(old, "spec"));
    let (schedule, zone) = (at.get("schedule"), at.get("timeZone"));
    match schedule.text() {
        "" => out.required(&schedule, ""),
        text => {
            // Old schedules may begin with a time zone.
            let zoned = text.strip_prefix("CRON_TZ=").or(text.strip_prefix("TZ="));
            let times = zoned.and_then(|rest| rest.split_once(' ')).map_or(text, |(_, times)| times);
            if let Err(fault) = cron::Schedule::parse(times) {
                out.invalid(&schedule, fault.to_string());
            }
            let known = before.is_some_and(|b| b.text_of("schedule").contains("TZ"));
            match (text.contains("TZ"), known) {
                (true, true) if zone.is_set() => {
                    out.invalid(&schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
                }
                (true, false) => {
                    out.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
                }
                _ => {}
            }
        }
    }
    out.nonnegative(&at.get("startingDeadlineSeconds"));
    if before.is_none_or(|b| b.get("timeZone").value != zone.value) {
        time_zone(&zone, out);
    }
    out.one_of_required(&at.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = at.get("jobTemplate");
    let job = template.get("spec");
    spec(&job, out);
    if job.get("selector").is_set() {
        out.invalid(&job.get("selector"), "`selector` will be auto-generated");
    }
    if job.get("manualSelector").yes() {
        out.push(FieldError::not_supported(&job.get("manualSelector").path, true, &["nil", "false"]));
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        out.nonnegative(&at.get(field));
    }
    if old.is_none() && meta::name(object).len() > CRON_NAME_MOST {
        let metadata = At::root(object, "metadata");
        out.invalid(&metadata.get("name"), format!("must be no more than {CRON_NAME_MOST} characters"));
    }
}

fn time_zone(at: &At<'_, '_>, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    match at.text() {
        "" => out.invalid(at, "timeZone must be nil or non-empty string"),
        text if !text.split('/').all(zone_part) => out.invalid(at, format!("unknown time zone {text}")),
        text if text.eq_ignore_ascii_case("local") => {
            out.invalid(at, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
        }
        _ => {}
    }
}

/// The shape of a part of a name in the time zone database.
fn zone_part(part: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    matches!(part.len(), 1..=14) && part.bytes().all(allowed) && !matches!(part, "." | "..") && !part.starts_with('-')
}
