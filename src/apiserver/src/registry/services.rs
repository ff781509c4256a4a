//! Addresses and node ports of Services.
//!
//! In: a Service about to be kept. Out: the same with an address and ports nobody else has, and a
//! claim that gives them back unless it is kept. What is taken is rebuilt from the store at start;
//! a kept Service is the truth.

mod families;
pub mod ranges;

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};

use kedge_api::field::{FieldError, Path};
use kedge_api::status::Status;
use kedge_api::{Object, meta};
use serde_json::{Value, json};

use self::ranges::{Range, Ranges};
use crate::error::About;
use crate::random::Random;

/// What is taken.
#[derive(Debug)]
pub struct Services {
    first: Ipv4Addr,
    ports: (u16, u16),
    taken: Mutex<Taken>,
}

/// What is taken, of what. Behind one lock: once a range is gone from it, nobody gets an address of it any more.
#[derive(Debug)]
struct Taken {
    ranges: Ranges,
    addresses: HashSet<Ipv4Addr>,
    ports: HashSet<u16>,
}

/// What was taken for one write.
#[derive(Debug)]
pub struct Claim<'a> {
    services: &'a Services,
    addresses: Vec<Ipv4Addr>,
    ports: Vec<u16>,
    /// Given back when the claim is kept: what the old object had and the new one has not.
    freed: (HashSet<Ipv4Addr>, HashSet<u16>),
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
    pub fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// Gives addresses of these ServiceCIDRs from now on, and of no others.
    pub fn offer<'a>(&self, objects: impl Iterator<Item = &'a Object>) {
        self.taken().ranges.set(objects);
    }

    /// The addresses that are held.
    pub fn held(&self) -> Vec<Ipv4Addr> {
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
        let had_addresses: HashSet<Ipv4Addr> = old.into_iter().flat_map(addresses).collect();
        let had_ports: HashSet<u16> = old.into_iter().flat_map(node_ports).collect();
        let served = service.get("spec").is_some_and(Value::is_object);
        let external = meta::text_at(service, &["spec", "type"]) == "ExternalName";
        let families = if served && !external { families::fill(service, old) } else { Ok(()) };
        let fault = families.and_then(|()| self.fill(&mut claim, service, &had_addresses, &had_ports, random)).err();
        if let Some(fault) = fault {
            return Err(about.invalid(&[fault]));
        }
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
        had_addresses: &HashSet<Ipv4Addr>,
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
        let asked = meta::text_at(service, &["spec", "clusterIP"]).to_owned();
        let mut taken = self.taken();
        match asked.as_str() {
            "None" => {}
            "" => {
                let free = taken.ranges.free(|ip| taken.addresses.contains(&ip), |most| random.below(most));
                let address = free.ok_or_else(|| {
                    FieldError::internal(&spec.child("clusterIP"), format!("range {} is full", taken.ranges))
                })?;
                taken.addresses.insert(address);
                claim.addresses.push(address);
                service["spec"]["clusterIP"] = json!(address.to_string());
                service["spec"]["clusterIPs"] = json!([address.to_string()]);
            }
            text => {
                // What is no address at all is validation's to say.
                if let Ok(address) = text.parse::<Ipv4Addr>()
                    && !had_addresses.contains(&address)
                {
                    let path = spec.child("clusterIPs");
                    if !taken.ranges.gives(address) {
                        let why = format!(
                            "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of valid IPs is {}",
                            taken.ranges
                        );
                        return Err(FieldError::invalid(&path, json!([text]), why));
                    }
                    if !taken.addresses.insert(address) {
                        let why = format!("failed to allocate IP {address}: provided IP is already allocated");
                        return Err(FieldError::invalid(&path, json!([text]), why));
                    }
                    claim.addresses.push(address);
                }
                if meta::list_at(service, &["spec", "clusterIPs"]).is_empty() {
                    service["spec"]["clusterIPs"] = json!([text]);
                }
            }
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
        let count = u32::from(self.ports.1.saturating_sub(self.ports.0)) + 1;
        let start = random.below(u64::from(count)) as u32;
        (0..count).map(|i| self.ports.0 + ((start + i) % count) as u16).find(|port| !taken.ports.contains(port))
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn addresses(service: &Object) -> impl Iterator<Item = Ipv4Addr> + '_ {
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
