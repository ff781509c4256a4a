//! The informers of a plugin: one for each watched kind, and for each served kind where every kind is watched; one for
//! both where a kind is watched in both ways, so that each object is read once.
//!
//! In: what is watched, what is served. Out: rows of the plugin's world. Definitions of custom kinds are followed where
//! every kind is watched, or one that is not served yet: informers begin and end with the kinds they are of. Never
//! polls: between a definition and what the API says of it a few short waits may lie, bounded.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kedge_api::meta;
use kedge_client::discovery::{self, Served};
use kedge_client::{Client, Informer, ListOptions, ResourcePath, Step, WatchOptions};
use kedge_plugin_api::controllers::{Kind, Target};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::cluster::Shared;
use crate::projection::Projection;
use crate::row::Row;
use crate::world::Cache;

/// The API hears of a definition when we do; it is asked again this often at most, and with that wait.
const TRIES: u32 = 50;
/// See `TRIES`.
const BREATH: Duration = Duration::from_millis(100);

/// How long controllers wait for every kind that they watch all of, as Kubernetes' collector does: one that cannot be
/// listed must not keep the rest from being looked after.
const PATIENCE: Duration = Duration::from_secs(30);

/// All informers of a plugin.
pub struct Informers {
    shared: Arc<Shared>,
    missing: Missing,
    running: HashMap<ResourcePath, (Vec<Seat>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// For each cache, how many informers have not given their whole state yet.
#[derive(Clone)]
struct Missing(Arc<watch::Sender<Vec<usize>>>);

impl Missing {
    /// One of them has.
    fn less(&self, cache: usize) {
        self.0.send_modify(|missing| missing[cache] = missing[cache].saturating_sub(1));
    }

    /// After a while the caches of everything count as whole.
    async fn give_up(self, every: Vec<usize>) {
        tokio::time::sleep(PATIENCE).await;
        self.0.send_if_modified(|missing| {
            let lacking: Vec<usize> = every.iter().copied().filter(|cache| missing[*cache] > 0).collect();
            for cache in &lacking {
                let kinds = std::mem::take(&mut missing[*cache]);
                tracing::warn!(kinds, "kinds that a plugin watches cannot be listed; it goes on without them");
            }
            !lacking.is_empty()
        });
    }
}

/// Whom an informer fills: a cache, and the kind's number there.
type Seat = (usize, u32);
/// The informers that are wanted.
type Wanted = HashMap<ResourcePath, Vec<Seat>>;

impl Informers {
    /// Starts them. The watch tells for each cache how many have not given their whole state yet.
    pub fn start(shared: &Arc<Shared>) -> (Informers, watch::Receiver<Vec<usize>>) {
        let wanted = wanted(shared);
        let mut counts = vec![0; shared.world().caches().len()];
        wanted.values().flatten().for_each(|(cache, _)| counts[*cache] += 1);
        let (missing, synced) = watch::channel(counts);
        let mut all = Informers {
            shared: shared.clone(),
            missing: Missing(Arc::new(missing)),
            running: HashMap::new(),
            tasks: JoinSet::new(),
        };
        for (path, seats) in wanted {
            all.begin(path, seats, true);
        }
        let every = |(at, cache): (usize, &Cache)| matches!(cache.target, Target::Every).then_some(at);
        let every: Vec<usize> = shared.world().caches().iter().enumerate().filter_map(every).collect();
        if !every.is_empty() {
            all.tasks.spawn(all.missing.clone().give_up(every));
        }
        for cache in shared.world().caches() {
            if let Target::Kind(kind) = &cache.target
                && shared.kinds().path(kind, "").is_none()
            {
                not_served(kind);
            }
        }
        (all, synced)
    }

    /// Keeps them equal to what is served. Ends only if an informer fails.
    pub async fn run(mut self) {
        let path = ResourcePath::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
        let follows = self.follows_definitions() && may_follow(&self.shared.client, &path).await;
        let mut definitions =
            follows.then(|| Informer::<Value>::new(self.shared.client.clone(), path, WatchOptions::default()));
        let mut synced = false;
        loop {
            let step = tokio::select! {
                step = next(&mut definitions) => step,
                ended = self.tasks.join_next(), if !self.tasks.is_empty() => match ended {
                    Some(Err(error)) if !error.is_cancelled() => {
                        tracing::error!(%error, "an informer failed");
                        return;
                    }
                    _ => continue,
                },
            };
            match step {
                Step::Restart => {}
                Step::Synced => {
                    synced = true;
                    self.look(|_| true).await;
                }
                Step::Apply(definition) if synced => self.look(|served| agrees(&definition, false, served)).await,
                Step::Delete(definition) => self.look(|served| agrees(&definition, true, served)).await,
                Step::Apply(_) => {}
            }
        }
    }

    fn follows_definitions(&self) -> bool {
        let kinds = self.shared.kinds();
        self.shared.world().caches().iter().any(|cache| match &cache.target {
            Target::Every => true,
            Target::Kind(kind) => kinds.path(kind, "").is_none(),
        })
    }

    /// Asks what is served until that agrees with a definition, and begins and ends informers.
    async fn look(&mut self, agrees: impl Fn(&[Served]) -> bool) {
        for _ in 0..TRIES {
            match discovery::discover(&self.shared.client).await {
                Ok(served) => {
                    let settled = agrees(&served);
                    self.adopt(served);
                    if settled {
                        return;
                    }
                }
                Err(error) => tracing::warn!(%error, "the API could not say what it serves"),
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    fn adopt(&mut self, served: Vec<Served>) {
        let Some(fresh) = self.shared.kinds().adopting(served) else { return };
        self.shared.set_kinds(fresh);
        let mut wanted = wanted(&self.shared);
        let kept: HashSet<Seat> = wanted.values().flatten().copied().collect();
        for (path, (seats, handle)) in std::mem::take(&mut self.running) {
            if wanted.get(&path) == Some(&seats) {
                wanted.remove(&path);
                self.running.insert(path, (seats, handle));
                continue;
            }
            // Not served any more: its objects are gone. In another version they are the same, read anew.
            handle.abort();
            seats.into_iter().filter(|seat| !kept.contains(seat)).for_each(|seat| self.end(seat));
        }
        for (path, seats) in wanted {
            self.begin(path, seats, false);
        }
    }

    fn begin(&mut self, path: ResourcePath, seats: Vec<Seat>, counts: bool) {
        let shared = self.shared.clone();
        let missing = counts.then(|| self.missing.clone());
        let (at, filled) = (path.clone(), seats.clone());
        let handle = self.tasks.spawn(async move { follow(&shared, &filled, at, missing).await });
        self.running.insert(path, (seats, handle));
    }

    fn end(&self, (cache, kind): Seat) {
        let mut world = self.shared.world();
        let rows = world.keys(cache, kind);
        let woken = rows.iter().flat_map(|(key, uid)| world.remove(cache, key, uid)).collect();
        drop(world);
        self.shared.wake(woken);
    }
}

/// The next step of an informer; never, if there is none.
async fn next(informer: &mut Option<Informer<Value>>) -> Step<Value> {
    match informer {
        Some(informer) => informer.next().await,
        None => std::future::pending().await,
    }
}

/// Whether the plugin may read definitions. Whoever may not sees the kinds that were served when it started.
async fn may_follow(client: &Client, path: &ResourcePath) -> bool {
    let options = ListOptions { limit: Some(1), ..ListOptions::default() };
    match client.list(path, &options).await {
        Ok(_) => true,
        Err(error) => {
            tracing::info!(%error, "a plugin does not follow definitions of custom kinds");
            false
        }
    }
}

/// Whether the API serves what a definition says, no more and no less.
fn agrees(definition: &Value, gone: bool, served: &[Served]) -> bool {
    let (group, plural) =
        (meta::text_at(definition, &["spec", "group"]), meta::text_at(definition, &["spec", "names", "plural"]));
    let established = meta::list_at(definition, &["status", "conditions"])
        .iter()
        .any(|one| meta::text(one, "type") == "Established" && meta::text(one, "status") == "True");
    // Served before it says so: nothing can be said of it.
    if !gone && !established {
        return true;
    }
    let is_served =
        |version: &str| served.iter().any(|one| one.group == group && one.plural == plural && one.version == version);
    meta::list_at(definition, &["spec", "versions"])
        .iter()
        .all(|version| is_served(meta::text(version, "name")) == (!gone && meta::bool_at(version, &["served"])))
}

fn wanted(shared: &Shared) -> Wanted {
    let kinds = shared.kinds();
    let mut wanted = Wanted::new();
    let mut want = |path: ResourcePath, seat| wanted.entry(path).or_default().push(seat);
    for (cache, held) in shared.world().caches().iter().enumerate() {
        match &held.target {
            Target::Kind(kind) => kinds.path(kind, "").into_iter().for_each(|path| want(path, (cache, 0))),
            Target::Every => {
                for (number, served) in kinds.collectable() {
                    kinds.path(&served.kind, "").into_iter().for_each(|path| want(path, (cache, number)));
                }
            }
        }
    }
    wanted
}

fn not_served(kind: &Kind) {
    tracing::warn!(
        group = kind.group,
        version = kind.version,
        kind = kind.kind,
        "a plugin watches a kind that the API does not serve yet"
    );
}

/// Keeps one kind, in each cache that has it.
async fn follow(shared: &Shared, seats: &[Seat], path: ResourcePath, mut missing: Option<Missing>) {
    let fields: Vec<_> = {
        let world = shared.world();
        seats.iter().flat_map(|(cache, _)| world.caches()[*cache].fields.clone()).collect()
    };
    let projection = Projection::of(&fields);
    let decode = move |text: &str| projection.read(text);
    let mut informer = Informer::reading(shared.client.clone(), path, WatchOptions::default(), decode);
    // For each seat what was there when the list began and has not been seen in it.
    let mut unseen = vec![HashMap::new(); seats.len()];
    loop {
        let step = informer.next().await;
        let mut world = shared.world();
        let mut woken = Vec::new();
        for ((cache, kind), unseen) in seats.iter().copied().zip(&mut unseen) {
            match &step {
                Step::Restart => *unseen = world.keys(cache, kind).into_iter().collect(),
                Step::Apply(object) => {
                    let (key, row) = Row::of(object, kind, &world.caches()[cache].fields);
                    unseen.remove(&key);
                    woken.extend(world.apply(cache, key, row));
                }
                Step::Delete(object) => {
                    let (key, row) = Row::of(object, kind, &[]);
                    woken.extend(world.remove(cache, &key, &row.uid));
                }
                Step::Synced => {
                    for (key, uid) in std::mem::take(unseen) {
                        woken.extend(world.remove(cache, &key, &uid));
                    }
                    if let Some(missing) = &missing {
                        missing.less(cache);
                    }
                }
            }
        }
        drop(world);
        if step == Step::Synced {
            missing = None;
        }
        shared.wake(woken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(established: &str, gone: bool, versions: &[&str], expected: bool) {
        let definition = json!({"spec": {"group": "g", "names": {"plural": "things"}, "versions": [
            {"name": "v1", "served": true}, {"name": "v2", "served": false}]},
            "status": {"conditions": [{"type": "Established", "status": established}]}});
        let one = |version: &&str| Served {
            group: "g".into(),
            version: (*version).to_owned(),
            plural: "things".into(),
            ..Served::default()
        };
        let served: Vec<Served> = versions.iter().map(one).collect();
        assert_eq!(agrees(&definition, gone, &served), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_listed_is_not_waited_for_for_ever() {
        let (sender, mut synced) = watch::channel(vec![2, 1]);
        let missing = Missing(Arc::new(sender));
        missing.less(0);
        assert_eq!(*synced.borrow_and_update(), [1, 1]);
        missing.clone().give_up(vec![0]).await;
        assert_eq!(*synced.borrow_and_update(), [0, 1], "only what watches everything goes on");
        missing.less(0);
        assert_eq!(*synced.borrow_and_update(), [0, 1], "who comes late is not counted twice");
    }

    #[test]
    fn the_api_and_a_definition_agree_or_not() {
        check("True", false, &["v1"], true);
        check("True", false, &[], false);
        check("True", false, &["v1", "v2"], false);
        check("False", false, &[], true);
        check("True", true, &["v1"], false);
        check("True", true, &[], true);
    }
}
