//! What the scheduler counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters, shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Metrics {
    pub(crate) scheduled: AtomicU64,
    pub(crate) unschedulable: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) cycle_nanoseconds: AtomicU64,
    pub(crate) bind_failures: AtomicU64,
    pub(crate) active: AtomicU64,
    pub(crate) backing_off: AtomicU64,
    pub(crate) parked: AtomicU64,
    pub(crate) nodes: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsNow {
    /// Attempts that found a node.
    pub scheduled: u64,
    /// Attempts that found none.
    pub unschedulable: u64,
    /// Attempts that failed.
    pub errors: u64,
    /// Time spent in attempts.
    pub cycle_time: Duration,
    /// Bindings that the API refused.
    pub bind_failures: u64,
    /// Pods to be tried now.
    pub active: u64,
    /// Pods to be tried later.
    pub backing_off: u64,
    /// Pods that wait for something to help.
    pub unschedulable_pods: u64,
    /// Nodes known.
    pub nodes: u64,
}

impl Metrics {
    /// The counters now.
    pub fn now(&self) -> MetricsNow {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        MetricsNow {
            scheduled: get(&self.scheduled),
            unschedulable: get(&self.unschedulable),
            errors: get(&self.errors),
            cycle_time: Duration::from_nanos(get(&self.cycle_nanoseconds)),
            bind_failures: get(&self.bind_failures),
            active: get(&self.active),
            backing_off: get(&self.backing_off),
            unschedulable_pods: get(&self.parked),
            nodes: get(&self.nodes),
        }
    }

    /// The text that Prometheus reads, with Kubernetes' names.
    pub fn render(&self) -> String {
        let now = self.now();
        let attempts = now.scheduled + now.unschedulable + now.errors;
        format!(
            "# HELP scheduler_schedule_attempts_total Attempts to place pods, by result.\n\
             # TYPE scheduler_schedule_attempts_total counter\n\
             scheduler_schedule_attempts_total{{result=\"scheduled\"}} {}\n\
             scheduler_schedule_attempts_total{{result=\"unschedulable\"}} {}\n\
             scheduler_schedule_attempts_total{{result=\"error\"}} {}\n\
             # HELP scheduler_scheduling_attempt_duration_seconds Time spent in attempts.\n\
             # TYPE scheduler_scheduling_attempt_duration_seconds summary\n\
             scheduler_scheduling_attempt_duration_seconds_sum {}\n\
             scheduler_scheduling_attempt_duration_seconds_count {attempts}\n\
             # HELP scheduler_pending_pods Pods that wait, by queue.\n\
             # TYPE scheduler_pending_pods gauge\n\
             scheduler_pending_pods{{queue=\"active\"}} {}\n\
             scheduler_pending_pods{{queue=\"backoff\"}} {}\n\
             scheduler_pending_pods{{queue=\"unschedulable\"}} {}\n",
            now.scheduled,
            now.unschedulable,
            now.errors,
            now.cycle_time.as_secs_f64(),
            now.active,
            now.backing_off,
            now.unschedulable_pods,
        )
    }
}
