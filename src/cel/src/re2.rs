//! Patterns in the syntax of RE2, which is Go's: of expressions, and of the schemas of custom resources.
//!
//! In: the text of a pattern. Out: a regular expression, or what is wrong with it. Matching is linear in the text by
//! construction, and a pattern's size and depth are bounded. Classes such as `\d` are those of ASCII, as in RE2. Knows no
//! expressions and no schemas.

use std::iter::Peekable;
use std::str::Chars;

use regex_automata::nfa::thompson::{self, pikevm};
use regex_automata::util::syntax;

/// A compiled pattern is at most this large; Go's are bounded by the length of their text alone. The longest repetition
/// that Go takes, a thousand of any letter, needs a quarter of it.
const LARGEST: usize = 2 << 20;

/// A pattern is nested at most so deep; RE2 allows 1000.
const DEEPEST: u32 = 100;

/// A compiled pattern. It keeps no state between matches: patterns are many, their texts short, and matches few.
#[derive(Debug)]
pub struct Regex(pikevm::PikeVM);

impl Regex {
    /// Whether something in the text matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(&mut self.0.create_cache(), text)
    }

    /// The first part of the text that matches.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.find_all(text, 1).pop()
    }

    /// The parts of the text that match, from its start, but no more than so many.
    pub fn find_all<'t>(&self, text: &'t str, most: usize) -> Vec<&'t str> {
        let mut cache = self.0.create_cache();
        self.0.find_iter(&mut cache, text).take(most).map(|found| &text[found.range()]).collect()
    }
}

/// Compiles a pattern; what is wrong with it is said without the pattern.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let own = translate(pattern);
    let compiled = pikevm::PikeVM::builder()
        .syntax(syntax::Config::new().nest_limit(DEEPEST))
        .thompson(thompson::Config::new().nfa_size_limit(Some(LARGEST)))
        .build(&own);
    compiled.map(Regex).map_err(|why| {
        // What the parser says ends with what is wrong; the lines before draw the pattern. What is no fault of the
        // syntax says in its cause what it is.
        let text = std::error::Error::source(&why).map_or_else(|| why.to_string(), ToString::to_string);
        let last = text.lines().last().unwrap_or_default();
        last.strip_prefix("error: ").unwrap_or(last).to_owned()
    })
}

/// RE2 to the syntax of our engine: the same but for classes of ASCII, for quoted parts and for what brackets mean inside
/// of brackets.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    let mut inside = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' => escape(&mut out, &mut rest, inside),
            '[' if !inside => {
                inside = true;
                out.push('[');
                if let Some(not) = rest.next_if_eq(&'^') {
                    out.push(not);
                }
                // A bracket right after the opening one is itself.
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            // A named class.
            '[' if rest.peek() == Some(&':') => {
                out.push('[');
                for c in rest.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' => {
                inside = false;
                out.push(']');
            }
            // These mean something to our engine within brackets, and nothing to RE2.
            '[' | '&' | '~' if inside => {
                out.push('\\');
                out.push(c);
            }
            '-' if inside && out.ends_with('-') && !out.ends_with("\\-") => out.push_str("\\-"),
            other => out.push(other),
        }
    }
    out
}

/// What follows a backslash.
fn escape(out: &mut String, rest: &mut Peekable<Chars<'_>>, inside: bool) {
    let Some(letter) = rest.next() else {
        out.push('\\');
        return;
    };
    match (letter, inside) {
        ('d', true) => out.push_str("0-9"),
        ('w', true) => out.push_str("0-9A-Za-z_"),
        ('s', true) => out.push_str("\\t\\n\\f\\r "),
        ('d', false) => out.push_str("[0-9]"),
        ('w', false) => out.push_str("[0-9A-Za-z_]"),
        ('s', false) => out.push_str("[\\t\\n\\f\\r ]"),
        ('D', _) => out.push_str("[^0-9]"),
        ('W', _) => out.push_str("[^0-9A-Za-z_]"),
        ('S', _) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('b' | 'B', false) => {
            out.push_str("(?-u:\\");
            out.push(letter);
            out.push(')');
        }
        ('Q', false) => {
            for c in quoted(rest).chars() {
                if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
                    out.push('\\');
                }
                out.push(c);
            }
        }
        _ => {
            out.push('\\');
            out.push(letter);
        }
    }
}

