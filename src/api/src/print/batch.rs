//! Jobs and CronJobs in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, containers, images, name, selector};
use super::text::{self, NONE, UNSET, condition, int, or, selector_text, template};
use crate::Object;
use crate::clock;
use crate::meta::{self, at, int_at, list_at, text_at};

const JOB: &[Column] = &[
    name(),
    Column::text("Status", "Status of the job."),
    Column::text("Completions", "Pods that have succeeded, of those that must."),
    Column::text("Duration", "Time required to complete the job."),
    age(),
    containers(),
    images(),
    selector(),
];

const CRON: &[Column] = &[
    name(),
    Column::text("Schedule", "When the job runs, in cron's form."),
    Column::text("Timezone", "The time zone of the schedule."),
    Column::bool("Suspend", "No further runs are started."),
    Column::int("Active", "Jobs that run now."),
    Column::text("Last Schedule", "How long ago a job was last started."),
    age(),
    containers(),
    images(),
    selector(),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    match kind {
        "Job" => Some(Printer { columns: JOB, cells: job }),
        "CronJob" => Some(Printer { columns: CRON, cells: cron }),
        _ => None,
    }
}

fn job(object: &Object, now: SystemTime) -> Vec<Value> {
    let succeeded = int(object, &["status", "succeeded"]);
    let completions = match int_at(object, &["spec", "completions"]) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None => match int(object, &["spec", "parallelism"]) {
            parallel if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
            _ => format!("{succeeded}/1"),
        },
    };
    let start = text_at(object, &["status", "startTime"]);
    let end = clock::parse(text_at(object, &["status", "completionTime"])).unwrap_or(now);
    let duration = clock::seconds_since(end, start).map(clock::human).unwrap_or_default();
    let mut cells = vec![
        meta::name(object).into(),
        job_status(object).into(),
        completions.into(),
        duration.into(),
        text::age(object, now),
    ];
    cells.extend(text::containers(template(object)));
    cells.push(selector_text(at(object, &["spec", "selector"])).into());
    cells
}

fn job_status(object: &Object) -> &'static str {
    let holds = |kind: &str| condition(object, kind).is_some_and(|c| meta::text(c, "status") == "True");
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if meta::deletion_timestamp(object).is_some() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn cron(object: &Object, now: SystemTime) -> Vec<Value> {
    let last = text_at(object, &["status", "lastScheduleTime"]);
    let suspend = match at(object, &["spec", "suspend"]).and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    };
    let job = at(object, &["spec", "jobTemplate", "spec"]);
    let mut cells = vec![
        meta::name(object).into(),
        text_at(object, &["spec", "schedule"]).into(),
        or(text_at(object, &["spec", "timeZone"]), NONE).into(),
        suspend.into(),
        list_at(object, &["status", "active"]).len().into(),
        if last.is_empty() { NONE.to_string() } else { clock::age(now, last) }.into(),
        text::age(object, now),
    ];
    cells.extend(text::containers(job.and_then(|j| at(j, &["template", "spec"]))));
    cells.push(selector_text(job.and_then(|j| at(j, &["selector"]))).into());
    cells
}
