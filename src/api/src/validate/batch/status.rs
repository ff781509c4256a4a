//! What a Job's status may say after what it said.
//!
//! In: a Job with its new status, and the old one. Out: faults. Most rules hold only where what they look at changed:
//! whoever finds a broken status can still mend the rest of it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::indexes;
use crate::clock;
use crate::field::FieldError;
use crate::meta;
use crate::validate::at::{At, Out};

/// The Job has this condition, and it is true.
pub(super) fn is_true(job: &Value, kind: &str) -> bool {
    has(job, kind, "True")
}

fn has(job: &Value, kind: &str, status: &str) -> bool {
    let conditions = meta::list_at(job, &["status", "conditions"]);
    conditions.iter().any(|c| meta::text(c, "type") == kind && meta::text(c, "status") == status)
}

fn finished(job: &Value) -> bool {
    is_true(job, "Complete") || is_true(job, "Failed")
}

/// A Job's old and new status, and what changed between them.
struct Change<'v> {
    new: &'v Value,
    old: &'v Value,
}

impl Change<'_> {
    fn of(&self, field: &str) -> bool {
        let value = |job: &'_ Value| meta::at(job, &["status", field]).cloned().unwrap_or(Value::Null);
        let zero = |value: &Value| value.is_null() || value == 0 || value == "";
        let (a, b) = (value(self.new), value(self.old));
        a != b && !(zero(&a) && zero(&b))
    }

    fn condition(&self, kind: &str) -> bool {
        is_true(self.new, kind) != is_true(self.old, kind)
    }

    fn finished(&self) -> bool {
        finished(self.new) != finished(self.old)
    }
}

pub(crate) fn job(new: &Value, old: &Value, out: &mut Out) {
    let at = At::root(new, "status");
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        out.nonnegative(&at.get(field));
    }
    uncounted(&at, out);
    let change = Change { new, old };
    ends(&change, &at, out);
    finish(&change, &at, out);
    lists(&change, &at, out);
    let count = |field: &str| at.get(field).int().unwrap_or(0);
    if (change.finished() || change.of("terminating")) && count("terminating") > 0 && finished(new) {
        out.invalid(&at.get("terminating"), "terminating>0 is invalid for finished job");
    }
    if (change.of("ready") || change.of("active")) && count("ready") > count("active") {
        out.invalid(&at.get("ready"), "cannot set more ready pods than active");
    }
    success(new, &at, out);
    back(&change, &at, out);
}

/// UIDs of pods whose end is not counted yet.
fn uncounted(status: &At<'_, '_>, out: &mut Out) {
    let at = status.get("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for uid in at.get(list).items() {
            if uid.text().is_empty() {
                out.invalid(&uid, "must not be empty");
            } else if !seen.insert(uid.text()) {
                out.duplicate(&uid);
            }
        }
    }
}

fn conditions(at: &At<'_, '_>, text: &str, out: &mut Out) {
    out.push(FieldError::omitted(&at.get("conditions").path, text));
}

/// Conditions and the time of completion agree.
fn ends(change: &Change<'_>, at: &At<'_, '_>, out: &mut Out) {
    let complete = is_true(change.new, "Complete");
    let (start, end) = (at.get("startTime"), at.get("completionTime"));
    let completed = change.condition("Complete");
    if (completed || change.condition("Failed")) && complete && is_true(change.new, "Failed") {
        conditions(at, "cannot set Complete=True and Failed=true conditions", out);
    }
    if (completed || change.condition("FailureTarget")) && complete && is_true(change.new, "FailureTarget") {
        conditions(at, "cannot set Complete=True and FailureTarget=true conditions", out);
    }
    if completed || change.of("completionTime") {
        if end.is_set() && !complete {
            out.invalid(&end, "cannot set completionTime when there is no Complete=True condition");
        }
        if !end.is_set() && complete {
            out.required(&end, "completionTime is required for Complete jobs");
        }
    }
    if change.of("startTime") || change.of("completionTime") {
        let times = (clock::parse(start.text()), clock::parse(end.text()));
        if let (Some(start), Some(finish)) = times
            && finish < start
        {
            out.invalid(&end, "must be equal to or after `startTime`");
        }
    }
    if (change.condition("Failed") || change.of("failedIndexes"))
        && is_true(change.new, "Failed")
        && !is_true(change.new, "FailureTarget")
    {
        conditions(at, "cannot set Failed=True condition without the FailureTarget=true condition", out);
    }
    if (completed || change.condition("SuccessCriteriaMet")) && complete && !is_true(change.new, "SuccessCriteriaMet") {
        conditions(at, "cannot set Complete=True condition without the SuccessCriteriaMet=true condition", out);
    }
}

