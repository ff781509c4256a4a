//! The scheduler's mind: one owner of queue and cluster, advanced by inputs and attempts.
//!
//! In: what informers say, what became of bindings. Out: for each attempt one thing to be done. Does no I/O itself and
//! reads no clock, so all of it can be tried in a test.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use kedge_client::Step;
use kedge_plugin_api::Scheduling;

use crate::cluster::Cluster;
use crate::cycle::{Outcome, attempt};
use crate::hints::Happening;
use crate::message;
use crate::metrics::Metrics;
use crate::node::Node;
use crate::pod::{Asks, Pod, Uid};
use crate::queue::{Place, Queue};
use crate::sampling::Rotation;

/// What informers say.
pub enum Input {
    /// Of Pods.
    Pod(Step<Box<Pod>>),
    /// Of Nodes.
    Node(Step<Box<Node>>),
}

/// What is to be done for a pod after an attempt.
#[derive(Debug)]
pub enum Effect {
    /// Bind it to this node.
    Bind { pod: Arc<Pod>, node: String },
    /// Tell that there is no node for it: the condition's reason and the sentence.
    Refuse { pod: Arc<Pod>, reason: &'static str, message: String },
}

/// What became of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The API took it.
    Accepted,
    /// The API refused; the pod is tried again.
    Refused,
    /// The pod is gone.
    Gone,
}

/// The mind.
pub struct Core {
    cluster: Cluster,
    queue: Queue,
    rotation: Rotation,
    plugins: Arc<dyn Scheduling>,
    scheduler_name: String,
    percent: usize,
    random: Box<dyn FnMut() -> u64 + Send>,
    metrics: Arc<Metrics>,
    /// What a list under way has named; `None` when there is none.
    listed_pods: Option<HashSet<Uid>>,
    listed_nodes: Option<HashSet<String>>,
    synced: (bool, bool),
}

