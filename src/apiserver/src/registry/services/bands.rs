//! Which free place of a range is given: one of the upper band while there is one. People choose theirs from the lower
//! band, where they seldom meet what was given.
//!
//! In: how many places there are, randomness. Out: all of them, in the order in which they are tried. Pure. The bands are
//! Kubernetes' ("avoiding collisions" of Service ClusterIPs and NodePorts).

/// How large the lower band of a range is: a part of it, within bounds.
#[derive(Debug, Clone, Copy)]
pub struct Bands {
    /// Places at both ends of a range that are never given, and count for its size.
    ends: u64,
    part: u64,
    most: u64,
}

/// A range that is not larger has no bands, and a lower band is not smaller.
const LEAST: u64 = 16;
/// Those of addresses.
pub const ADDRESSES: Bands = Bands { ends: 2, part: 16, most: 256 };
/// Those of node ports.
pub const PORTS: Bands = Bands { ends: 0, part: 32, most: 128 };

impl Bands {
    /// Places in the lower band of a range of so many.
    fn lower(self, count: u64) -> u64 {
        let size = count.saturating_add(self.ends);
        if size <= LEAST { 0 } else { (size / self.part).clamp(LEAST, self.most).min(count) }
    }

    /// All places from 0 on, each once: those of the upper band from a random one on, then those of the lower.
    pub fn places(self, count: u64, below: impl Fn(u64) -> u64) -> impl Iterator<Item = u64> {
        let lower = self.lower(count);
        let band = |from: u64, count: u64| {
            let start = below(count.max(1));
            (0..count).map(move |i| from + ((u128::from(start) + u128::from(i)) % u128::from(count)) as u64)
        };
        band(lower, count - lower).chain(band(0, lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bands: Bands, count: u64, lower: u64) {
        assert_eq!(bands.lower(count), lower);
        let mut places: Vec<u64> = bands.places(count, |most| most / 2).collect();
        let (upper, rest) = places.split_at((count - lower) as usize);
        assert!(upper.iter().all(|place| *place >= lower) && rest.iter().all(|place| *place < lower));
        places.sort_unstable();
        assert!(places.into_iter().eq(0..count), "each once");
    }

    #[test]
    fn the_upper_band_is_given_first() {
        check(ADDRESSES, 14, 0);
        check(ADDRESSES, 30, 16);
        check(ADDRESSES, 254, 16);
        check(ADDRESSES, 1022, 64);
        check(ADDRESSES, 4094, 256);
        check(ADDRESSES, 65_534, 256);
        check(PORTS, 2768, 86);
        check(PORTS, 17, 16);
        check(PORTS, 1, 0);
        assert_eq!(ADDRESSES.places(30, |_| 0).next(), Some(16));
        assert_eq!(PORTS.places(0, |_| 0).next(), None);
    }
}
