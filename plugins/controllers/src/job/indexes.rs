//! Sets of completion indexes, as a Job's status writes them: `0-2,5,7-9`.
//!
//! In: text and numbers. Out: text and numbers. Pure. Kept as ranges, so a million indexes cost what their gaps cost.

/// Rising ranges that do not touch; both ends are within.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i64, i64)>);

impl Indexes {
    /// Reads what a status says; what is at or beyond `completions`, or is no number, is passed over.
    pub fn parse(text: &str, completions: i64) -> Self {
        let mut ranges = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) else { continue };
            if first >= 0 && first < completions && last >= first {
                ranges.push((first, last.min(completions - 1)));
            }
        }
        Self::joined(ranges)
    }

    /// Of single numbers.
    pub fn of(numbers: impl IntoIterator<Item = i64>) -> Self {
        Self::joined(numbers.into_iter().map(|number| (number, number)).collect())
    }

    /// Both together.
    pub fn with(&self, other: &Self) -> Self {
        Self::joined(self.0.iter().chain(&other.0).copied().collect())
    }

    fn joined(mut ranges: Vec<(i64, i64)>) -> Self {
        crate::order::sort(&mut ranges, |a, b| a.cmp(b));
        let mut joined: Vec<(i64, i64)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    /// How many.
    pub fn count(&self) -> i64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Is it in?
    pub fn has(&self, index: i64) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < index);
        self.0.get(at).is_some_and(|(first, _)| *first <= index)
    }

    /// How many are in both.
    pub fn shared(&self, other: &Self) -> i64 {
        let (mut a, mut b, mut count) = (0, 0, 0);
        while let (Some(x), Some(y)) = (self.0.get(a), other.0.get(b)) {
            count += (x.1.min(y.1) - x.0.max(y.0) + 1).max(0);
            if x.1 <= y.1 { a += 1 } else { b += 1 }
        }
        count
    }

    /// The first `count` numbers below `completions` that are not in.
    pub fn first_missing(&self, count: usize, completions: i64) -> Vec<i64> {
        let (mut missing, mut next) = (Vec::new(), 0);
        for (first, last) in self.0.iter().copied().chain([(completions, completions)]) {
            while next < first.min(completions) && missing.len() < count {
                missing.push(next);
                next += 1;
            }
            next = next.max(last.saturating_add(1));
        }
        missing
    }
}

impl std::fmt::Display for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for (text, expected, count) in
            [("", "", 0), ("0", "0", 1), ("0,1", "0,1", 2), ("0-2,5", "0-2,5", 4), ("3,x,1-2,9-20", "1-3,9", 4)]
        {
            let indexes = Indexes::parse(text, 10);
            assert_eq!((indexes.to_string().as_str(), indexes.count()), (expected, count), "{text}");
        }
    }

    #[test]
    fn sets_are_joined_and_compared() {
        let set = Indexes::of([1, 2, 5]).with(&Indexes::of([3, 9]));
        assert_eq!(set.to_string(), "1-3,5,9");
        assert!(set.has(2) && set.has(9) && !set.has(0) && !set.has(4));
        assert_eq!(set.shared(&Indexes::parse("0-5", 10)), 4);
        assert_eq!(set.first_missing(3, 10), [0, 4, 6]);
        assert_eq!(set.first_missing(9, 6), [0, 4]);
        assert_eq!(Indexes::default().first_missing(2, 1), [0]);
    }
}
