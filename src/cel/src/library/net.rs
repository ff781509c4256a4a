//! Addresses and networks.
//!
//! In: texts. Out: addresses, networks, what they are. Addresses with a zone and IPv4 in IPv6 are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Host;
use crate::fault::Fault;
use crate::value::Value;

type Out<'a> = Result<Value<'a>, Fault>;

fn parse_ip(text: &str) -> Result<IpAddr, Fault> {
    if let Some((bare, _)) = text.split_once('%')
        && bare.parse::<Ipv6Addr>().is_ok()
    {
        return Err(Fault::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(Fault::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(Fault::new(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        ))),
    }
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), Fault> {
    const SAID: &str = "network address parse error during conversion from string: ";
    let wrong = |why: &str| Fault::new(format!("{SAID}{SAID}netip.ParsePrefix({text:?}): {why}"));
    let (ip, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let ip: IpAddr = ip.parse().map_err(|_| wrong(&format!("ParseAddr({ip:?}): unable to parse IP")))?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let is_plain = bits.bytes().all(|b| b.is_ascii_digit()) && !(bits.len() > 1 && bits.starts_with('0'));
    let number: u8 =
        bits.parse().ok().filter(|_| is_plain).ok_or_else(|| wrong(&format!("bad bits after slash: {bits:?}")))?;
    if number > most {
        return Err(wrong("prefix length out of range"));
    }
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Fault::new(format!("{SAID}IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        ip => Ok((ip, number)),
    }
}

fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

fn within(network: (IpAddr, u8), ip: IpAddr) -> bool {
    network.0.is_ipv4() == ip.is_ipv4() && mask(network.0, network.1) == mask(ip, network.1)
}

pub(crate) fn ip<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Text(text)] => parse_ip(text).map(Value::Ip),
        [Value::Cidr(ip, _)] => Ok(Value::Ip(*ip)),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn is_ip<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(parse_ip(text).is_ok()))
}

pub(crate) fn is_canonical<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    parse_ip(text).map(|ip| Value::Bool(ip.to_string() == **text))
}

fn about<'a, T>(args: &[Value<'a>], tell: impl FnOnce(IpAddr) -> T, make: impl FnOnce(T) -> Value<'a>) -> Out<'a> {
    match args {
        [Value::Ip(ip)] => Ok(make(tell(*ip))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn family<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    about(args, |ip| if ip.is_ipv4() { 4 } else { 6 }, Value::Int)
}

pub(crate) fn is_unspecified<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    about(args, |ip| ip.is_unspecified(), Value::Bool)
}

pub(crate) fn is_loopback<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    about(args, |ip| ip.is_loopback(), Value::Bool)
}

fn link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

pub(crate) fn is_link_local_multicast<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    about(args, link_local_multicast, Value::Bool)
}

pub(crate) fn is_link_local_unicast<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    about(args, link_local_unicast, Value::Bool)
}

pub(crate) fn is_global_unicast<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let global = |ip: IpAddr| {
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local_unicast(ip))
    };
    about(args, global, Value::Bool)
}

pub(crate) fn cidr<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    parse_cidr(text).map(|(ip, bits)| Value::Cidr(ip, bits))
}

pub(crate) fn is_cidr<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let [Value::Text(text)] = args else { return Err(Fault::no_overload()) };
    Ok(Value::Bool(parse_cidr(text).is_ok()))
}

pub(crate) fn contains_ip<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (network, ip) = match args {
        [Value::Cidr(ip, bits), Value::Ip(other)] => ((*ip, *bits), *other),
        [Value::Cidr(ip, bits), Value::Text(text)] => ((*ip, *bits), parse_ip(text)?),
        _ => return Err(Fault::no_overload()),
    };
    Ok(Value::Bool(within(network, ip)))
}

pub(crate) fn contains_cidr<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    let (network, other) = match args {
        [Value::Cidr(ip, bits), Value::Cidr(other, own)] => ((*ip, *bits), (*other, *own)),
        [Value::Cidr(ip, bits), Value::Text(text)] => ((*ip, *bits), parse_cidr(text)?),
        _ => return Err(Fault::no_overload()),
    };
    Ok(Value::Bool(network.1 <= other.1 && within(network, other.0)))
}

pub(crate) fn prefix_length<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Cidr(_, bits)] => Ok(Value::Int(i64::from(*bits))),
        _ => Err(Fault::no_overload()),
    }
}

pub(crate) fn masked<'a>(_: &mut Host<'a, '_>, args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Cidr(ip, bits)] => Ok(Value::Cidr(mask(*ip, *bits), *bits)),
        _ => Err(Fault::no_overload()),
    }
}
