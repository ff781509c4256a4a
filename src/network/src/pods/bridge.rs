//! The bridge of one instance.
//!
//! In: the options. Out: a bridge with its address, or a sentence that says what is in its way.
//! Never takes over a link that another instance or program made: ours carry our name in their alias.

use crate::host;
use crate::link::{Link, MAX_NAME, mac_of};
use crate::netlink::Netlink;

use super::{NetworkError, Options};

/// Ethernet's, for machines without a route to the world.
const USUAL_MTU: u32 = 1500;
/// IPv4 needs 68, IPv6 1280; above 65535 no packet goes.
const MTU: std::ops::RangeInclusive<u32> = 576..=65535;

/// Checks the options by themselves.
pub fn check(options: &Options) -> Result<(), NetworkError> {
    let fault = |text: String| Err(NetworkError::Setting(text));
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let instance = &options.instance;
    if instance.is_empty() || instance.len() > 40 || !instance.bytes().all(label) {
        return fault(format!(
            "the instance name {instance:?} is not made of a-z, 0-9 and -, with at most 40 characters"
        ));
    }
    let bridge = &options.bridge;
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if bridge.is_empty() || bridge.len() > MAX_NAME || !bridge.bytes().all(good) {
        return fault(format!(
            "the bridge name {bridge:?} is not made of letters, digits, - and _, with at most {MAX_NAME} characters"
        ));
    }
    if !(8..=29).contains(&options.range.prefix()) {
        return fault(format!(
            "the pod range {} is too small or too large: its prefix must be /8 to /29",
            options.range
        ));
    }
    match options.mtu {
        Some(mtu) if !MTU.contains(&mtu) => {
            fault(format!("the MTU {mtu} is not between {} and {}", MTU.start(), MTU.end()))
        }
        _ => Ok(()),
    }
}

/// Makes the bridge and the kernel switches. Returns the MTU of links.
pub fn prepare(host: &mut Netlink, options: &Options) -> Result<u32, NetworkError> {
    let links = host.links()?;
    let routes = host.routes()?;
    let outward = routes.iter().find(|r| r.to.prefix() == 0).and_then(|r| links.iter().find(|l| l.index == r.link));
    let mtu = options.mtu.unwrap_or_else(|| outward.map_or(USUAL_MTU, |l| l.mtu.clamp(*MTU.start(), *MTU.end())));
    let own = links.iter().find(|l| l.name == options.bridge).map(|l| l.index);
    let name = |index: u32| links.iter().find(|l| l.index == index).map_or("?".into(), |l| l.name.clone());
    for (link, range, _) in host.addresses()? {
        if Some(link) != own && range.overlaps(options.range) {
            return Err(NetworkError::Overlap { range: options.range, other: range, link: name(link) });
        }
    }
    for route in routes.iter().filter(|r| r.to.prefix() > 0 && Some(r.link) != own && r.to.overlaps(options.range)) {
        if route.to.prefix() >= options.range.prefix() {
            return Err(NetworkError::Overlap { range: options.range, other: route.to, link: name(route.link) });
        }
        tracing::warn!(range = %options.range, route = %route.to, "the pod range hides a part of what another route leads to");
    }
    let index = ensure(host, options, mtu)?;
    let strange = host
        .addresses()?
        .iter()
        .any(|(link, range, ip)| *link == index && (*range != options.range || *ip != options.range.gateway()));
    if strange {
        // The range was changed in the configuration: pods are connected anew.
        host.remove_link(&options.bridge)?;
        ensure(host, options, mtu)?;
    }
    host::switch("ipv4/ip_forward", "1")?;
    Ok(mtu)
}

/// The bridge's number; it is made if it is not there.
pub fn ensure(host: &mut Netlink, options: &Options, mtu: u32) -> Result<u32, NetworkError> {
    if let Some(link) = host.link(&options.bridge)? {
        // Without an owner and down: made by a daemon that was killed before it could say so.
        if link.alias.is_empty() && !link.up {
            host.set_alias(link.index, &alias(options))?;
        } else if !is_ours(&link, options) {
            return Err(NetworkError::ForeignBridge(options.bridge.clone()));
        } else if link.up {
            return Ok(link.index);
        }
        return finish(host, options, link.index);
    }
    host.add_bridge(&options.bridge, mac_of(options.range.gateway().into()), mtu)?;
    let Some(link) = host.link(&options.bridge)? else {
        return Err(NetworkError::Setting(format!("the bridge {} vanished while it was set up", options.bridge)));
    };
    host.set_alias(link.index, &alias(options))?;
    finish(host, options, link.index)
}

fn finish(host: &mut Netlink, options: &Options, index: u32) -> Result<u32, NetworkError> {
    host.add_address(index, options.range.gateway(), options.range)?;
    // The host reaches mapped ports through localhost; the rules keep pods from doing so.
    host::switch(&format!("ipv4/conf/{}/route_localnet", options.bridge), "1")?;
    host.set_up(index)?;
    Ok(index)
}

/// Names of the bridge's ports.
pub fn ports(host: &mut Netlink, options: &Options) -> Result<Vec<String>, NetworkError> {
    let links = host.links()?;
    let Some(bridge) = links.iter().find(|l| l.name == options.bridge && is_ours(l, options)) else {
        return Ok(Vec::new());
    };
    Ok(links.iter().filter(|l| l.master == Some(bridge.index)).map(|l| l.name.clone()).collect())
}

/// Removes the bridge and its ports, if it is ours.
pub fn remove(host: &mut Netlink, options: &Options) -> Result<(), NetworkError> {
    for port in ports(host, options)? {
        host.remove_link(&port)?;
    }
    match host.link(&options.bridge)? {
        Some(link) if is_ours(&link, options) => Ok(host.remove_link(&options.bridge)?),
        _ => Ok(()),
    }
}

fn alias(options: &Options) -> String {
    format!("kedge:{}", options.instance)
}

fn is_ours(link: &Link, options: &Options) -> bool {
    link.alias == alias(options)
}
