//! Addresses and node ports of Services.
//!
//! In: a Service about to be kept. Out: the same with an address of each of its families and ports nobody else has, and a
//! claim that gives them back unless it is kept. What is taken is rebuilt from the store at start;
//! a kept Service is the truth.

mod bands;
mod families;
pub mod ranges;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};

use kedge_api::field::{FieldError, Path};
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use self::ranges::{Family, Range, Ranges};
use crate::error::About;
use crate::random::Random;

/// What is taken.
#[derive(Debug)]
pub struct Services {
    first: IpAddr,
    ports: (u16, u16),
    taken: Mutex<Taken>,
}

/// What is taken, of what. Behind one lock: once a range is gone from it, nobody gets an address of it any more.
#[derive(Debug)]
struct Taken {
    ranges: Ranges,
    addresses: HashSet<IpAddr>,
    ports: HashSet<u16>,
}

/// What was taken for one write.
#[derive(Debug)]
pub struct Claim<'a> {
    services: &'a Services,
    addresses: Vec<IpAddr>,
    ports: Vec<u16>,
    /// Given back when the claim is kept: what the old object had and the new one has not.
    freed: (HashSet<IpAddr>, HashSet<u16>),
}

impl Claim<'_> {
    /// The write was made.
    pub fn keep(mut self) {
        self.addresses.clear();
        self.ports.clear();
        let (addresses, ports) = std::mem::take(&mut self.freed);
        if !addresses.is_empty() || !ports.is_empty() {
            let mut taken = self.services.taken();
            taken.addresses.retain(|a| !addresses.contains(a));
            taken.ports.retain(|p| !ports.contains(p));
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.addresses.is_empty() && self.ports.is_empty() {
            return;
        }
        let mut taken = self.services.taken();
        for address in &self.addresses {
            taken.addresses.remove(address);
        }
        for port in &self.ports {
            taken.ports.remove(port);
        }
    }
}

impl Services {
    /// Nothing taken yet. The first address is kept for the Service `kubernetes`.
    pub fn new((network, prefix): (Ipv4Addr, u8), ports: (u16, u16)) -> Self {
        let range = Range::around(network, prefix.clamp(8, 30));
        let taken = Taken { ranges: Ranges::new(range), addresses: HashSet::new(), ports: HashSet::new() };
        Services { first: range.at(1), ports, taken: Mutex::new(taken) }
    }

