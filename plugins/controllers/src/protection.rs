//! The protection of claims, volumes and attribute classes: none goes while it is used.
//!
//! In: PersistentVolumeClaims, PersistentVolumes and VolumeAttributesClasses that bear the finalizer, and pods. Out: the
//! finalizer taken away once nobody uses them, or put on where it is missing.

use kedge_plugin_sdk::controller::exports::kedge::plugin::controllers::{Controller, Wakes};
use kedge_plugin_sdk::controller::kedge::plugin::objects::{FieldType, Key, Kind};
use serde_json::{Value, json};

use crate::world::{self, Outcome};

/// The kinds that are protected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    Claim,
    Volume,
    Attributes,
}

impl Flavour {
    fn kind(self) -> Kind {
        match self {
            Flavour::Claim => world::kind("", "v1", "PersistentVolumeClaim"),
            Flavour::Volume => world::kind("", "v1", "PersistentVolume"),
            Flavour::Attributes => world::kind("storage.k8s.io", "v1", "VolumeAttributesClass"),
        }
    }

    fn finalizer(self) -> &'static str {
        match self {
            Flavour::Claim => "kubernetes.io/pvc-protection",
            Flavour::Volume => "kubernetes.io/pv-protection",
            Flavour::Attributes => "kubernetes.io/vac-protection",
        }
    }
}

/// Where a claim names attribute classes: the wanted one, the one that holds, the one that it is on its way to. A volume
/// names one, in the first place.
const CLAIM_NAMES: [&str; 3] = [
    "spec.volumeAttributesClassName",
    "status.currentVolumeAttributesClassName",
    "status.modifyVolumeStatus.targetVolumeAttributesClassName",
];

/// What it watches.
pub fn declare(flavour: Flavour) -> Controller {
    use FieldType::{Json, Text, Time};
    let own = [
        ("metadata.uid", Text),
        ("metadata.deletionTimestamp", Time),
        ("metadata.finalizers", Json),
        ("status.phase", Text),
    ];
    // An attribute class has no status.
    let own = if flavour == Flavour::Attributes { &own[..3] } else { &own };
    let mut watches = vec![world::watch(flavour.kind(), own, &[Wakes::Itself])];
    if flavour == Flavour::Claim {
        // Only that a pod goes matters, and only where there are claims.
        watches.push(world::watch(world::kind("", "v1", "Pod"), &[], &[Wakes::Siblings]));
    }
    if flavour == Flavour::Attributes {
        watches.push(world::watch(Flavour::Claim.kind(), &CLAIM_NAMES.map(|path| (path, Text)), &[Wakes::Everyone]));
        watches.push(world::watch(Flavour::Volume.kind(), &[(CLAIM_NAMES[0], Text)], &[Wakes::Everyone]));
    }
    let name = match flavour {
        Flavour::Claim => "persistentvolumeclaim-protection-controller",
        Flavour::Volume => "persistentvolume-protection-controller",
        Flavour::Attributes => "volumeattributesclass-protection-controller",
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

/// Judges one object.
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
                Flavour::Attributes => is_named(&key.name)?,
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

/// Whether a claim or volume names the attribute class.
fn is_named(class: &str) -> Result<bool, String> {
    let mut named = false;
    for flavour in [Flavour::Claim, Flavour::Volume] {
        world::each(&flavour.kind(), "", "", |object| named |= names(&object, class))?;
    }
    Ok(named)
}

/// Whether a claim or volume names an attribute class.
fn names(object: &Value, class: &str) -> bool {
    CLAIM_NAMES.iter().any(|path| path.split('.').fold(object, |value, field| &value[field]) == class)
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
    fn claims_and_volumes_name_attribute_classes() {
        for (object, expected) in [
            (json!({"spec": {"volumeAttributesClassName": "a"}}), true),
            (json!({"status": {"currentVolumeAttributesClassName": "a"}}), true),
            (json!({"status": {"modifyVolumeStatus": {"targetVolumeAttributesClassName": "a"}}}), true),
            (json!({"spec": {"volumeAttributesClassName": "b"}, "status": {}}), false),
            (json!({}), false),
        ] {
            assert_eq!(names(&object, "a"), expected, "{object}");
        }
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
