//! Jobs and CronJobs.
//!
//! In: an object, on update also the old one. Out: faults.

use serde_json::Value;

use super::at::{At, IMMUTABLE, Out};
use super::pod;
use crate::cron;
use crate::field::FieldError;
use crate::meta;
use crate::selector::LabelSelector;

/// A Job's name gets 11 characters appended to its CronJob's, and must stay a label.
const CRON_NAME_MOST: usize = 52;
/// Most completions of an indexed Job that bounds failures for each index.
const INDEXED_MOST: i64 = 100_000;

pub(super) fn job(object: &Value, old: Option<&Value>, out: &mut Out) {
    let at = At::root(object, "spec");
    spec(&at, out);
    if !at.get("selector").is_set() {
        out.required(&at.get("selector"), "");
    } else if let Some(selector) = out.selector(&at.get("selector")) {
        owned(object, &at, &selector, out);
    }
    let Some(old) = old else { return };
    let before = At::root(old, "spec");
    let indexed = at.text_of("completionMode") == "Indexed";
    let completions = at.get("completions");
    let elastic = indexed && completions.value == at.get("parallelism").value;
    if !elastic {
        out.immutable(&completions, before.get("completions").value);
    }
    for field in
        ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        out.immutable(&at.get(field), before.get(field).value);
    }
    template_update(&at, &before, old, out);
}

/// A suspended Job that never ran may still say where its pods go; nothing else of the template changes.
fn template_update(at: &At<'_, '_>, before: &At<'_, '_>, old: &Value, out: &mut Out) {
    let (new, kept) = (at.get("template"), before.get("template"));
    if new.value == kept.value {
        return;
    }
    let waiting = before.get("suspend").yes() && meta::text_at(old, &["status", "startTime"]).is_empty();
    let strip = |template: &Value| {
        let mut copy = template.clone();
        for path in ["/spec", "/metadata"] {
            if let Some(map) = copy.pointer_mut(path).and_then(Value::as_object_mut) {
                for field in ["nodeSelector", "affinity", "tolerations", "schedulingGates", "labels", "annotations"] {
                    map.remove(field);
                }
            }
        }
        copy
    };
    if !waiting || strip(new.value) != strip(kept.value) {
        out.invalid(&new, IMMUTABLE);
    }
}

/// The selector and the template's labels belong to this Job alone.
fn owned(object: &Value, at: &At<'_, '_>, selector: &LabelSelector, out: &mut Out) {
    let (template, selector_at) = (at.get("template"), at.get("selector"));
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if !selector.matches(labels.value) {
        out.invalid(&labels, "`selector` does not match template `labels`");
    }
    if at.get("manualSelector").yes() {
        return;
    }
    for (key, wanted) in [
        ("batch.kubernetes.io/controller-uid", meta::uid(object)),
        ("controller-uid", meta::uid(object)),
        ("batch.kubernetes.io/job-name", meta::name(object)),
        ("job-name", meta::name(object)),
    ] {
        let label = labels.key(key);
        if !label.is_set() {
            out.required(&label, &format!("must be '{wanted}'"));
        } else if label.text() != wanted {
            out.push(FieldError::invalid(&label.path, labels.value.clone(), format!("must be '{wanted}'")));
        }
    }
    let generated = |r: &crate::selector::Requirement| {
        matches!(r.key(), "controller-uid" | "batch.kubernetes.io/controller-uid") && r.values() == [meta::uid(object)]
    };
    if !selector.requirements().iter().any(generated) {
        out.invalid(&selector_at, "`selector` not auto-generated");
    }
}

