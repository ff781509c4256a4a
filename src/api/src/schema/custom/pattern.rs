//! The patterns of schemas: Go's regular expressions.
//!
//! In: the text of a pattern. Out: whether a text matches. Compiled when first used: most patterns of most
//! definitions never are on a small device. How they are read and bounded is CEL's `re2`, whose patterns are the same.

use std::sync::OnceLock;

use kedge_cel::re2::{self, Regex};

/// A pattern.
#[derive(Debug)]
pub struct Pattern {
    source: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(source: &str) -> Pattern {
        Pattern { source: source.into(), compiled: OnceLock::new() }
    }

    /// The text of the pattern.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the text matches. A pattern that cannot be compiled matches nothing.
    pub fn matches(&self, text: &str) -> bool {
        self.compiled.get_or_init(|| re2::compile(&self.source).ok()).as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_or_does_not() {
        for (pattern, text, expected) in [("^a+$", "aa", true), ("^a+$", "ab", false), ("[", "[", false)] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
