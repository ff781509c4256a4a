//! Recording Events about objects.
//!
//! Expected flow: `record` puts a note into a bounded queue and returns; one task writes them, as Kubernetes' recorders
//! do. A note that equals an earlier one (object, type, reason, message) raises that Event's count instead of making
//! another; ten that differ in their message alone become one; who has much to say is heard now and then (`correlate`).
//! Guarantees: the caller never waits and never fails. Assumes that Events may be lost: what does not fit is counted.
//! Never retries: an Event about a namespace that is going away is dropped.

mod correlate;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kedge_api::clock;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use correlate::{Identity, Written};

use crate::{Client, PatchKind, PatchOptions, ResourcePath, WriteOptions};

/// Notes that wait for the writer: a rollout of 100 pods at ten events each.
const QUEUE: usize = 1024;
/// What an Event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    /// E.g. `v1`, `apps/v1`.
    pub api_version: String,
    /// E.g. `Pod`.
    pub kind: String,
    /// Empty for objects without one; the Event then lives in `default`.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's UID.
    pub uid: String,
    /// The version of the object that it is about; may be empty.
    pub resource_version: String,
    /// A part of the object, e.g. `spec.containers{web}`; may be empty.
    pub field_path: String,
}

impl Subject {
    /// The subject that an object is.
    pub fn of(object: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let meta = &object["metadata"];
        Subject {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: text(&meta["namespace"]),
            name: text(&meta["name"]),
            uid: text(&meta["uid"]),
            resource_version: text(&meta["resourceVersion"]),
            field_path: String::new(),
        }
    }
}

/// `Normal` or `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Things went as they should.
    Normal,
    /// Somebody may want to look.
    Warning,
}

impl EventType {
    fn text(self) -> &'static str {
        match self {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

struct Note {
    component: Arc<str>,
    subject: Subject,
    event_type: EventType,
    reason: String,
    message: String,
    at: SystemTime,
}

/// Records Events of one component. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    component: Arc<str>,
    notes: mpsc::Sender<Note>,
    dropped: Arc<AtomicU64>,
    clock: fn() -> SystemTime,
}

/// Writes what a `Recorder` was told; run it as a task. Ends when all recorders are gone.
pub struct EventWriter {
    notes: mpsc::Receiver<Note>,
    client: Client,
    host: String,
    written: Written,
    salt: u64,
}

impl Recorder {
    /// A recorder and its writer. `component` and `host` become the Events' source, e.g. `kubelet` and the node's name.
    pub fn new(client: Client, component: &str, host: &str, clock: fn() -> SystemTime) -> (Recorder, EventWriter) {
        let (sender, notes) = mpsc::channel(QUEUE);
        let writer = EventWriter { notes, client, host: host.to_owned(), written: Written::default(), salt: 0 };
        (Recorder { component: component.into(), notes: sender, dropped: Arc::default(), clock }, writer)
    }

    /// The same recorder for another component.
    pub fn named(&self, component: &str) -> Recorder {
        Recorder { component: component.into(), ..self.clone() }
    }

    /// Records an Event. Returns at once.
    pub fn record(
        &self,
        subject: &Subject,
        event_type: EventType,
        reason: impl Into<String>,
        message: impl Into<String>,
    ) {
        let note = Note {
            component: self.component.clone(),
            subject: subject.clone(),
            event_type,
            reason: reason.into(),
            message: message.into(),
            at: (self.clock)(),
        };
        if self.notes.try_send(note).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many Events were lost because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl EventWriter {
    /// Writes until the last recorder is gone.
    pub async fn run(mut self) {
        while let Some(note) = self.notes.recv().await {
            self.write(note).await;
        }
    }

    async fn write(&mut self, note: Note) {
        let namespace = if note.subject.namespace.is_empty() { "default" } else { &note.subject.namespace };
        let path = ResourcePath::core("events").namespace(namespace);
        let time = clock::rfc3339(note.at);
        let (identity, message) = self.written.combine(&note.component, Identity::of(&note), note.at);
        let again = self.written.again(&identity);
        if !self.written.allowed(&note.component, &note.subject, note.at) {
            return;
        }
        if let Some((name, count)) = again {
            let patch = json!({"count": count, "lastTimestamp": time, "message": message});
            let target = path.clone().name(name);
            match self.client.patch(&target, PatchKind::Merge, &patch, &PatchOptions::default()).await {
                Ok(_) => return,
                Err(e) if e.is_not_found() => self.written.forget(&identity),
                Err(e) => return tracing::debug!(error = %e, "an Event could not be counted"),
            }
        }
        self.salt += 1;
        let nanos = note.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
        let name = event_name(&note.subject.name, nanos.wrapping_add(self.salt));
        let object = self.object(&note, &message, namespace, &name, &time);
        match self.client.create(&path, &object, &WriteOptions::default()).await {
            Ok(_) => self.written.remember(identity, name),
            Err(e) => tracing::debug!(error = %e, reason = note.reason, "an Event could not be written"),
        }
    }

    fn object(&self, note: &Note, message: &str, namespace: &str, name: &str, time: &str) -> Value {
        let subject = &note.subject;
        let mut involved = json!({
            "apiVersion": subject.api_version, "kind": subject.kind, "name": subject.name, "uid": subject.uid,
        });
        for (key, value) in [
            ("namespace", &subject.namespace),
            ("resourceVersion", &subject.resource_version),
            ("fieldPath", &subject.field_path),
        ] {
            if !value.is_empty() {
                involved[key] = json!(value);
            }
        }
        let component = &*note.component;
        let mut source = json!({"component": component});
        if !self.host.is_empty() {
            source["host"] = json!(self.host);
        }
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved, "reason": note.reason, "message": message, "source": source,
            "type": note.event_type.text(), "count": 1, "firstTimestamp": time, "lastTimestamp": time,
            "reportingComponent": component, "reportingInstance": self.host,
        })
    }
}

/// `<object>.<16 hex digits>`, within the 253 bytes of a name.
fn event_name(object: &str, number: u64) -> String {
    let most = 253 - 17;
    let mut end = object.len().min(most);
    while !object.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}.{number:016x}", &object[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_within_their_bound() {
        assert_eq!(event_name("web", 255), "web.00000000000000ff");
        assert_eq!(event_name(&"x".repeat(253), 1).len(), 253);
    }
}
