//! Runs the controllers of plugins: one informer for each watched kind, one queue for each controller.
//!
//! In: a plugin, a client with its identity, a token that stops it. Out: reconciles. One plugin's trouble never
//! touches another: each runs in its own task with its own world. Never polls: waits on informers, queues and due times.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use kedge_client::Client;
use kedge_client::events::Recorder;
use kedge_plugin_api::controllers::{Action, Controller, ReconcileError};
use kedge_plugin_api::{Controllers, Fault, PluginError};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Call, Shared};
use crate::kinds::Kinds;
use crate::queue::{Ended, Next, Queue};
use crate::world::{Woken, World};

mod informers;
mod metrics;

use informers::Informers;
pub use metrics::Metrics;
use metrics::Tally;

/// Keys of one controller that are reconciled side by side, whatever it declares.
const WORKERS_MOST: u32 = 16;
/// Wait before a plugin that could not declare itself, or an API that could not be discovered, is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// A plugin and what it runs with.
pub struct PluginSeat {
    /// The plugin.
    pub plugin: Arc<dyn Controllers>,
    /// The API under the plugin's own identity.
    pub client: Client,
}

/// Runs plugins. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    metrics: Metrics,
    clock: fn() -> SystemTime,
}

impl Engine {
    /// An engine that runs nothing yet. `clock` dates Events.
    pub fn new(clock: fn() -> SystemTime) -> Self {
        Engine { metrics: Metrics::default(), clock }
    }

    /// What happened so far.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs one plugin until `stop`. Run it as a task of its own; several plugins run side by side.
    pub async fn run(&self, seat: PluginSeat, stop: CancellationToken) {
        let name = seat.plugin.name().to_owned();
        let work = self.work(seat);
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => tracing::error!(plugin = name, "the controllers of a plugin ended by themselves"),
        }
        self.metrics.forget(&name);
    }

    async fn work(&self, seat: PluginSeat) {
        let PluginSeat { plugin, client } = seat;
        let name = plugin.name().to_owned();
        let declaration = declare(&plugin).await;
        let world = match World::new(&declaration) {
            Ok(world) => world,
            Err(e) => {
                tracing::error!(plugin = name, error = %e, "the plugin's declaration was not accepted; it is not run");
                return std::future::pending().await;
            }
        };
        let mut tasks = JoinSet::new();
        let (recorder, events) = Recorder::new(client.clone(), &name, "", self.clock);
        tasks.spawn(events.run());
        let kinds = discover(&client).await;
        let (woken, wakes) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { world: Mutex::new(world), kinds: RwLock::new(Arc::new(kinds)), client, woken });
        let (informers, synced) = Informers::start(&shared);
        tasks.spawn(informers.run());
        let queues: Vec<Arc<Line>> = declaration
            .iter()
            .map(|controller| {
                Arc::new(Line {
                    name: controller.name.clone(),
                    queue: Mutex::default(),
                    changed: Notify::new(),
                    tally: self.metrics.tally(&name, &controller.name),
                })
            })
            .collect();
        tasks.spawn(dispatch(wakes, queues.clone()));
        for (number, controller) in declaration.iter().enumerate() {
            let runner = Runner {
                plugin: plugin.clone(),
                shared: shared.clone(),
                line: queues[number].clone(),
                recorder: recorder.named(&controller.name),
                number,
                needs: shared.world().needs(number),
                seats: Arc::new(Semaphore::new(controller.workers.clamp(1, WORKERS_MOST) as usize)),
            };
            tasks.spawn(runner.run(synced.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(e) = ended {
                tracing::error!(plugin = name, error = %e, "a task of the controllers failed");
                return;
            }
        }
    }
}

/// A controller's queue.
struct Line {
    name: String,
    queue: Mutex<Queue>,
    changed: Notify,
    tally: Arc<Tally>,
}

impl Line {
    fn with<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut queue);
        self.tally.depth.store(queue.depth() as u64, Relaxed);
        self.tally.adds.store(queue.added(), Relaxed);
        result
    }
}

