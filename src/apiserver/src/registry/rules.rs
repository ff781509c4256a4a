//! What the schema table and the rules of each kind say, in the words the registry uses.
//!
//! In: a kind and objects. Out: defaults filled in, versions converted, faults found. One place,
//! so that custom kinds can take their rules from their definition here.

use std::borrow::Cow;

use kedge_api::field::FieldError;
use kedge_api::fields::Index;
use kedge_api::kinds::{Gvk, Kind, Sub, Tier};
use kedge_api::strategy::{self, Part};
use kedge_api::{Object, convert, custom, defaults, validate};
use kedge_store::Revision;

use crate::core::Core;

/// The name under which an object's uid is found in its index.
pub const UID: &str = "metadata.uid";

/// Fills in what was left out, in the version that was sent.
pub fn default(kind: &Kind, object: &mut Object) {
    match kind.schema().and_then(|own| own.node().custom()) {
        Some(schema) => custom::default::fill(schema, object),
        None => defaults::apply(&kind.gvk(), object),
    }
}

/// A whole object in the form in which it was sent: with that form's defaults and today's, in the version it is kept in.
pub fn take_in(spoken: &Kind, kind: &Kind, object: &mut Object) {
    fill_in(spoken, kind, object);
    to_kept(kind, object);
}

/// A whole object in the form in which it was sent: with that form's defaults and today's, in the version of `kind`.
pub fn fill_in(spoken: &Kind, kind: &Kind, object: &mut Object) {
    default(spoken, object);
    if spoken.gvk() != kind.gvk() {
        change_version(&spoken.gvk(), &kind.gvk(), object);
        default(kind, object);
    }
}

/// A part of an object, as it was sent, in the version of `kind`; nothing is filled in.
pub fn renew(spoken: &Kind, kind: &Kind, object: &mut Object) {
    change_version(&spoken.gvk(), &kind.gvk(), object);
}

/// Puts a new object right; `spoken` is the form in which it came.
pub fn prepare_create(spoken: &Kind, kind: &Kind, object: &mut Object) {
    strategy::prepare_create(judge(spoken, kind), object);
}

/// Puts an update right; `spoken` is the form in which it came.
pub fn prepare_update(spoken: &Kind, kind: &Kind, sub: Option<Sub>, new: &mut Object, old: &Object) {
    strategy::prepare_update(judge(spoken, kind), part(sub), new, old);
}

/// What is wrong with a new object; `spoken` is the form in which it came.
pub fn validate_create(spoken: &Kind, kind: &Kind, object: &Object) -> Vec<FieldError> {
    forgiven(spoken, validate::create(judge(spoken, kind), object))
}

/// What is wrong with an update; `spoken` is the form in which it came.
pub fn validate_update(spoken: &Kind, kind: &Kind, sub: Option<Sub>, new: &Object, old: &Object) -> Vec<FieldError> {
    forgiven(spoken, validate::update(judge(spoken, kind), part(sub), new, old))
}

/// By whose rules: today's, but some differ between versions of a group.
fn judge<'a>(spoken: &'a Kind, kind: &'a Kind) -> &'a Kind {
    if matches!(&*spoken.group, "events.k8s.io" | "discovery.k8s.io") { spoken } else { kind }
}

/// The faults but for those that an old version allowed.
fn forgiven(spoken: &Kind, mut faults: Vec<FieldError>) -> Vec<FieldError> {
    if !faults.is_empty() && !spoken.custom {
        faults.retain(|fault| !convert::forgives(&spoken.gvk(), fault));
    }
    faults
}

fn part(sub: Option<Sub>) -> Part {
    match sub {
        Some(Sub::Status) => Part::Status,
        Some(Sub::Finalize) => Part::Finalize,
        Some(Sub::Approval) => Part::Approval,
        Some(Sub::EphemeralContainers) => Part::EphemeralContainers,
        Some(Sub::Resize) => Part::Resize,
        _ => Part::Main,
    }
}

