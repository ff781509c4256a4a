//! The patterns of schemas: Go's regular expressions.
//!
//! In: the text of a pattern. Out: whether a text matches. Compiled when first used: most patterns of most
//! definitions never are on a small device. Bounded in size, and linear in time by construction.

use regex::{Regex, RegexBuilder};
use std::sync::OnceLock;

/// The most that one compiled pattern may occupy: the longest repetition that Go takes, a thousand of any letter, needs
/// a quarter of it.
const MOST: usize = 2 << 20;

/// A pattern.
#[derive(Debug)]
pub struct Pattern {
    source: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternFault(String);

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
        self.compiled.get_or_init(|| compile(&self.source).ok()).as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// Compiles a pattern.
pub fn compile(source: &str) -> Result<Regex, PatternFault> {
    let fault = |error: regex::Error| {
        let text = error.to_string();
        // The last line says what is wrong; those before draw the pattern.
        let last = text.lines().last().unwrap_or_default();
        PatternFault(last.strip_prefix("error: ").unwrap_or(last).to_owned())
    };
    RegexBuilder::new(&ascii_classes(source)).size_limit(MOST).dfa_size_limit(MOST).build().map_err(fault)
}

/// Go's `\d`, `\w`, `\s` and `\b` know ASCII only.
fn ascii_classes(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut letters = source.chars().peekable();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let Some(next) = letters.next() else {
                    out.push('\\');
                    break;
                };
                let class = match next {
                    'd' => "[:digit:]",
                    'D' => "[:^digit:]",
                    'w' => "[:word:]",
                    'W' => "[:^word:]",
                    's' if in_class => r"\t\n\x0C\r ",
                    's' => r"\t\n\x0C\r ",
                    'S' if !in_class => {
                        out.push_str(r"[^\t\n\x0C\r ]");
                        continue;
                    }
                    'b' if !in_class => {
                        out.push_str(r"(?-u:\b)");
                        continue;
                    }
                    _ => {
                        out.push('\\');
                        out.push(next);
                        continue;
                    }
                };
                if in_class {
                    out.push_str(class);
                } else {
                    out.push('[');
                    out.push_str(class);
                    out.push(']');
                }
            }
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if letters.peek() == Some(&'^') {
                    out.extend(letters.next());
                }
                // A bracket that closes nothing yet stands for itself.
                if letters.peek() == Some(&']') {
                    letters.next();
                    out.push_str("\\]");
                }
            }
            // Within brackets Go takes a bracket for itself unless it begins a named class.
            '[' if letters.peek() != Some(&':') => out.push_str("\\["),
            '[' => {
                out.push('[');
                for letter in letters.by_ref() {
                    out.push(letter);
                    if letter == ']' {
                        break;
                    }
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // These mean something to us within brackets, and nothing to Go.
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(letter);
            }
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
    }

    #[test]
    fn patterns_are_those_of_go() {
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "\u{0663}", false);
        check(r"^[\w.-]+$", "a.b-c_1", true);
        check(r"^[^\s]+$", "a b", false);
        check(r"^\S+$", "ab", true);
        check(r"\bx\b", "a x b", true);
        check(r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "* * * * */5", true);
        check(r"^[a-z&&b[]+$", "a&[", true);
        check(r"^[]a]+$", "]a", true);
        check("^é.$", "éx", true);
        check(r"b", "abc", true);
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        assert!(compile("[a").is_err() && compile("(?=x)").is_err() && compile(r"a\").is_err());
        assert!(compile("((a{1000}){1000}){1000}").is_err());
        assert!(compile("^.{1,1000}$").is_ok() && compile(r"^[\s\S]{0,1000}$").is_ok());
    }
}