impl Core {
    /// A mind that knows nothing yet.
    pub fn new(
        plugins: Arc<dyn Scheduling>,
        scheduler_name: String,
        percent: usize,
        random: Box<dyn FnMut() -> u64 + Send>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            cluster: Cluster::default(),
            queue: Queue::default(),
            rotation: Rotation::default(),
            plugins,
            scheduler_name,
            percent,
            random,
            metrics,
            listed_pods: None,
            listed_nodes: None,
            synced: (false, false),
        }
    }

    /// Learns.
    pub fn learn(&mut self, input: Input, now: Instant) {
        match input {
            Input::Pod(Step::Restart) => self.listed_pods = Some(HashSet::new()),
            Input::Pod(Step::Apply(pod)) => self.pod(*pod, now),
            Input::Pod(Step::Delete(pod)) => self.pod_gone(&pod.metadata.uid, now),
            Input::Pod(Step::Synced) => {
                if let Some(listed) = self.listed_pods.take() {
                    let known = self.cluster.uids().chain(self.queue.uids());
                    let gone: Vec<Uid> = known.filter(|uid| !listed.contains(*uid)).cloned().collect();
                    gone.iter().for_each(|uid| self.pod_gone(uid, now));
                }
                self.synced.0 = true;
            }
            Input::Node(Step::Restart) => self.listed_nodes = Some(HashSet::new()),
            Input::Node(Step::Apply(node)) => {
                if let Some(listed) = &mut self.listed_nodes {
                    listed.insert(node.metadata.name.clone());
                }
                if let Some(happening) = self.cluster.put_node(&node) {
                    self.queue.happened(happening, now);
                }
            }
            Input::Node(Step::Delete(node)) => self.cluster.remove_node(&node.metadata.name),
            Input::Node(Step::Synced) => {
                if let Some(listed) = self.listed_nodes.take() {
                    let gone = self.cluster.node_names().into_iter().filter(|name| !listed.contains(name));
                    gone.for_each(|name| self.cluster.remove_node(&name));
                }
                self.synced.1 = true;
            }
        }
        self.metrics.nodes.store(self.cluster.table.count() as u64, Relaxed);
    }

    /// One attempt, if there is a pod to try.
    pub fn attempt(&mut self, now: Instant) -> Option<Effect> {
        if self.synced != (true, true) {
            return None;
        }
        let pod = self.queue.pop(now)?;
        self.cluster.tidy();
        let begun = Instant::now();
        let row = pod.row(&Asks::of(&pod), &mut self.cluster.table);
        let (plugins, table) = (&*self.plugins, &self.cluster.table);
        let outcome = attempt(plugins, table, &row, &mut self.rotation, self.percent, &mut self.random);
        let uid = &pod.metadata.uid;
        let counter = match &outcome {
            Outcome::Chosen(_) => &self.metrics.scheduled,
            Outcome::Refused(_) | Outcome::NoNodes => &self.metrics.unschedulable,
            Outcome::Failed(_) => &self.metrics.errors,
        };
        counter.fetch_add(1, Relaxed);
        let effect = match outcome {
            Outcome::Chosen(row) => {
                let node = self.cluster.table.name(row).to_string();
                self.cluster.place(&pod, &node, true);
                Effect::Bind { pod, node }
            }
            Outcome::Refused(reasons) => {
                let message = message::of(self.cluster.table.count(), &reasons, pod.may_preempt());
                let mut by: Vec<String> = reasons.into_iter().map(|reason| reason.predicate).collect();
                by.sort_unstable();
                by.dedup();
                self.queue.refuse(uid, now, by);
                Effect::Refuse { pod, reason: "Unschedulable", message }
            }
            Outcome::NoNodes => {
                self.queue.refuse(uid, now, Vec::new());
                Effect::Refuse { pod, reason: "Unschedulable", message: message::NO_NODES.into() }
            }
            Outcome::Failed(error) => {
                self.queue.fail(uid, now);
                Effect::Refuse { pod, reason: "SchedulerError", message: error.to_string() }
            }
        };
        self.metrics.cycle_nanoseconds.fetch_add(begun.elapsed().as_nanos() as u64, Relaxed);
        Some(effect)
    }

    /// Learns what became of a binding.
    pub fn bound(&mut self, uid: &str, done: Done, now: Instant) {
        match done {
            Done::Accepted => self.queue.remove(uid),
            Done::Gone => self.pod_gone(uid, now),
            Done::Refused => {
                self.metrics.bind_failures.fetch_add(1, Relaxed);
                // Unless the API has said meanwhile that it is there after all.
                if self.cluster.is_assumed(uid) {
                    self.cluster.leave(uid);
                    self.queue.fail(uid, now);
                    self.queue.happened(Happening::PodLeft, now);
                }
            }
        }
    }

    /// When an attempt may be possible though none is now.
    pub fn next_wake(&self) -> Option<Instant> {
        self.queue.next_wake()
    }

    /// Publishes how long the queues are.
    pub fn publish(&self) {
        for (place, gauge) in [
            (Place::Active, &self.metrics.active),
            (Place::BackingOff, &self.metrics.backing_off),
            (Place::Unschedulable, &self.metrics.parked),
        ] {
            gauge.store(self.queue.count(place) as u64, Relaxed);
        }
    }

    fn pod(&mut self, pod: Pod, now: Instant) {
        if let Some(listed) = &mut self.listed_pods {
            listed.insert(pod.metadata.uid.clone());
        }
        if pod.is_finished() {
            return self.pod_gone(&pod.metadata.uid, now);
        }
        if pod.is_assigned() {
            self.queue.remove(&pod.metadata.uid);
            if self.cluster.place(&pod, &pod.spec.node_name, false) {
                self.queue.happened(Happening::PodLeft, now);
            }
        } else if pod.wants_node(&self.scheduler_name) {
            // An older version of a pod that is bound already may still be on its way here.
            let is_bound = self.cluster.is_assumed(&pod.metadata.uid) && !self.queue.contains(&pod.metadata.uid);
            if !is_bound {
                self.queue.put(Arc::new(pod), now);
            }
        } else {
            self.queue.remove(&pod.metadata.uid);
        }
    }

    fn pod_gone(&mut self, uid: &str, now: Instant) {
        self.queue.remove(uid);
        if self.cluster.leave(uid) {
            self.queue.happened(Happening::PodLeft, now);
        }
    }
}

#[cfg(test)]
mod tests;
