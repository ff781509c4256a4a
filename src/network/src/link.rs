//! Links, addresses and routes of one network namespace.
//!
//! In: names and addresses. Out: made, changed, listed, removed.
//! Never decides which; a refusal says what was asked and, where it is known, what the kernel lacks.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::netlink::Netlink;
use crate::netlink::message::{Answer, CREATE, DUMP, EXCLUSIVE, REPLACE, Request, attributes, kind, text, u32_at};
use crate::range::Range;

/// Linux's IFNAMSIZ, less the zero byte.
pub const MAX_NAME: usize = 15;

/// The kernel refused.
#[derive(Debug, thiserror::Error)]
#[error("{act}{hint}")]
pub struct LinkError {
    act: String,
    /// What the kernel said.
    pub source: Errno,
    hint: &'static str,
}

/// A link as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// Its number in the namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// The bridge that it is a port of.
    pub master: Option<u32>,
    /// Who made it, if that was noted.
    pub alias: String,
    /// Largest packet.
    pub mtu: u32,
    /// It is up.
    pub up: bool,
}

/// A route as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Where it leads.
    pub to: Range,
    /// Through which link.
    pub link: u32,
}

/// What a pod's pair of links shall be.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// Name of the end on the host.
    pub host: &'a str,
    /// The bridge's number.
    pub bridge: u32,
    /// Name of the end in the pod.
    pub pod: &'a str,
    /// Hardware address of the end in the pod.
    pub mac: [u8; 6],
    /// Largest packet.
    pub mtu: u32,
}

mod attribute {
    pub const ADDRESS: u16 = 1;
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const MASTER: u16 = 10;
    pub const PORT: u16 = 12;
    pub const INFO: u16 = 18;
    pub const ALIAS: u16 = 20;
    pub const NAMESPACE: u16 = 28;
    pub const EXTENSIONS: u16 = 29;
    pub const INFO_KIND: u16 = 1;
    pub const INFO_DATA: u16 = 2;
    pub const VETH_PEER: u16 = 1;
    pub const PORT_HAIRPIN: u16 = 4;
    pub const IP_ADDRESS: u16 = 1;
    pub const IP_LOCAL: u16 = 2;
    pub const IP_BROADCAST: u16 = 4;
    pub const ROUTE_TO: u16 = 1;
    pub const ROUTE_LINK: u16 = 4;
    pub const ROUTE_GATEWAY: u16 = 5;
}

const UP: u32 = 1;
const IPV4: u8 = 2;
const BRIDGE: u8 = 7;
const LINK_PART: usize = 16;
const ADDRESS_PART: usize = 8;
const ROUTE_PART: usize = 12;
/// Leave the counters out of a list of links.
const SKIP_STATISTICS: u32 = 8;

fn error(act: String, kind: &str) -> impl FnOnce(Errno) -> LinkError {
    let hint = match kind {
        "bridge" => " (this kernel has no bridges: option CONFIG_BRIDGE, module bridge)",
        "veth" => " (this kernel has no veth pairs: option CONFIG_VETH, module veth)",
        _ => "",
    };
    move |source| {
        let hint = match source {
            Errno::OPNOTSUPP => hint,
            Errno::PERM | Errno::ACCESS => " (this needs root)",
            _ => "",
        };
        LinkError { act, source, hint }
    }
}

fn link_part(family: u8, index: u32, flags: u32, change: u32) -> [u8; LINK_PART] {
    let mut part = [0; LINK_PART];
    part[0] = family;
    part[4..8].copy_from_slice(&index.to_ne_bytes());
    part[8..12].copy_from_slice(&flags.to_ne_bytes());
    part[12..].copy_from_slice(&change.to_ne_bytes());
    part
}

impl Netlink {
    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, LinkError> {
        let request =
            Request::new(kind::GET_LINK, DUMP, &link_part(0, 0, 0, 0)).number(attribute::EXTENSIONS, SKIP_STATISTICS);
        let answers = self.ask(request).map_err(error("listing links".into(), ""))?;
        Ok(answers.iter().filter(|a| a.kind == kind::NEW_LINK).map(read_link).collect())
    }

