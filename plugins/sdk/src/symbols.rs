//! The strings that the daemon announced, by number. One allocation for all of them.

use crate::scheduling::{Symbol, Texts};

/// Announced strings.
#[derive(Default)]
pub struct Symbols {
    all: String,
    /// Where symbol `i + 1` ends; symbol 0 is the empty string.
    ends: Vec<u32>,
}

impl Symbols {
    /// Adds what was announced.
    pub fn extend(&mut self, new: &Texts) {
        let base = self.all.len() as u32;
        self.all.push_str(&new.all);
        self.ends.extend(new.ends.iter().map(|end| base + end));
    }

    /// The string of a symbol.
    pub fn text(&self, symbol: Symbol) -> &str {
        let Some(at) = (symbol as usize).checked_sub(1) else { return "" };
        let Some(end) = self.ends.get(at) else { return "" };
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.all[start as usize..*end as usize]
    }

    /// The symbol of a string, by search; for what a plugin looks up once, in its configuration.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        (0..=self.ends.len() as Symbol).find(|symbol| self.text(*symbol) == text)
    }
}
