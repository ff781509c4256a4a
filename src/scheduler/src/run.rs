//! Runs the scheduler: informers and bindings on the runtime, the cycle on a thread of its own.
//!
//! In: a client, the plugins. Out: bound pods, until told to stop. Waits on channels and on the queue's next wake;
//! never polls.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use kedge_client::events::Recorder;
use kedge_client::{Client, Informer, ResourcePath, Step, WatchOptions};
use kedge_plugin_api::Scheduling;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender, error::TryRecvError};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bind::carry_out;
use crate::core::{Core, Done, Effect, Input};
use crate::metrics::Metrics;
use crate::node::Node;
use crate::pod::{Pod, Uid};

/// Steps of informers that wait for the cycle: a page of pods, about 1 MiB.
const INPUTS: usize = 512;

/// What the scheduler works with.
pub struct Parts {
    /// The API, as `system:kube-scheduler`.
    pub client: Client,
    /// Predicates and priorities.
    pub plugins: Arc<dyn Scheduling>,
    /// The wall clock.
    pub clock: fn() -> SystemTime,
    /// Random bits, for the choice among equals.
    pub random: Box<dyn FnMut() -> u64 + Send>,
    /// Where it counts.
    pub metrics: Arc<Metrics>,
}

/// How it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The pods of which `schedulerName` it places.
    pub name: String,
    /// Percentage of nodes that are looked at for feasible ones; 0: by their number.
    pub percentage_of_nodes_to_score: usize,
    /// Bindings under way at once. Sixty-four fill a commit of the store.
    pub bindings: usize,
    /// The API is at the other end of a network.
    pub remote: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "default-scheduler".into(), percentage_of_nodes_to_score: 0, bindings: 64, remote: false }
    }
}

/// Why the scheduler ended.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// Its thread could not be started.
    #[error("cannot start the scheduler's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// Its thread panicked.
    #[error("the scheduler's thread panicked")]
    Panicked,
}

/// The scheduler.
pub struct Scheduler;

impl Scheduler {
    /// Runs until `shutdown`.
    pub async fn run(parts: Parts, settings: Settings, shutdown: CancellationToken) -> Result<(), SchedulerError> {
        let Parts { client, plugins, clock, random, metrics } = parts;
        let bindings = settings.bindings.max(1);
        let (inputs, learned) = mpsc::channel(INPUTS);
        let (effects, decided) = mpsc::channel(bindings);
        let (done, finished) = mpsc::channel(bindings);
        let (recorder, writer) = Recorder::new(client.clone(), &settings.name, "", clock);

        let mut tasks = JoinSet::new();
        let options = WatchOptions { remote: settings.remote, ..WatchOptions::default() };
        let pods = Informer::<Box<Pod>>::new(client.clone(), ResourcePath::core("pods"), options.clone());
        let nodes = Informer::<Box<Node>>::new(client.clone(), ResourcePath::core("nodes"), options);
        tasks.spawn(follow(pods, inputs.clone(), Input::Pod));
        tasks.spawn(follow(nodes, inputs, Input::Node));
        tasks.spawn(writer.run());
        tasks.spawn(carry_out_all(decided, done, client, recorder, clock, bindings));

        let core = Core::new(plugins, settings.name, settings.percentage_of_nodes_to_score, random, metrics);
        let cycle = Cycle { core, learned, finished, effects, under_way: 0, bindings, shutdown: shutdown.clone() };
        let handle = Handle::current();
        let (ended, end) = tokio::sync::oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("scheduler".into())
            .spawn(move || {
                cycle.run(&handle);
                let _ = ended.send(());
            })
            .map_err(SchedulerError::Thread)?;
        let ended = end.await;
        tasks.shutdown().await;
        let joined = thread.join();
        ended.map_err(|_| SchedulerError::Panicked)?;
        joined.map_err(|_| SchedulerError::Panicked)
    }
}

/// Passes an informer's steps on.
async fn follow<T: DeserializeOwned>(mut informer: Informer<T>, inputs: Sender<Input>, input: fn(Step<T>) -> Input) {
    while inputs.send(input(informer.next().await)).await.is_ok() {}
}

/// Carries effects out, some at once.
async fn carry_out_all(
    mut decided: Receiver<Effect>,
    done: Sender<(Uid, bool, Done)>,
    client: Client,
    recorder: Recorder,
    clock: fn() -> SystemTime,
    most: usize,
) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            effect = decided.recv(), if under_way.len() < most => {
                let Some(effect) = effect else { break };
                let (client, recorder) = (client.clone(), recorder.clone());
                under_way.spawn(async move {
                    let became = carry_out(&effect, &client, &recorder, clock()).await;
                    match effect {
                        Effect::Bind { pod, .. } => (pod.metadata.uid.clone(), true, became),
                        Effect::Refuse { pod, .. } => (pod.metadata.uid.clone(), false, became),
                    }
                });
            }
            Some(joined) = under_way.join_next() => {
                if let Ok(became) = joined
                    && done.send(became).await.is_err()
                {
                    break;
                }
            }
        }
    }
}

/// The thread's state.
struct Cycle {
    core: Core,
    learned: Receiver<Input>,
    /// Uid, whether it was a binding, what became of it. As many places as effects can be under way: never full.
    finished: Receiver<(Uid, bool, Done)>,
    effects: Sender<Effect>,
    under_way: usize,
    bindings: usize,
    shutdown: CancellationToken,
}

enum Woken {
    Learned(Option<Input>),
    Finished(Option<(Uid, bool, Done)>),
    Time,
    Stop,
}

impl Cycle {
    fn run(mut self, handle: &Handle) {
        while !self.shutdown.is_cancelled() && self.drain() {
            if self.under_way < self.bindings
                && let Some(effect) = self.core.attempt(Instant::now())
            {
                self.under_way += 1;
                if self.effects.blocking_send(effect).is_err() {
                    return;
                }
                continue;
            }
            self.core.publish();
            match handle.block_on(self.wait()) {
                Woken::Learned(Some(input)) => self.core.learn(input, Instant::now()),
                Woken::Finished(Some(done)) => self.finish(done),
                Woken::Time => {}
                Woken::Learned(None) | Woken::Finished(None) | Woken::Stop => return,
            }
        }
    }

    /// Takes what is there. False when nobody will send any more.
    fn drain(&mut self) -> bool {
        while let Ok(done) = self.finished.try_recv() {
            self.finish(done);
        }
        let now = Instant::now();
        for _ in 0..INPUTS {
            match self.learned.try_recv() {
                Ok(input) => self.core.learn(input, now),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
        true
    }

    fn finish(&mut self, (uid, was_binding, done): (Uid, bool, Done)) {
        self.under_way -= 1;
        if was_binding {
            self.core.bound(&uid, done, Instant::now());
        }
    }

    async fn wait(&mut self) -> Woken {
        // Without a free place for an effect, no time makes an attempt possible.
        let wake = self.core.next_wake().filter(|_| self.under_way < self.bindings);
        let time = async {
            match wake {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = self.learned.recv() => Woken::Learned(input),
            done = self.finished.recv() => Woken::Finished(done),
            () = time => Woken::Time,
            () = self.shutdown.cancelled() => Woken::Stop,
        }
    }
}
