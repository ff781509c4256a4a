//! An IPAddress for each address that a Service has, as Kubernetes' allocator writes them.
//!
//! In: the store's events of Services and IPAddresses. Out: IPAddresses made and removed. Who holds which address is the
//! allocator's to say (`registry/services.rs`); these objects tell it. [`Held`] follows Services and is pure. What was
//! made by others is left alone. Nothing is written while no Service gets or loses an address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use kedge_api::status::Status;
use kedge_api::{Object, meta};
use kedge_store::{Change, Event};
use serde_json::{Value, json};

use super::BREATH;
use crate::bootstrap;
use crate::core::Core;
use crate::registry::{body, keys};

const SERVICES: &str = "/core/services/";
/// Where they are kept.
pub(super) const ADDRESSES: &str = "/networking.k8s.io/ipaddresses/";
/// The label that says who made one.
pub(super) const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
/// The allocator, as its maker.
pub(super) const ALLOCATOR: &str = "ipallocator.k8s.io";
const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";

/// Who has which address.
#[derive(Debug, Default)]
struct Held(BTreeMap<IpAddr, Owner>);

/// Namespace and name of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Owner(String, String);

impl Held {
    /// A Service is there now (`None`: gone). Out: the addresses whose owner may have changed.
    fn note(&mut self, owner: &Owner, service: Option<&Object>) -> BTreeSet<IpAddr> {
        let now: BTreeSet<IpAddr> = service.map(addresses).unwrap_or_default();
        let lost: Vec<IpAddr> =
            self.0.iter().filter(|(ip, of)| *of == owner && !now.contains(ip)).map(|(ip, _)| *ip).collect();
        for ip in &lost {
            self.0.remove(ip);
        }
        let won = now.into_iter().filter(|ip| self.0.insert(*ip, owner.clone()).as_ref() != Some(owner));
        won.chain(lost).collect()
    }

    /// The object of an address, if somebody has it.
    fn wanted(&self, ip: IpAddr) -> Option<Object> {
        let Owner(namespace, name) = self.0.get(&ip)?;
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        Some(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
            "metadata": {"name": ip.to_string(), "labels": {FAMILY: family, MANAGED_BY: ALLOCATOR}},
            "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace, "name": name}},
        }))
    }
}

/// What is to be done about one address.
#[derive(Debug, PartialEq)]
enum Step {
    Nothing,
    Make,
    Remove,
    /// It names another Service, which cannot be changed in place.
    Exchange,
}

fn step(found: Option<&Object>, wanted: Option<&Object>) -> Step {
    let ours = |object: &Object| meta::label(object, MANAGED_BY) == Some(ALLOCATOR);
    let parent = |object: &Object| object.pointer("/spec/parentRef").cloned();
    match (found, wanted) {
        (None, None) => Step::Nothing,
        (None, Some(_)) => Step::Make,
        (Some(found), _) if !ours(found) || meta::deletion_timestamp(found).is_some() => Step::Nothing,
        (Some(_), None) => Step::Remove,
        (Some(found), Some(wanted)) if parent(found) == parent(wanted) => Step::Nothing,
        (Some(_), Some(_)) => Step::Exchange,
    }
}