    /// The address of the Service `kubernetes`.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Gives addresses of these ServiceCIDRs from now on, and of no others.
    pub fn offer<'a>(&self, objects: impl Iterator<Item = &'a Object>) {
        self.taken().ranges.set(objects);
    }

    /// The addresses that are held.
    pub fn held(&self) -> Vec<IpAddr> {
        self.taken().addresses.iter().copied().collect()
    }

    /// Forgets what is held: all kept Services were replaced and will be noted again.
    pub fn forget(&self) {
        let mut taken = self.taken();
        taken.ranges = Ranges::new(taken.ranges.configured());
        taken.addresses.clear();
        taken.ports.clear();
    }

    /// Notes what a kept Service holds.
    pub fn note(&self, service: &Object) {
        let mut taken = self.taken();
        taken.addresses.extend(addresses(service));
        taken.ports.extend(node_ports(service));
    }

    /// Gives back what a Service held.
    pub fn release(&self, service: &Object) {
        let mut taken = self.taken();
        addresses(service).for_each(|a| {
            taken.addresses.remove(&a);
        });
        node_ports(service).for_each(|p| {
            taken.ports.remove(&p);
        });
    }

    /// A claim of nothing.
    pub fn nothing(&self) -> Claim<'_> {
        Claim { services: self, addresses: Vec::new(), ports: Vec::new(), freed: Default::default() }
    }

    /// Fills in and takes what the Service needs.
    pub fn claim(
        &self,
        about: About<'_>,
        service: &mut Object,
        old: Option<&Object>,
        random: &Random,
        dry_run: bool,
    ) -> Result<Claim<'_>, Status> {
        let mut claim = self.nothing();
        let had_addresses: HashSet<IpAddr> = old.into_iter().flat_map(addresses).collect();
        let had_ports: HashSet<u16> = old.into_iter().flat_map(node_ports).collect();
        let served = service.get("spec").is_some_and(Value::is_object);
        let external = meta::text_at(service, &["spec", "type"]) == "ExternalName";
        if served && !external {
            let given = |family| self.taken().ranges.has(family);
            families::fill(service, old, given).map_err(|faults| about.invalid(&faults))?;
        }
        self.fill(&mut claim, service, &had_addresses, &had_ports, random).map_err(|fault| about.invalid(&[fault]))?;
        if dry_run {
            return Ok(claim);
        }
        let (has_addresses, has_ports): (HashSet<_>, HashSet<_>) =
            (addresses(service).collect(), node_ports(service).collect());
        claim.freed.0 = had_addresses.difference(&has_addresses).copied().collect();
        claim.freed.1 = had_ports.difference(&has_ports).copied().collect();
        Ok(claim)
    }

    fn fill(
        &self,
        claim: &mut Claim<'_>,
        service: &mut Object,
        had_addresses: &HashSet<IpAddr>,
        had_ports: &HashSet<u16>,
        random: &Random,
    ) -> Result<(), FieldError> {
        let kind = match meta::text_at(service, &["spec", "type"]) {
            "" => "ClusterIP".to_owned(),
            kind => kind.to_owned(),
        };
        if service.get("spec").is_none_or(|s| !s.is_object()) || kind == "ExternalName" {
            return Ok(());
        }
        let spec = Path::root("spec");
        let mut taken = self.taken();
        if meta::text_at(service, &["spec", "clusterIP"]) != "None" {
            give_addresses(claim, &mut taken, service, had_addresses, random)?;
        }
        if kind == "ClusterIP" {
            return Ok(());
        }
        let allocate_for_balancer =
            service["spec"].get("allocateLoadBalancerNodePorts").and_then(Value::as_bool).unwrap_or(true);
        let Some(ports) = service["spec"].get_mut("ports").and_then(Value::as_array_mut) else { return Ok(()) };
        let allocates = kind != "LoadBalancer" || allocate_for_balancer;
        // Protocols of one port number may share it, as they do in Kubernetes.
        let mut mine: HashSet<u16> = HashSet::new();
        for (at, port) in ports.iter_mut().enumerate() {
            let given =
                port.get("nodePort").and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0);
            match given {
                Some(number) => {
                    let list = spec.child("ports");
                    let item = list.index(at);
                    let path = item.child("nodePort");
                    if had_ports.contains(&number) || mine.contains(&number) {
                        mine.insert(number);
                        continue;
                    }
                    if !(self.ports.0..=self.ports.1).contains(&number) {
                        let why = format!(
                            "provided port is not in the valid range. The range of valid ports is {}-{}",
                            self.ports.0, self.ports.1
                        );
                        return Err(FieldError::invalid(&path, number, why));
                    }
                    if !taken.ports.insert(number) {
                        return Err(FieldError::invalid(&path, number, "provided port is already allocated"));
                    }
                    claim.ports.push(number);
                    mine.insert(number);
                }
                None if allocates => {
                    let number = self
                        .free_port(&taken, random)
                        .ok_or_else(|| FieldError::internal(&spec.child("ports"), "no node port is free"))?;
                    taken.ports.insert(number);
                    claim.ports.push(number);
                    mine.insert(number);
                    port["nodePort"] = json!(number);
                }
                None => {}
            }
        }
        self.health_port(claim, &mut taken, service, had_ports, random)
    }

    /// A balancer that keeps to local endpoints asks each node, at one port of all, whether it has some.
    fn health_port(
        &self,
        claim: &mut Claim<'_>,
        taken: &mut Taken,
        service: &mut Object,
        had: &HashSet<u16>,
        random: &Random,
    ) -> Result<(), FieldError> {
        let text = |field| meta::text_at(service, &["spec", field]);
        if text("type") != "LoadBalancer" || text("externalTrafficPolicy") != "Local" {
            return Ok(());
        }
        let given = meta::int_at(service, &["spec", "healthCheckNodePort"]).and_then(|port| u16::try_from(port).ok());
        let spec = Path::root("spec");
        let path = spec.child("healthCheckNodePort");
        let number = match given.filter(|port| *port != 0) {
            Some(number) if had.contains(&number) => return Ok(()),
            Some(number) if taken.ports.contains(&number) => {
                return Err(FieldError::invalid(&path, number, "provided port is already allocated"));
            }
            // Other ranges are validation's to refuse, or the user's own choice.
            Some(number) => number,
            None => self.free_port(taken, random).ok_or_else(|| FieldError::internal(&path, "no node port is free"))?,
        };
        taken.ports.insert(number);
        claim.ports.push(number);
        service["spec"]["healthCheckNodePort"] = json!(number);
        Ok(())
    }

    fn free_port(&self, taken: &Taken, random: &Random) -> Option<u16> {
        let count = u64::from(self.ports.1.saturating_sub(self.ports.0)) + 1;
        let mut ports = bands::PORTS.places(count, |most| random.below(most)).map(|place| self.ports.0 + place as u16);
        ports.find(|port| !taken.ports.contains(port))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One address for each family: the one that is asked for, or a free one.
fn give_addresses(
    claim: &mut Claim<'_>,
    taken: &mut Taken,
    service: &mut Object,
    had: &HashSet<IpAddr>,
    random: &Random,
) -> Result<(), FieldError> {
    let families = families::texts(service, "ipFamilies");
    let mut list = families::texts(service, "clusterIPs");
    let first = meta::text_at(service, &["spec", "clusterIP"]).to_owned();
    let none = list.is_empty();
    if none && !first.is_empty() {
        list.push(first.clone());
    }
    let spec = Path::root("spec");
    let path = spec.child("clusterIPs");
    // Words that are no family, and more addresses than families, are validation's to refuse.
    for (i, family) in families.iter().filter_map(|family| Family::parse(family)).enumerate() {
        let Some(text) = list.get(i).filter(|text| !text.is_empty()) else {
            let free = taken.ranges.free(family, |ip| taken.addresses.contains(&ip), |most| random.below(most));
            let address = free.ok_or_else(|| {
                let path = if i == 0 { spec.child("clusterIP") } else { path.index(i) };
                FieldError::internal(&path, format!("range {} is full", taken.ranges.shown(family)))
            })?;
            taken.addresses.insert(address);
            claim.addresses.push(address);
            list.truncate(i);
            list.push(address.to_string());
            continue;
        };
        // What is no address at all, or is there twice, is validation's to say as well.
        let Ok(address) = text.parse::<IpAddr>() else { continue };
        if had.contains(&address) || claim.addresses.contains(&address) {
            continue;
        }
        let refuse =
            |why: &str| FieldError::invalid(&path, json!(list), format!("failed to allocate IP {address}: {why}"));
        if !taken.ranges.gives(address) {
            return Err(refuse(&format!(
                "the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
                taken.ranges.shown(Family::of(address))
            )));
        }
        if !taken.addresses.insert(address) {
            return Err(refuse("provided IP is already allocated"));
        }
        claim.addresses.push(address);
    }
    if none
        && first.is_empty()
        && let Some(given) = list.first()
    {
        service["spec"]["clusterIP"] = json!(given);
    }
    service["spec"]["clusterIPs"] = json!(list);
    Ok(())
}

fn addresses(service: &Object) -> impl Iterator<Item = IpAddr> + '_ {
    let one = meta::text_at(service, &["spec", "clusterIP"]);
    let all = meta::list_at(service, &["spec", "clusterIPs"]).iter().filter_map(Value::as_str);
    std::iter::once(one).chain(all).filter_map(|text| text.parse().ok())
}

