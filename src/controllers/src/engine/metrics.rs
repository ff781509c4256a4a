//! What the controllers did, in Prometheus' text form under Kubernetes' names.
//!
//! In: ends of reconciles. Out: text. Never resets while a plugin runs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::add;

/// Figures by plugin and controller.
type Tallies = BTreeMap<(String, String), Arc<Tally>>;

/// The figures of all controllers. Cheap to clone.
#[derive(Clone, Default)]
pub struct Metrics {
    tallies: Arc<Mutex<Tallies>>,
}

/// The figures of one controller.
#[derive(Default)]
pub struct Tally {
    pub(super) depth: AtomicU64,
    pub(super) adds: AtomicU64,
    reconciles: AtomicU64,
    failures: AtomicU64,
    microseconds: AtomicU64,
}

impl Tally {
    pub(super) fn ended(&self, took: Duration, failed: bool) {
        add(&self.reconciles, 1);
        add(&self.failures, u64::from(failed));
        add(&self.microseconds, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}

impl Metrics {
    pub(super) fn tally(&self, plugin: &str, controller: &str) -> Arc<Tally> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.entry((plugin.to_owned(), controller.to_owned())).or_default().clone()
    }

    pub(super) fn forget(&self, plugin: &str) {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|(owner, _), _| owner != plugin);
    }

    /// Reconciles so far: all, failed ones, and the time that they took together.
    pub fn reconciles(&self) -> (u64, u64, Duration) {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.values().fold((0, 0, Duration::ZERO), |(all, failed, took), t| {
            let spent = Duration::from_micros(t.microseconds.load(Relaxed));
            (all + t.reconciles.load(Relaxed), failed + t.failures.load(Relaxed), took + spent)
        })
    }

    /// Appends the figures.
    pub fn render(&self, into: &mut String) {
        type Figure = (&'static str, &'static str, fn(&Tally) -> f64);
        const FIGURES: &[Figure] = &[
            ("workqueue_depth", "gauge", |t| t.depth.load(Relaxed) as f64),
            ("workqueue_adds_total", "counter", |t| t.adds.load(Relaxed) as f64),
            ("kedge_controller_reconciles_total", "counter", |t| t.reconciles.load(Relaxed) as f64),
            ("kedge_controller_reconcile_failures_total", "counter", |t| t.failures.load(Relaxed) as f64),
            ("kedge_controller_reconcile_seconds_total", "counter", |t| t.microseconds.load(Relaxed) as f64 / 1e6),
        ];
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        for (figure, kind, value) in FIGURES {
            let _ = writeln!(into, "# TYPE {figure} {kind}");
            for ((plugin, controller), tally) in tallies.iter() {
                let _ = writeln!(into, "{figure}{{name=\"{controller}\",plugin=\"{plugin}\"}} {}", value(tally));
            }
        }
    }
}
