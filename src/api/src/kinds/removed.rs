//! Versions that Kubernetes no longer serves and that are served here all the same: one row each.
//!
//! In: the rows of today's kinds. Out: rows of old versions, kept as today's. What differs between the two is said in
//! `facts/removed.txt` (fields), `defaults/removed.rs` (defaults) and `convert/removed` (the way there and back).
//!
//! They are in discovery, since `kubectl` finds a manifest's resource there and nowhere else, but after everything
//! else: without short names and categories, never before another version of their group, in groups that come last.

use std::borrow::Cow;
use std::fmt;

use super::{Gvk, Kind, Tier, Verbs, table};

/// A kind in a version that Kubernetes no longer serves.
#[derive(Debug, PartialEq, Eq)]
pub struct Removed {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    /// The minor releases in which it was deprecated and in which it went.
    since: (u8, u8),
    /// Group and version of today's form; empty for kinds that have none.
    instead: (&'static str, &'static str),
}

/// Groups of which nothing but old versions is served; discovery lists them last.
pub const REMOVED_GROUPS: [&str; 2] = ["extensions", "settings.k8s.io"];

impl Removed {
    /// The row of that kind; `None` for what Kubernetes serves or never served.
    pub fn of(gvk: &Gvk) -> Option<&'static Removed> {
        Removed::find(&gvk.group, &gvk.version, &gvk.kind)
    }

    fn find(group: &str, version: &str, kind: &str) -> Option<&'static Removed> {
        let at = ROWS.binary_search_by(|row| (row.group, row.version, row.kind).cmp(&(group, version, kind))).ok()?;
        ROWS.get(at)
    }

    /// Today's form, in which objects are judged and kept.
    pub fn modern(&self) -> Option<Gvk> {
        (!self.instead.1.is_empty()).then(|| Gvk::fixed(self.instead.0, self.instead.1, self.kind))
    }
}

/// What a request for it is told, in Kubernetes' words.
impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (deprecated, gone) = self.since;
        write!(f, "{}/{} {} is deprecated in v1.{deprecated}+", self.group, self.version, self.kind)?;
        write!(f, ", unavailable in v1.{gone}+")?;
        match self.instead {
            (_, "") => Ok(()),
            (group, version) => write!(f, "; use {group}/{version} {}", self.kind),
        }
    }
}

/// Every old kind.
pub(super) fn kinds() -> impl Iterator<Item = Kind> {
    ROWS.iter().filter_map(|row| {
        let mut kind = match row.instead {
            (_, "") => own(row)?,
            (group, version) => {
                let same = |known: &&table::Row| (known.group, known.version, known.kind) == (group, version, row.kind);
                super::kind_of_row(table::ROWS.iter().find(same)?)
            }
        };
        kind.group = Cow::Borrowed(row.group);
        kind.version = Cow::Borrowed(row.version);
        kind.short_names.clear();
        kind.categories.clear();
        Some(kind)
    })
}

/// A kind that is kept in its old version.
fn own(row: &Removed) -> Option<Kind> {
    let mut kind = super::kind_of_row(table::ROWS.iter().find(|known| known.kind == "PodTemplate")?);
    kind.kind = Cow::Borrowed(row.kind);
    kind.plural = Cow::Owned(format!("{}s", row.kind.to_ascii_lowercase()));
    kind.singular = Cow::Owned(row.kind.to_ascii_lowercase());
    kind.list_kind = Cow::Owned(format!("{}List", row.kind));
    kind.stored = (Cow::Borrowed(row.group), Cow::Borrowed(row.version));
    (kind.verbs, kind.tier, kind.namespaced) = (Verbs::ALL, Tier::Durable, true);
    Some(kind)
}

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    since: (u8, u8),
    instead: (&'static str, &'static str),
) -> Removed {
    Removed { group, version, kind, since, instead }
}

