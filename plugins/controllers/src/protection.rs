//! The protection of claims and volumes: neither goes while it is used.
//!
//! In: PersistentVolumeClaims and PersistentVolumes that bear the finalizer, and pods. Out: the finalizer taken away once
//! nobody uses them, or put on where it is missing.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::{Value, json};

use crate::world::{self, Outcome};

/// The two kinds that are protected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Claim,
    Volume,
}

impl Flavour {
    fn kind(self) -> Kind {
        match self {
            Flavour::Claim => world::kind("", "v1", "PersistentVolumeClaim"),
            Flavour::Volume => world::kind("", "v1", "PersistentVolume"),
        }
    }

    fn finalizer(self) -> &'static str {
        match self {
            Flavour::Claim => "kubernetes.io/pvc-protection",
            Flavour::Volume => "kubernetes.io/pv-protection",
        }
    }
}

/// What it watches.
pub fn declare(flavour: Flavour) -> Controller {
    use FieldType::{Json, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.deletionTimestamp", Time),
        ("metadata.finalizers", Json),
        ("status.phase", Text),
    ];
    let mut watches = vec![world::watch(flavour.kind(), &own, &[Wakes::Itself])];
    if flavour == Flavour::Claim {
        // Only that a pod goes matters, and only where there are claims.
        watches.push(world::watch(world::kind("", "v1", "Pod"), &[], &[Wakes::Siblings]));
    }
    let name = match flavour {
        Flavour::Claim => "persistentvolumeclaim-protection-controller",
        Flavour::Volume => "persistentvolume-protection-controller",
    };
    Controller { name: name.into(), watches, workers: 1 }
}

/// What to do with the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Add,
    /// If nobody uses it.
    Remove,
}

fn plan(deleting: bool, protected: bool) -> Step {
    match (deleting, protected) {
        (true, true) => Step::Remove,
        (false, false) => Step::Add,
        _ => Step::Nothing,
    }
}

/// Judges one claim or volume.
pub fn reconcile(flavour: Flavour, key: &Key) -> Outcome {
    let found = world::row_of(0, key);
    let Some(row) = found.first() else { return Ok(None) };
    let mut finalizers = world::json(row.text(2)).as_array().cloned().unwrap_or_default();
    let protected = finalizers.iter().any(|held| held == flavour.finalizer());
    let kind = flavour.kind();
    match plan(row.has(1), protected) {
        Step::Nothing => return Ok(None),
        Step::Add => finalizers.push(json!(flavour.finalizer())),
        Step::Remove => {
            let used = match flavour {
                Flavour::Volume => row.text(3) == Some("Bound"),
                Flavour::Claim => is_used(&key.namespace, &key.name)?,
            };
            if used {
                return Ok(None);
            }
            finalizers.retain(|held| held != flavour.finalizer());
        }
    }
    let patch = json!({"metadata": {"uid": row.text(0), "finalizers": finalizers}});
    match world::one(world::merge(&kind, &key.namespace, &key.name, "", &patch)) {
        Ok(_) => Ok(None),
        Err(e) if e.code == 404 || e.code == 409 => Ok(None),
        Err(e) => Err(world::said("change the finalizers of", &kind.kind, &key.name, &e)),
    }
}

/// Whether a pod that has been placed uses the claim.
fn is_used(namespace: &str, claim: &str) -> Result<bool, String> {
    let mut used = false;
    world::each(&world::kind("", "v1", "Pod"), namespace, "", |pod| used |= uses(&pod, claim))?;
    Ok(used)
}

/// Whether a pod uses a claim, by its name or as the one that was made for it.
pub fn uses(pod: &Value, claim: &str) -> bool {
    let placed = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    placed
        && volumes.into_iter().any(|volume| {
            volume["persistentVolumeClaim"]["claimName"] == claim
                || (volume["ephemeral"].is_object()
                    && format!("{name}-{}", volume["name"].as_str().unwrap_or_default()) == claim)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_comes_with_the_object_and_goes_with_its_use() {
        assert_eq!([plan(false, false), plan(false, true)], [Step::Add, Step::Nothing]);
        assert_eq!([plan(true, true), plan(true, false)], [Step::Remove, Step::Nothing]);
    }

    #[test]
    fn placed_pods_use_claims() {
        let pod = |node: &str| {
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": node, "volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "tmp", "ephemeral": {}}]}})
        };
        assert!(uses(&pod("edge"), "c") && uses(&pod("edge"), "p-tmp"));
        assert!(!uses(&pod("edge"), "d") && !uses(&pod(""), "c"));
    }
}
