//! How often a busy watch is written to.
//!
//! In: how many watches are open over the network, and when one was last told how much. Out: until when it rests; what
//! comes meanwhile leaves together. Never delays the first event after a quiet moment. Controllers inside the
//! daemon rest so little that they are as quick as ever.
//!
//! One write to one watch costs the same whether it holds one event or fifty: a wake-up, a TLS record, a system call
//! and the receiver's own wake-up. With a thousand watches and a write for each event, requests wait behind all these
//! writes. Watches are told one after the other, and each rests from when it was told, so their turns stay spread over
//! time instead of coming at once. The more comes in one rest, the longer the next: in a flood few large writes serve
//! everybody, writers too, sooner than many small ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What a write to one watch may take of a rest: about what it costs here, so that writes alone keep no core busy.
const SHARE: Duration = Duration::from_micros(20);
/// Longest rest where little happens: a thousand watches. What a person or a controller does not notice.
const LONGEST: Duration = Duration::from_millis(20);
/// Events told at once that are little: two hundred a second to a thousand watches.
const LITTLE: usize = 4;
/// A flood makes rests so many times as long at most: 120 ms for a thousand watches, in which two thousand events a
/// second become 240, half of what waits for a watch without harm.
const TIMES: u32 = 6;
/// Whoever is told so much at once, half of what may wait, is behind and goes on at once.
const BEHIND: usize = 256;
/// Timers know no less than this, and few watches need no rest.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a controller's watch inside the daemon rests: in a stream of single writes its wake-ups cost more than the writes.
const INSIDE: Duration = Duration::from_millis(4);

/// How long a watch rests after it was told so many events, when so many watches are open.
pub fn rest(open: usize, events: usize) -> Duration {
    let rest = SHARE * u32::try_from(open).unwrap_or(u32::MAX).min(LONGEST.as_micros() as u32);
    if rest < SHORTEST || events >= BEHIND {
        return Duration::ZERO;
    }
    let times = u32::try_from(events / LITTLE).unwrap_or(TIMES).clamp(1, TIMES);
    rest.min(LONGEST) * times
}

/// Until when a watch rests, if it still does.
pub fn until(told: Option<Instant>, rest: Duration, now: Instant) -> Option<Instant> {
    told.map(|told| told + rest).filter(|due| *due > now)
}

/// The pace of a controller's watch inside the daemon.
#[derive(Debug, Default)]
pub struct Inside {
    told: Option<Instant>,
}

impl Inside {
    /// It is told something: at once, or in a moment with what comes until then. Out: whether there was such a moment.
    /// A timer runs only where events follow each other, so a quiet device is not woken by it.
    pub async fn tell(&mut self) -> bool {
        let due = until(self.told, INSIDE, Instant::now());
        if let Some(due) = due {
            tokio::time::sleep_until(due).await;
        }
        self.told = Some(Instant::now());
        due.is_some()
    }
}

/// The watches that are open over the network.
#[derive(Debug, Default)]
pub struct Paces(Arc<AtomicUsize>);

impl Paces {
    /// One more, until the pace is dropped.
    pub fn enter(&self) -> Pace {
        self.0.fetch_add(1, Ordering::Relaxed);
        Pace { open: self.0.clone(), told: None, events: 0 }
    }
}

/// The pace of one watch.
#[derive(Debug)]
pub struct Pace {
    open: Arc<AtomicUsize>,
    told: Option<Instant>,
    /// How much it was told then.
    events: usize,
}

impl Pace {
    /// It is told so many events now.
    pub fn tell(&mut self, events: usize) {
        self.told = Some(Instant::now());
        self.events = events;
    }

    /// Resolves when it may be told more. Dropping the future loses nothing.
    pub async fn rest(&self) {
        let rest = rest(self.open.load(Ordering::Relaxed), self.events);
        if let Some(due) = until(self.told, rest, Instant::now()) {
            tokio::time::sleep_until(due).await;
        }
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(open: usize, events: usize, micros: u64) {
        assert_eq!(rest(open, events), Duration::from_micros(micros), "{open} watches, {events} events");
    }

    #[test]
    fn the_rest_grows_with_the_watches_and_has_an_end() {
        check(0, 1, 0);
        check(49, 1, 0);
        check(50, 1, 1000);
        check(500, 1, 10_000);
        check(1000, 1, 20_000);
        check(100_000, 1, 20_000);
        check(usize::MAX, 1, 20_000);
    }

    #[test]
    fn the_rest_grows_with_what_comes_in_it() {
        check(1000, 0, 20_000);
        check(1000, 7, 20_000);
        check(1000, 8, 40_000);
        check(1000, 16, 80_000);
        check(1000, 24, 120_000);
        check(1000, 255, 120_000);
        check(49, 255, 0);
        // What is behind catches up.
        check(1000, 256, 0);
        check(1000, usize::MAX, 0);
    }

    #[test]
    fn only_who_was_told_lately_waits_and_only_for_what_is_left() {
        let (then, rest) = (Instant::now(), Duration::from_millis(10));
        let after = |millis| then + Duration::from_millis(millis);
        assert_eq!(until(None, rest, then), None, "nothing was told");
        assert_eq!(until(Some(then), rest, after(4)), Some(after(10)));
        assert_eq!(until(Some(then), rest, after(10)), None, "it has rested");
        assert_eq!(until(Some(then), Duration::ZERO, then), None, "few watches never rest");
    }

    #[tokio::test(start_paused = true)]
    async fn inside_the_first_event_is_told_at_once_and_the_next_in_a_moment() {
        let (mut inside, begun) = (Inside::default(), Instant::now());
        assert!(!inside.tell().await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(inside.tell().await);
        assert_eq!(begun.elapsed(), INSIDE);
        tokio::time::advance(INSIDE).await;
        assert!(!inside.tell().await, "after a quiet moment");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_rests_once_for_each_time_it_is_told() {
        let paces = Paces::default();
        let others: Vec<Pace> = (0..499).map(|_| paces.enter()).collect();
        let mut pace = paces.enter();
        let begun = Instant::now();
        pace.rest().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        pace.tell(1);
        tokio::time::advance(Duration::from_millis(4)).await;
        pace.rest().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
        pace.rest().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(10));
        drop(others);
        pace.tell(1);
        pace.rest().await;
        assert_eq!(begun.elapsed(), Duration::from_millis(10), "alone it rests no more");
    }
}