fn node_ports(service: &Object) -> impl Iterator<Item = u16> + '_ {
    let ports = meta::list_at(service, &["spec", "ports"]).iter().filter_map(|p| p.get("nodePort"));
    let health = service.pointer("/spec/healthCheckNodePort");
    ports.chain(health).filter_map(Value::as_u64).filter_map(|p| u16::try_from(p).ok()).filter(|p| *p != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kedge_api::kinds::Kinds;

    fn services() -> Services {
        Services::new((Ipv4Addr::new(10, 43, 0, 0), 29), (30000, 30001))
    }

    #[track_caller]
    fn claim<'a>(services: &'a Services, service: &mut Value, old: Option<&Value>) -> Result<Claim<'a>, String> {
        let kinds = Kinds::builtin();
        let kind = kinds.by_word("svc").unwrap();
        services.claim(About::new(kind, "web"), service, old, &Random::system(), false).map_err(|s| s.message)
    }

    #[test]
    fn addresses_are_given_once_and_come_back() {
        let services = services();
        let mut seen = HashSet::new();
        for _ in 0..5 {
            let mut service = json!({"spec": {"type": "ClusterIP"}});
            claim(&services, &mut service, None).unwrap().keep();
            assert!(seen.insert(service["spec"]["clusterIP"].as_str().unwrap().to_owned()));
        }
        assert!(!seen.contains("10.43.0.1"));
        let mut service = json!({"spec": {}});
        assert!(claim(&services, &mut service, None).unwrap_err().contains("full"));
        services.release(&json!({"spec": {"clusterIP": seen.iter().next().unwrap()}}));
        assert!(claim(&services, &mut service, None).is_ok());
    }

    #[test]
    fn a_claim_that_is_not_kept_is_given_back() {
        let services = services();
        let mut service = json!({"spec": {"clusterIP": "10.43.0.4"}});
        drop(claim(&services, &mut service, None).unwrap());
        claim(&services, &mut service, None).unwrap().keep();
        assert!(claim(&services, &mut service, None).unwrap_err().contains("already allocated"));
        assert!(
            claim(&services, &mut json!({"spec": {"clusterIP": "10.0.0.1"}}), None)
                .unwrap_err()
                .contains("not in the valid range")
        );
        assert!(claim(&services, &mut json!({"spec": {"clusterIP": "None"}}), None).is_ok());
    }

    #[track_caller]
    fn offered(cidrs: &[&str]) -> Services {
        let services = services();
        services.offer([&json!({"metadata": {"name": "more"}, "spec": {"cidrs": cidrs}})].into_iter());
        services
    }

    fn families_of(service: &Value) -> Vec<Family> {
        addresses(service).skip(1).map(Family::of).collect()
    }

    #[test]
    fn a_service_of_two_families_has_an_address_of_each() {
        let services = offered(&["fd00::/126"]);
        let mut service =
            json!({"spec": {"type": "ClusterIP", "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}});
        claim(&services, &mut service, None).unwrap().keep();
        assert_eq!(families_of(&service), [Family::V6, Family::V4]);
        assert_eq!(service["spec"]["clusterIP"], service["spec"]["clusterIPs"][0]);
        assert_eq!(services.held().len(), 2);
        // The one that is asked for, which was not given by chance already, and a free one beside it.
        let own = if service["spec"]["clusterIPs"][1] == "10.43.0.5" { "10.43.0.4" } else { "10.43.0.5" };
        let asked = json!({"spec": {"ipFamilyPolicy": "PreferDualStack", "clusterIPs": [own], "clusterIP": own}});
        for mut service in [asked.clone(), asked.clone()] {
            drop(claim(&services, &mut service, None).unwrap());
            assert_eq!(families_of(&service), [Family::V4, Family::V6]);
        }
        claim(&services, &mut asked.clone(), None).unwrap().keep();
        let taken = claim(&services, &mut asked.clone(), None).unwrap_err();
        assert!(taken.contains(&format!("failed to allocate IP {own}: provided IP is already allocated")), "{taken}");
        let mut strange = json!({"spec": {"clusterIP": "fd01::1", "clusterIPs": ["fd01::1"]}});
        let strange = claim(&services, &mut strange, None).unwrap_err();
        assert!(strange.contains("The range of valid IPs is fd00::/126"), "{strange}");
        // Three addresses of IPv6 there are, and two are taken. What is not given whole takes nothing.
        let mut third = json!({"spec": {"ipFamilies": ["IPv6"]}});
        claim(&services, &mut third, None).unwrap().keep();
        let before = services.held().len();
        let mut fourth = json!({"spec": {"ipFamilyPolicy": "PreferDualStack"}});
        let full = claim(&services, &mut fourth, None).unwrap_err();
        assert!(full.contains("spec.clusterIPs[1]: Internal error: range fd00::/126 is full"), "{full}");
        assert_eq!(services.held().len(), before);
    }

    #[test]
    fn the_second_address_comes_and_goes_with_its_family() {
        let services = offered(&["fd00::/112"]);
        let mut service = json!({"spec": {"type": "ClusterIP"}});
        claim(&services, &mut service, None).unwrap().keep();
        assert_eq!(families_of(&service), [Family::V4]);
        let mut two = service.clone();
        two["spec"]["ipFamilyPolicy"] = json!("PreferDualStack");
        claim(&services, &mut two, Some(&service)).unwrap().keep();
        assert_eq!(families_of(&two), [Family::V4, Family::V6]);
        assert_eq!((&two["spec"]["clusterIP"], services.held().len()), (&service["spec"]["clusterIP"], 2));
        // Nothing is taken anew for what is there.
        claim(&services, &mut two.clone(), Some(&two)).unwrap().keep();
        assert_eq!(services.held().len(), 2);
        let mut one = two.clone();
        one["spec"]["ipFamilyPolicy"] = json!("SingleStack");
        claim(&services, &mut one, Some(&two)).unwrap().keep();
        assert_eq!(
            (one["spec"]["clusterIPs"].clone(), services.held().len()),
            (service["spec"]["clusterIPs"].clone(), 1)
        );
    }

    #[test]
    fn node_ports_follow_the_type() {
        let services = services();
        let mut service = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}});
        claim(&services, &mut service, None).unwrap().keep();
        let ports: HashSet<u64> = node_ports(&service).map(u64::from).collect();
        assert_eq!(ports, HashSet::from([30000, 30001]));
        let mut more = json!({"spec": {"type": "NodePort", "ports": [{"port": 1}]}});
        assert!(claim(&services, &mut more, None).is_err());
        let mut fewer = service.clone();
        fewer["spec"]["ports"] = json!([service["spec"]["ports"][0].clone()]);
        claim(&services, &mut fewer, Some(&service)).unwrap().keep();
        assert!(claim(&services, &mut more, None).is_ok());
    }
}
