//! Flow control: when more is asked than can be served, everybody gets their part, by priority and fairness.
//!
//! In: an authenticated request. Out: a seat that is given back when it is dropped, at once or after a wait, or a
//! refusal. What FlowSchemas and PriorityLevelConfigurations say is followed while running (`upkeep/flow.rs`).
//! Watches and streams are bounded by `gate.rs` instead; the daemon's own parts never wait.

pub mod defaults;
pub mod dump;
pub mod seats;
pub mod table;
pub mod tally;
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
use crate::request::{RequestInfo, Verb};
use seats::{Entered, Seats, Ticket};
use table::Table;
use tally::{Counts, Tally, Turned};
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
    waiting: HashMap<Ticket, Waiter>,
    /// What became of them.
    tally: Tally,
}

/// Somebody who waits, and what of, for those who look.
#[derive(Debug)]
struct Waiter {
    tell: oneshot::Sender<()>,
    schema: Arc<str>,
    user: String,
    verb: Verb,
    path: String,
    since: Instant,
    work: Work,
}

/// Whose a seat is, and for how much work.
#[derive(Debug, Clone)]
struct Taker {
    level: Arc<str>,
    counts: Arc<Counts>,
    hash: u64,
    work: Work,
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
    of: Taker,
    since: Instant,
}

impl Seat {
    /// How long it is to be kept after the answer.
    pub fn after(&self) -> Duration {
        self.of.work.after
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut state = self.flow.state();
        let of = &self.of;
        let let_in = state.seats.leave(&of.level, of.hash, of.work.seats, micros);
        of.counts.leaves(of.work.seats);
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
                let _ = waiter.tell.send(());
            }
        }
    }
}

/// Somebody in a queue; leaves it when the client goes away.
struct InQueue {
    flow: Arc<FlowControl>,
    of: Taker,
    ticket: Option<Ticket>,
    why: Turned,
}

impl InQueue {
    /// It was let in.
    fn seated(mut self) -> Seat {
        self.ticket = None;
        let state = self.flow.state();
        self.of.counts.unqueued();
        self.of.counts.seated(self.of.work.seats);
        drop(state);
        Seat { flow: self.flow.clone(), of: self.of.clone(), since: Instant::now() }
    }
}

impl Drop for InQueue {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let mut state = self.flow.state();
        state.waiting.remove(&ticket);
        self.of.counts.unqueued();
        self.of.counts.turned(self.why);
        if !state.seats.give_up(&self.of.level, ticket) {
            // It was let in between its last look and now.
            let let_in = state.seats.leave(&self.of.level, self.of.hash, self.of.work.seats, 0);
            state.wake(let_in);
        }
    }
}

impl FlowControl {
    /// So many seats in all.
    pub fn new(seats: usize) -> FlowControl {
        FlowControl {
            table: RwLock::default(),
            state: Mutex::new(State { seats: Seats::new(seats), waiting: HashMap::new(), tally: Tally::default() }),
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
        state.tally.keep(&table);
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
        let (entered, told, counts, work) = {
            let mut state = self.state();
            let work = work.within(state.seats.widest(&level));
            let entered = state.seats.enter(&level, hash, work.seats);
            let counts = state.tally.of(&level, &place.schema.name);
            counts.comes(work.seats);
            match &entered {
                Entered::Seated => counts.seated(work.seats),
                Entered::NoSeat => counts.turned(Turned::NoSeat),
                Entered::QueueFull => counts.turned(Turned::Full),
                Entered::Queued(_) => counts.queued(),
            }
            let told = match &entered {
                Entered::Queued(ticket) => {
                    let (tell, told) = oneshot::channel();
                    let waiter = Waiter {
                        tell,
                        schema: place.schema.name.clone(),
                        user: who.name.clone(),
                        verb: info.verb,
                        path: info.path.clone(),
                        since: Instant::now(),
                        work,
                    };
                    state.waiting.insert(*ticket, waiter);
                    Some(told)
                }
                _ => None,
            };
            (entered, told, counts, work)
        };
        let of = Taker { level, counts, hash, work };
        let outcome = match (entered, told) {
            (Entered::Seated, _) => Ok(Some(Seat { flow: self.clone(), of, since: Instant::now() })),
            (Entered::Queued(ticket), Some(told)) => {
                let mut place = InQueue { flow: self.clone(), of, ticket: Some(ticket), why: Turned::Gone };
                match tokio::time::timeout(PATIENCE, told).await {
                    Ok(Ok(())) => Ok(Some(place.seated())),
                    _ => {
                        place.why = Turned::Late;
                        Err(Refusal::TooMany)
                    }
                }
            }
            _ => Err(Refusal::TooMany),
        };
        (marks, outcome)
    }

    /// Appends figures to `/metrics`, under Kubernetes' names.
    pub fn render(&self, out: &mut String) {
        let state = self.state();
        let name = "apiserver_flowcontrol_nominal_limit_seats";
        family(out, name, "gauge", "A level's own seats.");
        for level in state.seats.figures() {
            let _ = writeln!(out, "{name}{{priority_level=\"{}\"}} {}", level.name, level.nominal);
        }
        state.tally.render(out);
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
        let mut text = String::new();
        flow.render(&mut text);
        let of = "{flow_schema=\"global-default\",priority_level=\"global-default\"";
        for (part, count) in [
            (format!("dispatched_requests_total{of}}}"), 3),
            (format!("rejected_requests_total{of},reason=\"time-out\"}}"), 1),
            (format!("current_inqueue_requests{of}}}"), 0),
            (format!("current_executing_seats{of}}}"), 0),
            (format!("work_estimated_seats_count{of}}}"), 4),
        ] {
            let line = format!("apiserver_flowcontrol_{part} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
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
