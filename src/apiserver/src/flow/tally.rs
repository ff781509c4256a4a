//! What became of requests, by level and schema: the figures under Kubernetes' names.
//!
//! In: one call for each step of a request. Out: the text of `/metrics`. Bounded by the schemas there are, which
//! administrators make.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

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

/// What became of those of one level and schema.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    dispatched: u64,
    turned: [u64; REASONS.len()],
    waiting: u64,
    executing: u64,
    seats: u64,
    at_most: [u64; WIDTHS.len()],
    came: u64,
    width: u64,
}

impl Counts {
    /// One came that wants so many seats.
    pub fn comes(&mut self, width: usize) {
        self.came += 1;
        self.width += width as u64;
        for (count, most) in self.at_most.iter_mut().zip(WIDTHS) {
            *count += u64::from(width <= most);
        }
    }

    /// It is served.
    pub fn seated(&mut self, width: usize) {
        self.dispatched += 1;
        self.executing += 1;
        self.seats += width as u64;
    }

    /// It was served.
    pub fn leaves(&mut self, width: usize) {
        self.executing = self.executing.saturating_sub(1);
        self.seats = self.seats.saturating_sub(width as u64);
    }

    /// It waits.
    pub fn queued(&mut self) {
        self.waiting += 1;
    }

    /// It no longer waits.
    pub fn unqueued(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// It is turned away.
    pub fn turned(&mut self, why: Turned) {
        self.turned[why as usize] += 1;
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(Arc<str>, Arc<str>), Counts>);

impl Tally {
    /// Those of that level and schema.
    pub fn of(&mut self, level: &Arc<str>, schema: &Arc<str>) -> &mut Counts {
        self.0.entry((level.clone(), schema.clone())).or_default()
    }

    /// Forgets schemas that are gone, unless somebody of theirs is still here.
    pub fn keep(&mut self, table: &Table) {
        self.0.retain(|(_, schema), counts| table.has_schema(schema) || counts.waiting + counts.executing > 0);
    }

    /// Appends the figures.
    pub fn render(&self, out: &mut String) {
        let name = |part: &str| format!("apiserver_flowcontrol_{part}");
        let of =
            |(level, schema): &(Arc<str>, Arc<str>)| format!("flow_schema=\"{schema}\",priority_level=\"{level}\"");
        type Value = fn(&Counts) -> u64;
        let families: [(&str, &str, &str, Value); 4] = [
            ("dispatched_requests_total", "counter", "Requests that were served.", |c| c.dispatched),
            ("current_inqueue_requests", "gauge", "Requests that wait.", |c| c.waiting),
            ("current_executing_requests", "gauge", "Requests that are served now.", |c| c.executing),
            ("current_executing_seats", "gauge", "Seats that they take.", |c| c.seats),
        ];
        for (part, kind, help, value) in families {
            let name = name(part);
            family(out, &name, kind, help);
            for (key, counts) in &self.0 {
                let _ = writeln!(out, "{name}{{{}}} {}", of(key), value(counts));
            }
        }
        let rejected = name("rejected_requests_total");
        family(out, &rejected, "counter", "Requests that were turned away.");
        let widths = name("work_estimated_seats");
        for (key, counts) in &self.0 {
            for (reason, count) in REASONS.iter().zip(counts.turned).filter(|(_, count)| *count > 0) {
                let _ = writeln!(out, "{rejected}{{{},reason=\"{reason}\"}} {count}", of(key));
            }
        }
        family(out, &widths, "histogram", "Seats that requests took.");
        for (key, counts) in &self.0 {
            let of = of(key);
            for (most, count) in WIDTHS.iter().zip(counts.at_most) {
                let _ = writeln!(out, "{widths}_bucket{{{of},le=\"{most}\"}} {count}");
            }
            let _ = writeln!(out, "{widths}_bucket{{{of},le=\"+Inf\"}} {}", counts.came);
            let _ = writeln!(out, "{widths}_sum{{{of}}} {}\n{widths}_count{{{of}}} {}", counts.width, counts.came);
        }
    }
}
