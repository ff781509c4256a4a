//! Rows: a Job, its pods, what happens.

use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_000_000_000_000_000;

fn job(spec: Value) -> Job {
    Job { name: "j".into(), spec, ..Job::default() }
}

/// `Running`, `Failed 5s` (ended 5 s ago), `Succeeded #2` (index 2), `~Running` (ending), `-Failed` (counted).
fn pod(at: usize, words: &str) -> Pod {
    let mut pod = Pod {
        name: format!("p{at}"),
        uid: format!("p{at}"),
        tracked: true,
        scheduled: true,
        created: NOW - 100_000_000 + at as i64,
        finished: NOW - 1_000_000_000,
        ..Pod::default()
    };
    for word in words.split(' ') {
        if let Some(index) = word.strip_prefix('#') {
            pod.index = index.parse().ok();
        } else if let Some(failures) = word.strip_prefix('f') {
            pod.index_failures = failures.parse().unwrap();
        } else if let Some(seconds) = word.strip_suffix('s') {
            pod.finished = NOW - seconds.parse::<i64>().unwrap() * 1_000_000;
        } else if word == "ready" {
            pod.ready = true;
        } else if word == "ignored" {
            pod.failure = Some(Failure::Ignore);
        } else if word == "lost" {
            pod.failure = Some(Failure::FailIndex);
        } else {
            pod.ending = word.starts_with('~');
            pod.tracked = !word.starts_with('-');
            pod.phase = word.trim_start_matches(['~', '-']).into();
        }
    }
    pod
}

/// What is done, as words: `+` pods made, `x` ended, `-` removed, `!` finalizers taken, `=` how it ends, `@` when to look again.
#[track_caller]
fn check(job: &Job, pods: &[&str], expected: &str) -> Plan {
    let pods: Vec<Pod> = pods.iter().enumerate().map(|(at, words)| pod(at, words)).collect();
    let plan = plan(job, &pods, NOW);
    let mut words = Vec::new();
    for new in &plan.create {
        let failures = new.failures.map_or(String::new(), |(count, ignored)| format!("f{count}/{ignored}"));
        words.push(format!("+{}{failures}", new.index.map_or(String::new(), |index| index.to_string())));
    }
    for (sign, list) in [("x", &plan.end), ("-", &plan.remove), ("!", &plan.untrack)] {
        words.extend(list.iter().map(|(name, _)| format!("{sign}{name}")));
    }
    words.extend(plan.finish.iter().map(|finish| format!("={}", finish.reason)));
    words.extend(plan.again_in.map(|micros| format!("@{}", micros / 1_000_000)));
    assert_eq!(words.join(" "), expected, "{:?}", job.spec);
    plan
}

/// The status once finalizers are gone.
fn after(plan: &Plan) -> Status {
    let mut status = plan.status.clone();
    let gone: HashSet<&String> = plan.untrack.iter().map(|(_, uid)| uid).collect();
    settle(&mut status, &plan.tracked.iter().filter(|uid| !gone.contains(uid)).cloned().collect());
    if let Some(end) = &plan.finish {
        finish(&mut status, end, NOW);
    }
    status
}

#[test]
fn pods_are_made_up_to_what_is_missing() {
    check(&job(json!({})), &[], "+");
    check(&job(json!({"parallelism": 2, "completions": 5})), &["Running"], "+");
    check(&job(json!({"parallelism": 9, "completions": 2})), &[], "+ +");
    check(&job(json!({"parallelism": 0, "completions": 2})), &[], "");
    check(&job(json!({"parallelism": 1, "completions": 2})), &["Running", "Running"], "-p1");
    check(&job(json!({"completions": 2, "parallelism": 2})), &["-Succeeded", "Running"], "+");
}

#[test]
fn ends_are_counted_once_and_complete_the_job() {
    let plan = check(&job(json!({"completions": 1})), &["Succeeded"], "!p0 =CompletionsReached");
    assert_eq!(plan.status.uncounted_succeeded, ["p0"]);
    assert!(plan.status.has("SuccessCriteriaMet").is_some() && !plan.status.is_finished());
    let done = after(&plan);
    assert_eq!((done.succeeded, done.uncounted_succeeded.len()), (1, 0));
    assert!(done.has("Complete").is_some() && done.completion_time.is_some());
    let mut half = job(json!({"completions": 2}));
    half.status.uncounted_succeeded = vec!["p0".into()];
    let plan = check(&half, &["-Succeeded"], "+");
    assert_eq!((plan.status.succeeded, plan.status.uncounted_succeeded.len()), (1, 0));
}

#[test]
fn any_success_will_do_without_completions() {
    check(&job(json!({"parallelism": 2})), &["Succeeded", "Running"], "!p0");
    check(&job(json!({"parallelism": 2})), &["Succeeded"], "!p0 =CompletionsReached");
}

#[test]
fn failures_wait_longer_each_time_until_the_limit() {
    let one = job(json!({"completions": 1, "backoffLimit": 2}));
    check(&one, &["Failed 4s"], "!p0 @6");
    check(&one, &["Failed 11s"], "+ !p0");
    check(&one, &["Failed 30s", "Failed 11s"], "!p0 !p1 @9");
    let plan = check(&one, &["Failed 9s", "Failed 8s", "Failed 7s"], "!p0 !p1 !p2 =BackoffLimitExceeded");
    let done = after(&plan);
    assert_eq!((done.failed, done.has("Failed").is_some(), done.has("FailureTarget").is_some()), (3, true, true));
    check(&job(json!({"completions": 2, "parallelism": 2})), &["Succeeded 1s", "Failed 5s"], "+ !p0 !p1");
}

