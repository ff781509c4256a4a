//! The binder of volumes: each claim gets a volume that suits it, and keeps it.
//!
//! In: claims, volumes, classes, pods. Out: both sides bound to each other, phases, Events that say what is waited for.
//! Volumes are not made here: that is a provisioner's work. `plan` finds the volume.

mod plan;

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::{Value, json};

use crate::protection::uses;
use crate::world::{self, EventType, Outcome};
use plan::{Found, Place};

const COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BY_US: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

fn claims() -> Kind {
    world::kind("", "v1", "PersistentVolumeClaim")
}

fn volumes() -> Kind {
    world::kind("", "v1", "PersistentVolume")
}

/// What the binder of claims watches. A pod that is placed may be what its claims wait for.
pub fn declare() -> Controller {
    use FieldType::{Hash, Text, Time};
    let own = [("metadata.deletionTimestamp", Time), ("spec.volumeName", Text), ("status.phase", Text)];
    let volume = [("status.phase", Text), ("spec.claimRef", Hash)];
    let class = [("volumeBindingMode", Text)];
    Controller {
        name: "persistentvolume-binder".into(),
        watches: vec![
            world::watch(claims(), &own, &[Wakes::Itself]),
            world::watch(volumes(), &volume, &[Wakes::Everyone]),
            world::watch(world::kind("storage.k8s.io", "v1", "StorageClass"), &class, &[Wakes::Everyone]),
            world::watch(world::kind("", "v1", "Pod"), &[("spec.nodeName", Text)], &[Wakes::Siblings]),
        ],
        workers: 1,
    }
}

/// What the keeper of volumes' phases watches.
pub fn declare_volumes() -> Controller {
    use FieldType::{Hash, Text};
    let own = [("status.phase", Text), ("spec.claimRef", Hash)];
    let claim = [("spec.volumeName", Text)];
    Controller {
        name: "persistentvolume-phase-controller".into(),
        watches: vec![
            world::watch(volumes(), &own, &[Wakes::Itself]),
            world::watch(claims(), &claim, &[Wakes::ClusterNamedAt("spec.volumeName".into())]),
        ],
        workers: 1,
    }
}

/// Puts the phase of one volume right.
pub fn reconcile_volume(key: &Key) -> Outcome {
    let Some(volume) = world::get(&volumes(), "", &key.name)? else { return Ok(None) };
    let held = &volume["spec"]["claimRef"];
    let text = |field: &str| held[field].as_str().unwrap_or_default();
    let claim = if held.is_null() { None } else { world::get(&claims(), text("namespace"), text("name"))? };
    let phase = plan::phase(&volume, claim.as_ref());
    if volume["status"]["phase"] == phase || volume["status"]["phase"] == "Failed" {
        return Ok(None);
    }
    let status = json!({"phase": phase, "lastPhaseTransitionTime": plan::written(world::now())});
    let patch = json!({"metadata": {"uid": volume["metadata"]["uid"]}, "status": status});
    match world::one(world::merge(&volumes(), "", &key.name, "status", &patch)) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("write the status of", "PersistentVolume", &key.name, &e)),
    }
}

/// Finds a volume for one claim, or says what it waits for.
pub fn reconcile(key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let settled = |row: &kedge_plugin_sdk::table::Row<'_>| row.has(0) || row.text(2) == Some("Lost");
    if found.first().is_none_or(|row| settled(&row)) {
        return Ok(None);
    }
    let Some(claim) = world::get(&claims(), &key.namespace, &key.name)? else { return Ok(None) };
    let completed = claim["metadata"]["annotations"][COMPLETED] == "yes";
    let named = claim["spec"]["volumeName"].as_str().unwrap_or_default();
    if completed && !named.is_empty() {
        return keep(key, &claim, named);
    }
    let class = match plan::class(&claim) {
        "" => None,
        name => world::get(&world::kind("storage.k8s.io", "v1", "StorageClass"), "", name)?,
    };
    let waits = class.as_ref().is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer");
    let place = if waits { place(key)? } else { None };
    let all = world::list(&volumes(), "", "")?;
    match plan::find(&claim, &all, place.as_ref(), waits) {
        Found::Volume(at) => bind(key, &claim, &all[at]),
        Found::Taken => {
            tell(
                key,
                &claim,
                EventType::Warning,
                "FailedBinding",
                &format!("volume {named:?} already bound to a different claim."),
            );
            pending(key, &claim)
        }
        Found::Nothing => {
            explain(key, &claim, class.as_ref(), waits && place.is_none())?;
            pending(key, &claim)
        }
    }
}

fn tell(key: &Key, claim: &Value, as_type: EventType, reason: &str, message: &str) {
    let uid = claim["metadata"]["uid"].as_str().unwrap_or_default();
    world::event(&claims(), &key.namespace, &key.name, uid, as_type, reason, message);
}

