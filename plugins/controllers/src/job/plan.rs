//! What a Job does next.
//!
//! In: a Job, its pods, the time. Out: pods to make, to end and to count, the status to be written before their
//! finalizers go, and how the Job ends. Pure. A pod's end is counted exactly once: its UID is written into the status
//! first, then it loses its finalizer, then the number grows and the UID goes.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::indexes::Indexes;
use super::model::{Job, Pod, Status};
use super::policy::{self, Failure};

/// Pods that are made or removed in one pass.
const BURST: usize = 500;
/// UIDs in a status, which keeps it below 20 KB.
const UNCOUNTED_MOST: usize = 500;
/// The first wait after a failure, and the longest, in microseconds.
const BACKOFF: (i64, i64) = (10_000_000, 600_000_000);

/// A pod to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewPod {
    /// Its completion index.
    pub index: Option<i64>,
    /// Failures of its index so far: those that count, and those that do not. `None` where nobody counts them.
    pub failures: Option<(i64, i64)>,
}

/// How a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    pub complete: bool,
    pub reason: String,
    pub message: String,
}

/// Name and UID.
pub type Named = (String, String);

/// What to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// To be made.
    pub create: Vec<NewPod>,
    /// To be deleted and counted: the Job is over.
    pub end: Vec<Named>,
    /// To be deleted and forgotten: they are too many.
    pub remove: Vec<Named>,
    /// As it is once that is done, and before finalizers go.
    pub status: Status,
    /// Pods that lose their finalizer then.
    pub untrack: Vec<Named>,
    /// UIDs of pods that still bear it afterwards.
    pub tracked: HashSet<String>,
    /// The end of the Job, once all is counted.
    pub finish: Option<Finish>,
    /// Reason and message.
    pub events: Vec<(&'static str, &'static str)>,
    /// Look again after so many microseconds.
    pub again_in: Option<i64>,
}

/// Decides.
pub fn plan(job: &Job, pods: &[Pod], now: i64) -> Plan {
    let seen = Seen::of(job, pods);
    let mut plan = Plan { status: job.status.clone(), ..Plan::default() };
    if plan.status.start_time.is_none() && !job.is_suspended() {
        plan.status.start_time = Some(crate::world::rfc3339(now));
    }
    let mut finish = seen.ends_by(&mut plan, now);
    let (mut active, mut terminating) =
        (seen.active.len() as i64, pods.iter().filter(|p| p.is_terminating()).count() as i64);
    let mut ready = seen.active.iter().filter(|pod| pod.ready).count() as i64;
    if finish.is_some() {
        plan.end = seen.active.iter().map(|pod| named(pod)).collect();
        (active, ready) = (0, 0);
        terminating += plan.end.len() as i64;
    } else {
        if !job.deleting {
            let removed = seen.manage(&mut plan, active, terminating, now);
            ready -= removed.iter().filter(|pod| pod.ready).count() as i64;
            active += plan.create.len() as i64 - removed.len() as i64;
            terminating += removed.len() as i64;
            plan.remove = removed.into_iter().map(named).collect();
        }
        let complete = match job.completions() {
            None => seen.succeeded > 0 && active == 0,
            Some(wanted) => seen.succeeded >= wanted && active == 0,
        };
        if complete {
            let message = "Reached expected number of succeeded pods".to_string();
            finish = Some(Finish { complete: true, reason: "CompletionsReached".into(), message });
        } else if !job.deleting {
            suspend_or_resume(job, &mut plan, now);
        }
    }
    plan.status.active = active;
    plan.status.ready = Some(ready);
    plan.status.terminating = Some(terminating);
    seen.count(&mut plan, finish.as_ref());
    if let Some(finish) = &finish {
        let interim = if finish.complete { "SuccessCriteriaMet" } else { "FailureTarget" };
        if plan.status.has(interim).is_none() {
            plan.status.set(interim, true, &finish.reason, &finish.message, now);
        }
    }
    plan.finish = finish;
    plan
}

/// Moves what is no longer tracked from the UIDs to the numbers.
pub fn settle(status: &mut Status, tracked: &HashSet<String>) {
    let count = |uids: &mut Vec<String>, number: &mut i64| {
        let before = uids.len();
        uids.retain(|uid| tracked.contains(uid));
        *number += (before - uids.len()) as i64;
    };
    count(&mut status.uncounted_succeeded, &mut status.succeeded);
    count(&mut status.uncounted_failed, &mut status.failed);
}

