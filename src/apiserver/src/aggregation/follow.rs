//! Keeps the list of aggregated APIs equal to the store, and their condition to the world.
//!
//! In: events of APIServices; while any names a Service also those of Services and EndpointSlices,
//! requests that could not be handed on, and a timer while something is unavailable. Out: the
//! list, and the condition `Available`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kedge_api::fields::Index;
use kedge_api::kinds::Sub;
use kedge_api::selector::Lookup as _;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use kedge_store::{Change, Event, Revision, WatchError};
use tokio::time::Instant;

use super::available::{self, Condition};
use super::{Remote, discovery};
use crate::core::Core;
use crate::outbound::Place;
use crate::registry::own::Own;
use crate::registry::update::Change as Update;
use crate::registry::{Act, body, keys, update};
use crate::vault::Watch;

const PREFIX: &str = "/apiregistration.k8s.io/apiservices/";
const SERVICES: &str = "/core/services/";
const SLICES: &str = "/discovery.k8s.io/endpointslices/";
/// The label by which a slice names its Service.
const SERVICE: &str = "kubernetes.io/service-name";
/// What is unavailable is looked at again after this, and each time after twice as long, up to
/// [`LONGEST`].
const SHORTEST: Duration = Duration::from_secs(1);
/// See [`SHORTEST`]. Mostly an event comes first.
const LONGEST: Duration = Duration::from_secs(60);
/// After the store failed it gets this much time.
const BREATH: Duration = Duration::from_secs(1);

/// Fills the list from the store; out: the revision it is of.
pub async fn fill(core: &Core) -> Result<Revision, kedge_store::ReadError> {
    let page = core.store.list(PREFIX, None, None, 0).await?;
    for entry in &page.entries {
        if let Ok(object) = body::decode(&entry.bytes) {
            core.aggregator.put(&object);
        }
    }
    Ok(page.revision)
}

