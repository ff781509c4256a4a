//! The pods that wait for a node.
//!
//! In: pods as they come, change and go, what became of each attempt, what happened to the cluster. Out: the next pod
//! to try. A pod is in exactly one place: *active* (by priority, then by age), *backing off* until a time,
//! *unschedulable* until something helps, or in *flight*. Never reads a clock; bounded by the pods that there are.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::hints::{Happening, may_help};
use crate::pod::{Pod, Uid};

/// First wait after an attempt.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait after attempts.
const BACKOFF_MOST: Duration = Duration::from_secs(10);
/// An unschedulable pod is tried again after this even if nothing seemed to help.
const PARKED_MOST: Duration = Duration::from_secs(300);
/// Void entries of a heap that are not worth pruning, beyond one for each pod.
const VOID: usize = 64;

/// The queue.
#[derive(Default)]
pub struct Queue {
    pods: HashMap<Uid, Waiting>,
    active: BinaryHeap<Active>,
    /// Ends of waits. Entries whose stamp is not the pod's any more are void.
    backing_off: BinaryHeap<Reverse<(Instant, u64, Uid)>>,
    parked: BinaryHeap<Reverse<(Instant, u64, Uid)>>,
    counter: u64,
}

struct Waiting {
    pod: Arc<Pod>,
    place: Place,
    /// Of the heap entry that is valid.
    stamp: u64,
    /// Order of arrival.
    arrival: u64,
    attempts: u32,
    tried: Option<Instant>,
    refused_by: Vec<String>,
}

/// Where a pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To be tried.
    Active,
    /// To be tried later.
    BackingOff,
    /// To be tried when something helps.
    Unschedulable,
    /// Being tried.
    InFlight,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Active {
    priority: i32,
    /// The earlier, the greater.
    arrival: Reverse<u64>,
    stamp: u64,
    uid: Uid,
}

impl Queue {
    /// A pod that wants a node, new or changed.
    pub fn put(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = pod.metadata.uid.clone();
        if let Some(waiting) = self.pods.get_mut(&uid) {
            let changed = waiting.pod.spec != pod.spec || waiting.pod.metadata.labels != pod.metadata.labels;
            waiting.pod = pod;
            if changed && waiting.place == Place::Unschedulable {
                self.retry(&uid, now);
            }
            return;
        }
        self.counter += 1;
        let waiting = Waiting {
            pod,
            place: Place::Active,
            stamp: 0,
            arrival: self.counter,
            attempts: 0,
            tried: None,
            refused_by: Vec::new(),
        };
        self.pods.insert(uid.clone(), waiting);
        self.activate(&uid);
    }

    /// A pod that does not want a node any more.
    pub fn remove(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// The next pod to try, which is then in flight.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<Pod>> {
        self.wake(now);
        self.prune();
        while let Some(entry) = self.active.pop() {
            let Some(waiting) = self.pods.get_mut(&entry.uid).filter(|waiting| waiting.stamp == entry.stamp) else {
                continue;
            };
            waiting.place = Place::InFlight;
            waiting.attempts = waiting.attempts.saturating_add(1);
            waiting.tried = Some(now);
            return Some(waiting.pod.clone());
        }
        None
    }

    /// No node passed; these predicates refused some.
    pub fn refuse(&mut self, uid: &str, now: Instant, refused_by: Vec<String>) {
        let stamp = self.stamp();
        if let Some(waiting) = self.pods.get_mut(uid) {
            (waiting.place, waiting.stamp, waiting.refused_by) = (Place::Unschedulable, stamp, refused_by);
            self.parked.push(Reverse((now + PARKED_MOST, stamp, uid.to_string())));
        }
    }

    /// The attempt failed for no reason of the pod's.
    pub fn fail(&mut self, uid: &str, now: Instant) {
        if let Some(until) = self.pods.get(uid).map(|waiting| now + backoff(waiting.attempts)) {
            self.back_off(uid, until);
        }
    }

