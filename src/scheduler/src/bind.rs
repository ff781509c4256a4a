//! Tells the API what was decided.
//!
//! In: an effect. Out: the binding or the condition, and the Event; what became of it. Decides nothing.

use std::time::SystemTime;

use kedge_api::clock;
use kedge_client::events::{EventType, Recorder, Subject};
use kedge_client::{Client, ClientError, PatchKind, PatchOptions, ResourcePath, WriteOptions};
use serde_json::json;

use crate::core::{Done, Effect};
use crate::pod::Pod;

/// Carries out one effect.
pub async fn carry_out(effect: &Effect, client: &Client, recorder: &Recorder, now: SystemTime) -> Done {
    match effect {
        Effect::Bind { pod, node } => bind(pod, node, client, recorder).await,
        Effect::Refuse { pod, reason, message } => {
            recorder.record(&subject(pod), EventType::Warning, "FailedScheduling", message.as_str());
            if pod.says_unschedulable(reason, message) {
                return Done::Accepted;
            }
            let patch = condition(pod, reason, message, now);
            let path = path(pod).subresource("status");
            outcome(pod, client.patch(&path, PatchKind::Strategic, &patch, &PatchOptions::default()).await)
        }
    }
}

async fn bind(pod: &Pod, node: &str, client: &Client, recorder: &Recorder) -> Done {
    let meta = &pod.metadata;
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let done = client.create(&path(pod).subresource("binding"), &binding, &WriteOptions::default()).await;
    match outcome(pod, done) {
        Done::Accepted => {
            let message = format!("Successfully assigned {} to {node}", pod.key());
            recorder.record(&subject(pod), EventType::Normal, "Scheduled", message);
            Done::Accepted
        }
        other => other,
    }
}

fn outcome(pod: &Pod, answer: Result<serde_json::Value, ClientError>) -> Done {
    match answer {
        Ok(_) => Done::Accepted,
        Err(error) if error.is_not_found() => Done::Gone,
        Err(error) => {
            tracing::warn!(pod = pod.key(), %error, "the API refused what the scheduler decided");
            Done::Refused
        }
    }
}

/// The condition; its time of transition moves only when it was not false before.
fn condition(pod: &Pod, reason: &str, message: &str, now: SystemTime) -> serde_json::Value {
    let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
    let was_false = pod.status.conditions.iter().any(|one| one.r#type == "PodScheduled" && one.status == "False");
    if !was_false {
        condition["lastTransitionTime"] = json!(clock::rfc3339(now));
        condition["lastProbeTime"] = serde_json::Value::Null;
    }
    json!({"status": {"conditions": [condition]}})
}

fn path(pod: &Pod) -> ResourcePath {
    ResourcePath::core("pods").namespace(&pod.metadata.namespace).name(&pod.metadata.name)
}

fn subject(pod: &Pod) -> Subject {
    let meta = &pod.metadata;
    Subject {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        field_path: String::new(),
    }
}
