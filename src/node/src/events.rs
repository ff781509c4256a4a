//! Tells what happens as Kubernetes Events.
//!
//! In: a reason and a sentence about a pod, a container or the node. Out: Event objects; the same again within an hour
//! raises a count instead. Never holds anyone up: what does not fit the queue is dropped and counted.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::pod::phase::time;
use crate::pod::{PodId, Role};
use crate::port::{Api, ApiFault, Clock, Kind, Mono, PatchForm};

/// 110 pods that each say ten things at once at the start of the machine.
const QUEUE: usize = 110 * 10;
/// Events that a repetition is recognised of: a few for each pod.
const REMEMBERED: usize = 512;
/// After this long a repetition is a new event; the API forgets events after an hour as well.
const REPEATS: Mono = Mono::from_secs(3600);

/// So many repetitions are told at once; from then on one is told a minute, with the whole count.
const OFTEN: u64 = 10;
/// See above.
const SELDOM: Mono = Mono::from_secs(60);

/// How grave an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

/// Hands events to the task that writes them.
#[derive(Clone)]
pub struct Events {
    sender: mpsc::Sender<Note>,
    dropped: Arc<AtomicU64>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A pod.
    Pod(PodId),
    /// A container of a pod.
    Container(PodId, String, Role),
    /// The node of that name.
    Node(String),
}

#[derive(Clone, Debug, PartialEq)]
struct Note {
    about: About,
    level: Level,
    reason: String,
    message: String,
}

impl Events {
    /// A queue and the task that empties it.
    pub fn new(api: Arc<dyn Api>, clock: Arc<dyn Clock>, node: String) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let events = Self { sender, dropped: Arc::default() };
        (events, write(api, clock, node, receiver))
    }

    /// Something happened.
    pub fn tell(&self, about: About, level: Level, reason: &str, message: impl Into<String>) {
        let note = Note { about, level, reason: reason.to_owned(), message: message.into() };
        if self.sender.try_send(note).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Written {
    note: Note,
    namespace: String,
    name: String,
    count: u64,
    began: Mono,
    told: Mono,
}

async fn write(api: Arc<dyn Api>, clock: Arc<dyn Clock>, node: String, mut receiver: mpsc::Receiver<Note>) {
    let mut written: VecDeque<Written> = VecDeque::new();
    let mut serial = 0u64;
    while let Some(note) = receiver.recv().await {
        let now = clock.mono();
        let wall = json!(time(clock.wall()));
        let known = written.iter_mut().find(|known| known.note == note && now - known.began < REPEATS);
        if let Some(known) = known {
            known.count += 1;
            if known.count > OFTEN && now - known.told < SELDOM {
                continue;
            }
            known.told = now;
            let body = json!({"count": known.count, "lastTimestamp": wall});
            let namespace = Some(known.namespace.as_str());
            let answer = api.patch(Kind::Event, namespace, &known.name, None, PatchForm::Merge, &body).await;
            if !matches!(answer, Err(ApiFault::NotFound(_))) {
                continue;
            }
            let name = known.name.clone();
            written.retain(|known| known.name != name);
        }
        serial += 1;
        let (namespace, name, body) = event(&note, &node, &wall, clock.wall(), serial);
        match api.create(Kind::Event, Some(&namespace), &body).await {
            Ok(_) => {
                if written.len() == REMEMBERED {
                    written.pop_front();
                }
                written.push_back(Written { note, namespace, name, count: 1, began: now, told: now });
            }
            Err(error) => tracing::debug!(%error, reason = note.reason, "an event was not taken"),
        }
    }
}

fn event(note: &Note, node: &str, wall: &Value, now: std::time::SystemTime, serial: u64) -> (String, String, Value) {
    let (namespace, name, mut involved) = match &note.about {
        About::Node(name) => {
            ("default".to_owned(), name.clone(), json!({"kind": "Node", "apiVersion": "v1", "name": name, "uid": name}))
        }
        About::Pod(id) | About::Container(id, _, _) => (
            id.namespace.clone(),
            id.name.clone(),
            json!({"kind": "Pod", "apiVersion": "v1", "namespace": id.namespace, "name": id.name, "uid": id.uid}),
        ),
    };
    if let About::Container(_, container, role) = &note.about {
        let list = match role {
            Role::App => "containers",
            Role::Init | Role::Sidecar => "initContainers",
            Role::Ephemeral => "ephemeralContainers",
        };
        involved["fieldPath"] = json!(format!("spec.{list}{{{container}}}"));
    }
    let nanos = now.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let event_name = format!("{name}.{:x}", nanos.wrapping_add(serial));
    let level = match note.level {
        Level::Normal => "Normal",
        Level::Warning => "Warning",
    };
    let body = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name, "namespace": namespace},
        "involvedObject": involved,
        "reason": note.reason,
        "message": note.message,
        "type": level,
        "source": {"component": "kubelet", "host": node},
        "reportingComponent": "kubelet",
        "reportingInstance": node,
        "firstTimestamp": wall,
        "lastTimestamp": wall,
        "eventTime": null,
        "count": 1,
    });
    (namespace, event_name, body)
}