/// What selectors may ask of an object, and its uid.
pub fn index(kind: &Kind, object: &Object) -> Vec<u8> {
    let Some(definition) = &kind.definition else { return Index::of(&kind.stored_gvk(), object, &[UID]) };
    let mut fields = vec![UID];
    fields.extend(definition.selectable());
    fields.sort_unstable();
    fields.dedup();
    Index::of(&kind.stored_gvk(), object, &fields)
}

/// Where objects of the kind are kept.
pub fn tier(kind: &Kind) -> kedge_store::Tier {
    match kind.tier {
        Tier::Durable => kedge_store::Tier::Durable,
        Tier::Volatile => kedge_store::Tier::Volatile,
    }
}

/// Whether what happened to the kind's objects from that revision on is not known any more: it
/// lived in memory only, before this start.
pub fn is_forgotten(core: &Core, kind: &Kind, from: Revision) -> bool {
    kind.tier == Tier::Volatile && from < core.started_at
}

/// Whether objects are served in the version they are kept in.
pub fn served_as_kept(kind: &Kind) -> bool {
    kind.stored.0 == kind.group && kind.stored.1 == kind.version
}

/// A whole object from the served to the version that is worked on: that is the kept one, but for custom kinds (`convert.rs`).
pub fn to_kept(kind: &Kind, object: &mut Object) {
    if kind.custom {
        return;
    }
    let (served, stored) = (kind.gvk(), kind.stored_gvk());
    change_version(&served, &stored, object);
    // Early versions have the defaults of the one that came after them.
    if served != stored && !kind.served_by_default() {
        defaults::apply(&stored, object);
    }
}

/// An object in the served version, which is mostly the one that is worked on.
pub fn served<'a>(kind: &Kind, object: &'a Object) -> Cow<'a, Object> {
    if kind.custom || served_as_kept(kind) {
        return Cow::Borrowed(object);
    }
    let mut served = object.clone();
    to_served(kind, &mut served);
    Cow::Owned(served)
}

/// From the version that is worked on to the served one.
pub fn to_served(kind: &Kind, object: &mut Object) {
    if kind.custom {
        return;
    }
    change_version(&kind.stored_gvk(), &kind.gvk(), object);
}

fn change_version(from: &Gvk, to: &Gvk, object: &mut Object) {
    if from == to {
        return;
    }
    match convert::to(from, to, std::mem::take(object)) {
        Ok(converted) => *object = converted,
        // The table of kinds only pairs versions that convert.
        Err(fault) => tracing::error!(%fault, %from, %to, "served versions do not convert"),
    }
}

/// Kinds that a PUT may create (Kubernetes' `AllowCreateOnUpdate`).
pub fn put_creates(kind: &Kind) -> bool {
    matches!(
        (&*kind.stored.0, &*kind.plural),
        ("", "endpoints" | "events" | "limitranges" | "services")
            | ("coordination.k8s.io", _)
            | ("node.k8s.io", "runtimeclasses")
            | ("rbac.authorization.k8s.io", _)
    )
}

/// Kinds whose update must say which version it is based on (no `AllowUnconditionalUpdate`).
pub fn needs_version(kind: &Kind) -> bool {
    kind.custom
        || matches!(
            (&*kind.stored.0, &*kind.plural),
            ("certificates.k8s.io", "clustertrustbundles" | "podcertificaterequests")
                | ("coordination.k8s.io" | "node.k8s.io" | "storagemigration.k8s.io", _)
                | ("internal.apiserver.k8s.io", _)
                | ("policy", "poddisruptionbudgets")
                | ("resource.k8s.io", "resourcepoolstatusrequests")
                | ("storage.k8s.io", "csidrivers" | "csinodes" | "csistoragecapacities" | "volumeattachments")
                | ("apiextensions.k8s.io" | "apiregistration.k8s.io" | "admissionregistration.k8s.io", _)
        )
}

/// What a Job's deletion is told that does not say what becomes of the pods.
pub const PODS_STAY: &str = "child pods are preserved by default when jobs are deleted; set \
    propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// Kinds whose dependents stay when a deletion does not say what becomes of them (`DefaultGarbageCollectionPolicy`), in