fn addresses(service: &Object) -> BTreeSet<IpAddr> {
    let all = meta::list_at(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    let one = meta::text_at(service, &["spec", "clusterIP"]);
    all.chain([one]).filter_map(|text| text.parse().ok()).collect()
}

/// Follows them until the server stops.
pub async fn run(core: Arc<Core>) {
    loop {
        if let Err(error) = once(&core).await {
            tracing::error!(%error, "the addresses of Services cannot be written down");
        }
        tokio::select! {
            () = tokio::time::sleep(BREATH) => {}
            () = core.stop.cancelled() => return,
        }
    }
}

/// Puts everything right and follows events until a watch breaks or the server stops.
async fn once(core: &Core) -> Result<(), Status> {
    let read = |error| Status::internal(format!("what is kept cannot be read: {error}"));
    let from = core.store.revision();
    let mut held = Held::default();
    let mut open: BTreeSet<IpAddr> = BTreeSet::new();
    for entry in core.store.readable(SERVICES).await.map_err(read)?.entries {
        let (Some((namespace, name)), Ok(service)) = (keys::parse(&entry.key), body::decode(&entry.bytes)) else {
            continue;
        };
        open.extend(held.note(&Owner(namespace.to_owned(), name.to_owned()), Some(&service)));
    }
    for entry in core.store.readable(ADDRESSES).await.map_err(read)?.entries {
        open.extend(keys::parse(&entry.key).and_then(|(_, name)| name.parse::<IpAddr>().ok()));
    }
    let watch = |prefix: &str| core.store.watch(prefix, from).map_err(|error| Status::internal(error.to_string()));
    let (mut services, mut kept) = (watch(SERVICES)?, watch(ADDRESSES)?);
    loop {
        for ip in std::mem::take(&mut open) {
            settle(core, &held, ip).await?;
        }
        let events = tokio::select! {
            events = services.next() => events,
            events = kept.next() => events,
            () = core.stop.cancelled() => return Ok(()),
        };
        let Ok(events) = events else { return Ok(()) };
        for event in events {
            open.extend(touched(&mut held, &event));
        }
    }
}

/// The addresses that an event is about.
fn touched(held: &mut Held, event: &Event) -> BTreeSet<IpAddr> {
    let gone = event.change == Change::Deleted;
    let Some((namespace, name)) = keys::parse(&event.entry.key) else { return BTreeSet::new() };
    if event.entry.key.starts_with(ADDRESSES) {
        return gone.then(|| name.parse().ok()).flatten().into_iter().collect();
    }
    let service = if gone { None } else { body::decode(&event.entry.bytes).ok() };
    held.note(&Owner(namespace.to_owned(), name.to_owned()), service.as_ref())
}

async fn settle(core: &Core, held: &Held, ip: IpAddr) -> Result<(), Status> {
    let wanted = held.wanted(ip);
    let key = keys::fixed("networking.k8s.io", "ipaddresses", "", &ip.to_string());
    let entry = core.store.get(&key).await.map_err(|error| Status::internal(error.to_string()))?;
    let found = entry.and_then(|entry| body::decode(&entry.bytes).ok());
    let step = step(found.as_ref(), wanted.as_ref());
    if let (Step::Remove | Step::Exchange, Some(found)) = (&step, &found) {
        bootstrap::remove(core, found).await?;
    }
    if let (Step::Make | Step::Exchange, Some(wanted)) = (&step, wanted) {
        bootstrap::make(core, wanted).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> Owner {
        Owner("ns".to_owned(), name.to_owned())
    }

    fn service(address: &str) -> Object {
        json!({"spec": {"clusterIP": address, "clusterIPs": [address]}})
    }

    #[test]
    fn addresses_follow_their_services() {
        let mut held = Held::default();
        let mut note = |name: &str, address: Option<&str>| -> Vec<String> {
            let service = address.map(service);
            held.note(&owner(name), service.as_ref()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(note("a", Some("10.0.0.1")), ["10.0.0.1"]);
        assert!(note("a", Some("10.0.0.1")).is_empty(), "a change of something else");
        assert_eq!(note("a", Some("10.0.0.2")), ["10.0.0.1", "10.0.0.2"]);
        assert!(note("b", Some("None")).is_empty());
        assert_eq!(note("b", Some("fd00::1")), ["fd00::1"]);
        assert_eq!(note("a", None), ["10.0.0.2"]);
        assert!(note("c", None).is_empty());
    }

    #[track_caller]
    fn check(found: Option<(&str, Object)>, wanted: Option<&str>, expected: Step) {
        let of = |name: &str| {
            let mut held = Held::default();
            held.note(&owner(name), Some(&service("10.0.0.1")));
            held.wanted(IpAddr::from([10, 0, 0, 1])).unwrap()
        };
        let found = found.map(|(name, change)| {
            let mut object = of(name);
            kedge_api::patch::merge(&mut object, change).unwrap();
            object
        });
        assert_eq!(step(found.as_ref(), wanted.map(of).as_ref()), expected);
    }

    #[test]
    fn what_is_kept_becomes_what_is_held() {
        check(None, None, Step::Nothing);
        check(None, Some("a"), Step::Make);
        check(Some(("a", json!({}))), Some("a"), Step::Nothing);
        check(Some(("a", json!({}))), Some("b"), Step::Exchange);
        check(Some(("a", json!({}))), None, Step::Remove);
        check(Some(("a", json!({"metadata": {"labels": null}}))), None, Step::Nothing);
        check(Some(("a", json!({"metadata": {"deletionTimestamp": "x"}}))), None, Step::Nothing);
    }
}
