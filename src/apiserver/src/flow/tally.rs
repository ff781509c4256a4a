//! What became of requests, by level and schema: the figures under Kubernetes' names.
//!
//! In: one call for each step of a request. Out: the text of `/metrics`. Bounded by the schemas there are, which
//! administrators make. A request looks for its counts once and holds them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::table::Table;
use crate::metrics::family;

/// Why a request was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// There was no seat, and its level does not queue.
    NoSeat,
    /// Its queue was full.
    Full,
    /// It waited too long.
    Late,
    /// The client went away.
    Gone,
}

/// Kubernetes' words for them, in order.
const REASONS: [&str; 4] = ["concurrency-limit", "queue-full", "time-out", "cancelled"];

/// The buckets of widths, as in Kubernetes.
const WIDTHS: [usize; 4] = [1, 2, 4, 10];

/// A figure; whoever changes it holds the lock of all of them.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    fn take(&self, less: u64) {
        self.0.store(self.get().saturating_sub(less), Ordering::Relaxed);
    }
}

/// What became of those of one level and schema.
#[derive(Debug, Default)]
pub struct Counts {
    dispatched: Count,
    turned: [Count; REASONS.len()],
    waiting: Count,
    executing: Count,
    seats: Count,
    at_most: [Count; WIDTHS.len()],
    came: Count,
    width: Count,
}

impl Counts {
    /// One came that wants so many seats.
    pub fn comes(&self, width: usize) {
        self.came.add(1);
        self.width.add(width as u64);
        self.at_most.iter().zip(WIDTHS).filter(|(_, most)| width <= *most).for_each(|(count, _)| count.add(1));
    }

    /// It is served.
    pub fn seated(&self, width: usize) {
        self.dispatched.add(1);
        self.executing.add(1);
        self.seats.add(width as u64);
    }

    /// It was served.
    pub fn leaves(&self, width: usize) {
        self.executing.take(1);
        self.seats.take(width as u64);
    }

    /// It waits.
    pub fn queued(&self) {
        self.waiting.add(1);
    }

    /// It no longer waits.
    pub fn unqueued(&self) {
        self.waiting.take(1);
    }

    /// It is turned away.
    pub fn turned(&self, why: Turned) {
        self.turned[why as usize].add(1);
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(Arc<str>, Arc<str>), Arc<Counts>>);

impl Tally {
    /// Those of that level and schema.
    pub fn of(&mut self, level: &Arc<str>, schema: &Arc<str>) -> Arc<Counts> {
        self.0.entry((level.clone(), schema.clone())).or_default().clone()
    }

    /// How many of a level were served, and how many were turned away for each reason.
    pub fn of_level(&self, level: &str) -> (u64, [u64; REASONS.len()]) {
        let (mut served, mut turned) = (0, [0; REASONS.len()]);
        for (_, counts) in self.0.iter().filter(|((own, _), _)| **own == *level) {
            served += counts.dispatched.get();
            turned.iter_mut().zip(&counts.turned).for_each(|(sum, count)| *sum += count.get());
        }
        (served, turned)
    }

    /// Forgets schemas that are gone, unless somebody of theirs is still here.
    pub fn keep(&mut self, table: &Table) {
        self.0.retain(|(_, schema), counts| table.has_schema(schema) || Arc::strong_count(counts) > 1);
    }

    /// Appends the figures.
    pub fn render(&self, out: &mut String) {
        let name = |part: &str| format!("apiserver_flowcontrol_{part}");
        let of =
            |(level, schema): &(Arc<str>, Arc<str>)| format!("flow_schema=\"{schema}\",priority_level=\"{level}\"");
        type Value = fn(&Counts) -> &Count;
        let families: [(&str, &str, &str, Value); 4] = [
            ("dispatched_requests_total", "counter", "Requests that were served.", |c| &c.dispatched),
            ("current_inqueue_requests", "gauge", "Requests that wait.", |c| &c.waiting),
            ("current_executing_requests", "gauge", "Requests that are served now.", |c| &c.executing),
            ("current_executing_seats", "gauge", "Seats that they take.", |c| &c.seats),
        ];
        for (part, kind, help, value) in families {
            let name = name(part);
            family(out, &name, kind, help);
            for (key, counts) in &self.0 {
                let _ = writeln!(out, "{name}{{{}}} {}", of(key), value(counts).get());
            }
        }
        let rejected = name("rejected_requests_total");
        family(out, &rejected, "counter", "Requests that were turned away.");
        let widths = name("work_estimated_seats");
        for (key, counts) in &self.0 {
            let turned = counts.turned.iter().map(Count::get);
            for (reason, count) in REASONS.iter().zip(turned).filter(|(_, count)| *count > 0) {
                let _ = writeln!(out, "{rejected}{{{},reason=\"{reason}\"}} {count}", of(key));
            }
        }
        family(out, &widths, "histogram", "Seats that requests took.");
        for (key, counts) in &self.0 {
            let of = of(key);
            for (most, count) in WIDTHS.iter().zip(&counts.at_most) {
                let count = count.get();
                let _ = writeln!(out, "{widths}_bucket{{{of},le=\"{most}\"}} {count}");
            }
            let (came, width) = (counts.came.get(), counts.width.get());
            let _ = writeln!(out, "{widths}_bucket{{{of},le=\"+Inf\"}} {came}");
            let _ = writeln!(out, "{widths}_sum{{{of}}} {width}\n{widths}_count{{{of}}} {came}");
        }
    }
}