/// the version that the client speaks: what is old has its old custom.
pub fn orphans(spoken: &Kind) -> bool {
    match (&*spoken.group, &*spoken.version, &*spoken.plural) {
        ("", "v1", "replicationcontrollers") | ("batch", "v1", "jobs") => true,
        ("batch", "v1beta1" | "v2alpha1", plural) => plural == "cronjobs",
        ("extensions", "v1beta1", plural) | ("apps", "v1beta1" | "v1beta2", plural) => {
            matches!(plural, "daemonsets" | "deployments" | "replicasets" | "statefulsets")
        }
        _ => false,
    }
}

/// Kinds whose deletion answers with the object (Kubernetes' `ReturnDeletedObject`).
pub fn deletion_returns_object(kind: &Kind) -> bool {
    matches!(
        (&*kind.stored.0, &*kind.plural),
        (
            "",
            "pods"
                | "podtemplates"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "resourcequotas"
                | "serviceaccounts"
                | "services"
        ) | ("storage.k8s.io", "storageclasses" | "csidrivers" | "csinodes" | "volumeattachments")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::kinds::Kinds;

    /// The rows of `group/version plural` for which `holds`.
    fn rows(kinds: &Kinds, holds: fn(&Kind) -> bool) -> Vec<String> {
        let name = |kind: &Kind| format!("{}/{} {}", kind.group, kind.version, kind.plural);
        kinds.iter().filter(|kind| kind.is_kept() && holds(kind)).map(|kind| name(kind)).collect()
    }

    #[test]
    fn puts_that_create() {
        assert_eq!(
            rows(&Kinds::builtin(), put_creates),
            [
                "/v1 endpoints",
                "/v1 events",
                "/v1 limitranges",
                "/v1 services",
                "coordination.k8s.io/v1 leases",
                "events.k8s.io/v1 events",
                "node.k8s.io/v1 runtimeclasses",
                "rbac.authorization.k8s.io/v1 clusterrolebindings",
                "rbac.authorization.k8s.io/v1 clusterroles",
                "rbac.authorization.k8s.io/v1 rolebindings",
                "rbac.authorization.k8s.io/v1 roles",
            ]
        );
    }

    #[test]
    fn puts_that_must_say_a_version() {
        assert_eq!(
            rows(&Kinds::builtin(), needs_version),
            [
                "admissionregistration.k8s.io/v1 mutatingadmissionpolicies",
                "admissionregistration.k8s.io/v1 mutatingadmissionpolicybindings",
                "admissionregistration.k8s.io/v1 mutatingwebhookconfigurations",
                "admissionregistration.k8s.io/v1 validatingadmissionpolicies",
                "admissionregistration.k8s.io/v1 validatingadmissionpolicybindings",
                "admissionregistration.k8s.io/v1 validatingwebhookconfigurations",
                "apiextensions.k8s.io/v1 customresourcedefinitions",
                "apiregistration.k8s.io/v1 apiservices",
                "coordination.k8s.io/v1 leases",
                "node.k8s.io/v1 runtimeclasses",
                "policy/v1 poddisruptionbudgets",
                "storage.k8s.io/v1 csidrivers",
                "storage.k8s.io/v1 csinodes",
                "storage.k8s.io/v1 csistoragecapacities",
                "storage.k8s.io/v1 volumeattachments",
            ]
        );
    }

    #[test]
    fn old_versions_leave_dependents_behind() {
        assert_eq!(
            rows(&Kinds::builtin().with_removed(), orphans),
            [
                "/v1 replicationcontrollers",
                "apps/v1beta1 deployments",
                "apps/v1beta1 statefulsets",
                "apps/v1beta2 daemonsets",
                "apps/v1beta2 deployments",
                "apps/v1beta2 replicasets",
                "apps/v1beta2 statefulsets",
                "batch/v1 jobs",
                "batch/v1beta1 cronjobs",
                "batch/v2alpha1 cronjobs",
                "extensions/v1beta1 daemonsets",
                "extensions/v1beta1 deployments",
                "extensions/v1beta1 replicasets",
            ]
        );
    }
}
