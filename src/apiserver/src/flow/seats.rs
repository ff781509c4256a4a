//! Seats and queues of every level: who may be served now, who waits, who is next.
//!
//! In: requests that come, end or give up, with the time. Out: a seat, a place in a queue, or a refusal; and whom to let
//! in when a seat gets free. Pure: the caller wakes those who waited. Every queue is bounded by its level.
//!
//! A level has its part of the seats. While others do not use what they may lend, it may use that too. Inside a level
//! each flow is dealt a hand of queues and takes the shortest, so that a flow that floods fills its own queues; the
//! queue that was served least goes first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::table::{LevelRow, Share, Table, WhenFull};

/// Percent of a level's own seats that one request may take, as in Kubernetes.
const WIDEST: usize = 15;

/// A request that waits.
pub type Ticket = u64;

/// What becomes of a request that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Entered {
    /// It is served now.
    Seated,
    /// It waits.
    Queued(Ticket),
    /// It is turned away: there is no seat and its level does not queue.
    NoSeat,
    /// It is turned away: its queue is full.
    QueueFull,
}

/// A queue of a level.
#[derive(Debug, Default)]
pub struct Queue {
    /// Who waits, and for how many seats.
    pub waiting: VecDeque<(Ticket, usize)>,
    /// Microseconds of service that its requests have had, times their seats.
    pub served: u64,
}

#[derive(Debug)]
struct Level {
    row: LevelRow,
    /// Its own seats.
    nominal: usize,
    /// How many of them others may use.
    lendable: usize,
    /// How many it may have in all.
    most: usize,
    /// How many one request may have.
    widest: usize,
    in_use: usize,
    executing: usize,
    queues: Vec<Queue>,
    waiting: usize,
}

/// Figures of one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The level.
    pub name: Arc<str>,
    /// Its own seats.
    pub nominal: usize,
    /// Seats it uses.
    pub in_use: usize,
    /// Requests that are served.
    pub executing: usize,
    /// Requests that wait.
    pub waiting: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Seats {
    total: usize,
    levels: BTreeMap<Arc<str>, Level>,
    next: Ticket,
}

impl Seats {
    /// So many seats, shared by no level yet.
    pub fn new(total: usize) -> Seats {
        Seats { total: total.max(1), levels: BTreeMap::new(), next: 1 }
    }

    /// Takes over the levels of a table. Levels that are gone keep those who are in or wait until they are done.
    pub fn configure(&mut self, table: &Table) -> Vec<Ticket> {
        let shares = |row: &LevelRow| match row.share {
            Share::Exempt => 0,
            Share::Limited { shares, .. } => shares,
        };
        let sum: u64 = table.levels().map(shares).sum::<u64>().max(1);
        let total = self.total as u64;
        for row in table.levels() {
            let level = self.levels.entry(row.name.clone()).or_insert_with(|| Level::new(row.clone()));
            level.row = row.clone();
            level.nominal = usize::try_from((total * shares(row)).div_ceil(sum)).unwrap_or(usize::MAX);
            if let Share::Limited { lendable, borrowing, full, .. } = row.share {
                let percent = |of: usize, percent: u64| usize::try_from(of as u64 * percent / 100).unwrap_or(of);
                level.lendable = percent(level.nominal, lendable);
                level.most = match borrowing {
                    Some(limit) => level.nominal.saturating_add(percent(level.nominal, limit)),
                    None => self.total,
                };
                if let WhenFull::Queue { queues, .. } = full
                    && level.queues.len() < queues
                {
                    level.queues.resize_with(queues, Queue::default);
                }
                level.widest = match full {
                    WhenFull::Queue { hand, .. } => {
                        (level.nominal * WIDEST).div_ceil(100).min(level.nominal / hand).max(1)
                    }
                    WhenFull::Reject => super::width::MOST,
                };
            }
        }
        self.levels.retain(|name, level| table.has_level(name) || level.in_use + level.waiting > 0);
        self.admit()
    }

    /// How many seats of a level one request may have.
    pub fn widest(&self, name: &str) -> usize {
        self.levels.get(name).map_or(1, |level| level.widest.max(1))
    }

