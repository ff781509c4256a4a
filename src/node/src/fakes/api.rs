//! An API in memory: enough of get, list, create, patch, delete and watch for a node agent.
//!
//! Graceful deletion of bound pods, resource versions, UIDs and status merging are as in Kubernetes; validation,
//! defaults and authorization are not there.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::port::{Api, ApiFault, Kind, PatchForm, WatchStep};

type Key = (Kind, String, String);

/// Objects in memory.
pub struct FakeApi {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    version: u64,
    watchers: Vec<Watcher>,
    fail: Option<ApiFault>,
    writes: Vec<String>,
}

struct Watcher {
    kind: Kind,
    namespace: Option<String>,
    fields: String,
    sender: mpsc::UnboundedSender<WatchStep>,
}

impl Watcher {
    fn wants(&self, (kind, namespace, _): &Key, object: &Value) -> bool {
        self.kind == *kind
            && self.namespace.as_ref().is_none_or(|own| own == namespace)
            && self.fields.split(',').filter(|f| !f.is_empty()).all(|field| {
                let (path, want) = field.split_once('=').unwrap_or((field, ""));
                let pointer = format!("/{}", path.replace('.', "/"));
                object.pointer(&pointer).and_then(Value::as_str).unwrap_or_default() == want
            })
    }
}

impl Default for FakeApi {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: watch::channel(0).0 }
    }
}

impl FakeApi {
    /// Puts an object there, with a UID if it has none.
    pub fn put(&self, kind: Kind, object: Value) {
        let mut object = object;
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&object, "namespace"), text(&object, "name"));
        if text(&object, "uid").is_empty() {
            object["metadata"]["uid"] = json!(format!("uid-{name}"));
        }
        self.lock().store((kind, namespace, name), object);
        self.tick();
    }

    /// The object as it is.
    pub fn object(&self, kind: Kind, namespace: &str, name: &str) -> Option<Value> {
        let key = (kind, namespace.to_owned(), name.to_owned());
        self.lock().objects.get(&key).cloned()
    }

    /// Every object of a kind.
    pub fn all(&self, kind: Kind) -> Vec<Value> {
        let state = self.lock();
        let of_kind = state.objects.iter().filter(|((own, _, _), _)| *own == kind);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// `reason: message` of every event about an object, in order of creation.
    pub fn events(&self, name: &str) -> Vec<String> {
        let mut events: Vec<(u64, String)> = self
            .all(Kind::Event)
            .iter()
            .filter(|event| event["involvedObject"]["name"] == name)
            .map(|event| {
                let word = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
                let version = event["metadata"]["resourceVersion"].as_str();
                let order = version.and_then(|v| v.parse().ok()).unwrap_or(0);
                (order, format!("{}: {}", word("reason"), word("message")))
            })
            .collect();
        events.sort();
        events.into_iter().map(|(_, text)| text).collect()
    }

    /// Deletes a pod as a user does.
    pub fn delete_pod(&self, namespace: &str, name: &str, grace: i64) {
        let key = (Kind::Pod, namespace.to_owned(), name.to_owned());
        let mut state = self.lock();
        let Some(mut pod) = state.objects.get(&key).cloned() else {
            return;
        };
        if grace == 0 {
            state.remove(&key);
        } else {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
            state.store(key, pod);
        }
        drop(state);
        self.tick();
    }

    /// The next write fails so.
    pub fn fail_next_write(&self, fault: ApiFault) {
        self.lock().fail = Some(fault);
    }

    /// Every write that came in: `create Pod n/p`, `patch Pod/status n/p`.
    pub fn writes(&self) -> Vec<String> {
        self.lock().writes.clone()
    }

    /// Ends all watches of an agent that is gone.
    pub fn forget_watchers(&self) {
        self.lock().watchers.clear();
    }

    /// Waits until a pod, as it stands or absent, fulfils the condition.
    pub async fn until_pod(
        &self,
        namespace: &str,
        name: &str,
        condition: impl Fn(Option<&Value>) -> bool,
    ) -> Option<Value> {
        self.until(|api| {
            let pod = api.object(Kind::Pod, namespace, name);
            condition(pod.as_ref()).then_some(pod)
        })
        .await
    }

    /// Waits until a look at the objects gives something; a test that waits for ever is ended by its own timeout.
    pub async fn until<T>(&self, look: impl Fn(&Self) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = changed.changed().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn begin_write(&self, what: String) -> Result<std::sync::MutexGuard<'_, State>, ApiFault> {
        let mut state = self.lock();
        state.writes.push(what);
        match state.fail.take() {
            Some(fault) => Err(fault),
            None => Ok(state),
        }
    }
}

impl State {
    fn store(&mut self, key: Key, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.watchers.retain(|watcher| {
            !watcher.wants(&key, &object) || watcher.sender.send(WatchStep::Apply(object.clone())).is_ok()
        });
        self.objects.insert(key, object.clone());
        object
    }

    fn remove(&mut self, key: &Key) -> Option<Value> {
        let object = self.objects.remove(key)?;
        self.version += 1;
        self.watchers.retain(|watcher| {
            !watcher.wants(key, &object) || watcher.sender.send(WatchStep::Delete(object.clone())).is_ok()
        });
        Some(object)
    }
}