const ADMISSION: (&str, &str) = ("admissionregistration.k8s.io", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const FLOW: (&str, &str) = ("flowcontrol.apiserver.k8s.io", "v1");
const NETWORK: (&str, &str) = ("networking.k8s.io", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
const SCHEDULING: (&str, &str) = ("scheduling.k8s.io", "v1");
const STORAGE: (&str, &str) = ("storage.k8s.io", "v1");

/// Sorted by group, version and kind.
#[rustfmt::skip] // one kind, one line
static ROWS: &[Removed] = &[
    row("admissionregistration.k8s.io", "v1alpha1", "ValidatingAdmissionPolicy", (29, 32), ADMISSION),
    row("admissionregistration.k8s.io", "v1alpha1", "ValidatingAdmissionPolicyBinding", (29, 32), ADMISSION),
    row("admissionregistration.k8s.io", "v1beta1", "MutatingWebhookConfiguration", (16, 22), ADMISSION),
    row("admissionregistration.k8s.io", "v1beta1", "ValidatingAdmissionPolicy", (31, 34), ADMISSION),
    row("admissionregistration.k8s.io", "v1beta1", "ValidatingAdmissionPolicyBinding", (31, 34), ADMISSION),
    row("admissionregistration.k8s.io", "v1beta1", "ValidatingWebhookConfiguration", (16, 22), ADMISSION),
    row("apiextensions.k8s.io", "v1beta1", "CustomResourceDefinition", (16, 22), ("apiextensions.k8s.io", "v1")),
    row("apiregistration.k8s.io", "v1beta1", "APIService", (19, 22), ("apiregistration.k8s.io", "v1")),
    row("apps", "v1beta1", "ControllerRevision", (8, 16), APPS),
    row("apps", "v1beta1", "Deployment", (8, 16), APPS),
    row("apps", "v1beta1", "StatefulSet", (8, 16), APPS),
    row("apps", "v1beta2", "ControllerRevision", (9, 16), APPS),
    row("apps", "v1beta2", "DaemonSet", (9, 16), APPS),
    row("apps", "v1beta2", "Deployment", (9, 16), APPS),
    row("apps", "v1beta2", "ReplicaSet", (9, 16), APPS),
    row("apps", "v1beta2", "StatefulSet", (9, 16), APPS),
    row("autoscaling", "v2beta1", "HorizontalPodAutoscaler", (22, 25), ("autoscaling", "v2")),
    row("autoscaling", "v2beta2", "HorizontalPodAutoscaler", (23, 26), ("autoscaling", "v2")),
    row("batch", "v1beta1", "CronJob", (21, 25), ("batch", "v1")),
    row("batch", "v2alpha1", "CronJob", (8, 21), ("batch", "v1")),
    row("certificates.k8s.io", "v1beta1", "CertificateSigningRequest", (19, 22), ("certificates.k8s.io", "v1")),
    row("coordination.k8s.io", "v1beta1", "Lease", (19, 22), ("coordination.k8s.io", "v1")),
    row("discovery.k8s.io", "v1beta1", "EndpointSlice", (21, 25), ("discovery.k8s.io", "v1")),
    row("events.k8s.io", "v1beta1", "Event", (22, 25), ("events.k8s.io", "v1")),
    row("extensions", "v1beta1", "DaemonSet", (8, 16), APPS),
    row("extensions", "v1beta1", "Deployment", (8, 16), APPS),
    row("extensions", "v1beta1", "Ingress", (14, 22), NETWORK),
    row("extensions", "v1beta1", "NetworkPolicy", (9, 16), NETWORK),
    row("extensions", "v1beta1", "ReplicaSet", (8, 16), APPS),
    row("flowcontrol.apiserver.k8s.io", "v1beta1", "FlowSchema", (23, 26), FLOW),
    row("flowcontrol.apiserver.k8s.io", "v1beta1", "PriorityLevelConfiguration", (23, 26), FLOW),
    row("flowcontrol.apiserver.k8s.io", "v1beta2", "FlowSchema", (26, 29), FLOW),
    row("flowcontrol.apiserver.k8s.io", "v1beta2", "PriorityLevelConfiguration", (26, 29), FLOW),
    row("flowcontrol.apiserver.k8s.io", "v1beta3", "FlowSchema", (29, 32), FLOW),
    row("flowcontrol.apiserver.k8s.io", "v1beta3", "PriorityLevelConfiguration", (29, 32), FLOW),
    row("networking.k8s.io", "v1beta1", "Ingress", (19, 22), NETWORK),
    row("networking.k8s.io", "v1beta1", "IngressClass", (19, 22), NETWORK),
    row("node.k8s.io", "v1alpha1", "RuntimeClass", (20, 24), ("node.k8s.io", "v1")),
    row("node.k8s.io", "v1beta1", "RuntimeClass", (22, 25), ("node.k8s.io", "v1")),
    row("policy", "v1beta1", "PodDisruptionBudget", (21, 25), ("policy", "v1")),
    row("rbac.authorization.k8s.io", "v1alpha1", "ClusterRole", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1alpha1", "ClusterRoleBinding", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1alpha1", "Role", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1alpha1", "RoleBinding", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1beta1", "ClusterRole", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1beta1", "ClusterRoleBinding", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1beta1", "Role", (17, 22), RBAC),
    row("rbac.authorization.k8s.io", "v1beta1", "RoleBinding", (17, 22), RBAC),
    row("scheduling.k8s.io", "v1alpha1", "PriorityClass", (14, 22), SCHEDULING),
    row("scheduling.k8s.io", "v1beta1", "PriorityClass", (14, 22), SCHEDULING),
    row("settings.k8s.io", "v1alpha1", "PodPreset", (19, 20), ("", "")),
    row("storage.k8s.io", "v1alpha1", "CSIStorageCapacity", (21, 24), STORAGE),
    row("storage.k8s.io", "v1alpha1", "VolumeAttachment", (21, 24), STORAGE),
    row("storage.k8s.io", "v1alpha1", "VolumeAttributesClass", (32, 35), STORAGE),
    row("storage.k8s.io", "v1beta1", "CSIDriver", (19, 22), STORAGE),
    row("storage.k8s.io", "v1beta1", "CSINode", (17, 22), STORAGE),
    row("storage.k8s.io", "v1beta1", "CSIStorageCapacity", (24, 27), STORAGE),
    row("storage.k8s.io", "v1beta1", "StorageClass", (19, 22), STORAGE),
    row("storage.k8s.io", "v1beta1", "VolumeAttachment", (19, 22), STORAGE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{Kinds, version_rank};
    use crate::schema;

    #[test]
    fn every_row_is_a_kind_with_a_schema_and_todays_form() {
        assert!(ROWS.is_sorted_by_key(|row| (row.group, row.version, row.kind)), "rows are found by binary search");
        let modern = Kinds::everything();
        let all = Kinds::everything().with_removed();
        assert_eq!(all.iter().count(), modern.iter().count() + ROWS.len());
        for row in ROWS {
            let gvk = Gvk::fixed(row.group, row.version, row.kind);
            let kind = all.by_gvk(&gvk).unwrap_or_else(|| panic!("{gvk}"));
            assert!(schema::of(&gvk).is_some_and(|own| own.node().is_removed()), "{gvk}");
            assert!(modern.by_gvk(&gvk).is_none(), "{gvk} is served by Kubernetes");
            let Some(today) = all.modern(kind) else {
                assert!(row.modern().is_none());
                continue;
            };
            assert_eq!((&today.stored, &today.plural), (&kind.stored, &kind.plural), "{gvk}");
            assert!(row.group != row.instead.0 || version_rank(row.version) > version_rank(row.instead.1), "{gvk}");
        }
    }

    #[test]
    fn words_mean_todays_kinds() {
        let kinds = Kinds::builtin().with_removed();
        let check = |word: &str, expected: &str| {
            assert_eq!(kinds.by_word(word).map(|kind| kind.gvk().to_string()).unwrap_or_default(), expected, "{word}");
        };
        check("ingresses", "networking.k8s.io/v1, Kind=Ingress");
        check("deployments", "apps/v1, Kind=Deployment");
        check("deployments.extensions", "extensions/v1beta1, Kind=Deployment");
        check("deployments.v1beta1.apps", "apps/v1beta1, Kind=Deployment");
        check("podpresets", "settings.k8s.io/v1alpha1, Kind=PodPreset");
    }

    #[test]
    fn the_warning_reads_as_kubernetes_wrote_it() {
        let text = |group, version, kind| Removed::find(group, version, kind).map(ToString::to_string);
        assert_eq!(
            text("extensions", "v1beta1", "Ingress").as_deref(),
            Some(
                "extensions/v1beta1 Ingress is deprecated in v1.14+, unavailable in v1.22+; use networking.k8s.io/v1 Ingress"
            )
        );
        assert_eq!(
            text("settings.k8s.io", "v1alpha1", "PodPreset").as_deref(),
            Some("settings.k8s.io/v1alpha1 PodPreset is deprecated in v1.19+, unavailable in v1.20+")
        );
        assert_eq!(text("apps", "v1", "Deployment"), None);
    }
}
