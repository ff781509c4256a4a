//! The ServiceCIDRs: which are ready, and when one that is to be deleted may go.
//!
//! In: the store's events of ServiceCIDRs; while one ends also those of IPAddresses. Out: finalizers, the condition
//! `Ready`, and to the allocator the ranges that it may give addresses of. A range goes once every address of it is
//! one of another range, too. [`plan`] decides and is pure. Nothing is written while nothing changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use kedge_api::fields::Index;
use kedge_api::kinds::Sub;
use kedge_api::selector::Lookup as _;
use kedge_api::status::{Reason, Status};
use kedge_api::{Object, meta};
use kedge_store::{Change, ReadError};
use serde_json::{Value, json};

use super::BREATH;
use super::addresses::{ADDRESSES, ALLOCATOR, MANAGED_BY};
use crate::bootstrap::{self, RANGE_IN_USE};
use crate::core::Core;
use crate::identity::Identity;
use crate::registry::own::Own;
use crate::registry::services::ranges::{self, DEFAULT, READY, Range};
use crate::registry::{Act, body, keys, update};

const RANGES: &str = "/networking.k8s.io/servicecidrs/";
const MANAGER: &str = "service-cidr-controller";
const READY_MESSAGE: &str = "Kubernetes Service CIDR is ready";
const HELD_MESSAGE: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

/// ServiceCIDRs by name.
type Known = BTreeMap<String, Object>;