/// Ends the Job, if all is counted and nothing runs any more. Says whether it did.
pub fn finish(status: &mut Status, finish: &Finish, now: i64) -> bool {
    let counted = status.uncounted_succeeded.is_empty() && status.uncounted_failed.is_empty();
    if !counted || status.terminating.unwrap_or(0) > 0 {
        return false;
    }
    let of_type = if finish.complete { "Complete" } else { "Failed" };
    status.set(of_type, true, &finish.reason, &finish.message, now);
    if finish.complete {
        status.completion_time = Some(crate::world::rfc3339(now));
    }
    true
}

fn named(pod: &Pod) -> Named {
    (pod.name.clone(), pod.uid.clone())
}

fn suspend_or_resume(job: &Job, plan: &mut Plan, now: i64) {
    if job.is_suspended() {
        if plan.status.set("Suspended", true, "JobSuspended", "Job suspended", now) {
            plan.events.push(("Suspended", "Job suspended"));
            plan.status.start_time = None;
        }
    } else if plan.status.set("Suspended", false, "JobResumed", "Job resumed", now) {
        plan.events.push(("Resumed", "Job resumed"));
        // The deadline counts from here.
        plan.status.start_time = Some(crate::world::rfc3339(now));
    }
}

/// What the pods tell.
struct Seen<'a> {
    job: &'a Job,
    pods: &'a [Pod],
    active: Vec<&'a Pod>,
    succeeded: i64,
    failed: i64,
    /// For indexed Jobs.
    succeeded_before: Indexes,
    succeeded_indexes: Indexes,
    /// Where failures are counted by index.
    failed_indexes: Option<Indexes>,
    /// The last failed pod of an index, kept until another takes its place and its count.
    replaced: HashMap<i64, &'a Pod>,
}

impl<'a> Seen<'a> {
    fn of(job: &'a Job, pods: &'a [Pod]) -> Self {
        let status = &job.status;
        let active: Vec<&Pod> = pods.iter().filter(|pod| pod.is_active()).collect();
        let valid = |pod: &&Pod, uncounted: &[String]| {
            pod.tracked && !uncounted.contains(&pod.uid) && (!job.is_indexed() || pod.index_within(job).is_some())
        };
        let succeeded = pods.iter().filter(|p| valid(p, &status.uncounted_succeeded) && p.succeeded()).count();
        let failed = |pod: &&Pod| valid(pod, &status.uncounted_failed) && pod.failed(job) && pod.counts();
        let failed = pods.iter().filter(failed).count();
        let mut seen = Self {
            job,
            pods,
            active,
            succeeded: status.succeeded + (succeeded + status.uncounted_succeeded.len()) as i64,
            failed: status.failed + (failed + status.uncounted_failed.len()) as i64,
            succeeded_before: Indexes::default(),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            replaced: HashMap::new(),
        };
        if job.is_indexed() {
            seen.look_at_indexes();
        }
        seen
    }

    fn look_at_indexes(&mut self) {
        let (job, completions) = (self.job, self.job.completions().unwrap_or(0));
        self.succeeded_before = Indexes::parse(&job.status.completed_indexes, completions);
        let tracked = || self.pods.iter().filter(|pod| pod.tracked);
        let new = Indexes::of(tracked().filter(|pod| pod.succeeded()).filter_map(|pod| pod.index_within(job)));
        self.succeeded_indexes = self.succeeded_before.with(&new);
        self.succeeded = self.succeeded_indexes.count();
        let Some(limit) = job.per_index_limit() else { return };
        let given_up = |pod: &&Pod| {
            pod.failed(job)
                && (pod.failure == Some(Failure::FailIndex) || (pod.counts() && pod.index_failures >= limit))
        };
        let new = Indexes::of(tracked().filter(given_up).filter_map(|pod| pod.index_within(job)));
        let before = job.status.failed_indexes.as_deref().unwrap_or_default();
        let failed = Indexes::parse(before, completions).with(&new);
        let active = Indexes::of(self.active.iter().filter_map(|pod| pod.index));
        let mut replaced: HashMap<i64, &Pod> = HashMap::new();
        for pod in tracked().filter(|pod| pod.failed(job)) {
            let Some(index) = pod.index_within(job) else { continue };
            if self.succeeded_indexes.has(index) || failed.has(index) || active.has(index) {
                continue;
            }
            let later = |held: &&Pod| held.failures_before() <= pod.failures_before() && pod.finished >= held.finished;
            if replaced.get(&index).is_none_or(later) {
                replaced.insert(index, pod);
            }
        }
        self.failed_indexes = Some(failed);
        self.replaced = replaced;
    }

