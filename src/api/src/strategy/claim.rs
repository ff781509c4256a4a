//! Volumes and claims for them before they are kept.
//!
//! In: the sent object, and the kept one. Out: the sent one put right.

use serde_json::{Value, json};

use crate::Object;
use crate::meta::{self, at, text, text_at};

/// What a claim's volume begins with is said in an old field and in a new one; each says it for the other. The old one
/// can name another claim or a snapshot only.
pub(super) fn sources(claim: &mut Object, old: Option<&Object>) {
    let used = |object: &Object, field: &str| at(object, &["spec", field]).is_some();
    let before = old.is_some_and(|old| used(old, "dataSource") || used(old, "dataSourceRef"));
    // A claim from before both were kept alike stays as it is.
    if old.is_some_and(|old| used(old, "dataSource") != used(old, "dataSourceRef")) {
        return;
    }
    let Some(spec) = claim.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let said = |field: &str| spec.get(field).filter(|value| !value.is_null()).cloned();
    match (said("dataSource"), said("dataSourceRef")) {
        (Some(source), None) => {
            if before || is_copied(&source) {
                spec.insert("dataSourceRef".into(), source);
            } else {
                spec.remove("dataSource");
            }
        }
        (None, Some(source)) if text(&source, "namespace").is_empty() => {
            spec.insert("dataSource".into(), only_local(&source));
        }
        _ => {}
    }
}

fn is_copied(source: &Value) -> bool {
    matches!(
        (text(source, "apiGroup"), text(source, "kind")),
        ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
    )
}

fn only_local(source: &Value) -> Value {
    let mut local = json!({});
    for field in ["apiGroup", "kind", "name"] {
        if let Some(value) = at(source, &[field]) {
            local[field] = value.clone();
        }
    }
    local
}

/// When a volume's phase changed is kept by who does not say it.
pub(super) fn phase_time(new: &mut Object, old: &Object) {
    let path = ["status", "lastPhaseTransitionTime"];
    let same = text_at(new, &["status", "phase"]) == text_at(old, &["status", "phase"]);
    if same
        && at(new, &path).is_none()
        && let Some(time) = at(old, &path).cloned()
    {
        meta::child_mut(new, "status").insert(path[1].into(), time);
    }
}
