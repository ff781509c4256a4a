//! The order of what comes out.
//!
//! In: objects. Out: those first that others need, webhooks last; with `fifo` as they were read.

use super::Piece;
use super::file::{LegacyOrder, SortOptions};
use crate::error::Failure;

/// What others need.
const FIRST: &[&str] = &[
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];
/// What hinders others until it works.
const LAST: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sorts them.
pub fn sort(pieces: &mut [Piece], options: Option<&SortOptions>) -> Result<(), Failure> {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let usual = LegacyOrder { order_first: named(FIRST), order_last: named(LAST) };
    let order = match options.map(|options| (options.order.as_str(), options.legacy_sort_options.clone())) {
        None => usual,
        Some(("fifo", None)) => return Ok(()),
        Some(("fifo", Some(_))) => {
            return Err(Failure::said("the field 'legacySortOptions' is set but the selected sort order is 'fifo'"));
        }
        Some(("legacy", given)) => given.unwrap_or(usual),
        Some((other, _)) => {
            return Err(Failure::said(format!(
                "the field 'sortOptions.order' must be one of [fifo legacy], not '{other}'"
            )));
        }
    };
    let rank = |kind: &str| {
        let at = |list: &[String]| list.iter().position(|one| one == kind).map(|at| at as i64);
        let (first, last) = (at(&order.order_first), at(&order.order_last));
        first.map(|at| at - order.order_first.len() as i64).or(last.map(|at| at + 1)).unwrap_or(0)
    };
    pieces.sort_by_cached_key(|piece| {
        let gvk = piece.gvk();
        // What has no group or no namespace comes behind what has one.
        let identity = [&*gvk.group, &*gvk.version, &*gvk.kind, piece.namespace(), piece.name()];
        (rank(&gvk.kind), identity.map(|part| (part.is_empty(), part.to_owned())))
    });
    Ok(())
}
