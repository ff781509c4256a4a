//! Sets of row numbers.
//!
//! In: row numbers. Out: words of 64 bits, lowest first, as they cross to plugins.
//! Never larger than the rows that it was made for.

/// A set of row numbers below a fixed length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    words: Vec<u64>,
    rows: usize,
}

impl Bitmap {
    /// No row of `rows`.
    pub fn empty(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], rows }
    }

    /// From words as a plugin answers them. Refused when a bit at or above `rows` is set or words are too many.
    pub fn from_words(mut words: Vec<u64>, rows: usize) -> Result<Self, String> {
        let needed = rows.div_ceil(64);
        if words.len() > needed {
            return Err(format!("a bitmap of {} words where {needed} are enough for {rows} rows", words.len()));
        }
        words.resize(needed, 0);
        let spare = needed * 64 - rows;
        if spare > 0 && words[needed - 1].leading_zeros() < spare as u32 {
            return Err(format!("a bitmap with bits beyond its {rows} rows"));
        }
        Ok(Self { words, rows })
    }

    /// How many rows there could be.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The words, lowest rows first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Puts a row in.
    ///
    /// # Panics
    /// If `row` is not below [`Bitmap::rows`].
    pub fn insert(&mut self, row: usize) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        self.words[row / 64] |= 1 << (row % 64);
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: usize) {
        if row < self.rows {
            self.words[row / 64] &= !(1 << (row % 64));
        }
    }

    /// Is the row in?
    pub fn contains(&self, row: usize) -> bool {
        row < self.rows && self.words[row / 64] & (1 << (row % 64)) != 0
    }

    /// How many rows are in.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Is none in?
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// The rows that are in, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(at * 64 + bit)
            })
        })
    }

    /// Keeps what is also in `other`.
    pub fn intersect(&mut self, other: &Bitmap) {
        for (at, word) in self.words.iter_mut().enumerate() {
            *word &= other.words.get(at).copied().unwrap_or(0);
        }
    }

    /// Adds what is in `other`, as far as it is below this one's length.
    pub fn unite(&mut self, other: &Bitmap) {
        let rows = self.rows;
        for row in other.iter().take_while(|row| *row < rows) {
            self.insert(row);
        }
    }

    /// Takes out what is in `other`.
    pub fn subtract(&mut self, other: &Bitmap) {
        for (word, gone) in self.words.iter_mut().zip(&other.words) {
            *word &= !gone;
        }
    }

    /// Is every row of this one in `other`?
    pub fn is_subset(&self, other: &Bitmap) -> bool {
        self.words.iter().enumerate().all(|(at, word)| word & !other.words.get(at).copied().unwrap_or(0) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: Vec<u64>, rows: usize, expected: Result<&[usize], &str>) {
        match (Bitmap::from_words(words, rows), expected) {
            (Ok(map), Ok(expected)) => assert_eq!(map.iter().collect::<Vec<_>>(), expected),
            (Err(said), Err(expected)) => assert!(said.contains(expected), "{said}"),
            (got, expected) => panic!("{got:?} where {expected:?}"),
        }
    }

    #[test]
    fn words_are_checked_against_the_rows() {
        check(vec![0b101], 3, Ok(&[0, 2]));
        check(vec![], 3, Ok(&[]));
        check(vec![0b1000], 3, Err("beyond its 3 rows"));
        check(vec![0, 0], 3, Err("2 words"));
        check(vec![u64::MAX], 64, Ok(&(0..64).collect::<Vec<_>>()));
        check(vec![], 0, Ok(&[]));
        check(vec![1], 0, Err("1 words"));
    }

    #[test]
    fn sets_combine() {
        let mut a = Bitmap::from_words(vec![0b0111, 1], 70).unwrap();
        let b = Bitmap::from_words(vec![0b0010], 70).unwrap();
        assert!(b.is_subset(&a) && !a.is_subset(&b));
        a.subtract(&b);
        assert_eq!(a.iter().collect::<Vec<_>>(), [0, 2, 64]);
        a.unite(&b);
        a.intersect(&b);
        assert_eq!((a.count(), a.contains(1), a.contains(64)), (1, true, false));
    }
}