fn key(kind: Kind, namespace: Option<&str>, name: &str) -> Key {
    (kind, namespace.unwrap_or_default().into(), name.into())
}

fn not_found(kind: Kind, name: &str) -> ApiFault {
    ApiFault::NotFound(format!("{} \"{name}\" not found", kind.plural()))
}

/// Merges as a merge patch does; conditions merge by type and `$patch` elements go.
fn merge(into: &mut Value, from: &Value, form: PatchForm) {
    let Some(changes) = from.as_object() else {
        *into = from.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, change) in changes {
        match change {
            Value::Null => {
                into.as_object_mut().map(|object| object.remove(name));
            }
            Value::Object(_) => merge(&mut into[name.as_str()], change, form),
            Value::Array(items) if form == PatchForm::Strategic && name == "conditions" => {
                let list = &mut into[name.as_str()];
                if !list.is_array() {
                    *list = json!([]);
                }
                for item in items {
                    let all = list.as_array_mut().expect("it was made an array above");
                    match all.iter_mut().find(|old| old["type"] == item["type"]) {
                        Some(old) => merge(old, item, form),
                        None => all.push(item.clone()),
                    }
                }
            }
            Value::Array(items) => {
                let kept = items.iter().filter(|item| item.get("$patch").is_none());
                into[name.as_str()] = kept.cloned().collect();
            }
            _ => into[name.as_str()] = change.clone(),
        }
    }
}

#[async_trait]
impl Api for FakeApi {
    async fn get(&self, kind: Kind, namespace: Option<&str>, name: &str) -> Result<Value, ApiFault> {
        let found = self.object(kind, namespace.unwrap_or_default(), name);
        found.ok_or_else(|| not_found(kind, name))
    }

    async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<Vec<Value>, ApiFault> {
        let all = self.all(kind).into_iter();
        let wanted = |object: &Value| namespace.is_none_or(|namespace| object["metadata"]["namespace"] == namespace);
        Ok(all.filter(wanted).collect())
    }

    async fn create(&self, kind: Kind, namespace: Option<&str>, body: &Value) -> Result<Value, ApiFault> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let what = format!("create {} {}/{name}", kind.name(), namespace.unwrap_or_default());
        let mut state = self.begin_write(what)?;
        let key = key(kind, namespace, name);
        if state.objects.contains_key(&key) {
            return Err(ApiFault::Exists(format!("{} \"{name}\" already exists", kind.plural())));
        }
        let mut body = body.clone();
        body["metadata"]["uid"] = json!(format!("uid-{}", state.version + 1));
        let made = state.store(key, body);
        drop(state);
        self.tick();
        Ok(made)
    }

    async fn create_under(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: &str,
        body: &Value,
    ) -> Result<Value, ApiFault> {
        let what = format!("create {}/{subresource} {}/{name}", kind.name(), namespace.unwrap_or_default());
        let state = self.begin_write(what)?;
        let count = state.writes.len();
        let mut answer = body.clone();
        answer["status"] = json!({"token": format!("token-{count}"), "expirationTimestamp": "2026-01-01T01:00:00Z"});
        Ok(answer)
    }

    async fn patch(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        form: PatchForm,
        body: &Value,
    ) -> Result<Value, ApiFault> {
        let under = subresource.map(|sub| format!("/{sub}")).unwrap_or_default();
        let what = format!("patch {}{under} {}/{name}", kind.name(), namespace.unwrap_or_default());
        let mut state = self.begin_write(what)?;
        let key = key(kind, namespace, name);
        let Some(mut object) = state.objects.get(&key).cloned() else {
            return Err(not_found(kind, name));
        };
        let uid = &body["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return Err(ApiFault::Conflict("the UID in the precondition does not match".into()));
        }
        let before = object.clone();
        merge(&mut object, body, form);
        if object != before {
            object = state.store(key, object);
        }
        drop(state);
        self.tick();
        Ok(object)
    }

    async fn delete(&self, kind: Kind, namespace: Option<&str>, name: &str, options: &Value) -> Result<(), ApiFault> {
        let what = format!("delete {} {}/{name}", kind.name(), namespace.unwrap_or_default());
        let mut state = self.begin_write(what)?;
        let key = key(kind, namespace, name);
        let Some(object) = state.objects.get(&key) else {
            return Err(not_found(kind, name));
        };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return Err(ApiFault::Conflict("the UID in the precondition does not match".into()));
        }
        state.remove(&key);
        drop(state);
        self.tick();
        Ok(())
    }

    fn watch(&self, kind: Kind, namespace: Option<&str>, fields: &str) -> BoxStream<'static, WatchStep> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.lock();
        let watcher = Watcher { kind, namespace: namespace.map(Into::into), fields: fields.into(), sender };
        let send = |step| {
            let _ = watcher.sender.send(step);
        };
        send(WatchStep::Restarted);
        for (key, object) in &state.objects {
            if watcher.wants(key, object) {
                send(WatchStep::Apply(object.clone()));
            }
        }
        send(WatchStep::Synced);
        state.watchers.push(watcher);
        futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Some(step) => Some((step, receiver)),
                // A watch never ends by itself.
                None => std::future::pending().await,
            }
        })
        .boxed()
    }
}