/// A finished Job has started, and has no pods left.
fn finish(change: &Change<'_>, at: &At<'_, '_>, out: &mut Out) {
    if !finished(change.new) {
        return;
    }
    let now = change.finished();
    let (active, start, uncounted) = (at.get("active"), at.get("startTime"), at.get("uncountedTerminatedPods"));
    if (now || change.of("active")) && active.int().unwrap_or(0) > 0 {
        out.invalid(&active, "active>0 is invalid for finished job");
    }
    let spec = At::root(change.new, "spec");
    let idle = spec.get("suspend").yes() && spec.get("completions").int() == Some(0);
    if (now || change.of("startTime")) && !idle && !start.is_set() {
        out.required(&start, "startTime is required for finished job");
    }
    let left = uncounted.get("failed").len() + uncounted.get("succeeded").len();
    if (now || change.of("uncountedTerminatedPods")) && left > 0 {
        out.invalid(&uncounted, "must be empty for finished job");
    }
}

/// Lists of completed and of failed indexes.
fn lists(change: &Change<'_>, at: &At<'_, '_>, out: &mut Out) {
    let spec = At::root(change.new, "spec");
    let completions = spec.get("completions").int();
    let (done, failed) = (at.get("completedIndexes"), at.get("failedIndexes"));
    let (done_changed, failed_changed) = (change.of("completedIndexes"), change.of("failedIndexes"));
    let limited = spec.get("backoffLimitPerIndex").is_set();
    let readable = |list: &At<'_, '_>, field: &str, out: &mut Out| {
        if let Some(Err(fault)) = completions.map(|n| indexes::count(list.text(), n)) {
            out.invalid(list, format!("error parsing {field}: {fault}"));
        }
    };
    if done_changed {
        readable(&done, "completedIndexes", out);
    }
    if failed_changed && limited && failed.is_set() {
        readable(&failed, "failedIndexes", out);
    }
    if done_changed && !done.text().is_empty() && spec.text_of("completionMode") != "Indexed" {
        out.invalid(&done, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && !limited && failed.is_set() {
        out.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (done_changed || failed_changed)
        && let Some(index) = completions.and_then(|n| indexes::overlap(done.text(), failed.text(), n))
    {
        out.invalid(&failed, format!("failedIndexes and completedIndexes overlap at index: {index}"));
    }
}

/// `SuccessCriteriaMet` beside the other conditions.
fn success(new: &Value, at: &At<'_, '_>, out: &mut Out) {
    let met = is_true(new, "SuccessCriteriaMet");
    if met && is_true(new, "Failed") {
        conditions(at, "cannot set SuccessCriteriaMet=True and Failed=true conditions", out);
    }
    if met && is_true(new, "FailureTarget") {
        conditions(at, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions", out);
    }
    if !met && is_true(new, "Complete") && meta::at(new, &["spec", "successPolicy"]).is_some() {
        let text = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
        conditions(at, text, out);
    }
}

/// What is over stays over, and what was counted stays counted.
fn back(change: &Change<'_>, at: &At<'_, '_>, out: &mut Out) {
    let (new, old) = (change.new, change.old);
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(new, kind) {
            conditions(at, &format!("cannot disable the terminal {kind}=True condition"), out);
        }
    }
    let spec = At::root(new, "spec");
    let elastic =
        spec.text_of("completionMode") == "Indexed" && spec.get("completions").value == spec.get("parallelism").value;
    for (field, text) in
        [("failed", "cannot decrease the failed counter"), ("succeeded", "cannot decrease the succeeded counter")]
    {
        let now = at.get(field);
        let (count, before) = (now.int().unwrap_or(0), meta::int_at(old, &["status", field]).unwrap_or(0));
        if count < before && !(field == "succeeded" && elastic) {
            out.push(FieldError::invalid(&now.path, count, text));
        }
    }
    let old_status = At::root(old, "status");
    let (end, start) = (at.get("completionTime"), at.get("startTime"));
    let (old_end, old_start) = (old_status.get("completionTime"), old_status.get("startTime"));
    if end.is_set() && old_end.is_set() && end.value != old_end.value {
        out.invalid(&end, "field is immutable");
    }
    let resuming = is_true(old, "Suspended") && has(new, "Suspended", "False");
    if change.of("startTime") && !resuming && old_start.is_set() && !spec.get("suspend").yes() {
        out.invalid(&start, "field is immutable for unsuspended job once set");
    }
    if is_true(old, "SuccessCriteriaMet") && !is_true(new, "SuccessCriteriaMet") {
        conditions(at, "cannot disable the SuccessCriteriaMet=True condition", out);
    }
    if is_true(old, "Complete") && !is_true(old, "SuccessCriteriaMet") && is_true(new, "SuccessCriteriaMet") {
        let text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        conditions(at, text, out);
    }
}
