//! When a CronJob starts a Job, and which Jobs it keeps.
//!
//! In: a CronJob, its Jobs, its schedule, the time. Out: the Job to start, those to remove, the status, Events, and when
//! to look again. Pure.

use serde_json::{Value, json};

use super::schedule::{Schedule, Zone};
use crate::world::{microseconds, rfc3339};

/// Clocks that are set back a little must not make a start come too early.
const PADDING: i64 = 100_000;
/// More missed starts than these are worth a warning.
const MANY: i64 = 100;
const SECOND: i64 = 1_000_000;

/// One of its Jobs. Times are microseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Job {
    pub name: String,
    pub uid: String,
    /// `Complete` or `Failed`; `None` while it goes on.
    pub ended: Option<&'static str>,
    pub completed: Option<i64>,
    pub started: Option<i64>,
}

/// Whether an Event is a warning, its reason, its message.
pub type Told = (bool, &'static str, String);

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub status: Value,
    pub events: Vec<Told>,
    /// Jobs to be deleted: name and UID.
    pub delete: Vec<(String, String)>,
    /// The scheduled time, in seconds, of the Job to be started.
    pub start: Option<i64>,
    /// Microseconds.
    pub again_in: Option<i64>,
}

/// The status by what has become of its Jobs.
pub fn observe(status: &Value, jobs: &[Job]) -> Plan {
    let mut plan = Plan { status: if status.is_object() { status.clone() } else { json!({}) }, ..Plan::default() };
    let mut active = plan.status["active"].as_array().cloned().unwrap_or_default();
    let mut latest = status["lastSuccessfulTime"].as_str().and_then(microseconds);
    for job in jobs {
        let listed = active.iter().any(|one| one["uid"] == *job.uid);
        match job.ended {
            None if !listed => {
                let text = format!("Saw a job that the controller did not create or forgot: {}", job.name);
                plan.events.push((true, "UnexpectedJob", text));
            }
            Some(condition) if listed => {
                active.retain(|one| one["uid"] != *job.uid);
                let text = format!("Saw completed job: {}, condition: {condition}", job.name);
                plan.events.push((false, "SawCompletedJob", text));
            }
            _ => {}
        }
        if job.ended == Some("Complete") {
            latest = latest.max(job.completed);
        }
    }
    active.retain(|one| {
        let there = jobs.iter().any(|job| one["uid"] == *job.uid);
        if !there {
            let text = format!("Active job went missing: {}", one["name"].as_str().unwrap_or_default());
            plan.events.push((false, "MissingJob", text));
        }
        there
    });
    set_active(&mut plan.status, active);
    if let Some(latest) = latest {
        plan.status["lastSuccessfulTime"] = json!(rfc3339(latest));
    }
    plan
}

/// Puts the list of running Jobs into a status; an empty one is left out.
pub fn set_active(status: &mut Value, active: Vec<Value>) {
    match status.as_object_mut() {
        Some(status) if active.is_empty() => {
            status.remove("active");
        }
        _ => status["active"] = Value::Array(active),
    }
}

/// The finished Jobs that are too many, the oldest first.
pub fn too_old(spec: &Value, jobs: &[Job]) -> Vec<(String, String)> {
    let mut doomed = Vec::new();
    for (condition, field) in [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")] {
        let Some(limit) = spec[field].as_i64() else { continue };
        let mut ended: Vec<&Job> = jobs.iter().filter(|job| job.ended == Some(condition)).collect();
        crate::order::sort_by_key(&mut ended, |job| (job.started.is_none(), job.started, job.name.clone()));
        let surplus = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        doomed.extend(ended.iter().take(surplus).map(|job| (job.name.clone(), job.uid.clone())));
    }
    doomed
}

/// What a schedule says.
pub struct Clock<'a> {
    pub schedule: &'a Schedule,
    pub zone: Zone<'a>,
    /// When the CronJob, or its present schedule, came to be, in microseconds.
    pub since: i64,
    pub now: i64,
}

/// The last start that is due, if any, and how many were missed.
struct Due {
    earliest: i64,
    last: Option<i64>,
    missed: i64,
}