    /// The link of this name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, LinkError> {
        let request = Request::new(kind::GET_LINK, 0, &link_part(0, 0, 0, 0))
            .text(attribute::NAME, name)
            .number(attribute::EXTENSIONS, SKIP_STATISTICS);
        match self.ask(request) {
            Ok(answers) => Ok(answers.first().map(read_link)),
            Err(Errno::NODEV) => Ok(None),
            Err(source) => Err(error(format!("looking for the link {name}"), "")(source)),
        }
    }

    /// Makes a bridge that is down.
    pub fn add_bridge(&mut self, name: &str, mac: [u8; 6], mtu: u32) -> Result<(), LinkError> {
        let request = Request::new(kind::NEW_LINK, CREATE | EXCLUSIVE, &link_part(0, 0, 0, 0))
            .text(attribute::NAME, name)
            .attribute(attribute::ADDRESS, &mac)
            .number(attribute::MTU, mtu)
            .nested(attribute::INFO, |r| r.text(attribute::INFO_KIND, "bridge"));
        self.act(request).map_err(error(format!("making the bridge {name}"), "bridge"))
    }

    /// Notes on a link who made it.
    pub fn set_alias(&mut self, index: u32, alias: &str) -> Result<(), LinkError> {
        let request =
            Request::new(kind::SET_LINK, 0, &link_part(0, index, 0, 0)).attribute(attribute::ALIAS, alias.as_bytes());
        self.act(request).map_err(error(format!("naming the owner of link {index}"), ""))
    }

    /// Makes a pair of links: one a port of the bridge and up, the other in the pod's namespace.
    pub fn add_pair(&mut self, pair: &Pair<'_>, namespace: impl AsFd) -> Result<(), LinkError> {
        // Never negative for an open descriptor.
        let namespace = namespace.as_fd().as_raw_fd() as u32;
        let request = Request::new(kind::NEW_LINK, CREATE | EXCLUSIVE, &link_part(0, 0, UP, UP))
            .text(attribute::NAME, pair.host)
            .number(attribute::MTU, pair.mtu)
            .number(attribute::MASTER, pair.bridge)
            .nested(attribute::INFO, |info| {
                info.text(attribute::INFO_KIND, "veth").nested(attribute::INFO_DATA, |data| {
                    data.nested_after(attribute::VETH_PEER, &link_part(0, 0, 0, 0), |peer| {
                        peer.text(attribute::NAME, pair.pod)
                            .attribute(attribute::ADDRESS, &pair.mac)
                            .number(attribute::MTU, pair.mtu)
                            .number(attribute::NAMESPACE, namespace)
                    })
                })
            });
        self.act(request).map_err(error(format!("making the pair of links {}", pair.host), "veth"))
    }

    /// Lets a bridge's port send back what it received: a pod reaches itself through a mapped port.
    pub fn set_hairpin(&mut self, index: u32) -> Result<(), LinkError> {
        let request = Request::new(kind::SET_LINK, 0, &link_part(BRIDGE, index, 0, 0))
            .nested(attribute::PORT, |r| r.attribute(attribute::PORT_HAIRPIN, &[1]));
        self.act(request).map_err(error(format!("setting hairpin on link {index}"), ""))
    }

    /// Brings a link up.
    pub fn set_up(&mut self, index: u32) -> Result<(), LinkError> {
        let request = Request::new(kind::SET_LINK, 0, &link_part(0, index, UP, UP));
        self.act(request).map_err(error(format!("bringing link {index} up"), ""))
    }

    /// Removes a link; one that is not there is fine.
    pub fn remove_link(&mut self, name: &str) -> Result<(), LinkError> {
        let request = Request::new(kind::DEL_LINK, 0, &link_part(0, 0, 0, 0)).text(attribute::NAME, name);
        match self.act(request) {
            Ok(()) | Err(Errno::NODEV) => Ok(()),
            Err(source) => Err(error(format!("removing the link {name}"), "")(source)),
        }
    }

    /// Gives a link an IPv4 address; one that it has already is fine.
    pub fn add_address(&mut self, index: u32, address: Ipv4Addr, range: Range) -> Result<(), LinkError> {
        let mut part = [IPV4, range.prefix(), 0, 0, 0, 0, 0, 0];
        part[4..].copy_from_slice(&index.to_ne_bytes());
        let request = Request::new(kind::NEW_ADDRESS, CREATE | REPLACE, &part)
            .attribute(attribute::IP_LOCAL, &address.octets())
            .attribute(attribute::IP_ADDRESS, &address.octets())
            .attribute(attribute::IP_BROADCAST, &range.last().octets());
        self.act(request).map_err(error(format!("giving link {index} the address {address}"), ""))
    }

    /// All IPv4 addresses with the links that have them.
    pub fn addresses(&mut self) -> Result<Vec<(u32, Range, Ipv4Addr)>, LinkError> {
        let request = Request::new(kind::GET_ADDRESS, DUMP, &[IPV4, 0, 0, 0, 0, 0, 0, 0]);
        let answers = self.ask(request).map_err(error("listing addresses".into(), ""))?;
        Ok(answers.iter().filter_map(read_address).collect())
    }

    /// Makes the route that all else takes.
    pub fn add_default_route(&mut self, index: u32, gateway: Ipv4Addr) -> Result<(), LinkError> {
        // Main table, set at boot, everywhere, unicast.
        let part = [IPV4, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        let request = Request::new(kind::NEW_ROUTE, CREATE | REPLACE, &part)
            .attribute(attribute::ROUTE_GATEWAY, &gateway.octets())
            .number(attribute::ROUTE_LINK, index);
        self.act(request).map_err(error(format!("making the default route through {gateway}"), ""))
    }

    /// All IPv4 routes of the main table.
    pub fn routes(&mut self) -> Result<Vec<Route>, LinkError> {
        let request = Request::new(kind::GET_ROUTE, DUMP, &[IPV4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let answers = self.ask(request).map_err(error("listing routes".into(), ""))?;
        Ok(answers.iter().filter_map(read_route).collect())
    }
}

fn read_link(answer: &Answer) -> Link {
    let mut link = Link { index: u32_at(&answer.body, 4), up: u32_at(&answer.body, 8) & UP != 0, ..Link::default() };
    for (kind, value) in attributes(&answer.body, LINK_PART) {
        match kind {
            attribute::NAME => link.name = text(value),
            attribute::MTU => link.mtu = u32_at(value, 0),
            attribute::MASTER => link.master = Some(u32_at(value, 0)),
            attribute::ALIAS => link.alias = text(value),
            _ => {}
        }
    }
    link
}

fn read_address(answer: &Answer) -> Option<(u32, Range, Ipv4Addr)> {
    if answer.kind != kind::NEW_ADDRESS || answer.body.first() != Some(&IPV4) {
        return None;
    }
    let prefix = *answer.body.get(1)?;
    let find =
        |wanted| attributes(&answer.body, ADDRESS_PART).find(|(kind, _)| *kind == wanted).and_then(|(_, v)| ipv4(v));
    let address = find(attribute::IP_LOCAL).or_else(|| find(attribute::IP_ADDRESS))?;
    Some((u32_at(&answer.body, 4), Range::around(address, prefix)?, address))
}

fn read_route(answer: &Answer) -> Option<Route> {
    let [family, prefix, _, _, table, _, _, unicast] = *answer.body.get(..8)? else { return None };
    if answer.kind != kind::NEW_ROUTE || family != IPV4 || table != 254 || unicast != 1 {
        return None;
    }
    let (mut to, mut link) = (Ipv4Addr::UNSPECIFIED, 0);
    for (kind, value) in attributes(&answer.body, ROUTE_PART) {
        match kind {
            attribute::ROUTE_TO => to = ipv4(value)?,
            attribute::ROUTE_LINK => link = u32_at(value, 0),
            _ => {}
        }
    }
    Some(Route { to: Range::around(to, prefix)?, link })
}

fn ipv4(value: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from)
}

/// A hardware address that follows from an IP address: neighbours' caches stay right when the address is used again.
pub fn mac_of(address: IpAddr) -> [u8; 6] {
    let mut mac = [0x0a, 0x4b, 0, 0, 0, 0];
    match address {
        IpAddr::V4(v4) => mac[2..].copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => mac[2..].copy_from_slice(&v6.octets()[12..]),
    }
    mac
}