#[test]
fn a_failed_job_ends_its_pods_first() {
    let one = job(json!({"parallelism": 2, "backoffLimit": 0}));
    let plan = check(&one, &["Failed", "Running ready"], "xp1 !p0 !p1 =BackoffLimitExceeded");
    assert_eq!((plan.status.active, plan.status.terminating), (0, Some(1)));
    assert!(!after(&plan).is_finished(), "something still runs");
    let mut next = job(one.spec.clone());
    next.status = after(&plan);
    let plan = check(&next, &["-Failed", "-Failed"], "=BackoffLimitExceeded");
    assert!(after(&plan).has("Failed").is_some());
}

#[test]
fn restarts_in_place_count() {
    let spec = json!({"backoffLimit": 3, "template": {"spec": {"restartPolicy": "OnFailure"}}});
    let mut running = pod(0, "Running");
    running.restarts = 2;
    assert!(plan(&job(spec.clone()), &[running.clone()], NOW).finish.is_none());
    running.restarts = 3;
    assert_eq!(plan(&job(spec), &[running], NOW).finish.unwrap().reason, "BackoffLimitExceeded");
}

#[test]
fn a_deadline_ends_the_job() {
    let mut late = job(json!({"activeDeadlineSeconds": 30}));
    late.status.start_time = Some(crate::world::rfc3339(NOW - 10_000_000));
    check(&late, &["Running"], "@20");
    late.status.start_time = Some(crate::world::rfc3339(NOW - 30_000_000));
    check(&late, &["Running"], "xp0 !p0 =DeadlineExceeded");
    late.spec["suspend"] = json!(true);
    check(&late, &[], "");
}

#[test]
fn a_held_job_has_no_pods() {
    let held = job(json!({"suspend": true}));
    let plan = check(&held, &["Running"], "-p0");
    assert_eq!((plan.events.as_slice(), plan.status.start_time), (&[("Suspended", "Job suspended")][..], None));
    let mut resumed = job(json!({}));
    resumed.status.set("Suspended", true, "JobSuspended", "Job suspended", NOW);
    let plan = check(&resumed, &[], "+");
    assert_eq!((plan.events[0].0, plan.status.conditions[0]["status"].as_str()), ("Resumed", Some("False")));
}

#[test]
fn a_pod_that_ends_is_replaced_at_once_or_when_it_has_ended() {
    check(&job(json!({"completions": 1})), &["~Running"], "+ !p0");
    let patient = job(json!({"completions": 1, "podReplacementPolicy": "Failed"}));
    check(&patient, &["~Running"], "");
    check(&patient, &["~Failed"], "+ !p0");
}

#[test]
fn each_index_succeeds_once() {
    let indexed = |spec: Value| {
        let mut job = job(spec);
        job.spec["completionMode"] = json!("Indexed");
        job
    };
    let three = indexed(json!({"completions": 3, "parallelism": 3}));
    let plan = check(&three, &["Succeeded #0", "Running #2"], "+1 !p0");
    assert_eq!((plan.status.completed_indexes.as_str(), plan.status.succeeded), ("0", 1));
    check(&three, &["Running #0", "Running #0 ready", "Running #9", "Running"], "-p0 -p2 -p3");
    let mut last = three.clone();
    last.status.completed_indexes = "0,1".into();
    last.status.succeeded = 2;
    let done = after(&check(&last, &["Succeeded #2"], "!p0 =CompletionsReached"));
    assert_eq!((done.completed_indexes.as_str(), done.succeeded), ("0-2", 3));
    let early =
        indexed(json!({"completions": 3, "parallelism": 3, "successPolicy": {"rules": [{"succeededCount": 1}]}}));
    check(&early, &["Succeeded #0", "Running #1"], "xp1 !p0 !p1 =SuccessPolicy");
}

#[test]
fn failures_are_counted_by_index() {
    let mut job =
        job(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1}));
    check(&job, &["Failed #0 20s", "Running #1"], "+0f1/0");
    check(&job, &["Failed #0 4s", "Running #1"], "@6");
    check(&job, &["Failed #0 f1 20s", "Running #1"], "!p0");
    check(&job, &["Failed #0 lost", "Succeeded #1"], "!p0 !p1 =FailedIndexes");
    check(&job, &["Failed #0 f1 90s ignored", "Running #1"], "+0f1/1");
    job.spec["maxFailedIndexes"] = json!(0);
    let plan = check(&job, &["Failed #0 f1", "Running #1"], "xp1 !p0 !p1 =MaxFailedIndexesExceeded");
    assert_eq!(plan.status.failed_indexes.as_deref(), Some("0"));
}

#[test]
fn rules_about_failures_are_heard() {
    let ruled = job(json!({"completions": 1, "backoffLimit": 0, "podFailurePolicy": {"rules": []}}));
    let plan = check(&ruled, &["Failed 11s ignored"], "+ !p0");
    assert_eq!(after(&plan).failed, 0);
    let mut fatal = pod(0, "Failed");
    fatal.failure = Some(Failure::FailJob("because".into()));
    let end = super::plan(&ruled, &[fatal], NOW).finish.unwrap();
    assert_eq!((end.reason.as_str(), end.message.as_str()), ("PodFailurePolicy", "because"));
}

#[test]
fn a_job_that_is_deleted_lets_its_pods_go() {
    let mut gone = job(json!({"completions": 3}));
    gone.deleting = true;
    check(&gone, &["Running", "Failed"], "!p0 !p1");
}
