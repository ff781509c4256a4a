//! ResourceQuota: what an object counts against which quota.
//!
//! In: a kind, an object, a quota. Out: amounts, whether they are tracked and in scope, and the verdict on a write.
//! Never reads or writes quotas: admission charges with this before an object is kept.
//!
//! The rules, for whoever counts what is there:
//!
//! * Every object counts 1 under `count/PLURAL` (`count/PLURAL.GROUP` outside the core group); ConfigMaps, Secrets,
//!   ReplicationControllers, ResourceQuotas, Services and claims also under their plural alone.
//! * A Pod counts 1 under `pods`, and what it asks for, until it has ended or outlived its grace; `count/pods` goes on.
//!   `cpu` and `requests.cpu` are one amount under two names, and so on. Extended resources count as `requests.NAME`.
//! * A Service counts its node ports by intent: they are given only after admission.
//! * A claim counts its size rounded up to whole bytes, or what was really allocated if that is more; for its storage
//!   class also as `CLASS.storageclass.storage.k8s.io/…`.
//! * A scope is met or not by the object alone; a quota with several wants all of them. Only Pods and claims have any.

mod scope;
mod usage;
mod verdict;

pub use scope::{in_scope, scopes};
pub use usage::{count_name, is_tracked, usage};
pub use verdict::{Charge, Write, judge};

use crate::kinds::Kind;

/// Whether a kind's objects are never counted: what is not kept, and Events.
pub fn is_ignored(kind: &Kind) -> bool {
    !kind.is_kept() || kind.plural == "events"
}

#[cfg(test)]
mod tests;
