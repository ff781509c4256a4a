//! Flow control: when more is asked than can be served, everybody gets their part, by priority and fairness.
//!
//! In: an authenticated request. Out: a seat that is given back when it is dropped, at once or after a wait, or a
//! refusal. What FlowSchemas and PriorityLevelConfigurations say is followed while running (`upkeep/flow.rs`).
//! Watches and streams are bounded by `gate.rs` instead; the daemon's own parts never wait.

pub mod defaults;
pub mod seats;
pub mod table;
pub mod watchers;
pub mod width;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tokio::sync::oneshot;

use crate::identity::Identity;
use crate::metrics::family;
use crate::request::RequestInfo;
use seats::{Entered, Seats, Ticket};
use table::Table;
use watchers::Watchers;
use width::{Sizes, Work};

/// Longest wait for a seat: a quarter of a request's time, as in Kubernetes.
const PATIENCE: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug)]
pub struct FlowControl {
    table: RwLock<Arc<Table>>,
    state: Mutex<State>,
    /// Set when there is a table; before that everybody is let in.
    ready: AtomicBool,
    /// How large collections are.
    pub sizes: Sizes,
    /// Who will be told of writes.
    pub watchers: Arc<Watchers>,
}

#[derive(Debug)]
struct State {
    seats: Seats,
    /// Who waits; each is woken once.
    waiting: HashMap<Ticket, oneshot::Sender<()>>,
}

/// Which schema and level a request was served under, as its answer's headers say.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The FlowSchema's uid.
    pub schema: Option<HeaderValue>,
    /// The PriorityLevelConfiguration's uid.
    pub level: Option<HeaderValue>,
}

/// A seat; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    flow: Arc<FlowControl>,
    level: Arc<str>,
    hash: u64,
    work: Work,
    since: Instant,
}

impl Seat {
    /// How long it is to be kept after the answer.
    pub fn after(&self) -> Duration {
        self.work.after
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut state = self.flow.state();
        let let_in = state.seats.leave(&self.level, self.hash, self.work.seats, micros);
        state.wake(let_in);
    }
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its level has no seat and does not queue, or its queue is full, or it waited too long.
    TooMany,
}

impl State {
    fn wake(&mut self, tickets: Vec<Ticket>) {
        for ticket in tickets {
            // Whoever is gone by now gives the seat back by its guard.
            if let Some(waiter) = self.waiting.remove(&ticket) {
                let _ = waiter.send(());
            }
        }
    }
}

/// Somebody in a queue; leaves it when the client goes away.
struct InQueue {
    flow: Arc<FlowControl>,
    level: Arc<str>,
    hash: u64,
    work: Work,
    ticket: Option<Ticket>,
}

impl InQueue {
    /// It was let in.
    fn seated(mut self) -> Seat {
        self.ticket = None;
        let (flow, level) = (self.flow.clone(), self.level.clone());
        Seat { flow, level, hash: self.hash, work: self.work, since: Instant::now() }
    }
}

impl Drop for InQueue {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut state = self.flow.state();
        state.waiting.remove(&ticket);
        if !state.seats.give_up(&self.level, ticket) {
            // It was let in between its last look and now.
            let let_in = state.seats.leave(&self.level, self.hash, self.work.seats, 0);
            state.wake(let_in);
        }
    }
}

