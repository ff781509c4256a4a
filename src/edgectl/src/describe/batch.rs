//! Pages of jobs, cron jobs and autoscalers.
//!
//! In: an object. Out: lines. Never asks for the time: what lasts is told by the object's own times.

use kedge_api::clock;
use serde_json::Value;

use super::kinds::{both, controller, template};
use super::page::{Page, items, moment, or_unset, selector, words};

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
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64() {
        page.line(0, "Active Deadline Seconds", format!("{seconds}s"));
    }
    let n = |field: &str| status[field].as_i64().unwrap_or(0);
    let ready = status["ready"].as_i64().map(|ready| format!(" ({ready} Ready)")).unwrap_or_default();
    page.line(
        0,
        "Pods Statuses",
        format!("{} Active{ready} / {} Succeeded / {} Failed", n("active"), n("succeeded"), n("failed")),
    );
    if spec["completionMode"] == "Indexed" {
        page.line(0, "Completed Indexes", words(&status["completedIndexes"]));
    }
    template(&spec["template"], page);
}

/// A CronJob.
pub fn cron_job(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let job = &spec["jobTemplate"]["spec"];
    both(object, page);
    page.line(0, "Schedule", words(&spec["schedule"]));
    page.some(0, "Time Zone", &spec["timeZone"]);
    page.line(0, "Concurrency Policy", words(&spec["concurrencyPolicy"]));
    page.line(0, "Suspend", if spec["suspend"] == true { "True" } else { "False" });
    page.line(0, "Successful Job History Limit", or_unset(&spec["successfulJobsHistoryLimit"]));
    page.line(0, "Failed Job History Limit", or_unset(&spec["failedJobsHistoryLimit"]));
    let deadline = spec["startingDeadlineSeconds"].as_i64();
    page.line(0, "Starting Deadline Seconds", deadline.map_or("<unset>".to_owned(), |seconds| format!("{seconds}s")));
    let wanted = if job["selector"].is_null() { "<unset>".to_owned() } else { selector(&job["selector"]) };
    page.line(0, "Selector", wanted);
    page.line(0, "Parallelism", or_unset(&job["parallelism"]));
    page.line(0, "Completions", or_unset(&job["completions"]));
    template(&job["template"], page);
    let last = &status["lastScheduleTime"];
    page.line(0, "Last Schedule Time", if last.is_null() { "<unset>".to_owned() } else { moment(last) });
    let active: Vec<String> = items(&status["active"]).map(|job| words(&job["name"])).collect();
    page.line(0, "Active Jobs", active.join(", "));
}

/// A HorizontalPodAutoscaler (`autoscaling/v2`).
pub fn autoscaler(object: &Value, page: &mut Page) {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    both(object, page);
    page.line(0, "CreationTimestamp", moment(&object["metadata"]["creationTimestamp"]));
    page.line(0, "Reference", format!("{}/{}", words(&target["kind"]), words(&target["name"])));
    page.line(0, "Metrics", "( current / target )");
    for metric in items(&spec["metrics"]) {
        let (name, value) = measured(metric, &status["currentMetrics"]);
        page.line(1, &name, value);
    }
    page.line(0, "Min replicas", or_unset(&spec["minReplicas"]));
    page.line(0, "Max replicas", words(&spec["maxReplicas"]));
    if !spec["behavior"].is_null() {
        page.head(0, "Behavior");
        for (name, field) in [("Scale Up", "scaleUp"), ("Scale Down", "scaleDown")] {
            rules(name, &spec["behavior"][field], page);
        }
    }
    let n = |field: &str| status[field].as_i64().unwrap_or(0);
    let counts = format!("{} current / {} desired", n("currentReplicas"), n("desiredReplicas"));
    page.line(0, &format!("{} pods", words(&target["kind"])), counts);
    let rows: Vec<Vec<String>> = items(&status["conditions"])
        .map(|c| ["type", "status", "reason", "message"].map(|field| words(&c[field])).to_vec())
        .collect();
    if !rows.is_empty() {
        page.head(0, "Conditions");
        page.table(1, &["Type", "Status", "Reason", "Message"], &rows);
    }
}

fn rules(name: &str, rules: &Value, page: &mut Page) {
    if rules.is_null() {
        return;
    }
    page.head(1, name);
    if let Some(seconds) = rules["stabilizationWindowSeconds"].as_i64() {
        page.raw(2, format!("Stabilization Window: {seconds} seconds"));
    }
    if items(&rules["policies"]).next().is_some() {
        page.raw(2, format!("Select Policy: {}", rules["selectPolicy"].as_str().unwrap_or("Max")));
        page.raw(2, "Policies:");
        for policy in items(&rules["policies"]) {
            let [of, value, period] = ["type", "value", "periodSeconds"].map(|field| words(&policy[field]));
            page.raw(3, format!("- Type: {of}  Value: {value}  Period: {period} seconds"));
        }
    }
}

