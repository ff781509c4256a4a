//! Figures about calls to admission webhooks, with Kubernetes' names.
//!
//! In: one word for each call. Out: lines of `/metrics`. Webhooks are named by their users, so
//! the number of series has a bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::cache::Family;
use crate::admission::Operation;
use crate::metrics::{MetricsSource, family};

/// Upper bounds of the latency buckets in seconds, as upstream.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
/// Series of one family, at most: 30 webhooks with all their operations and usual codes.
const MOST_SERIES: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Counted>);

type Labels = (String, &'static str, &'static str);

#[derive(Debug, Default)]
struct Counted {
    latencies: BTreeMap<(Labels, bool), Latency>,
    requests: BTreeMap<(Labels, u16, bool), u64>,
    rejections: BTreeMap<(Labels, &'static str, u16), u64>,
    failed_open: BTreeMap<(String, &'static str), u64>,
}

#[derive(Debug, Default)]
struct Latency {
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// Why a webhook's call refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The webhook said so.
    Said,
    /// It could not be asked.
    Call,
    /// We could not.
    Own,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Refusal::Said => "no_error",
            Refusal::Call => "calling_webhook_error",
            Refusal::Own => "apiserver_internal_error",
        }
    }
}

/// Adds one where there is room.
fn count<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
    if map.len() < MOST_SERIES || map.contains_key(&key) {
        *map.entry(key).or_default() += 1;
    }
}

impl Figures {
    /// Counts a call. Codes above 600 count as 600.
    pub fn called(
        &self,
        family: Family,
        hook: &str,
        operation: Operation,
        took: Duration,
        code: u16,
        refusal: Option<Refusal>,
    ) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = || (hook.to_owned(), family.step(), operation.as_str());
        let code = code.min(600);
        count(&mut counted.requests, (labels(), code, refusal.is_some()));
        if let Some(refusal) = refusal {
            count(&mut counted.rejections, (labels(), refusal.as_str(), code));
        }
        let key = (labels(), refusal.is_some());
        if counted.latencies.len() < MOST_SERIES || counted.latencies.contains_key(&key) {
            let latency = counted.latencies.entry(key).or_default();
            let seconds = took.as_secs_f64();
            if let Some(at) = BUCKETS.iter().position(|bound| seconds <= *bound) {
                latency.buckets[at] += 1;
            }
            latency.count += 1;
            latency.sum += seconds;
        }
    }

    /// Counts a call that failed and was passed over.
    pub fn failed_open(&self, family: Family, hook: &str) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut counted.failed_open, (hook.to_owned(), family.step()));
    }
}

fn labels((name, step, operation): &Labels) -> String {
    // A webhook's name is a DNS name: nothing in it needs escaping.
    format!("name=\"{name}\",operation=\"{operation}\",type=\"{step}\"")
}

impl MetricsSource for super::cache::Webhooks {
    fn render(&self, out: &mut String) {
        let counted = self.figures.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.requests.is_empty() && counted.failed_open.is_empty() {
            return;
        }
        const DURATION: &str = "apiserver_admission_webhook_admission_duration_seconds";
        family(out, DURATION, "histogram", "Time an admission webhook took.");
        for ((key, rejected), latency) in &counted.latencies {
            let labels = format!("{},rejected=\"{rejected}\"", labels(key));
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(latency.buckets) {
                below += count;
                let _ = writeln!(out, "{DURATION}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{DURATION}_bucket{{{labels},le=\"+Inf\"}} {}", latency.count);
            let _ = writeln!(out, "{DURATION}_sum{{{labels}}} {}", latency.sum);
            let _ = writeln!(out, "{DURATION}_count{{{labels}}} {}", latency.count);
        }
        const REQUESTS: &str = "apiserver_admission_webhook_request_total";
        family(out, REQUESTS, "counter", "Calls of admission webhooks.");
        for ((key, code, rejected), count) in &counted.requests {
            let _ = writeln!(out, "{REQUESTS}{{code=\"{code}\",{},rejected=\"{rejected}\"}} {count}", labels(key));
        }
        const REJECTIONS: &str = "apiserver_admission_webhook_rejection_count";
        family(out, REJECTIONS, "counter", "Requests that an admission webhook refused, or failing to ask it did.");
        for ((key, why, code), count) in &counted.rejections {
            let labels = labels(key);
            let _ = writeln!(out, "{REJECTIONS}{{error_type=\"{why}\",{labels},rejection_code=\"{code}\"}} {count}");
        }
        const OPEN: &str = "apiserver_admission_webhook_fail_open_count";
        family(out, OPEN, "counter", "Calls of admission webhooks that failed and were passed over.");
        for ((name, step), count) in &counted.failed_open {
            let _ = writeln!(out, "{OPEN}{{name=\"{name}\",type=\"{step}\"}} {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::Webhooks;
    use super::*;

    #[test]
    fn calls_are_counted_by_name_step_and_outcome() {
        let webhooks = Webhooks::default();
        let mut out = String::new();
        webhooks.render(&mut out);
        assert_eq!(out, "");
        let took = Duration::from_millis(30);
        webhooks.figures.called(Family::Mutating, "a.b.c", Operation::Create, took, 200, None);
        webhooks.figures.called(Family::Validating, "a.b.c", Operation::Delete, took, 700, Some(Refusal::Said));
        webhooks.figures.failed_open(Family::Validating, "a.b.c");
        webhooks.render(&mut out);
        for line in [
            "duration_seconds_bucket{name=\"a.b.c\",operation=\"CREATE\",type=\"admit\",rejected=\"false\",le=\"0.1\"} 1",
            "request_total{code=\"600\",name=\"a.b.c\",operation=\"DELETE\",type=\"validating\",rejected=\"true\"} 1",
            "rejection_count{error_type=\"no_error\",name=\"a.b.c\",operation=\"DELETE\",type=\"validating\",rejection_code=\"600\"} 1",
            "fail_open_count{name=\"a.b.c\",type=\"validating\"} 1",
        ] {
            assert!(out.contains(line), "{line} is not in\n{out}");
        }
    }
}