    /// A request of a level and flow comes for so many seats. `hash` is the flow's.
    pub fn enter(&mut self, name: &str, hash: u64, width: usize) -> Entered {
        let spare = self.spare();
        let Some(level) = self.levels.get_mut(name) else { return Entered::Seated };
        let Share::Limited { full, .. } = level.row.share else {
            level.seat(width);
            return Entered::Seated;
        };
        // Nobody overtakes those who wait.
        if level.waiting == 0 && level.has_room(width, spare) {
            level.seat(width);
            return Entered::Seated;
        }
        let WhenFull::Queue { queues, hand, length } = full else {
            return Entered::NoSeat;
        };
        let queues = queues.min(level.queues.len()).max(1);
        let Some(at) = deal(hash, queues, hand).min_by_key(|at| level.queues[*at].waiting.len()) else {
            return Entered::NoSeat;
        };
        if level.queues[at].waiting.len() >= length {
            return Entered::QueueFull;
        }
        let ticket = self.next;
        self.next += 1;
        if level.queues[at].waiting.is_empty() {
            // Whoever was away gets no credit for it.
            let least = level.queues.iter().filter(|q| !q.waiting.is_empty()).map(|q| q.served).min();
            level.queues[at].served = level.queues[at].served.max(least.unwrap_or(0));
        }
        level.queues[at].waiting.push_back((ticket, width));
        level.waiting += 1;
        Entered::Queued(ticket)
    }

    /// A request that was served for so long ends; out: who is let in.
    pub fn leave(&mut self, name: &str, hash: u64, width: usize, micros: u64) -> Vec<Ticket> {
        if let Some(level) = self.levels.get_mut(name) {
            level.in_use = level.in_use.saturating_sub(width);
            level.executing = level.executing.saturating_sub(1);
            if level.waiting > 0
                && let Share::Limited { full: WhenFull::Queue { queues, hand, .. }, .. } = level.row.share
            {
                let queues = queues.min(level.queues.len()).max(1);
                let cost = micros.max(1).saturating_mul(width as u64);
                // Whichever queue it came through: a flow that waits in several has had as much in all of them.
                for at in deal(hash, queues, hand) {
                    level.queues[at].served = level.queues[at].served.saturating_add(cost);
                }
            }
        }
        self.admit()
    }

    /// A request gives up; out: whether it was still waiting. If not, it has a seat to give back.
    pub fn give_up(&mut self, name: &str, ticket: Ticket) -> bool {
        let Some(level) = self.levels.get_mut(name) else { return false };
        for queue in &mut level.queues {
            if let Some(at) = queue.waiting.iter().position(|(other, _)| *other == ticket) {
                queue.waiting.remove(at);
                level.waiting -= 1;
                return true;
            }
        }
        false
    }

    /// Figures of every level.
    pub fn figures(&self) -> Vec<Figures> {
        let of = |(name, level): (&Arc<str>, &Level)| Figures {
            name: name.clone(),
            nominal: level.nominal,
            in_use: level.in_use,
            executing: level.executing,
            waiting: level.waiting,
        };
        self.levels.iter().map(of).collect()
    }

    /// The queues of every level; those that reject have none.
    pub fn queues(&self) -> impl Iterator<Item = (&Arc<str>, &[Queue])> {
        self.levels.iter().map(|(name, level)| (name, level.queues.as_slice()))
    }

    /// Seats that levels lend and nobody has borrowed.
    fn spare(&self) -> usize {
        let limited = || self.levels.values().filter(|level| matches!(level.row.share, Share::Limited { .. }));
        let lent: usize = limited().map(|level| level.lendable.min(level.nominal.saturating_sub(level.in_use))).sum();
        let borrowed: usize = limited().map(|level| level.in_use.saturating_sub(level.nominal)).sum();
        lent.saturating_sub(borrowed)
    }

