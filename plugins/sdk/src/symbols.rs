//! The strings that the daemon announced, by number. One allocation for all of them.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::scheduling::{Symbol, Texts};

/// Announced strings.
#[derive(Default)]
pub struct Symbols {
    all: String,
    /// Where symbol `i + 1` ends; symbol 0 is the empty string.
    ends: Vec<u32>,
    /// What was searched for: its symbol, or how many symbols it is not among.
    searched: RefCell<HashMap<String, Result<Symbol, usize>>>,
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

    /// The symbol of a string, if it was announced. For the few that a plugin itself names: each is kept.
    pub fn find(&self, text: &str) -> Option<Symbol> {
        let mut searched = self.searched.borrow_mut();
        let from = match searched.get(text) {
            Some(Ok(symbol)) => return Some(*symbol),
            Some(Err(count)) => *count,
            None => 0,
        };
        let found = (from..=self.ends.len()).find(|symbol| self.text(*symbol as Symbol) == text);
        let answer = found.map(|symbol| symbol as Symbol);
        searched.insert(text.to_string(), answer.ok_or(self.ends.len() + 1));
        answer
    }
}
