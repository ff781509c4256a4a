//! Numbers that stand for strings.
//!
//! In: strings of nodes and pods. Out: one small number for each, the same for equal strings.
//! Never forgets one by itself: its owner starts a new table when too many are dead.

use std::collections::HashMap;
use std::sync::Arc;

/// A number that stands for a string; 0 is the empty string.
pub type Symbol = u32;

/// The strings that have a number.
#[derive(Clone, Debug)]
pub struct Symbols {
    numbers: HashMap<Arc<str>, Symbol>,
    texts: Vec<Arc<str>>,
}

impl Default for Symbols {
    fn default() -> Self {
        let empty: Arc<str> = Arc::from("");
        Self { numbers: HashMap::from([(empty.clone(), 0)]), texts: vec![empty] }
    }
}

impl Symbols {
    /// The number of a string; a new one if it has none yet.
    ///
    /// # Panics
    /// After 2^32 different strings; owners start anew long before.
    pub fn intern(&mut self, text: &str) -> Symbol {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        let number = Symbol::try_from(self.texts.len()).expect("owners start a new table below 2^32 symbols");
        let text: Arc<str> = Arc::from(text);
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    /// The number of a string, if it has one.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        self.numbers.get(text).copied()
    }

    /// The string of a number; empty for one that was never given out.
    pub fn text(&self, symbol: Symbol) -> &str {
        self.texts.get(symbol as usize).map_or("", |text| text)
    }

    /// How many there are, the empty string included. The next new symbol has this number.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The strings from number `first` on.
    pub fn since(&self, first: usize) -> impl Iterator<Item = &str> {
        self.texts.iter().skip(first).map(|text| &**text)
    }
}