    /// Lets in whoever now can be.
    fn admit(&mut self) -> Vec<Ticket> {
        let mut let_in = Vec::new();
        if self.levels.values().all(|level| level.waiting == 0) {
            return let_in;
        }
        loop {
            let spare = self.spare();
            // Whoever is next in a level waits for all its seats: others do not pass by.
            let ready = |level: &&mut Level| level.next().is_some_and(|(_, width)| level.has_room(width, spare));
            let Some(level) = self.levels.values_mut().find(ready) else { return let_in };
            let Some((at, width)) = level.next() else { return let_in };
            let queue = &mut level.queues[at];
            // Its turn counts before its time is known.
            queue.served = queue.served.saturating_add(1);
            let Some((ticket, _)) = queue.waiting.pop_front() else { return let_in };
            level.waiting -= 1;
            level.seat(width);
            let_in.push(ticket);
        }
    }
}

impl Level {
    fn new(row: LevelRow) -> Level {
        Level {
            row,
            nominal: 0,
            lendable: 0,
            most: 0,
            widest: 1,
            in_use: 0,
            executing: 0,
            queues: Vec::new(),
            waiting: 0,
        }
    }

    fn seat(&mut self, width: usize) {
        self.executing += 1;
        self.in_use += width;
    }

    /// The queue whose turn it is, and how many seats its first wants.
    fn next(&self) -> Option<(usize, usize)> {
        let waiting = self.queues.iter().enumerate().filter(|(_, queue)| !queue.waiting.is_empty());
        let (at, queue) = waiting.min_by_key(|(_, queue)| queue.served)?;
        queue.waiting.front().map(|(_, width)| (at, *width))
    }

    fn has_room(&self, width: usize, spare: usize) -> bool {
        let wanted = self.in_use + width;
        let own = self.nominal.max(1);
        let borrowed = wanted.saturating_sub(own.max(self.in_use));
        // What is wider than its level, which has shrunk, goes alone.
        wanted <= own || (wanted <= self.most && borrowed <= spare) || self.in_use == 0 && width > own
    }
}