/// The claim has its volume: both must still be there.
fn keep(key: &Key, claim: &Value, named: &str) -> Outcome {
    let status = match world::get(&volumes(), "", named)? {
        Some(volume) if plan::is_reserved(&volume, claim) => {
            if claim["status"]["phase"] == "Bound" {
                return Ok(None);
            }
            plan::bound_status(&volume)
        }
        _ => {
            let text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            tell(key, claim, EventType::Warning, "ClaimLost", text);
            json!({"phase": "Lost"})
        }
    };
    write_status(key, claim, &status)
}

fn write_status(key: &Key, claim: &Value, status: &Value) -> Outcome {
    let patch = json!({"metadata": {"uid": claim["metadata"]["uid"]}, "status": status});
    match world::one(world::merge(&claims(), &key.namespace, &key.name, "status", &patch)) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("write the status of", "PersistentVolumeClaim", &key.name, &e)),
    }
}

fn pending(key: &Key, claim: &Value) -> Outcome {
    if claim["status"]["phase"] == "Pending" {
        Ok(None)
    } else {
        write_status(key, claim, &json!({"phase": "Pending"}))
    }
}

/// The node of a pod that uses the claim and has been placed.
fn place(key: &Key) -> Result<Option<Place>, String> {
    let mut node = None;
    world::each(&world::kind("", "v1", "Pod"), &key.namespace, "", |pod| {
        if node.is_none() && uses(&pod, &key.name) {
            node = pod["spec"]["nodeName"].as_str().map(str::to_string);
        }
    })?;
    let Some(name) = node else { return Ok(None) };
    let found = world::get(&world::kind("", "v1", "Node"), "", &name)?;
    Ok(found.map(|node| Place { name, labels: node["metadata"]["labels"].clone(), taints: Value::Null }))
}

/// Binds the volume first: a volume that is reserved can be found again, a claim without one cannot.
fn bind(key: &Key, claim: &Value, volume: &Value) -> Outcome {
    let name = volume["metadata"]["name"].as_str().unwrap_or_default();
    let meta = &claim["metadata"];
    if volume["spec"]["claimRef"]["uid"] != meta["uid"] {
        let reference = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace, "name": key.name,
            "uid": meta["uid"], "resourceVersion": meta["resourceVersion"],
        });
        let mut patch = json!({
            "metadata": {"resourceVersion": volume["metadata"]["resourceVersion"]}, "spec": {"claimRef": reference},
        });
        if volume["spec"]["claimRef"].is_null() {
            patch["metadata"]["annotations"] = plan::notes();
        }
        match world::one(world::merge(&volumes(), "", name, "", &patch)) {
            Ok(_) => {}
            // Somebody else was faster; the change of the volume wakes this key again.
            Err(e) if e.code == 404 || e.code == 409 => return Ok(None),
            Err(e) => return Err(world::said("bind", "PersistentVolume", name, &e)),
        }
    }
    let mut annotations = json!({COMPLETED: "yes"});
    if claim["spec"]["volumeName"].as_str().unwrap_or_default().is_empty() {
        annotations[BY_US] = json!("yes");
    }
    let patch = json!({
        "metadata": {"uid": meta["uid"], "annotations": annotations}, "spec": {"volumeName": name},
    });
    match world::one(world::merge(&claims(), &key.namespace, &key.name, "", &patch)) {
        Ok(_) => write_status(key, claim, &plan::bound_status(volume)),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("bind", "PersistentVolumeClaim", &key.name, &e)),
    }
}

/// Says what a claim without a volume waits for.
fn explain(key: &Key, claim: &Value, class: Option<&Value>, for_pod: bool) -> Result<(), String> {
    let name = plan::class(claim);
    let say = |as_type: EventType, reason: &str, text: &str| tell(key, claim, as_type, reason, text);
    if for_pod {
        say(EventType::Normal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding");
        return Ok(());
    }
    match class.map(|class| class["provisioner"].as_str().unwrap_or_default()) {
        None if name.is_empty() => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            say(EventType::Normal, "FailedBinding", text);
        }
        None => {
            say(EventType::Warning, "ProvisioningFailed", &format!("storageclass.storage.k8s.io {name:?} not found"))
        }
        Some(NO_PROVISIONER | "") => {
            let text = "no persistent volumes available for this claim and no storage class is set";
            say(EventType::Normal, "FailedBinding", text);
        }
        Some(provisioner) => {
            if claim["metadata"]["annotations"][PROVISIONER] != provisioner {
                let annotations =
                    json!({PROVISIONER: provisioner, "volume.beta.kubernetes.io/storage-provisioner": provisioner});
                let patch = json!({"metadata": {"uid": claim["metadata"]["uid"], "annotations": annotations}});
                let change = world::merge(&claims(), &key.namespace, &key.name, "", &patch);
                world::one(change).map_err(|e| world::said("annotate", "PersistentVolumeClaim", &key.name, &e))?;
            }
            let text = format!(
                "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
            );
            say(EventType::Normal, "ExternalProvisioning", &text);
        }
    }
    Ok(())
}
