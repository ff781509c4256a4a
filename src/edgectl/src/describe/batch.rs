//! Pages of jobs and cron jobs.
//!
//! In: an object. Out: lines. Never asks for the time: what lasts is told by the object's own times.

use kedge_api::clock;
use serde_json::Value;

use super::kinds::{both, controller};
use super::page::Page;
use super::pod::template;
use super::values::{items, moment, number, or_none, or_unset, selector, truth, words};

/// About how long a list of indexes may be.
const INDEXES: usize = 50;

/// A Job.
pub fn job(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    page.line(0, "Selector", selector(&spec["selector"]));
    both(object, page);
    controller(object, page);
    page.some(0, "Parallelism", &spec["parallelism"]);
    page.line(0, "Completions", or_unset(&spec["completions"]));
    page.some(0, "Completion Mode", &spec["completionMode"]);
    page.some(0, "Suspend", &spec["suspend"]);
    page.some(0, "Backoff Limit", &spec["backoffLimit"]);
    page.some(0, "TTL Seconds After Finished", &spec["ttlSecondsAfterFinished"]);
    for (name, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
        if !status[field].is_null() {
            page.line(0, name, moment(&status[field]));
        }
    }
    let times = ["startTime", "completionTime"].map(|field| status[field].as_str().and_then(clock::parse));
    if let [Some(start), Some(end)] = times {
        let seconds = end.duration_since(start).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
        page.line(0, "Duration", clock::human(seconds));
    }
    deadline(spec, page);
    let [active, succeeded, failed] = ["active", "succeeded", "failed"].map(|field| number(&status[field]));
    let ready = status["ready"].as_i64().map(|ready| format!(" ({ready} Ready)")).unwrap_or_default();
    page.line(0, "Pods Statuses", format!("{active} Active{ready} / {succeeded} Succeeded / {failed} Failed"));
    if spec["completionMode"] == "Indexed" {
        page.line(0, "Completed Indexes", indexes(&words(&status["completedIndexes"])));
    }
    template(&spec["template"], page);
}

fn deadline(spec: &Value, page: &mut Page) {
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        page.line(0, "Active Deadline Seconds", format!("{seconds}s"));
    }
}

/// The first indexes of a list, and dots for the others.
fn indexes(all: &str) -> String {
    let comma = all.bytes().enumerate().skip(INDEXES).find(|(_, byte)| *byte == b',').map(|(at, _)| at);
    match comma {
        Some(at) => format!("{},...", &all[..at]),
        None => or_none(all),
    }
}

/// A CronJob.
pub fn cron_job(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let job = &spec["jobTemplate"]["spec"];
    both(object, page);
    page.line(0, "Schedule", words(&spec["schedule"]));
    page.line(0, "Concurrency Policy", words(&spec["concurrencyPolicy"]));
    page.line(0, "Suspend", truth(&spec["suspend"]));
    page.line(0, "Time Zone", or_unset(&spec["timeZone"]));
    page.line(0, "Successful Job History Limit", or_unset(&spec["successfulJobsHistoryLimit"]));
    page.line(0, "Failed Job History Limit", or_unset(&spec["failedJobsHistoryLimit"]));
    let starting = spec["startingDeadlineSeconds"].as_i64();
    page.line(0, "Starting Deadline Seconds", starting.map_or("<unset>".to_owned(), |seconds| format!("{seconds}s")));
    let chosen = &job["selector"];
    page.line(0, "Selector", if chosen.is_null() { "<unset>".to_owned() } else { selector(chosen) });
    page.line(0, "Parallelism", or_unset(&job["parallelism"]));
    page.line(0, "Completions", or_unset(&job["completions"]));
    deadline(job, page);
    template(&job["template"], page);
    let last = &status["lastScheduleTime"];
    page.line(0, "Last Schedule Time", if last.is_null() { "<unset>".to_owned() } else { moment(last) });
    let active: Vec<String> = items(&status["active"]).map(|job| words(&job["name"])).collect();
    page.line(0, "Active Jobs", or_none(active.join(", ")));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::describe::page;

    #[test]
    fn a_job_tells_how_far_it_is() {
        let object = json!({"metadata": {"name": "pi"}, "spec": {"parallelism": 1, "completions": 2,
                "completionMode": "NonIndexed", "suspend": false, "backoffLimit": 6,
                "selector": {"matchLabels": {"a": "b"}},
                "template": {"spec": {"containers": []}}},
            "status": {"startTime": "2026-11-30T10:00:00Z", "completionTime": "2026-11-30T10:01:05Z", "succeeded": 2,
                "ready": 0}});
        page::check(
            |page| job(&object, page),
            "Selector:         a=b\nLabels:           <none>\nAnnotations:      <none>\nParallelism:      1\nCompletions:      2\nCompletion Mode:  NonIndexed\nSuspend:          false\nBackoff Limit:    6\nStart Time:       Mon, 30 Nov 2026 10:00:00 +0000\nCompleted At:     Mon, 30 Nov 2026 10:01:05 +0000\nDuration:         65s\nPods Statuses:    0 Active (0 Ready) / 2 Succeeded / 0 Failed\nPod Template:\n  Labels:  <none>\n  Containers: <none>\n  Volumes:         <none>\n  Node-Selectors:  <none>\n  Tolerations:     <none>\n",
        );
    }

    #[test]
    fn what_a_cron_job_leaves_open_is_unset() {
        let object = json!({"metadata": {}, "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Allow",
            "jobTemplate": {"spec": {}}}, "status": {"active": [{"name": "a"}, {"name": "b"}]}});
        let mut made = Page::default();
        cron_job(&object, &mut made);
        let text = made.text();
        for line in [
            "Time Zone:                     <unset>",
            "Starting Deadline Seconds:     <unset>",
            "Last Schedule Time:  <unset>",
            "a, b",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn long_lists_of_indexes_are_cut_at_a_comma() {
        assert_eq!(indexes(""), "<none>");
        assert_eq!(indexes("0-3,5"), "0-3,5");
        let long = (100..130).map(|i| i.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(indexes(&long), format!("{},...", &long[..51]));
    }
}
