//! Labels and annotations of everything.
//!
//! In: pairs. Out: objects that have them, and where it is wanted their templates and what selects them.

use serde_json::{Map, Value, json};

use super::Piece;
use super::file::{FieldSpec, Kustomization, Pairs};
use super::paths::{each, split};
use crate::error::Failure;

/// Group (`*` for any), kind, path, whether it is made where it is missing.
type Place = (&'static str, &'static str, &'static str, bool);

const TEMPLATES: &[(&str, &str, &str)] = &[
    ("", "ReplicationController", "spec/template/metadata"),
    ("*", "Deployment", "spec/template/metadata"),
    ("*", "ReplicaSet", "spec/template/metadata"),
    ("*", "DaemonSet", "spec/template/metadata"),
    ("apps", "StatefulSet", "spec/template/metadata"),
    ("batch", "Job", "spec/template/metadata"),
    ("batch", "CronJob", "spec/jobTemplate/metadata"),
    ("batch", "CronJob", "spec/jobTemplate/spec/template/metadata"),
];

const SELECTORS: &[Place] = &[
    ("", "Service", "spec/selector", true),
    ("", "ReplicationController", "spec/selector", true),
    ("*", "Deployment", "spec/selector/matchLabels", true),
    ("*", "ReplicaSet", "spec/selector/matchLabels", true),
    ("*", "DaemonSet", "spec/selector/matchLabels", true),
    ("apps", "StatefulSet", "spec/selector/matchLabels", true),
    ("batch", "Job", "spec/selector/matchLabels", false),
    ("batch", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
    ("policy", "PodDisruptionBudget", "spec/selector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/podSelector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
    ("networking.k8s.io", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
];

/// Within the pod template of Deployments and StatefulSets, never made.
const WITHIN: &[&str] = &[
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

/// Those of a kustomization.
pub fn all(said: &Kustomization, pieces: &mut [Piece]) -> Result<(), Failure> {
    for label in &said.labels {
        if let Some(key) = label.pairs.keys().find(|key| said.common_labels.contains_key(*key)) {
            return Err(Failure::said(format!("label name '{key}' exists in both commonLabels and labels")));
        }
        for piece in pieces.iter_mut() {
            put_at(piece, "metadata/labels", true, &label.pairs)?;
            if label.include_selectors {
                selectors(piece, &label.pairs)?;
            }
            if label.include_selectors || label.include_templates {
                templates(piece, "labels", &label.pairs)?;
            }
            for spec in &label.fields {
                if is_meant(piece, spec) {
                    put_at(piece, &spec.path, spec.create, &label.pairs)?;
                }
            }
        }
    }
    for piece in pieces {
        if !said.common_labels.is_empty() {
            put_at(piece, "metadata/labels", true, &said.common_labels)?;
            selectors(piece, &said.common_labels)?;
            templates(piece, "labels", &said.common_labels)?;
        }
        if !said.common_annotations.is_empty() {
            put_at(piece, "metadata/annotations", true, &said.common_annotations)?;
            templates(piece, "annotations", &said.common_annotations)?;
        }
    }
    Ok(())
}

fn is_meant(piece: &Piece, spec: &FieldSpec) -> bool {
    let gvk = piece.gvk();
    [(&spec.group, &*gvk.group), (&spec.version, &*gvk.version), (&spec.kind, &*gvk.kind)]
        .iter()
        .all(|(wanted, own)| wanted.is_empty() || wanted.as_str() == *own)
}

fn is_of(piece: &Piece, group: &str, kind: &str) -> bool {
    piece.kind() == kind && (group == "*" || *piece.gvk().group == *group)
}

fn templates(piece: &mut Piece, field: &str, pairs: &Pairs) -> Result<(), Failure> {
    for (group, kind, path) in TEMPLATES {
        if is_of(piece, group, kind) {
            put_at(piece, &format!("{path}/{field}"), true, pairs)?;
        }
    }
    if field == "labels" && is_of(piece, "apps", "StatefulSet") {
        put_at(piece, "spec/volumeClaimTemplates/metadata/labels", true, pairs)?;
    }
    Ok(())
}

fn selectors(piece: &mut Piece, pairs: &Pairs) -> Result<(), Failure> {
    for (group, kind, path, create) in SELECTORS {
        if is_of(piece, group, kind) {
            put_at(piece, path, *create, pairs)?;
        }
    }
    if is_of(piece, "apps", "Deployment") || is_of(piece, "apps", "StatefulSet") {
        for path in WITHIN {
            put_at(piece, &format!("spec/template/spec/{path}"), false, pairs)?;
        }
    }
    Ok(())
}

fn put_at(piece: &mut Piece, path: &str, create: bool, pairs: &Pairs) -> Result<(), Failure> {
    let mut wrong = false;
    let parts = split(path);
    // Where a list is missing there are no items to be made.
    let create = create && (!path.contains("volumeClaimTemplates") || has_list(&piece.object, &parts));
    each(&mut piece.object, &parts, create, &mut |value| {
        if value.is_null() {
            *value = Value::Object(Map::new());
        }
        match value.as_object_mut() {
            Some(map) => map.extend(pairs.iter().map(|(key, value)| (key.clone(), json!(value)))),
            None => wrong = true,
        }
    });
    match wrong {
        true => Err(Failure::said(format!("{}: {path} of {} is no map", piece.origin, piece.id()))),
        false => Ok(()),
    }
}

fn has_list(object: &Value, parts: &[String]) -> bool {
    parts
        .iter()
        .scan(object, |here, part| {
            *here = here.get(part)?;
            Some(here.is_array())
        })
        .any(|is_list| is_list)
}
