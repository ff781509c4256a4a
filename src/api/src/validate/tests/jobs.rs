//! Rules of jobs and their schedules, in Kubernetes' own words.

use serde_json::{Value, json};

use super::*;

fn job(spec: Value) -> Value {
    let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (key, value) in spec.as_object().unwrap() {
        job["spec"][key] = value.clone();
    }
    crate::strategy::prepare_create(&kind("batch/v1", "Job"), &mut job);
    job
}

#[track_caller]
fn jobs(spec: Value, expected: &[&str]) {
    check("batch/v1", "Job", job(spec), expected);
}

#[test]
fn what_jobs_say() {
    jobs(
        json!({"maxFailedIndexes": 1, "managedBy": "me"}),
        &[
            "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
            "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")",
            "spec.maxFailedIndexes: Invalid value: 1: requires indexed completion mode",
        ],
    );
    jobs(
        json!({"completionMode": "Indexed", "completions": 200_000, "parallelism": 20_000, "backoffLimitPerIndex": 1}),
        &[
            "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000",
            "spec.parallelism: Invalid value: 20000: must be less than or equal to 10000 when completions are above 100000 and used with backoff limit per index",
        ],
    );
    jobs(
        json!({"podFailurePolicy": {"rules": [{"action": "FailIndex", "onExitCodes": {"operator": "In", "containerName": "z", "values": [3, 0, 0]}}, {"action": "x"}]}}),
        &[
            "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
            "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"z\": must be one of the container or initContainer names in the pod template",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Invalid value: 0: must not be 0 for the In operator",
            "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 0",
            "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0,0]: must be ordered",
            "spec.podFailurePolicy.rules[1].action: Unsupported value: \"x\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
            "spec.podFailurePolicy.rules[1]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
        ],
    );
    jobs(
        json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}, {"succeededIndexes": "2,1"}, {}]}}),
        &[
            "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
            "spec.successPolicy.rules[1].succeededIndexes: Invalid value: \"2,1\": error parsing succeededIndexes: non-increasing order, previous: 2, current: 1",
            "spec.successPolicy.rules[2]: Required value: at least one of succeededCount or succeededIndexes must be specified",
        ],
    );
    let mut long = job(json!({"completionMode": "Indexed", "completions": 11, "manualSelector": true,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}));
    meta::set_name(&mut long, "not.a.label");
    check(
        "batch/v1",
        "Job",
        long,
        &[
            "metadata.name: Invalid value: \"not.a.label\": will not able to create pod with invalid DNS label: not.a.label-10",
        ],
    );
    let mut foreign = job(json!({}));
    foreign["spec"]["template"]["metadata"]["labels"]["job-name"] = json!("other");
    check("batch/v1", "Job", foreign, &["spec.template.metadata.labels[job-name]: Invalid value: {..."]);
}

#[test]
fn what_of_jobs_changes() {
    let change = |old: Value, new: Value, expected: &[&str]| {
        check_update("batch/v1", "Job", Part::Main, job(new), job(old), expected);
    };
    let pods = |more: Value| {
        let mut spec = json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"spec": spec})
    };
    let indexed = |completions: i64, parallelism: i64| json!({"completionMode": "Indexed", "completions": completions, "parallelism": parallelism});
    change(indexed(3, 3), indexed(4, 4), &[]);
    change(
        indexed(3, 3),
        indexed(4, 3),
        &["spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"],
    );
    let needs = json!([{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]);
    change(
        json!({"suspend": true}),
        json!({"suspend": true, "template": pods(json!({"nodeSelector": {"a": "b"}, "containers": needs, "affinity": {"nodeAffinity": {}}}))}),
        &[],
    );
    change(
        json!({}),
        json!({"template": pods(json!({"nodeSelector": {"a": "b"}}))}),
        &["spec.template: Invalid value: {..."],
    );
    change(
        json!({"suspend": true}),
        json!({"suspend": true, "template": pods(json!({"hostNetwork": true}))}),
        &["spec.template.spec: Invalid value: {..."],
    );
}

#[track_caller]
fn job_status(old: Value, new: Value, expected: &[&str]) {
    let of = |status: Value| {
        let mut job = job(json!({}));
        job["status"] = status;
        job
    };
    check_update("batch/v1", "Job", Part::Status, of(new), of(old), expected);
}

#[test]
fn how_jobs_end() {
    let when = "2024-01-02T03:04:05Z";
    let is = |kind: &str| json!({"type": kind, "status": "True"});
    job_status(
        json!({"active": 1, "startTime": when}),
        json!({"startTime": when, "completionTime": when, "succeeded": 1, "conditions": [is("SuccessCriteriaMet"), is("Complete")]}),
        &[],
    );
    job_status(
        json!({}),
        json!({"active": 1, "conditions": [is("Complete")]}),
        &[
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.active: Invalid value: 1: active>0 is invalid for finished job",
            "status.startTime: Required value: startTime is required for finished job",
        ],
    );
    job_status(
        json!({"failed": 2, "startTime": when, "conditions": [is("FailureTarget"), is("Failed")]}),
        json!({"failed": 1, "startTime": when, "ready": 1}),
        &[
            "status.ready: Invalid value: 1: cannot set more ready pods than active",
            "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
            "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
            "status.failed: Invalid value: 1: cannot decrease the failed counter",
        ],
    );
    job_status(
        json!({}),
        json!({"completedIndexes": "0", "failedIndexes": "1", "uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a", ""]}}),
        &[
            "status.uncountedTerminatedPods.failed[0]: Duplicate value: \"a\"",
            "status.uncountedTerminatedPods.failed[1]: Invalid value: \"\": must not be empty",
            "status.completedIndexes: Invalid value: \"0\": cannot set non-empty completedIndexes when non-indexed completion mode",
            "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when backoffLimitPerIndex is null",
        ],
    );
}

#[test]
fn schedules() {
    let cron = |more: Value| {
        let mut spec = json!({"schedule": "@daily", "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({"spec": spec})
    };
    check("batch/v1", "CronJob", cron(json!({"timeZone": "America/Argentina/Buenos_Aires"})), &[]);
    check(
        "batch/v1",
        "CronJob",
        cron(json!({"timeZone": "a//b", "schedule": "TZ=UTC * * * * *"})),
        &[
            "spec.schedule: Invalid value: \"TZ=UTC * * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            "spec.timeZone: Invalid value: \"a//b\": unknown time zone a//b",
        ],
    );
    check_update(
        "batch/v1",
        "CronJob",
        Part::Main,
        cron(json!({"schedule": "TZ=UTC 1 * * * *"})),
        cron(json!({"schedule": "TZ=UTC * * * * *"})),
        &[],
    );
}
