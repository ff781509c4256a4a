//! Volumes, claims, classes and drivers in tables.

use std::time::SystemTime;

use serde_json::Value;

use super::Printer;
use super::column::{Column, age, name};
use super::text::{self, UNSET, or, scalar};
use crate::Object;
use crate::meta::{self, at, bool_at, list_at, text_at};

const VOLUME: &[Column] = &[
    name(),
    Column::text("Capacity", "How much it holds."),
    Column::text("Access Modes", "How it can be mounted."),
    Column::text("Reclaim Policy", "What becomes of it when its claim is gone."),
    Column::text("Status", "Whether it is free, bound or released."),
    Column::text("Claim", "The claim that it is bound to."),
    Column::text("StorageClass", "The class that it belongs to."),
    Column::text("VolumeAttributesClass", "The class of its attributes."),
    Column::text("Reason", "Why it is in that state."),
    age(),
    Column::text("VolumeMode", "Whether it is a file system or a device.").wide(),
];
const CLAIM: &[Column] = &[
    name(),
    Column::text("Status", "Whether it is bound."),
    Column::text("Volume", "The volume that it is bound to."),
    Column::text("Capacity", "How much the volume holds."),
    Column::text("Access Modes", "How the volume can be mounted."),
    Column::text("StorageClass", "The class that it asks for."),
    Column::text("VolumeAttributesClass", "The class of attributes that it asks for."),
    age(),
    Column::text("VolumeMode", "Whether it is a file system or a device.").wide(),
];
const CLASS: &[Column] = &[
    name(),
    Column::text("Provisioner", "Who makes the volumes."),
    Column::text("ReclaimPolicy", "What becomes of volumes whose claim is gone."),
    Column::text("VolumeBindingMode", "When volumes are made and bound."),
    Column::text("AllowVolumeExpansion", "Whether volumes can grow."),
    age(),
];
const ATTACHMENT: &[Column] = &[
    name(),
    Column::text("Attacher", "Who attaches it."),
    Column::text("PV", "The volume."),
    Column::text("Node", "The node."),
    Column::bool("Attached", "Whether it is attached."),
    age(),
];
const NODE: &[Column] = &[name(), Column::int("Drivers", "Drivers that are installed on the node."), age()];
const DRIVER: &[Column] = &[
    name(),
    Column::bool("AttachRequired", "Volumes must be attached."),
    Column::bool("PodInfoOnMount", "The driver is told about the pod."),
    Column::bool("StorageCapacity", "The driver reports capacity."),
    Column::text("TokenRequests", "Audiences of the tokens that it gets."),
    Column::bool("RequiresRepublish", "Volumes are published again and again."),
    Column::text("Modes", "Kinds of volumes that it supports."),
    age(),
];
const ATTRIBUTES: &[Column] = &[name(), Column::text("DriverName", "The driver."), age()];

pub(super) fn core(kind: &str) -> Option<Printer> {
    match kind {
        "PersistentVolume" => Some(Printer { columns: VOLUME, cells: volume }),
        "PersistentVolumeClaim" => Some(Printer { columns: CLAIM, cells: claim }),
        _ => None,
    }
}

pub(super) fn printer(kind: &str) -> Option<Printer> {
    let printer = match kind {
        "StorageClass" => Printer { columns: CLASS, cells: class },
        "VolumeAttachment" => Printer {
            columns: ATTACHMENT,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    text_at(object, &["spec", "attacher"]).into(),
                    text_at(object, &["spec", "source", "persistentVolumeName"]).into(),
                    text_at(object, &["spec", "nodeName"]).into(),
                    bool_at(object, &["status", "attached"]).into(),
                    text::age(object, now),
                ]
            },
        },
        "CSINode" => Printer {
            columns: NODE,
            cells: |object, now| {
                vec![
                    meta::name(object).into(),
                    list_at(object, &["spec", "drivers"]).len().into(),
                    text::age(object, now),
                ]
            },
        },
        "CSIDriver" => Printer { columns: DRIVER, cells: driver },
        "VolumeAttributesClass" => Printer {
            columns: ATTRIBUTES,
            cells: |object, now| {
                vec![meta::name(object).into(), meta::text(object, "driverName").into(), text::age(object, now)]
            },
        },
        _ => return None,
    };
    Some(printer)
}