/// Follows the store from a revision on.
pub async fn run(core: Arc<Core>, mut from: Revision) {
    let mut follower = Follower { core: core.clone(), due: BTreeMap::new(), sides: None };
    follower.look_at(core.aggregator.all()).await;
    loop {
        if let Ok(watch) = core.store.watch(PREFIX, from) {
            tokio::select! {
                () = follower.follow(watch) => {}
                () = core.stop.cancelled() => return,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
        match fill(&core).await {
            Ok(revision) => from = revision,
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "cannot read APIServices"),
        }
        follower.look_at(core.aggregator.all()).await;
    }
}

struct Follower {
    core: Arc<Core>,
    /// When to look again, and how long after that.
    due: BTreeMap<String, (Instant, Duration)>,
    /// Services and slices, while anybody needs them.
    sides: Option<(Watch, Watch)>,
}

type Events = Result<Vec<Arc<Event>>, WatchError>;

async fn next(sides: &mut Option<(Watch, Watch)>) -> (bool, Events) {
    match sides {
        None => std::future::pending().await,
        Some((services, slices)) => tokio::select! {
            events = services.next() => (true, events),
            events = slices.next() => (false, events),
        },
    }
}

impl Follower {
    async fn follow(&mut self, mut watch: Watch) {
        let core = self.core.clone();
        loop {
            self.watch_sides();
            let wake = self.due.values().map(|(at, _)| *at).min();
            tokio::select! {
                events = watch.next() => {
                    let Ok(events) = events else { return };
                    let mut changed = Vec::new();
                    for event in events {
                        self.take_in(&event, &mut changed).await;
                    }
                    self.look_at(changed).await;
                }
                (services, events) = next(&mut self.sides) => match events {
                    Ok(events) => {
                        let touched: Vec<_> = core
                            .aggregator
                            .all()
                            .into_iter()
                            .filter(|remote| events.iter().any(|event| concerns(remote, event, services)))
                            .collect();
                        // What stands behind it is new: it may be there any moment.
                        for remote in &touched {
                            self.due.remove(&remote.name);
                        }
                        self.look_at(touched).await;
                    }
                    Err(_) => {
                        self.sides = None;
                        self.look_at(core.aggregator.all()).await;
                    }
                },
                () = core.aggregator.doubt.notified() => {
                    let trusted = core.aggregator.all().into_iter().filter(|remote| remote.is_available()).collect();
                    self.look_at(trusted).await;
                }
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    let now = Instant::now();
                    let all = core.aggregator.all();
                    self.due.retain(|name, _| all.iter().any(|remote| remote.name == *name));
                    let is_due = |remote: &Arc<Remote>| self.due.get(&remote.name).is_some_and(|(at, _)| *at <= now);
                    let due = all.into_iter().filter(is_due).collect();
                    self.look_at(due).await;
                }
            }
        }
    }

    /// Follows Services and slices while there is anybody behind them.
    fn watch_sides(&mut self) {
        if !self.core.aggregator.is_used() {
            self.sides = None;
            self.due.clear();
        } else if self.sides.is_none() {
            let store = &self.core.store;
            let from = store.revision();
            self.sides = store.watch(SERVICES, from).ok().zip(store.watch(SLICES, from).ok());
        }
    }

    async fn take_in(&mut self, event: &Event, changed: &mut Vec<Arc<Remote>>) {
        let Some((_, name)) = keys::parse(&event.entry.key) else { return };
        if event.change == Change::Deleted {
            self.core.aggregator.remove(name);
            self.due.remove(name);
            return;
        }
        let Ok(object) = body::decode(&event.entry.bytes) else { return };
        if let Some(remote) = self.core.aggregator.put(&object) {
            changed.push(remote);
        } else if meta::at(&object, &["spec", "service"]).is_none() {
            self.due.remove(name);
            write(&self.core, object, &Condition::local()).await;
        }
    }

    /// Looks at some, side by side, and writes down what is found.
    async fn look_at(&mut self, remotes: Vec<Arc<Remote>>) {
        let core = self.core.clone();
        let looks = remotes.into_iter().map(|remote| {
            let core = core.clone();
            async move {
                let condition = available::check(&core, &remote).await;
                (remote, condition)
            }
        });
        for (remote, condition) in join_all(looks).await {
            if condition.status == "True" {
                self.due.remove(&remote.name);
                if let Err(why) = discovery::fetch(&core, &remote).await {
                    tracing::info!(api = remote.name, why, "discovery of an aggregated API cannot be read");
                }
            } else {
                let after = self.due.get(&remote.name).map_or(SHORTEST, |(_, after)| (*after * 2).min(LONGEST));
                self.due.insert(remote.name.clone(), (Instant::now() + after, after));
            }
            core.aggregator.note(&remote, &condition);
            let key = format!("{PREFIX}{}", remote.name);
            if let Ok(Some(entry)) = core.store.get(&key).await
                && let Ok(object) = body::decode(&entry.bytes)
            {
                write(&core, object, &condition).await;
            }
        }
    }
}

/// Whether an event is about the Service of an aggregated API.
fn concerns(remote: &Remote, event: &Event, services: bool) -> bool {
    let Place::Service { namespace, name, .. } = &remote.target.place else { return false };
    let Some((place, key)) = keys::parse(&event.entry.key) else { return false };
    let labels = Index::read(&event.entry.index).labels();
    let named = if services { Some(key) } else { labels.value(SERVICE) };
    place == namespace && named == Some(name.as_str())
}

/// Writes the condition unless it is there.
async fn write(core: &Core, mut object: Object, condition: &Condition) {
    let Some(conditions) = condition.put_in(&object, &core.timestamp()) else { return };
    object["status"]["conditions"] = conditions.into();
    let kinds = core.kinds();
    let Some(kind) = kinds.resource("apiregistration.k8s.io", "v1", "apiservices") else { return };
    let name = meta::name(&object).to_owned();
    let own = Own::server(core);
    let act = Act { sub: Some(Sub::Status), ..own.act(kind, "", &name) };
    let outcome: Result<_, Status> = update::update(&act, Update::Replace(object)).await;
    match outcome {
        Ok(_) => {}
        // Somebody changed it meanwhile: that is an event, and it is looked at again.
        Err(status) if matches!(status.reason, Reason::Conflict | Reason::NotFound) => {}
        Err(status) => tracing::warn!(api = name, %status, "the condition of an APIService cannot be written"),
    }
}
