//! The verdict on a write: what each quota would be charged, or why it may not be.
//!
//! In: the quotas of a namespace, a write. Out: the new `status.used` of those that change, or Kubernetes' words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use crate::Object;
use crate::meta::{self, at, list_at, text};
use crate::quantity::Quantity;
use crate::resources::{self, Amounts, Half, of_container};

use super::scope::in_scope;
use super::usage::{compute, is_tracked, usage};

/// A write, as a quota sees it.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    /// The group in which the kind is kept.
    pub group: &'a str,
    /// The kind's plural.
    pub plural: &'a str,
    /// The object as it shall be.
    pub object: &'a Object,
    /// As it is, if it is.
    pub old: Option<&'a Object>,
    /// Whether only its status is written: that is charged but never refused.
    pub status: bool,
    /// When.
    pub now: SystemTime,
}

/// A quota that is to be charged: its place in the list, and its `status.used` afterwards.
#[derive(Debug, Clone, PartialEq)]
pub struct Charge {
    /// Which quota.
    pub quota: usize,
    /// What is used then.
    pub used: Amounts,
}

/// Kubernetes demands these of every container where a quota tracks them.
const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// Judges a write against all quotas of its namespace.
pub fn judge(quotas: &[Object], write: &Write<'_>) -> Result<Vec<Charge>, String> {
    let mut concerned = Vec::new();
    for (place, quota) in quotas.iter().enumerate() {
        if let Some(tracked) = tracked(quota, write, write.object) {
            demand(quota, write, &tracked)?;
            known(quota, &tracked)?;
            concerned.push(place);
        }
    }
    if concerned.is_empty() {
        return Ok(Vec::new());
    }
    let asked = usage(write.group, write.plural, write.object, write.now);
    let negative: Vec<&str> = asked.iter().filter(|(_, a)| a.is_negative()).map(|(name, _)| name.as_str()).collect();
    if !negative.is_empty() {
        return Err(format!("quota usage is negative for resource(s): {}", negative.join(",")));
    }
    let before = write.old.map(|old| usage(write.group, write.plural, old, write.now));
    let mut charges = Vec::new();
    for place in concerned {
        let quota = &quotas[place];
        let counted_before = write.old.is_some_and(|old| tracked(quota, write, old).is_some());
        let more = match &before {
            Some(before) if counted_before => beyond(&asked, before),
            _ => asked.clone(),
        };
        charges.extend(charge(quota, place, more, write.status)?);
    }
    Ok(charges)
}

/// The resources of the quota that the write is about; `None` when it does not concern the quota.
fn tracked(quota: &Object, write: &Write<'_>, object: &Object) -> Option<BTreeSet<String>> {
    let hard = resources::read(at(quota, &["status", "hard"]));
    let names: BTreeSet<String> = hard.into_keys().filter(|name| is_tracked(write.group, write.plural, name)).collect();
    (!names.is_empty() && in_scope(quota, write.group, write.plural, object)).then_some(names)
}

/// Every container must say what the quota tracks of CPU and memory, unless the whole pod does.
fn demand(quota: &Object, write: &Write<'_>, tracked: &BTreeSet<String>) -> Result<(), String> {
    let pod = write.object;
    if (write.group, write.plural) != ("", "pods") || resources::has_pod_level(pod) {
        return Ok(());
    }
    let demanded: Vec<&str> = tracked.iter().map(String::as_str).filter(|name| DEMANDED.contains(name)).collect();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in ["containers", "initContainers"].iter().flat_map(|list| list_at(pod, &["spec", list])) {
        let said = compute(&of_container(container, Half::Requests), &of_container(container, Half::Limits));
        for name in demanded.iter().filter(|name| !said.contains_key(**name)) {
            missing.entry(name).or_default().insert(text(container, "name"));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let all: Vec<String> = missing
        .iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.iter().copied().collect::<Vec<_>>().join(",")))
        .collect();
    Err(format!("failed quota: {}: must specify {}", meta::name(quota), all.join("; ")))
}

/// A quota whose usage nobody has counted yet admits nothing.
fn known(quota: &Object, tracked: &BTreeSet<String>) -> Result<(), String> {
    let used = resources::read(at(quota, &["status", "used"]));
    if tracked.iter().all(|name| used.contains_key(name)) {
        return Ok(());
    }
    let names: Vec<&str> = tracked.iter().map(String::as_str).collect();
    Err(format!("status unknown for quota: {}, resources: {}", meta::name(quota), names.join(",")))
}

/// What is more than before; what is less counts as nothing here.
fn beyond(asked: &Amounts, before: &Amounts) -> Amounts {
    let more = |(name, amount): (&String, &Quantity)| {
        let rest = before.get(name).map_or(*amount, |there| amount.sub(there));
        (name.clone(), if rest.is_negative() { Quantity::ZERO } else { rest })
    };
    asked.iter().map(more).collect()
}

fn charge(quota: &Object, place: usize, more: Amounts, status: bool) -> Result<Option<Charge>, String> {
    let hard = resources::read(at(quota, &["status", "hard"]));
    let requested: Amounts =
        more.into_iter().filter(|(name, amount)| !amount.is_zero() && hard.contains_key(name)).collect();
    if requested.is_empty() {
        return Ok(None);
    }
    let before = resources::read(at(quota, &["status", "used"]));
    let mut used = before.clone();
    resources::add(&mut used, &requested);
    let over: Vec<&String> =
        requested.keys().filter(|name| used.get(*name).zip(hard.get(*name)).is_some_and(|(u, h)| u > h)).collect();
    if !over.is_empty() && !status {
        let print = |amounts: &Amounts| {
            let one = |name: &&String| amounts.get(*name).map(|amount| format!("{name}={amount}"));
            over.iter().filter_map(one).collect::<Vec<_>>().join(",")
        };
        return Err(format!(
            "exceeded quota: {}, requested: {}, used: {}, limited: {}",
            meta::name(quota),
            print(&requested),
            print(&before),
            print(&hard)
        ));
    }
    Ok(Some(Charge { quota: place, used }))
}

/// Whether an update of a pod can move it from one scope into another.
pub(super) fn changes_scope(new: &Object, old: &Object) -> bool {
    super::scope::ends_by_itself(new) != super::scope::ends_by_itself(old)
}

impl Write<'_> {
    /// Whether an update without subresource, of an object that is there, can change what it counts.
    pub fn matters(&self) -> bool {
        match ((self.group, self.plural), self.old) {
            (_, None) => true,
            (("", "pods"), Some(old)) => changes_scope(self.object, old),
            (("", "services" | "persistentvolumeclaims") | ("resource.k8s.io", "resourceclaims"), _) => true,
            _ => false,
        }
    }
}