fn spec(at: &At<'_, '_>, out: &mut Out) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        out.nonnegative(&at.get(field));
    }
    out.one_of(&at.get("completionMode"), &["Indexed", "NonIndexed"]);
    let completions = at.get("completions");
    let indexed = at.text_of("completionMode") == "Indexed";
    if indexed && !completions.is_set() {
        out.required(&completions, "when completion mode is Indexed");
    }
    for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        let one = at.get(field);
        if one.is_set() && !indexed {
            out.invalid(&one, "requires indexed completion mode");
        }
    }
    if at.get("backoffLimitPerIndex").is_set() && completions.int().unwrap_or(0) > INDEXED_MOST {
        let most = format!("must be less than or equal to {INDEXED_MOST} when backoffLimitPerIndex is specified");
        out.invalid(&completions, most);
    }
    out.one_of(&at.get("podReplacementPolicy"), &["Failed", "TerminatingOrFailed"]);
    failure_policy(&at.get("podFailurePolicy"), at, out);
    success_policy(&at.get("successPolicy"), indexed, out);
    let template = at.get("template");
    pod::template(&template, out);
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    match policy.text() {
        "OnFailure" | "Never" => {}
        "" | "Always" => out.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        _ => out.one_of(&policy, &["OnFailure", "Never"]),
    }
    if at.get("podFailurePolicy").is_set() && policy.text() != "Never" {
        out.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
    }
}

fn failure_policy(at: &At<'_, '_>, job: &At<'_, '_>, out: &mut Out) {
    for rule in at.get("rules").items() {
        let action = rule.get("action");
        out.one_of_required(&action, &["Count", "FailIndex", "FailJob", "Ignore"]);
        if action.text() == "FailIndex" && !job.get("backoffLimitPerIndex").is_set() {
            out.invalid(&action, "requires the backoffLimitPerIndex to be set");
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        match (codes.is_set(), conditions.len() > 0) {
            (true, true) => out.invalid(&rule, "specifying both OnExitCodes and OnPodConditions is not supported"),
            (false, false) => out.invalid(&rule, "specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
        if codes.is_set() {
            out.one_of_required(&codes.get("operator"), &["In", "NotIn"]);
            let values = codes.get("values");
            if values.len() == 0 {
                out.invalid(&values, "at least one value is required");
            }
            let zero = values.items().any(|v| v.int() == Some(0));
            if zero && codes.text_of("operator") == "In" {
                out.invalid(&values, "must not be 0 for the In operator");
            }
        }
        for condition in conditions.items() {
            out.filled_form(&condition.get("type"), crate::name::check_qualified);
            out.one_of(&condition.get("status"), &["False", "True", "Unknown"]);
        }
    }
}

fn success_policy(at: &At<'_, '_>, indexed: bool, out: &mut Out) {
    if !at.is_set() {
        return;
    }
    if !indexed {
        out.invalid(at, "requires indexed completion mode");
    }
    let rules = at.get("rules");
    if rules.len() == 0 {
        out.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    for rule in rules.items() {
        if !rule.get("succeededCount").is_set() && !rule.get("succeededIndexes").is_set() {
            out.required(&rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        out.nonnegative(&rule.get("succeededCount"));
    }
}

pub(super) fn cron_job(object: &Value, out: &mut Out) {
    if meta::name(object).len() > CRON_NAME_MOST {
        let at = At::root(object, "metadata");
        out.invalid(&at.get("name"), format!("must be no more than {CRON_NAME_MOST} characters"));
    }
    let at = At::root(object, "spec");
    let schedule = at.get("schedule");
    if schedule.text().is_empty() {
        out.required(&schedule, "");
    } else if schedule.text().contains("TZ") {
        out.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if let Err(fault) = cron::Schedule::parse(schedule.text()) {
        out.invalid(&schedule, fault.to_string());
    }
    let zone = at.get("timeZone");
    if zone.is_set() {
        match zone.text() {
            "" => out.invalid(&zone, "timeZone must be nil or non-empty string"),
            text if text.eq_ignore_ascii_case("local") => {
                out.invalid(
                    &zone,
                    "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
                );
            }
            text if !zone_name(text) => out.invalid(&zone, format!("unknown time zone {text}")),
            _ => {}
        }
    }
    out.one_of(&at.get("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        out.nonnegative(&at.get(field));
    }
    let template = at.get("jobTemplate");
    let job = template.get("spec");
    spec(&job, out);
    if job.get("manualSelector").yes() {
        out.push(FieldError::not_supported(&job.get("manualSelector").path, true, &["nil", "false"]));
    }
    if job.get("selector").is_set() {
        out.invalid(&job.get("selector"), "`selector` will be auto-generated");
    }
}

/// The shape of a name in the time zone database.
fn zone_name(text: &str) -> bool {
    let part = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b));
    text.split('/').all(part)
}