    /// Something happened that may help pods that were refused.
    pub fn happened(&mut self, happening: Happening, now: Instant) {
        let helped = |waiting: &&Waiting| {
            waiting.place == Place::Unschedulable
                && (waiting.refused_by.is_empty() || waiting.refused_by.iter().any(|by| may_help(by, happening)))
        };
        let uids: Vec<Uid> =
            self.pods.values().filter(helped).map(|waiting| waiting.pod.metadata.uid.clone()).collect();
        uids.iter().for_each(|uid| self.retry(uid, now));
    }

    /// When `pop` may give a pod though it gives none now.
    pub fn next_wake(&self) -> Option<Instant> {
        let first = |heap: &BinaryHeap<Reverse<(Instant, u64, Uid)>>| heap.peek().map(|Reverse((at, _, _))| *at);
        [first(&self.backing_off), first(&self.parked)].into_iter().flatten().min()
    }

    /// How many pods are in a place.
    pub fn count(&self, place: Place) -> usize {
        self.pods.values().filter(|waiting| waiting.place == place).count()
    }

    /// Does this pod wait?
    pub fn contains(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// The pods that wait.
    pub fn uids(&self) -> impl Iterator<Item = &Uid> {
        self.pods.keys()
    }

    /// Where a pod is.
    #[cfg(test)]
    pub fn place(&self, uid: &str) -> Option<Place> {
        self.pods.get(uid).map(|waiting| waiting.place)
    }

    fn wake(&mut self, now: Instant) {
        while let Some(Reverse((at, _, _))) = self.backing_off.peek()
            && *at <= now
        {
            let Some(Reverse((_, stamp, uid))) = self.backing_off.pop() else { return };
            if self.is_at(&uid, Place::BackingOff, stamp) {
                self.activate(&uid);
            }
        }
        while let Some(Reverse((at, _, _))) = self.parked.peek()
            && *at <= now
        {
            let Some(Reverse((_, stamp, uid))) = self.parked.pop() else { return };
            if self.is_at(&uid, Place::Unschedulable, stamp) {
                self.retry(&uid, now);
            }
        }
    }

    /// Drops void entries once they are most of a heap.
    fn prune(&mut self) {
        let most = 2 * self.pods.len() + VOID;
        let pods = &self.pods;
        let valid = |uid: &Uid, stamp: u64| pods.get(uid).is_some_and(|waiting| waiting.stamp == stamp);
        for heap in [&mut self.backing_off, &mut self.parked] {
            if heap.len() > most {
                heap.retain(|Reverse((_, stamp, uid))| valid(uid, *stamp));
            }
        }
        if self.active.len() > most {
            self.active.retain(|entry| valid(&entry.uid, entry.stamp));
        }
    }

    fn is_at(&self, uid: &str, place: Place, stamp: u64) -> bool {
        self.pods.get(uid).is_some_and(|waiting| waiting.place == place && waiting.stamp == stamp)
    }

    /// To the active pods, or to those that back off if it was tried just now.
    fn retry(&mut self, uid: &str, now: Instant) {
        let Some(waiting) = self.pods.get(uid) else { return };
        match waiting.tried.map(|tried| tried + backoff(waiting.attempts)) {
            Some(until) if until > now => self.back_off(uid, until),
            _ => self.activate(uid),
        }
    }

    fn activate(&mut self, uid: &str) {
        let stamp = self.stamp();
        if let Some(waiting) = self.pods.get_mut(uid) {
            (waiting.place, waiting.stamp) = (Place::Active, stamp);
            let (priority, arrival) = (waiting.pod.spec.priority, Reverse(waiting.arrival));
            self.active.push(Active { priority, arrival, stamp, uid: uid.to_string() });
        }
    }

    fn back_off(&mut self, uid: &str, until: Instant) {
        let stamp = self.stamp();
        if let Some(waiting) = self.pods.get_mut(uid) {
            (waiting.place, waiting.stamp) = (Place::BackingOff, stamp);
            self.backing_off.push(Reverse((until, stamp, uid.to_string())));
        }
    }

    fn stamp(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(BACKOFF_MOST)
}

#[cfg(test)]
mod tests;