/// The title of a metric, and what it is and shall be.
fn measured(metric: &Value, current: &Value) -> (String, String) {
    let of = metric["type"].as_str().unwrap_or("");
    let mut field = of.to_owned();
    field.get_mut(..1).map(str::make_ascii_lowercase);
    let source = &metric[&field];
    let name = |source: &Value| {
        let metric = source.get("metric").map_or(&source["name"], |metric| &metric["name"]);
        (metric.clone(), source["container"].clone(), source["describedObject"]["name"].clone())
    };
    let seen = items(current).find(|one| one["type"] == *of && name(&one[&field]) == name(source));
    let seen = seen.map_or(&Value::Null, |one| &one[&field]["current"]);
    let (title, target) = (words(&name(source).0), &source["target"]);
    let known = |value: &Value| if value.is_null() { "<unknown>".to_owned() } else { words(value) };
    let (kind, shown) = if target["averageUtilization"].is_null() {
        let which = if target["averageValue"].is_null() { "value" } else { "averageValue" };
        (which, format!("{} / {}", known(&seen[which]), words(&target[which])))
    } else {
        let wanted = words(&target["averageUtilization"]);
        let now = match seen["averageUtilization"].as_i64() {
            Some(now) => format!("{now}% ({})", words(&seen["averageValue"])),
            None => "<unknown>".to_owned(),
        };
        ("averageUtilization", format!("{now} / {wanted}%"))
    };
    let share = if kind == "averageUtilization" { "  (as a percentage of request)" } else { "" };
    let average = if kind == "averageValue" { "target average value" } else { "target value" };
    let title = match of {
        "Resource" => format!("resource {title} on pods{share}"),
        "ContainerResource" => {
            format!("resource {title} of container \"{}\" on pods{share}", words(&source["container"]))
        }
        "Pods" => format!("\"{title}\" on pods"),
        "Object" => {
            let object = &source["describedObject"];
            format!("\"{title}\" on {}/{} ({average})", words(&object["kind"]), words(&object["name"]))
        }
        "External" => format!("\"{title}\" ({average})"),
        other => format!("<unknown metric type \"{other}\">"),
    };
    (title, shown)
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
            "Selector:         a=b\nLabels:           <none>\nAnnotations:      <none>\nParallelism:      1\nCompletions:      2\nCompletion Mode:  NonIndexed\nSuspend:          false\nBackoff Limit:    6\nStart Time:       Mon, 30 Nov 2026 10:00:00 +0000\nCompleted At:     Mon, 30 Nov 2026 10:01:05 +0000\nDuration:         65s\nPods Statuses:    0 Active (0 Ready) / 2 Succeeded / 0 Failed\nPod Template:\n  Labels:          <none>\n  Volumes:         <none>\n  Node-Selectors:  <none>\n  Tolerations:     <none>\n",
        );
    }

    #[test]
    fn what_a_cron_job_leaves_open_is_unset() {
        let object = json!({"metadata": {}, "spec": {"schedule": "* * * * *", "concurrencyPolicy": "Allow",
            "jobTemplate": {"spec": {}}}, "status": {"active": [{"name": "a"}, {"name": "b"}]}});
        let mut made = Page::default();
        cron_job(&object, &mut made);
        let text = made.text();
        for line in ["Starting Deadline Seconds:     <unset>", "Last Schedule Time:            <unset>", "a, b"] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn metrics_are_told_as_they_are_and_shall_be() {
        let resource = |target: Value| json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
        let now = json!([{"type": "Resource", "resource": {"name": "cpu",
            "current": {"averageUtilization": 20, "averageValue": "10m"}}}]);
        let external = json!({"type": "External",
            "external": {"metric": {"name": "queue"}, "target": {"averageValue": "30"}}});
        for (metric, now, title, shown) in [
            (
                resource(json!({"averageUtilization": 50})),
                json!([]),
                "resource cpu on pods  (as a percentage of request)",
                "<unknown> / 50%",
            ),
            (
                resource(json!({"averageUtilization": 50})),
                now.clone(),
                "resource cpu on pods  (as a percentage of request)",
                "20% (10m) / 50%",
            ),
            (resource(json!({"averageValue": "1"})), now, "resource cpu on pods", "10m / 1"),
            (external, json!(null), "\"queue\" (target average value)", "<unknown> / 30"),
        ] {
            assert_eq!(measured(&metric, &now), (title.to_owned(), shown.to_owned()));
        }
    }
}