impl FlowControl {
    /// So many seats in all.
    pub fn new(seats: usize) -> FlowControl {
        FlowControl {
            table: RwLock::default(),
            state: Mutex::new(State { seats: Seats::new(seats), waiting: HashMap::new() }),
            ready: AtomicBool::new(false),
            sizes: Sizes::default(),
            watchers: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The schemas and levels in force.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over schemas and levels.
    pub fn configure(&self, table: Table) {
        let table = Arc::new(table);
        let mut state = self.state();
        let let_in = state.seats.configure(&table);
        state.wake(let_in);
        drop(state);
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.ready.store(true, Ordering::Release);
    }

    /// Which schema and level a request belongs to, and its seat if it takes any: for about that work, as its level allows.
    pub async fn enter(
        self: &Arc<Self>,
        who: &Identity,
        info: &RequestInfo,
        work: Work,
    ) -> (Marks, Result<Option<Seat>, Refusal>) {
        if !self.ready.load(Ordering::Acquire) {
            return (Marks::default(), Ok(None));
        }
        let table = self.table();
        let Some(place) = table.place(who, info) else { return (Marks::default(), Ok(None)) };
        let marks = Marks {
            schema: HeaderValue::from_str(&place.schema.uid).ok(),
            level: HeaderValue::from_str(&place.level.uid).ok(),
        };
        if work.seats == 0 {
            return (marks, Ok(None));
        }
        let hash = {
            let mut hasher = DefaultHasher::new();
            (&place.schema.name, place.flow).hash(&mut hasher);
            hasher.finish()
        };
        let level = place.level.name.clone();
        let (entered, told, work) = {
            let mut state = self.state();
            let work = work.within(state.seats.widest(&level));
            match state.seats.enter(&level, hash, work.seats) {
                Entered::Queued(ticket) => {
                    let (tell, told) = oneshot::channel();
                    state.waiting.insert(ticket, tell);
                    (Entered::Queued(ticket), Some(told), work)
                }
                other => (other, None, work),
            }
        };
        let outcome = match (entered, told) {
            (Entered::Seated, _) => Ok(Some(Seat { flow: self.clone(), level, hash, work, since: Instant::now() })),
            (Entered::Queued(ticket), Some(told)) => {
                let place = InQueue { flow: self.clone(), level, hash, work, ticket: Some(ticket) };
                match tokio::time::timeout(PATIENCE, told).await {
                    Ok(Ok(())) => Ok(Some(place.seated())),
                    _ => Err(Refusal::TooMany),
                }
            }
            _ => Err(Refusal::TooMany),
        };
        (marks, outcome)
    }

    /// Appends figures to `/metrics`, under Kubernetes' names.
    pub fn render(&self, out: &mut String) {
        let figures = self.state().seats.figures();
        let name = |part: &str| format!("apiserver_flowcontrol_{part}");
        type Value = fn(&seats::Figures) -> u64;
        let families: [(&str, &str, &str, Value); 6] = [
            ("dispatched_requests_total", "counter", "Requests that were served.", |f| f.dispatched),
            ("rejected_requests_total", "counter", "Requests that were turned away.", |f| f.rejected),
            ("current_inqueue_requests", "gauge", "Requests that wait.", |f| f.waiting as u64),
            ("current_executing_requests", "gauge", "Requests that are served now.", |f| f.executing as u64),
            ("current_executing_seats", "gauge", "Seats that they take.", |f| f.in_use as u64),
            ("nominal_limit_seats", "gauge", "A level's own seats.", |f| f.nominal as u64),
        ];
        for (part, kind, help, value) in families {
            let name = name(part);
            family(out, &name, kind, help);
            for level in &figures {
                let _ = writeln!(out, "{name}{{priority_level=\"{}\"}} {}", level.name, value(level));
            }
        }
        let name = name("work_estimated_seats");
        family(out, &name, "histogram", "Seats that requests took.");
        for level in &figures {
            let (of, widths) = (format!("priority_level=\"{}\"", level.name), level.widths);
            for (most, count) in seats::WIDTHS.iter().zip(widths.at_most) {
                let _ = writeln!(out, "{name}_bucket{{{of},le=\"{most}\"}} {count}");
            }
            let _ = writeln!(out, "{name}_bucket{{{of},le=\"+Inf\"}} {}", widths.count);
            let _ = writeln!(out, "{name}_sum{{{of}}} {}", widths.sum);
            let _ = writeln!(out, "{name}_count{{{of}}} {}", widths.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn info() -> RequestInfo {
        crate::request::parse(&http::Method::GET, "/api/v1/namespaces/a/pods", &Query::parse(""))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_let_in_or_told_to_come_again() {
        let flow = Arc::new(FlowControl::new(1));
        let objects = defaults::objects();
        flow.configure(Table::compile(objects.iter()));
        let jane = Identity::user("jane", ["dev"]);
        let first = flow.enter(&jane, &info(), Work::ONE).await.1.expect("there is a seat");
        assert!(first.is_some());
        let waits = tokio::spawn({
            let (flow, jane) = (flow.clone(), jane.clone());
            async move { flow.enter(&jane, &info(), Work::ONE).await.1.map(|seat| seat.is_some()) }
        });
        while flow.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert_eq!(waits.await.expect("it ends"), Ok(true));

        let held = flow.enter(&jane, &info(), Work::ONE).await.1.expect("a seat again");
        assert_eq!(
            flow.enter(&jane, &info(), Work::ONE).await.1.map(|_| ()),
            Err(Refusal::TooMany),
            "after its patience"
        );
        assert!(flow.enter(&Identity::master("root"), &info(), Work::ONE).await.1.is_ok(), "the exempt do not wait");
        drop(held);
        assert!(flow.state().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_client_that_goes_away_leaves_its_queue() {
        let flow = Arc::new(FlowControl::new(1));
        let objects = defaults::objects();
        flow.configure(Table::compile(objects.iter()));
        let jane = Identity::user("jane", ["dev"]);
        let held = flow.enter(&jane, &info(), Work::ONE).await.1.expect("a seat");
        {
            let asked = info();
            let mut waits = std::pin::pin!(flow.enter(&jane, &asked, Work::ONE));
            assert!(futures::poll!(waits.as_mut()).is_pending());
        }
        drop(held);
        assert!(flow.enter(&jane, &info(), Work::ONE).await.1.is_ok_and(|seat| seat.is_some()));
    }
}