impl Clock<'_> {
    fn next(&self, after: i64) -> Option<i64> {
        self.schedule.next(after.div_euclid(SECOND), self.zone).map(|at| at * SECOND)
    }

    fn due(&self, cron: &Value, by_deadline: bool) -> Result<Due, String> {
        let mut earliest =
            cron["status"]["lastScheduleTime"].as_str().and_then(microseconds).unwrap_or(0).max(self.since);
        if by_deadline && let Some(deadline) = cron["spec"]["startingDeadlineSeconds"].as_i64() {
            earliest = earliest.max(self.now - deadline.saturating_mul(SECOND));
        }
        let none = || "time difference between two schedules is less than 1 second".to_string();
        let first = self.next(earliest).ok_or_else(none)?;
        if self.now < first {
            return Ok(Due { earliest, last: None, missed: 0 });
        }
        let second = self.next(first).ok_or_else(none)?;
        if self.now < second {
            return Ok(Due { earliest, last: Some(first), missed: 0 });
        }
        let between = ((second - first) / SECOND).max(1);
        let missed = (self.now - first) / SECOND / between + 1;
        // From about there the schedule itself is asked, for those that are not regular.
        let (mut at, mut last) = (first + (missed - 2) * between * SECOND, None);
        while let Some(next) = self.next(at).filter(|next| *next <= self.now) {
            (at, last) = (next, Some(next));
        }
        Ok(Due { earliest, last, missed })
    }

    /// How long until the next start.
    fn wait(&self, cron: &Value) -> Option<i64> {
        let from = match self.due(cron, false) {
            Err(_) => self.now,
            Ok(Due { last: Some(last), .. }) => last,
            Ok(Due { earliest, missed: 0, .. }) => earliest,
            Ok(_) => self.now,
        };
        self.next(from).map(|at| (at + PADDING - self.now).max(PADDING))
    }

    /// Decides about the next start. `plan` has observed what is there.
    pub fn decide(&self, cron: &Value, name: &str, plan: &mut Plan) {
        let mut cron = cron.clone();
        cron["status"] = plan.status.clone();
        let due = match self.due(&cron, true) {
            Ok(due) => due,
            Err(why) => {
                let schedule = cron["spec"]["schedule"].as_str().unwrap_or_default();
                plan.events.push((true, "InvalidSchedule", format!("invalid schedule: {schedule} : {why}")));
                return;
            }
        };
        plan.again_in = self.wait(&cron);
        let Some(at) = due.last else { return };
        if due.missed > MANY {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            plan.events.push((true, "TooManyMissedTimes", text.into()));
        }
        let deadline = cron["spec"]["startingDeadlineSeconds"].as_i64();
        if deadline.is_some_and(|deadline| at + deadline.saturating_mul(SECOND) < self.now) {
            let text = format!("Missed scheduled time to start a job: {}", rfc1123(at / SECOND));
            plan.events.push((true, "MissSchedule", text));
            return;
        }
        let active = plan.status["active"].as_array().cloned().unwrap_or_default();
        let job = job_name(name, at / SECOND);
        let done = cron["status"]["lastScheduleTime"].as_str().and_then(microseconds) == Some(at);
        if done || active.iter().any(|one| one["name"] == *job) {
            return;
        }
        match cron["spec"]["concurrencyPolicy"].as_str() {
            Some("Forbid") if !active.is_empty() => {
                let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
                plan.events.push((false, "JobAlreadyActive", text.into()));
                return;
            }
            Some("Replace") => {
                let text = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_string();
                plan.delete.extend(active.iter().map(|one| (text(one, "name"), text(one, "uid"))));
            }
            _ => {}
        }
        plan.start = Some(at / SECOND);
        // The next start, as it will be once this one is noted.
        plan.again_in = self.next(at.max(self.now)).map(|next| (next + PADDING - self.now).max(PADDING));
    }
}

/// The same start has the same name, so it is made once.
pub fn job_name(name: &str, scheduled: i64) -> String {
    format!("{name}-{}", scheduled / 60)
}

