//! Sets of rows, 64 to a word.

/// A set of row numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows(Vec<u64>);

impl Rows {
    /// From words as they cross, brought to the length for `rows` rows.
    pub fn from_words(mut words: Vec<u64>, rows: usize) -> Self {
        words.resize(rows.div_ceil(64), 0);
        Self(words)
    }

    /// The words.
    pub fn words(&self) -> &[u64] {
        &self.0
    }

    /// The words, as they cross.
    pub fn into_words(self) -> Vec<u64> {
        self.0
    }

    /// One word; 0 beyond the end.
    pub fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// Is the row in?
    pub fn contains(&self, row: usize) -> bool {
        self.word(row / 64) >> (row % 64) & 1 != 0
    }

    /// Puts a row in or takes it out; grows as needed.
    pub fn set(&mut self, row: usize, is_in: bool) {
        if row / 64 >= self.0.len() {
            if !is_in {
                return;
            }
            self.0.resize(row / 64 + 1, 0);
        }
        let bit = 1 << (row % 64);
        if is_in {
            self.0[row / 64] |= bit;
        } else {
            self.0[row / 64] &= !bit;
        }
    }

    /// Adds the rows of one word.
    pub fn add_word(&mut self, at: usize, bits: u64) {
        if bits != 0 {
            if at >= self.0.len() {
                self.0.resize(at + 1, 0);
            }
            self.0[at] |= bits;
        }
    }

    /// Takes the rows of one word out.
    pub fn clear_word(&mut self, at: usize, bits: u64) {
        if let Some(word) = self.0.get_mut(at) {
            *word &= !bits;
        }
    }

    /// How many rows are in.
    pub fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The rows, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| bits(*word).map(move |bit| at * 64 + bit))
    }
}

impl FromIterator<usize> for Rows {
    fn from_iter<I: IntoIterator<Item = usize>>(rows: I) -> Self {
        let mut all = Self::default();
        rows.into_iter().for_each(|row| all.set(row, true));
        all
    }
}

/// The set bits of a word, rising.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros() as usize;
        word &= word - 1;
        Some(bit)
    })
}
