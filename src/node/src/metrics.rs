//! Counts what the agent does.
//!
//! In: one call for each thing that happens. Out: Prometheus text.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds in milliseconds: a pod of one container is to start in 60.
const BOUNDS: [u64; 9] = [20, 50, 100, 200, 500, 1000, 5000, 30_000, 120_000];

/// The agent's counters.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Pods with a worker.
    pub pods: AtomicU64,
    /// Containers that were started.
    pub container_starts: AtomicU64,
    /// Containers that could not be.
    pub container_start_errors: AtomicU64,
    /// Containers that ended.
    pub container_exits: AtomicU64,
    /// Status writes.
    pub status_writes: AtomicU64,
    /// Times a worker panicked and was started again.
    pub worker_panics: AtomicU64,
    pod_starts: Histogram,
    container_start: Histogram,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, duration: Duration) {
        self.count.fetch_add(1, Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Relaxed);
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            if micros <= bound * 1000 {
                bucket.fetch_add(1, Relaxed);
            }
        }
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (bound, bucket) in BOUNDS.iter().zip(&self.buckets) {
            let seconds = *bound as f64 / 1000.0;
            let count = bucket.load(Relaxed);
            let _ = writeln!(out, "{name}_bucket{{le=\"{seconds}\"}} {count}");
        }
        let count = self.count.load(Relaxed);
        let sum = self.micros.load(Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}

impl Metrics {
    /// Add one.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// A pod was Running so long after the agent had first seen it.
    pub fn pod_started(&self, took: Duration) {
        self.pod_starts.add(took);
    }

    /// A container's making and starting took so long.
    pub fn container_started(&self, took: Duration) {
        Self::count(&self.container_starts);
        self.container_start.add(took);
    }

    /// Everything as text; `events_dropped` comes from the event queue.
    pub fn text(&self, events_dropped: u64) -> String {
        let mut out = String::new();
        let rows = [
            ("kedge_node_pods", "gauge", "Pods with a worker.", &self.pods),
            ("kedge_node_container_starts_total", "counter", "Containers started.", &self.container_starts),
            (
                "kedge_node_container_start_errors_total",
                "counter",
                "Containers that could not be started.",
                &self.container_start_errors,
            ),
            ("kedge_node_container_exits_total", "counter", "Containers that ended.", &self.container_exits),
            ("kedge_node_status_writes_total", "counter", "Pod statuses written.", &self.status_writes),
            (
                "kedge_node_worker_panics_total",
                "counter",
                "Pod workers that panicked and were started again.",
                &self.worker_panics,
            ),
        ];
        for (name, kind, help, value) in rows {
            let value = value.load(Relaxed);
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        let _ = writeln!(
            out,
            "# HELP kedge_node_events_dropped_total Events that found no room in the queue.\n\
             # TYPE kedge_node_events_dropped_total counter\n\
             kedge_node_events_dropped_total {events_dropped}"
        );
        self.pod_starts.write("kedge_node_pod_start_seconds", "From first seen to Running.", &mut out);
        self.container_start.write("kedge_node_container_start_seconds", "Making and starting a container.", &mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_every_counter_and_cumulative_buckets() {
        let metrics = Metrics::default();
        metrics.pod_started(Duration::from_millis(30));
        metrics.container_started(Duration::from_millis(300));
        let text = metrics.text(7);
        for line in [
            "kedge_node_container_starts_total 1",
            "kedge_node_events_dropped_total 7",
            "kedge_node_pod_start_seconds_bucket{le=\"0.02\"} 0",
            "kedge_node_pod_start_seconds_bucket{le=\"0.05\"} 1",
            "kedge_node_pod_start_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}");
        }
    }
}