/// The time in UTC, as mail writes it.
fn rfc1123(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = rfc3339(seconds * SECOND);
    let month = text[5..7].parse::<usize>().unwrap_or(1);
    let weekday = (seconds.div_euclid(86_400) + 4).rem_euclid(7) as usize;
    let month = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&"Jan");
    format!("{}, {} {month} {} {} +0000", DAYS[weekday], &text[8..10], &text[..4], &text[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        microseconds(text).unwrap()
    }

    /// Times of one day: `07:30:10`.
    fn time(text: &str) -> String {
        format!("2026-11-29T{text}Z")
    }

    #[track_caller]
    fn check(cron: Value, since: &str, now: &str, start: Option<&str>, reasons: &[&str]) -> Plan {
        let schedule = Schedule::parse(cron["spec"]["schedule"].as_str().unwrap()).unwrap();
        let clock = Clock { schedule: &schedule, zone: &|_| 0, since: at(&time(since)), now: at(&time(now)) };
        let mut plan = observe(&cron["status"], &[]);
        plan.events.clear();
        plan.status["active"] = cron["status"]["active"].clone();
        clock.decide(&cron, "c", &mut plan);
        assert_eq!(plan.start.map(|s| rfc3339(s * SECOND)), start.map(time), "{cron}");
        assert_eq!(plan.events.iter().map(|(_, reason, _)| *reason).collect::<Vec<_>>(), reasons);
        plan
    }

    fn hourly(more: Value) -> Value {
        let mut cron = json!({"spec": {"schedule": "0 * * * *"}, "status": {}});
        for (field, value) in more.as_object().unwrap() {
            let place = if field.starts_with("last") || field == "active" { "status" } else { "spec" };
            cron[place][field] = value.clone();
        }
        cron
    }

    #[test]
    fn a_start_is_made_once_when_it_is_due() {
        let plan = check(hourly(json!({})), "06:30:00", "06:59:00", None, &[]);
        assert_eq!(plan.again_in, Some(60 * SECOND + PADDING));
        let plan = check(hourly(json!({})), "06:30:00", "07:00:00", Some("07:00:00"), &[]);
        assert_eq!(plan.again_in, Some(3600 * SECOND + PADDING));
        let done = hourly(json!({"lastScheduleTime": time("07:00:00")}));
        let plan = check(done, "06:30:00", "07:00:01", None, &[]);
        assert_eq!(plan.again_in, Some(3599 * SECOND + PADDING));
    }

    #[test]
    fn of_missed_starts_the_last_is_made_up_for() {
        check(hourly(json!({"lastScheduleTime": time("01:00:00")})), "00:30:00", "07:20:00", Some("07:00:00"), &[]);
        let minutely = json!({"spec": {"schedule": "* * * * *"}, "status": {}});
        check(minutely, "00:00:00", "07:00:30", Some("07:00:00"), &["TooManyMissedTimes"]);
        check(hourly(json!({"startingDeadlineSeconds": 60})), "00:30:00", "07:20:00", None, &[]);
        check(hourly(json!({"startingDeadlineSeconds": 1800})), "00:30:00", "07:20:00", Some("07:00:00"), &[]);
    }

    #[test]
    fn a_new_schedule_counts_from_its_beginning() {
        check(hourly(json!({"lastScheduleTime": time("01:00:00")})), "07:10:00", "07:20:00", None, &[]);
    }

    #[test]
    fn running_jobs_forbid_or_are_replaced() {
        let running = json!([{"name": "c-1", "uid": "u"}]);
        let with = |policy: &str| hourly(json!({"active": running, "concurrencyPolicy": policy}));
        check(with("Allow"), "06:30:00", "07:00:00", Some("07:00:00"), &[]);
        check(with("Forbid"), "06:30:00", "07:00:00", None, &["JobAlreadyActive"]);
        let plan = check(with("Replace"), "06:30:00", "07:00:00", Some("07:00:00"), &[]);
        assert_eq!(plan.delete, [("c-1".to_string(), "u".to_string())]);
    }

    #[test]
    fn the_status_follows_the_jobs() {
        let job = |name: &str, ended: Option<&'static str>, completed: i64| Job {
            name: name.into(),
            uid: name.into(),
            ended,
            completed: Some(completed * SECOND),
            started: Some(completed * SECOND),
        };
        let status =
            json!({"active": [{"name": "a", "uid": "a"}, {"name": "b", "uid": "b"}, {"name": "x", "uid": "x"}]});
        let jobs = [job("a", Some("Complete"), 5), job("b", None, 0), job("c", None, 0), job("d", Some("Failed"), 9)];
        let plan = observe(&status, &jobs);
        assert_eq!(
            plan.status,
            json!({"active": [{"name": "b", "uid": "b"}], "lastSuccessfulTime": "1970-01-01T00:00:05Z"})
        );
        let reasons: Vec<&str> = plan.events.iter().map(|(_, reason, _)| *reason).collect();
        assert_eq!(reasons, ["SawCompletedJob", "UnexpectedJob", "MissingJob"]);
        let spec = json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0});
        let jobs = [job("new", Some("Complete"), 9), job("old", Some("Complete"), 5), job("bad", Some("Failed"), 1)];
        let doomed: Vec<String> = too_old(&spec, &jobs).into_iter().map(|(name, _)| name).collect();
        assert_eq!(doomed, ["old", "bad"]);
    }

    #[test]
    fn times_are_written_as_in_mail() {
        assert_eq!(rfc1123(at("2026-11-29T07:05:00Z") / SECOND), "Sun, 29 Nov 2026 07:05:00 +0000");
    }
}
