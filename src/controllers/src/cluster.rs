//! What a plugin may do while it reconciles: read its world, and write through the API as itself.
//!
//! In: queries and changes from the plugin, on a thread that may block. Out: tables, and answers of the API. What was
//! written is put into the plugin's world before `write` returns. Never grants anything: the client carries the
//! plugin's own identity and RBAC decides.

use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use futures::future::join_all;
use kedge_api::meta;
use kedge_client::events::{EventType, Recorder, Subject};
use kedge_client::{
    Client, ClientError, DeleteOptions, ListOptions, PatchKind, PatchOptions, Propagation, ResourcePath, WriteOptions,
};
use kedge_plugin_api::Cluster;
use kedge_plugin_api::controllers::{
    self as api, Change, Event, Failure, Key, Kind, Order, PatchType, Query, ServedKind, Table, Tally, Written,
};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;

use crate::kinds::Kinds;
use crate::row::{Row, RowKey};
use crate::world::{Woken, World};

/// Writes of one call that are under way at once.
const SIDE_BY_SIDE: usize = 16;
/// Objects in one answer of `list`.
const LIST_MOST: usize = 10_000;

/// What all calls of a plugin share.
pub struct Shared {
    /// The plugin's columns.
    pub world: Mutex<World>,
    /// What the API serves.
    pub kinds: RwLock<Arc<Kinds>>,
    /// The API under the plugin's identity.
    pub client: Client,
    /// Keys woken by changes. Unbounded, but each entry was made by a row and the queues drop duplicates.
    pub woken: UnboundedSender<Woken>,
}

impl Shared {
    /// The world. A thread that panicked inside left whole rows behind, so a poisoned lock is taken all the same.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The served kinds as they are now.
    pub fn kinds(&self) -> Arc<Kinds> {
        self.kinds.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Puts other kinds in place of those that were served.
    pub fn set_kinds(&self, kinds: Kinds) {
        *self.kinds.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(kinds);
    }

    /// Hands keys to the queues; when nobody listens any more the plugin is being stopped.
    pub fn wake(&self, woken: Vec<Woken>) {
        for key in woken {
            let _ = self.woken.send(key);
        }
    }

    fn path(&self, kind: &Kind, namespace: &str) -> Result<ResourcePath, Failure> {
        self.kinds().path(kind, namespace).ok_or_else(|| Failure {
            code: 404,
            reason: "NotFound".into(),
            message: format!("the API serves no kind {} in {}/{}", kind.kind, kind.group, kind.version),
        })
    }
}

/// One reconcile's hands.
pub struct Call {
    /// What the plugin shares.
    pub shared: Arc<Shared>,
    /// The controller's place in the declaration.
    pub controller: usize,
    /// Records Events under the controller's name.
    pub recorder: Recorder,
    /// Where requests run.
    pub handle: Handle,
}

impl Cluster for Call {
    fn rows(&self, watch: u32, query: &Query) -> Table {
        self.shared.world().table(self.controller, watch as usize, query)
    }

    fn count(&self, watch: u32, query: &Query, fields: &[u32]) -> Tally {
        self.shared.world().tally(self.controller, watch as usize, query, fields)
    }

    fn get(&self, kind: &Kind, key: &Key) -> Result<String, Failure> {
        let path = self.shared.path(kind, &key.namespace)?.name(&*key.name);
        let target = path.to_string();
        let body = self.handle.block_on(self.shared.client.call(http::Method::GET, &target, None, Vec::new()));
        body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).map_err(failure)
    }

    fn list(&self, kind: &Kind, namespace: &str, labels: &str, fields: &str) -> Result<String, Failure> {
        let path = self.shared.path(kind, namespace)?;
        let wanted = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut options = ListOptions { labels: wanted(labels), fields: wanted(fields), ..ListOptions::default() };
        options.limit = Some(500);
        let mut items: Vec<Value> = Vec::new();
        loop {
            let mut page = self.handle.block_on(self.shared.client.list(&path, &options)).map_err(failure)?;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            options.continuation = page
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned);
            if options.continuation.is_none() || items.len() >= LIST_MOST {
                return Ok(Value::Array(items).to_string());
            }
        }
    }

    fn kinds(&self) -> Vec<ServedKind> {
        self.shared.kinds().served().to_vec()
    }

    fn write(&self, changes: Vec<Change>, order: Order) -> Vec<Result<Written, Failure>> {
        self.handle.block_on(async {
            let mut answers = Vec::with_capacity(changes.len());
            match order {
                Order::InTurn => {
                    let mut failed = false;
                    for change in &changes {
                        let answer = if failed { Err(not_tried()) } else { self.change(change).await };
                        failed |= answer.is_err();
                        answers.push(answer);
                    }
                }
                Order::Together => {
                    for some in changes.chunks(SIDE_BY_SIDE) {
                        answers.extend(join_all(some.iter().map(|change| self.change(change))).await);
                    }
                }
            }
            answers
        })
    }

    fn event(&self, event: Event) {
        let Kind { group, version, kind } = event.kind;
        let subject = Subject {
            api_version: if group.is_empty() { version } else { format!("{group}/{version}") },
            kind,
            namespace: event.key.namespace,
            name: event.key.name,
            uid: event.uid,
            ..Subject::default()
        };
        let event_type = if event.warning { EventType::Warning } else { EventType::Normal };
        self.recorder.record(&subject, event_type, event.reason, event.message);
    }
}