/// The queues of a flow: `hand` different ones of `queues`, by its hash (Kubernetes' shuffle sharding).
fn deal(mut hash: u64, queues: usize, hand: usize) -> impl Iterator<Item = usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    for at in 0..hand.min(queues) {
        let left = (queues - at) as u64;
        let mut card = usize::try_from(hash % left).unwrap_or(0);
        hash /= left;
        // The card-th of those that were not dealt yet.
        let mut sorted = dealt.clone();
        sorted.sort_unstable();
        for taken in sorted {
            if card >= taken {
                card += 1;
            }
        }
        dealt.push(card);
    }
    dealt.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn level(name: &str, shares: u64, lendable: u64, response: serde_json::Value) -> kedge_api::Object {
        json!({"kind": "PriorityLevelConfiguration", "metadata": {"name": name},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response}}})
    }

    fn queue(length: u64) -> serde_json::Value {
        json!({"type": "Queue", "queuing": {"queues": 4, "handSize": 1, "queueLengthLimit": length}})
    }

    fn seats(total: usize, levels: &[kedge_api::Object]) -> Seats {
        let mut seats = Seats::new(total);
        assert!(seats.configure(&Table::compile(levels.iter())).is_empty());
        seats
    }

    #[test]
    fn a_level_without_seats_queues_then_refuses() {
        let mut seats = seats(2, &[level("a", 5, 0, queue(2))]);
        assert_eq!(seats.enter("a", 0, 1), Entered::Seated);
        assert_eq!(seats.enter("a", 0, 1), Entered::Queued(1));
        assert_eq!(seats.enter("a", 0, 1), Entered::Queued(2));
        assert_eq!(seats.enter("a", 0, 1), Entered::QueueFull);
        assert_eq!(seats.leave("a", 0, 1, 10), [1]);
        assert!(seats.give_up("a", 2) && !seats.give_up("a", 1));
        assert!(seats.leave("a", 0, 1, 10).is_empty());
        assert_eq!(seats.enter("a", 0, 1), Entered::Seated);
    }

    #[test]
    fn a_level_that_rejects_does_not_queue() {
        let mut seats = seats(1, &[]);
        assert_eq!(seats.enter("catch-all", 0, 1), Entered::Seated);
        assert_eq!(seats.enter("catch-all", 0, 1), Entered::NoSeat);
        assert_eq!(seats.enter("exempt", 0, 1), Entered::Seated);
        assert_eq!(seats.enter("exempt", 0, 1), Entered::Seated);
    }

    #[test]
    fn idle_seats_are_lent_as_far_as_they_may_be() {
        // catch-all has 5 shares beside these: of 20 seats a gets 5, b 10.
        let mut seats = seats(20, &[level("a", 5, 0, queue(9)), level("b", 10, 50, queue(9))]);
        let taken = (0..20).take_while(|_| seats.enter("a", 0, 1) == Entered::Seated).count();
        assert_eq!(taken, 10, "its own 5 and half of b's 10");
        for _ in 0..5 {
            assert_eq!(seats.enter("b", 0, 1), Entered::Seated, "what is not lent is there");
        }
    }

    #[test]
    fn a_flood_does_not_keep_others_out() {
        let mut seats = seats(2, &[level("a", 5, 0, queue(50))]);
        assert_eq!(seats.enter("a", 0, 1), Entered::Seated);
        for _ in 0..40 {
            assert!(matches!(seats.enter("a", 0, 1), Entered::Queued(_)));
        }
        let Entered::Queued(mine) = seats.enter("a", 1, 1) else { panic!("it waits") };
        let mut turns = 0;
        while !seats.leave("a", 0, 1, 1000).contains(&mine) {
            turns += 1;
            assert!(turns < 3, "the quiet flow is next or nearly so");
        }
    }

    #[test]
    fn a_flood_through_many_queues_keeps_nobody_out() {
        let many = json!({"type": "Queue", "queuing": {"queues": 64, "handSize": 6, "queueLengthLimit": 50}});
        let mut seats = seats(4, &[level("a", 5, 0, many)]);
        let (noisy, calm) = (0x1234_5678_9abc, 0x0fed_cba9_8765);
        let mut running = 0;
        for _ in 0..60 {
            running += usize::from(seats.enter("a", noisy, 1) == Entered::Seated);
        }
        assert!(running > 0, "some are served at once");
        // Whoever is calm asks again when it was answered, as often as the flood is served.
        for round in 0..20 {
            let Entered::Queued(mine) = seats.enter("a", calm, 1) else { panic!("it waits") };
            let mut turns = 0;
            while !seats.leave("a", noisy, 1, 5000).contains(&mine) {
                seats.enter("a", noisy, 1);
                turns += 1;
                assert!(turns < 12, "round {round}: the calm flow waits for {turns} of the others");
            }
            // It gives its seat to the flood.
            seats.leave("a", calm, 1, 5000);
            seats.enter("a", noisy, 1);
        }
    }

    #[test]
    fn a_wide_request_takes_several_seats_and_waits_for_all_of_them() {
        // Of 100 seats a gets 95.
        let mut seats = seats(100, &[level("a", 95, 0, queue(9))]);
        assert_eq!(
            (seats.widest("a"), seats.widest("catch-all"), seats.widest("gone")),
            (15, super::super::width::MOST, 1)
        );
        for _ in 0..6 {
            assert_eq!(seats.enter("a", 0, 15), Entered::Seated);
        }
        assert_eq!(seats.enter("a", 0, 15), Entered::Queued(1), "5 are left");
        assert_eq!(seats.enter("a", 1, 1), Entered::Queued(2), "nobody passes by");
        assert_eq!(seats.leave("a", 0, 15, 10), [2, 1], "the flow that had less goes first");
        let figures = seats.figures();
        let a = figures.iter().find(|f| &*f.name == "a").unwrap();
        assert_eq!((a.in_use, a.executing, a.waiting), (91, 7, 0));
    }

    #[test]
    fn hands_have_no_card_twice() {
        for hash in [0, 1, 77, u64::MAX, 0x1234_5678_9abc_def0] {
            let mut hand: Vec<_> = deal(hash, 128, 6).collect();
            hand.sort_unstable();
            hand.dedup();
            assert!(hand.len() == 6 && hand.iter().all(|at| *at < 128), "{hand:?}");
        }
        assert_eq!(deal(5, 1, 6).count(), 1);
    }
}
