//! IP addresses and CIDR blocks as fields hold them.
//!
//! In: text. Out: the parsed address, or the broken rule in Kubernetes' words.

use std::net::IpAddr;

use super::Faults;

/// Reads an address the way Kubernetes reads old fields: leading zeros of IPv4 parts are decimal.
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let stripped: Vec<&str> = text.split('.').map(strip_zeros).collect();
    stripped.join(".").parse::<std::net::Ipv4Addr>().ok().map(IpAddr::V4)
}

fn strip_zeros(part: &str) -> &str {
    let stripped = part.trim_start_matches('0');
    if stripped.is_empty() && !part.is_empty() { "0" } else { stripped }
}

/// An IP address of either family, written without leading zeros.
pub fn check_ip(text: &str) -> Result<(), Faults> {
    let Some(address) = parse_ip(text) else {
        return Err(vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()]);
    };
    if text.parse::<IpAddr>().is_err() {
        return Err(vec!["must not have leading 0s".into()]);
    }
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(vec!["must not be an IPv4-mapped IPv6 address".into()]),
        _ => Ok(()),
    }
}

/// A CIDR block whose address has no bit beyond the prefix.
pub fn check_cidr(text: &str) -> Result<(), Faults> {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let address = parse_ip(address)?;
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u32 = digits.then(|| prefix.parse().ok()).flatten()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= width).then_some((address, prefix, width))
    });
    let Some((address, prefix, width)) = parsed else {
        return Err(vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()]);
    };
    let canonical = format!("{address}/{prefix}");
    let leading = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    if text.split(['.', '/']).any(leading) && canonical != text {
        return Err(vec!["must not have leading 0s in IP or prefix length".into()]);
    }
    let bits: u128 = match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            return Err(vec!["must not have an IPv4-mapped IPv6 address".into()]);
        }
        IpAddr::V6(v6) => v6.into(),
    };
    let beyond = width - prefix;
    let mask = if beyond == 128 { u128::MAX } else { (1u128 << beyond) - 1 };
    if bits & mask != 0 {
        return Err(vec!["must not have bits set beyond the prefix length".into()]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Result<(), Faults>, text: &str, fault: &str) {
        let found = rule(text).err().and_then(|f| f.first().cloned()).unwrap_or_default();
        assert!(found.starts_with(fault) && (fault.is_empty() == found.is_empty()), "{text}: {found}");
    }

    #[test]
    fn addresses_and_blocks() {
        check(check_ip, "10.0.0.1", "");
        check(check_ip, "fe80::1", "");
        check(check_ip, "010.0.0.1", "must not have leading 0s");
        check(check_ip, "::ffff:1.2.3.4", "must not be an IPv4-mapped");
        check(check_ip, "10.0.0", "must be a valid IP");
        check(check_ip, "", "must be a valid IP");
        check(check_cidr, "10.0.0.0/8", "");
        check(check_cidr, "0.0.0.0/0", "");
        check(check_cidr, "::/0", "");
        check(check_cidr, "10.0.0.1/8", "must not have bits");
        check(check_cidr, "10.0.0.0/33", "must be a valid CIDR");
        check(check_cidr, "10.0.0.0/08", "must not have leading 0s");
        check(check_cidr, "10.0.0.0", "must be a valid CIDR");
    }
}
