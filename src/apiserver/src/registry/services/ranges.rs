//! The ranges of which Services get their addresses.
//!
//! In: the configured range, and what ServiceCIDRs say. Out: whether an address is of one of them, and a free one of a
//! family. A range that ends gives nothing more. Pure; which addresses are taken is the caller's to know.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kedge_api::{Object, meta};
use serde_json::Value;

use super::bands::ADDRESSES;

/// The ServiceCIDR that stands for the configured range.
pub const DEFAULT: &str = "kubernetes";
/// The condition that says whether addresses of a range are given.
pub const READY: &str = "Ready";

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Of 32 bits.
    V4,
    /// Of 128 bits.
    V6,
}

impl Family {
    /// An address's.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The word of `ipFamilies`.
    pub fn parse(word: &str) -> Option<Self> {
        [Family::V4, Family::V6].into_iter().find(|family| family.name() == word)
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }

    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    family: Family,
    base: u128,
    prefix: u8,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at(0), self.prefix)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

impl Range {
    /// The range of that size around an address.
    pub fn around(address: impl Into<IpAddr>, prefix: u8) -> Self {
        let address = address.into();
        let family = Family::of(address);
        let range = Range { family, base: 0, prefix: prefix.min(family.bits()) };
        Range { base: number(address) & !range.last(), ..range }
    }

    /// Reads `ADDRESS/PREFIX`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok().filter(|prefix| *prefix <= Family::of(address).bits())?;
        Some(Range::around(address, prefix))
    }

    /// The last place.
    fn last(self) -> u128 {
        match self.family.bits() - self.prefix {
            128 => u128::MAX,
            free => (1 << free) - 1,
        }
    }

    /// The address at a place, which is none behind the last.
    pub fn at(self, place: u128) -> IpAddr {
        let number = self.base | place & self.last();
        match self.family {
            // A base of this family and its places have 32 bits.
            Family::V4 => Ipv4Addr::from(number as u32).into(),
            Family::V6 => Ipv6Addr::from(number).into(),
        }
    }

    /// Whether it has the address, be it one that nobody gets.
    pub fn covers(self, address: IpAddr) -> bool {
        Family::of(address) == self.family && Range::around(address, self.prefix) == self
    }

    /// Whether it has all of the other.
    pub fn covers_all(self, other: Range) -> bool {
        self.prefix <= other.prefix && self.covers(other.at(0))
    }

    /// The last place that somebody can get: the first is the network's own, and in IPv4 the last is for broadcasts.
    fn usable(self) -> u128 {
        match self.family {
            Family::V4 => self.last().saturating_sub(1),
            Family::V6 => self.last(),
        }
    }

    fn gives(self, address: IpAddr) -> bool {
        self.covers(address) && (1..=self.usable()).contains(&(number(address) - self.base))
    }
}