/// What is to be done about one of them.
#[derive(Debug, PartialEq)]
enum Step {
    Nothing,
    /// It gets the finalizer.
    Hold,
    /// It gets the condition.
    Say(&'static str, &'static str, &'static str),
    /// It loses the finalizer.
    LetGo,
}

/// Tells the allocator what there is, before anybody asks.
pub async fn fill(core: &Core) -> Result<(), ReadError> {
    let known = read(core).await?;
    core.services.offer(known.values());
    Ok(())
}

/// Follows them until the server stops.
pub async fn run(core: Arc<Core>) {
    loop {
        if let Err(error) = once(&core).await {
            tracing::error!(%error, "ServiceCIDRs cannot be looked after");
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

async fn read(core: &Core) -> Result<Known, ReadError> {
    let entries = core.store.readable(RANGES).await?.entries;
    let objects = entries.iter().filter_map(|entry| body::decode(&entry.bytes).ok());
    Ok(objects.map(|object| (meta::name(&object).to_owned(), object)).collect())
}

/// Puts everything right and follows events until a watch breaks or the server stops.
async fn once(core: &Core) -> Result<(), Status> {
    let from = core.store.revision();
    let mut known = read(core).await.map_err(unreadable)?;
    let watch = |prefix: &str| core.store.watch(prefix, from).map_err(|error| Status::internal(error.to_string()));
    let (mut events, mut addresses) = (watch(RANGES)?, watch(ADDRESSES)?);
    loop {
        core.services.offer(known.values());
        let again = settle(core, &known).await?;
        let came = tokio::select! {
            came = events.next() => came,
            came = addresses.next() => came,
            () = tokio::time::sleep(BREATH), if again => continue,
            () = core.stop.cancelled() => return Ok(()),
        };
        let Ok(came) = came else { return Ok(()) };
        for event in came.iter().filter(|event| event.entry.key.starts_with(RANGES)) {
            let Some((_, name)) = keys::parse(&event.entry.key) else { continue };
            match body::decode(&event.entry.bytes) {
                Ok(object) if event.change != Change::Deleted => drop(known.insert(name.to_owned(), object)),
                _ => drop(known.remove(name)),
            }
        }
    }
}

/// Does what is to be done about each; out: whether to look again soon.
async fn settle(core: &Core, known: &Known) -> Result<bool, Status> {
    if !known.contains_key(DEFAULT) {
        bootstrap::service_range(core).await?;
    }
    let ends = known.values().any(|object| meta::deletion_timestamp(object).is_some());
    // Addresses that are in the allocator alone are of writes under way, or nobody wrote them down yet.
    let (kept, held) = if ends { (kept(core).await?, core.services.held()) } else { Default::default() };
    let mut again = false;
    for object in known.values() {
        let step = plan(known, object, &kept, &held);
        again |= matches!(step, Step::Say("False", ..)) && plan(known, object, &kept, &[]) == Step::LetGo;
        if !is_done(object, &step) {
            apply(core, object, step).await?;
        }
    }
    Ok(again)
}

/// The addresses of Services that are written down.
async fn kept(core: &Core) -> Result<Vec<IpAddr>, Status> {
    let entries = core.store.readable(ADDRESSES).await.map_err(unreadable)?.entries;
    let ours = entries.iter().filter(|entry| Index::read(&entry.index).labels().value(MANAGED_BY) == Some(ALLOCATOR));
    Ok(ours.filter_map(|entry| keys::parse(&entry.key)?.1.parse().ok()).collect())
}

/// What is to become of a ServiceCIDR among all of them.
fn plan(known: &Known, object: &Object, kept: &[IpAddr], held: &[IpAddr]) -> Step {
    let finalized = meta::finalizers(object).any(|one| one == RANGE_IN_USE);
    if meta::deletion_timestamp(object).is_none() {
        return match finalized {
            false => Step::Hold,
            // The server says so itself when it makes it.
            true if meta::name(object) == DEFAULT && ranges::is_ready(object) => Step::Nothing,
            true => Step::Say("True", "", READY_MESSAGE),
        };
    }
    if !finalized {
        return Step::Nothing;
    }
    let others = || known.values().filter(|other| meta::deletion_timestamp(other).is_none()).flat_map(ranges::of);
    let own = ranges::of(object);
    let is_stranded = |ip: &&IpAddr| own.iter().any(|r| r.covers(**ip)) && !others().any(|r| r.covers(**ip));
    let is_covered = |range: &Range| others().any(|other| other.covers_all(*range));
    if own.iter().all(is_covered) || !kept.iter().chain(held).any(|ip| is_stranded(&ip)) {
        return Step::LetGo;
    }
    Step::Say("False", "Terminating", HELD_MESSAGE)
}

fn ready(object: &Object) -> Option<&Value> {
    meta::list_at(object, &["status", "conditions"]).iter().find(|c| meta::text(c, "type") == READY)
}

fn is_done(object: &Object, step: &Step) -> bool {
    match step {
        Step::Nothing => true,
        Step::Say(status, reason, message) => ready(object).is_some_and(|there| {
            [("status", status), ("reason", reason), ("message", message)]
                .iter()
                .all(|(key, text)| meta::text(there, key) == **text)
        }),
        Step::Hold | Step::LetGo => false,
    }
}

async fn apply(core: &Core, object: &Object, step: Step) -> Result<(), Status> {
    let mut object = object.clone();
    let sub = match step {
        Step::Nothing => return Ok(()),
        Step::Hold => {
            meta::add_finalizer(&mut object, RANGE_IN_USE);
            None
        }
        Step::LetGo => {
            meta::remove_finalizer(&mut object, RANGE_IN_USE);
            None
        }
        Step::Say(status, reason, message) => {
            say(&mut object, status, reason, message, &core.timestamp());
            Some(Sub::Status)
        }
    };
    let kinds = core.kinds();
    let kind = kinds.resource("networking.k8s.io", "v1", "servicecidrs").ok_or_else(Status::no_such_resource)?;
    let who = Identity::service_account("kube-system", "service-cidrs-controller");
    let own = Own::new(core, who, MANAGER);
    let name = meta::name(&object).to_owned();
    let act = Act { sub, ..own.act(kind, "", &name) };
    match update::update(&act, update::Change::Replace(object)).await {
        // Whoever else wrote makes an event, and then it is looked at again.
        Err(status) if !matches!(status.reason, Reason::Conflict | Reason::NotFound) => Err(status),
        _ => Ok(()),
    }
}

/// Puts the condition in its place; its time is when the status changed.
fn say(object: &mut Object, status: &str, reason: &str, message: &str, now: &str) {
    let since = ready(object).filter(|there| meta::text(there, "status") == status);
    let since = since.map_or(now, |there| meta::text(there, "lastTransitionTime")).to_owned();
    let own = json!({"type": READY, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since});
    let mut conditions = meta::list_at(object, &["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|c| meta::text(c, "type") == READY) {
        Some(there) => *there = own,
        None => conditions.push(own),
    }
    object["status"]["conditions"] = conditions.into();
}

fn unreadable(error: ReadError) -> Status {
    Status::internal(format!("what is kept cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(name: &str, cidrs: &[&str], ends: bool) -> (String, Object) {
        let mut object = json!({"metadata": {"name": name, "finalizers": [RANGE_IN_USE]}, "spec": {"cidrs": cidrs}});
        if ends {
            object["metadata"]["deletionTimestamp"] = json!("x");
        }
        (name.to_owned(), object)
    }

    /// What becomes of the first.
    #[track_caller]
    fn check(ranges: &[(String, Object)], kept: &[&str], expected: Step) {
        let kept: Vec<IpAddr> = kept.iter().map(|ip| ip.parse().unwrap()).collect();
        let known: Known = ranges.iter().cloned().collect();
        assert_eq!(plan(&known, &ranges[0].1, &kept, &[]), expected);
        assert_eq!(plan(&known, &ranges[0].1, &[], &kept), expected, "those under way count as well");
    }

    const READY_STEP: Step = Step::Say("True", "", READY_MESSAGE);
    const HELD: Step = Step::Say("False", "Terminating", HELD_MESSAGE);

    #[test]
    fn a_range_is_held_and_ready() {
        check(&[range("a", &["10.1.0.0/24"], false)], &[], READY_STEP);
        let mut bare = range("a", &["10.1.0.0/24"], false);
        bare.1["metadata"]["finalizers"] = json!([]);
        check(&[bare], &[], Step::Hold);
        check(&[range(DEFAULT, &["10.1.0.0/24"], false)], &[], Step::Nothing);
        check(&[range("a", &["fd00::/64"], false)], &[], READY_STEP);
    }

    #[test]
    fn a_range_goes_when_no_address_is_of_it_alone() {
        let ends = || range("a", &["10.1.0.0/24"], true);
        check(&[ends()], &[], Step::LetGo);
        check(&[ends()], &["10.1.0.7"], HELD);
        check(&[ends()], &["10.2.0.7"], Step::LetGo);
        check(&[ends(), range("b", &["10.0.0.0/8"], false)], &["10.1.0.7"], Step::LetGo);
        check(&[ends(), range("b", &["10.1.0.0/25"], false)], &["10.1.0.7"], Step::LetGo);
        check(&[ends(), range("b", &["10.1.0.0/25"], false)], &["10.1.0.200"], HELD);
        // One that ends itself keeps nothing.
        check(&[ends(), range("b", &["10.0.0.0/8"], true)], &["10.1.0.7"], HELD);
        check(&[range("a", &["fd00::/64"], true)], &["10.1.0.7"], Step::LetGo);
        check(&[range("a", &["fd00::/64"], true)], &["fd00::7"], HELD);
        check(&[range("a", &["10.1.0.0/24", "fd00::/64"], true)], &["fd00::7"], HELD);
        check(&[range("a", &["fd00::/64"], true), range("b", &["fd00::/48"], false)], &["fd00::7"], Step::LetGo);
        check(&[range("a", &["fd00::/64"], true), range("b", &["0.0.0.0/0"], false)], &["fd00::7"], HELD);
    }

    #[test]
    fn what_is_said_is_said_once() {
        let (_, mut object) = range("a", &["10.1.0.0/24"], false);
        assert!(!is_done(&object, &READY_STEP));
        say(&mut object, "True", "", READY_MESSAGE, "1");
        assert!(is_done(&object, &READY_STEP) && !is_done(&object, &HELD));
        say(&mut object, "False", "Terminating", HELD_MESSAGE, "2");
        assert_eq!(ready(&object).unwrap()["lastTransitionTime"], "2");
        assert_eq!(object["status"]["conditions"].as_array().unwrap().len(), 1);
    }
}