fn access_modes(list: &[Value]) -> String {
    let has = |mode: &str| list.iter().any(|m| m.as_str() == Some(mode));
    let known =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    known.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn phase(object: &Object) -> String {
    let phase = text_at(object, &["status", "phase"]);
    if meta::deletion_timestamp(object).is_some() { "Terminating".to_string() } else { phase.to_string() }
}

fn class_of(object: &Object) -> String {
    let old = meta::annotation(object, "volume.beta.kubernetes.io/storage-class").unwrap_or("");
    or(old, text_at(object, &["spec", "storageClassName"])).to_string()
}

fn volume(object: &Object, now: SystemTime) -> Vec<Value> {
    let claim = at(object, &["spec", "claimRef"])
        .map_or_else(String::new, |claim| format!("{}/{}", meta::text(claim, "namespace"), meta::text(claim, "name")));
    vec![
        meta::name(object).into(),
        scalar(at(object, &["spec", "capacity", "storage"]), "0").into(),
        access_modes(list_at(object, &["spec", "accessModes"])).into(),
        text_at(object, &["spec", "persistentVolumeReclaimPolicy"]).into(),
        phase(object).into(),
        claim.into(),
        class_of(object).into(),
        scalar(at(object, &["spec", "volumeAttributesClassName"]), UNSET).into(),
        text_at(object, &["status", "reason"]).into(),
        text::age(object, now),
        scalar(at(object, &["spec", "volumeMode"]), UNSET).into(),
    ]
}

fn claim(object: &Object, now: SystemTime) -> Vec<Value> {
    let bound = text_at(object, &["spec", "volumeName"]);
    let (capacity, modes) = match bound {
        "" => (String::new(), String::new()),
        _ => (
            scalar(at(object, &["status", "capacity", "storage"]), "0"),
            access_modes(list_at(object, &["status", "accessModes"])),
        ),
    };
    vec![
        meta::name(object).into(),
        phase(object).into(),
        bound.into(),
        capacity.into(),
        modes.into(),
        class_of(object).into(),
        scalar(at(object, &["spec", "volumeAttributesClassName"]), UNSET).into(),
        text::age(object, now),
        scalar(at(object, &["spec", "volumeMode"]), UNSET).into(),
    ]
}

fn class(object: &Object, now: SystemTime) -> Vec<Value> {
    let default = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
        .iter()
        .any(|key| meta::annotation(object, key) == Some("true"));
    let name = meta::name(object);
    vec![
        if default { format!("{name} (default)") } else { name.to_string() }.into(),
        meta::text(object, "provisioner").into(),
        or(meta::text(object, "reclaimPolicy"), "Delete").into(),
        or(meta::text(object, "volumeBindingMode"), "Immediate").into(),
        bool_at(object, &["allowVolumeExpansion"]).into(),
        text::age(object, now),
    ]
}

fn driver(object: &Object, now: SystemTime) -> Vec<Value> {
    let flag = |field: &str, other: bool| at(object, &["spec", field]).and_then(Value::as_bool).unwrap_or(other);
    let join = |list: Vec<&str>, empty: &str| or(&list.join(","), empty).to_string();
    let audiences = list_at(object, &["spec", "tokenRequests"]).iter().map(|r| meta::text(r, "audience")).collect();
    let modes = list_at(object, &["spec", "volumeLifecycleModes"]).iter().filter_map(Value::as_str).collect();
    vec![
        meta::name(object).into(),
        flag("attachRequired", true).into(),
        flag("podInfoOnMount", false).into(),
        flag("storageCapacity", false).into(),
        join(audiences, UNSET).into(),
        flag("requiresRepublish", false).into(),
        join(modes, text::NONE).into(),
        text::age(object, now),
    ]
}