async fn dispatch(mut wakes: mpsc::UnboundedReceiver<Woken>, lines: Vec<Arc<Line>>) {
    while let Some(woken) = wakes.recv().await {
        let line = &lines[woken.controller];
        line.with(|queue| queue.add(woken.key));
        line.changed.notify_one();
    }
}

/// Takes keys and has them reconciled, `seats` at a time.
struct Runner {
    plugin: Arc<dyn Controllers>,
    shared: Arc<Shared>,
    line: Arc<Line>,
    recorder: Recorder,
    number: usize,
    /// The caches that it reads.
    needs: Vec<usize>,
    seats: Arc<Semaphore>,
}

impl Runner {
    async fn run(self, mut synced: watch::Receiver<Vec<usize>>) {
        // A controller that acted on half a world would make what is there already. What it does not read it does not
        // wait for: a kind that nobody can list, because its webhook is gone, must not keep others from their work.
        let whole = |missing: &Vec<usize>| self.needs.iter().all(|cache| missing.get(*cache).is_none_or(|n| *n == 0));
        if synced.wait_for(whole).await.is_err() {
            return;
        }
        let mut calls = JoinSet::new();
        loop {
            while calls.try_join_next().is_some() {}
            let Ok(seat) = self.seats.clone().acquire_owned().await else { return };
            let key = loop {
                // Registered before the queue is looked at, so that nothing is missed in between.
                let changed = self.line.changed.notified();
                match self.line.with(|queue| queue.next(Instant::now())) {
                    Next::Work(key) => break key,
                    Next::Idle => changed.await,
                    Next::Until(at) => {
                        let _ = tokio::time::timeout_at(at.into(), changed).await;
                    }
                }
            };
            let (plugin, line, number) = (self.plugin.clone(), self.line.clone(), self.number);
            let cluster = Arc::new(Call {
                shared: self.shared.clone(),
                controller: number,
                recorder: self.recorder.clone(),
                handle: Handle::current(),
            });
            calls.spawn_blocking(move || {
                let began = Instant::now();
                let answer = plugin.reconcile(number as u32, &key, cluster);
                let ended = match &answer {
                    Ok(Action::Done) => Ended::Done,
                    Ok(Action::AgainAfter(delay)) => Ended::After(*delay),
                    Err(ReconcileError::Plugin(PluginError { fault: Fault::Resting(left, _), .. })) => {
                        Ended::Resting(Duration::from_millis(*left))
                    }
                    Err(e) => {
                        tracing::warn!(controller = line.name, namespace = key.namespace, name = key.name, error = %e,
                            "a reconcile failed; it is tried again");
                        Ended::Failed
                    }
                };
                if !matches!(ended, Ended::Resting(_)) {
                    line.tally.ended(began.elapsed(), answer.is_err());
                }
                line.with(|queue| queue.finish(key, ended, Instant::now()));
                line.changed.notify_one();
                drop(seat);
            });
        }
    }
}

async fn declare(plugin: &Arc<dyn Controllers>) -> Vec<Controller> {
    loop {
        let asked = plugin.clone();
        let answer: Result<Vec<Controller>, PluginError> =
            match tokio::task::spawn_blocking(move || asked.declaration()).await {
                Ok(answer) => answer,
                Err(e) => {
                    tracing::error!(plugin = plugin.name(), error = %e, "asking a plugin for its declaration failed");
                    return std::future::pending().await;
                }
            };
        match answer {
            Ok(declaration) => return declaration,
            Err(e) => tracing::warn!(error = %e, "a plugin could not say what it watches; asking again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn discover(client: &Client) -> Kinds {
    loop {
        match Kinds::discover(client).await {
            Ok(kinds) => return kinds,
            Err(e) => tracing::warn!(error = %e, "the API could not say what it serves; asking again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Numbers that only grow, but for the depth.
fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}
