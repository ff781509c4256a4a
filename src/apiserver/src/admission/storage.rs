//! What is special about storage: claims get the default class, grow only where their class allows it, and nothing
//! that is in use goes away.
//!
//! In: claims, volumes, attribute classes. Out: a class name, finalizers, or 403.

use async_trait::async_trait;
use kedge_api::Object;
use kedge_api::meta::{self, at, bool_at, text_at};
use kedge_api::quantity::Quantity;
use kedge_api::status::Status;
use serde_json::json;

use super::{Admission, Attributes, Operation, Reader};

/// DefaultStorageClass: a claim that names no class gets the one that is marked as default.
#[derive(Debug)]
pub struct DefaultStorageClass;

/// PersistentVolumeClaimResize: only bound claims grow, and only where their class allows it.
#[derive(Debug)]
pub struct PersistentVolumeClaimResize;

/// StorageObjectInUseProtection: finalizers that keep what is in use.
#[derive(Debug)]
pub struct StorageObjectInUseProtection;

const GROUP: &str = "storage.k8s.io";
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

#[async_trait]
impl Admission for DefaultStorageClass {
    fn name(&self) -> &'static str {
        "DefaultStorageClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "persistentvolumeclaims")
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        claim: &mut Object,
        _old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        if !attributes.creates("", "persistentvolumeclaims") || has_class(claim) {
            return Ok(());
        }
        let classes = reader.list(GROUP, "storageclasses", "").await?;
        if let Some(class) = default_of(&classes, &DEFAULT) {
            meta::child_mut(claim, "spec").insert("storageClassName".to_owned(), json!(meta::name(class)));
        }
        Ok(())
    }
}

/// Whether a claim says which class it wants, be it none.
fn has_class(claim: &Object) -> bool {
    meta::annotation(claim, OLD_CLASS).is_some() || at(claim, &["spec", "storageClassName"]).is_some()
}

/// The newest of the classes that are marked so; of several equally old ones the first by name.
pub(super) fn default_of<'a>(classes: &'a [Object], marks: &[&str]) -> Option<&'a Object> {
    let marked = |class: &&Object| marks.iter().any(|mark| meta::annotation(class, mark) == Some("true"));
    classes.iter().filter(marked).max_by(|a, b| {
        meta::creation_timestamp(a).cmp(meta::creation_timestamp(b)).then_with(|| meta::name(b).cmp(meta::name(a)))
    })
}

#[async_trait]
impl Admission for PersistentVolumeClaimResize {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaimResize"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.concerns("", "persistentvolumeclaims")
    }

    async fn validate(
        &self,
        attributes: &Attributes<'_>,
        claim: Option<&Object>,
        old: Option<&Object>,
        reader: Reader<'_>,
    ) -> Result<(), Status> {
        let (Some(new), Some(old)) = (claim, old) else { return Ok(()) };
        if attributes.operation != Operation::Update || !attributes.is("", "persistentvolumeclaims") {
            return Ok(());
        }
        let size = |claim| {
            let storage = at(claim, &["spec", "resources", "requests", "storage"]);
            storage.and_then(|size| Quantity::from_json(size).ok()).unwrap_or(Quantity::ZERO)
        };
        if size(new) <= size(old) {
            return Ok(());
        }
        if text_at(old, &["status", "phase"]) != "Bound" {
            return Err(attributes.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let (class, class_before) = (class_of(new), class_of(old));
        let expands = !class.is_empty()
            && class == class_before
            && reader
                .get(GROUP, "storageclasses", "", class)
                .await?
                .is_some_and(|class| bool_at(&class, &["allowVolumeExpansion"]));
        if expands {
            return Ok(());
        }
        Err(attributes.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        ))
    }
}

fn class_of(claim: &Object) -> &str {
    meta::annotation(claim, OLD_CLASS).unwrap_or_else(|| text_at(claim, &["spec", "storageClassName"]))
}

#[async_trait]
impl Admission for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn concerns(&self, attributes: &Attributes<'_>, _reader: Reader<'_>) -> bool {
        attributes.operation == Operation::Create && matches!(&*attributes.kind.stored.0, "" | GROUP)
    }

    async fn mutate(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Object,
        _old: Option<&Object>,
        _reader: Reader<'_>,
    ) -> Result<(), Status> {
        const PROTECTED: [(&str, &str, &str); 3] = [
            ("", "persistentvolumes", "kubernetes.io/pv-protection"),
            ("", "persistentvolumeclaims", "kubernetes.io/pvc-protection"),
            (GROUP, "volumeattributesclasses", "kubernetes.io/vac-protection"),
        ];
        let found = PROTECTED.iter().find(|(group, plural, _)| attributes.creates(group, plural));
        if let Some((_, _, finalizer)) = found {
            meta::add_finalizer(object, finalizer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_default_counts() {
        let class = |name: &str, made: &str, default: &str| {
            json!({"metadata": {"name": name, "creationTimestamp": made,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default}}})
        };
        let classes = [
            class("old", "2024-01-01T00:00:00Z", "true"),
            class("b", "2025-01-01T00:00:00Z", "true"),
            class("a", "2025-01-01T00:00:00Z", "true"),
            class("newest", "2026-01-01T00:00:00Z", "false"),
        ];
        assert_eq!(default_of(&classes, &DEFAULT).map(meta::name), Some("a"));
        assert_eq!(default_of(&classes[3..], &DEFAULT), None);
    }

    #[test]
    fn a_claim_may_want_no_class() {
        assert!(!has_class(&json!({"spec": {}})));
        assert!(has_class(&json!({"spec": {"storageClassName": ""}})));
        assert!(has_class(&json!({"metadata": {"annotations": {OLD_CLASS: "x"}}})));
    }
}