/// Everything up to `\E`, which is itself.
fn quoted(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut quoted = String::new();
    while let Some(c) = rest.next() {
        if c == '\\' && rest.next_if_eq(&'E').is_some() {
            break;
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, matches: bool) {
        let compiled = compile(pattern).unwrap_or_else(|why| panic!("{pattern}: {why}"));
        assert_eq!(compiled.is_match(text), matches, "{pattern} on {text}");
    }

    #[test]
    fn classes_are_those_of_ascii() {
        check(r"^\d+$", "123", true);
        check(r"^\d+$", "\u{661}", false);
        check(r"^\d+$", "\u{663}", false);
        check(r"^[\w.-]+$", "a.b-c_1", true);
        check(r"^\S+$", "ab", true);
        check(r"^\S+$", "a b", false);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[\S]+$", "\u{a0}", true);
        check(r"^[\D\W]+$", "\u{e9}", true);
        check(r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$", "* * * * */5", true);
        check(r"\bfoo\b", "a foo b", true);
        check(r"\bx\b", "a x b", true);
        check(r"^\pL+$", "ab", true);
        check(r"^\p{Greek}+$", "αβγ", true);
        check(r"^\p{Greek}+$", "abc", false);
        check(r"(?i)^ÄB$", "äb", true);
        check("^é.$", "éx", true);
        check("b", "abc", true);
    }

    #[test]
    fn brackets_mean_what_they_mean_to_re2() {
        check(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-1", true);
        check(r"[[]", "[", true);
        check(r"[]a]", "]", true);
        check(r"^[]a]+$", "]a", true);
        check(r"[^]a]", "a", false);
        check(r"^[a&&b]$", "&", true);
        check(r"^[a-z&&b[]+$", "a&[", true);
        check(r"^[+--]+$", "+,-", true);
        check(r"^[[:alpha:]]+$", "abc", true);
    }

    #[test]
    fn what_is_quoted_is_itself() {
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\Qa.b\E$", "axb", false);
        check(r"^\Qa\b", r"a\b", true);
        check(r"^\Q<a>_[{(*+?|^$)}]#&-~\E$", "<a>_[{(*+?|^$)}]#&-~", true);
    }

    #[test]
    fn parts_are_found_from_the_start() {
        let compiled = compile("a+|é").unwrap();
        assert_eq!(compiled.find("xaaéa"), Some("aa"));
        assert_eq!(compiled.find("x"), None);
        assert_eq!(compiled.find_all("xaaéa", usize::MAX), ["aa", "é", "a"]);
        assert_eq!(compiled.find_all("xaaéa", 2), ["aa", "é"]);
        assert_eq!(compile("").unwrap().find_all("é", usize::MAX), ["", ""]);
    }

    #[track_caller]
    fn refused(pattern: &str, why: &str) {
        assert_eq!(compile(pattern).map(|_| ()), Err(why.to_owned()), "{pattern:.40}");
    }

    #[test]
    fn what_is_no_pattern_is_told() {
        refused("a(", "unclosed group");
        refused("[a", "unclosed character class");
        refused(r"a\", "incomplete escape sequence, reached end of pattern prematurely");
        assert!(compile("(?=x)").is_err());
    }

    #[test]
    fn patterns_are_bounded() {
        assert!(compile("^.{1,1000}$").is_ok() && compile(r"^[\s\S]{0,1000}$").is_ok());
        assert!(compile("((a{1000}){1000}){1000}").is_err());
        assert!(compile(&"(a{1000}){1000}".repeat(2)).is_err());
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(compile(&nested(90)).is_ok() && compile(&nested(110)).is_err());
    }
}