    /// Whether the Job is over before its completions are reached. Failures come before successes.
    fn ends_by(&self, plan: &mut Plan, now: i64) -> Option<Finish> {
        let job = self.job;
        let text =
            |condition: &serde_json::Value, field: &str| condition[field].as_str().unwrap_or_default().to_string();
        for (of_type, complete) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(held) = job.status.has(of_type) {
                return Some(Finish { complete, reason: text(held, "reason"), message: text(held, "message") });
            }
        }
        let fails = |reason: &str, message: &str| {
            Some(Finish { complete: false, reason: reason.into(), message: message.into() })
        };
        let fatal = self.pods.iter().filter(|pod| pod.failed(job)).find_map(|pod| match &pod.failure {
            Some(Failure::FailJob(why)) => Some(why),
            _ => None,
        });
        if let Some(why) = fatal {
            return fails("PodFailurePolicy", why);
        }
        if self.failed > job.backoff_limit() || self.restarted_too_often() {
            return fails("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        let started = job.status.start_time.as_deref().and_then(crate::world::microseconds);
        if let Some(deadline) = job.deadline().filter(|_| !job.is_suspended()) {
            let left = started.unwrap_or(now) + deadline.saturating_mul(1_000_000) - now;
            if left <= 0 && started.is_some() {
                return fails("DeadlineExceeded", "Job was active longer than specified deadline");
            }
            plan.again_in = Some(left.max(1));
        }
        if let Some(failed) = &self.failed_indexes {
            let limit = job.spec["maxFailedIndexes"].as_i64();
            if limit.is_some_and(|limit| failed.count() > limit) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return fails("MaxFailedIndexesExceeded", message);
            }
            let done = failed.count() + self.succeeded_indexes.count();
            if failed.count() > 0 && done >= job.completions().unwrap_or(0) {
                return fails("FailedIndexes", "Job has failed indexes");
            }
        }
        let completions = job.completions().unwrap_or(0);
        let message = policy::succeeds(&job.spec["successPolicy"], completions, &self.succeeded_indexes)?;
        Some(Finish { complete: true, reason: "SuccessPolicy".into(), message })
    }

    fn restarted_too_often(&self) -> bool {
        let running = self.pods.iter().filter(|pod| matches!(pod.phase.as_str(), "Running" | "Pending"));
        let restarts: i64 = running.map(|pod| pod.restarts).sum();
        self.job.restarts_in_place() && restarts > 0 && restarts >= self.job.backoff_limit()
    }

