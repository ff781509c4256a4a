//! IPv4 ranges such as 10.42.0.0/24.
//!
//! In: text. Out: the range, its gateway and what overlaps.
//! Never hands an address out.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A block of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    base: u32,
    prefix: u8,
}

/// Why a text is no range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an IPv4 range such as 10.42.0.0/24")]
pub struct RangeFault(String);

impl Range {
    /// Parses `ADDRESS/PREFIX`; bits beyond the prefix must be 0.
    pub fn parse(text: &str) -> Result<Self, RangeFault> {
        let fault = || RangeFault(text.chars().take(50).collect());
        let (address, prefix) = text.split_once('/').ok_or_else(fault)?;
        let address: Ipv4Addr = address.parse().map_err(|_| fault())?;
        let range = prefix.parse().ok().and_then(|p| Self::around(address, p)).ok_or_else(fault)?;
        if range.base == u32::from(address) { Ok(range) } else { Err(fault()) }
    }

    /// The range of this size that contains the address.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { base: u32::from(address) & mask(prefix), prefix })
    }

    /// Length of the prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address: the range's own.
    pub fn base(self) -> Ipv4Addr {
        self.base.into()
    }

    /// The last address: broadcast.
    pub fn last(self) -> Ipv4Addr {
        (self.base | !mask(self.prefix)).into()
    }

    /// The address after the first: the bridge's.
    pub fn gateway(self) -> Ipv4Addr {
        self.base.saturating_add(1).into()
    }

    /// Addresses for pods: all but the first, the gateway and the last.
    pub fn pods(self) -> impl Iterator<Item = Ipv4Addr> + Clone {
        (self.base.saturating_add(2)..u32::from(self.last())).map(Ipv4Addr::from)
    }

    /// True if the address is inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    /// True if an address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        let shorter = mask(self.prefix.min(other.prefix));
        self.base & shorter == other.base & shorter
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base(), self.prefix)
    }
}

impl TryFrom<String> for Range {
    type Error = RangeFault;
    fn try_from(text: String) -> Result<Self, RangeFault> {
        Self::parse(&text)
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parsed_strictly() {
        for good in ["10.42.0.0/24", "0.0.0.0/0", "192.168.1.128/25", "10.0.0.1/32"] {
            assert_eq!(Range::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "10.42.0.0", "10.42.0.1/24", "10.42.0.0/33", "10.42.0.0/-1", "fd00::/64", "10.42.0/24", "a/b"] {
            assert!(Range::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pods_get_all_but_three_addresses() {
        let range = Range::parse("10.42.0.0/29").unwrap();
        let pods: Vec<String> = range.pods().map(|a| a.to_string()).collect();
        assert_eq!(pods, ["10.42.0.2", "10.42.0.3", "10.42.0.4", "10.42.0.5", "10.42.0.6"]);
        assert_eq!((range.gateway().to_string(), range.last().to_string()), ("10.42.0.1".into(), "10.42.0.7".into()));
    }

    #[test]
    fn ranges_overlap_when_one_contains_the_other() {
        #[track_caller]
        fn check(a: &str, b: &str, expected: bool) {
            let (a, b) = (Range::parse(a).unwrap(), Range::parse(b).unwrap());
            assert_eq!((a.overlaps(b), b.overlaps(a)), (expected, expected), "{a} {b}");
        }
        check("10.42.0.0/24", "10.42.0.0/16", true);
        check("10.42.0.0/24", "10.42.0.128/25", true);
        check("10.42.0.0/24", "10.42.1.0/24", false);
        check("10.42.0.0/24", "0.0.0.0/0", true);
    }
}
