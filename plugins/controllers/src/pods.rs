//! What every controller that owns pods does with them: adopt, release, create, delete.
//!
//! In: an owner, rows of its pods, what it decided. Out: writes and Events. Decides nothing but whose a pod is.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Wakes, Watch};
use kedge_plugin_sdk::controller::kedge::plugin::cluster;
use kedge_plugin_sdk::controller::kedge::plugin::objects::FieldType::{self, Hash, Json, Text, Time};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{Kind, Query};
use serde_json::{Value, json};

use crate::world::{self, Change, EventType, Order};

/// What owns pods.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// The kind of pods.
pub fn pods() -> Kind {
    world::kind("", "v1", "Pod")
}

/// The watch of the pods that an owner controls, among [`watches`].
pub const PODS: u32 = 1;
/// The watch of the pods that it may claim.
pub const MATCHING: u32 = 2;
/// The fields of that watch.
const CLAIMED: [(&str, FieldType); 2] =
    [("metadata.ownerReferences[0].uid", Text), ("metadata.deletionTimestamp", Time)];
/// The fields of an owner that is read whole when one of them changes.
pub const OWNER: [(&str, FieldType); 5] = [
    ("metadata.uid", Text),
    ("metadata.deletionTimestamp", Time),
    ("spec", Hash),
    ("spec.selector", Json),
    ("status", Hash),
];

/// What a controller of pods watches: the owners, the pods that they control, those that they may claim.
pub fn watches(owner: Kind, own: &[(&str, FieldType)], owned: &[(&str, FieldType)]) -> Vec<Watch> {
    vec![
        world::watch(owner, own, &[Wakes::Itself]),
        world::watch(pods(), owned, &[Wakes::ControllerOwner]),
        world::watch(pods(), &CLAIMED, &[Wakes::SelectedBy("spec.selector".into())]),
    ]
}

impl Owner {
    /// An owner.
    pub fn new(kind: Kind, namespace: &str, name: &str, uid: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into(), uid: uid.into() }
    }

    /// Its reference, as its pods bear it.
    pub fn reference(&self) -> Value {
        let Kind { group, version, kind } = &self.kind;
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        json!({
            "apiVersion": api_version, "kind": kind, "name": self.name, "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    /// An Event about it.
    pub fn say(&self, as_type: EventType, reason: &str, message: &str) {
        world::event(&self.kind, &self.namespace, &self.name, &self.uid, as_type, reason, message);
    }

    /// A pod of a template.
    pub fn pod(&self, template: &Value) -> Value {
        let meta = &template["metadata"];
        let mut metadata = json!({
            "generateName": format!("{}-", self.name), "namespace": self.namespace,
            "ownerReferences": [self.reference()],
        });
        for field in ["labels", "annotations", "finalizers"] {
            if !meta[field].is_null() {
                metadata[field] = meta[field].clone();
            }
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    }

    /// Adopts pods that match and that nobody controls; releases pods that no longer match. Says whether there were
    /// any.
    pub fn claim(&self, selector: &str, finalizer: Option<&str>) -> Result<bool, String> {
        self.claim_those(selector, finalizer, &|_| true)
    }

    /// The same, of pods with some names only.
    pub fn claim_those(
        &self,
        selector: &str,
        finalizer: Option<&str>,
        fits: &dyn Fn(&str) -> bool,
    ) -> Result<bool, String> {
        let strangers = Query::Strangers((self.namespace.clone(), selector.into(), self.uid.clone()));
        let mut changed = false;
        for row in world::rows(MATCHING, strangers).iter().filter(|row| !row.has(1) && fits(row.name())) {
            changed |= self.adopt(row.name(), finalizer)?;
        }
        for row in world::rows(MATCHING, Query::Strays((selector.into(), self.uid.clone()))).iter() {
            if row.namespace() == self.namespace {
                self.release(row.name())?;
                changed = true;
            }
        }
        Ok(changed)
    }

    fn adopt(&self, name: &str, finalizer: Option<&str>) -> Result<bool, String> {
        let Some(pod) = world::get(&pods(), &self.namespace, name)? else { return Ok(false) };
        let mut owners = pod["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let taken = owners.iter().any(|owner| owner["controller"] == true);
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if taken || ended || !pod["metadata"]["deletionTimestamp"].is_null() {
            return Ok(false);
        }
        owners.push(self.reference());
        let mut patch = json!({"metadata": {"uid": pod["metadata"]["uid"], "ownerReferences": owners}});
        if let Some(finalizer) = finalizer {
            let mut finalizers = pod["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
            if !finalizers.iter().any(|held| held == finalizer) {
                finalizers.push(json!(finalizer));
            }
            patch["metadata"]["finalizers"] = Value::Array(finalizers);
        }
        match world::one(world::merge(&pods(), &self.namespace, name, "", &patch)) {
            Ok(_) => Ok(true),
            Err(e) if e.code == 404 => Ok(false),
            Err(e) => Err(world::said("adopt", "Pod", name, &e)),
        }
    }

    fn release(&self, name: &str) -> Result<(), String> {
        let Some(pod) = world::get(&pods(), &self.namespace, name)? else { return Ok(()) };
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let owners = pod["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let kept: Vec<Value> = owners.into_iter().filter(|owner| owner["uid"] != json!(self.uid)).collect();
        let patch = json!({"metadata": {"uid": pod["metadata"]["uid"], "ownerReferences": kept}});
        match world::one(world::merge(&pods(), &self.namespace, name, "", &patch)) {
            Ok(_) => Ok(()),
            Err(e) if e.code == 404 || e.code == 422 => Ok(()),
            Err(e) => Err(world::said("release", "Pod", name, &e)),
        }
    }

    /// Creates pods side by side and tells of each. The first failure is told and given back; that the namespace is
    /// going away is none.
    pub fn create(&self, wanted: &[Value]) -> Result<(), String> {
        let changes: Vec<Change> = wanted.iter().map(|pod| world::creation(&pods(), &self.namespace, pod)).collect();
        let mut first = None;
        for answer in cluster::write(&changes, Order::Together) {
            match answer {
                Ok(written) => {
                    self.say(EventType::Normal, "SuccessfulCreate", &format!("Created pod: {}", written.name));
                }
                Err(e) => {
                    if first.is_none() && !world::ends(&e) {
                        self.say(EventType::Warning, "FailedCreate", &format!("Error creating: {}", e.message));
                    }
                    first.get_or_insert(e);
                }
            }
        }
        match first {
            Some(e) if !world::ends(&e) => Err(e.message),
            _ => Ok(()),
        }
    }

    /// Deletes pods side by side and tells of each. What is gone already is well.
    pub fn delete(&self, doomed: &[(String, String)]) -> Result<(), String> {
        let changes: Vec<Change> =
            doomed.iter().map(|(name, uid)| world::delete(&pods(), &self.namespace, name, uid, None)).collect();
        let mut failed = None;
        for (answer, (name, _)) in world::together(&changes).into_iter().zip(doomed) {
            match answer {
                Ok(()) => self.say(EventType::Normal, "SuccessfulDelete", &format!("Deleted pod: {name}")),
                Err(e) if e.code == 404 || e.code == 409 => {}
                Err(e) => {
                    self.say(EventType::Warning, "FailedDelete", &format!("Error deleting: {}", e.message));
                    failed.get_or_insert(e.message);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