impl Call {
    async fn change(&self, change: &Change) -> Result<Written, Failure> {
        let client = &self.shared.client;
        let of = |kind, namespace: &str| self.shared.path(kind, namespace);
        let part = |path: ResourcePath, key: &Key, subresource: &str| {
            let path = path.name(&*key.name);
            if subresource.is_empty() { path } else { path.subresource(subresource) }
        };
        let (kind, object) = match change {
            Change::Create { kind, namespace, object } => {
                let path = of(kind, namespace)?;
                (kind, client.create(&path, &json(object)?, &WriteOptions::default()).await.map_err(failure)?)
            }
            Change::Update { kind, key, subresource, object } => {
                let path = part(of(kind, &key.namespace)?, key, subresource);
                (kind, client.update(&path, &json(object)?, &WriteOptions::default()).await.map_err(failure)?)
            }
            Change::Patch { kind, key, subresource, patch_type, patch } => {
                let path = part(of(kind, &key.namespace)?, key, subresource);
                let form = match patch_type {
                    PatchType::Json => PatchKind::Json,
                    PatchType::Merge => PatchKind::Merge,
                    PatchType::StrategicMerge => PatchKind::Strategic,
                    PatchType::Apply => PatchKind::Apply,
                };
                let mut options = PatchOptions::default();
                if form == PatchKind::Apply {
                    options.force = true;
                    options.write.field_manager = Some("kedge-controllers".into());
                }
                (kind, client.patch(&path, form, &json(patch)?, &options).await.map_err(failure)?)
            }
            Change::Delete { kind, key, uid, resource_version, propagation, grace_seconds } => {
                let wanted = |text: &String| (!text.is_empty()).then(|| text.clone());
                let options = DeleteOptions {
                    grace_period_seconds: grace_seconds.map(i64::from),
                    propagation: propagation.map(|p| match p {
                        api::Propagation::Background => Propagation::Background,
                        api::Propagation::Foreground => Propagation::Foreground,
                        api::Propagation::Orphan => Propagation::Orphan,
                    }),
                    uid: wanted(uid),
                    resource_version: wanted(resource_version),
                    dry_run: false,
                };
                let path = of(kind, &key.namespace)?.name(&*key.name);
                let answer = client.delete(&path, &options).await.map_err(failure)?;
                self.deleted(kind, key, uid, &answer);
                return Ok(Written::default());
            }
            Change::DeleteCollection { kind, namespace, labels } => {
                let path = of(kind, namespace)?;
                let mut query = vec![("propagationPolicy", "Background".to_owned())];
                if !labels.is_empty() {
                    query.push(("labelSelector", labels.clone()));
                }
                let target = path.with_query(&query);
                client.call(http::Method::DELETE, &target, None, Vec::new()).await.map_err(failure)?;
                return Ok(Written::default());
            }
        };
        self.keep(kind, &object);
        Ok(Written {
            name: meta::name(&object).to_owned(),
            uid: meta::uid(&object).to_owned(),
            resource_version: meta::resource_version(&object).to_owned(),
        })
    }

    /// Puts what was written into the world, as its watch would. What lost its last finalizer is gone: the watch may have
    /// said so before, and would not say it again.
    fn keep(&self, kind: &Kind, object: &Value) {
        let waits = |value: Option<&Value>| value.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let gone = meta::deletion_timestamp(object).is_some()
            && meta::finalizers(object).next().is_none()
            && meta::deletion_grace_period(object).unwrap_or(0) == 0
            && !waits(object.pointer("/spec/finalizers"));
        let mut world = self.shared.world();
        let caches: Vec<usize> = world.caches_of(kind).collect();
        for cache in caches {
            let (key, row) = Row::of(object, 0, &world.caches()[cache].fields);
            let woken = if gone { world.bury(cache, &key, &row.uid) } else { world.apply(cache, key, row) };
            self.shared.wake(woken);
        }
    }

    /// A deletion answers with the object while it is still ending, else with a `Status` or its last version.
    fn deleted(&self, kind: &Kind, key: &Key, uid: &str, answer: &Value) {
        let ending = meta::deletion_timestamp(answer).is_some()
            && (meta::finalizers(answer).next().is_some() || meta::deletion_grace_period(answer).unwrap_or(0) > 0);
        if ending {
            return self.keep(kind, answer);
        }
        let gone = if uid.is_empty() {
            match meta::uid(answer) {
                "" => answer.pointer("/details/uid").and_then(Value::as_str).unwrap_or(""),
                uid => uid,
            }
        } else {
            uid
        };
        let mut world = self.shared.world();
        let caches: Vec<usize> = world.caches_of(kind).collect();
        let row_key = RowKey { namespace: (*key.namespace).into(), name: (*key.name).into(), kind: 0 };
        for cache in caches {
            let woken = world.bury(cache, &row_key, gone);
            self.shared.wake(woken);
        }
    }
}

fn json(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|e| Failure {
        code: 400,
        reason: "BadRequest".into(),
        message: format!("what the plugin wants to write is no JSON: {e}"),
    })
}

fn not_tried() -> Failure {
    Failure { code: 0, reason: "NotTried".into(), message: "an earlier write of the call failed".into() }
}

fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Status { code, reason, message, .. } => Failure { code, reason, message },
        other => Failure { code: 0, reason: "Unreachable".into(), message: other.to_string() },
    }
}