    /// Pods to be removed; those to be made go into the plan.
    fn manage(&self, plan: &mut Plan, active: i64, terminating: i64, now: i64) -> Vec<&'a Pod> {
        let job = self.job;
        if job.is_suspended() {
            return self.surplus(active);
        }
        let wanted = match job.completions() {
            None if self.succeeded > 0 => active,
            None => job.parallelism(),
            Some(completions) => (completions - self.succeeded).min(job.parallelism()).max(0),
        };
        let mut surplus = self.surplus(active - wanted);
        if !surplus.is_empty() {
            surplus.truncate(BURST);
            return surplus;
        }
        let waited_for = if job.waits_for_end() { terminating } else { 0 };
        let missing = usize::try_from(wanted - waited_for - active).unwrap_or(0).min(BURST);
        if missing == 0 {
            return Vec::new();
        }
        if job.per_index_limit().is_none()
            && let Some(left) = self.backoff(now)
        {
            plan.again_in = Some(plan.again_in.map_or(left, |other| other.min(left)));
            return Vec::new();
        }
        if !job.is_indexed() {
            plan.create = vec![NewPod::default(); missing];
            return Vec::new();
        }
        let mut soonest: Option<i64> = None;
        for index in self.pending_indexes(missing) {
            let before = self.replaced.get(&index);
            if let Some(left) = before.and_then(|pod| wait(pod.failures_before() + 1, pod.finished, now)) {
                soonest = Some(soonest.map_or(left, |other| other.min(left)));
                continue;
            }
            let failures = job.per_index_limit().map(|_| {
                before.map_or((0, 0), |pod| {
                    let counts = i64::from(pod.counts());
                    (pod.index_failures + counts, pod.index_ignored_failures + 1 - counts)
                })
            });
            plan.create.push(NewPod { index: Some(index), failures });
        }
        if let Some(left) = soonest {
            plan.again_in = Some(plan.again_in.map_or(left, |other| other.min(left)));
        }
        Vec::new()
    }

    /// Indexes that have no pod and are not over.
    fn pending_indexes(&self, count: usize) -> Vec<i64> {
        let mut taken = self.succeeded_indexes.with(&Indexes::of(self.active.iter().filter_map(|pod| pod.index)));
        if self.job.waits_for_end() {
            let ending = self.pods.iter().filter(|pod| pod.is_terminating()).filter_map(|pod| pod.index);
            taken = taken.with(&Indexes::of(ending));
        }
        if let Some(failed) = &self.failed_indexes {
            taken = taken.with(failed);
        }
        taken.first_missing(count, self.job.completions().unwrap_or(0))
    }

    /// At least so many active pods, the least useful first; of an indexed Job also those whose index is taken or wrong.
    fn surplus(&self, at_least: i64) -> Vec<&'a Pod> {
        let mut left = self.active.clone();
        crate::order::sort_by_key(&mut left, |pod| rank(pod));
        let mut surplus = Vec::new();
        if self.job.is_indexed() {
            let mut seen = BTreeSet::new();
            // The most useful pod of an index stays.
            let mut kept: Vec<&Pod> = Vec::new();
            for pod in left.into_iter().rev() {
                match pod.index_within(self.job) {
                    Some(index) if seen.insert(index) => kept.push(pod),
                    _ => surplus.push(pod),
                }
            }
            kept.reverse();
            left = kept;
        }
        let more = usize::try_from(at_least).unwrap_or(0).saturating_sub(surplus.len());
        surplus.extend(left.into_iter().take(more));
        surplus
    }

    /// How long to wait before another pod is made, by the failures since the last success.
    fn backoff(&self, now: i64) -> Option<i64> {
        let last_success = self.pods.iter().filter(|pod| pod.succeeded()).map(|pod| pod.finished).max();
        let failures =
            self.pods.iter().filter(|pod| pod.failed(self.job) && last_success.is_none_or(|at| pod.finished > at));
        let (mut count, mut last) = (0, None);
        for pod in failures {
            count += 1;
            last = last.max(Some(pod.finished));
        }
        // Pods of earlier failures may be gone.
        if last_success.is_none() && self.job.status.succeeded == 0 {
            count = count.max(self.failed);
        }
        wait(count, last?, now)
    }

    /// Decides which ends are counted now, and which finalizers go.
    fn count(&self, plan: &mut Plan, finish: Option<&Finish>) {
        let job = self.job;
        let completions = job.completions().unwrap_or(0);
        plan.tracked = self.pods.iter().filter(|pod| pod.tracked).map(|pod| pod.uid.clone()).collect();
        settle(&mut plan.status, &plan.tracked);
        let mut sorted: Vec<&Pod> = self.pods.iter().filter(|pod| pod.tracked).collect();
        crate::order::sort_by_key(&mut sorted, |pod| pod.index.unwrap_or(-1));
        let removed: HashSet<&str> = plan.remove.iter().map(|(_, uid)| uid.as_str()).collect();
        let mut new_indexes = Vec::new();
        for pod in sorted {
            if removed.contains(pod.uid.as_str()) {
                plan.tracked.remove(&pod.uid);
                continue;
            }
            let failed = pod.failed(job);
            let delayed = pod.index.is_some_and(|i| self.replaced.get(&i).is_some_and(|held| held.uid == pod.uid));
            if !(job.deleting || finish.is_some() || pod.succeeded() || (failed && !delayed)) {
                continue;
            }
            plan.untrack.push(named(pod));
            let uncounted = &mut plan.status;
            let within = !job.is_indexed() || pod.index.is_some_and(|index| index < completions);
            if pod.succeeded() && !uncounted.uncounted_failed.contains(&pod.uid) {
                if job.is_indexed() {
                    new_indexes.extend(pod.index_within(job).filter(|index| !self.succeeded_before.has(*index)));
                } else if !uncounted.uncounted_succeeded.contains(&pod.uid) {
                    uncounted.uncounted_succeeded.push(pod.uid.clone());
                }
            } else if (failed || finish.is_some_and(|finish| !finish.complete))
                && !uncounted.uncounted_failed.contains(&pod.uid)
                && within
                && pod.counts()
            {
                uncounted.uncounted_failed.push(pod.uid.clone());
            }
            let uids = uncounted.uncounted_succeeded.len() + uncounted.uncounted_failed.len();
            if new_indexes.len() + uids >= UNCOUNTED_MOST {
                break;
            }
        }
        if job.is_indexed() {
            let all = self.succeeded_before.with(&Indexes::of(new_indexes));
            plan.status.succeeded = all.count();
            plan.status.completed_indexes = all.to_string();
            plan.status.failed_indexes = self.failed_indexes.as_ref().map(Indexes::to_string);
        }
    }
}

/// The smallest goes first: not placed, pending, not ready, young.
fn rank(pod: &Pod) -> impl Ord + use<> {
    (pod.scheduled, pod.phase == "Running", pod.ready, std::cmp::Reverse(pod.created), pod.name.clone())
}

/// What is left of the wait after so many failures; `None` when it is over.
fn wait(failures: i64, last: i64, now: i64) -> Option<i64> {
    if failures <= 0 {
        return None;
    }
    let (first, most) = BACKOFF;
    let doubled = (failures - 1).min(20).unsigned_abs() as u32;
    let left = (first << doubled).min(most) - (now - last);
    (left > 0).then_some(left)
}

#[cfg(test)]
mod tests;