/// What a ServiceCIDR says.
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

    /// The ranges of a family that give addresses, the configured one first.
    fn of(&self, family: Family) -> impl Iterator<Item = Range> + '_ {
        let configured = Some(self.configured).filter(|_| self.open);
        let more = self.more.values().flatten().copied().filter(|range| *range != self.configured);
        configured.into_iter().chain(more).filter(move |range| range.family == family)
    }

    /// Whether there are addresses of a family. The configured range's is there even while it gives none.
    pub fn has(&self, family: Family) -> bool {
        family == self.configured.family || self.of(family).next().is_some()
    }

    /// Whether an address can be had.
    pub fn gives(&self, address: IpAddr) -> bool {
        self.of(Family::of(address)).any(|range| range.gives(address))
    }

    /// A free address of the first range of the family that has one, from a random place of its upper band on. The first
    /// of the configured range is kept for the Service `kubernetes`.
    pub fn free(
        &self,
        family: Family,
        is_taken: impl Fn(IpAddr) -> bool,
        below: impl Fn(u64) -> u64,
    ) -> Option<IpAddr> {
        let reserved = self.configured.at(1);
        self.of(family).find_map(|range| {
            // More than can be counted are never taken.
            let usable = u64::try_from(range.usable()).unwrap_or(u64::MAX);
            let mut addresses = ADDRESSES.places(usable, &below).map(|place| range.at(u128::from(place) + 1));
            addresses.find(|address| *address != reserved && !is_taken(*address))
        })
    }

    /// The ranges of a family, for messages.
    pub fn shown(&self, family: Family) -> String {
        self.of(family).map(|range| range.to_string()).collect::<Vec<_>>().join(",")
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
        assert_eq!(format!("{} {}", ranges.shown(Family::V4), ranges.shown(Family::V6)).trim(), shown);
        assert!(ranges.has(Family::V4), "even if it is full or ends");
        assert_eq!(ranges.has(Family::V6), shown.contains(':'));
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
        check(&[range("all", "0.0.0.0/0", "True")], "10.43.0.0/30,0.0.0.0/0", &[("200.0.0.1", true)]);
        check(&[range(DEFAULT, "10.43.0.0/30", "False")], "", &[("10.43.0.1", false)]);
    }

    #[test]
    fn ranges_of_ipv6_give_all_but_their_first() {
        let other = range("other", "fd00::/126", "True");
        let gives = [("fd00::", false), ("fd00::1", true), ("fd00::3", true), ("fd00::4", false), ("10.43.0.1", true)];
        check(std::slice::from_ref(&other), "10.43.0.0/30 fd00::/126", &gives);
        check(&[range("other", "fd00::/126", "False")], "10.43.0.0/30", &[("fd00::1", false)]);
        let mut both = range("both", "10.44.0.0/29", "True");
        both["spec"]["cidrs"] = json!(["10.44.0.0/29", "fd01::/112"]);
        check(&[both], "10.43.0.0/30,10.44.0.0/29 fd01::/112", &[("10.44.0.1", true), ("fd01::ffff", true)]);
        let of_all = "10.43.0.0/30 ::/0";
        check(
            &[range("all", "::/0", "True")],
            of_all,
            &[("::", false), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true)],
        );
    }

    #[track_caller]
    fn gives_until_full(objects: &[Object], family: Family, expected: &[&str]) {
        let mut ranges = Ranges::new(Range::around(Ipv4Addr::new(10, 43, 0, 0), 30));
        ranges.set(objects.iter());
        let mut taken = Vec::new();
        while let Some(address) = ranges.free(family, |a| taken.contains(&a), |_| 0) {
            taken.push(address);
        }
        assert_eq!(taken.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_full_range_leads_to_the_next_of_its_family() {
        let objects = [range("more", "10.44.0.0/30", "True"), range("other", "fd00::/127", "True")];
        gives_until_full(&objects, Family::V4, &["10.43.0.2", "10.44.0.1", "10.44.0.2"]);
        gives_until_full(&objects, Family::V6, &["fd00::1"]);
        gives_until_full(&[], Family::V6, &[]);
    }

    #[test]
    fn the_largest_range_gives_from_anywhere() {
        let mut ranges = Ranges::new(Range::around(Ipv4Addr::new(10, 43, 0, 0), 30));
        let all = range("all", "::/0", "True");
        ranges.set([&all].into_iter());
        let last = ranges.free(Family::V6, |_| false, |most| most - 1);
        assert_eq!(last, Some("::ffff:ffff:ffff:ffff".parse().unwrap()));
    }

    #[test]
    fn ranges_cover_ranges() {
        let of = |text: &str| Range::parse(text).unwrap();
        assert!(of("10.0.0.0/8").covers_all(of("10.43.0.0/16")) && of("10.0.0.0/8").covers_all(of("10.0.0.0/8")));
        assert!(!of("10.43.0.0/16").covers_all(of("10.0.0.0/8")) && of("0.0.0.0/0").covers_all(of("10.0.0.0/32")));
        assert!(of("fd00::/48").covers_all(of("fd00::1:0/112")) && !of("fd00::/48").covers_all(of("fd00:1::/64")));
        assert!(!of("::/0").covers_all(of("10.0.0.0/8")) && !of("0.0.0.0/0").covers_all(of("fd00::/64")));
        assert_eq!(of("fd00::7/64").to_string(), "fd00::/64");
        assert_eq!((Range::parse("10.0.0.0/33"), Range::parse("fd00::/129"), Range::parse("x/1")), (None, None, None));
    }
}
