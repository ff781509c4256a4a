//! The ranges of which Services get their addresses.
//!
//! In: the configured range, and what ServiceCIDRs say. Out: whether an address is of one of them, and a free one.
//! A range that ends gives nothing more. Pure; which addresses are taken is the caller's to know.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use kedge_api::{Object, meta};
use serde_json::Value;

/// The ServiceCIDR that stands for the configured range.
pub const DEFAULT: &str = "kubernetes";
/// The condition that says whether addresses of a range are given.
pub const READY: &str = "Ready";

/// A block of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: u32,
    prefix: u8,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl Range {
    /// The range of that size around an address.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Range { base: u32::from(address) & mask, prefix }
    }

    /// Reads `ADDRESS/PREFIX`; `None` if it is no range of IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Range::around(address.parse().ok()?, prefix))
    }

    fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address at a place.
    pub fn at(self, place: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base.wrapping_add(place))
    }

    /// Whether it has the address, be it one that nobody gets.
    pub fn covers(self, address: Ipv4Addr) -> bool {
        Range::around(address, self.prefix) == self
    }

    /// Whether it has all of the other.
    pub fn covers_all(self, other: Range) -> bool {
        self.prefix <= other.prefix && self.covers(other.at(0))
    }

    /// How many addresses somebody can get: all but the network's own and the broadcast address.
    fn usable(self) -> u64 {
        self.size().saturating_sub(2)
    }

    fn gives(self, address: Ipv4Addr) -> bool {
        let place = u64::from(u32::from(address).wrapping_sub(self.base));
        self.covers(address) && place > 0 && place <= self.usable()
    }
}

/// What a ServiceCIDR says, as far as it is of IPv4.
pub fn of(object: &Object) -> Vec<Range> {
    let texts = meta::list_at(object, &["spec", "cidrs"]).iter().filter_map(Value::as_str);
    texts.filter_map(Range::parse).collect()
}

/// Whether addresses of a ServiceCIDR are given. One without a condition is as good as ready.
pub fn is_ready(object: &Object) -> bool {
    let conditions = meta::list_at(object, &["status", "conditions"]);
    let ready = conditions.iter().find(|c| meta::text(c, "type") == READY);
    meta::deletion_timestamp(object).is_none() && ready.is_none_or(|c| meta::text(c, "status") == "True")
}

/// See the module.
#[derive(Debug)]
pub struct Ranges {
    configured: Range,
    /// Whether the configured range gives addresses.
    open: bool,
    /// Those that users made, by name.
    more: BTreeMap<String, Vec<Range>>,
}

impl Ranges {
    /// The configured range alone.
    pub fn new(configured: Range) -> Self {
        Ranges { configured, open: true, more: BTreeMap::new() }
    }

    /// The configured range.
    pub fn configured(&self) -> Range {
        self.configured
    }

    /// Takes in every ServiceCIDR that there is.
    pub fn set<'a>(&mut self, objects: impl Iterator<Item = &'a Object>) {
        self.open = true;
        self.more.clear();
        for object in objects {
            let (name, ready) = (meta::name(object), is_ready(object));
            if name == DEFAULT {
                self.open = ready;
            }
            if ready {
                self.more.insert(name.to_owned(), of(object));
            }
        }
    }

    /// The ranges that give addresses, the configured one first.
    fn all(&self) -> impl Iterator<Item = Range> + '_ {
        let configured = Some(self.configured).filter(|_| self.open);
        let more = self.more.values().flatten().copied().filter(|range| *range != self.configured);
        configured.into_iter().chain(more)
    }

    /// Whether an address can be had.
    pub fn gives(&self, address: Ipv4Addr) -> bool {
        self.all().any(|range| range.gives(address))
    }

    /// A free address of the first range that has one, from a random place on. The first of the configured range is
    /// kept for the Service `kubernetes`.
    pub fn free(&self, is_taken: impl Fn(Ipv4Addr) -> bool, below: impl Fn(u64) -> u64) -> Option<Ipv4Addr> {
        let reserved = self.configured.at(1);
        self.all().find_map(|range| {
            let usable = range.usable();
            let start = below(usable.max(1));
            // Below 2^32, as the size of a range is at most that.
            let places = (0..usable).map(|i| ((start + i) % usable) as u32 + 1);
            places.map(|place| range.at(place)).find(|address| *address != reserved && !is_taken(*address))
        })
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.all().enumerate() {
            write!(f, "{}{range}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn range(name: &str, cidr: &str, status: &str) -> Object {
        let conditions = json!([{"type": READY, "status": status}]);
        json!({"metadata": {"name": name}, "spec": {"cidrs": [cidr]}, "status": {"conditions": conditions}})
    }

    #[track_caller]
    fn check(objects: &[Object], shown: &str, gives: &[(&str, bool)]) {
        let mut ranges = Ranges::new(Range::around(Ipv4Addr::new(10, 43, 0, 0), 30));
        ranges.set(objects.iter());
        assert_eq!(ranges.to_string(), shown);
        for (address, expected) in gives {
            assert_eq!(ranges.gives(address.parse().unwrap()), *expected, "{address}");
        }
    }

    #[test]
    fn ready_ranges_give_all_but_their_ends() {
        check(&[], "10.43.0.0/30", &[("10.43.0.1", true), ("10.43.0.0", false), ("10.43.0.3", false)]);
        let more = range("more", "10.44.0.0/29", "True");
        let both = "10.43.0.0/30,10.44.0.0/29";
        check(std::slice::from_ref(&more), both, &[("10.44.0.1", true), ("10.44.0.6", true), ("10.44.0.7", false)]);
        check(&[range("more", "10.44.0.0/29", "False")], "10.43.0.0/30", &[("10.44.0.1", false)]);
        let mut ends = more;
        ends["metadata"]["deletionTimestamp"] = json!("x");
        check(&[ends], "10.43.0.0/30", &[("10.44.0.1", false)]);
        check(&[range("other", "fd00::/64", "True"), range("all", "0.0.0.0/0", "True")], "10.43.0.0/30,0.0.0.0/0", &[]);
        check(&[range(DEFAULT, "10.43.0.0/30", "False")], "", &[("10.43.0.1", false)]);
    }

    #[test]
    fn a_full_range_leads_to_the_next() {
        let mut ranges = Ranges::new(Range::around(Ipv4Addr::new(10, 43, 0, 0), 30));
        let more = range("more", "10.44.0.0/30", "True");
        ranges.set([&more].into_iter());
        let mut taken = Vec::new();
        while let Some(address) = ranges.free(|a| taken.contains(&a), |_| 0) {
            taken.push(address);
        }
        assert_eq!(taken.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.43.0.2", "10.44.0.1", "10.44.0.2"]);
    }

    #[test]
    fn ranges_cover_ranges() {
        let of = |text: &str| Range::parse(text).unwrap();
        assert!(of("10.0.0.0/8").covers_all(of("10.43.0.0/16")) && of("10.0.0.0/8").covers_all(of("10.0.0.0/8")));
        assert!(!of("10.43.0.0/16").covers_all(of("10.0.0.0/8")) && of("0.0.0.0/0").covers_all(of("10.0.0.0/32")));
        assert_eq!(Range::parse("10.0.0.0/33"), None);
        assert_eq!(Range::parse("fd00::/64"), None);
    }
}
